"""One file from several sources at once: exact, nothing twice, and no bad source holds it up."""

from __future__ import annotations

import errno
import os
import random
from collections import Counter
from concurrent.futures import Future
from itertools import chain
from queue import Queue
from threading import Barrier, Event, Lock, Thread, current_thread
from time import monotonic

import pytest
import sources
from listening import SOON
from processes import eventually
from sources import (
    connect,
    content_of,
    context_of,
    found_in,
    pieces_of,
    right_pieces,
    send_pieces,
)

from rede_p2p.content import disk, merkle
from rede_p2p.content.merkle import MIN_PIECE_BYTES
from rede_p2p.download import seats, swarm
from rede_p2p.download.download import Download
from rede_p2p.download.piece_writer import PieceWriter
from rede_p2p.download.request import DownloadRequest, Outcome
from rede_p2p.errors import (
    IncompleteError,
    InterruptedByUserError,
    PeerUnreachableError,
    RefusedError,
)
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import Next, PieceData, PieceOffer, Take, Want
from rede_p2p.upload.seed_store import SeedStore

DATA = random.Random(4).randbytes(40 * MIN_PIECE_BYTES + 77)
CONTENT = content_of(DATA)
ALL = set(range(41))
HALF = set(range(0, 41, 2))
NAME = "grande.bin"
LONG_S = 3 * SOON  # a wait that no test lives to see the end of
NOBODY_IS_LATE = {"min_endgame_wait_s": 1000.0}  # so that no piece is asked of a second source


pytest_plugins = ["downloading"]


@pytest.fixture
def sharing(opened):
    """Return how to open one more source that shares the file."""

    def share(lie=None):
        source = opened(lie)
        source.share({NAME: DATA})
        return source

    return share


@pytest.fixture
def fetching(context):
    """Return how to prepare a download from these sources."""
    return lambda *found, **more: Download(
        DownloadRequest(NAME, CONTENT, tuple(source.address for source in found)), context(**more)
    )


class Growing:
    """What a peer that is itself downloading offers."""

    def __init__(self, source, folder, here):
        self.path = folder / "growing.parte"
        self.path.write_bytes(b"")
        self.source = source
        source.seeds = SeedStore()
        self._write(here)
        self._seeded = source.seeds.begin(
            NAME, CONTENT, merkle.layer_of(DATA), self.path, sorted(here)
        )

    def _write(self, pieces):
        with self.path.open("rb+") as file:
            for index in pieces:
                file.seek(index * MIN_PIECE_BYTES)
                file.write(pieces_of(DATA)[index])

    def grow(self, pieces):
        self._write(pieces)
        for index in pieces:
            self._seeded.add([index])


def together(parties, then=None):
    """Answer nobody's first ``take`` before every source has one; then be honest, or lie."""
    barrier, met = Barrier(parties), set()

    def lie(source, connection, request):
        if isinstance(request, Take) and source not in met:
            met.add(source)
            barrier.wait(SOON)
        return bool(then) and then(source, connection, request)

    return lie


def answered(*addresses):
    """Return the answer of a tracker that names these."""
    answer = Future()
    answer.set_result(list(addresses))
    return answer


def size_of(pieces):
    return sum(len(pieces_of(DATA)[index]) for index in pieces)


def arrived(folder):
    return found_in(folder) == {NAME: DATA}


# Who serves what.


def test_three_complete_sources_all_serve_and_no_piece_is_asked_for_twice(
    sharing, fetching, folder
):
    lie = together(3)
    three = [sharing(lie) for _ in range(3)]
    outcome = fetching(*three, **NOBODY_IS_LATE).run()
    assert outcome == Outcome(str(folder / NAME), already=False)
    assert arrived(folder)
    asked = [source.asked_pieces() for source in three]
    assert all(asked)
    assert sorted(chain.from_iterable(asked)) == sorted(ALL)


def test_progress_tells_how_many_sources_are_at_work(sharing, fetching, beginning):
    reached, go_on = Event(), Event()

    def lie(source, connection, request):
        if isinstance(request, Take):
            reached.set()
            assert go_on.wait(SOON)
        return False

    download = fetching(sharing(lie), sharing(lie), sharing(lie))
    ended = beginning(download)
    assert reached.wait(SOON)
    eventually(lambda: download.progress().sources == 3)
    go_on.set()
    ended.result(SOON)
    assert download.progress().sources == 0


