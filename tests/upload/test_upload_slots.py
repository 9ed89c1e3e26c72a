"""What a peer sends: how many at once, in which order, how fast in all."""

from __future__ import annotations

from contextlib import closing
from queue import SimpleQueue
from threading import Event, Thread
from time import monotonic

import pytest

from rede_p2p.errors import ConnectionLostError
from rede_p2p.upload import upload_slots
from rede_p2p.upload.upload_slots import FREE_CHUNK, LEAST_RATE, PACE, PACED_CHUNK, UploadSlots

SOON = 20.0  # seconds; a bound on what takes milliseconds


@pytest.fixture(autouse=True)
def told_often(monkeypatch):
    monkeypatch.setattr(upload_slots, "TELL_EVERY", 0.01)


class RequestHandler:
    """A thread that wants a slot, says what it was told, and holds the slot until let go."""

    def __init__(self, slots, name, to=None):
        self.name = name
        self._to = to or str(name)  # each from an address of its own, unless it is said
        self.places = SimpleQueue()
        self.served, self.let_go, self.gives_up = Event(), Event(), Event()
        self.error = None
        self._slots = slots
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            with self._slots.slot(self.name, self._to, self._tell):
                self.served.set()
                assert self.let_go.wait(SOON)
        except ConnectionLostError as error:
            self.error = error

    def _tell(self, place):
        self.places.put(place)
        if self.gives_up.is_set():
            raise ConnectionLostError("lost")

    def is_told(self, place):
        while self.places.get(timeout=SOON) != place:
            pass

    def ends(self):
        self.let_go.set()
        self._thread.join(SOON)
        assert not self._thread.is_alive()


def names(slots):
    return [upload.name for upload in slots.active()]


def test_those_who_wait_are_served_in_the_order_of_their_coming_and_told_their_place():
    slots = UploadSlots(slots=2)
    guests = []
    for number in range(5):
        guests.append(RequestHandler(slots, number))
        if number < 2:
            assert guests[number].served.wait(SOON)
        else:
            guests[number].is_told(number - 1)
    for number in range(5):
        assert names(slots) == [number, number + 1][: 5 - number]
        for place, waiting in enumerate(guests[number + 2 :], start=1):
            assert not waiting.served.is_set()
            waiting.is_told(place)
        guests[number].ends()
        if number < 3:
            assert guests[number + 2].served.wait(SOON)
    assert names(slots) == []


def test_who_gives_up_leaves_its_place_to_the_next():
    slots = UploadSlots(slots=1)
    first = RequestHandler(slots, "first")
    assert first.served.wait(SOON)
    second = RequestHandler(slots, "second")
    second.is_told(1)
    third = RequestHandler(slots, "third")
    third.is_told(2)
    second.gives_up.set()
    second.ends()
    assert second.error is not None
    third.is_told(1)
    first.ends()
    assert third.served.wait(SOON)
    third.ends()


@pytest.mark.parametrize(("number", "half"), [(1, 1), (2, 1), (3, 1), (8, 4)])
def test_one_address_has_no_more_than_half_of_the_slots(number, half):
    slots = UploadSlots(slots=number)
    greedy = [RequestHandler(slots, n, "greedy") for n in range(half)]
    for guest in greedy:
        assert guest.served.wait(SOON)
    late = RequestHandler(slots, "late", "greedy")
    late.is_told(1)
    others = [RequestHandler(slots, f"other {n}") for n in range(number - half)]
    for guest in others:
        assert guest.served.wait(SOON)  # before the one that came first
    assert not late.served.is_set()
    greedy[0].ends()
    assert late.served.wait(SOON)
    for guest in (late, *greedy, *others):
        guest.ends()


def test_a_slot_is_free_again_after_an_error():
    slots = UploadSlots(slots=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), slots.slot("a", "b", pytest.fail):
            raise ZeroDivisionError
    assert names(slots) == []


def test_closing_wakes_all_who_wait_and_lets_nobody_in():
    slots = UploadSlots(slots=1)
    first = RequestHandler(slots, "first")
    assert first.served.wait(SOON)
    waiting = [RequestHandler(slots, number) for number in range(4)]
    for guest in waiting:
        guest.places.get(timeout=SOON)
    slots.close()
    for guest in waiting:
        guest.ends()
        assert guest.error is not None
    first.ends()
    with pytest.raises(ConnectionLostError), slots.slot("late", "b", pytest.fail):
        pass


def test_without_a_limit_nobody_is_held_back():
    slots = UploadSlots()
    with slots.slot("a", "b", pytest.fail) as upload:
        sizes = [count for _, count in slots.chunks(upload, 10**9)]
        assert sum(sizes) == upload.sent == 10**9
        assert max(sizes) == upload_slots.FREE_CHUNK


