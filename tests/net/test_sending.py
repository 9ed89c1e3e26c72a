"""Sending to readers: all of it, parts of files, and no slot for one who takes a byte at a time."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from threading import Event, Thread

import pytest
from listening import SOON, connected

from rede_p2p.errors import ConnectionLostError
from rede_p2p.net import connection as connection_module

DATA = bytes(range(256)) * 2**16  # 16 MiB, more than the system keeps for a reader


@pytest.fixture
def file(tmp_path):
    (tmp_path / "data").write_bytes(DATA)
    with (tmp_path / "data").open("rb", buffering=0) as opened:
        yield opened


def without_sendfile(monkeypatch):
    monkeypatch.delattr(os, "sendfile", raising=False)


def refused_by_the_disk(monkeypatch):
    def refuse(*_):
        raise OSError(errno.EINVAL, "not from here")

    monkeypatch.setattr(os, "sendfile", refuse, raising=False)


WAYS = {
    "bytes": lambda connection, file: connection.send(DATA),
    "a file": lambda connection, file: connection.send_file(file, 0, len(DATA)),
}
SYSTEMS = {
    "sendfile": lambda monkeypatch: None,
    "no sendfile": without_sendfile,
    "a disk without it": refused_by_the_disk,
}
ways = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@pytest.fixture(params=SYSTEMS)
def system(request, monkeypatch):
    """A system that has sendfile(2), or not, or not for this disk."""
    SYSTEMS[request.param](monkeypatch)


@contextmanager
def reading(bare, pause_s):
    """Read in a thread, with a pause each time; yield what was heard."""
    heard, ended = bytearray(), Event()

    def read():
        with suppress(OSError):
            while not ended.wait(pause_s) and (some := bare.recv(65536)):
                heard.extend(some)

    thread = Thread(target=read)
    thread.start()
    try:
        yield heard
    finally:
        if pause_s:
            ended.set()
        thread.join()


@ways
def test_all_of_it_arrives_in_its_order(file, way, system):
    with connected() as (bare, connection), reading(bare, 0) as heard:
        way(connection, file)
        connection.hang_up()
    assert heard == DATA


@pytest.mark.parametrize(("start", "count", "sent"), [(10, 20, 20), (len(DATA) - 5, 100, 5)])
def test_a_range_is_sent_and_its_length_told(file, system, start, count, sent):
    with connected() as (bare, connection):
        assert connection.send_file(file, start, count) == sent
        assert bare.recv(1000) == DATA[start : start + count]


@ways
def test_who_takes_nothing_is_given_up(file, way, system):
    with (
        connected(stall_s=0.05) as (_, connection),
        pytest.raises(ConnectionLostError, match="silent"),
    ):
        way(connection, file)


@ways
def test_who_takes_a_little_now_and_then_is_given_up(file, way, system, monkeypatch):
    """Each wait is far shorter than the deadline; only the floor of progress ends it."""
    monkeypatch.setattr(connection_module, "MIN_PROGRESS_BYTES", 2 * len(DATA))
    with (
        connected(stall_s=0.3) as (bare, connection),
        reading(bare, 0.01),
        pytest.raises(ConnectionLostError, match="silent"),
    ):
        way(connection, file)


@ways
def test_who_takes_enough_is_served_however_long_that_takes(file, way):
    """In all it waits longer than the deadline, but not for any 64 KiB."""
    with connected(stall_s=1.0) as (bare, connection), reading(bare, 0.005):
        way(connection, file)


def test_a_pause_of_the_sender_is_no_wait_for_the_reader():
    never = Event()
    with connected(stall_s=0.02) as (bare, connection):
        for _ in range(5):
            never.wait(0.02)
            connection.send(b"x")
            assert bare.recv(10) == b"x"


@ways
def test_one_who_hung_up_is_lost(file, way, system):
    with connected(stall_s=SOON) as (bare, connection):
        bare.close()
        with pytest.raises(ConnectionLostError, match="lost"):
            way(connection, file)
