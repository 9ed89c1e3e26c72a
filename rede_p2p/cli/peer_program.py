"""The peer's program: the state that its threads share, and how they begin and end.

Peers.py has the functions that the threads run.
"""

import importlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Thread

from rede_p2p.cli import peer_names, shell, texts
from rede_p2p.cli.asking import Asking
from rede_p2p.cli.awake import Awake, moves
from rede_p2p.cli.completion import Completer
from rede_p2p.cli.history import History, default_path
from rede_p2p.cli.installation import typed
from rede_p2p.cli.options import PeerOptions, TrackerOptions, from_environment
from rede_p2p.cli.session import Session
from rede_p2p.cli.terminal import Terminal
from rede_p2p.cli.tracker_program import Start, answer_browser, run_program, tell_what_to_type
from rede_p2p.content import on_windows
from rede_p2p.content.hash_cache import HashCache, default_database
from rede_p2p.download.request import DownloadContext
from rede_p2p.download.transfers import Transfers
from rede_p2p.errors import (
    Address,
    PortUnavailableError,
    RedeError,
    SeveralTrackersError,
    TrackerUnreachableError,
)
from rede_p2p.events import Event, FilesServed, Post
from rede_p2p.net.address import is_loopback
from rede_p2p.net.connection import Connection
from rede_p2p.net.discovery import LOCAL
from rede_p2p.net.listener import Listener
from rede_p2p.net.search import Found
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.tracker.client import TrackerClient
from rede_p2p.tracker.finding import Finder
from rede_p2p.tracker.identity import those_there
from rede_p2p.tracker.service import Tracker
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.share_list import ShareList
from rede_p2p.upload.upload_slots import UploadSlots

WAIT = "esperar"  # a script ends with this command: what it began in the background is its own
MAX_FALSE_TRACKERS = 3  # that answer a search and cannot be joined: after them, only here
MAX_CONNECTIONS = 512  # from other peers at once, half of them from one address


@dataclass(frozen=True)
class Story:
    """The functions of Peers.py that this program calls."""

    menu: Callable[[Session, Iterable[str], bool], int]
    listening: "Callable[[Peer, Listener], None]"
    connect_to_peer: "Callable[[Peer, Address], Connection]"


class Peer:
    """What the threads of this peer share. ``close`` ends them, and waits."""

    def __init__(
        self, chosen: PeerOptions, story: Story, post: Post, timeouts: Timeouts = DEFAULT
    ) -> None:
        self.own_ip = chosen.own_ip
        self.name = chosen.name or ""
        self.page = chosen.page
        self.name_at: Callable[[str], str] = lambda _ip: ""  # of the peer at an IP
        self._post = post
        self.timeouts = timeouts
        self.hash_cache = HashCache(default_database())
        self.shares = ShareList(chosen.share_list, self.hash_cache, post, timeouts)
        self.seeds = SeedStore(self.shares, keeps=chosen.seeds)
        self.slots = UploadSlots(chosen.limit, timeouts=timeouts)
        self._listening = story.listening
        self._port: int | None = None  # the public port
        self._end_port = ExitStack()

    def post(self, event: Event) -> None:
        """Post an event, with the name of who is meant; any thread may call this."""
        if isinstance(event, FilesServed):
            event = replace(event, peer=self.name_at(event.to))
        self._post(event)

    def open_port(self, port: int) -> bool:
        """Listen on a public port, and no more on the one before; False if a program has it.

        Raises PortUnavailableError. Called by the main thread, then by the tracker client's.
        """
        if port == self._port:
            return True
        try:
            listener = Listener(
                self.own_ip,
                port,
                MAX_CONNECTIONS,
                texts.refusal,
                self.timeouts,
                files=1,  # who wants a content keeps its file open
                idle_s=self.timeouts.peer_idle_s,
            )
        except PortUnavailableError as error:
            if error.reason == "taken":
                return False
            raise
        self._end_port.close()
        thread = Thread(target=self._listening, args=(self, listener), name="listening")
        thread.start()
        self._end_port.callback(thread.join)
        self._end_port.callback(listener.stop)
        self._port = port
        return True

    def close(self) -> None:
        """End every thread, and wait for it."""
        self.slots.close()
        self._end_port.close()
        self.shares.close()
        self.hash_cache.close()


