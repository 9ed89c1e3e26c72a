"""One question to many peers at once."""

from __future__ import annotations

import subprocess
import sys
from threading import Barrier, Event
from threading import enumerate as enumerate_threads

from conftest import ROOT
from listening import SOON
from processes import eventually
from sources import connect, connecting

from rede_p2p.download import inquiry
from rede_p2p.errors import ConnectionLostError, RedeError
from rede_p2p.protocol.messages import FileInfo, Stat
from rede_p2p.timeouts import DEFAULT, Timeouts

pytest_plugins = ["downloading"]


def ask_all(peers, connect=connect, on_pending=lambda _: None, timeouts=DEFAULT, **more):
    """Ask all of them what "x" is."""

    def ask(_peer, connection, report):
        return connection.ask(Stat("x"), FileInfo, on_pending=report)

    addresses = [peer.address for peer in peers]
    return inquiry.ask_all(addresses, connect, ask, on_pending, timeouts=timeouts, **more)


def find(*arguments, **more):
    """List who has said what "x" is."""
    answers = ask_all(*arguments, **more)
    return [peer for peer, answer in answers if not isinstance(answer, RedeError)]


class StopError(Exception):
    """What the person's Ctrl-C is in the thread that asks."""


def stop(_pending):
    raise StopError


PATIENT = connecting(reply_s=3 * SOON)  # so that whoever is not hung up on is waited for


def test_an_interruption_hangs_up_on_those_who_have_not_answered(opened, pool):
    """The main thread waits for all; Ctrl-C there must not wait for the slowest."""
    asked = Event()

    def lie(source, connection, request):
        asked.set()
        return True

    def says_wait(source, connection, request):
        assert asked.wait(SOON)
        connection.send(b"espera\n")
        return True

    both = [opened(says_wait), opened(lie)]
    running = pool.submit(find, both, PATIENT, stop)
    assert isinstance(running.exception(SOON), StopError)


def test_who_is_being_dialled_at_an_interruption_is_not_listened_to(opened, pool):
    hung_up, ended = Event(), Event()

    def first(source, connection, request):
        connection.send(b"espera\n")
        assert connection.receive_line(SOON) is None
        hung_up.set()
        return True

    def says_wait_for_ever(source, connection, request):
        while not ended.wait(0.01):
            connection.send(b"espera\n")
        return True

    def dial(address):
        if address == late.address:
            assert hung_up.wait(SOON)
        return PATIENT(address)

    one, late = opened(first), opened(says_wait_for_ever)
    running = pool.submit(find, [one, late], dial, stop)
    try:
        assert isinstance(running.exception(SOON), StopError)
    finally:
        ended.set()


def test_an_answer_does_not_wait_for_a_dial_that_is_under_way(opened, pool):
    dials, goes_on, ended, asked = Event(), Event(), Event(), []

    def note(source, connection, request):
        asked.append(request)
        return False

    def dial(address):
        if address == late.address:
            dials.set()
            assert goes_on.wait(SOON)
            ended.set()
        else:
            assert dials.wait(SOON)
        return connect(address)

    honest, late = opened(), opened(note)
    honest.share({"x": b"x"})
    running = pool.submit(find, [honest, late], dial, grace_s=0.0)
    try:
        assert running.result(SOON / 2) == [honest.address]
        assert not ended.is_set()
    finally:
        goes_on.set()
    assert ended.wait(SOON)
    eventually(lambda: not any(thread.name.startswith("inquiry") for thread in enumerate_threads()))
    assert not asked


def test_many_peers_are_asked_at_once(opened):
    """As many as are asked at once all wait for one another: asked in turn, they would not meet."""
    met = Barrier(inquiry.PARALLEL_QUERIES)

    def lie(source, connection, request):
        met.wait(SOON)
        return False

    everybody = [opened(lie) for _ in range(inquiry.PARALLEL_QUERIES)]
    for one in everybody:
        one.share({"x": b"x"})
    assert len(find(everybody, PATIENT)) == len(everybody)


def test_many_who_say_wait_for_ever_do_not_keep_one_from_being_asked(
    opened, pool, waits_for_ever, monkeypatch
):
    monkeypatch.setattr(inquiry, "PARALLEL_QUERIES", 2)
    liars, honest = [opened(waits_for_ever) for _ in range(3)], opened()
    honest.share({"x": b"x"})
    quick = Timeouts(reply_s=0.2, layer_hurry_s=0.05)
    running = pool.submit(find, [*liars, honest], timeouts=quick)
    assert running.result(SOON) == [honest.address]


def test_nobody_is_waited_for_longer_than_was_said(opened, pool, waits_for_ever):
    liar = opened(waits_for_ever)
    ((peer, answer),) = pool.submit(ask_all, [liar], within_s=0.3).result(SOON)
    assert peer == liar.address
    assert isinstance(answer.cause, ConnectionLostError)
    assert answer.cause.reason == "silent"


def test_who_cannot_be_connected_to_is_waited_for_no_longer_than_was_said(opened, pool):
    asleep, awake = opened(), Event()

    def dial(address):
        awake.wait()
        return connect(address)

    running = pool.submit(ask_all, [asleep], dial, connect_s=0.01)
    try:
        ((_, answer),) = running.result(SOON)
    finally:
        awake.set()
    assert answer.cause.reason == "silent"


ENDS_WHILE_IT_DIALS = """
import os
from threading import Event
from rede_p2p.download.inquiry import ask_all
from rede_p2p.errors import Address, ConnectionLostError, PeerUnreachableError
there, asleep = Address("127.0.0.1", 1024), Address("127.0.0.1", 1025)
def connect(address):
    if address == asleep:
        Event().wait()
    raise PeerUnreachableError(address, ConnectionLostError("refused"))
print(len(ask_all([there, asleep], connect, None, None, connect_s=0.0)))
"""


def test_the_program_can_end_while_one_is_dialled():
    words = [sys.executable, "-X", "dev", "-c", ENDS_WHILE_IT_DIALS]
    done = subprocess.run(words, capture_output=True, text=True, timeout=SOON, cwd=ROOT, check=True)
    assert (done.stdout, done.stderr) == ("2\n", "")
