"""This peer's conversation with the tracker: joining, staying, announcing, coming back.

One thread owns the connection. Other threads hand it calls and wait for their results, so that the
conversation needs no lock. When the connection ends, the thread joins again by itself, and asks for
the port it had. Owner: the peer, which must ``close`` it.
"""

import random
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from functools import partial
from math import inf
from queue import Empty, Queue
from threading import Thread
from time import monotonic
from typing import Any, TypeVar

from rede_p2p import errors
from rede_p2p.content.merkle import Content
from rede_p2p.errors import Address, RedeError
from rede_p2p.events import Event, NamesRefused, TrackerBack, TrackerLost, TrackerMoved
from rede_p2p.net import discovery
from rede_p2p.net.address import is_loopback
from rede_p2p.net.connection import Connection, dial
from rede_p2p.protocol import messages
from rede_p2p.protocol.codec import Lines
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.tracker.announcer import Announcer
from rede_p2p.tracker.identity import Identity, find_again, identify
from rede_p2p.tracker.joining import ask, refuse_pending, take_port
from rede_p2p.tracker.roster import Roster, reachable

Result = TypeVar("Result")
Call = tuple[Callable[[Connection], Any], "Future[Any]"]


class TrackerClient:
    """One peer's session with the tracker."""

    def __init__(
        self,
        ip: str,
        port: int | None,
        source: str | None,
        open_port: Callable[[int], bool],
        post: Callable[[Event], None],
        entries: Callable[[], set[messages.FileEntry]] = set,
        timeouts: Timeouts = DEFAULT,
        *,
        name: str = "",
        web: bool = False,
        roams: bool = False,
    ) -> None:
        """Join the tracker at ``ip``, on ``port`` or on the one that it answers with by UDP.

        ``open_port`` listens on a public port, for browsers too if ``web``, and tells if it could;
        ``entries`` are announced, under ``name``. If it ``roams``, nobody chose the tracker: where
        it is long gone, the one other will do. Raises TrackerUnreachableError, or as ``open_port``.
        """
        self._ip, self._wanted_port, self._source = ip, port, source
        self._open_port, self._post, self._entries = open_port, post, entries
        self._timeouts, self._name, self.web, self._roams = timeouts, name, web, roams
        self._identity = Identity()  # of the tracker, once it said so
        self._calls: Queue[Call | None] = Queue()  # None: just wake the thread
        self._roster, self._roster_at = Roster((), 0.0), -inf  # never told
        self._next_roster_at = inf  # when it is asked for, though nobody wants to see it
        self._here = self._entries_changed = True  # it is listed, and calls are answered
        self._leaving = self._closed = self._told_refused = False
        self._connection: Connection | None = None  # for close() to hang up
        self._joined, self.port, self._pause_s = False, 0, timeouts.first_rejoin_pause_s
        self.tracker = Address(ip, self._find() or discovery.WELL_KNOWN_PORT)
        connection = self._join(self.tracker)
        self._thread = Thread(None, self._run, "tracker client", (connection,))
        try:
            self._thread.start()
        except RuntimeError:  # the system has no thread left
            connection.close()
            raise

    def close(self) -> None:
        """Leave, and wait for the thread, 2 s at most or so; from then on every call fails."""
        self._leaving = True
        self._calls.put(None)
        self._thread.join(self._timeouts.leave_s)
        self._closed = True
        if self._connection is not None:  # _join closes one that is made later
            self._connection.hang_up()
        self._thread.join()

    def entries_changed(self) -> None:
        """Announce soon what is new; from any thread."""
        if not self._entries_changed:
            self._entries_changed = True
            self._calls.put(None)

    def roster(self) -> Roster:
        """Ask who is here; without a tracker, return the last list and its age."""
        try:
            self.call(self._ask_roster)
        except RedeError:
            return Roster(self._roster.members, monotonic() - self._roster_at)
        return self._roster

    def who_has(self, content: Content) -> Future[list[Address]]:
        """Ask who else has a content, without waiting; the future may hold an error."""
        return self._hand(partial(self._ask_holders, content))

    def search(self, text: str, *, exact: bool = False) -> Lines[messages.SearchResult]:
        """Ask which contents have a name like this; raise TrackerUnreachableError."""
        request = messages.Search(text, exact)
        return self.call(lambda c: c.ask_lines(request, messages.SearchResult, refuse_pending))

    def call(self, question: Callable[[Connection], Result]) -> Result:
        """Return what ``question`` does, in the owning thread; raise TrackerUnreachableError."""
        try:
            return self._hand(question).result(self._timeouts.reply_s + self._timeouts.dial_s)
        except FutureTimeoutError:
            raise self._away() from None

    def _ask_holders(self, content: Content, connection: Connection) -> list[Address]:
        holders = self._ask_peers(connection, messages.Find(content.root))
        return [Address(peer.ip, peer.port) for peer in holders if not peer.you]

    def _ask_roster(self, connection: Connection) -> None:
        members = self._ask_peers(connection, messages.Peers())
        self._roster_at, self._roster = monotonic(), Roster(tuple(members), 0.0)
        self._next_roster_at = inf

    def _ask_peers(
        self, connection: Connection, request: messages.Find | messages.Peers
    ) -> list[messages.PeerEntry]:
        """Ask for peers; return those that this one can reach."""
        found = connection.ask_lines(request, messages.PeerEntry, refuse_pending)
        return reachable(found, self._ip)

    def _hand(self, question: Callable[[Connection], Result]) -> Future[Result]:
        """Have the thread ask; while the tracker is away, the result is an error at once."""
        future: Future[Result] = Future()
        if was_here := self._here:
            self._calls.put((question, future))
        if not (was_here and self._here):  # it may have turned False meanwhile
            future = Future()
            future.set_exception(self._away())
        return future

    def _away(self) -> errors.TrackerUnreachableError:
        return errors.TrackerUnreachableError(self.tracker, errors.ConnectionLostError("lost"))

    def _find(self) -> int | None:
        """Ask for the port of the machine's tracker, if nobody named one."""
        return self._wanted_port or discovery.find(self._ip, self._source, self._timeouts)

    def _join(self, address: Address) -> Connection:
        """Connect to a tracker, take a public port, listen on it, be listed."""
        connection = None
        try:
            timeout = self._timeouts.rejoin_dial_s if self._joined else self._timeouts.dial_s
            self._connection = connection = dial(address, self._source, self._timeouts, timeout)
            if self._closed:
                raise errors.ConnectionLostError("lost")
            join = messages.Join(messages.PROTOCOL_VERSION, self.port or None, self._name, self.web)
            offer = take_port(connection, join, self._open_port, self._timeouts)
        except BaseException as error:
            if connection is not None:
                connection.close()
            if isinstance(error, errors.UNADDRESSED):
                raise errors.TrackerUnreachableError(address, error) from error
            raise
        self.tracker, self._ip, self.port = address, address.ip, offer.port
        self._wanted_port = self._wanted_port and address.port
        if not self._joined:
            me = messages.PeerEntry(offer.ip, offer.port, True, self._name)
            self._roster = Roster((me,), 0.0)
            self._joined = True
        # At a moment of its own: of thousands that join at once, each would wait for all the lists.
        self._next_roster_at = monotonic() + self._timeouts.roster_s * random.uniform(0.5, 1.0)
        return connection

    def _run(self, connection: Connection | None) -> None:
        while connection is not None:
            joined_at = monotonic()
            try:
                with connection:
                    self._stay(connection)
                break
            except RedeError:
                self._here = False
                if self._leaving:
                    break
                self._post(TrackerLost(self.tracker))
                if monotonic() - joined_at > self._timeouts.max_rejoin_pause_s:
                    self._pause_s = self._timeouts.first_rejoin_pause_s
                connection = self._rejoin()
        self._here = False
        self._refuse_calls(0.0)

    def _stay(self, connection: Connection) -> None:
        """Announce, answer calls, and ping when there is nothing to say; return when leaving."""
        self._identity = identify(connection)
        announcer = Announcer(partial(self._announce, connection))
        self._entries_changed = True  # this tracker knows nothing of us yet
        announce_at, ping_at = monotonic(), monotonic() + self._timeouts.heartbeat_s
        while not self._leaving:
            due = min(announce_at, ping_at) if self._entries_changed else ping_at
            try:
                call = self._calls.get(timeout=max(due - monotonic(), 0.0))
                self._answer(connection, call)
                spoke = call is not None
            except Empty:
                spoke = True
                if due != ping_at:
                    self._entries_changed = False  # before reading them: they may change meanwhile
                    spoke = announcer.update(self._entries())
                    announce_at = monotonic() + self._timeouts.announce_interval_s
                elif monotonic() < self._next_roster_at:
                    ask(connection, messages.Ping(), messages.Ok)
                else:  # once, to have it if the tracker goes away
                    self._ask_roster(connection)
            if spoke:
                ping_at = monotonic() + self._timeouts.heartbeat_s
        with suppress(RedeError):  # the connection may be gone, unnoticed: it is all the same now
            ask(connection, messages.Quit(), messages.Ok, timeout=1.0)

    def _announce(self, connection: Connection, request: bytes) -> None:
        """Send a request and its body, after any waiting calls: more may follow it."""
        while not self._calls.empty():
            self._answer(connection, self._calls.get())
        if self._leaving:
            raise errors.ConnectionLostError("lost")
        connection.send(request)
        try:
            connection.receive_reply(messages.Ok, on_pending=refuse_pending)
        except errors.RefusedError:
            if not self._told_refused:
                self._told_refused = True
                self._post(NamesRefused(self.tracker))
            raise

    def _answer(self, connection: Connection, call: Call | None) -> None:
        if call is None:
            return
        question, future = call
        try:
            future.set_result(question(connection))
        except RedeError as error:
            future.set_exception(errors.TrackerUnreachableError(self.tracker, error))
            if not isinstance(error, errors.RefusedError):  # which is an ordinary answer
                raise
        except Exception as error:  # a caller's bug: the connection may be mid-message
            future.set_exception(error)
            raise errors.ConnectionLostError("lost") from error

    def _rejoin(self) -> Connection | None:
        """Try until the tracker is back; None when this peer leaves before that."""
        gone, before = monotonic(), self.tracker
        while not self._refuse_calls(self._pause_s * random.uniform(0.7, 1.3)):
            self._pause_s = min(self._pause_s * 2, self._timeouts.max_rejoin_pause_s)
            with suppress(RedeError, OSError):
                grace_s = self._timeouts.restart_grace_s
                connection = self._come_back(long_gone=monotonic() - gone > grace_s)
                self._here = True
                event = TrackerBack if self.tracker == before else TrackerMoved
                self._post(event(self.tracker, self.port))
                return connection
        return None

    def _come_back(self, *, long_gone: bool) -> Connection:
        """Join where the tracker was, or where it went; where it is long gone, any that will do."""
        try:
            return self._join(self.tracker)
        except RedeError:
            found = self._elsewhere(long_gone=long_gone) if not self._leaving else None
            if found in (None, self.tracker):
                raise
            return self._join(found)

    def _elsewhere(self, *, long_gone: bool) -> Address | None:
        """Return where to try instead: the same tracker, another of its machine, the only one."""
        port = self._find() if long_gone else None
        if port not in (None, self.tracker.port):
            return Address(self.tracker.ip, port)
        if is_loopback(self.tracker.ip):
            return None
        return find_again(self._identity, long_gone and self._roams, self._source, self._timeouts)

    def _refuse_calls(self, seconds: float) -> bool:
        """Refuse calls for some seconds; tell, at once when leaving, whether this peer leaves."""
        end = monotonic() + seconds
        while True:
            try:
                call = self._calls.get(timeout=max(end - monotonic(), 0.0))
            except Empty:
                return self._leaving
            if call is not None:
                call[1].set_exception(self._away())
            elif self._leaving and seconds:
                return True
