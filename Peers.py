#!/usr/bin/env python3
"""A peer: a menu for the person, and a listener for the other peers.

The story: main() joins a tracker, which offers a public port; listening() waits on it for other
peers, and peer_connected() attends each in a thread of its own; menu() reads what the person
types; connect_to_peer() is how a command reaches another peer. The rules are in rede_p2p/.
"""

import gc
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from threading import Thread

from rede_p2p.cli import manual, options, shell, texts
from rede_p2p.cli.commands import ACTIONS
from rede_p2p.cli.options import PeerOptions
from rede_p2p.cli.session import Session
from rede_p2p.cli.terminal import Terminal
from rede_p2p.content import disk
from rede_p2p.content.hash_cache import HashCache, default_database
from rede_p2p.download.transfers import Transfers
from rede_p2p.errors import (
    Address,
    BadUsageError,
    ConnectionLostError,
    InterruptedByUserError,
    PeerUnreachableError,
    PortUnavailableError,
    RedeError,
    RefusedError,
    TrackerUnreachableError,
)
from rede_p2p.net.connection import Connection, dial
from rede_p2p.net.discovery import WELL_KNOWN_PORT
from rede_p2p.net.listener import Listener
from rede_p2p.protocol.messages import TO_PEER
from rede_p2p.tracker.announcer import Announcer
from rede_p2p.tracker.client import TrackerClient
from rede_p2p.tracker.registry import FIRST_PORT
from rede_p2p.upload.request_handler import RequestHandler
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.share_list import ShareList
from rede_p2p.upload.upload_slots import UploadSlots
from Servidor import Tracker

SLOTS = 512  # connections of other peers at once, half of them from one address
SILENCE = 60.0  # seconds in which another peer must ask something


class Peer:
    """This peer: what the threads share. ``close`` ends them all, and waits."""

    def __init__(self, chosen: PeerOptions, screen: Terminal) -> None:
        self.own_ip = chosen.own_ip
        self.screen = screen
        self.roots = HashCache(default_database())
        self.catalog = ShareList(chosen.share_list, self.roots, screen.tell)
        self.uploads = UploadSlots(chosen.limit)
        self.holdings = SeedStore(self.catalog, seeds=chosen.seeds)
        self.door: Listener | None = None
        self._listening: Thread | None = None
        self.membership: TrackerClient

    def open_door(self, port: int) -> bool:
        """Listen on a public port, in place of the one before; False if it is taken here."""
        if self.door is not None and self.door.address.port == port:
            return True
        try:
            door = Listener(self.own_ip, port, SLOTS)
        except PortUnavailableError as error:
            if error.reason == "taken":
                return False
            raise
        self.close_door()
        self.door = door
        self._listening = Thread(target=listening, args=(self, door), name="listening")
        self._listening.start()
        return True

    def close_door(self) -> None:
        """Free the public port."""
        if self.door is not None and self._listening is not None:
            self.door.stop()
            self._listening.join()
            self.door = self._listening = None

    def close(self) -> None:
        """End what was begun, and wait for it."""
        self.uploads.close()
        self.close_door()
        self.catalog.close()
        self.roots.close()


def listening(peer: Peer, door: Listener) -> None:
    """Wait on the public port for other peers, and give each a thread of its own."""
    with door:
        while True:
            connection = door.accept()
            if connection is None:
                return
            door.attend(connection, partial(peer_connected, peer))


def peer_connected(peer: Peer, connection: Connection) -> None:
    """Be at the service of one other peer: answer what it asks until it leaves."""
    guest = RequestHandler(
        connection, peer.catalog, peer.roots, peer.holdings, peer.uploads, peer.screen.tell
    )
    try:
        for request in connection.requests(TO_PEER, lambda: SILENCE, texts.refusal):
            try:
                guest.answer(request)
            except RefusedError as no:
                connection.refuse(no.code, texts.refusal(no))
    finally:
        guest.leave()


def connect_to_peer(peer: Peer, address: Address) -> Connection:
    """Open a conversation with another peer of the network; raise PeerUnreachableError."""
    try:
        return dial(address, peer.own_ip)
    except ConnectionLostError as error:
        raise PeerUnreachableError(address, error) from error


