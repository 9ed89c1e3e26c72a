"""How many lists one address is sent at once."""

from __future__ import annotations

from contextlib import ExitStack
from threading import Event, Semaphore, Thread
from types import SimpleNamespace

import pytest
from listening import SOON

from rede_p2p.errors import RefusedError
from rede_p2p.net import turns
from rede_p2p.net.turns import MAX_LISTS_PER_ADDRESS, REST_S, Turns, with_rests
from rede_p2p.timeouts import Timeouts


def test_one_address_has_so_many_turns_and_the_others_theirs():
    every = Turns(Timeouts(reply_s=0.01))
    with ExitStack() as stack:
        for _ in range(MAX_LISTS_PER_ADDRESS):
            stack.enter_context(every.turn("10.0.0.1"))
        with pytest.raises(RefusedError, match="full"), every.turn("10.0.0.1"):
            pass
        with every.turn("10.0.0.2"):
            pass
    with every.turn("10.0.0.1"):
        pass
    assert not every._turns  # of those who left nothing is kept


def test_who_waits_has_its_turn_once_another_is_done():
    every, had = Turns(), Event()

    def wait():
        with every.turn("10.0.0.1"):
            had.set()

    thread = Thread(target=wait)
    with ExitStack() as stack:
        one = every.turn("10.0.0.1")
        one.__enter__()
        for _ in range(MAX_LISTS_PER_ADDRESS - 1):
            stack.enter_context(every.turn("10.0.0.1"))
        thread.start()
        assert not had.wait(0.05)
        one.__exit__(None, None, None)
        assert had.wait(SOON)
        thread.join(SOON)


def test_of_all_addresses_one_makes_a_list_at_a_time():
    every = Turns(Timeouts(reply_s=0.01))
    with every.alone("a"), pytest.raises(RefusedError, match="full"), every.alone("b"):
        pass
    with pytest.raises(ZeroDivisionError), every.alone("a"):
        _ = 1 / 0
    with every.alone("a"):
        pass


def test_of_one_address_only_one_waits_to_be_the_one():
    every, asked = Turns(Timeouts(reply_s=0.01)), []

    class Counted(Semaphore):
        def acquire(self, timeout):
            asked.append(timeout)
            return super().acquire(timeout=timeout)

    every._turns[turns.EVERYBODY, 1] = Counted()
    with every.alone("a"):
        for ip, expected in (("a", 1), ("a", 1), ("b", 2)):
            with pytest.raises(RefusedError, match="full"), every.alone(ip):
                pass
            assert len(asked) == expected, ip
    assert not every._turns


def test_who_waits_for_one_turn_after_another_waits_no_longer_than_for_one(monkeypatch):
    now, waited = [50.0], []
    monkeypatch.setattr(turns, "monotonic", lambda: now[0])

    class Slow(Semaphore):
        def acquire(self, timeout):
            waited.append(timeout)
            now[0] += 2.0
            return super().acquire(timeout=timeout)

    every = Turns(Timeouts(reply_s=8.0))
    every._turns = {key: Slow() for key in (("a", MAX_LISTS_PER_ADDRESS), ("a", 1), ("", 1))}
    with every.turn("a") as end, every.alone("a", end):
        assert waited == [8.0, 6.0, 4.0]


def test_who_computes_with_very_many_rests_now_and_then(monkeypatch):
    rested = []
    monkeypatch.setattr(turns, "Event", lambda: SimpleNamespace(wait=rested.append))
    assert list(with_rests(range(1000))) == [*range(1000)]
    most = len(rested)
    monkeypatch.setattr(turns, "WORK_S", 0.0)
    assert list(with_rests(range(1000))) == [*range(1000)]
    assert len(rested) - most > 20
    assert {*rested} == {REST_S}


def test_many_short_lists_are_rested_from_as_one_long_one_is(monkeypatch):
    rested = []
    monkeypatch.setattr(turns, "Event", lambda: SimpleNamespace(wait=rested.append))
    clock = iter(range(100))
    monkeypatch.setattr(turns, "monotonic", lambda: 0.4 * turns.WORK_S * next(clock))
    every = Turns()
    for _ in range(6):  # each takes as long as between two looks at the clock
        with every.alone("a"):
            pass
    assert rested == [REST_S] * 2
