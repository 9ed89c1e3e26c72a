"""The tracker that a peer joins: that of its options, that of the network, or a new one here."""

import importlib
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from rede_p2p.cli import texts
from rede_p2p.cli.installation import typed
from rede_p2p.cli.options import PeerOptions, TrackerOptions
from rede_p2p.cli.peer import Peer
from rede_p2p.cli.terminal import Terminal
from rede_p2p.cli.tracker_program import Start, answer_browser, tell_what_to_type
from rede_p2p.errors import Address, SeveralTrackersError, TrackerUnreachableError
from rede_p2p.net.address import is_loopback
from rede_p2p.net.discovery import LOCAL
from rede_p2p.net.listener import Listener
from rede_p2p.net.search import Found
from rede_p2p.tracker.client import TrackerClient
from rede_p2p.tracker.finding import Finder
from rede_p2p.tracker.identity import those_there
from rede_p2p.tracker.service import Tracker

MAX_FALSE_TRACKERS = 3  # that answer a search and cannot be joined: after them, only here


def join(peer: Peer, chosen: PeerOptions, terminal: Terminal, stack: ExitStack) -> TrackerClient:
    """Join the tracker of the options, else the one of the network, else a new one here."""
    if chosen.own_ip is not None:  # reports a wrong address as such, before a connection uses it
        with Listener(chosen.own_ip, 0, 1, texts.refusal):
            pass
    if chosen.ip is not None:
        return _client(peer, chosen.ip, chosen.port)
    finder = Finder(partial(_open_tracker, peer), peer.own_ip, peer.timeouts)
    avoid: set[Address] = set()  # where somebody answered a search, and is no tracker to join
    while isinstance(found := finder.run(stack, avoid), list):
        there = found if len(found) == 1 else those_there(found, peer.own_ip, peer.timeouts)
        if there:
            address = (there[0] if len(there) == 1 else _choose(there, chosen, terminal)).address
            is_here = is_loopback(address.ip)
            try:
                port = None if is_here else address.port
                return _client(peer, address.ip, port, roams=not is_here)
            except TrackerUnreachableError as error:
                if not is_here:
                    terminal.note(texts.describe(error))
                avoid.add(address)
        avoid.update(one.address for one in found if one not in there)
        if len(avoid) >= MAX_FALSE_TRACKERS:
            finder = finder._replace(source=LOCAL)
    terminal.note("nenhum tracker nesta rede: abri um aqui, que fecha com este programa")
    tell_what_to_type(found, terminal, terminal.note)
    line = f"{typed('Peers.py')} <IP>"
    terminal.note(f"se já há um em outra máquina, saia e digite o IP dela: {line}")
    client = _client(peer, LOCAL, found.port)
    stack.callback(_tell_who_stays, terminal, found, client)
    return client


def _tell_who_stays(terminal: Terminal, tracker: Tracker, client: TrackerClient) -> None:
    """Say that the network loses its tracker, where other peers are in it."""
    others = len(tracker.registry.listed_ports() - {client.port})
    if others:
        stay = "1 peer que ficou entra" if others == 1 else f"{others} peers que ficaram entram"
        line = typed("Peers.py")
        terminal.note(f"o tracker desta rede fechou com este programa: {stay} de novo com {line}")


def _choose(found: Sequence[Found], chosen: PeerOptions, terminal: Terminal) -> Found:
    """Have the person choose a tracker; raise SeveralTrackersError where there is none to ask."""
    several = SeveralTrackersError(tuple(one.address for one in found))
    if chosen.script is not None or chosen.quiet or not terminal.interactive:
        raise several
    terminal.note("há mais de um tracker nesta rede. Digite o número do seu:")
    numbers = [str(number) for number in range(1, len(found) + 1)]
    for number, one in zip(numbers, found, strict=True):
        terminal.note(f"    {number}  {texts.called(one.address, one.name)}")
    while (line := terminal.ask()) is not None:
        word = line.strip()
        if word in numbers:
            return found[numbers.index(word)]
        terminal.note(f"digite um número de 1 a {len(found)}, ou Ctrl-D para sair")
    raise several


def _client(peer: Peer, ip: str, port: int | None, *, roams: bool = False) -> TrackerClient:
    return TrackerClient(
        ip,
        port,
        peer.own_ip,
        peer.open_port,
        peer.post,
        peer.seeds.entries,
        peer.timeouts,
        name=peer.name,
        web=peer.page,
        roams=roams,
    )


def _open_tracker(peer: Peer, port: int) -> Tracker:
    """Make a tracker of this program, which may yet give way to another."""
    # Imported by name, because no module of the package depends on a script.
    start: Start = importlib.import_module("Servidor").start
    first, post, timeouts = TrackerOptions().first_port, peer.post, peer.timeouts
    words = (port, first, start, post, texts.refusal, timeouts)
    page = answer_browser if peer.page else None
    return Tracker(None, *words, opening=True, name=peer.name, page=page)
