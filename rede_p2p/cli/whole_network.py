"""What the words of a ``get`` without an address mean: the tracker is asked who shares that."""

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain

from rede_p2p import errors
from rede_p2p.cli import texts
from rede_p2p.cli.session import Session, reporter
from rede_p2p.content import safe_names
from rede_p2p.content.merkle import Content
from rede_p2p.download import resolve
from rede_p2p.download.request import DownloadRequest
from rede_p2p.download.resolve import Selection
from rede_p2p.errors import Address, RedeError
from rede_p2p.net.connection import OnPending
from rede_p2p.protocol.codec import Lines
from rede_p2p.protocol.messages import FileEntry

PEERS_AT_ONCE = 4  # that are asked for their lists, of perhaps thirty who have the same
# Of asking who has a file, and them for their lists. Many only where many peers hold parts of a
# folder, or a list is cut: then so many files would be so many questions.
MAX_ROUNDS = 100
SEARCH_CUT = "o tracker não mostrou tudo o que tem esse texto no nome: pode faltar algum arquivo"
_File = tuple[str, Content]
_List = tuple[Address, Lines[FileEntry]]
_MARKS = re.compile(r"[*?]|\[!?\]?[^\]]*\]")  # what ``fnmatch`` takes for more than itself


def find_names(session: Session, names: list[str]) -> Selection:
    """Find the files of these names; ``failed`` has those that nobody shares, with no hint yet.

    Raises BadUsageError when the names are one without its quotes.
    """
    found = Selection([], [])
    for name in names:
        contents: dict[str, set[Content]] = {}
        for result in session.client.search(name, exact=True):
            contents.setdefault(result.name, set()).add(Content(result.root, result.size))
        meant = safe_names.matching(name, contents)
        if not meant:
            found.failed.append((name, errors.NoSuchFileError(name, "")))
        for shared in meant:
            sources = {content: holders(session, content) for content in contents[shared]}
            try:
                found.requests.append(resolve.agreed(shared, sources))
            except RedeError as error:  # the others can be had
                found.failed.append((shared, error))
    together = " ".join(names)
    missing = [e for _, e in found.failed if isinstance(e, errors.NoSuchFileError)]
    if missing and len(names) > 1 and session.client.search(together, exact=True):
        raise errors.BadUsageError("blanks", together)
    return found


def find_pattern(session: Session, pattern: str) -> Selection:
    """Find all that a pattern, or the name of a folder, means in the lists of those who share it.

    A few of them are asked at a time, until each file that the tracker knows is on some list: who
    else has it is found by the download. Raises NoSuchFileError, PeerUnreachableError when nobody
    answers, BadUsageError when the tracker's answer is cut before any file that is meant, and what
    ``resolve.find`` raises about a single name.
    """
    results = session.client.search(_plain_part(pattern))
    names = set(resolve.names_meant(pattern, {result.name for result in results}))
    unseen = {(r.name, Content(r.root, r.size)): None for r in results if r.name in names}
    is_cut = results.total > len(results)
    lost: list[errors.PeerUnreachableError] = []
    context, report = session.context, reporter(session)
    lists, missed = _gather(session, unseen, lost, report)
    if not lists:
        if is_cut and not names:
            raise errors.BadUsageError("vague", pattern)
        raise lost[0] if lost else errors.NoSuchFileError(pattern, "")
    if is_cut:
        session.terminal.note(SEARCH_CUT)

    def ask_again(name: str) -> DownloadRequest:
        peers = [peer for peer, _ in lists]
        return resolve.find(name, peers, context.connect, report, timeouts=context.timeouts)

    found = resolve.among([pattern], lists, ask_again, "")
    if not resolve.is_pattern(pattern.rstrip("/")):
        _note_differences(session, pattern, found)
    # Who did not answer does no harm where the others have it all.
    return found._replace(unreachable=lost if missed else (), unlisted=0 if lost else missed)


def _note_differences(session: Session, folder: str, found: Selection) -> None:
    """Say so where a folder has files that only some of its peers share: a stranger may be one."""
    everyone = {peer for request in found.requests for peer in request.sources}
    some = [request for request in found.requests if everyone - set(request.sources)]
    if some:
        files = texts.count(len(some), "arquivo é", "arquivos são")
        session.terminal.note(
            f"nem todos têm o mesmo em {folder}: {files} só de alguns, como {some[0].name}, "
            f"de {some[0].sources[0]}; get <PEER> {folder} baixa de um só"
        )


def _gather(
    session: Session,
    unseen: dict[_File, None],
    lost: list[errors.PeerUnreachableError],
    report: OnPending,
) -> tuple[list[_List], int]:
    """Ask for lists until all files are seen; return the lists, and how many files were not.

    Who does not answer is added to ``lost``.
    """
    asked: set[Address] = set()
    lists: list[_List] = []
    missed = 0
    for _ in range(MAX_ROUNDS):
        if not unseen:
            break
        file = next(iter(unseen))
        new = [peer for peer in holders(session, file[1]) if peer not in asked][:PEERS_AT_ONCE]
        if not new:  # all who have it were asked: it is on no list, or they do not answer
            del unseen[file]
            missed += 1
            continue
        asked.update(new)
        heard = _lists(session, new, lost, report)
        for entry in chain.from_iterable(files for _, files in heard):
            if entry.root is not None:
                unseen.pop((entry.name, Content(entry.root, entry.size)), None)
        lists += heard
    return lists, missed + len(unseen)


def _lists(
    session: Session,
    peers: Sequence[Address],
    lost: list[errors.PeerUnreachableError],
    report: OnPending,
) -> list[_List]:
    """Ask peers for their lists; add who does not answer to ``lost``."""
    context = session.context
    try:
        return resolve.list_all(
            peers, context.connect, report, context.timeouts, lost.append, folders=True
        )
    except errors.PeerUnreachableError:
        return []


def holders(session: Session, content: Content) -> list[Address]:
    """Ask the tracker which other peers have a content; return this one where none has."""
    with suppress(RedeError):
        if others := session.context.who_has(content).result():
            return others
    return [Address(m.ip, m.port) for m in session.client.roster().members if m.you]


def nearest(session: Session, name: str) -> str:
    """Return the name of the network that a mistyped one is most like, "" where there is none."""
    if any(mark in name for mark in "*?[/"):
        return ""
    with suppress(RedeError):
        names = {result.name for result in session.client.search("")}
        return safe_names.nearest(name, names)
    return ""


def _plain_part(pattern: str) -> str:
    """Return a text that is in every name that a pattern means."""
    folder = safe_names.normal_form(pattern).rstrip("/")
    if not resolve.is_pattern(folder):
        return folder + "/"
    return max(_MARKS.split(folder), key=len)
