"""The tracker among those who would use it up: what one of them takes, the others still have."""

from __future__ import annotations

import socket
import tracemalloc
from queue import SimpleQueue

import pytest

from rede_p2p.registry import FIRST_PORT
from Servidor import Tracker

SOON = 20.0  # seconds; a bound on what takes milliseconds


@pytest.fixture
def tracker(host):
    with Tracker(host, 0, FIRST_PORT, SimpleQueue().put) as tracker:
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
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_what_nobody_announces_at_once_is_refused_before_it_comes(caller):
    sock, heard = caller
    sock.sendall(b'announce {"bytes": 67108864, "count": 1}\n')
    assert heard.readline().startswith(b'erro {"code": "bad-field"')
