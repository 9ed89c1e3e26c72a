"""What a source offers next: walked by hypothesis against a plain table."""

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

from rede_p2p.content.merkle import MAX_PIECES
from rede_p2p.upload.offer_picker import (
    CLOSE,
    LEAD,
    LEAST_LEAD,
    OUTRUN,
    Bitfield,
    OfferPicker,
    Requester,
)

COUNT = 46
PIECES_OR_MORE = st.integers(0, COUNT - 1)  # some of them never on the shelf


class ShelfMachine(RuleBasedStateMachine):
    """One shelf beside a table of how often each piece was offered, and what each one lacks."""

    @initialize(pieces=st.sets(st.integers(0, 40)), chance=st.integers(0, 9))
    def begin(self, pieces, chance):
        self.shelf = OfferPicker(COUNT, sorted(pieces), random.Random(chance))
        self.offers = dict.fromkeys(pieces, 0)
        self.out: list[range] = []  # what was offered and may be taken back
        self.lacking: dict[Requester, set[int]] = {}

    @rule(piece=st.integers(0, 40))
    def add(self, piece):
        self.shelf.add(piece)
        self.offers.setdefault(piece, 0)

    @rule(lacking=st.one_of(st.sets(PIECES_OR_MORE), st.just(set(range(46)))))
    def enter(self, lacking):
        if not self.lacking:
            self.offers = dict.fromkeys(self.offers, 0)
            self.out.clear()
        self.lacking[self.shelf.enter(len(self.lacking), Bitfield(COUNT, lacking))] = set(lacking)

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
        if here.get(after) == min(here.values()):
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
        self.enter(set(self.offers))
        wish, order = list(self.lacking)[-1], []
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
    shelf = OfferPicker(count, range(count), chance)
    wishes = [shelf.enter(number, Bitfield(count, range(count))) for number in range(requesters)]
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
    pieces = Bitfield.of_bitmap(bitmap, count)
    both = pieces & Bitfield(count, other)
    assert (list(pieces), len(pieces)) == (sorted(right), len(right))
    assert (list(both), len(both)) == (sorted(right & other), len(right & other))
    assert {i for i in range(100) if i in pieces} == right
    for piece in (*other, count, count + 7):
        pieces.discard(piece)
    assert (list(pieces), len(pieces)) == (sorted(right - other), len(right - other))


def test_a_requester_of_the_largest_content_costs_little_memory():
    tracemalloc.start()
    try:
        shelf = OfferPicker(MAX_PIECES, range(MAX_PIECES))
        before, _ = tracemalloc.get_traced_memory()
        for number in range(10):
            shelf.enter(number, Bitfield.of_bitmap(b"\xff" * (MAX_PIECES // 8), MAX_PIECES))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 10 * 3 * MAX_PIECES


def test_few_wished_of_many_are_found_and_the_least_offered_comes_first():
    shelf = OfferPicker(80_000, range(10_000), random.Random(1))

    def picked(*lacking):
        return shelf.pick(shelf.enter("a", Bitfield(80_000, lacking)), 0, 1)

    for _ in range(3):
        picked(9000)
    assert picked(9000, 70_000) == (range(9000, 9001), [])
    assert picked(9000, 77) == (range(77, 78), [])
    assert picked(70_000) == (range(0), [])
    assert picked() == (range(0), [])


def test_pieces_are_sent_in_the_order_of_the_file_where_nothing_else_matters():
    shelf = OfferPicker(50, range(50))
    wish, after, order = shelf.enter("a", Bitfield(50, range(50))), 0, []
    while run := shelf.pick(wish, after, 4)[0]:
        shelf.note(wish, run, [])
        after = run.stop
        order.extend(run)
    assert order == list(range(50))


def taken_by(shelf, wish):
    """Take all that a shelf has, in runs of at most ten; tell how many times too many they are."""
    runs, after, pieces = 0, 0, len(wish.here)
    while run := shelf.pick(wish, after, 10)[0]:
        shelf.note(wish, run, [])
        runs, after = runs + 1, run.stop
    return runs / (pieces / 10)


@pytest.mark.parametrize("before", [[range(1000)], [range(500), range(500)], [range(0, 1000, 3)]])
def test_those_who_were_here_before_do_not_break_the_file_into_short_runs(before):
    shelf = OfferPicker(1000, range(1000), random.Random(1))
    for lacking in before:
        wish = shelf.enter("a", Bitfield(1000, lacking))
        taken_by(shelf, wish)
        shelf.leave(wish)
    assert taken_by(shelf, shelf.enter("b", Bitfield(1000, range(1000)))) < 1.2


def test_who_lacks_what_was_offered_more_often_than_the_rest_is_served_in_order_too():
    shelf = OfferPicker(1000, range(1000), random.Random(1))
    shelf.enter("idle", Bitfield(1000, range(1000)))
    for machine in "ab":
        wish = shelf.enter(machine, Bitfield(1000, range(400)))
        assert taken_by(shelf, wish) < 1.2
        shelf.leave(wish)


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
    shelf = OfferPicker(count, range(count))
    wish, *rest = [
        shelf.enter(machine, Bitfield(count, range(number)))
        for machine, number in enumerate((lacking, *others))
    ]
    assert shelf.handicap(wish) == pytest.approx(expected)
    for other in rest:
        shelf.leave(other)
    assert shelf.handicap(wish) == 0


def test_a_machine_counts_once_however_often_it_asks():
    shelf = OfferPicker(1000, range(1000))
    wish = shelf.enter("a", Bitfield(1000, range(500)))
    shelf.enter("b", Bitfield(1000, range(500)))
    for _ in range(9):
        shelf.enter("c", Bitfield(1000, range(515)))
    assert shelf.handicap(wish) == 0
    shelf.enter("d", Bitfield(1000, range(515)))
    assert shelf.handicap(wish) == 1
