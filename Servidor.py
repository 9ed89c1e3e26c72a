#!/usr/bin/env python3
"""The tracker: gives each peer a public port and keeps the list of who is here.

The story: start() waits for peers and gives each a thread; attend_peer() is that thread, which
listens to one peer until it leaves; answer() is what it says. The rules are in rede_p2p/: registry
(who is here), messages (what is said), listener (sockets and threads), screens (what is read).
"""

import gc
import sys
from collections.abc import Callable
from functools import partial
from threading import Thread
from types import TracebackType

from rede_p2p.cli import manual, options, texts
from rede_p2p.cli.terminal import Terminal
from rede_p2p.content import disk
from rede_p2p.errors import BadUsageError, ProtocolError, RedeError, RefusedError
from rede_p2p.events import Event, PeerJoined, PeerLeft
from rede_p2p.net.address import own_addresses
from rede_p2p.net.connection import Connection
from rede_p2p.net.discovery import Responder
from rede_p2p.net.listener import Listener
from rede_p2p.protocol.messages import (
    TO_TRACKER,
    VERSION,
    Announce,
    AnyRequest,
    FileEntry,
    Find,
    Join,
    Ok,
    Peers,
    PortOffer,
    PortTaken,
    Ready,
    Search,
    Withdraw,
)
from rede_p2p.tracker.content_index import ContentIndex
from rede_p2p.tracker.registry import Registration, Registry

SLOTS = 8192  # connections at once, half of them from one address
STRANGER_SILENCE = 60.0  # seconds in which a connection that is not listed must ask something
MEMBER_SILENCE = 12.0  # seconds for one that is, which gives a sign of life every 5


class Tracker:
    """A running tracker: its state and its threads. Used by ``with``."""

    def __init__(
        self, ip: str | None, port: int, first_port: int, tell: Callable[[Event], None]
    ) -> None:
        """Listen on TCP ``port`` of ``ip`` (None: all addresses); raise PortUnavailableError."""
        self.listener = Listener(ip, port, SLOTS)
        self.registry = Registry(first_port)
        self.index = ContentIndex()
        self.tell = tell
        self._thread = Thread(target=start, args=(self,), name="tracker")
        self._responder: Responder | None = None

    def __enter__(self) -> "Tracker":
        self._thread.start()
        self._responder = Responder(self.listener.address.ip or None, self.port)
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: "BaseException | None",
        trace: "TracebackType | None",
    ) -> None:
        if self._responder is not None:
            self._responder.close()
        self.listener.stop()
        self._thread.join()

    @property
    def port(self) -> int:
        """The TCP port on which peers find this tracker."""
        return self.listener.address.port

    def lines_to_type(self) -> "list[str]":
        """List what to type on the other machines, one line for each address of this one."""
        ips = [self.listener.address.ip] if self.listener.address.ip else own_addresses()
        return [f"python3 Peers.py {ip} {self.port}" for ip in ips or ["127.0.0.1"]]


def start(tracker: Tracker) -> None:
    """Wait for peers, and give each a thread of its own, until the tracker is told to stop."""
    with tracker.listener as listener:
        while True:
            connection = listener.accept()
            if connection is None:
                return
            listener.attend(connection, partial(attend_peer, tracker))


def attend_peer(tracker: Tracker, connection: Connection) -> None:
    """Listen to one peer until it leaves; its place in the list lives as long as this call."""
    seat = Registration(connection.remote.ip)

    def silence() -> float:
        return MEMBER_SILENCE if seat.listed else STRANGER_SILENCE

    try:
        for request in connection.requests(TO_TRACKER, silence, texts.refusal):
            try:
                answer(tracker, seat, connection, request)
            except RefusedError as no:
                connection.refuse(no.code, texts.refusal(no))
    except ProtocolError as error:  # in the body of a request: where the next begins is unknown
        connection.refuse(error.kind, texts.refusal(error))
    finally:
        leave(tracker, seat)


def leave(tracker: Tracker, seat: Registration) -> None:
    """Take a peer off the list, and say so if it was there."""
    address = seat.address
    tracker.index.leave(seat)
    if tracker.registry.leave(seat):
        tracker.tell(PeerLeft(address))


def answer(
    tracker: Tracker, seat: Registration, connection: Connection, request: AnyRequest
) -> None:
    """Answer one request; raise RefusedError where the answer is no."""
    registry = tracker.registry
    if isinstance(request, Join | PortTaken):
        connection.reply(offer_port(tracker, seat, request))
    elif isinstance(request, Ready):
        if registry.confirm(seat, request.port):
            tracker.tell(PeerJoined(seat.address))
        connection.reply(Ok())
    elif isinstance(request, Peers):
        connection.reply_lines(registry.members(seat, connection.local.ip))
    elif isinstance(request, Announce | Withdraw | Find | Search):
        answer_from_index(tracker, seat, connection, request)
    else:  # ping, quit
        connection.reply(Ok())


def answer_from_index(
    tracker: Tracker,
    seat: Registration,
    connection: Connection,
    request: "Announce | Withdraw | Find | Search",
) -> None:
    """Note what a peer has, or tell who has what."""
    index = tracker.index
    if isinstance(request, Announce | Withdraw):
        if not seat.listed:
            connection.skip_body(request.bytes)
            raise RefusedError("join-first")
        entries = connection.receive_lines(request.bytes, request.count, FileEntry)
        (index.announce if isinstance(request, Announce) else index.withdraw)(seat, entries)
        connection.reply(Ok())
    elif isinstance(request, Find):
        holders = index.holders(request.root)
        connection.reply_lines(tracker.registry.as_reached(holders, seat, connection.local.ip))
    elif isinstance(request, Search):
        connection.reply_lines(index.search(request.text, exact=request.exact))


def offer_port(tracker: Tracker, seat: Registration, request: "Join | PortTaken") -> PortOffer:
    """Offer a public port to who joins, or another to whom the last one is taken."""
    if isinstance(request, Join):
        if request.version != VERSION:
            raise RefusedError("version")
        leave(tracker, seat)
        return PortOffer(tracker.registry.offer(seat, request.port), seat.ip, VERSION)
    tracker.registry.give_back(seat, request.port)
    leave(tracker, seat)
    return PortOffer(tracker.registry.offer(seat), seat.ip, VERSION)


def main(words: "list[str]") -> int:
    """Run the tracker until Ctrl-C; return the exit status."""
    screen = Terminal()
    screen.catch_bugs()
    gc.freeze()  # what was imported stays: the collector of garbage need not look through it
    disk.allow_descriptors()
    try:
        chosen = options.parse_tracker(words)
        if chosen.help:
            screen.page(manual.TRACKER)
            return 0
        with Tracker(chosen.ip, chosen.port, chosen.first_port, screen.tell) as tracker:
            screen.note(f"tracker na porta {tracker.port}. Nas outras máquinas, digite:")
            for line in tracker.lines_to_type():
                screen.data(f"    {line}", None)
            screen.note("Ctrl-C encerra.")
            while True:
                screen.show_events(within=0.5)
    except KeyboardInterrupt:
        screen.note("tracker encerrado")
        return 130
    except RedeError as error:
        screen.complain(error)
        if isinstance(error, BadUsageError):
            screen.note(manual.TRACKER_USAGE)
        return error.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
