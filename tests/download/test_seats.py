"""Which sources are at work, and who gives a seat to another; the real ones are in test_swarm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rede_p2p.download.seats import MAX_ROUND_S, MAX_SEATS, MIN_SEATS, ROUNDS, Seats
from rede_p2p.errors import Address

SIZE = 16_000
EVERYONE = [Address(f"10.0.0.{number}", 5455) for number in range(1, 41)]


class Clock:
    def __init__(self):
        self.now = 50.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def full(clock):
    """Return seats that are taken, while others wait, in their second round."""
    seats = Seats(SIZE, clock)
    fill(seats)
    for source in seats:
        seats.note(source, 10)
    seats.end_round()
    return seats


def fill(seats):
    """Seat as many as there are seats, of those that have none."""
    return [one for one in EVERYONE if one not in seats and seats.enter(one)]


def dismissed(seats):
    return [one for one in seats if seats.is_dismissed(one)]


def bring(seats, amounts):
    for source, amount in zip(list(seats), amounts, strict=False):
        seats.note(source, amount)


def test_a_few_are_at_work_and_others_wait(clock):
    seats = Seats(SIZE, clock)
    assert fill(seats) == EVERYONE[:MIN_SEATS]
    assert seats.any_waits
    assert not seats.is_due


def test_the_seat_of_one_that_leaves_is_for_the_next(full):
    full.leave(EVERYONE[0])
    assert full.is_due
    assert full.enter(EVERYONE[-1])
    assert not full.is_due


def test_who_brought_least_gives_its_seat(full):
    bring(full, [100, 100, 100, 40, 100, 100, 100, 50])
    assert full.end_round() == []
    assert dismissed(full) == [EVERYONE[3]]


def test_who_brought_nothing_is_told_and_gives_its_seat_too(full):
    bring(full, [100, 0, 100, 0, 40])
    assert set(full.end_round()) == {*EVERYONE[1:4:2], *EVERYONE[5:8]}
    assert set(dismissed(full)) == {*EVERYONE[1:4:2], *EVERYONE[5:8]}


def test_who_came_in_this_round_is_not_judged(full):
    full.leave(EVERYONE[0])
    full.enter(EVERYONE[30])
    bring(full, [100] * (MIN_SEATS - 1))
    assert full.end_round() == []
    assert not full.is_dismissed(EVERYONE[30])
    bring(full, [100] * (MIN_SEATS - 1))
    assert full.end_round() == [EVERYONE[30]]


def queue(seats, *sources):
    for source in sources:
        seats.note_queued(source)


def test_who_keeps_us_in_its_queue_keeps_its_seat_up_to_half_of_them_the_longest_first(full):
    full.leave(EVERYONE[0])
    full.enter(EVERYONE[30])
    for _ in range(3):
        queue(full, EVERYONE[30], *EVERYONE[1:6])
        full.note(EVERYONE[7], 100)
        full.end_round()
        assert not {*EVERYONE[1:5], EVERYONE[7]} & {*dismissed(full)}
    assert {*dismissed(full)} == {*EVERYONE[5:7], EVERYONE[30]}


def test_who_keeps_us_in_its_queue_counts_as_one_that_brought_nothing(full):
    bring(full, [0, *[100] * (MIN_SEATS - 1)])
    queue(full, EVERYONE[0])
    assert full.end_round() == [EVERYONE[0]]
    assert not full.is_dismissed(EVERYONE[0])


def test_who_keeps_us_in_its_queue_takes_no_seat_from_who_is_at_work(full):
    queue(full, *EVERYONE[:6])
    assert full.is_due
    assert fill(full) == EVERYONE[MIN_SEATS : MIN_SEATS + MIN_SEATS // 2]
    assert not full.is_due


def test_who_has_brought_something_is_in_no_queue_any_more(full):
    queue(full, EVERYONE[0])
    bring(full, [10, *[100] * (MIN_SEATS - 1)])
    full.end_round()
    assert dismissed(full) == [EVERYONE[0]]


def test_however_many_queues_we_are_in_no_more_than_may_be_have_a_seat(full):
    for _ in range(5):
        fill(full)
        queue(full, *EVERYONE)
        full.end_round()
        assert len(full) <= MAX_SEATS
    assert len(dismissed(full)) == len(full) - MAX_SEATS // 2


def test_where_all_bring_the_same_one_more_comes_up_to_a_limit(full):
    for _ in range(2 * MAX_SEATS):
        fill(full)
        bring(full, [100] * len(full))
        full.end_round()
    assert len(full) == MAX_SEATS


def test_where_one_brings_less_the_seats_are_few_again(full):
    bring(full, [100] * MIN_SEATS)
    full.end_round()
    fill(full)
    assert len(full) == MIN_SEATS + 1
    bring(full, [10, *[100] * MIN_SEATS])
    full.end_round()
    full.leave(EVERYONE[0])
    assert not full.is_due
    assert len(full) == MIN_SEATS


def test_where_nothing_comes_many_are_asked_at_once(full):
    full.end_round()
    for source in dismissed(full):
        full.leave(source)
    assert fill(full)
    assert len(full) == MAX_SEATS


def test_a_round_ends_with_a_part_of_the_content(full):
    full.note(EVERYONE[0], SIZE // ROUNDS - 1)
    assert full.round_left_s() == MAX_ROUND_S
    full.note(EVERYONE[1], 1)
    assert full.round_left_s() == 0
    assert full.is_due


def test_a_round_in_which_little_comes_ends_with_time(full, clock):
    clock.now += MAX_ROUND_S - 0.5
    assert full.round_left_s() == 0.5
    clock.now += 1
    assert full.is_due
    full.end_round()
    assert full.round_left_s() == MAX_ROUND_S


def test_without_others_that_wait_a_round_has_no_end(clock):
    seats = Seats(SIZE, clock)
    assert seats.enter(EVERYONE[0])
    seats.note(EVERYONE[0], SIZE)
    clock.now += 10 * MAX_ROUND_S
    assert not seats.is_due


def test_what_comes_from_one_that_has_left_is_nothing_to_a_seat(full):
    full.leave(EVERYONE[0])
    full.note(EVERYONE[0], 100)
    assert EVERYONE[0] not in full


def test_who_owes_an_offer_is_hung_up_on_and_not_who_owes_pieces(full):
    full.note_asked(EVERYONE[0])
    full.note_asked(EVERYONE[1])
    full.note_answer(EVERYONE[1], -1)
    for source in EVERYONE[:2]:
        full.dismiss(source)
    assert full.dismissed_and_asked() == {EVERYONE[0]}


def test_all_have_ended_once_those_who_wait_have_too(full):
    waiting = EVERYONE[MIN_SEATS]
    for source in EVERYONE[:MIN_SEATS]:
        full.note_answer(source, 5)
    assert full.have_ended(5, [])
    assert not full.have_ended(6, [])
    assert not full.have_ended(5, [waiting])
    full.leave(EVERYONE[0])
    full.enter(waiting)
    full.note_answer(waiting, 7)
    assert full.have_ended(5, EVERYONE[:1])
    full.forget_end(EVERYONE[0])
    assert not full.have_ended(5, EVERYONE[:1])


def test_nobody_at_work_is_no_end(clock):
    assert not Seats(SIZE, clock).have_ended(0, [])


@given(st.lists(st.lists(st.integers(0, 1000), max_size=40), max_size=30))
def test_whatever_is_brought_some_stay_and_no_more_than_may(rounds):
    seats = Seats(SIZE, lambda: 0.0)
    for amounts in rounds:
        fill(seats)
        bring(seats, amounts)
        seats.end_round()
        assert len(seats) <= MAX_SEATS
        best = max(amounts[: len(seats)], default=0)
        for source in dismissed(seats):
            seats.leave(source)
        assert len(seats) or not best