def run_peer(words: Sequence[str], story: Story) -> int:
    """Run a peer; return the exit status."""
    return run_program("Peers.py", words, PeerOptions, partial(_run, story))


def _run(story: Story, chosen: PeerOptions, terminal: Terminal) -> int:
    typed = chosen.script is None and sys.stdin.isatty()
    terminal.serves_on = chosen.serve or typed
    terminal.quiet = chosen.quiet
    # With Python's 5 ms, a dozen connections take the turn from each other in the middle of a run.
    sys.setswitchinterval(DEFAULT.peer_turn_s)
    try:
        with ExitStack() as stack:
            chosen = from_environment(chosen)
            if _only_diagnoses(chosen.script):
                from rede_p2p.cli import diagnosis  # here, because the start is short

                join = partial(_start, story, chosen, terminal, stack)
                return diagnosis.run_alone(chosen, terminal, join)
            session = _start(story, chosen, terminal, stack)
            if chosen.serve:
                terminal.follow_events()
            if chosen.script is not None:
                return story.menu(session, [chosen.script, WAIT], False)
            return story.menu(session, _typed(session), terminal.interactive)
    finally:
        terminal.show_events(at_once=True)


def _only_diagnoses(script: str | None) -> bool:
    """Tell whether ``-c`` asks for ``diagnostico`` alone, which needs no tracker."""
    name = "diagnostico"
    with suppress(RedeError):
        return shell.parse(script or "", frozenset({name})) == [shell.Command(name, ())]
    return False


def _start(story: Story, chosen: PeerOptions, terminal: Terminal, stack: ExitStack) -> Session:
    """Join the network; ``stack`` ends what was started, the last first."""
    peer = Peer(chosen, story, terminal.post)
    stack.callback(peer.close)
    client = _join(peer, chosen, terminal, stack)
    peer.name_at = lambda ip: peer_names.name_at(client.roster().members, ip)
    connect = partial(story.connect_to_peer, peer)
    context = DownloadContext(
        Path(on_windows.long_path(chosen.folder)),
        connect,
        peer.hash_cache,
        client.who_has,
        peer.seeds,
        peer.timeouts,
    )
    transfers = Transfers(context, terminal.post)
    stack.callback(transfers.close)
    stack.callback(Awake(moves(transfers, peer.slots), peer.timeouts).close)
    asking = Asking(peer.timeouts)
    stack.callback(asking.close)
    # The client ends first, so that no transfer waits for the answer of a silent tracker.
    stack.callback(client.close)
    peer.seeds.watch(client.entries_changed)
    terminal.note(f"na rede, pelo tracker {client.tracker}")
    hint = ""
    if chosen.serve:
        hint = "; compartilho o que está na lista até Ctrl-C"
    elif chosen.script is None and terminal.interactive:
        hint = "; digite ajuda para ver os comandos"
    terminal.note(f"minha porta pública é {client.port}{hint}")
    session = Session(terminal, client, context, transfers, peer.shares, peer.slots, peer.own_ip)
    if terminal.prompt is not None and chosen.script is None and not chosen.serve:
        history = History(default_path())
        complete = Completer(session, asking).complete
        terminal.prompt.assist(complete, history.append, history.load())
    return session


def _join(peer: Peer, chosen: PeerOptions, terminal: Terminal, stack: ExitStack) -> TrackerClient:
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
    return _client(peer, LOCAL, found.port)


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


def _typed(session: Session) -> Iterator[str]:
    """Yield each typed line, and after those of a script the command to wait.

    While downloads run, only a second Ctrl-C of a person raises KeyboardInterrupt.
    """
    warned = False
    while True:
        try:
            line = session.terminal.ask()
        except KeyboardInterrupt:
            running = len(session.transfers.running())
            if warned or not running or not session.terminal.interactive:
                raise
            session.terminal.note(texts.still_running(running))
            warned = True
        else:
            if line is None:
                if not session.terminal.interactive:
                    yield WAIT
                return
            warned = False
            yield line
