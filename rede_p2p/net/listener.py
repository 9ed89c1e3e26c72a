"""Accepting connections, one thread for each, and ending them all.

A Listener binds in its constructor, so its address is true before any thread starts. The thread
that accepts owns it, by ``with``: at the end it frees the port, hangs up on everyone and waits for
their threads. Invariant: ``_served`` holds exactly the connections whose thread has started and has
not ended, and ``_served_of`` how many each address has; each is closed by its own thread.
"""

import errno
import os
import selectors
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from threading import Lock, Thread
from time import monotonic

from rede_p2p import errors
from rede_p2p.content import descriptors
from rede_p2p.errors import Address
from rede_p2p.net.address import raw_of
from rede_p2p.net.connection import BUFFER_BYTES, Connection
from rede_p2p.net.requests import Describe, refuse
from rede_p2p.timeouts import DEFAULT, Timeouts

# The congestion control of what we send, where the system has several (RFC 9438). BBR and its kind
# time each packet for the sake of long paths: on one network they take twice the processor.
CONGESTION_CONTROL = b"cubic"
# Connections that wait to be accepted, where the system lets so many wait; Linux, 4,096. One that
# finds no room tries again after 1 s, and all come at one instant when a tracker starts again.
BACKLOG = 16_384

_REASONS: dict[int, errors.PortReason] = {
    errno.EADDRINUSE: "taken",
    errno.EACCES: "denied",
    **dict.fromkeys((errno.EADDRNOTAVAIL, errno.ENODEV, socket.EAI_NONAME), "address"),
}

# On Windows "denied" is a port that the system keeps for itself, such as those of Hyper-V.
NO_PORT_IS_PRIVILEGED = os.name == "nt"


class Listener:
    """A listening TCP socket and the threads that serve its connections."""

    def __init__(
        self,
        ip: str | None,
        port: int,
        slots: int,
        describe: Describe,
        timeouts: Timeouts = DEFAULT,
        buffer_bytes: int = BUFFER_BYTES,
        files: int = 0,
        idle_s: float = inf,
    ) -> None:
        """Listen on one address, or on all, IPv4 and IPv6 (None); raise PortUnavailableError.

        At most ``slots`` connections are served at once, half of them from one address; fewer
        where the system grants few descriptors, a quarter of which is for all else. The buffer of
        each begins with ``buffer_bytes``, and each may keep so many ``files`` open. Where all are
        taken, the one that has asked nothing for longest, and for ``idle_s``, gives its place.
        """
        self._sock = _listening_socket(ip, port)
        with suppress(AttributeError, OSError):  # only Linux lets a socket choose
            # Accepted sockets inherit it; set on them later, the timing of BBR would stay.
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION_CONTROL)
        self._sock.setblocking(False)
        self.address = Address(ip or "", self._sock.getsockname()[1])
        self._slots = min(slots, descriptors.limit() * 3 // 4 // (1 + files))
        self._describe = describe
        self._timeouts, self._buffer_bytes = timeouts, buffer_bytes
        self._idle_s = idle_s
        self._wake, self._stop = socket.socketpair()
        # Made once: no descriptor may be left for another when accept() is called.
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._selector.register(self._sock, selectors.EVENT_READ)
        self._lock = Lock()  # guards _served, _served_of and _stopped
        self._served: dict[Connection, Thread] = {}
        self._served_of: Counter[str] = Counter()  # by IP address; counted as they come and go
        self._stopped = False
        self._leaving: Connection | None = None  # hung up on for another; only ``attend`` uses it

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        self._selector.close()
        self._sock.close()
        self._wake.close()
        with self._lock:
            threads = list(self._served.values())
            for connection in self._served:
                connection.hang_up()
        for thread in threads:
            thread.join()

    def accept(self) -> Connection | None:
        """Wait for the next connection; return None once the listener is stopped."""
        while True:
            ready = self._selector.select()
            if any(found.fileobj is self._wake for found, _ in ready):
                return None
            try:
                sock, _ = self._sock.accept()
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    # The connection stays in the backlog: come back later, do not spin.
                    self._selector.unregister(self._sock)
                    self._selector.select(self._timeouts.accept_pause_s)
                    self._selector.register(self._sock, selectors.EVENT_READ)
                continue  # or the caller gave up before it was accepted
            try:
                return Connection(sock, self._timeouts, self._buffer_bytes)
            except errors.ConnectionLostError:  # it left before we looked
                sock.close()

    def attend(self, connection: Connection, serve: Callable[[Connection], None]) -> None:
        """Run ``serve`` in a thread of its own, which closes the connection at the end."""
        # It is joined as any other. When one that is no daemon starts or ends, Python before 3.13
        # looks at all of them: with thousands, that took longer than serving a peer.
        target, name = partial(self._attend, connection, serve), f"{connection.remote}"
        thread = Thread(target=target, name=name, daemon=True)
        self._make_room(connection.remote.ip)
        with self._lock:
            mine = self._served_of[connection.remote.ip]
            if len(self._served) < self._slots and mine < self._slots // 2:
                with suppress(RuntimeError):  # the system has no thread left
                    thread.start()
                    self._served[connection] = thread
                    self._served_of[connection.remote.ip] += 1
                    return
        with connection, suppress(errors.ConnectionLostError):
            refuse(connection, errors.RefusedError("full"), self._describe)

    def stop(self) -> None:
        """Make ``accept`` return None, from any thread."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                self._stop.close()  # its other end becomes readable

    def _make_room(self, ip: str) -> None:
        """Hang up on one that is idle, where only its place is missing to one from ``ip``.

        Until it is gone no other is hung up on.
        """
        with self._lock:
            is_full = len(self._served) >= self._slots
            if self._idle_s == inf or not is_full or self._served_of[ip] >= self._slots // 2:
                return
            if self._leaving not in self._served:
                idle = min(self._served, key=lambda one: one.idle_since)
                if monotonic() - idle.idle_since < self._idle_s:
                    return
                idle.hang_up()
                self._leaving = idle
            thread = self._served[self._leaving]
        thread.join(self._timeouts.accept_pause_s)

    def _attend(self, connection: Connection, serve: Callable[[Connection], None]) -> None:
        try:
            with suppress(errors.ConnectionLostError):
                serve(connection)
        finally:
            with self._lock:
                # Under the lock, so that nobody hangs up on a descriptor that is used again.
                connection.close()
                del self._served[connection]
                self._forget(connection.remote.ip)

    def _forget(self, ip: str) -> None:
        self._served_of[ip] -= 1
        if not self._served_of[ip]:
            del self._served_of[ip]


def _listening_socket(ip: str | None, port: int) -> socket.socket:
    try:
        if ip is not None:
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            return socket.create_server(raw_of(ip, port), family=family, backlog=BACKLOG)
        if socket.has_dualstack_ipv6():
            with suppress(OSError):  # a kernel may know IPv6 and have it turned off
                return socket.create_server(
                    ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
                )
        return socket.create_server(("", port), backlog=BACKLOG)
    except OSError as error:
        reason = _REASONS.get(error.errno or 0, "other")
        if reason == "denied" and NO_PORT_IS_PRIVILEGED:
            reason = "taken"
        raise errors.PortUnavailableError(Address(ip or "0.0.0.0", port), reason) from error
