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
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

from rede_p2p.content.merkle import Content
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    ProtocolError,
    RedeError,
    RefusedError,
    TrackerUnreachableError,
)
from rede_p2p.events import Event, TrackerBack, TrackerLost, TrackerMoved
from rede_p2p.net import discovery
from rede_p2p.net.connection import DIAL_TIMEOUT, REPLY_TIMEOUT, Connection, dial
from rede_p2p.protocol.codec import Pending
from rede_p2p.protocol.messages import (
    MAX_OFFERS,
    VERSION,
    Find,
    Join,
    Ok,
    PeerEntry,
    Peers,
    Ping,
    PortOffer,
    PortTaken,
    Quit,
    Ready,
    Search,
    SearchResult,
)

HEARTBEAT = 5.0  # seconds between signs of life; a tracker waits 12
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 8.0  # seconds between attempts to join again
RESTART = 3.0  # seconds in which a tracker that starts again is back, before another will do
DIAL_AGAIN = 2.0  # seconds for the connection to be made then: close() waits for it
GOODBYE = 1.5  # seconds in which a tracker that works has let us go

Result = TypeVar("Result")
Call = tuple[Callable[[Connection], Any], "Future[Any]"]


@dataclass(frozen=True)
class Roster:
    """Who is in the network, as the tracker last told, ``age`` seconds ago (0: just now)."""

    members: tuple[PeerEntry, ...]
    age: float


