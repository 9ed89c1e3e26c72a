"""This peer's place with the tracker: joining, staying, coming back.

One thread owns the connection; other threads hand it calls and wait for their results, so the
conversation needs no lock. When the connection ends, the thread joins again by itself, waiting a
little longer each time, and asks for the port it had. Owner: the peer, which must ``close`` it.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

from rede_p2p import discovery
from rede_p2p.connection import DIAL_TIMEOUT, REPLY_TIMEOUT, Connection, dial
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    ProtocolError,
    RedeError,
    RefusedError,
    TrackerUnreachableError,
)
from rede_p2p.events import Event, TrackerBack, TrackerLost
from rede_p2p.merkle import Content
from rede_p2p.messages import (
    VERSION,
    Busy,
    Done,
    Find,
    Join,
    Known,
    Member,
    Offer,
    Peers,
    Ping,
    Quit,
    Ready,
    Search,
)

HEARTBEAT = 5.0  # seconds between signs of life; a tracker waits 12
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0  # seconds between attempts to join again
MAX_OFFERS = 512  # ports tried before giving up: a tracker may not keep us busy for ever

Result = TypeVar("Result")
Call = tuple[Callable[[Connection], Any], "Future[Any]"]


@dataclass(frozen=True)
class Roster:
    """Who is in the network, as the tracker last told, ``age`` seconds ago (0: just now)."""

    members: tuple[Member, ...]
    age: float


class Membership:
    """The place of one peer; see the module's docstring."""

    def __init__(
        self,
        ip: str,
        port: int | None,
        source: str | None,
        open_port: Callable[[int], bool],
        tell: Callable[[Event], None],
    ) -> None:
        """Join the tracker at ``ip``, on ``port`` or on the one it answers with.

        ``open_port`` listens on a public port and says whether it could. Raises
        TrackerUnreachableError, or what ``open_port`` raises.
        """
        self._ip, self._wanted_port, self._source = ip, port, source
        self._open_port = open_port
        self._tell = tell
        self._calls: SimpleQueue[Call | None] = SimpleQueue()  # None: leave
        self._roster = Roster((), 0.0)
        self._told_at = monotonic()
        self._here = True
        self.joined = 0  # how many times
        self.port = 0  # the public port
        self.tracker = Address(ip, port or discovery.WELL_KNOWN_PORT)
        self._thread = Thread(target=self._run, args=(self._join(),), name="membership")
        self._thread.start()

    def close(self) -> None:
        """Leave the network, and wait for the thread."""
        self._calls.put(None)
        self._thread.join()

    def roster(self) -> Roster:
        """Ask who is here; without a tracker, return the last list and its age."""
        try:
            self.call(self._ask_roster)
        except RedeError:
            return Roster(self._roster.members, monotonic() - self._told_at)
        return self._roster

    def who_has(self, content: Content) -> list[Address]:
        """Ask who else has a content; nobody, without a tracker to ask."""
        try:
            members = self.call(lambda c: c.ask_lines(Find(content.root), Member))
        except RedeError:
            return []
        return [Address(m.ip, m.port) for m in self._safe(members) if not m.you]

    def search(self, text: str, *, exact: bool = False) -> list[Known]:
        """Ask which contents have a name like this; raise TrackerUnreachableError."""
        return self.call(lambda c: c.ask_lines(Search(text, exact), Known))

    def _ask_roster(self, connection: Connection) -> None:
        members = self._safe(connection.ask_lines(Peers(), Member))
        self._told_at, self._roster = monotonic(), Roster(tuple(members), 0.0)

    def _safe(self, members: list[Member]) -> list[Member]:
        """Leave out loopback from another machine's mouth: we would call our own services."""
        here = _is_loopback(self._ip)
        return [member for member in members if here or not _is_loopback(member.ip)]

    def call(self, ask: Callable[[Connection], Result]) -> Result:
        """Run ``ask`` in the thread that owns the connection, and return its result.

        Raises TrackerUnreachableError, at once while the tracker is away.
        """
        away = TrackerUnreachableError(self.tracker, ConnectionLostError("lost"))
        if not self._here:
            raise away
        future: Future[Result] = Future()
        self._calls.put((ask, future))
        try:
            return future.result(timeout=REPLY_TIMEOUT + DIAL_TIMEOUT)
        except FutureTimeoutError:
            raise away from None

    def _join(self) -> Connection:
        """Connect, take a port, listen on it, be listed."""
        found = self._wanted_port or discovery.find(self._ip, self._source)
        self.tracker = Address(self._ip, found or discovery.WELL_KNOWN_PORT)
        connection = None
        try:
            connection = dial(self.tracker, self._source)
            self._take_port(connection)
            self._ask_roster(connection)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, ConnectionLostError | ProtocolError | RefusedError):
                raise TrackerUnreachableError(self.tracker, error) from error
            raise
        return connection

    def _take_port(self, connection: Connection) -> None:
        offer = connection.ask(Join(VERSION, self.port or None), Offer)
        if offer.version != VERSION:
            raise RefusedError("version")
        for _ in range(MAX_OFFERS):
            if self._open_port(offer.port):
                connection.ask(Ready(offer.port), Done)
                self.port = offer.port
                self.joined += 1
                return
            offer = connection.ask(Busy(offer.port), Offer)
        raise ConnectionLostError("no-port")

    def _run(self, connection: Connection | None) -> None:
        while connection is not None:
            try:
                with connection:
                    self._stay(connection)
                return
            except RedeError:
                self._here = False
                self._tell(TrackerLost(self.tracker))
                connection = self._rejoin()

    def _stay(self, connection: Connection) -> None:
        """Answer calls, and give a sign of life when there is none; return when asked to leave."""
        while True:
            try:
                call = self._calls.get(timeout=HEARTBEAT)
            except Empty:
                connection.ask(Ping(), Done)
                continue
            if call is None:
                with suppress(RedeError):  # it may be gone, unnoticed: all the same to who leaves
                    connection.ask(Quit(), Done, within=1.0)
                return
            ask, future = call
            try:
                future.set_result(ask(connection))
            except RefusedError as no:  # an answer as any other: the conversation goes on
                future.set_exception(TrackerUnreachableError(self.tracker, no))
            except RedeError as error:
                future.set_exception(TrackerUnreachableError(self.tracker, error))
                raise
            except Exception as error:  # a bug of who asks; what was said by then nobody knows
                future.set_exception(error)
                raise ConnectionLostError("lost") from error

    def _rejoin(self) -> Connection | None:
        """Try until the tracker is back; None when asked to leave before that."""
        pause = FIRST_PAUSE
        while True:
            if self._asked_to_leave(pause * random.uniform(0.7, 1.3)):
                return None
            try:
                connection = self._join()
            except RedeError:
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                self._here = True
                self._tell(TrackerBack(self.tracker, self.port))
                return connection

    def _asked_to_leave(self, within: float) -> bool:
        """Wait, refusing the calls that were on their way when the tracker went."""
        end = monotonic() + within
        while (left := end - monotonic()) > 0:
            try:
                call = self._calls.get(timeout=left)
            except Empty:
                break
            if call is None:
                return True
            cause = ConnectionLostError("lost")
            call[1].set_exception(TrackerUnreachableError(self.tracker, cause))
        return False


def _is_loopback(ip: str) -> bool:
    return ipaddress.ip_address(ip).is_loopback