def test_a_source_whose_bytes_are_wrong_is_asked_no_more_and_the_others_complete(
    sharing, fetching, folder
):
    wants = Queue()

    def note(source, connection, request):
        if isinstance(request, Want):
            wants.put(source)
        return False

    lie = together(3, note)
    liar, *honest = (sharing(lie) for _ in range(3))
    liar.edit_unseen(NAME, bytes(len(DATA)))  # only the bytes tell
    fetching(liar, *honest, **NOBODY_IS_LATE).run()
    assert arrived(folder)
    assert liar.asked_pieces()
    assert [wants.get() for _ in range(wants.qsize())].count(liar) == 1
    asked = [source.asked_pieces() for source in honest]
    assert sorted(chain.from_iterable(asked)) == sorted(ALL)


def test_what_a_source_that_dies_had_reserved_comes_from_the_others(sharing, fetching, folder):
    dying = None

    def die(source, connection, request):
        if source is dying and isinstance(request, Take) and len(source.asked) > 2:
            connection.hang_up()
            return True
        return False

    lie = together(3, die)
    dying, *honest = (sharing(lie) for _ in range(3))
    fetching(dying, *honest, **NOBODY_IS_LATE).run()
    assert arrived(folder)


@pytest.mark.parametrize("about", [Want, Take])
def test_a_source_that_falls_silent_holds_nothing_up(sharing, fetching, folder, beginning, about):
    def is_silent(source, connection, request):
        return source is silent and isinstance(request, about)

    lie = is_silent if about is Want else together(2, is_silent)
    silent, honest = sharing(lie), sharing(lie)
    beginning(fetching(silent, honest, reply_s=LONG_S, stall_s=LONG_S)).result(SOON)
    assert arrived(folder)
    assert set(honest.asked_pieces()) == ALL


class Leagued:
    """Two sources that promise everything, and then only make us wait; a third one is honest."""

    def __init__(self):
        self.waited_for = [Event(), Event()]
        self.ended = Event()

    def stalling(self, number):
        def lie(source, connection, request):
            if not isinstance(request, Take):
                return source.offer_all(connection, request)
            self.waited_for[number].set()
            while not self.ended.wait(0.01):
                for place in (1, 2):
                    connection.reply(codec.Pending(place=place))
            return True

        return lie

    def honest(self, _source, _connection, request):
        if isinstance(request, Want):  # the others come first
            assert all(waited_for.wait(SOON) for waited_for in self.waited_for)
        return False


def test_where_all_only_make_us_wait_it_ends(sharing, fetching, beginning):
    league = Leagued()
    stalling = [sharing(league.stalling(number)) for number in range(2)]
    # Each connection would bear it for ten minutes.
    one = fetching(*stalling, connect=connect, pending_s=0.1, download_stall_s=0.3)
    ended = beginning(one)
    try:
        error = ended.exception(SOON)
    finally:
        league.ended.set()
    assert isinstance(error, PeerUnreachableError)
    assert error.address in {source.address for source in stalling}
    assert error.cause.reason == "silent"


def test_two_sources_in_league_that_make_us_wait_for_ever_hold_nothing_up(
    sharing, fetching, folder, beginning
):
    league = Leagued()
    stalling = [sharing(league.stalling(number)) for number in range(2)]
    ended = beginning(fetching(*stalling, sharing(league.honest)))
    try:
        assert ended.result(SOON) == Outcome(str(folder / NAME), already=False)
    finally:
        league.ended.set()
    assert arrived(folder)


def test_a_source_may_promise_little_until_it_has_brought_much(
    sharing, fetching, folder, monkeypatch
):
    monkeypatch.setattr(swarm, "IN_FLIGHT_WINDOW_BYTES", 3 * MIN_PIECE_BYTES)
    source = sharing(sources.about_pieces(send_pieces))
    fetching(source).run()
    assert arrived(folder)
    taken = [request.count for request in source.asked if isinstance(request, Take)]
    assert taken[0] == 3 and sum(taken) == len(ALL)
    for number in range(1, len(taken)):
        assert taken[number] <= max(3, 2 * sum(taken[:number]))
    assert max(taken) > 6  # it grows with what was brought


