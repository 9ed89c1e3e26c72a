"""The tracker's program, and what both programs do alike: options, help, errors, exit status.

Servidor.py has the functions that the tracker's threads run.
"""

import gc
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

from rede_p2p.cli import manual, options, streams, texts
from rede_p2p.cli.installation import (
    is_started_by_its_command,
    lines_to_fetch,
    typed_elsewhere,
)
from rede_p2p.cli.options import Options, TrackerOptions
from rede_p2p.cli.terminal import Terminal
from rede_p2p.content import descriptors
from rede_p2p.errors import BadUsageError, DiskError, PortUnavailableError, RedeError
from rede_p2p.net import discovery
from rede_p2p.net.address import is_loopback
from rede_p2p.net.connection import Connection
from rede_p2p.timeouts import DEFAULT
from rede_p2p.tracker.service import Tracker

if TYPE_CHECKING:
    from rede_p2p.cli.zipapp import Packed
    from rede_p2p.net.web import Reply
    from rede_p2p.protocol.http import HttpRequest

MAX_OTHER_LINES = 8  # for the addresses that are not the likeliest
Start = Callable[[Tracker], None]  # the body of the thread that accepts peers


def run_tracker(words: Sequence[str], start: Start) -> int:
    """Run the tracker until Ctrl-C or a signal; return the exit status."""
    return run_program("Servidor.py", words, TrackerOptions, partial(_serve, start))


def _serve(start: Start, chosen: TrackerOptions, terminal: Terminal) -> int:
    if chosen.pack is not None:
        return _pack(chosen.pack, terminal)
    terminal.serves_on = True
    # Every thread that waits for its turn wakes after this time, to ask for it. With Python's 5 ms,
    # thousands of peers that leave at once do little else, and all others wait for many seconds.
    sys.setswitchinterval(DEFAULT.tracker_turn_s)
    place, name = (chosen.ip, chosen.port, chosen.first_port), options.own_name()
    page = answer_browser if chosen.page else None
    try:
        with Tracker(*place, start, terminal.post, texts.refusal, name=name, page=page) as tracker:
            terminal.note(f"tracker na porta {tracker.port}")
            if (other := _other_port(chosen)) not in (None, tracker.port):
                told = f"há outro tracker nesta máquina, na porta {other}"
                terminal.note(f"{told}: é a ele que chega quem não diz a porta")
            tell_what_to_type(tracker, terminal, lambda line: terminal.data(line, None))
            if tracker.answers_browsers:
                # Not here: Ctrl-C would make ``zipfile`` raise its own error.
                Thread(target=_pack_first, name="packing", args=(terminal,)).start()
            terminal.note("Ctrl-C encerra.")
            terminal.follow_events()
    except PortUnavailableError as error:
        if error.reason == "taken" and _other_port(chosen) == error.address.port:
            raise replace(error, reason="tracker") from error
        raise
    except (KeyboardInterrupt, SystemExit) as ending:
        terminal.show_events(at_once=True)
        terminal.note("tracker encerrado")
        if isinstance(ending, SystemExit):
            raise
        return 130


def _other_port(chosen: TrackerOptions) -> int | None:
    """Return the port that peers are told who ask this machine for its tracker."""
    return discovery.find(chosen.ip or discovery.LOCAL)


def _pack(path: Path, terminal: Terminal) -> int:
    """Write the whole program to one file; raise BadUsageError, DiskError."""
    from rede_p2p.cli import zipapp

    made = _packed(terminal)
    terminal.data(str(zipapp.write(path, made)), None)
    terminal.show_events()
    return 0


def _pack_first(terminal: Terminal) -> None:
    """Make the one file, and post its digest, before anybody asks for it."""
    with suppress(DiskError):  # else said where somebody asks
        _packed(terminal)


def _packed(terminal: Terminal) -> "Packed":
    """Return the whole program in one file, whose digest is posted; raise DiskError."""
    from rede_p2p.cli import zipapp  # a peer seldom needs it

    try:
        return zipapp.packed(terminal.post)
    except ValueError as error:  # of zipfile, which Ctrl-C interrupted
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise


def answer_browser(
    tracker: Tracker, connection: Connection, request: "HttpRequest", reply: "Reply"
) -> None:
    """Answer one request of a browser, as ``tracker_page`` does; raise HttpError."""
    from rede_p2p.cli import tracker_page  # most trackers never meet a browser

    tracker_page.answer(tracker, connection, request, reply)


def tell_what_to_type(tracker: Tracker, terminal: Terminal, show: Callable[[str], None]) -> None:
    """Tell what to type on the other machines: the likeliest line alone, then the others."""
    likeliest, *others = lines_to_type(tracker)
    ip = tracker.addresses()[0].ip
    where = "só desta máquina se chega a ele: nela" if is_loopback(ip) else "nas outras máquinas"
    terminal.note(f"{where}, digite:")
    show(f"    {likeliest}")
    if not is_started_by_its_command():
        terminal.note(manual.ON_WINDOWS)
    if others:
        terminal.note("Se de lá não se chega a esse endereço, um destes:")
    for line in others[:MAX_OTHER_LINES]:
        show(f"    {line}")
    if len(others) > MAX_OTHER_LINES:
        more = texts.count(len(others) - MAX_OTHER_LINES, "endereço", "endereços")
        terminal.note(f"    … e mais {more}")
    if tracker.answers_browsers:
        fetch, fetch_on_windows, start = lines_to_fetch(ip, tracker.port)
        terminal.note("Onde só há Python, e não o programa, digite:")
        show(f"    {fetch}")
        show(f"    {start}")
        terminal.note(f"(no PowerShell: {fetch_on_windows})")


def lines_to_type(tracker: Tracker) -> list[str]:
    """List what to type on the other machines, one line for each address of this one.

    After the first, each tells its interface and what that seems to be.
    """
    lines: list[str] = []
    for ip, interface, kind in tracker.addresses():
        about = ", ".join(filter(None, (interface, texts.NETWORKS[kind])))
        shown = f"   ({about})" if about and lines else ""
        lines.append(f"{typed_elsewhere('Peers.py')} {ip} {tracker.port}{shown}")
    return lines


def run_program(
    name: str, words: Sequence[str], kind: type[Options], run: Callable[[Options, Terminal], int]
) -> int:
    """Run the program in the file ``name``, started with ``words``; return its exit status.

    ``run`` returns the exit status, and raises RedeError or KeyboardInterrupt.
    """
    streams.open_all()
    terminal = Terminal()
    terminal.as_json = "--json" in words  # also where the other words are wrong
    terminal.catch_bugs_and_signals()
    gc.freeze()  # imported modules stay: the garbage collector need not visit them
    gc.enable()
    descriptors.raise_limit()
    try:
        chosen = options.parse(kind, words)
        if chosen.help or chosen.version:
            terminal.page(manual.HELP[name] if chosen.help else manual.version(name))
            return 0
        return run(chosen, terminal)
    except KeyboardInterrupt:
        return 130
    except RedeError as error:
        terminal.complain(error)
        if isinstance(error, BadUsageError):
            terminal.note(manual.USAGE[name])
        return error.status
    except SystemExit as ending:  # a signal: what had begun and has no owner yet, nobody waits for
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(str(ending.code)))
