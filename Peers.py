#!/usr/bin/env python3
"""A peer: a menu for the person, and a listener for the other peers.

The story: the tracker offers a public port; listening() waits on it for other peers, and
peer_connected() serves each in a thread of its own, or browser_connected() if it is a browser;
menu() does what the person types; connect_to_peer() is how a command reaches another peer. What
stands behind them is in rede_p2p/: upload/ what is given, download/ what is fetched, cli/ the
options and the screen.
"""

import sys
from collections.abc import Iterable
from functools import partial

from rede_p2p.cli import shell, texts
from rede_p2p.cli.commands import COMMANDS
from rede_p2p.cli.peer import Peer, Story
from rede_p2p.cli.peer_program import run_peer
from rede_p2p.cli.session import Session, as_error
from rede_p2p.errors import Address, ConnectionLostError, PeerUnreachableError
from rede_p2p.net.connection import Connection, dial
from rede_p2p.net.listener import Listener
from rede_p2p.net.requests import serve
from rede_p2p.protocol.verbs import TO_PEER
from rede_p2p.upload.request_handler import RequestHandler


def menu(session: Session, lines: Iterable[str], patient: bool) -> int:
    """Do what each line says until one says quit; return the exit status.

    A person is told of an error and goes on; a script (not ``patient``) stops at the first.
    """
    known = frozenset({*COMMANDS, "quit"})
    for line in lines:
        try:
            for command in shell.parse(line, known):
                if command.name == "quit":
                    return 0
                COMMANDS[command.name](session, command)
        except (KeyboardInterrupt, Exception) as found:  # noqa: BLE001 - the peer serves on
            error = as_error(found)
        else:
            continue
        session.terminal.complain(error)
        if not patient:
            return error.status
    return 0


def listening(peer: Peer, listener: Listener) -> None:
    """Wait on the public port for other peers, and give each a thread of its own."""
    with listener:
        while (connection := listener.accept()) is not None:
            listener.attend(connection, partial(peer_connected, peer))


def peer_connected(peer: Peer, connection: Connection) -> None:
    """Be at the service of one other peer: answer what it asks until it leaves."""
    handler = RequestHandler(
        connection, peer.shares, peer.hash_cache, peer.seeds, peer.slots, peer.post, peer.timeouts
    )
    try:
        silence_s = peer.timeouts.peer_silence_s
        web = partial(browser_connected, peer, connection) if peer.page else None
        serve(connection, TO_PEER, lambda: silence_s, handler.answer, texts.refusal, web)
    finally:
        handler.leave()


def browser_connected(peer: Peer, connection: Connection, line: bytes) -> None:
    """Give files to a browser, whose first line this is, until it leaves."""
    from rede_p2p.net.web import serve_web  # most peers never meet a browser
    from rede_p2p.upload.web_files import WebFiles

    files = WebFiles(connection, peer.shares, peer.hash_cache, peer.seeds, peer.slots, peer.post)
    try:
        serve_web(connection, line, files.answer, texts.refusal, peer.timeouts)
    finally:
        files.leave()


def connect_to_peer(peer: Peer, address: Address) -> Connection:
    """Open a conversation with another peer of the network; raise PeerUnreachableError."""
    try:
        return dial(address, peer.own_ip, peer.timeouts)
    except ConnectionLostError as error:
        raise PeerUnreachableError(address, error) from error


def main() -> int:
    """Run a peer with the words that were typed; return the exit status."""
    return run_peer(sys.argv[1:], Story(menu, listening, connect_to_peer))


if __name__ == "__main__":
    sys.exit(main())
