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
from walking import walk

from rede_p2p.download.piece_picker import ENDGAME_FACTOR, PiecePicker

SOURCES = st.sampled_from("abcd")
MIN_ENDGAME_WAIT_S = 0.1
PIECES = 70  # in the largest content: more than eight bytes of bitmap


def read(bitmap: bytes) -> set[int]:
    """Return the pieces whose bit is 1, the first bit first."""
    return {i for i in range(len(bitmap) * 8) if bitmap[i // 8] >> (7 - i % 8) & 1}


class Time:
    """A clock that goes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class PickerMachine(RuleBasedStateMachine):
    """One picker beside its model, and one source that hears the news in parts."""

    @initialize(count=st.sampled_from([1, 2, 8, 9, PIECES]), left=st.integers(0, PIECES))
    def begin(self, count, left):
        self.time = Time()
        self.doubtful = set(range(min(count, left)))
        self.picker = PiecePicker(count, self.time, MIN_ENDGAME_WAIT_S)
        self.picker.doubt(range(len(self.doubtful)))
        self.missing = set(range(count)) - self.doubtful
        self.reserved: dict[int, dict[str, float]] = {}
        self.postponed: set[tuple[str, int]] = set()  # for which a source keeps us in its queue
        self.here: set[int] = set()
        self.longest = 0.0  # that a piece has taken
        bitmap, self.since = self.picker.wanted()
        self.wanted = read(bitmap)

    def may_be_asked_twice(self, source, piece):
        """Tell whether this source could fetch what others are slow to bring."""
        holders = self.reserved.get(piece, {})
        endgame = not self.missing and not self.doubtful
        return endgame and bool(holders) and source not in holders

    def is_late(self, piece, smoothed):
        """Tell whether all who bring a piece have had their time, times how many they are."""
        holders = self.reserved[piece].items()
        begun = [since for source, since in holders if (source, piece) not in self.postponed]
        patience = max(MIN_ENDGAME_WAIT_S, ENDGAME_FACTOR * smoothed) * len(begun)
        return not begun or self.time.now - max(begun) > patience

    @rule(
        source=SOURCES,
        first=st.integers(0, PIECES),
        length=st.integers(0, 12),
        most=st.integers(1, 12),
    )
    def claim(self, source, first, length, most):
        offered = range(first, min(first + length, self.picker.count))
        claimed = self.picker.claim(source, offered, most)
        assert set(claimed) <= set(offered) and len(claimed) <= most
        legal = [i for i in offered if i in self.missing or self.may_be_asked_twice(source, i)]
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
        if (source, piece) not in self.postponed:  # else it says nothing of how long a piece takes
            self.longest = max(self.longest, self.time.now - self.reserved[piece][source])
        assert self.picker.confirm(piece, source) is True
        self.postponed.difference_update((source, piece) for source in self.reserved.pop(piece))
        self.here.add(piece)

    @precondition(lambda self: self.doubtful)
    @rule(right=st.booleans())
    def a_piece_left_on_the_disk_is_rechecked(self, right):
        piece = min(self.doubtful)
        self.doubtful.remove(piece)
        self.picker.recheck({piece: right})
        (self.here if right else self.missing).add(piece)

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def a_piece_comes_twice(self, data):
        piece = data.draw(st.sampled_from(sorted(self.here)))
        assert self.picker.confirm(piece) is False

    @rule(source=SOURCES)
    def a_source_leaves(self, source):
        self.picker.release(source)
        for piece, holders in list(self.reserved.items()):
            holders.pop(source, None)
            self.postponed.discard((source, piece))
            if not holders:
                del self.reserved[piece]
                self.missing.add(piece)

    @rule(source=SOURCES, first=st.integers(0, PIECES), length=st.integers(1, 12))
    def a_source_makes_us_wait(self, source, first, length):
        pieces = range(first, first + length)
        self.picker.postpone(source, pieces)
        self.postponed.update(
            (source, piece) for piece in pieces if source in self.reserved.get(piece, {})
        )

    @rule(seconds=st.sampled_from([0.001, 0.2, 1.0, 60.0]))
    def time_goes_by(self, seconds):
        self.time.now += seconds

    @rule(source=SOURCES)
    def an_idle_source_looks_for_late_pieces(self, source):
        endgame = self.picker.endgame(source)
        assert all(self.may_be_asked_twice(source, piece) for piece in endgame)
        for piece in self.reserved:
            if self.may_be_asked_twice(source, piece) and self.is_late(piece, self.longest):
                assert piece in endgame
        for piece in endgame:
            assert self.picker.claim(source, range(piece, piece + 1), 1)
            self.reserved[piece][source] = self.time.now

    @rule(most=st.integers(0, 5))
    def the_source_hears_some_news(self, most):
        got, lost, self.since = self.picker.news(self.since, most)
        assert len(got) + len(lost) <= most
        assert not set(got) & set(lost)
        self.wanted.difference_update(got)
        self.wanted.update(lost)

    @invariant()
    def every_piece_is_in_one_state(self):
        picker = self.picker
        assert read(picker.wanted()[0]) == self.missing
        assert {i for i in range(picker.count) if picker.is_here(i)} == self.here
        assert picker.complete is (len(self.here) == picker.count)

    @invariant()
    def who_has_heard_all_the_news_knows_what_is_missing(self):
        wanted, since, most = set(self.wanted), self.since, 7
        while (answer := self.picker.news(since, most))[2] != since:
            got, lost, since = answer
            wanted.difference_update(got)
            wanted.update(lost)
        assert wanted == self.missing


TestPicker = PickerMachine.TestCase
TestPicker.settings = settings(max_examples=80, stateful_step_count=60, deadline=None)


@pytest.mark.slow
def test_long_walks(lasts_s):
    walk(PickerMachine, lasts_s)


def test_a_piece_is_fetched_twice_only_at_the_end_and_a_third_time_only_much_later():
    time = Time()
    picker = PiecePicker(3, time, MIN_ENDGAME_WAIT_S)
    picker.claim("slow", range(0, 1), 1)
    time.now += 100
    assert not picker.endgame("a")  # others are missing still
    assert picker.claim("a", range(0, 3), 3) == range(1, 3)
    assert picker.endgame("a") == [0]
    assert picker.endgame("slow") == []
    assert picker.claim("a", range(0, 1), 1) == range(0, 1)
    time.now += 2 * MIN_ENDGAME_WAIT_S - 0.01
    assert 0 not in picker.endgame("b")
    assert not picker.claim("b", range(0, 1), 1)
    time.now += 0.02
    assert 0 in picker.endgame("b")
    picker.release("slow")
    assert not any(picker.wanted()[0])  # one of the two is still at it
    assert picker.confirm(0, "a") is True
    assert picker.confirm(0, "slow") is False


def test_those_who_make_us_wait_keep_nobody_from_a_piece_at_the_end():
    time = Time()
    picker = PiecePicker(2, time, MIN_ENDGAME_WAIT_S)
    assert picker.claim("a", range(1), 1) and picker.claim("b", range(1, 2), 1)
    time.now += 100
    assert picker.claim("b", range(1), 1) and picker.claim("a", range(1, 2), 1)
    assert not picker.endgame("honest")
    picker.postpone("a", range(2))
    picker.postpone("b", range(2))
    picker.postpone("stranger", range(2))
    assert picker.endgame("honest") == [0, 1]
    assert picker.claim("honest", range(2), 2) == range(2)
    assert not picker.endgame("another")
    assert picker.confirm(0, "a") and picker.confirm(1, "honest")  # whoever comes first


def test_nothing_is_fetched_twice_while_something_is_left_to_recheck():
    time = Time()
    picker = PiecePicker(3, time, MIN_ENDGAME_WAIT_S)
    picker.doubt(range(1, 3))
    assert picker.wanted()[0] == b"\x80"
    assert picker.claim("slow", range(3), 3) == range(0, 1)
    time.now += 100
    assert not any(picker.wanted()[0]) and not picker.endgame("b")
    picker.recheck({1: True, 2: False})
    assert picker.claim("b", range(3), 3) == range(2, 3)
    assert picker.endgame("b") == [0]


def test_what_is_offered_and_not_wanted_is_passed_over():
    picker = PiecePicker(10, Time(), MIN_ENDGAME_WAIT_S)
    picker.confirm(2)
    picker.claim("a", range(5, 6), 1)
    assert picker.claim("b", range(2, 9), 9) == range(3, 5)
    assert picker.claim("b", range(2, 9), 2) == range(6, 8)
    assert picker.claim("b", range(2, 9), 2) == range(8, 9)
    assert not picker.claim("b", range(2, 9), 9)


@pytest.mark.parametrize("piece_s", [0.01, 5.0])
def test_who_is_slow_is_measured_by_how_long_a_piece_usually_takes(piece_s):
    time = Time()
    picker = PiecePicker(2, time, MIN_ENDGAME_WAIT_S)
    picker.claim("a", range(2), 2)
    time.now += piece_s
    picker.confirm(0, "a")
    patience = max(MIN_ENDGAME_WAIT_S, ENDGAME_FACTOR * piece_s)
    time.now += patience - piece_s - 0.001
    assert picker.endgame("b") == []
    time.now += 0.002
    assert picker.endgame("b") == [1]
