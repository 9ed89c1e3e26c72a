"""What each command does: asks the network, and shows the answer.

Every action takes the Session and the command's words, in the main thread, and raises RedeError
where it cannot do what was asked. Owner of what the Session holds: the peer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from time import monotonic

from rede_p2p import disk, lookup, manual, options, sentences, torrent, wire
from rede_p2p.catalog import Catalog
from rede_p2p.commands import Command
from rede_p2p.download import Connect, Outcome, Wanted
from rede_p2p.errors import (
    Address,
    AmbiguousNameError,
    BadUsageError,
    ConnectionLostError,
    DiskError,
    NoSuchFileError,
    PartlyFailedError,
    PeerNotListedError,
    PeerUnreachableError,
    ProtocolError,
    RedeError,
    RefusedError,
)
from rede_p2p.events import Preparing
from rede_p2p.holdings import Holdings
from rede_p2p.membership import Membership
from rede_p2p.merkle import Content
from rede_p2p.messages import Known, Ls, Member, Shared
from rede_p2p.roots import Roots
from rede_p2p.screens import Screen
from rede_p2p.transfers import Transfer, Transfers
from rede_p2p.uploads import Uploads

MANY = 50  # rows; of a longer list of results only the failures are shown


@dataclass(frozen=True)
class Session:
    """What the commands act on."""

    screen: Screen
    membership: Membership
    connect: Connect
    transfers: Transfers
    uploads: Uploads
    roots: Roots
    catalog: Catalog
    holdings: Holdings


def peers(session: Session, command: Command) -> None:
    """Show everyone who is here, oneself too."""
    _expect(command, 0)
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
    _expect(command, 2)
    ip, port = options.ip(command.words[0]), options.port(command.words[1])
    found, *_ = _listed(session, ip, port)
    address = Address(found.ip, found.port)
    try:
        with session.connect(address) as connection:
            files = connection.ask_lines(Ls(), Shared)
    except (ConnectionLostError, ProtocolError, RefusedError) as error:
        raise PeerUnreachableError(address, error) from error
    session.screen.table(
        ("Arquivos compartilhados", "Tamanho", "Raiz"),
        [(f.name, sentences.size(f.size), sentences.root(f.root)) for f in files],
        [{"name": f.name, "size": f.size, "root": f.root and f.root.hex()} for f in files],
    )


def get(session: Session, command: Command) -> None:
    """Fetch files: whoever has that IP, and that port if one is given, is asked for them."""
    if not command.words:
        raise BadUsageError("get")
    wanted = _choose(session, command.words)
    transfer = session.transfers.start(wanted, followed=not command.background)
    if command.background:
        _leave_in_background(session, transfer)
    else:
        _follow(session, transfer)


def _choose(session: Session, words: tuple[str, ...]) -> list[Wanted]:
    """Find what the words of a ``get`` mean."""
    if len(words) == 1:
        if options.is_ip(words[0]):  # the name is missing
            raise BadUsageError("get")
        return [_find_anywhere(session, words[0])]
    ip, *patterns = words
    port = None
    if len(patterns) > 1 and patterns[0].isdigit():
        port = options.port(patterns.pop(0))
    while True:
        try:
            return _find_there(session, options.ip(ip), port, patterns)
        except PeerUnreachableError as error:
            if error.address in map(_address, session.membership.roster().members):
                raise
            # It left after it was listed: those that are still there may have what is wanted.


def _find_there(session: Session, ip: str, port: int | None, patterns: list[str]) -> list[Wanted]:
    """Find what the patterns mean among the peers that have that IP, and that port."""
    members = _listed(session, ip, port)
    # One's own files come last: who types an address wants what another peer has.
    own = [_address(m) for m in members if m.you]
    others = [_address(m) for m in members if not m.you]
    return lookup.select(patterns, [others, own], session.connect, _teller(session))


def _find_anywhere(session: Session, name: str) -> Wanted:
    """Find a name in the whole network; raise where it is several contents, or none."""
    contents = {Content(k.root, k.size) for k in session.membership.search(name, exact=True)}
    own = [_address(m) for m in session.membership.roster().members if m.you]
    # What nobody else has is one's own: it comes from there, as with get and one's own IP.
    found = {content: session.membership.who_has(content) or own for content in contents}
    if not found:
        raise NoSuchFileError(name, "toda a rede")
    if len(found) > 1:
        places = (holder for holders in found.values() for holder in holders)
        raise AmbiguousNameError(name, tuple(dict.fromkeys(places)))
    ((content, holders),) = found.items()
    return Wanted(name, content, tuple(holders))


def search(session: Session, command: Command) -> None:
    """Show what the network has with this text in a name."""
    _expect(command, 1)
    _show_known(session, session.membership.search(command.words[0]))


def _show_known(session: Session, known: list[Known]) -> None:
    """Show contents: one under several names is one row."""
    contents: dict[bytes, list[Known]] = {}
    for one in sorted(known, key=lambda one: one.name):
        contents.setdefault(one.root, []).append(one)
    session.screen.table(
        ("Arquivos na rede", "Tamanho", "Peers", "Raiz"),
        [
            (
                ", ".join(one.name for one in same),
                sentences.size(same[0].size),
                str(same[0].peers),
                sentences.root(root),
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
    _expect(command, 1)
    name = command.words[0]
    share = session.catalog.find(name)
    if share is None:
        raise NoSuchFileError(name, "meus_arquivos.txt")
    root = None
    while root is None:
        root = session.roots.wait(share.path, share.stamp, within=1.0)
    content = Content(root, share.stamp.size)
    layer = session.roots.layer(share.path, content)
    if layer is None:
        raise DiskError(share.path, "changed")
    target = session.transfers.folder / f"{name.rpartition('/')[2]}.torrent"
    with disk.border(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(torrent.describe(name, content, layer))
    session.screen.data(str(target), {"path": str(target), "root": root.hex()})


def status(session: Session, command: Command) -> None:
    """Show what runs: downloads, uploads, hashing."""
    _expect(command, 0)
    rows, facts = [], []
    for transfer in session.transfers.running():
        progress = transfer.progress()
        rate = (progress.have - progress.kept) / max(monotonic() - transfer.began, 0.001)
        who = f"{progress.sources} fontes" if progress.sources else ""
        if progress.place:
            who = f"na fila, lugar {progress.place}"
        done = _of(progress.have, progress.size)
        speed = f"{sentences.size(rate)}/s"
        rows.append((f"[{transfer.number}] ↓", transfer.title, done, speed, who))
        facts.append({"number": transfer.number, "title": transfer.title, **asdict(progress)})
    for up in session.uploads.active():
        rate = up.sent / max(monotonic() - up.began, 0.001)
        rows.append(("↑", up.name, _of(up.sent, up.size), f"{sentences.size(rate)}/s", up.to))
        facts.append({"upload": up.name, "to": up.to, "have": up.sent, "size": up.size})
    for content in session.holdings.downloads():
        rows.append(("↑", sentences.root(content.root), "à disposição", "", ""))
        facts.append({"seeding": content.root.hex(), "size": content.size})
    if pending := session.roots.pending():
        rows.append(("#", "calculando raízes", f"faltam {pending} arquivos", "", ""))
        facts.append({"hashing": pending})
    if not rows:
        session.screen.note("nada em andamento")
        return
    session.screen.table(("", "Arquivo", "Quanto", "Taxa", "Com quem"), rows, facts)


def cancel(session: Session, command: Command) -> None:
    """End a download; what has arrived stays."""
    _expect(command, 1)
    for transfer in session.transfers.running():
        if str(transfer.number) == command.words[0].strip("[]"):
            transfer.cancel()
            return
    raise BadUsageError("cancelar", command.words[0])


def wait(session: Session, command: Command) -> None:
    """Wait for the downloads in the background; Ctrl-C ends the waiting, not them."""
    _expect(command, 0)
    failures: list[RedeError] = []
    total = 0
    for transfer in session.transfers.take_background():
        session.screen.watch(transfer.title, transfer.results, transfer.progress)
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


def _expect(command: Command, count: int) -> None:
    if len(command.words) != count or command.background:
        raise BadUsageError(command.name, " ".join(command.words))


def _listed(session: Session, ip: str, port: int | None) -> list[Member]:
    """Find in the tracker's list who has that IP, and that port if one is given."""
    members = session.membership.roster().members
    found = [m for m in members if m.ip == ip and port in (None, m.port)]
    if not found:
        raise PeerNotListedError(ip, port)
    return found


