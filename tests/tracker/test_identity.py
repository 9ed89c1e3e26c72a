"""Knowing a tracker again: real ones, and whoever only says what it says."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from listening import listen, running, tracker_at

from rede_p2p.errors import Address, RefusedError
from rede_p2p.net.connection import dial
from rede_p2p.net.requests import refuse, requests
from rede_p2p.net.search import Found
from rede_p2p.protocol.messages import Ok
from rede_p2p.protocol.verbs import TO_TRACKER
from rede_p2p.timeouts import Timeouts
from rede_p2p.tracker import identity
from rede_p2p.tracker.identity import Identity, find_again, identify, prove, those_there

QUICK = Timeouts(identify_s=0.5)


def answering(ok):
    """Be what answers every request with that."""

    def serve(connection):
        for _ in requests(connection, TO_TRACKER, lambda: 9.0, lambda error: "why"):
            connection.reply(ok)

    return serve


def silent(connection):
    while connection.receive_line(9.0) is not None:
        continue


def full(connection):
    refuse(connection, RefusedError("full"), lambda error: "why")


def noise(connection):
    connection.send(b"SSH-2.0-x\r\n")


@pytest.fixture
def place(host):
    """Give a function that opens what answers as told; return where it is."""
    with ExitStack() as stack:
        yield lambda serve: stack.enter_context(running(listen(host), serve)).address


def test_the_same_number_has_the_same_seal_and_another_secret_gives_another():
    assert prove(b"a", "n") == prove(b"a", "n") != prove(b"b", "n") != prove(b"b", "m")
    assert prove(b"a", "") == ""


def test_a_member_asks_for_a_new_proof_each_time(host):
    with tracker_at(host) as tracker, dial(tracker.listener.address) as connection:
        one, other = identify(connection), identify(connection)
    assert one.id == other.id == tracker.election.id
    assert one.nonce != other.nonce and "" != one.proof != other.proof


@pytest.mark.parametrize(
    "liar", [answering(Ok("a")), answering(Ok("a", "0" * 32)), silent, full, noise]
)
def test_a_lost_tracker_is_where_its_proof_is_and_not_where_its_id_is_said(
    monkeypatch, host, place, liar
):
    with tracker_at(host) as tracker:
        there = tracker.listener.address
        with dial(there) as connection:
            known = identify(connection)
        lies = place(liar)
        for addresses, expected in (([lies, there], there), ([there], there), ([lies], None)):
            found = [Found(addresses[0], known.id, False, "", tuple(addresses[1:]))]
            monkeypatch.setattr(identity, "search", lambda *_, found=found, **__: found)
            assert find_again(known, False, None, QUICK) == expected


def test_a_tracker_that_has_no_proofs_is_known_by_its_id(monkeypatch, place):
    at = place(answering(Ok("a")))
    monkeypatch.setattr(identity, "search", lambda *_, **__: [Found(at, "a", False)])
    assert find_again(Identity("a", "n"), False, None, QUICK) == at
    assert find_again(Identity("a", "n", "proof"), False, None, QUICK) is None


def test_of_several_trackers_those_are_there_that_say_their_id_by_tcp(host, place):
    liars = [place(liar) for liar in (answering(Ok("b")), answering(Ok()), silent, full, noise)]
    with tracker_at(host) as tracker:
        true = Found(tracker.listener.address, tracker.election.id, False)
        found = [true, *(Found(at, "a", False) for at in (*liars, A))]
        assert those_there(found, None, QUICK) == [true]
    assert those_there(found, None, QUICK) == []


A, B = Address("127.0.0.1", 1), Address("127.0.0.1", 2)  # where nobody is


@pytest.mark.parametrize(
    ("found", "known", "expected"),
    [
        ([], "a", None),
        ([Found(A, "", False)], "", A),
        ([Found(A, "b", False)], "a", A),
        ([Found(A, "b", True)], "a", None),
        ([Found(A, "b", False), Found(B, "c", False)], "a", None),
    ],
)
def test_who_will_have_any_tracker_takes_the_only_one(monkeypatch, found, known, expected):
    monkeypatch.setattr(identity, "search", lambda *_, **__: found)
    assert find_again(Identity(known), True, None, QUICK) == expected
    assert find_again(Identity(known), False, None, QUICK) is None