# Sources that are not complete, or not there from the start.


def test_a_peer_that_is_still_downloading_serves_what_it_has_and_more_as_it_grows(
    opened, fetching, folder, tmp_path, beginning
):
    growing = Growing(opened(), tmp_path, HALF)
    download = fetching(growing.source)
    ended = beginning(download)
    eventually(lambda: download.progress().have == size_of(HALF))
    assert right_pieces(folder / f"{NAME}.parte", DATA) == HALF
    growing.grow([1, 3, 40])
    eventually(lambda: download.progress().have == size_of(HALF | {1, 3}))
    growing.grow(sorted(ALL - HALF))
    assert ended.result(SOON) == Outcome(str(folder / NAME), already=False)
    assert arrived(folder)
    assert sorted(growing.source.asked_pieces()) == sorted(ALL)


def test_a_piece_passes_from_peer_to_peer_while_both_still_download(
    opened, fetching, folder, tmp_path, beginning, hash_cache
):
    seed, passing = Growing(opened(), tmp_path, HALF), opened()
    passing.seeds = SeedStore()
    first = fetching(seed.source, seeds=passing.seeds)
    wanted = DownloadRequest(NAME, CONTENT, (passing.address,))
    first_ended = beginning(first)
    eventually(lambda: first.progress().have == size_of(HALF))
    last = Download(wanted, context_of(tmp_path / "outra", hash_cache))
    last_ended = beginning(last)
    eventually(lambda: last.progress().have == size_of(HALF))
    seed.grow(sorted(ALL - HALF))
    first_ended.result(SOON)
    last_ended.result(SOON)
    assert arrived(folder) and arrived(tmp_path / "outra")
    assert sorted(seed.source.asked_pieces()) == sorted(ALL)  # and nobody asked it but the first


