#!/usr/bin/env python3
"""A peer: a menu for the person, and a listener for the other peers.

The story: main() joins a tracker, which offers a public port; listening() waits on it for other
peers, and peer_connected() attends each in a thread of its own; menu() reads what the person
types; connect_to_peer() is how a command reaches another peer. The rules are in rede_p2p/.
"""

import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from threading import Thread

from rede_p2p import commands, lookup, manual, options, sentences
from rede_p2p.catalog import Catalog
from rede_p2p.connection import Connection, dial
from rede_p2p.discovery import WELL_KNOWN_PORT
from rede_p2p.download import Download, Wanted
from rede_p2p.errors import (
    Address,
    BadUsageError,
    ConnectionLostError,
    InterruptedByUserError,
    NoSuchFileError,
    PeerNotListedError,
    PeerUnreachableError,
    PortUnavailableError,
    ProtocolError,
    RedeError,
    RefusedError,
    TrackerUnreachableError,
)
from rede_p2p.listener import Listener
from rede_p2p.membership import Membership
from rede_p2p.messages import TO_PEER, Ls, Member, Shared
from rede_p2p.options import PeerOptions
from rede_p2p.registry import FIRST_PORT
from rede_p2p.roots import Roots, default_database
from rede_p2p.screens import Screen
from rede_p2p.serving import Guest
from Servidor import Tracker

SLOTS = 512  # connections of other peers at once, half of them from one address
SILENCE = 60.0  # seconds in which another peer must ask something


class Peer:
    """This peer: what the threads share. ``close`` ends them all, and waits."""

    def __init__(self, chosen: PeerOptions, screen: Screen) -> None:
        self.own_ip = chosen.own_ip
        self.folder = chosen.folder
        self.screen = screen
        self.roots = Roots(default_database())
        self.catalog = Catalog(chosen.share_list, self.roots, screen.tell)
        self.door: Listener | None = None
        self._listening: Thread | None = None
        self.membership: Membership

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
    guest = Guest(connection, peer.catalog, peer.roots, peer.screen.tell)
    for request in connection.requests(TO_PEER, lambda: SILENCE, sentences.refusal):
        try:
            guest.answer(request)
        except RefusedError as no:
            connection.refuse(no.code, sentences.refusal(no))


def connect_to_peer(peer: Peer, address: Address) -> Connection:
    """Open a conversation with another peer of the network; raise PeerUnreachableError."""
    try:
        return dial(address, peer.own_ip)
    except ConnectionLostError as error:
        raise PeerUnreachableError(address, error) from error


def menu(peer: Peer, lines: Iterable[str], *, patient: bool) -> int:
    """Do what each line says until one says quit; return the exit status.

    A person is told of an error and goes on; a script (not ``patient``) stops at the first.
    """
    for line in lines:
        try:
            for command in commands.parse(line, frozenset(COMMANDS)):
                if command.name == "quit":
                    return 0
                COMMANDS[command.name](peer, *command.words)
        except KeyboardInterrupt:
            status = complain(peer, InterruptedByUserError())
        except RedeError as error:
            status = complain(peer, error)
        else:
            continue
        if not patient:
            return status
    return 0


def complain(peer: Peer, error: RedeError) -> int:
    """Say an error, and return its status."""
    peer.screen.complain(error)
    return error.status


def do_peers(peer: Peer, *words: str) -> None:
    """Show everyone who is here, oneself too."""
    if words:
        raise BadUsageError("peers")
    roster = peer.membership.roster()
    if roster.age:
        peer.screen.note(f"o tracker não responde: esta lista tem {roster.age:.0f} s")
    peer.screen.table(
        ("Endereço IP", "Porta", ""),
        [(m.ip, str(m.port), "este peer" if m.you else "") for m in roster.members],
        [asdict(m) for m in roster.members],
    )


def do_ls(peer: Peer, *words: str) -> None:
    """Show what one peer shares."""
    if len(words) != 2:
        raise BadUsageError("ls")
    found, *_ = listed(peer, options.ip(words[0]), options.port(words[1]))
    address = Address(found.ip, found.port)
    with connect_to_peer(peer, address) as connection:
        try:
            files = connection.ask_lines(Ls(), Shared)
        except (ConnectionLostError, ProtocolError, RefusedError) as error:
            raise PeerUnreachableError(address, error) from error
    peer.screen.table(
        ("Arquivos compartilhados", "Tamanho", "Raiz"),
        [(f.name, sentences.size(f.size), sentences.root(f.root)) for f in files],
        [{"name": f.name, "size": f.size, "root": f.root and f.root.hex()} for f in files],
    )


