"""Real listeners, trackers and connections, for the tests of what speaks through them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event as Flag
from threading import Thread

import Servidor
from rede_p2p.cli import texts
from rede_p2p.errors import Address, ConnectionLostError
from rede_p2p.events import Event
from rede_p2p.net.connection import BUFFER_BYTES, Connection, dial
from rede_p2p.net.listener import Listener
from rede_p2p.protocol.messages import Listing, Ls
from rede_p2p.timeouts import Timeouts
from rede_p2p.tracker.registry import FIRST_PORT
from rede_p2p.tracker.service import Page, Tracker

SOON = 20.0  # seconds; a bound on what takes milliseconds


def listen(ip: str | None, port: int = 0, slots: int = 10, **timeouts: float) -> Listener:
    """Return a real Listener; ``timeouts`` are those that are not the usual ones."""
    return Listener(ip, port, slots, texts.refusal, Timeouts(**timeouts))


def tracker_at(
    ip: str,
    port: int = 0,
    post: Callable[[Event], None] = lambda _: None,
    page: Page | None = None,
    **timeouts: float,
) -> Tracker:
    """Return a real tracker, to be used by ``with``."""
    words = (ip, port, FIRST_PORT, Servidor.start, post, texts.refusal, Timeouts(**timeouts))
    return Tracker(*words, page=page)


@contextmanager
def connected(
    buffer_bytes: int = BUFFER_BYTES, **timeouts: float
) -> Iterator[tuple[socket.socket, Connection]]:
    """Yield a bare socket and the Connection at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        bare = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    with bare, Connection(accepted, Timeouts(**timeouts), buffer_bytes) as connection:
        yield bare, connection


def send_and_leave(bare: socket.socket, data: bytes) -> None:
    """Send all of it and no more, though the other side may have hung up before its end."""
    with suppress(OSError):
        bare.sendall(data)
        bare.shutdown(socket.SHUT_WR)


@contextmanager
def running(listener: Listener, serve: Callable[[Connection], None]) -> Iterator[Listener]:
    """Accept until the end of the block; the end waits for every handler."""
    ended = Flag()

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


def names() -> set[str]:
    """Return the names of the threads of this process."""
    return {thread.name for thread in threading.enumerate()}


def answers(host: str, port: int) -> bool:
    """Tell whether a peer that shares nothing answers there."""
    try:
        with dial(Address(host, port)) as connection:
            return connection.ask(Ls(), Listing) == Listing(0, 0)
    except ConnectionLostError:
        return False
