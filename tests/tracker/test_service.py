"""The tracker among those who would use it up: what one of them takes, the others still have."""

from __future__ import annotations

import select
import socket
import tracemalloc
from contextlib import ExitStack
from queue import Queue

import pytest
from listening import SOON, tracker_at
from processes import beside, converse, network

from rede_p2p.errors import Address
from rede_p2p.events import PeerJoined, PeerLeft


@pytest.fixture
def tracker(host):
    with tracker_at(host, 0, Queue().put) as tracker:
        yield tracker


@pytest.fixture
def caller(host, tracker):
    """Return a bare socket in conversation with the tracker, and what it hears, by lines."""
    with (
        socket.create_connection((host, tracker.port), SOON) as sock,
        sock.makefile("rb") as heard,
    ):
        yield sock, heard


def test_who_has_not_joined_announces_in_vain_and_is_understood_after_it(caller):
    sock, heard = caller
    chunk = bytes(1_000_000)
    tracemalloc.start()
    try:
        sock.sendall(b'announce {"bytes": 5000000, "count": 1}\n')
        for _ in range(5):
            sock.sendall(chunk)
        sock.sendall(b"ping\n")
        assert heard.readline().startswith(b'erro {"code": "join-first"')
        assert heard.readline() == b"ok\n"
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_what_nobody_announces_at_once_is_refused_before_it_comes(caller):
    sock, heard = caller
    sock.sendall(b'announce {"bytes": 67108864, "count": 1}\n')
    assert heard.readline().startswith(b'erro {"code": "bad-field"')


def test_while_one_searches_others_wait_with_their_searches_alone(tracker, caller):
    sock, heard = caller
    with tracker.turns.alone("10.0.0.1"):
        sock.sendall(b'search {"text": "a"}\n')
        for short in (b"ping", b'find {"root": "%064d"}' % 7, b"peers"):
            assert converse(*tracker.listener.address, short + b"\n").startswith(b"ok")
        assert not select.select([sock], [], [], 0)[0]
    assert heard.readline() == b'ok {"bytes": 0, "count": 0}\n'


@pytest.mark.parametrize(
    ("said", "timeouts", "answers"),
    [
        (b"", {"stranger_silence_s": 0.05}, 0),
        (b'ping\njoin {"version": 1}\n', {"stranger_silence_s": 0.05}, 2),
        (b'join {"version": 1}\nready {"port": 5455}\n', {"member_silence_s": 0.05}, 2),
    ],
    ids=["stranger", "not listed yet", "listed"],
)
def test_who_says_nothing_for_too_long_is_hung_up_on(host, said, timeouts, answers):
    seen = Queue()
    with (
        tracker_at(host, 0, seen.put, **timeouts) as tracker,
        socket.create_connection((host, tracker.port), SOON) as sock,
        sock.makefile("rb") as heard,
    ):
        sock.sendall(said)
        assert [line.split()[0] for line in heard] == [b"ok"] * answers
        if "member_silence_s" in timeouts:
            here = Address("127.0.0.1", 5455)
            assert seen.get(timeout=SOON) == PeerJoined(here)
            assert seen.get(timeout=SOON) == PeerLeft(here)
    assert seen.empty()


def test_one_address_does_not_take_every_descriptor_of_a_tracker(tmp_path):
    few = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"]
    with network(tmp_path, few) as programs, ExitStack() as stack:
        programs.tracker()
        other, words = beside(programs.ip), []
        while len(words) < 70:
            sock = socket.create_connection((programs.ip, programs.port), SOON, (other, 0))
            heard = stack.enter_context(stack.enter_context(sock).makefile("rb"))
            sock.sendall(b"ping\n")
            words.append(heard.readline().split()[0])
        assert words == [b"ok"] * 24 + [b"erro"] * 46
        assert converse(programs.ip, programs.port, b"ping\n") == b"ok\n"
