"""Waking a thread that waits for others, from any of them or by a signal.

A socket pair, because select() waits for a socket on every system, and a signal writes to one: a
main thread that waits for a lock would not hear Ctrl-C on Windows, and elsewhere not one that comes
just before it waits. Owner: the thread that waits, by ``with``.
"""

import select
import signal
import socket
from contextlib import suppress

DRAIN_BYTES = 4096  # of wake-ups, read at once


class Waker:
    """What one thread waits for; in the main thread, signals wake it too."""

    def __init__(self, *, signals: bool) -> None:
        self._heard, self._said = socket.socketpair()
        self._heard.setblocking(False)
        self._said.setblocking(False)
        self._signals = signals
        if signals:
            number = self._said.fileno()
            self._before = signal.set_wakeup_fd(number, warn_on_full_buffer=False)

    def __enter__(self) -> "Waker":
        return self

    def __exit__(self, *_error: object) -> None:
        if self._signals:
            signal.set_wakeup_fd(self._before, warn_on_full_buffer=False)
        self._said.close()
        self._heard.close()

    def wake(self) -> None:
        """End the wait that is or the next one; from any thread, and at any time."""
        with suppress(OSError):  # full of them, or nobody waits any more
            self._said.send(b"\0")

    def wait(self, seconds: float | None = None) -> None:
        """Return once ``wake`` was called, after a signal, or after some seconds."""
        select.select([self._heard], [], [], seconds)
        with suppress(BlockingIOError):
            while self._heard.recv(DRAIN_BYTES):
                continue