def test_chunks_cover_an_upload_without_a_gap():
    slots = UploadSlots(limit=3 * 2**20)
    with slots.slot("a", "b", pytest.fail) as upload:
        chunks = list(slots.chunks(upload, 100_000))
    assert [offset for offset, _ in chunks] == list(range(0, 100_000, PACED_CHUNK))
    assert sum(count for _, count in chunks) == 100_000


# The limit.


class Clock:
    """A clock that goes on when somebody waits for it, and notes every wait."""

    def __init__(self):
        self.now = 1000.0
        self.stopped = False

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += max(seconds, 0)
        return self.stopped

    def is_set(self):
        return self.stopped


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(upload_slots, "monotonic", made)
    monkeypatch.setattr(upload_slots, "Event", lambda: made)
    return made


@pytest.mark.parametrize("limit", [LEAST_RATE, 500_000, 5 * 2**20, 10**9])
def test_a_limit_is_what_is_sent_in_a_second(clock, limit):
    slots = UploadSlots(limit=limit)
    most = max(PACED_CHUNK, int(limit * PACE))
    with slots.slot("a", "b", pytest.fail) as upload:
        began = clock.now
        for _ in slots.chunks(upload, 3 * limit):
            assert upload.sent <= limit * (clock.now - began) + most
    assert clock.now - began == pytest.approx(3, abs=2 * most / limit)


@pytest.mark.parametrize(
    ("limit", "chunk"),
    [(LEAST_RATE, PACED_CHUNK), (5 * 2**20, 26_214), (10**9, FREE_CHUNK), (200 * 10**6, 10**6)],
)
def test_a_chunk_is_never_so_short_that_its_moment_would_be_missed(clock, limit, chunk):
    slots = UploadSlots(limit=limit)
    with slots.slot("a", "b", pytest.fail) as upload:
        assert {count for _, count in slots.chunks(upload, 10 * chunk)} == {chunk}


def test_after_a_pause_nothing_is_caught_up_with(clock):
    slots = UploadSlots(limit=2**20)
    with slots.slot("a", "b", pytest.fail) as upload:
        list(slots.chunks(upload, 2**20))
        clock.now += 100
        began = clock.now
        list(slots.chunks(upload, 2**20))
        assert clock.now - began == pytest.approx(1, abs=0.05)


def test_a_limit_is_shared_evenly(clock):
    slots = UploadSlots(limit=2**20)
    with (
        slots.slot("a", "b", pytest.fail) as one,
        slots.slot("c", "d", pytest.fail) as two,
    ):
        began = clock.now
        for _ in zip(slots.chunks(one, 2**19), slots.chunks(two, 2**19), strict=True):
            assert abs(one.sent - two.sent) <= PACED_CHUNK
            assert one.sent + two.sent <= 2**20 * (clock.now - began) + 2 * PACED_CHUNK
        assert clock.now - began == pytest.approx(1, abs=0.1)


def test_many_at_once_are_never_faster_than_the_limit_in_all():
    limit, each = 4 * 2**20, 2**19
    slots, began = UploadSlots(limit=limit), monotonic()

    def send():
        with slots.slot("a", "b", pytest.fail) as upload:
            for _ in slots.chunks(upload, each):
                pass

    threads = [Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The last chunk leaves when its moment has come, not when it is over.
    assert monotonic() - began >= (4 * each - PACED_CHUNK) / limit


@pytest.mark.parametrize(
    ("limit", "slots"), [(LEAST_RATE, 1), (2 * LEAST_RATE, 2), (100 * LEAST_RATE, 32)]
)
def test_a_low_limit_means_fewer_at_once_each_fast_enough_not_to_be_given_up(limit, slots):
    made = UploadSlots(limit=limit)
    guests = [RequestHandler(made, number) for number in range(slots)]
    for guest in guests:
        assert guest.served.wait(SOON)
    late = RequestHandler(made, "late")
    late.is_told(1)
    for guest in guests:
        guest.ends()
    assert late.served.wait(SOON)
    late.ends()


def test_closing_ends_what_waits_for_its_moment():
    slots = UploadSlots(limit=LEAST_RATE)
    begun, ended = Event(), SimpleQueue()

    def send():
        try:
            with slots.slot("a", "b", pytest.fail) as upload:
                for _ in slots.chunks(upload, 2**30):
                    begun.set()
        except ConnectionLostError as error:
            ended.put(error.reason)

    thread = Thread(target=send)
    thread.start()
    with closing(slots):
        assert begun.wait(SOON)
    thread.join(SOON)
    assert ended.get_nowait() == "lost"
    assert names(slots) == []