def test_two_partial_sources_complete_each_other(opened, fetching, folder, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one = Growing(opened(), tmp_path / "a", HALF)
    other = Growing(opened(), tmp_path / "b", ALL - HALF)
    fetching(one.source, other.source).run()
    assert arrived(folder)
    assert set(one.source.asked_pieces()) == HALF
    assert set(other.source.asked_pieces()) == ALL - HALF


def test_a_source_that_comes_later_is_found_and_used(
    sharing, opened, fetching, folder, tmp_path, beginning
):
    growing, late, found = Growing(opened(), tmp_path, HALF), sharing(), []
    asked = Queue()

    def who_has(content):
        asked.put(content)
        return answered(*found)

    download = fetching(growing.source, who_has=who_has)
    ended = beginning(download)
    eventually(lambda: download.progress().have == size_of(HALF))
    found.append(late.address)
    ended.result(SOON)
    assert arrived(folder)
    assert asked.get() == CONTENT
    assert set(late.asked_pieces()) == ALL - HALF


def test_with_nobody_known_at_the_start_the_tracker_alone_is_enough(sharing, fetching, folder):
    source = sharing()
    fetching(who_has=lambda content: answered(source.address)).run()
    assert arrived(folder)


@pytest.mark.parametrize("known", [True, False])
def test_a_tracker_that_hangs_delays_neither_the_beginning_nor_the_end(
    sharing, fetching, folder, known, beginning
):
    source = sharing()
    hangs = Queue()

    def who_has(content):
        hangs.put(Future())
        return answered(source.address) if not known and hangs.qsize() == 1 else Future()

    ended = beginning(fetching(*[source] * known, who_has=who_has))
    ended.result(SOON)
    assert arrived(folder)


@pytest.mark.parametrize("at_work", [True, False])
def test_a_tracker_that_hangs_does_not_delay_a_cancel(
    opened, fetching, tmp_path, beginning, at_work
):
    asked = Queue()

    def who_has(content):
        asked.put(content)
        return Future()

    growing = Growing(opened(), tmp_path, HALF)
    one = fetching(*[growing.source] * at_work, who_has=who_has, download_stall_s=LONG_S)
    ended = beginning(one)
    assert asked.get(timeout=SOON) == CONTENT
    one.cancel()
    assert isinstance(ended.exception(SOON), InterruptedByUserError)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_source_that_is_being_connected_to_delays_no_end_and_is_asked_nothing(
    sharing, opened, fetching, folder, beginning, cancelled
):
    asleep, dials, awake, asked = sharing(), Queue(), Event(), Queue()

    def dial(address):
        if address != asleep.address:
            return connect(address)
        dials.put(current_thread())
        awake.wait()
        connection = connect(address)
        connection.send = asked.put
        return connection

    other = Growing(opened(), folder.parent, HALF)
    one = fetching(asleep, other.source, connect=dial, download_stall_s=LONG_S, layer_hurry_s=0.01)
    ended = beginning(one)
    try:
        eventually(lambda: any(thread.name == asleep.address.ip for thread in dials.queue))
        if cancelled:
            one.cancel()
            assert isinstance(ended.exception(SOON), InterruptedByUserError)
        else:
            other.grow(ALL - HALF)
            assert isinstance(ended.result(SOON), Outcome)
            assert arrived(folder)
        assert all(thread.is_alive() for thread in dials.queue)
    finally:
        awake.set()
    for thread in dials.queue:
        thread.join(SOON)
        assert not thread.is_alive()
    assert asked.empty()


# More than can be at work.


@pytest.fixture
def two_at_once(monkeypatch):
    """Let no more than two sources be at work."""
    monkeypatch.setattr(seats, "MIN_SEATS", 2)
    monkeypatch.setattr(seats, "MAX_SEATS", 2)


class Counted:
    """Counts those that are asked, and keeps the first two at work."""

    def __init__(self):
        self._lock = Lock()
        self.asked = 0
        self.go_on = Event()
        self.full = Event()

    def lie(self, _source, _connection, request):
        if isinstance(request, Want):
            with self._lock:
                self.asked += 1
                if self.asked == 2:
                    self.full.set()
            assert self.go_on.wait(SOON)
        return False


@pytest.mark.usefixtures("two_at_once")
def test_no_more_are_at_work_than_may_be(sharing, fetching, folder, beginning):
    counted = Counted()
    asked = Queue()

    def who_has(content):
        asked.put(content)
        return answered()

    one = fetching(*(sharing(counted.lie) for _ in range(5)), who_has=who_has)
    ended = beginning(one)
    assert counted.full.wait(SOON)
    for _ in range(3):  # by then it has set all to work that may be
        asked.get(timeout=SOON)
    assert counted.asked == one.progress().sources == 2
    counted.go_on.set()
    ended.result(SOON)
    assert arrived(folder)


@pytest.mark.usefixtures("two_at_once")
def test_when_one_leaves_another_comes_at_once(sharing, fetching, folder, beginning):
    refused, all_refused = [], Event()

    def refuses(source, connection, request):
        if not isinstance(request, Want):
            return False
        refused.append(source)
        if len(refused) == 12:
            all_refused.set()
        raise RefusedError("not-here")

    def stays(source, connection, request):
        if isinstance(request, Take):
            assert all_refused.wait(SOON)
        return False

    found = [sharing(stays), *(sharing(refuses) for _ in range(12))]
    pauses = {"first_search_pause_s": LONG_S, "max_search_pause_s": LONG_S}
    beginning(fetching(*found, download_stall_s=LONG_S, **pauses)).result(SOON)
    assert arrived(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "answers", ["nothing", "never", "not even at first", "wait", "wait for pieces"]
)
def test_many_that_bring_nothing_do_not_keep_a_source_from_the_seats(
    sharing, context, folder, monkeypatch, answers
):
    monkeypatch.setattr(seats, "MAX_ROUND_S", 0.1)
    ended = Event()

    def idle(source, connection, request):
        if isinstance(request, {"wait": Want, "wait for pieces": Take}.get(answers, ())):
            while not ended.wait(0.05):
                connection.reply(codec.Pending(place=1))
        if answers == "wait for pieces":
            return source.offer_all(connection, request)
        late = {"never": Next, "not even at first": Want}.get(answers, ())
        if isinstance(request, late):
            ended.wait(SOON)
        if isinstance(request, Want | Next):
            connection.reply(PieceOffer(0))
            return True
        return False

    # Who waits for a piece to offer would take longer than such a round.
    lies = [sources.about_pieces(send_pieces), *[idle] * 60]
    honest, *crowd = (sharing(lie).address for lie in lies)
    wanted = DownloadRequest(NAME, CONTENT, (*crowd, honest))
    hurry = {"download_stall_s": SOON, "reply_s": SOON, "min_endgame_wait_s": 0.001}
    last = context(**hurry)._replace(idle=Counter({honest: 1}))
    try:
        Download(wanted, last).run()
    finally:
        ended.set()
    assert arrived(folder)


@pytest.mark.usefixtures("two_at_once")
def test_where_all_have_a_queue_the_head_of_one_is_reached(
    sharing, fetching, folder, monkeypatch, beginning
):
    monkeypatch.setattr(seats, "MAX_ROUND_S", 0.05)
    turn, ended = Event(), Event()

    def queues(source, connection, request):
        if isinstance(request, Take) and not turn.is_set():
            for place in range(30, 0, -1):  # far longer than two rounds
                connection.reply(codec.Pending(place=place))
                if ended.wait(0.02):
                    break
            turn.set()
        return False

    try:
        beginning(fetching(*(sharing(queues) for _ in range(5)))).result(SOON)
    finally:
        ended.set()
    assert arrived(folder)


def test_a_thread_that_the_system_does_not_give_is_done_without(
    sharing, fetching, folder, monkeypatch
):
    class Refused(Thread):
        refusals = 0

        def start(self):
            if not Refused.refusals:
                Refused.refusals += 1
                raise RuntimeError("can't start new thread")
            super().start()

    monkeypatch.setattr(swarm, "Thread", Refused)
    fetching(sharing(), sharing()).run()
    assert arrived(folder)
    assert Refused.refusals


def test_a_source_whose_file_cannot_be_opened_once_more_is_done_without(
    sharing, fetching, folder, monkeypatch
):
    real, refused = PieceWriter.open, []

    def open_once_less(writer):
        if not refused:
            refused.append(writer)
            with disk.translate_os_errors("x.parte"):
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(writer)

    monkeypatch.setattr(PieceWriter, "open", open_once_less)
    fetching(sharing(), sharing()).run()
    assert arrived(folder)
    assert refused


def test_a_source_that_offers_nothing_at_once_is_asked_more_and_more_seldom(
    sharing, fetching, folder
):
    questions, enough = [], Event()

    def offers_nothing(_source, connection, request):
        if not isinstance(request, Want | Next):
            return False
        questions.append(monotonic())
        if len(questions) == 10:
            enough.set()
        connection.reply(PieceOffer(0))
        return True

    def waits(source, connection, request):
        if isinstance(request, Take):
            assert enough.wait(SOON)
        return False

    fetching(sharing(offers_nothing), sharing(waits)).run()
    assert arrived(folder)
    assert questions[9] - questions[1] > 0.25  # seconds: it doubles from one thousandth on


# How it ends otherwise.


def test_a_cancelled_download_ends_at_once_whoever_serves_and_keeps_what_came(
    opened, sharing, fetching, folder, tmp_path, beginning
):
    growing = Growing(opened(), tmp_path, HALF)
    silent = sharing(lambda source, connection, request: isinstance(request, Want))
    download = fetching(growing.source, silent)
    ended = beginning(download)
    eventually(lambda: download.progress().have == size_of(HALF))
    download.cancel()
    assert isinstance(ended.exception(SOON), InterruptedByUserError)
    assert right_pieces(folder / f"{NAME}.parte", DATA) == HALF


def test_when_nobody_has_the_rest_it_gives_up_and_keeps_what_came(
    opened, fetching, folder, tmp_path
):
    growing = Growing(opened(), tmp_path, HALF)
    with pytest.raises(IncompleteError) as caught:
        fetching(growing.source, download_stall_s=0.5).run()
    assert (caught.value.have, caught.value.size) == (size_of(HALF), len(DATA))
    assert caught.value.cause is None
    assert right_pieces(folder / f"{NAME}.parte", DATA) == HALF
    growing.grow(sorted(ALL - HALF))
    growing.source.asked_pieces()
    fetching(growing.source).run()
    assert arrived(folder)
    assert sorted(growing.source.asked_pieces()) == sorted(ALL - HALF)


class Stubborn:
    """A source that always offers the first piece, and names the others beside it."""

    def __init__(self):
        self.taken = []

    def lie(self, source, connection, request):
        choice = PieceOffer(0, 1, tuple(range(1, 6)))
        if isinstance(request, Want | Next):
            connection.reply(choice)
        elif isinstance(request, Take):
            assert request.count == 1
            self.taken.append(request.first)
            body = source.body(connection, request)
            connection.send(codec.encode_reply(PieceData(len(body), 0, 1, choice.others)) + body)
        return isinstance(request, Want | Next | Take)


def test_one_of_the_others_is_taken_where_the_offer_is_of_no_use(opened, folder, context):
    data, stubborn = DATA[: 6 * MIN_PIECE_BYTES], Stubborn()
    source = opened(stubborn.lie)
    (wanted,) = source.share({NAME: data})
    Download(wanted, context()).run()
    assert (folder / NAME).read_bytes() == data
    assert stubborn.taken == list(range(6))


def test_a_source_names_others_and_gives_one_of_them_in_place_of_its_offer(opened):
    source = opened()
    source.share({NAME: DATA})
    missing = bytes([0xFF] * 5 + [0x80])
    with connect(source.address) as buyer:
        offer = buyer.ask(Want(CONTENT.root, missing), PieceOffer)
        choices = [offer.first, *offer.others]
        assert offer.count == 1 and len(set(choices)) == len(choices) == 4
        for stranger in sorted(ALL - set(choices))[:2]:
            with pytest.raises(RefusedError, match="bad-range"):
                buyer.ask(Take(stranger, 1), PieceData)
        run = buyer.ask(Take(offer.others[-1], 1), PieceData)
        assert buyer.receive_exactly(run.bytes) == pieces_of(DATA)[offer.others[-1]]
        # What was offered first was not taken, so it may come again; the other one does not.
        assert offer.others[-1] not in (run.first, *run.others)


# The last pieces.


class Late:
    """Three sources of three pieces, and what makes the third hear of pieces that are late."""

    def __init__(self):
        self.reserved = Barrier(3)  # every piece is
        self.told_late = Event()  # so the first two may come
        self.two_came = Event()  # so the last one may be lost
        self.lost = Event()
        self.heard = Queue()

    def slow(self, source, connection, request):
        """Bring the first two pieces, when the third source has heard that they are late."""
        if isinstance(request, Want | Next):
            connection.reply(PieceOffer(0, 2))
        elif isinstance(request, Take):
            self.reserved.wait(SOON)
            assert self.told_late.wait(SOON)
            send_pieces(connection, source.body(connection, request))
        return isinstance(request, Want | Next | Take)

    def dying(self, _source, connection, request):
        """Reserve the last piece, and never bring it."""
        if isinstance(request, Want) and not self.lost.is_set():
            connection.reply(PieceOffer(2, 1))
            return True
        if isinstance(request, Take):
            self.reserved.wait(SOON)
            assert self.two_came.wait(SOON)
        connection.hang_up()
        self.lost.set()
        return True

    def offering(self, source, connection, request):
        """Offer what was late, and then the last piece."""
        if isinstance(request, Want):
            self.reserved.wait(SOON)
            connection.reply(PieceOffer(0, 0))
        elif isinstance(request, Next) and not self.told_late.is_set():
            self._hear_what_is_late(connection, request)
        elif isinstance(request, Next):
            self.heard.put(set(request.got))
            connection.reply(PieceOffer(2, 1))
        elif isinstance(request, Take):
            send_pieces(connection, source.body(connection, request))
        return isinstance(request, Want | Next | Take)

    def _hear_what_is_late(self, connection, request):
        if set(request.lost) == {0, 1, 2}:
            self.told_late.set()
            assert self.lost.wait(SOON)
            connection.reply(PieceOffer(0, 2))
        else:
            connection.reply(PieceOffer(0, 0))


def test_a_source_hears_that_what_was_late_has_come_from_another(opened, context, beginning):
    # Else it would offer that again and again, in place of what is missing still.
    data, late = DATA[: 3 * MIN_PIECE_BYTES], Late()
    three = [opened(lie) for lie in (late.slow, late.dying, late.offering)]
    for source in three:
        source.share({NAME: data})
    addresses = tuple(source.address for source in three)
    download = Download(DownloadRequest(NAME, content_of(data), addresses), context())
    ended = beginning(download)
    eventually(lambda: download.progress().have == 2 * MIN_PIECE_BYTES)
    late.two_came.set()
    ended.result(SOON)
    assert late.heard.get(timeout=SOON) == {0, 1}
