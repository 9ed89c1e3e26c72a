"""Who fetches which piece from whom: walked by hypothesis against plain models."""

from __future__ import annotations

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from rede_p2p.merkle import MAX_PIECES
from rede_p2p.swarm import (
    CLOSE,
    LEAD,
    LEAST_LEAD,
    LEAST_PATIENCE,
    OUTRUN,
    PATIENCE,
    Board,
    PieceSet,
    Shelf,
    Wish,
)

SOURCES = st.sampled_from("abcd")
PIECES = 70  # in the largest board: more than eight bytes of bitmap


def read(bitmap: bytes) -> set[int]:
    """Return the pieces whose bit is 1, the first bit first."""
    return {i for i in range(len(bitmap) * 8) if bitmap[i // 8] >> (7 - i % 8) & 1}


class Time:
    """A clock that goes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class BoardMachine(RuleBasedStateMachine):
    """One board beside its model, and one source who hears the news in parts."""

    @initialize(count=st.sampled_from([1, 2, 8, 9, PIECES]), left=st.integers(0, PIECES))
    def begin(self, count, left):
        self.time = Time()
        self.doubtful = set(range(min(count, left)))
        self.board = Board(count, self.time, range(len(self.doubtful)))
        self.missing = set(range(count)) - self.doubtful
        self.reserved: dict[int, dict[str, float]] = {}
        self.put_off: set[tuple[str, int]] = set()  # which a source makes us wait for
        self.here: set[int] = set()
        self.longest = 0.0  # that a piece has taken
        bitmap, self.told = self.board.wanted()
        self.wanted = read(bitmap)

    def may_be_doubled(self, source, piece):
        """Tell whether this source could fetch what others are slow to bring."""
        holders = self.reserved.get(piece, {})
        at_the_end = not self.missing and not self.doubtful
        return at_the_end and bool(holders) and source not in holders

    def is_late(self, piece, usual):
        """Tell whether all who bring a piece have had their time, times how many they are."""
        holders = self.reserved[piece].items()
        begun = [since for source, since in holders if (source, piece) not in self.put_off]
        patience = max(LEAST_PATIENCE, PATIENCE * usual) * len(begun)
        return not begun or self.time.now - max(begun) > patience

    @rule(
        source=SOURCES,
        first=st.integers(0, PIECES),
        length=st.integers(0, 12),
        most=st.integers(1, 12),
    )
    def claim(self, source, first, length, most):
        offered = range(first, min(first + length, self.board.count))
        claimed = self.board.claim(source, offered, most)
        assert set(claimed) <= set(offered) and len(claimed) <= most
        legal = [i for i in offered if i in self.missing or self.may_be_doubled(source, i)]
        if self.missing & set(offered):
            assert claimed and set(claimed) <= self.missing
        for piece in claimed:
            assert piece in legal
            if piece not in self.missing:
                assert self.is_late(piece, 0)
        for piece in claimed:
            self.missing.discard(piece)
            self.reserved.setdefault(piece, {})[source] = self.time.now

    @precondition(lambda self: self.reserved)
    @rule(data=st.data())
    def a_piece_comes(self, data):
        piece = data.draw(st.sampled_from(sorted(self.reserved)))
        source = data.draw(st.sampled_from(sorted(self.reserved[piece])))
        if (source, piece) not in self.put_off:  # else it tells nothing of what is usual
            self.longest = max(self.longest, self.time.now - self.reserved[piece][source])
        assert self.board.confirm(piece, source) is True
        self.put_off.difference_update((source, piece) for source in self.reserved.pop(piece))
        self.here.add(piece)

    @precondition(lambda self: self.doubtful)
    @rule(right=st.booleans())
    def a_piece_left_on_the_disk_is_looked_at(self, right):
        piece = min(self.doubtful)
        self.doubtful.remove(piece)
        self.board.settle({piece: right})
        (self.here if right else self.missing).add(piece)

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def a_piece_comes_twice(self, data):
        piece = data.draw(st.sampled_from(sorted(self.here)))
        assert self.board.confirm(piece) is False

    @rule(source=SOURCES)
    def a_source_leaves(self, source):
        self.board.give_back(source)
        for piece, holders in list(self.reserved.items()):
            holders.pop(source, None)
            self.put_off.discard((source, piece))
            if not holders:
                del self.reserved[piece]
                self.missing.add(piece)

    @rule(source=SOURCES, first=st.integers(0, PIECES), length=st.integers(1, 12))
    def a_source_makes_us_wait(self, source, first, length):
        pieces = range(first, first + length)
        self.board.put_off(source, pieces)
        self.put_off.update(
            (source, piece) for piece in pieces if source in self.reserved.get(piece, {})
        )

    @rule(seconds=st.sampled_from([0.001, 0.2, 1.0, 60.0]))
    def time_goes_by(self, seconds):
        self.time.now += seconds

    @rule(source=SOURCES)
    def who_is_idle_looks_for_the_late(self, source):
        overdue = self.board.overdue(source)
        assert all(self.may_be_doubled(source, piece) for piece in overdue)
        for piece in self.reserved:
            if self.may_be_doubled(source, piece) and self.is_late(piece, self.longest):
                assert piece in overdue
        for piece in overdue:
            assert self.board.claim(source, range(piece, piece + 1), 1)
            self.reserved[piece][source] = self.time.now

    @rule(most=st.integers(0, 5))
    def the_source_hears_some_news(self, most):
        got, lost, self.told = self.board.news(self.told, most)
        assert len(got) + len(lost) <= most
        assert not set(got) & set(lost)
        self.wanted.difference_update(got)
        self.wanted.update(lost)

    @invariant()
    def every_piece_is_in_one_state(self):
        board = self.board
        assert read(board.wanted()[0]) == self.missing
        assert {i for i in range(board.count) if board.is_here(i)} == self.here
        assert board.idle is (not self.missing)
        assert board.complete is (len(self.here) == board.count)

    @invariant()
    def who_has_heard_all_the_news_knows_what_is_missing(self):
        wanted, told, most = set(self.wanted), self.told, 7
        while (answer := self.board.news(told, most))[2] != told:
            got, lost, told = answer
            wanted.difference_update(got)
            wanted.update(lost)
        assert wanted == self.missing


TestBoard = BoardMachine.TestCase
TestBoard.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)


def test_a_piece_is_fetched_twice_only_at_the_end_and_a_third_time_only_much_later():
    time = Time()
    board = Board(3, time)
    board.claim("slow", range(0, 1), 1)
    time.now += 100
    assert not board.overdue("a")  # others are missing still
    assert board.claim("a", range(0, 3), 3) == range(1, 3)
    assert board.overdue("a") == [0]
    assert board.overdue("slow") == []
    assert board.claim("a", range(0, 1), 1) == range(0, 1)
    time.now += 2 * LEAST_PATIENCE - 0.01
    assert 0 not in board.overdue("b")
    assert not board.claim("b", range(0, 1), 1)
    time.now += 0.02
    assert 0 in board.overdue("b")
    board.give_back("slow")
    assert board.idle  # one of the two is still at it
    assert board.confirm(0, "a") is True
    assert board.confirm(0, "slow") is False


def test_those_who_make_us_wait_keep_nobody_from_a_piece_at_the_end():
    time = Time()
    board = Board(2, time)
    assert board.claim("a", range(1), 1) and board.claim("b", range(1, 2), 1)
    time.now += 100
    assert board.claim("b", range(1), 1) and board.claim("a", range(1, 2), 1)
    assert not board.overdue("honest")
    board.put_off("a", range(2))
    board.put_off("b", range(2))
    board.put_off("stranger", range(2))
    assert board.overdue("honest") == [0, 1]
    assert board.claim("honest", range(2), 2) == range(2)
    assert not board.overdue("another")
    assert board.confirm(0, "a") and board.confirm(1, "honest")  # whoever comes first


def test_nothing_is_fetched_twice_while_something_is_left_to_look_at():
    time = Time()
    board = Board(3, time, range(1, 3))
    assert board.wanted()[0] == b"\x80"
    assert board.claim("slow", range(3), 3) == range(0, 1)
    time.now += 100
    assert board.idle and not board.overdue("b")
    board.settle({1: True, 2: False})
    assert board.claim("b", range(3), 3) == range(2, 3)
    assert board.overdue("b") == [0]


def test_what_is_offered_and_not_wanted_is_passed_over():
    board = Board(10, Time())
    board.confirm(2)
    board.claim("a", range(5, 6), 1)
    assert board.claim("b", range(2, 9), 9) == range(3, 5)
    assert board.claim("b", range(2, 9), 2) == range(6, 8)
    assert board.claim("b", range(2, 9), 2) == range(8, 9)
    assert not board.claim("b", range(2, 9), 9)


@pytest.mark.parametrize("usual", [0.01, 5.0])
def test_who_is_slow_is_measured_by_how_long_a_piece_usually_takes(usual):
    time = Time()
    board = Board(2, time)
    board.claim("a", range(2), 2)
    time.now += usual
    board.confirm(0, "a")
    patience = max(LEAST_PATIENCE, PATIENCE * usual)
    time.now += patience - usual - 0.001
    assert board.overdue("b") == []
    time.now += 0.002
    assert board.overdue("b") == [1]


COUNT = 46
PIECES_OR_MORE = st.integers(0, COUNT - 1)  # some of them never on the shelf


class ShelfMachine(RuleBasedStateMachine):
    """One shelf beside a table of how often each piece was offered, and what each one lacks."""

    @initialize(pieces=st.sets(st.integers(0, 40)), chance=st.integers(0, 9))
    def begin(self, pieces, chance):
        self.shelf = Shelf(COUNT, sorted(pieces), random.Random(chance))
        self.offers = dict.fromkeys(pieces, 0)
        self.out: list[range] = []  # what was offered and may be taken back
        self.lacking: dict[Wish, set[int]] = {}

    @rule(piece=st.integers(0, 40))
    def add(self, piece):
        self.shelf.add(piece)
        self.offers.setdefault(piece, 0)

    @rule(lacking=st.one_of(st.sets(PIECES_OR_MORE), st.just(set(range(46)))))
    def enter(self, lacking):
        self.lacking[self.shelf.enter(len(self.lacking), PieceSet(COUNT, lacking))] = set(lacking)

    @precondition(lambda self: self.lacking)
    @rule(data=st.data())
    def leave(self, data):
        wish = data.draw(st.sampled_from(list(self.lacking)))
        self.shelf.leave(wish)
        del self.lacking[wish]

    @precondition(lambda self: self.lacking)
    @rule(data=st.data(), got=st.sets(PIECES_OR_MORE), lost=st.sets(PIECES_OR_MORE))
    def note(self, data, got, lost):
        wish = data.draw(st.sampled_from(list(self.lacking)))
        self.shelf.note(wish, got, lost)
        self.lacking[wish] = (self.lacking[wish] - got) | lost

    @precondition(lambda self: self.lacking)
    @rule(
        data=st.data(),
        after=PIECES_OR_MORE,
        most=st.integers(1, 8),
        others=st.integers(0, 4),
    )
    def pick(self, data, after, most, others):
        wish = data.draw(st.sampled_from(list(self.lacking)))
        run, beside = self.shelf.pick(wish, after, most, others)
        here = {piece: n for piece, n in self.offers.items() if piece in self.lacking[wish]}
        assert bool(run) == bool(here)
        if not run:
            assert not beside
            return
        assert len(run) <= most and set(run) <= here.keys()
        assert here[run[0]] == min(here.values())
        assert all(here[piece] <= here[run[0]] for piece in run)
        if here.get(after) == min(self.offers.values()):
            assert run[0] == after
        self.check_others(here.keys() - set(run), beside, others if most == 1 else 0)
        for piece in run:
            self.offers[piece] += 1
        self.out.append(run)

    def check_others(self, legal, others, least):
        assert set(others) <= legal and len(others) == len(set(others))
        assert len(others) >= min(least, len(legal))
        counts = [self.offers[piece] for piece in others]
        left = [self.offers[piece] for piece in legal - set(others)]
        assert counts == sorted(counts)
        assert not least or not counts or not left or counts[-1] <= min(left)

    @precondition(lambda self: self.offers)
    @rule(data=st.data())
    def one_of_the_others_is_taken(self, data):
        piece = data.draw(st.sampled_from(sorted(self.offers)))
        self.shelf.count(piece)
        self.offers[piece] += 1

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def take_back(self, data):
        run = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        some = run[data.draw(st.integers(0, len(run))) :]
        self.shelf.take_back(some)
        for piece in some:
            self.offers[piece] -= 1

    @invariant()
    def it_knows_what_each_one_lacks_and_could_have(self):
        for wish, lacking in self.lacking.items():
            for known, right in (
                (wish.lacking, lacking),
                (wish.here, lacking & self.offers.keys()),
            ):
                assert list(known) == sorted(right)
                assert len(known) == len(right)

    @invariant()
    def it_holds_what_was_put_there(self):
        assert len(self.shelf) == len(self.offers)
        assert {piece for piece in range(50) if piece in self.shelf} == self.offers.keys()

    def teardown(self):
        """Take everything once more: it comes in the order of how often it was offered."""
        if not hasattr(self, "shelf"):
            return
        wish, order = self.shelf.enter("last", PieceSet(COUNT, self.offers)), []
        while wish.here:
            ((piece,), _) = self.shelf.pick(wish, 0, 1)
            self.shelf.note(wish, [piece], [])
            order.append(self.offers[piece])
        assert order == sorted(order)


TestShelf = ShelfMachine.TestCase
TestShelf.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)


@given(
    count=st.integers(1, 300),
    requesters=st.integers(1, 8),
    most=st.integers(1, 9),
    chance=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_a_lone_source_sends_every_piece_once_before_any_twice(count, requesters, most, chance):
    shelf = Shelf(count, range(count), chance)
    wishes = [shelf.enter(number, PieceSet(count, range(count))) for number in range(requesters)]
    after = [0] * requesters
    sent: list[int] = []
    while any(wish.here for wish in wishes):
        turn = chance.choice([n for n in range(requesters) if wishes[n].here])
        run, _ = shelf.pick(wishes[turn], after[turn], most)
        assert run
        shelf.note(wishes[turn], run, [])
        after[turn] = run.stop
        sent.extend(run)
    assert sorted(sent[:count]) == list(range(count))
    assert sorted(sent) == sorted(list(range(count)) * requesters)


@given(bitmap=st.binary(max_size=12), count=st.integers(0, 90), other=st.sets(st.integers(0, 89)))
def test_a_set_of_pieces_is_what_its_bitmap_says(bitmap, count, other):
    right = {i for i in range(min(count, 8 * len(bitmap))) if bitmap[i // 8] << i % 8 & 128}
    other = {piece for piece in other if piece < count}
    pieces = PieceSet.of_bitmap(bitmap, count)
    both = pieces & PieceSet(count, other)
    assert (list(pieces), len(pieces)) == (sorted(right), len(right))
    assert (list(both), len(both)) == (sorted(right & other), len(right & other))
    assert {i for i in range(100) if i in pieces} == right
    for piece in (*other, count, count + 7):
        pieces.discard(piece)
    assert (list(pieces), len(pieces)) == (sorted(right - other), len(right - other))


def test_a_requester_of_the_largest_content_costs_little_memory():
    tracemalloc.start()
    try:
        shelf = Shelf(MAX_PIECES, range(MAX_PIECES))
        before, _ = tracemalloc.get_traced_memory()
        for number in range(10):
            shelf.enter(number, PieceSet.of_bitmap(b"\xff" * (MAX_PIECES // 8), MAX_PIECES))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 10 * 3 * MAX_PIECES


def test_few_wished_of_many_are_found_and_the_least_offered_comes_first():
    shelf = Shelf(80_000, range(10_000), random.Random(1))

    def picked(*lacking):
        return shelf.pick(shelf.enter("a", PieceSet(80_000, lacking)), 0, 1)

    for _ in range(3):
        picked(9000)
    assert picked(9000, 70_000) == (range(9000, 9001), [])
    assert picked(9000, 77) == (range(77, 78), [])
    assert picked(70_000) == (range(0), [])
    assert picked() == (range(0), [])


def test_pieces_are_sent_in_the_order_of_the_file_where_nothing_else_matters():
    shelf = Shelf(50, range(50))
    wish, after, order = shelf.enter("a", PieceSet(50, range(50))), 0, []
    while run := shelf.pick(wish, after, 4)[0]:
        shelf.note(wish, run, [])
        after = run.stop
        order.extend(run)
    assert order == list(range(50))


@pytest.mark.parametrize(
    ("lacking", "others", "count", "expected"),
    [
        (100, [], 1000, 0),
        (100, [100, 100], 1000, 0),
        (1000, [1, 1], 1000, 0),
        (500, [508, 508], 1000, 0),
        (500, [509, 509], 1000, 0.009 / LEAD),
        (500, [515, 515], 1000, 1),
        (500, [599, 599], 1000, 1),
        (500, [600, 600], 1000, 0),
        # Whoever is slower than all others counts for nothing, and so does who is nearly done.
        (500, [500, 500, 1000], 1000, 0),
        (500, [10, 509, 509, 509], 1000, 0.009 / LEAD),
        (0, [8, 8], 100, 0),
        (0, [9, 9], 100, 1),
        (5000, [5010, 5010], 10_000, 0),
    ],
)
def test_who_is_before_the_middle_one_waits_unless_that_one_cannot_keep_up(
    lacking, others, count, expected
):
    assert (CLOSE, LEAST_LEAD, OUTRUN) == (0.008, 8, 0.1)
    shelf = Shelf(count, range(count))
    wish, *rest = [
        shelf.enter(machine, PieceSet(count, range(number)))
        for machine, number in enumerate((lacking, *others))
    ]
    assert shelf.handicap(wish) == pytest.approx(expected)
    for other in rest:
        shelf.leave(other)
    assert shelf.handicap(wish) == 0


def test_a_machine_counts_once_however_often_it_asks():
    shelf = Shelf(1000, range(1000))
    wish = shelf.enter("a", PieceSet(1000, range(500)))
    shelf.enter("b", PieceSet(1000, range(500)))
    for _ in range(9):
        shelf.enter("c", PieceSet(1000, range(515)))
    assert shelf.handicap(wish) == 0
    shelf.enter("d", PieceSet(1000, range(515)))
    assert shelf.handicap(wish) == 1