def menu(session: Session, lines: Iterable[str], *, patient: bool) -> int:
    """Do what each line says until one says quit; return the exit status.

    A person is told of an error and goes on; a script (not ``patient``) stops at the first.
    """
    known = frozenset({*ACTIONS, "quit"})
    for line in lines:
        try:
            for command in shell.parse(line, known):
                if command.name == "quit":
                    return 0
                ACTIONS[command.name](session, command)
        except KeyboardInterrupt:
            error: RedeError = InterruptedByUserError()
        except RedeError as found:
            error = found
        else:
            continue
        session.screen.complain(error)
        if not patient:
            return error.status
    return 0


def typed(session: Session) -> Iterator[str]:
    """Yield each line that the person types; the first Ctrl-C does not end what is running."""
    warned = False
    while True:
        try:
            line = session.screen.ask()
        except KeyboardInterrupt:
            running = len(session.transfers.running())
            if warned or not running or not session.screen.interactive:
                raise
            warned = True
            session.screen.note(texts.still_running(running))
            continue
        if line is None:
            return
        warned = False
        yield line


def join(peer: Peer, chosen: PeerOptions, stack: ExitStack) -> TrackerClient:
    """Join the tracker that was named, or one on this machine, or else open one here."""
    ip = chosen.ip or "127.0.0.1"
    tell = peer.screen.tell
    if chosen.own_ip is not None:  # said as what it is, before anybody is called from there
        with Listener(chosen.own_ip, 0, 1):
            pass
    try:
        return TrackerClient(ip, chosen.port, chosen.own_ip, peer.open_door, tell)
    except TrackerUnreachableError:
        if chosen.ip is not None:
            raise
    try:
        tracker = Tracker(None, WELL_KNOWN_PORT, FIRST_PORT, tell)
    except PortUnavailableError:  # something else has that port: any other will do
        tracker = Tracker(None, 0, FIRST_PORT, tell)
    stack.enter_context(tracker)
    peer.screen.note("nenhum tracker nesta máquina: abri um aqui. Nas outras, digite:")
    for line in tracker.lines_to_type():
        peer.screen.note(f"    {line}")
    return TrackerClient(ip, tracker.port, chosen.own_ip, peer.open_door, tell)


def _what_now(chosen: PeerOptions, screen: Terminal) -> str:
    if chosen.serve:
        return "; compartilho o que está na lista até Ctrl-C"
    typing = screen.interactive and chosen.script is None
    return "; digite ajuda para ver os comandos" if typing else ""


def run(chosen: PeerOptions, screen: Terminal, stack: ExitStack) -> int:
    """Be a peer until the person leaves; ``stack`` ends what was begun, the last first."""
    peer = Peer(chosen, screen)
    stack.callback(peer.close)
    membership = join(peer, chosen, stack)
    stack.callback(membership.close)
    announcer = Announcer(membership, peer.catalog, peer.holdings)
    stack.callback(announcer.close)
    peer.holdings.changed = announcer.wake
    connect = partial(connect_to_peer, peer)
    transfers = Transfers(
        chosen.folder, connect, peer.roots, screen.tell, membership.ask_who_has, peer.holdings
    )
    stack.callback(transfers.close)
    stack.callback(membership.close)  # the first: then nobody waits for what a tracker never says
    session = Session(
        screen,
        membership,
        connect,
        transfers,
        peer.uploads,
        peer.roots,
        peer.catalog,
        peer.holdings,
    )
    screen.note(f"na rede, pelo tracker {membership.tracker}")
    screen.note(f"minha porta pública é {membership.port}{_what_now(chosen, screen)}")
    if chosen.serve:
        while True:
            screen.show_events(within=0.5)
    if chosen.script is not None:
        return menu(session, [chosen.script], patient=False)
    return menu(session, typed(session), patient=screen.interactive)


def main(words: "list[str]") -> int:
    """Run a peer; return the exit status."""
    screen = Terminal(as_json="--json" in words)
    screen.catch_bugs()
    gc.freeze()  # what was imported stays: the collector of garbage need not look through it
    disk.allow_descriptors()
    try:
        chosen = options.parse_peer(words)
        if chosen.help:
            screen.page(manual.PEER)
            return 0
        try:
            with ExitStack() as stack:
                return run(chosen, screen, stack)
        finally:
            screen.show_events()
    except KeyboardInterrupt:
        return 130
    except RedeError as error:
        screen.complain(error)
        if isinstance(error, BadUsageError):
            screen.note(manual.PEER_USAGE)
        return error.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
