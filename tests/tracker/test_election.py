"""Which of two trackers that open at once stays."""

from __future__ import annotations

from itertools import permutations

import pytest

from rede_p2p.tracker.election import Election


def opening():
    return Election(opening=True)


def in_order(count):
    return sorted((opening() for _ in range(count)), key=lambda election: election.id)


def test_alone_it_stays():
    election = opening()
    assert election.hear("") and election.hear(election.id)
    assert election.is_clear(0.0) and election.decide(another=False)
    assert not election.hear("")


def test_one_that_does_not_open_stays_and_never_says_that_it_opens():
    election = Election(opening=False)
    assert not election.hear("0")
    assert election.decide(another=True)


@pytest.mark.parametrize("asks", [0, 1])
def test_of_two_the_lower_id_stays_whichever_asks(asks):
    low, high = in_order(2)
    asking, asked = (low, high) if asks == 0 else (high, low)
    if asked.hear(asking.id):
        asking.hear(asked.id)  # the answer
    assert low.decide(another=False)
    assert not high.decide(another=False)


def test_one_that_is_open_already_stays_though_its_id_be_the_higher():
    low, high = in_order(2)
    assert high.decide(another=False)
    assert not high.hear(low.id)  # which tells the other that it is open
    assert not low.decide(another=True)


def test_of_many_that_all_hear_each_other_one_stays():
    for order in permutations(range(4)):
        elections = in_order(4)
        for first in order:
            for other in order:
                if elections[other].hear(elections[first].id):
                    elections[first].hear(elections[other].id)
        assert [one.decide(another=False) for one in elections] == [True, False, False, False]


def test_one_that_a_peer_has_joined_stays_though_it_was_beaten():
    election = opening()
    election.hear("")
    election.hear("0")
    election.open()
    assert election.decide(another=True)


def test_waiting_ends_when_beaten_or_when_no_rival_was_heard_of_for_long():
    election = opening()
    assert election.is_clear(1e6)
    election.hear("~")  # higher than any
    assert not election.is_clear(1e6)
    assert election.is_clear(-1.0)
    election.hear("!")
    assert election.is_clear(1e6)
