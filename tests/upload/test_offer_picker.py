"""What a source offers next: walked by hypothesis against a plain table."""

from __future__ import annotations

import random
import tracemalloc
from math import inf
from queue import Queue
from threading import Thread

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
from listening import SOON
from processes import eventually
from walking import walk

from rede_p2p.content.bitfield import bits_of, from_bitmap, pieces_from
from rede_p2p.content.merkle import MAX_PIECES
from rede_p2p.upload import offer_picker
from rede_p2p.upload.offer_picker import (
    HALF_PACE_LEAD,
    MAX_COUNTED_OFFERS,
    MAX_LEAD,
    MIN_LEAD,
    MIN_LEAD_PIECES,
    OTHER_PIECES_OFFERED,
    OfferPicker,
    Requester,
)
from rede_p2p.upload.pace import WINDOW_S
from rede_p2p.upload.upload_session import FREE_BYTES_PER_S

COUNT = 46
PIECES_OR_MORE = st.integers(0, COUNT - 1)  # some of them never here


def chance(seed):
    return random.Random(seed).random


def whole(count, seed=1):
    """Return a picker that has every piece."""
    return OfferPicker(count, bits_of(range(count)), chance(seed))


class OfferPickerMachine(RuleBasedStateMachine):
    """One picker beside a table of how often each piece was offered, and of what each one lacks."""

    @initialize(pieces=st.sets(st.integers(0, 40)), seed=st.integers(0, 9))
    def begin(self, pieces, seed):
        self.picker = OfferPicker(COUNT, bits_of(pieces), chance(seed))
        self.offers = dict.fromkeys(pieces, 0)
        self.lacking: dict[Requester, set[int]] = {}
        self.out: dict[Requester, tuple[range, tuple[int, ...]]] = {}  # the offers not answered

    @rule(pieces=st.sets(st.integers(0, 40), max_size=4))
    def add(self, pieces):
        self.picker.add(pieces)
        self.offers = dict.fromkeys(pieces, 0) | self.offers

    @rule(lacking=st.one_of(st.sets(PIECES_OR_MORE), st.just(set(range(46)))))
    def enter(self, lacking):
        requester = self.picker.enter(len(self.lacking), bits_of(lacking))
        self.lacking[requester] = set(lacking)
        self.out[requester] = range(0), ()

    @precondition(lambda self: self.lacking)
    @rule(data=st.data())
    def leave(self, data):
        requester = data.draw(st.sampled_from(list(self.lacking)))
        self.picker.leave(requester)
        self.settle(requester, ())
        del self.lacking[requester]
        if not self.lacking:
            self.offers = dict.fromkeys(self.offers, 0)

    @precondition(lambda self: self.lacking)
    @rule(data=st.data(), got=st.sets(PIECES_OR_MORE), lost=st.sets(st.integers(0, 99)))
    def note(self, data, got, lost):
        requester = data.draw(st.sampled_from(list(self.lacking)))
        self.picker.note(requester, got, lost)
        self.lacking[requester] = (self.lacking[requester] - got) | (lost & set(range(COUNT)))

    def in_whole_unit(self, piece, unit):
        start = piece - piece % unit
        return {*range(start, min(start + unit, COUNT))} <= self.offers.keys()

    @precondition(lambda self: self.lacking)
    @rule(
        data=st.data(),
        after=PIECES_OR_MORE,
        most=st.integers(1, 8),
        unit=st.sampled_from([1, 1, 2, 4]),
    )
    def offer(self, data, after, most, unit):
        requester = data.draw(st.sampled_from(list(self.lacking)))
        self.settle(requester, ())
        run, others = self.picker.offer(requester, after, most, unit=unit)
        lacking = self.lacking[requester]
        here = {
            p: n for p, n in self.offers.items() if p in lacking and self.in_whole_unit(p, unit)
        }
        assert bool(run) == bool(here)
        if not run:
            assert not others
            return
        most = max(most - (run[0] + most) % unit, unit - run[0] % unit)
        assert len(run) <= most and set(run) <= here.keys()
        assert all(here[piece] == min(here.values()) for piece in run)
        if here.get(after) == min(here.values()):
            assert run[0] == after
        if len(run) < most:
            assert here.get(run.stop) != here[run[0]]
        if unit == 1 or most > 1:
            legal = here.keys() - set(run)
            self.check_others(legal, others, OTHER_PIECES_OFFERED if most == 1 else 0)
        for piece in run:
            self.offers[piece] += 1
        self.out[requester] = run, others

    def check_others(self, legal, others, most):
        assert set(others) <= legal and len(set(others)) == len(others) == min(most, len(legal))
        counts = [self.offers[piece] for piece in others]
        left = [self.offers[piece] for piece in legal - set(others)]
        assert counts == sorted(counts)
        assert not counts or not left or counts[-1] <= min(left)

    def settle(self, requester, taken):
        """Count of the last offer to a requester only what it took."""
        run, _ = self.out[requester]
        for piece in {*run} ^ {*taken}:
            self.offers[piece] += 1 if piece in taken else -1
        self.out[requester] = range(0), ()

    @precondition(lambda self: self.lacking)
    @rule(data=st.data())
    def take(self, data):
        requester = data.draw(st.sampled_from(list(self.lacking)))
        run, others = self.out[requester]
        first = data.draw(st.sampled_from([*run, *others, 0, 45]))
        taken = range(first, data.draw(st.integers(first, max(first + 1, run.stop))))
        is_offered = bool(taken) and ({*taken} <= {*run} or (len(taken) == 1 and first in others))
        assert self.picker.take(requester, taken) == is_offered
        if is_offered:
            self.settle(requester, taken)

    @invariant()
    def it_knows_what_each_one_lacks(self):
        for requester, lacking in self.lacking.items():
            assert requester.lacking == bits_of(lacking)
            assert requester.lacking_count == len(lacking)

    @invariant()
    def every_piece_is_in_one_level(self):
        for level, pieces in enumerate(self.picker._levels):
            right = {piece for piece, count in self.offers.items() if count == level}
            assert set(pieces_from(pieces, 0)) == right

    def teardown(self):
        """Take everything once more: it comes in the order of how often it was offered."""
        if not hasattr(self, "picker"):
            return
        for requester in self.lacking:
            self.picker.take(requester, self.out[requester][0])
        requester, order = self.picker.enter("last", bits_of(self.offers)), []
        while run := self.picker.offer(requester, 0, 1)[0]:
            assert self.picker.take(requester, run)
            self.picker.note(requester, run, ())
            order.append(self.offers[run[0]])
        assert order == sorted(order) and len(order) == len(self.offers)


