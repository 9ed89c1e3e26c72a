"""A peer is called back where it is listed, seldom, and without anybody else waiting for it."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from threading import Event, Thread
from time import monotonic

import pytest
from listening import SOON, listen, running, tracker_at
from processes import beside

from rede_p2p.errors import Address, RefusedError
from rede_p2p.net.requests import serve
from rede_p2p.protocol.messages import Ok
from rede_p2p.protocol.verbs import TO_PEER
from rede_p2p.timeouts import Timeouts
from rede_p2p.tracker.call_back import MAX_CALLS, CallBack

HURRIED = Timeouts(call_back_s=0.2, call_back_interval_s=60.0)


@pytest.fixture
def calls():
    return CallBack(HURRIED)


def goodbye(connection):
    serve(connection, TO_PEER, lambda: SOON, lambda _: connection.reply(Ok()), str)


def test_a_peer_that_answers_is_reached(host, calls):
    with running(listen(host), goodbye) as listener:
        assert calls.reach(listener.address, host) == ""


def test_a_peer_that_is_full_is_reached(host, calls):
    with running(listen(host, slots=0), goodbye) as listener:
        assert calls.reach(listener.address, host) == ""


def test_a_port_without_a_program_refuses(host, calls):
    with listen(host) as listener:
        address = listener.address
    assert calls.reach(address, host) == "refused"


class Mute:
    """A listener that accepts, says something, and keeps whoever came until it is let go."""

    def __init__(self, ip, said=b""):
        self.reached, self._leave = Event(), Event()
        self._server = socket.create_server((ip, 0))
        self.address = Address(*self._server.getsockname())
        self._said = said
        self._thread = Thread(target=self._run)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._leave.set()
        self._thread.join(SOON)
        self._server.close()

    def _run(self):
        caller, _ = self._server.accept()
        with caller:
            caller.sendall(self._said)
            self.reached.set()
            self._leave.wait(SOON)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad\r\n", b"espera\n" * 99, b"\0" * 99])
def test_another_program_is_told_from_a_peer_within_the_deadline(host, calls, said):
    began = monotonic()
    with Mute(host, said) as mute:
        assert calls.reach(mute.address, host) == "stranger"
    assert monotonic() - began < 5


def test_one_address_is_called_once_in_a_while_whatever_its_port(host, calls):
    with listen(host) as first, listen(host) as second:
        places = first.address, second.address
    calls.reach(places[0], host)
    for place in places:
        with pytest.raises(RefusedError) as caught:
            calls.reach(place, host)
        assert caught.value.code == "too-soon"
    assert calls.reach(Address(beside(host), places[0].port), host) == "refused"


def test_it_is_called_again_after_the_interval(host):
    calls = CallBack(Timeouts(call_back_interval_s=0.0))
    with listen(host) as listener:
        address = listener.address
    assert [calls.reach(address, host) for _ in range(3)] == ["refused"] * 3


def test_who_waits_keeps_nobody_else_waiting_and_only_so_many_wait(host):
    calls = CallBack(Timeouts(call_back_s=SOON, call_back_interval_s=60.0))
    with ExitStack() as stack:
        threads = []
        for number in range(MAX_CALLS):
            mute = stack.enter_context(Mute(f"127.250.0.{number + 1}"))
            threads.append(Thread(target=calls.reach, args=(mute.address, host)))
            threads[-1].start()
            assert mute.reached.wait(SOON)
        with running(listen(host), goodbye) as listener:
            with pytest.raises(RefusedError) as caught:
                calls.reach(listener.address, host)
            assert caught.value.code == "too-soon"
            stack.close()
            for thread in threads:
                thread.join(SOON)
            assert calls.reach(listener.address, host) == ""


# Asked by a peer of a tracker.


@pytest.fixture
def tracker(host):
    with tracker_at(host, call_back_s=0.2) as opened:
        yield opened


def ask(tracker, source, *lines):
    """Say these to a tracker from an address, and return the last answer."""
    with socket.create_connection(tracker.listener.address, SOON, (source, 0)) as sock:
        sock.sendall("".join(f"{line}\n" for line in (*lines, "quit")).encode())
        with sock.makefile("rb") as heard:
            return heard.read().splitlines()[-2].decode()


JOINED = 'join {"version": 1, "port": 5500}', 'ready {"port": 5500}'


def test_who_is_not_listed_is_called_nowhere(host, tracker):
    assert '"join-first"' in ask(tracker, host, "reach")
    assert '"join-first"' in ask(tracker, host, JOINED[0], "reach")


@pytest.mark.parametrize("words", ['"ip": "127.0.0.9"', '"port": 5501', '"ip": "10.0.0.1"'])
def test_no_field_of_the_question_says_where_to_call(host, monkeypatch, tracker, words):
    called = []
    monkeypatch.setattr(tracker._calls, "reach", lambda at, source: called.append((at, source)))
    monkeypatch.setattr("rede_p2p.tracker.service.is_loopback", lambda _: False)
    ask(tracker, beside(host), *JOINED, f"reach {{{words}}}")
    assert called == [(Address(beside(host), 5500), host)]


def test_a_peer_of_the_same_machine_is_told_that_it_was_not_called(host, tracker):
    assert ask(tracker, host, *JOINED, "reach") == 'ok {"reason": "here"}'
    assert ask(tracker, beside(host), *JOINED, "reach") == 'ok {"reason": "here"}'
