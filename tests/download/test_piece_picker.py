"""Who fetches which piece from whom: walked by hypothesis against plain models."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from rede_p2p.download.piece_picker import LEAST_PATIENCE, PATIENCE, PiecePicker

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
        self.board = PiecePicker(count, self.time, range(len(self.doubtful)))
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
    board = PiecePicker(3, time)
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
    board = PiecePicker(2, time)
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
    board = PiecePicker(3, time, range(1, 3))
    assert board.wanted()[0] == b"\x80"
    assert board.claim("slow", range(3), 3) == range(0, 1)
    time.now += 100
    assert board.idle and not board.overdue("b")
    board.settle({1: True, 2: False})
    assert board.claim("b", range(3), 3) == range(2, 3)
    assert board.overdue("b") == [0]


def test_what_is_offered_and_not_wanted_is_passed_over():
    board = PiecePicker(10, Time())
    board.confirm(2)
    board.claim("a", range(5, 6), 1)
    assert board.claim("b", range(2, 9), 9) == range(3, 5)
    assert board.claim("b", range(2, 9), 2) == range(6, 8)
    assert board.claim("b", range(2, 9), 2) == range(8, 9)
    assert not board.claim("b", range(2, 9), 9)


@pytest.mark.parametrize("usual", [0.01, 5.0])
def test_who_is_slow_is_measured_by_how_long_a_piece_usually_takes(usual):
    time = Time()
    board = PiecePicker(2, time)
    board.claim("a", range(2), 2)
    time.now += usual
    board.confirm(0, "a")
    patience = max(LEAST_PATIENCE, PATIENCE * usual)
    time.now += patience - usual - 0.001
    assert board.overdue("b") == []
    time.now += 0.002
    assert board.overdue("b") == [1]
