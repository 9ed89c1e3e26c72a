"""What the words of a ``get`` without an address mean: the tracker is asked who shares that."""

import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain

from rede_p2p import errors
from rede_p2p.cli.session import Session, reporter
from rede_p2p.content import safe_names
from rede_p2p.content.merkle import Content
from rede_p2p.download import resolve
from rede_p2p.download.request import DownloadRequest
from rede_p2p.download.resolve import Selection
from rede_p2p.errors import Address, RedeError
from rede_p2p.protocol.codec import Lines
from rede_p2p.protocol.messages import FileEntry

# Of one folder, whose holders are asked for. More only where many peers hold parts of it, or a
# peer's list is cut: then so many files would be so many questions.
MAX_CONTENTS_ASKED = 100
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

    Raises NoSuchFileError, PeerUnreachableError when none of those peers answers, and what
    ``resolve.find`` raises about a single name.
    """
    results = session.client.search(_plain_part(pattern))
    names = set(resolve.names_meant(pattern, {result.name for result in results}))
    unseen = {(r.name, Content(r.root, r.size)): None for r in results if r.name in names}
    asked: set[Address] = set()
    lists: list[tuple[Address, Lines[FileEntry]]] = []
    lost: list[errors.PeerUnreachableError] = []
    connect, report = session.context.connect, reporter(session)
    for _ in range(MAX_CONTENTS_ASKED):
        if not unseen:
            break
        (_, content), _ = unseen.popitem()
        if new := [peer for peer in holders(session, content) if peer not in asked]:
            asked.update(new)
            heard = _lists(session, new, lost)
            for file in chain.from_iterable(files for _, files in heard):
                if file.root is not None:
                    unseen.pop((file.name, Content(file.root, file.size)), None)
            lists += heard
    if not lists:
        raise lost[0] if lost else errors.NoSuchFileError(pattern, "")

    def ask_again(name: str) -> DownloadRequest:
        return resolve.find(name, list(asked), connect, report)

    found = resolve.among([pattern], lists, ask_again, "")
    untold = results.total - len(found.requests) - len(found.failed)  # where the answer is cut
    unlisted = max(found.unlisted, len(unseen), untold if results.total > len(results) else 0)
    return found._replace(unreachable=lost, unlisted=unlisted)


def _lists(
    session: Session, peers: Sequence[Address], lost: list[errors.PeerUnreachableError]
) -> list[tuple[Address, Lines[FileEntry]]]:
    """Ask peers for their lists; add who does not answer to ``lost``."""
    connect, report = session.context.connect, reporter(session)
    try:
        return resolve.list_all(peers, connect, report, on_failure=lost.append, folders=True)
    except errors.PeerUnreachableError as error:
        lost.append(error)
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
    if not resolve.is_pattern(pattern.rstrip("/")):
        return pattern.rstrip("/") + "/"
    return max(_MARKS.split(pattern), key=len)
