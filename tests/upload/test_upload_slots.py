"""What a peer sends: how many at once, in which order, how fast in all."""

from __future__ import annotations

from contextlib import closing
from queue import Queue
from threading import Event, Thread
from time import monotonic
from types import SimpleNamespace

import pytest
from listening import SOON
from processes import eventually

from rede_p2p.errors import Address, ConnectionLostError, DiskError
from rede_p2p.net.connection import MIN_PROGRESS_BYTES
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.upload import upload_slots
from rede_p2p.upload.upload_slots import (
    MAX_SMALL_BODY_BYTES,
    MIN_CHUNK_TIME_S,
    MIN_LIMIT_BYTES_PER_S,
    MIN_PACED_CHUNK_BYTES,
    MIN_RATE_BYTES_PER_S,
    UNLIMITED_CHUNK_BYTES,
    Upload,
    UploadSlots,
)


def made(limit=None, **slots):
    """Return slots that report places often."""
    return UploadSlots(limit, timeouts=Timeouts(place_report_s=0.01), **slots)


def upload_of(name="a", to="b"):
    """Return what ``slot`` needs to know of an upload."""
    return SimpleNamespace(name=name, to=to)


class Requester:
    """A thread that wants a slot, notes its places, and holds the slot until let go."""

    def __init__(self, slots, name, to=None):
        self.name = name
        self._to = to or str(name)  # each from an address of its own, unless it is said
        self.places = Queue()
        self.served, self.let_go, self.gives_up = Event(), Event(), Event()
        self.error = None
        self._slots = slots
        self._thread = Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            with self._slots.slot(upload_of(self.name, self._to), self._report):
                self.served.set()
                assert self.let_go.wait(SOON)
        except ConnectionLostError as error:
            self.error = error

    def _report(self, place):
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
    slots = made(slots=2)
    requesters = []
    for number in range(5):
        requesters.append(Requester(slots, number))
        if number < 2:
            assert requesters[number].served.wait(SOON)
        else:
            requesters[number].is_told(number - 1)
    for number in range(5):
        assert names(slots) == [number, number + 1][: 5 - number]
        for place, waiting in enumerate(requesters[number + 2 :], start=1):
            assert not waiting.served.is_set()
            waiting.is_told(place)
        requesters[number].ends()
        if number < 3:
            assert requesters[number + 2].served.wait(SOON)
    assert names(slots) == []


def test_who_gives_up_leaves_its_place_to_the_next():
    slots = made(slots=1)
    first = Requester(slots, "first")
    assert first.served.wait(SOON)
    second = Requester(slots, "second")
    second.is_told(1)
    third = Requester(slots, "third")
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
    slots = made(slots=number)
    greedy = [Requester(slots, n, "greedy") for n in range(half)]
    for requester in greedy:
        assert requester.served.wait(SOON)
    late = Requester(slots, "late", "greedy")
    late.is_told(1)
    others = [Requester(slots, f"other {n}") for n in range(number - half)]
    for requester in others:
        assert requester.served.wait(SOON)  # before the one that came first
    assert not late.served.is_set()
    greedy[0].ends()
    assert late.served.wait(SOON)
    for requester in (late, *greedy, *others):
        requester.ends()


def test_two_addresses_that_hold_every_slot_keep_nobody_waiting():
    slots = made(slots=8)
    greedy = [Requester(slots, (to, n), to) for n in range(4) for to in ("one", "two")]
    for requester in greedy:
        assert requester.served.wait(SOON)
    more = Requester(slots, "more", "one")
    more.is_told(1)
    others = [Requester(slots, (to, n), to) for to in ("three", "four") for n in range(2)]
    for requester in others:
        assert requester.served.wait(SOON)  # two each, as of eight slots four addresses have
    greedy[0].ends()
    assert not more.served.is_set()  # its address still has three
    for requester in greedy[2::2]:
        requester.ends()
    assert more.served.wait(SOON)
    for requester in (more, *others, *greedy[1::2]):
        requester.ends()
    assert names(slots) == []


def test_a_slot_is_free_again_after_an_error():
    slots = made(slots=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), slots.slot(upload_of(), pytest.fail):
            raise ZeroDivisionError
    assert names(slots) == []


