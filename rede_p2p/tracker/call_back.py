"""Calling peers back, so that they learn whether others can connect to them.

A peer is called where the tracker lists it and nowhere else, once in ``call_back_interval_s`` for
an IP address, and few are called at once: so nobody has the tracker connect elsewhere, look for
open ports, or wait in many threads. Owner: the tracker, whose threads share it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic

from rede_p2p.errors import Address, ConnectionLostError, ProtocolError, RefusedError
from rede_p2p.net.connection import Connection, dial
from rede_p2p.protocol.messages import Ok, Quit
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.tracker.joining import ask

MAX_CALLS = 8  # under way at once


class CallBack:
    """The calls of one tracker."""

    def __init__(self, timeouts: Timeouts = DEFAULT) -> None:
        self._timeouts = timeouts
        self._lock = Lock()  # guards both below, never while a peer is called
        self._called_at: dict[str, float] = {}  # by IP address, on the monotonic clock
        self._calls = 0  # under way

    def reach(self, address: Address, source: str) -> str:
        """Connect to a peer from one of this machine's addresses; return why not, "" if it answers.

        That is a LostReason, or ``stranger`` where another program is there. Takes twice
        ``call_back_s`` at most. Raises RefusedError ``too-soon``.
        """
        with self._turn(address.ip):
            try:
                connection = dial(address, source, self._timeouts, self._timeouts.call_back_s)
            except ConnectionLostError as error:
                return error.reason
            with connection:
                return "" if self._is_peer(connection) else "stranger"

    def _is_peer(self, connection: Connection) -> bool:
        try:
            ask(connection, Quit(), Ok, self._timeouts.call_back_s)
        except (ConnectionLostError, ProtocolError):
            return False
        except RefusedError:  # a peer that has too many callers
            return True
        return True

    @contextmanager
    def _turn(self, ip: str) -> Iterator[None]:
        """Count a call while it lasts; raise RefusedError ``too-soon`` where it may not begin."""
        now = monotonic()
        with self._lock:
            since = now - self._timeouts.call_back_interval_s
            self._called_at = {ip: at for ip, at in self._called_at.items() if at > since}
            if ip in self._called_at or self._calls == MAX_CALLS:
                raise RefusedError("too-soon")
            self._called_at[ip] = now
            self._calls += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls -= 1
