"""Questions that nobody may wait for."""

from __future__ import annotations

import socket
from contextlib import closing, contextmanager
from threading import Event
from time import monotonic

import pytest

from rede_p2p.cli import asking
from rede_p2p.cli.asking import MAX_ANSWERS, MAX_QUESTIONS, Asking
from rede_p2p.errors import Address, ConnectionLostError
from rede_p2p.net.connection import dial
from rede_p2p.timeouts import DEFAULT

PATIENT = DEFAULT._replace(completion_s=20.0)
HASTY = DEFAULT._replace(completion_s=0.0)


@contextmanager
def opened(timeouts):
    with closing(Asking(timeouts)) as made:
        made.begin()
        yield made


class Slow:
    """A question whose answer comes when it may."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = 0
        self.may = Event()

    def __call__(self):
        self.asked += 1
        assert self.may.wait(20)
        return self.answer


def test_an_answer_is_kept_for_a_while_and_then_asked_anew(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(asking, "monotonic", lambda: now[0])
    answers = iter([["a"], ["b"]])
    with opened(PATIENT) as made:
        assert [made.ask("x", lambda: next(answers)) for _ in range(3)] == [["a"]] * 3
        assert made.ask("y", lambda: ["c"]) == ["c"]
        now[0] += PATIENT.completion_cache_s + 0.1
        made.begin()
        assert made.ask("x", lambda: next(answers)) == ["b"]


def test_nobody_waits_for_a_slow_answer_which_is_there_later():
    slow = Slow(["a"])
    with opened(HASTY) as made:
        assert [made.ask("x", slow) for _ in range(3)] == [()] * 3
        slow.may.set()
        made._until = monotonic() + 20
        assert made.ask("x", slow) == ["a"]
    assert slow.asked == 1


def test_while_it_is_asked_anew_the_old_answer_stands(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(asking, "monotonic", lambda: now[0])
    slow = Slow(["new"])
    with opened(PATIENT) as made:
        assert made.ask("x", lambda: ["old"]) == ["old"]
        now[0] += PATIENT.completion_cache_s + 30  # nobody waits any more
        assert made.ask("x", slow) == ["old"]
        slow.may.set()


@pytest.mark.parametrize("error", [ConnectionLostError("lost"), OSError(), ValueError()])
def test_what_cannot_be_had_is_no_answer(error):
    def fail():
        raise error

    with opened(PATIENT) as made:
        assert made.ask("x", fail) == ()


def test_so_many_are_asked_at_once_and_no_more():
    slow = Slow(["a"])
    with opened(HASTY) as made:
        for number in range(MAX_QUESTIONS + 3):
            assert made.ask(number, slow) == ()
        slow.may.set()
    assert slow.asked == MAX_QUESTIONS


def test_so_many_answers_are_kept_and_no_more():
    with opened(PATIENT) as made:
        for number in range(3 * MAX_ANSWERS):
            made.ask(number, lambda: ["a"])
        assert len(made._asked) <= MAX_ANSWERS + 1


def test_closing_hangs_up_on_a_mute_peer_and_asks_nothing_more(host):
    with socket.create_server((host, 0)) as mute, opened(HASTY) as made:
        reading = Event()

        def ask():
            with dial(Address(*mute.getsockname())) as connection, made.over(connection):
                reading.set()
                return [connection.receive_line(60.0)]

        assert made.ask("x", ask) == ()
        assert reading.wait(20)
    assert not any(thread.is_alive() for thread in made._threads)
    assert made.ask("y", lambda: ["a"]) == ()
    with pytest.raises(ConnectionLostError):
        made.check()
