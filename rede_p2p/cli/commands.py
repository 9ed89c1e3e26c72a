"""What each command does: asks the network, and shows the answer.

Every action takes the Session and the command's words, in the main thread, and raises RedeError
where it cannot do what was asked. Owner of what the Session holds: the peer.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import monotonic

from rede_p2p.cli import manual, options, texts
from rede_p2p.cli.get_command import get
from rede_p2p.cli.session import Session, expect, listed
from rede_p2p.cli.shell import Command
from rede_p2p.content import disk, torrent
from rede_p2p.content.merkle import Content
from rede_p2p.content.partial_file import PartialFile, finals, path_of
from rede_p2p.errors import (
    Address,
    BadUsageError,
    ConnectionLostError,
    DiskError,
    NoSuchFileError,
    PartlyFailedError,
    PeerUnreachableError,
    ProtocolError,
    RedeError,
    RefusedError,
    StoppedWaitingError,
)
from rede_p2p.protocol.messages import FileEntry, Ls, SearchResult

MOST_NAMES = 10  # contents that ``status`` names, of those that are offered beside the shares


def peers(session: Session, command: Command) -> None:
    """Show everyone who is here, oneself too."""
    expect(command, 0)
    roster = session.membership.roster()
    if roster.age:
        session.screen.note(f"o tracker não responde: esta lista tem {roster.age:.0f} s")
    session.screen.table(
        ("Endereço IP", "Porta", ""),
        [(m.ip, str(m.port), "este peer" if m.you else "") for m in roster.members],
        [asdict(m) for m in roster.members],
    )


def ls(session: Session, command: Command) -> None:
    """Show what one peer shares, or, with no words, the whole network."""
    if not command.words:
        _show_known(session, session.membership.search(""))
        return
    expect(command, 2)
    ip, port = options.ip(command.words[0]), options.port(command.words[1])
    found, *_ = listed(session, ip, port)
    address = Address(found.ip, found.port)
    try:
        with session.connect(address) as connection:
            files = connection.ask_lines(Ls(), FileEntry)
    except (ConnectionLostError, ProtocolError, RefusedError) as error:
        raise PeerUnreachableError(address, error) from error
    session.screen.table(
        ("Arquivos compartilhados", "Tamanho", "Raiz"),
        [(f.name, texts.size(f.size), texts.root(f.root)) for f in files],
        [{"name": f.name, "size": f.size, "root": f.root and f.root.hex()} for f in files],
    )


def search(session: Session, command: Command) -> None:
    """Show what the network has with this text in a name."""
    expect(command, 1)
    _show_known(session, session.membership.search(command.words[0]))


def _show_known(session: Session, known: list[SearchResult]) -> None:
    """Show contents: one under several names is one row."""
    if not known:
        session.screen.note("nada encontrado")
        return
    contents: dict[bytes, list[SearchResult]] = {}
    for one in sorted(known, key=lambda one: one.name):
        contents.setdefault(one.root, []).append(one)
    session.screen.table(
        ("Arquivos na rede", "Tamanho", "Peers", "Raiz"),
        [
            (
                ", ".join(one.name for one in same),
                texts.size(same[0].size),
                str(same[0].peers),
                texts.root(root),
            )
            for root, same in contents.items()
        ],
        [
            {
                "names": [one.name for one in same],
                "size": same[0].size,
                "peers": same[0].peers,
                "root": root.hex(),
            }
            for root, same in contents.items()
        ],
    )


def make_torrent(session: Session, command: Command) -> None:
    """Write the .torrent of a file that this peer shares."""
    expect(command, 1)
    name = command.words[0]
    while True:
        share = session.catalog.find(name)  # each time: while it waits for its turn, it may change
        if share is None:
            raise NoSuchFileError(name, "meus_arquivos.txt")
        root = session.roots.wait(share.path, share.stamp, within=1.0)
        if root is not None:
            break
    content = Content(root, share.stamp.size)
    layer = session.roots.layer(share.path, content)
    if layer is None:
        raise DiskError(share.path, "changed")
    described = torrent.describe(name, content, layer)
    wanted = session.transfers.folder / f"{name.rpartition('/')[2]}.torrent"
    with PartialFile(path_of(wanted)) as partial:
        try:
            partial.write_whole(described)
            partial.flush()
            target = partial.publish(finals(wanted), lambda path: _holds(path, described))
        except DiskError:
            partial.discard()
            raise
    session.screen.data(str(target), {"path": str(target), "root": root.hex()})


def _holds(path: Path, data: bytes) -> bool:
    """Tell whether a file is there and holds just that."""
    with suppress(DiskError), disk.open_regular(path) as file, disk.translate_os_errors(path):
        return file.read(len(data) + 1) == data
    return False


def status(session: Session, command: Command) -> None:
    """Show what runs: downloads, uploads, hashing."""
    expect(command, 0)
    rows, facts = [], []
    for transfer in session.transfers.running():
        progress = transfer.progress()
        rate = progress.came / max(monotonic() - transfer.began, 0.001)
        who = texts.count(progress.sources, "fonte", "fontes") if progress.sources else ""
        if progress.looking:
            who = texts.LOOKING
        elif progress.place:
            who = f"na fila, lugar {progress.place}"
        done = _of(progress.have, progress.size)
        speed = f"{texts.size(rate)}/s"
        rows.append((f"[{transfer.number}] ↓", transfer.title, done, speed, who))
        facts.append({"number": transfer.number, "title": transfer.title, **asdict(progress)})
    for up in session.uploads.active():
        sent = up.earlier + up.sent
        speed = f"{texts.size(sent / max(monotonic() - up.began, 0.001))}/s"
        rows.append(("↑", up.name, f"{texts.size(sent)} enviados", speed, up.to))
        facts.append({"upload": up.name, "to": up.to, "sent": sent})
    kept = session.holdings.downloads()
    for content, name in kept.items():
        facts.append({"seeding": content.root.hex(), "name": name, "size": content.size})
    names = sorted(kept.values()) if len(kept) <= MOST_NAMES else [f"{len(kept)} conteúdos"]
    rows += [("↑", name, "à disposição", "", "") for name in names]
    if pending := session.roots.pending():
        left = "falta 1 arquivo" if pending == 1 else f"faltam {pending} arquivos"
        rows.append(("#", "calculando raízes", left, "", ""))
        facts.append({"hashing": pending})
    if not rows:
        session.screen.note("nada em andamento")
        return
    session.screen.table(("", "Arquivo", "Quanto", "Taxa", "Com quem"), rows, facts)


def cancel(session: Session, command: Command) -> None:
    """End a download; what has arrived stays."""
    expect(command, 1)
    for transfer in session.transfers.running():
        if str(transfer.number) == command.words[0].strip("[]"):
            transfer.cancel()
            return
    raise BadUsageError("no-download", command.words[0])


def wait(session: Session, command: Command) -> None:
    """Wait for the downloads in the background; Ctrl-C ends the waiting, not them."""
    expect(command, 0)
    failures: list[RedeError] = []
    total = 0
    for transfer in session.transfers.take_background():
        try:
            session.screen.watch(transfer.title, transfer.results, transfer.progress)
        except KeyboardInterrupt:
            if session.screen.interactive:
                raise StoppedWaitingError from None
            raise  # a script ends of it, and what it began ends with it
        results = transfer.results.result()
        failures += [error for _, error in results if isinstance(error, RedeError)]
        total += len(results)
    session.screen.show_events(within=0.1)
    if failures:
        raise PartlyFailedError(len(failures), total, failures[0])


def help_me(session: Session, command: Command) -> None:
    """Show what can be typed."""
    about = command.words[0] if command.words else ""
    rows = [row for row in manual.COMMANDS if about in ("", row[0].split()[0])]
    if not rows:
        raise BadUsageError("ajuda", about)
    columns = ("Comando", "O que faz", "Exemplo")
    facts = [{"command": row[0], "does": row[1], "example": row[2]} for row in rows]
    session.screen.table(columns, rows, facts)


ACTIONS: dict[str, Callable[[Session, Command], None]] = {
    "peers": peers,
    "ls": ls,
    "get": get,
    "buscar": search,
    "torrent": make_torrent,
    "status": status,
    "cancelar": cancel,
    "esperar": wait,
    "ajuda": help_me,
}


def _of(have: int, size: int) -> str:
    return f"{100 * have // max(size, 1)} % de {texts.size(size)}"
