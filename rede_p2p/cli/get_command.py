"""The command ``get``: what its words mean, following the download, telling how it ended."""

from __future__ import annotations

from collections.abc import Callable

from rede_p2p.cli import options, texts
from rede_p2p.cli.session import Session, listed
from rede_p2p.cli.shell import Command
from rede_p2p.content.merkle import Content
from rede_p2p.download import resolve
from rede_p2p.download.download import DownloadRequest, Outcome
from rede_p2p.download.resolve import Selection
from rede_p2p.download.transfers import Transfer
from rede_p2p.errors import (
    Address,
    AmbiguousNameError,
    BadUsageError,
    NoSuchFileError,
    PartlyFailedError,
    PeerUnreachableError,
    RedeError,
)
from rede_p2p.events import Preparing
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import PeerEntry

MANY = 50  # rows; of a longer list of results only the failures are shown


def get(session: Session, command: Command) -> None:
    """Fetch files: whoever has that IP, and that port if one is given, is asked for them."""
    if not command.words:
        raise BadUsageError("get")
    wanted, missing = _choose(session, command.words)
    transfer = session.transfers.start(wanted, followed=not command.background)
    if command.background:
        _leave_in_background(session, transfer, missing)
    else:
        _follow(session, transfer, missing)


def _choose(session: Session, words: tuple[str, ...]) -> Selection:
    """Find what the words of a ``get`` mean."""
    if len(words) == 1 and options.is_ip(words[0]):  # the name is missing
        raise BadUsageError("get")
    if len(words) == 1 or not _is_address(words[0]):
        return _find_all_anywhere(session, words)
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


def _is_address(word: str) -> bool:
    """Tell whether a word is an IP address or was meant as one: no name has a colon."""
    return options.is_ip(word) or ":" in word or not word.strip("0123456789.")


def _find_there(session: Session, ip: str, port: int | None, patterns: list[str]) -> Selection:
    """Find what the patterns mean among the peers that have that IP, and that port."""
    members = listed(session, ip, port)
    # One's own files come last: who types an address wants what another peer has.
    own = [_address(m) for m in members if m.you]
    others = [_address(m) for m in members if not m.you]
    return resolve.select(patterns, [others, own], session.connect, _teller(session))


def _find_all_anywhere(session: Session, names: tuple[str, ...]) -> Selection:
    """Find names in the whole network; raise where none is there."""
    found = Selection([], [])
    for name in dict.fromkeys(names):
        try:
            found.wanted.append(_find_anywhere(session, name))
        except NoSuchFileError as error:
            found.missing.append(error)
    together = " ".join(names)
    if found.missing and len(names) > 1 and session.membership.search(together, exact=True):
        raise BadUsageError("blanks", together)
    if not found.wanted:
        raise found.missing[0]
    return found


def _find_anywhere(session: Session, name: str) -> DownloadRequest:
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
    return DownloadRequest(name, content, tuple(holders))


def _address(member: PeerEntry) -> Address:
    return Address(member.ip, member.port)


def _teller(session: Session) -> Callable[[codec.Pending], None]:
    """Return what to do while a peer hashes the file first: say so, and at each tenth of it."""
    said = -1

    def tell(wait: codec.Pending) -> None:
        nonlocal said
        tenth = 10 * wait.done // max(wait.size, 1)
        if tenth != said:
            said = tenth
            session.screen.tell(Preparing(wait.done, wait.size))
            session.screen.show_events()

    return tell


def _follow(session: Session, transfer: Transfer, missing: list[NoSuchFileError]) -> None:
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
        _leave_in_background(session, transfer, missing)
        return
    _show(session, transfer.results.result(), missing)


def _leave_in_background(
    session: Session, transfer: Transfer, missing: list[NoSuchFileError]
) -> None:
    for error in missing:
        session.screen.complain(error)
    number = transfer.number
    session.screen.note(
        f"[{number}] {transfer.title} em segundo plano: status, esperar, cancelar {number}"
    )


def _show(
    session: Session,
    results: list[tuple[DownloadRequest, Outcome | RedeError]],
    missing: list[NoSuchFileError],
) -> None:
    """Show how a download ended; raise its error, or that some of its files failed."""
    failures = [error for _, error in results if isinstance(error, RedeError)]
    if len(results) == 1 and not missing:
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
        [
            *((wanted.name, _said(wanted, outcome)) for wanted, outcome in shown),
            *((error.name, texts.tell(error)) for error in missing),
        ],
        [
            *(_fact(wanted, outcome) for wanted, outcome in results),
            *({"name": error.name, **_failed(error)} for error in missing),
        ],
    )
    already = sum(isinstance(o, Outcome) and o.already for _, o in results)
    fresh = len(results) - already - len(failures)
    session.screen.note(texts.fetched(fresh, already))
    failed = [*failures, *missing]
    if failed:
        raise PartlyFailedError(len(failed), len(results) + len(missing), failed[0])


def _said(wanted: DownloadRequest, outcome: Outcome | RedeError) -> str:
    if isinstance(outcome, RedeError):
        return texts.tell(outcome)
    if outcome.already:
        return f"já estava em {outcome.path}"
    return f"baixado e verificado, {texts.size(wanted.content.size)}: {outcome.path}"


def _fact(wanted: DownloadRequest, outcome: Outcome | RedeError) -> dict[str, object]:
    fact: dict[str, object] = {
        "name": wanted.name,
        "size": wanted.content.size,
        "root": wanted.content.root.hex(),
    }
    if isinstance(outcome, RedeError):
        return fact | _failed(outcome)
    return fact | {"path": str(outcome.path), "already": outcome.already}


def _failed(error: RedeError) -> dict[str, object]:
    return {"error": texts.tell(error), "status": error.status}