TestOfferPicker = OfferPickerMachine.TestCase
TestOfferPicker.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)


@pytest.mark.slow
def test_long_walks(lasts_s):
    walk(OfferPickerMachine, lasts_s)


@given(
    count=st.integers(1, 300),
    many=st.integers(1, 8),
    most=st.integers(1, 9),
    randomly=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_a_lone_source_sends_every_piece_once_before_any_twice(count, many, most, randomly):
    picker = OfferPicker(count, bits_of(range(count)), randomly.random)
    requesters = [picker.enter(number, bits_of(range(count))) for number in range(many)]
    after = [0] * many
    sent: list[int] = []
    while any(requester.lacking for requester in requesters):
        turn = randomly.choice([n for n in range(many) if requesters[n].lacking])
        run, _ = picker.offer(requesters[turn], after[turn], most)
        assert picker.take(requesters[turn], run)
        picker.note(requesters[turn], run, ())
        after[turn] = run.stop
        sent.extend(run)
    assert sorted(sent[:count]) == list(range(count))
    assert sorted(sent) == sorted(list(range(count)) * many)


def test_a_requester_of_the_largest_content_costs_little_memory():
    tracemalloc.start()
    try:
        picker = whole(MAX_PIECES)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(10):
            picker.enter(number, from_bitmap(b"\xff" * (MAX_PIECES // 8), MAX_PIECES))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 10 * MAX_PIECES / 4


def test_few_lacking_of_many_are_found_and_the_least_offered_comes_first():
    picker = OfferPicker(80_000, bits_of(range(10_000)), chance(1))

    def offered(*lacking):
        return picker.offer(picker.enter("a", bits_of(lacking)), 0, 1)

    for _ in range(3):
        offered(9000)
    assert offered(9000, 70_000) == (range(9000, 9001), ())
    assert offered(9000, 77) == (range(77, 78), (9000,))
    assert offered(70_000) == (range(0), ())
    assert offered() == (range(0), ())


def test_who_waits_for_a_piece_is_woken_by_one_that_it_lacks():
    picker = OfferPicker(9, 0)
    requester, found = picker.enter("a", bits_of([5, 6])), Queue()
    thread = Thread(target=lambda: found.put(picker.offer(requester, 5, 4, SOON)))
    thread.start()
    eventually(lambda: picker._waiting)
    picker.add([4])
    picker.add([5, 6])
    assert found.get(timeout=SOON) == (range(5, 7), ())
    thread.join(SOON)
    assert not picker._waiting


def test_who_waits_in_vain_is_offered_nothing():
    picker = OfferPicker(9, bits_of([1]))
    assert picker.offer(picker.enter("a", bits_of([5])), 0, 4, 0.01) == (range(0), ())


def test_a_unit_that_is_not_whole_is_waited_for_once_and_then_any_piece_will_do():
    picker = OfferPicker(16, bits_of([0, 1, 2, 5, 9]))
    requester = picker.enter("a", bits_of(range(16)))
    assert picker.offer(requester, 0, 1, unit=4)[0] == range(0)
    assert picker.offer(requester, 0, 4, 0.01, unit=4)[0] == range(0, 3)
    picker.take(requester, range(0, 3))
    picker.note(requester, range(0, 3), ())
    assert picker.offer(requester, 5, 4, unit=4)[0] == range(5, 6)  # not waited for again
    picker.add([8, 10, 11])
    assert picker.offer(requester, 0, 1, unit=4)[0] == range(8, 12)
    picker.take(requester, range(8, 12))
    picker.note(requester, range(8, 12), ())
    assert picker.offer(requester, 0, 4, unit=4)[0] == range(0)


def test_what_is_here_in_part_is_not_waited_for_as_long_as_what_is_not():
    picker = OfferPicker(16, bits_of([0, 1, 2]))
    requester = picker.enter("a", bits_of(range(16)))
    assert picker.offer(requester, 0, 4, inf, unit=4)[0] == range(0, 3)
    with pytest.raises(OverflowError):  # from a wait for ever
        picker.offer(picker.enter("b", bits_of([5])), 0, 4, inf, unit=4)


def test_who_waits_for_a_unit_gets_it_when_its_last_piece_arrives(monkeypatch):
    monkeypatch.setattr(offer_picker, "UNIT_WAIT_S", SOON)
    picker = OfferPicker(16, bits_of([4, 5, 6]))
    requester, found = picker.enter("a", bits_of(range(16))), Queue()
    thread = Thread(target=lambda: found.put(picker.offer(requester, 0, 1, SOON, unit=4)))
    thread.start()
    eventually(lambda: picker._waiting)
    picker.add([8])
    picker.add([7])
    assert found.get(timeout=SOON)[0] == range(4, 8)
    thread.join(SOON)


class Watch:
    """A clock that stands still until it is set forward."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


FAST = [(1e6, 1), (1.25e7, 1), (2e7, 2), (6e7, 16), (1.2e8, 32), (6e8, 64)]  # bytes/s, unit


@pytest.mark.parametrize(("rate", "unit"), FAST)
def test_on_a_fast_network_a_source_offers_more_pieces_together(rate, unit):
    watch = Watch()
    picker = OfferPicker(4096, bits_of(range(4096)), chance=lambda: 0.0, clock=watch)
    requesters = [picker.enter(name, bits_of(range(4096))) for name in "ab"]
    run = max(1, int(rate / 2 * WINDOW_S / 65536))  # that each of both takes in that time
    for _ in range(16):  # the first has not arrived when the second is asked for
        for requester in requesters:
            assert picker.take(requester, picker.offer(requester, 0, run)[0])
        watch.now += 2 * run * 65536 / rate
    assert picker.unit(FREE_BYTES_PER_S / 65536) == unit


@pytest.mark.parametrize(("rate", "unit"), FAST)
def test_what_arrives_fast_is_passed_on_in_units_as_large(rate, unit):
    watch = Watch()
    picker = OfferPicker(4096, 0, clock=watch)
    for name in "ab":
        picker.enter(name, bits_of(range(4096)))
    run = int(rate * WINDOW_S / 65536) + 1
    watch.now += run * 65536 / rate
    picker.add(range(run))
    assert picker.unit(FREE_BYTES_PER_S / 65536) == unit


def test_pieces_that_are_here_already_are_no_arrival():
    watch = Watch()
    picker = OfferPicker(4096, 0, clock=watch)
    for first in range(0, 1000, 10):
        watch.now += WINDOW_S
        picker.add(range(first, first + 10))
        picker.add(range(first + 10))  # as when files of a bundle get their names
    assert picker.unit(10 / WINDOW_S) == 1  # no more came in a window


def test_of_a_small_content_no_more_than_spread_it_to_all():
    watch = Watch()
    picker = OfferPicker(400, 0, clock=watch)
    for name in "abc":
        picker.enter(name, bits_of(range(400)))
    watch.now += WINDOW_S
    picker.add(range(400))
    assert picker.unit(0.0) == 4


def taken_by(picker, requester):
    """Take all that is here, in runs of at most ten; return the order."""
    after, order = 0, []
    while run := picker.offer(requester, after, 10)[0]:
        assert picker.take(requester, run)
        picker.note(requester, run, ())
        after = run.stop
        order.append(run)
    return order


def test_pieces_are_sent_in_the_order_of_the_file_where_nothing_else_matters():
    picker = whole(50)
    order = taken_by(picker, picker.enter("a", bits_of(range(50))))
    assert order == [range(first, first + 10) for first in range(0, 50, 10)]


@pytest.mark.parametrize("before", [[range(1000)], [range(500), range(500)], [range(0, 1000, 3)]])
def test_those_who_were_here_before_do_not_break_the_file_into_short_runs(before):
    picker = whole(1000)
    for lacking in before:
        requester = picker.enter("a", bits_of(lacking))
        taken_by(picker, requester)
        picker.leave(requester)
    assert len(taken_by(picker, picker.enter("b", bits_of(range(1000))))) == 100


def test_who_lacks_what_was_offered_more_often_than_the_rest_is_served_in_order_too():
    picker = whole(1000)
    picker.enter("idle", bits_of(range(1000)))
    for machine in "ab":
        requester = picker.enter(machine, bits_of(range(400)))
        assert len(taken_by(picker, requester)) == 40
        picker.leave(requester)


@pytest.mark.parametrize(
    ("lacking", "others", "count", "expected"),
    [
        (100, [], 1000, 0),
        (100, [100, 100], 1000, 0),
        (1000, [1, 1], 1000, 0),
        (500, [508, 508], 1000, 0),
        (500, [509, 509], 1000, 0.009 / HALF_PACE_LEAD),
        (500, [515, 515], 1000, 1),
        (500, [599, 599], 1000, 1),
        (500, [600, 600], 1000, 0),
        # Whoever is slower than all others counts for nothing, and so does who is nearly done.
        (500, [500, 500, 1000], 1000, 0),
        (500, [10, 509, 509, 509], 1000, 0.009 / HALF_PACE_LEAD),
        (0, [8, 8], 100, 0),
        (0, [9, 9], 100, 1),
        (5000, [5010, 5010], 10_000, 0),
    ],
)
def test_who_is_before_the_middle_one_waits_unless_that_one_cannot_keep_up(
    lacking, others, count, expected
):
    assert (MIN_LEAD, MIN_LEAD_PIECES, MAX_LEAD) == (0.008, 8, 0.1)
    picker = whole(count)
    requester, *rest = [
        picker.enter(machine, bits_of(range(number)))
        for machine, number in enumerate((lacking, *others))
    ]
    assert picker.handicap(requester) == pytest.approx(expected)
    for other in rest:
        picker.leave(other)
    assert picker.handicap(requester) == 0


def test_a_machine_counts_once_however_often_it_asks():
    picker = whole(1000)
    requester = picker.enter("a", bits_of(range(500)))
    picker.enter("b", bits_of(range(500)))
    for _ in range(9):
        picker.enter("c", bits_of(range(515)))
    assert picker.handicap(requester) == 0
    picker.enter("d", bits_of(range(515)))
    assert picker.handicap(requester) == 1


def test_who_takes_a_piece_again_and_again_makes_no_offer_cost_more():
    picker = whole(2)
    greedy, other = (picker.enter(machine, 0b01) for machine in "ab")
    for _ in range(2 * MAX_COUNTED_OFFERS):
        run, _ = picker.offer(greedy, 0, 1)
        assert picker.take(greedy, run)
        picker.note(greedy, run, run)
    assert len(picker._levels) == MAX_COUNTED_OFFERS + 1
    picker.note(other, (), [1])
    assert picker.offer(other, 0, 1) == (range(1, 2), (0,))  # what was offered less comes first
    picker.leave(greedy)
    picker.leave(other)
    assert picker._levels == [0b11, 0]
