"""Knowing a tracker again: real ones, and whoever only says what it says."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from listening import listen, running, tracker_at

from rede_p2p.errors import Address, RefusedError
from rede_p2p.net.connection import dial
from rede_p2p.net.requests import refuse, requests
from rede_p2p.net.search import Found
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import Ok, Ping
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


def relay(connection):
    """Ask the true tracker everything that one is asked, and give its answers as one's own."""
    with dial(relay.to) as true:
        while (line := connection.receive_line(9.0)) is not None:
            true.send(line)
            connection.send(true.receive_line(9.0))


@pytest.fixture
def place(host):
    """Give a function that opens what answers as told; return where it is."""
    with ExitStack() as stack:
        yield lambda serve: stack.enter_context(running(listen(host), serve)).address


def test_a_proof_is_of_one_key_and_one_address_whichever_way_that_is_written():
    said = prove("k", Address("::ffff:10.0.0.1", 1))
    assert said == prove("k", Address("10.0.0.1", 1)) != prove("k", Address("10.0.0.1", 2))
    assert said != prove("k", Address("10.0.0.2", 1)) and said != prove("j", A)
    assert prove("k", Address("fe80::1%eth0", 1)) == prove("k", Address("fe80:0::1", 1))
    assert prove("", A) == ""


def test_a_member_gets_a_key_of_its_own_each_time(host):
    with tracker_at(host) as tracker, dial(tracker.listener.address) as connection:
        one, other = identify(connection), identify(connection)
    assert one.id == other.id == tracker.election.id
    assert one.ticket != other.ticket and "" != one.key != other.key != ""


def test_no_answer_of_a_tracker_tells_the_key_of_a_ticket_again(host):
    with tracker_at(host) as tracker, dial(tracker.listener.address) as connection:
        known = identify(connection)
        said = connection.ask(Ping(who=True, ticket=known.ticket), Ok)
    assert known.key not in codec.encode_reply(said).decode()
    assert said.proof == prove(known.key, tracker.listener.address)


@pytest.mark.parametrize(
    "liar", [answering(Ok("a")), answering(Ok("a", proof="0" * 32)), relay, silent, full, noise]
)
def test_a_lost_tracker_is_where_its_proof_is_and_not_where_its_id_is_said(
    monkeypatch, host, place, liar
):
    with tracker_at(host) as tracker:
        there = tracker.listener.address
        with dial(there) as connection:
            known = identify(connection)
        relay.to = there
        lies = place(liar)
        for addresses, expected in (([lies, there], there), ([there], there), ([lies], None)):
            found = [Found(addresses[0], known.id, False, "", tuple(addresses[1:]))]
            monkeypatch.setattr(identity, "search", lambda *_, found=found, **__: found)
            assert find_again(known, False, None, QUICK) == expected


def test_a_tracker_that_has_no_proofs_is_known_by_its_id(monkeypatch, place):
    at = place(answering(Ok("a")))
    monkeypatch.setattr(identity, "search", lambda *_, **__: [Found(at, "a", False)])
    assert find_again(Identity("a", "n"), False, None, QUICK) == at
    assert find_again(Identity("a", "n", "key"), False, None, QUICK) is None


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
