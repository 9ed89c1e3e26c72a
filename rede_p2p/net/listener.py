"""Accepting connections, one thread each, and ending them all.

A Listener binds in its constructor, so its address is true before any thread starts. The thread
that accepts owns it, by ``with``: on the way out it frees the port, hangs up on everyone and waits
for their threads. Any thread may ``stop`` it. Invariant: ``_attended`` holds exactly the
connections whose thread has been started and has not ended; each is closed by its own thread.
"""

from __future__ import annotations

import errno
import selectors
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from threading import Lock, Thread
from types import TracebackType

from rede_p2p.content import disk
from rede_p2p.errors import Address, ConnectionLostError, PortUnavailableError
from rede_p2p.net.connection import Connection

PAUSE = 0.1  # seconds without accepting when the system has no descriptor left
# The congestion control of what we send, where the system has several (RFC 9438). Those made for
# long paths, as BBR is, time the leaving of each packet: on one network, twice the processor.
CONGESTION_CONTROL = b"cubic"

_REASONS = {
    errno.EADDRINUSE: "taken",
    errno.EACCES: "denied",
    errno.EADDRNOTAVAIL: "address",
}


class Listener:
    """A listening TCP socket and the threads that attend its connections."""

    def __init__(self, ip: str | None, port: int, slots: int) -> None:
        """Listen on one address, or on all of them, IPv4 and IPv6, when ``ip`` is None.

        At most ``slots`` connections are attended at once, half of them from one address. They are
        fewer where the system grants few descriptors: a quarter of those is for all else.
        """
        self._sock = _listening_socket(ip, port)
        with suppress(AttributeError, OSError):  # Linux alone lets a socket choose
            # Whom we accept inherits it; set later, the timing of BBR would stay.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION_CONTROL)
        self._sock.setblocking(False)
        self.address = Address(ip or "", self._sock.getsockname()[1])
        self._slots = min(slots, disk.descriptors() * 3 // 4)
        self._wake, self._stop = socket.socketpair()
        # Made once: there may be no descriptor left for another when accept() is called.
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._selector.register(self._sock, selectors.EVENT_READ)
        self._lock = Lock()  # guards _attended, and _stopped with the socket that tells of it
        self._attended: dict[Connection, Thread] = {}
        self._stopped = False

    def __enter__(self) -> Listener:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._selector.close()
        self._sock.close()
        self._wake.close()
        with self._lock:
            threads = list(self._attended.values())
            for connection in self._attended:
                connection.hang_up()
        for thread in threads:
            thread.join()

    def accept(self) -> Connection | None:
        """Wait for the next connection; return None once it has been stopped."""
        while True:
            ready = self._selector.select()
            if any(found.fileobj is self._wake for found, _ in ready):
                return None
            try:
                sock, _ = self._sock.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    # The connection stays in the queue: come back to it, do not spin on it.
                    self._selector.unregister(self._sock)
                    self._selector.select(PAUSE)
                    self._selector.register(self._sock, selectors.EVENT_READ)
                continue  # or the caller gave up before we came
            with suppress(ConnectionLostError):
                return _connection(sock)

    def attend(self, connection: Connection, serve: Callable[[Connection], None]) -> None:
        """Serve a connection in a thread of its own, which closes it at the end."""
        thread = Thread(target=self._attend, args=(connection, serve), name=f"{connection.remote}")
        with self._lock:
            taken = Counter(other.remote.ip for other in self._attended)
            full = (
                sum(taken.values()) >= self._slots
                or taken[connection.remote.ip] >= self._slots // 2
            )
            if not full:
                with suppress(RuntimeError):  # the system has no thread left
                    thread.start()
                    self._attended[connection] = thread
                    return
        with connection, suppress(ConnectionLostError):
            connection.refuse("full", "lotado: tente de novo daqui a pouco")

    def stop(self) -> None:
        """Make ``accept`` return None, from any thread."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                self._stop.close()  # its other end becomes readable

    def _attend(self, connection: Connection, serve: Callable[[Connection], None]) -> None:
        try:
            with suppress(ConnectionLostError):
                serve(connection)
        finally:
            with self._lock:
                # Under the lock, so that close() never hangs up on a descriptor used again.
                connection.close()
                del self._attended[connection]


def _connection(sock: socket.socket) -> Connection:
    try:
        return Connection(sock)
    except ConnectionLostError:  # it left before we looked
        sock.close()
        raise


def _listening_socket(ip: str | None, port: int) -> socket.socket:
    try:
        if ip is not None:
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            return socket.create_server((ip, port), family=family, backlog=512)
        if socket.has_dualstack_ipv6():
            with suppress(OSError):  # a kernel may know IPv6 and have it turned off
                return socket.create_server(
                    ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=512
                )
        return socket.create_server(("", port), backlog=512)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, "other")
        raise PortUnavailableError(Address(ip or "0.0.0.0", port), reason) from error