def test_closing_wakes_all_who_wait_and_lets_nobody_in():
    slots = made(slots=1)
    first = Requester(slots, "first")
    assert first.served.wait(SOON)
    waiting = [Requester(slots, number) for number in range(4)]
    for requester in waiting:
        requester.places.get(timeout=SOON)
    slots.close()
    for requester in waiting:
        requester.ends()
        assert requester.error is not None
    first.ends()
    with pytest.raises(ConnectionLostError), slots.slot(upload_of("late", "b"), pytest.fail):
        pass


def test_without_a_limit_nobody_is_held_back():
    sizes = [count for _, count in made().chunks(10**9)]
    assert sum(sizes) == 10**9
    assert max(sizes) == UNLIMITED_CHUNK_BYTES


def test_chunks_cover_an_upload_without_a_gap():
    chunks = list(made(limit=3 * 2**20).chunks(100_000))
    assert [offset for offset, _ in chunks] == list(range(0, 100_000, MIN_PACED_CHUNK_BYTES))
    assert sum(count for _, count in chunks) == 100_000


def test_data_is_read_only_once_a_slot_is_free():
    slots, is_read, sent = made(slots=1), Event(), []
    before = Requester(slots, "before")
    assert before.served.wait(SOON)
    told, length = Queue(), 2 * MAX_SMALL_BODY_BYTES
    upload = Upload(SimpleNamespace(remote=Address("b", 1), send=sent.append), slots, told.put)

    def read():
        is_read.set()
        return bytearray(length)

    thread = Thread(target=upload.send_data, args=("a", b"head", length, read))
    thread.start()
    assert told.get(timeout=SOON) == 1
    assert not is_read.is_set()
    before.ends()
    thread.join(SOON)
    assert is_read.is_set()
    assert [len(part) for part in sent] == [4, length]


def test_parts_of_one_file_are_counted_together_until_another_file_is_sent(tmp_path):
    path, slots, active = tmp_path / "a", made(), []
    path.write_bytes(bytes(3 * MAX_SMALL_BODY_BYTES))

    def send_file(file, start, count):
        active.append((slots.active()[0].name, slots.active()[0].sent))
        return count

    connection = SimpleNamespace(
        remote=Address("b", 1), send=len, send_soon=len, send_file=send_file
    )
    upload, large = Upload(connection, slots, pytest.fail), 2 * MAX_SMALL_BODY_BYTES
    with path.open("rb") as file:
        upload.send(file, "a", None, b"head", 0, large)
        upload.send(file, "small", None, b"head", 0, 1)  # it needs no slot
        began = upload.began
        upload.send(file, "a", None, b"head", MAX_SMALL_BODY_BYTES, large)
        assert (upload.name, upload.sent, upload.began) == ("a", 2 * large, began)
        upload.send(file, "b", None, b"head", 0, large)
    assert (upload.name, upload.sent) == ("b", large)
    # The last byte of each goes alone.
    first, second = large - 1, 2 * large - 1
    assert active == [
        ("a", 0),
        ("a", first),
        ("a", first + 1),
        ("a", second),
        ("b", 0),
        ("b", first),
    ]


def test_a_disk_that_fails_within_a_body_ends_the_connection(tmp_path):
    path, sent = tmp_path / "a", []
    path.write_bytes(bytes(3 * MAX_SMALL_BODY_BYTES))

    def send_file(*_):
        raise DiskError("a", "other")

    connection = SimpleNamespace(remote=Address("b", 1), send=sent.append, send_file=send_file)
    upload = Upload(connection, made(), pytest.fail)
    # Any other answer would stand among the bytes of the file.
    with path.open("rb") as file, pytest.raises(ConnectionLostError):
        upload.send(file, "a", None, b"head", 0, 2 * MAX_SMALL_BODY_BYTES)
    assert sent == [b"head"]


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
    clock = Clock()
    monkeypatch.setattr(upload_slots, "monotonic", clock)
    monkeypatch.setattr(upload_slots, "Event", lambda: clock)
    return clock


@pytest.mark.parametrize("limit", [MIN_RATE_BYTES_PER_S, 500_000, 5 * 2**20, 10**9])
def test_a_limit_is_what_is_sent_in_a_second(clock, limit):
    slots = made(limit=limit)
    most = max(MIN_PACED_CHUNK_BYTES, int(limit * MIN_CHUNK_TIME_S))
    sent, began = 0, clock.now
    for _, count in slots.chunks(3 * limit):
        assert sent <= limit * (clock.now - began) + most
        sent += count
    assert clock.now - began == pytest.approx(3, abs=2 * most / limit)