def _address(member: Member) -> Address:
    return Address(member.ip, member.port)


def _teller(session: Session) -> Callable[[wire.Wait], None]:
    """Return what to do while a peer hashes the file first: say so, and at each tenth of it."""
    said = -1

    def tell(wait: wire.Wait) -> None:
        nonlocal said
        tenth = 10 * wait.done // max(wait.size, 1)
        if tenth != said:
            said = tenth
            session.screen.tell(Preparing(wait.done, wait.size))
            session.screen.show_events()

    return tell


def _follow(session: Session, transfer: Transfer) -> None:
    """Show a download until its end; Ctrl-C ends it, Ctrl-Z sends it to the background."""
    try:
        ended = session.screen.watch(transfer.title, transfer.results, transfer.progress)
    except KeyboardInterrupt:
        transfer.cancel()
        ended = True
    if not ended:
        transfer.told.clear()
        ended = transfer.results.done()  # perhaps just before that, and nobody has told
    if not ended:
        _leave_in_background(session, transfer)
        return
    _show(session, transfer.results.result())


def _leave_in_background(session: Session, transfer: Transfer) -> None:
    number = transfer.number
    session.screen.note(
        f"[{number}] {transfer.title} em segundo plano: status, esperar, cancelar {number}"
    )


def _show(session: Session, results: list[tuple[Wanted, Outcome | RedeError]]) -> None:
    """Show how a download ended; raise its error, or that some of its files failed."""
    failures = [error for _, error in results if isinstance(error, RedeError)]
    if len(results) == 1:
        if failures:
            raise failures[0]
        wanted, outcome = results[0]
        session.screen.data(f"{wanted.name}: {_said(wanted, outcome)}", _fact(wanted, outcome))
        return
    shown = [
        (wanted, outcome)
        for wanted, outcome in results
        if len(results) <= MANY or isinstance(outcome, RedeError)
    ]
    session.screen.table(
        ("Arquivo", "Resultado"),
        [(wanted.name, _said(wanted, outcome)) for wanted, outcome in shown],
        (_fact(wanted, outcome) for wanted, outcome in results),
    )
    already = sum(isinstance(o, Outcome) and o.already for _, o in results)
    fresh = len(results) - already - len(failures)
    session.screen.note(f"{fresh} baixados e verificados, {already} já estavam aqui")
    if failures:
        raise PartlyFailedError(len(failures), len(results), failures[0])


def _said(wanted: Wanted, outcome: Outcome | RedeError) -> str:
    if isinstance(outcome, RedeError):
        return sentences.tell(outcome)
    if outcome.already:
        return f"já estava em {outcome.path}"
    return f"baixado e verificado, {sentences.size(wanted.content.size)}: {outcome.path}"


def _fact(wanted: Wanted, outcome: Outcome | RedeError) -> dict[str, object]:
    fact: dict[str, object] = {
        "name": wanted.name,
        "size": wanted.content.size,
        "root": wanted.content.root.hex(),
    }
    if isinstance(outcome, RedeError):
        return fact | {"error": sentences.tell(outcome), "status": outcome.status}
    return fact | {"path": str(outcome.path), "already": outcome.already}


def _of(have: int, size: int) -> str:
    return f"{100 * have // max(size, 1)} % de {sentences.size(size)}"
