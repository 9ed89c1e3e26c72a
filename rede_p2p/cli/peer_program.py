"""The peer's program: how it begins, what it does until its end, and how it ends.

Peers.py has the functions that its threads run.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from rede_p2p.cli import peer_names, shell, texts
from rede_p2p.cli.asking import Asking
from rede_p2p.cli.awake import Awake, moves
from rede_p2p.cli.completion import Completer
from rede_p2p.cli.entry import join
from rede_p2p.cli.history import History, default_path
from rede_p2p.cli.options import PeerOptions, from_environment
from rede_p2p.cli.peer import Peer, Story
from rede_p2p.cli.session import Session
from rede_p2p.cli.terminal import Terminal
from rede_p2p.cli.tracker_program import run_program
from rede_p2p.content import on_windows
from rede_p2p.download.request import DownloadContext
from rede_p2p.download.transfers import Transfers
from rede_p2p.errors import RedeError
from rede_p2p.timeouts import DEFAULT

WAIT = "esperar"  # a script ends with this command: what it began in the background is its own


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

                enter = partial(_start, story, chosen, terminal, stack)
                return diagnosis.run_alone(chosen, terminal, enter)
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
    client = join(peer, chosen, terminal, stack)
    stack.callback(client.close)  # in case that what follows cannot be
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
