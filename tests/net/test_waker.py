"""What wakes a thread that waits: others, a signal, the time; also what came before it waited."""

from __future__ import annotations

import os
import signal
from threading import Thread, get_ident

import pytest

from rede_p2p.net.waker import Waker

ONCE = 0.01  # seconds, for a wait that nothing else ends


def test_another_thread_ends_the_wait():
    with Waker(signals=False) as waker:
        other = Thread(target=waker.wake)
        other.start()
        waker.wait()
        other.join()


def test_a_call_before_the_wait_ends_it_and_however_many_calls_end_one(monkeypatch):
    with Waker(signals=False) as waker:
        for _ in range(100_000):  # more than its socket holds
            waker.wake()
        waker.wait()
        waker.wait(ONCE)


def test_nobody_is_woken_after_the_end():
    with Waker(signals=False) as waker:
        pass
    waker.wake()


@pytest.mark.skipif(os.name == "nt", reason="o Windows não envia sinais a uma thread")
def test_a_signal_ends_the_wait_and_its_handler_runs():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    main = get_ident()
    try:
        with Waker(signals=True) as waker:
            other = Thread(target=signal.pthread_kill, args=(main, signal.SIGTERM))
            other.start()
            while not heard:
                waker.wait()
            other.join()
        assert heard == [signal.SIGTERM]
        assert signal.set_wakeup_fd(-1) == -1  # as it was
    finally:
        signal.signal(signal.SIGTERM, before)