@pytest.mark.parametrize(
    ("limit", "chunk"),
    [
        (MIN_RATE_BYTES_PER_S, MIN_PACED_CHUNK_BYTES),
        (5 * 2**20, 26_214),
        (10**9, UNLIMITED_CHUNK_BYTES),
        (200 * 10**6, 10**6),
    ],
)
def test_a_chunk_is_never_so_short_that_its_moment_would_be_missed(clock, limit, chunk):
    assert {count for _, count in made(limit=limit).chunks(10 * chunk)} == {chunk}


def test_after_a_pause_nothing_is_caught_up_with(clock):
    slots = made(limit=2**20)
    list(slots.chunks(2**20))
    clock.now += 100
    began = clock.now
    list(slots.chunks(2**20))
    assert clock.now - began == pytest.approx(1, abs=0.05)


def test_a_limit_is_shared_evenly(clock):
    slots = made(limit=2**20)
    began, one, two = clock.now, 0, 0
    for (_, more), (_, others) in zip(slots.chunks(2**19), slots.chunks(2**19), strict=True):
        assert abs(one - two) <= MIN_PACED_CHUNK_BYTES
        assert one + two <= 2**20 * (clock.now - began) + 2 * MIN_PACED_CHUNK_BYTES
        one, two = one + more, two + others
    assert clock.now - began == pytest.approx(1, abs=0.1)


def test_many_at_once_are_never_faster_than_the_limit_in_all():
    limit, each = 4 * 2**20, 2**19
    slots, began = made(limit=limit), monotonic()

    def send():
        with slots.slot(upload_of(), pytest.fail):
            for _ in slots.chunks(each):
                pass

    threads = [Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The last chunk leaves when its moment has come, not when it is over.
    assert monotonic() - began >= (4 * each - MIN_PACED_CHUNK_BYTES) / limit


@pytest.mark.parametrize(
    ("limit", "slots"),
    [(MIN_RATE_BYTES_PER_S, 1), (2 * MIN_RATE_BYTES_PER_S, 2), (100 * MIN_RATE_BYTES_PER_S, 32)],
)
def test_a_low_limit_means_fewer_at_once_each_fast_enough_not_to_be_given_up(limit, slots):
    few = made(limit)
    requesters = [Requester(few, number) for number in range(slots)]
    for requester in requesters:
        assert requester.served.wait(SOON)
    late = Requester(few, "late")
    late.is_told(1)
    for requester in requesters:
        requester.ends()
    assert late.served.wait(SOON)
    late.ends()


def test_with_a_limit_those_who_need_not_wait_for_the_greedy_leave_each_enough():
    slots = made(10 * MIN_RATE_BYTES_PER_S)
    greedy = [Requester(slots, (to, n), to) for to in ("one", "two") for n in range(5)]
    for requester in greedy:
        assert requester.served.wait(SOON)
    for to in range(8):
        several = [Requester(slots, (to, n), str(to)) for n in range(3)]
        for one in several:
            eventually(lambda one=one: one.served.is_set() or not one.places.empty())
        assert any(one.served.is_set() for one in several)
        greedy += several
    given_up_below = MIN_PROGRESS_BYTES / DEFAULT.stall_s
    rate = slots.limit / len(slots.active())
    for requester in greedy:
        requester.let_go.set()
    for requester in greedy:
        requester.ends()
    assert rate >= given_up_below


def test_with_the_least_limit_that_may_be_typed_one_address_leaves_another_a_slot():
    slots = made(MIN_LIMIT_BYTES_PER_S)
    greedy = [Requester(slots, n, "greedy") for n in range(2)]
    other = Requester(slots, "other")
    assert other.served.wait(SOON)
    assert sum(requester.served.is_set() for requester in greedy) == 1
    other.ends()
    for requester in greedy:
        requester.let_go.set()
    for requester in greedy:
        requester.ends()


def test_closing_ends_what_waits_for_its_moment():
    slots = made(limit=MIN_RATE_BYTES_PER_S)
    begun, ended = Event(), Queue()

    def send():
        try:
            with slots.slot(upload_of(), pytest.fail):
                for _ in slots.chunks(2**30):
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