def do_get(peer: Peer, *words: str) -> None:
    """Fetch one file: whoever has that IP, and that port if one is given, is asked for it."""
    if len(words) not in (2, 3):
        raise BadUsageError("get")
    name = words[-1]
    members = listed(peer, options.ip(words[0]), options.port(words[1]) if words[2:] else None)
    # One's own files come last: who types an address wants what another peer has.
    own = [Address(m.ip, m.port) for m in members if m.you]
    others = [Address(m.ip, m.port) for m in members if not m.you]
    connect = partial(connect_to_peer, peer)
    try:
        wanted = lookup.find(name, others or own, connect)
    except NoSuchFileError:
        if not (own and others):
            raise
        wanted = lookup.find(name, own, connect)
    fetch(peer, wanted)


def fetch(peer: Peer, wanted: Wanted) -> None:
    """Download, with a bar; Ctrl-C ends this download only."""
    download = Download(wanted, peer.folder, partial(connect_to_peer, peer), peer.roots)
    with ThreadPoolExecutor(1, "download") as pool:
        future = pool.submit(download.run)
        try:
            outcome = peer.screen.watch(wanted.name, future, download.progress)
        except KeyboardInterrupt:
            download.cancel()
            outcome = future.result()
    size = sentences.size(wanted.content.size)
    said = "já estava em" if outcome.already else f"baixado e verificado, {size}:"
    peer.screen.data(
        f"{wanted.name}: {said} {outcome.path}",
        {
            "name": wanted.name,
            "path": str(outcome.path),
            "size": wanted.content.size,
            "root": wanted.content.root.hex(),
            "already": outcome.already,
        },
    )


def do_help(peer: Peer, *words: str) -> None:
    """Show what can be typed."""
    rows = [row for row in manual.COMMANDS if not words or row[0].split()[0] == words[0]]
    if not rows:
        raise BadUsageError("ajuda", words[0])
    columns = ("Comando", "O que faz", "Exemplo")
    peer.screen.table(columns, rows, [dict(zip(columns, row, strict=True)) for row in rows])


COMMANDS: "dict[str, Callable[..., None]]" = {
    "peers": do_peers,
    "ls": do_ls,
    "get": do_get,
    "ajuda": do_help,
    "quit": do_help,  # menu() itself leaves
}


def listed(peer: Peer, ip: str, port: "int | None") -> "list[Member]":
    """Find in the tracker's list who has that IP, and that port if one is given."""
    members = peer.membership.roster().members
    found = [m for m in members if m.ip == ip and port in (None, m.port)]
    if not found:
        raise PeerNotListedError(ip, port)
    return found


def join(peer: Peer, chosen: PeerOptions, stack: ExitStack) -> Membership:
    """Join the tracker that was named, or one on this machine, or else open one here."""
    ip = chosen.ip or "127.0.0.1"
    tell = peer.screen.tell
    try:
        return Membership(ip, chosen.port, chosen.own_ip, peer.open_door, tell)
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
    return Membership(ip, tracker.port, chosen.own_ip, peer.open_door, tell)


def run(chosen: PeerOptions, screen: Screen, stack: ExitStack) -> int:
    """Be a peer until the person leaves; ``stack`` ends what was begun, the last first."""
    peer = Peer(chosen, screen)
    stack.callback(peer.close)
    peer.membership = join(peer, chosen, stack)
    stack.callback(peer.membership.close)
    screen.note(f"na rede, pelo tracker {peer.membership.tracker}")
    screen.note(f"minha porta pública é {peer.membership.port}; digite ajuda para ver os comandos")
    if chosen.serve:
        while True:
            screen.show_events(within=0.5)
    if chosen.script is not None:
        return menu(peer, [chosen.script], patient=False)
    return menu(peer, iter(screen.ask, None), patient=screen.interactive)


def main(words: "list[str]") -> int:
    """Run a peer; return the exit status."""
    screen = Screen(as_json="--json" in words)
    screen.catch_bugs()
    try:
        chosen = options.parse_peer(words)
        if chosen.help:
            screen.data(manual.PEER, None)
            return 0
        with ExitStack() as stack:
            return run(chosen, screen, stack)
    except KeyboardInterrupt:
        return 130
    except RedeError as error:
        screen.complain(error)
        if isinstance(error, BadUsageError):
            screen.note(manual.PEER_USAGE)
        return error.status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
