"""A real Listener in a thread of its own, for the tests of what speaks through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from rede_p2p.net.connection import Connection
from rede_p2p.net.listener import Listener

SOON = 20.0  # seconds; a bound on what takes milliseconds


@contextmanager
def running(listener: Listener, serve: Callable[[Connection], None]) -> Iterator[Listener]:
    """Accept until the end of the block; the end waits for every handler."""
    ended = Event()

    def accept() -> None:
        with listener:
            while (connection := listener.accept()) is not None:
                listener.attend(connection, serve)
        ended.set()

    thread = Thread(target=accept)
    thread.start()
    try:
        yield listener
    finally:
        listener.stop()
        thread.join(SOON)
        assert ended.is_set()
