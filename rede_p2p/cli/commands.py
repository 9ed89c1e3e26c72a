"""The commands: each asks the network or this peer, and shows the answer.

A command takes the Session and the typed Command, runs in the main thread, and raises RedeError.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from itertools import chain
from math import inf
from time import monotonic
from typing import Any

from rede_p2p import errors
from rede_p2p.cli import get_to_output, listing, manual, options, peer_names, share_commands, texts
from rede_p2p.cli.get_command import fact_of
from rede_p2p.cli.listing import View
from rede_p2p.cli.session import Session, expect, listed, reporter
from rede_p2p.cli.shell import ALIASES, Command, suggestion
from rede_p2p.cli.terminal import Tone
from rede_p2p.content import safe_names
from rede_p2p.download import resolve
from rede_p2p.errors import Address, BadUsageError, RedeError
from rede_p2p.protocol.codec import Lines
from rede_p2p.protocol.messages import SearchResult
from rede_p2p.upload.upload_slots import Upload

MAX_SEEDS_NAMED = 10  # contents served beside the shares; of more, ``status`` shows the number


def peers(session: Session, command: Command) -> None:
    """Show the peers of the network, this one included."""
    expect(command, 0, "peers")
    roster = session.client.roster()
    if roster.age:
        never = ", e ainda não tinha dito quem está na rede"
        told = never if roster.age == inf else f": esta lista tem {roster.age:.0f} s"
        session.terminal.note(f"o tracker não responde{told}")
    session.rows[:] = [Address(m.ip, m.port) for m in roster.members]
    rows: list[tuple[str, ...]] = []
    facts = []
    tones: list[Tone] = []
    for m, label in zip(roster.members, peer_names.labels(roster.members), strict=True):
        number = str(len(rows) + 1)
        rows.append((m.ip, str(m.port), texts.peer_name(label, you=m.you), number))
        facts.append(asdict(m) | {"name": label})
        tones.append("mine" if m.you else "gone" if roster.age else "ready")
    columns = ("Endereço IP", "Porta", "Nome", "#")
    session.terminal.table(columns, rows, facts, tones, whole=2)


def ls(session: Session, command: Command) -> None:
    """Show what one peer shares or, without an address, the whole network."""
    words, view = listing.read(command.words)
    if not words or listing.is_mask(words[0]):
        found = session.client.search("")
        names = listing.chosen(words, {result.name for result in found}, "")
        _show_found(session, [result for result in found if result.name in names], view)
        _note_cut(session, found)
        return
    address, masks = _choose_peer(session, command._replace(words=tuple(words)))
    ((_, lines),) = resolve.list_all([address], session.context.connect, reporter(session))
    names = listing.chosen(masks, {f.name for f in lines}, str(address))
    chosen = (f for f in lines if f.name in names)
    files = view.order(chosen, lambda f: f.name, lambda f: f.size)
    rows = [(f.name, view.size(f.size), view.root(f.root)) for f in files]
    facts = ({"name": f.name, "size": f.size, "root": f.root and f.root.hex()} for f in files)
    if view.bare:
        session.terminal.names((f.name for f in files), facts)
    else:
        tones = _tones(session, [f.root for f in files])
        session.terminal.table(("Arquivos compartilhados", "Tamanho", "Raiz"), rows, facts, tones)
    _note_cut(session, lines)


def _choose_peer(session: Session, command: Command) -> tuple[Address, tuple[str, ...]]:
    """Return whom an ``ls`` is about, and the masks that follow.

    An address has a port; of a peer's name or the number of its row, the list tells it.
    """
    head, *rest = [*options.split_address(command.words[0]), *command.words[1:]]
    place = None
    if not options.is_ip(head) and not (rest and rest[0].isdigit()):
        place = peer_names.known(session, head, None)
        if place is not None and place[1] is None:
            raise peer_names.ambiguous(head, peer_names.called(session, head))
        if place is None and not rest and safe_names.peer_name(head):
            raise peer_names.unknown(session, head)
    if place is None:
        expect(command._replace(words=(head, *rest[:1])), 2, "ls")
        place = peer_names.place(session, head, options.parse_port(rest.pop(0)))
    # A peer connects only to the addresses of the tracker's list.
    return next(chain(*listed(session, *place))), tuple(rest)


def search(session: Session, command: Command) -> None:
    """Show the contents of the network that have a text in a name."""
    expect(command, 1, "buscar")
    found = session.client.search(command.words[0])
    _show_found(session, found)
    _note_cut(session, found)


def _note_cut(session: Session, lines: Lines[Any]) -> None:
    """Say that a list is not whole; below it, where it is seen."""
    if lines.total > len(lines):
        session.terminal.note(texts.cut(len(lines), lines.total))


def _show_found(session: Session, found: list[SearchResult], view: View = View()) -> None:  # noqa: B008
    """Show each content in one row, with all of its names."""
    contents: dict[bytes, list[SearchResult]] = {}
    for result in sorted(found, key=lambda result: listing.name_key(result.name)):
        contents.setdefault(result.root, []).append(result)
    rows, facts, every = [], [], []
    ordered = view.order(contents.items(), lambda one: one[1][0].name, lambda one: one[1][0].size)
    for root, same in ordered:
        names, size, peers = [result.name for result in same], same[0].size, same[0].peers
        every += names
        rows.append((", ".join(names), view.size(size), str(peers), view.root(root)))
        facts.append({"names": names, "size": size, "peers": peers, "root": root.hex()})
    if not rows:
        session.terminal.note("nada encontrado")
    elif view.bare:
        session.terminal.names(dict.fromkeys(every), facts)
    else:
        columns = ("Arquivos na rede", "Tamanho", "Peers", "Raiz")
        tones = _tones(session, [root for root, _ in ordered])
        session.terminal.table(columns, rows, facts, tones)


def _tones(session: Session, roots: Sequence[bytes | None]) -> list[Tone]:
    """Tell of each content whether this peer has it, or its peer has yet to hash it."""
    mine = {entry.root for entry in session.shares.entries()}
    mine |= {content.root for content in session.context.seeds.offered()}
    return ["hashing" if r is None else "mine" if r in mine else "ready" for r in roots]


def _by_machine(uploads: list[Upload]) -> dict[tuple[str, str], list[Upload]]:
    """Group uploads of one file to one machine, which may have several connections."""
    groups: dict[tuple[str, str], list[Upload]] = {}
    for upload in uploads:
        groups.setdefault((upload.to, upload.name), []).append(upload)
    return groups


def status(session: Session, command: Command) -> None:
    """Show downloads, uploads, the contents that are served beside the shares, and hashing."""
    expect(command, 0, "status")
    rows, facts = [], []
    for transfer in session.transfers.running():
        now, title = transfer.progress(), texts.title(transfer.names)
        done = f"{texts.percent(now.have, now.size)} de {texts.size(now.size)}"
        speed = texts.speed(now.came, monotonic() - transfer.began)
        sources = texts.count(now.sources, "fonte", "fontes") if now.sources else ""
        rows.append((f"[{transfer.number}] ↓", title, done, speed, texts.waiting(now) or sources))
        fact = {"number": transfer.number, "title": title, **asdict(now)}
        for own in ("name", "part", "by_source"):  # for the bars
            del fact[own]
        fact["looking"] = fact.pop("rechecking")
        facts.append(fact)
    for (to, name), several in _by_machine(session.slots.active()).items():
        sent = sum(upload.sent for upload in several)
        speed = texts.speed(sent, monotonic() - min(upload.began for upload in several))
        rows.append(("↑", name, f"{texts.size(sent)} enviados", speed, to))
        facts.append({"upload": name, "to": to, "sent": sent})
    for content, name in (kept := session.context.seeds.offered()).items():
        facts.append({"seeding": content.root.hex(), "name": name, "size": content.size})
    names = sorted(kept.values()) if len(kept) <= MAX_SEEDS_NAMED else [f"{len(kept)} conteúdos"]
    rows += [("↑", name, "à disposição", "", "") for name in names]
    if pending := session.context.hash_cache.pending():
        left = "falta 1 arquivo" if pending == 1 else f"faltam {pending} arquivos"
        rows.append(("#", "calculando raízes", left, "", ""))
        facts.append({"hashing": pending})
    if rows:
        session.terminal.table(("", "Arquivo", "Quanto", "Taxa", "Com quem"), rows, facts)
    else:
        session.terminal.note("nada em andamento")


def score(session: Session, command: Command) -> None:
    """Show what the last downloads brought, and from whom, and what this peer gave."""
    expect(command, 0, "placar")
    rows, facts = [], []
    for one in session.transfers.summaries():
        title, took = texts.title(one.names), texts.duration(one.seconds)
        rate = texts.speed(one.size, one.seconds)
        rows.append((f"↓ {title}", texts.size(one.size), took, rate, texts.came_from(one)))
        fact = {"title": title, "received": one.size, "seconds": round(one.seconds, 3)}
        others = sum(one.from_others.values())
        facts.append(fact | {"sources": len(one.brought), "from_others": others})
    given = session.slots.tally.given()
    to = f"a {texts.count(given.peers, 'endereço', 'endereços')}" if given.peers else ""
    rows.append(("↑ enviado", texts.size(given.sent), "", "", to))
    facts.append({"sent": given.sent, "to": given.peers})
    session.terminal.table(("Arquivo", "Quanto", "Tempo", "Taxa", "Com quem"), rows, facts)


def cancel(session: Session, command: Command) -> None:
    """Cancel a download; its verified bytes stay on the disk."""
    expect(command, 1, "cancelar")
    running = {str(transfer.number): transfer for transfer in session.transfers.running()}
    transfer = running.get(command.words[0].strip("[]"))
    if transfer is None:
        raise BadUsageError("no-download", command.words[0])
    transfer.cancel()


def wait(session: Session, command: Command) -> None:
    """Wait for the background downloads; Ctrl-C ends the wait and not the downloads."""
    expect(command, 0, "esperar")
    for transfer in session.transfers.running():
        try:
            session.terminal.watch(transfer)
        except KeyboardInterrupt:
            if session.terminal.interactive:
                raise errors.StoppedWaitingError from None
            raise  # a script ends here, and its downloads with it
    ended = session.transfers.take_ended()
    if not ended:
        return
    session.terminal.show_events(timeout=0.1)
    results = [result for transfer in ended for result in transfer.results.result()]
    facts = [fact_of(request.name, request.content, outcome) for request, outcome in results]
    failures = [error for _, error in results if isinstance(error, RedeError)]
    failed = [error for transfer in ended for _, error in transfer.failed]  # told at once
    first = [*failures, *failed, RedeError()][0]
    total = len(results) + len(failed)
    error = errors.PartlyFailedError(len(failures) + len(failed), total, first)
    session.terminal.tell(error, facts)
    if error.failed:
        raise error


def show_help(session: Session, command: Command) -> None:
    """Show the commands, or the forms of one command."""
    about = command.words[0].casefold() if command.words else ""
    about = ALIASES.get(about, about)
    rows = [row for row in manual.COMMANDS if about in ("", row[0].split()[0])]
    if not rows and (near := suggestion(about, frozenset(COMMANDS), 0.75)):
        raise errors.UnknownCommandError(command.words[0], near)
    if not rows:
        raise BadUsageError("ajuda", about)
    facts = [{"command": usage, "does": does, "example": example} for usage, does, example in rows]
    session.terminal.table(("Comando", "O que faz", "Exemplo"), rows, facts)


def diagnose(session: Session, command: Command) -> None:
    """Show what is between this peer and the others."""
    from rede_p2p.cli import diagnosis  # here, because the start of the program is short

    expect(command, 0, "diagnostico")
    diagnosis.diagnose(session)


def _make_torrents(session: Session, command: Command) -> None:
    from rede_p2p.cli import torrent_command  # as above

    torrent_command.make_torrents(session, command)


COMMANDS: dict[str, Callable[[Session, Command], None]] = {
    "peers": peers,
    "ls": ls,
    "get": get_to_output.get,
    "buscar": search,
    "compartilhar": share_commands.share,
    "remover": share_commands.remove,
    "meus": share_commands.mine,
    "torrent": _make_torrents,
    "status": status,
    "placar": score,
    "cancelar": cancel,
    "esperar": wait,
    "diagnostico": diagnose,
    "ajuda": show_help,
}