class TrackerClient:
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
        self._leaving = False
        self._connection: Connection | None = None  # for close() to hang up
        self.joined = 0  # how many times
        self.port = 0  # the public port
        self.tracker = Address(ip, self._find() or discovery.WELL_KNOWN_PORT)
        joined = self._join(self.tracker.port)
        self._thread = Thread(target=self._run, args=(joined,), name="membership")
        self._thread.start()

    def close(self) -> None:
        """Leave the network, and wait for the thread: for about 2 s, whatever the tracker does.

        From then on every call raises TrackerUnreachableError at once.
        """
        self._calls.put(None)
        self._thread.join(GOODBYE)
        self._leaving = True
        if self._connection is not None:  # one that is made after this is looked at is given up
            self._connection.hang_up()
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
            return self.call(partial(self._ask_holders, content))
        except RedeError:
            return []

    def ask_who_has(self, content: Content) -> Future[list[Address]]:
        """Ask the same, and wait for nothing; without a tracker the result is an error."""
        return self._hand(partial(self._ask_holders, content))

    def _ask_holders(self, content: Content, connection: Connection) -> list[Address]:
        members = connection.ask_lines(Find(content.root), PeerEntry, at_once)
        return [Address(m.ip, m.port) for m in self._safe(members) if not m.you]

    def search(self, text: str, *, exact: bool = False) -> list[SearchResult]:
        """Ask which contents have a name like this; raise TrackerUnreachableError."""
        return self.call(lambda c: c.ask_lines(Search(text, exact), SearchResult, at_once))

    def _ask_roster(self, connection: Connection) -> None:
        members = self._safe(connection.ask_lines(Peers(), PeerEntry, at_once))
        self._told_at, self._roster = monotonic(), Roster(tuple(members), 0.0)

    def _safe(self, members: list[PeerEntry]) -> list[PeerEntry]:
        """Leave out loopback from another machine's mouth: we would call our own services."""
        here = _is_loopback(self._ip)
        return [member for member in members if here or not _is_loopback(member.ip)]

    def call(self, ask: Callable[[Connection], Result]) -> Result:
        """Run ``ask`` in the thread that owns the connection, and return its result.

        Raises TrackerUnreachableError, at once while the tracker is away.
        """
        try:
            return self._hand(ask).result(timeout=REPLY_TIMEOUT + DIAL_TIMEOUT)
        except FutureTimeoutError:
            raise self._away() from None

    def _hand(self, ask: Callable[[Connection], Result]) -> Future[Result]:
        """Have the thread ask; what it was asked too late, or while away, has failed already."""
        future: Future[Result] = Future()
        if self._here:
            self._calls.put((ask, future))
        if not self._here:  # looked at again: from the moment it left, nobody takes a call
            future = Future()
            future.set_exception(self._away())
        return future

    def _away(self) -> TrackerUnreachableError:
        return TrackerUnreachableError(self.tracker, ConnectionLostError("lost"))

    def _join(self, port: int) -> Connection:
        """Connect to the tracker on ``port``, take a port of ours, listen on it, be listed."""
        address = Address(self._ip, port)
        connection = None
        try:
            within = DIAL_AGAIN if self.joined else DIAL_TIMEOUT
            connection = self._connection = dial(address, self._source, within)
            if self._leaving:
                raise ConnectionLostError("lost")
            self._take_port(connection)
            self._ask_roster(connection)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, ConnectionLostError | ProtocolError | RefusedError):
                raise TrackerUnreachableError(address, error) from error
            raise
        self.tracker = address
        return connection

    def _find(self) -> int | None:
        """Ask for the port of the machine's tracker, if nobody named one."""
        return self._wanted_port or discovery.find(self._ip, self._source)

    def _take_port(self, connection: Connection) -> None:
        offer = connection.ask(Join(VERSION, self.port or None), PortOffer, waiting=at_once)
        if offer.version != VERSION:
            raise RefusedError("version")
        for _ in range(MAX_OFFERS):
            if self._open_port(offer.port):
                connection.ask(Ready(offer.port), Ok, waiting=at_once)
                self.port = offer.port
                self.joined += 1
                return
            offer = connection.ask(PortTaken(offer.port), PortOffer, waiting=at_once)
        raise ConnectionLostError("no-port")

    def _run(self, connection: Connection | None) -> None:
        while connection is not None:
            try:
                with connection:
                    self._stay(connection)
                break
            except RedeError:
                self._here = False
                if self._leaving:
                    break
                self._tell(TrackerLost(self.tracker))
                connection = self._rejoin()
        self._here = False
        while self._refuse_calls(within=0.0):
            continue  # that was close(): what others asked comes after it

    def _stay(self, connection: Connection) -> None:
        """Answer calls, and give a sign of life when there is none; return when asked to leave."""
        while True:
            try:
                call = self._calls.get(timeout=HEARTBEAT)
            except Empty:
                connection.ask(Ping(), Ok, waiting=at_once)
                continue
            if call is None:
                with suppress(RedeError):  # it may be gone, unnoticed: all the same to who leaves
                    connection.ask(Quit(), Ok, within=1.0, waiting=at_once)
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
        pause, gone, before = FIRST_PAUSE, monotonic(), self.tracker
        while not self._refuse_calls(pause * random.uniform(0.7, 1.3)):
            try:
                connection = self._come_back(long_gone=monotonic() - gone > RESTART)
            except RedeError:
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                self._here = True
                event = TrackerBack if self.tracker == before else TrackerMoved
                self._tell(event(self.tracker, self.port))
                return connection
        return None

    def _come_back(self, *, long_gone: bool) -> Connection:
        """Join where the tracker was; where it is long gone, any that its machine has now."""
        try:
            return self._join(self.tracker.port)
        except RedeError:
            found = self._find() if long_gone and not self._leaving else None
            if found in (None, self.tracker.port):
                raise
            return self._join(found)

    def _refuse_calls(self, within: float) -> bool:
        """Refuse the calls that come within so many seconds; tell if asked to leave."""
        end = monotonic() + within
        while True:
            try:
                call = self._calls.get(timeout=max(end - monotonic(), 0.0))
            except Empty:
                return False
            if call is None:
                return True
            call[1].set_exception(self._away())


def at_once(_: Pending) -> None:
    """Take it for a breach of the rules that a tracker says "not yet": no answer needs it."""
    raise ProtocolError("stranger")


def _is_loopback(ip: str) -> bool:
    return ipaddress.ip_address(ip).is_loopback
