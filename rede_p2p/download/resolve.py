"""Which content a name means, and who has it: all peers that may know are asked at once.

Sources are grouped by root, never by name or size.
"""

from collections.abc import Callable, Collection, Sequence
from fnmatch import fnmatchcase
from functools import partial
from math import inf
from typing import NamedTuple

from rede_p2p import errors
from rede_p2p.content import safe_names
from rede_p2p.content.merkle import Content
from rede_p2p.download.inquiry import ask_all
from rede_p2p.download.request import Connect, DownloadRequest
from rede_p2p.errors import Address, RedeError
from rede_p2p.net.connection import Connection, OnPending
from rede_p2p.protocol import compression
from rede_p2p.protocol.codec import Lines
from rede_p2p.protocol.messages import FileEntry, FileInfo, Ls, Stat
from rede_p2p.timeouts import DEFAULT, Timeouts

OnFailure = Callable[[errors.PeerUnreachableError], None]


class Selection(NamedTuple):
    """What some patterns mean, and which patterns and names cannot be had, with the reason.

    Who was ``unreachable``, though others answered, may share more under the same names.
    """

    requests: list[DownloadRequest]
    failed: list[tuple[str, RedeError]]
    unlisted: int = 0  # files that the peers share beyond what their lists hold
    folders: Sequence[str] = ()  # the empty ones
    unreachable: Sequence[errors.PeerUnreachableError] = ()

    def joined(self, other: "Selection") -> "Selection":
        """Return both, each name once: what this one says of it."""
        told = {request.name for request in self.requests} | {name for name, _ in self.failed}
        return Selection(
            self.requests + [request for request in other.requests if request.name not in told],
            self.failed + [one for one in other.failed if one[0] not in told],
            self.unlisted + other.unlisted,
            list(dict.fromkeys([*self.folders, *other.folders])),
            [*self.unreachable, *other.unreachable],
        )


def select(
    patterns: Sequence[str],
    groups: Sequence[Sequence[Address]],
    connect: Connect,
    on_pending: OnPending,
    timeouts: Timeouts = DEFAULT,
) -> Selection:
    """Find every file that the patterns mean, in the first group of peers that has any.

    A pattern is a name, a glob, or a folder, compared by ``safe_names.normal_form`` where no shared
    name is letter by letter the same. Raises NoSuchFileError when no pattern means anything, what
    ``find`` raises about a single name, PeerUnreachableError when no peer answers, and
    BadUsageError when the patterns are one name without its quotes.
    """
    failure: RedeError | None = None
    lost: dict[Address, errors.PeerUnreachableError] = {}

    def note(failure: errors.PeerUnreachableError) -> None:
        if isinstance(failure.cause, errors.ConnectionLostError):
            lost.setdefault(failure.address, failure)

    for peers in filter(None, groups):
        try:
            if len(patterns) == 1 and not is_pattern(patterns[0]):
                found = _find_or_match(patterns[0], peers, connect, on_pending, timeouts, note)
            else:
                found = _match(patterns, peers, connect, on_pending, timeouts, note)
            return found._replace(unreachable=list(lost.values()))
        except errors.NoSuchFileError as error:
            failure = failure or error
    raise failure or errors.NoSuchFileError(patterns[0], "")


def find(
    name: str,
    peers: Sequence[Address],
    connect: Connect,
    on_pending: OnPending,
    check: Callable[[], None] = lambda: None,
    within_s: float = inf,
    timeouts: Timeouts = DEFAULT,
    on_failure: OnFailure = lambda _: None,
) -> DownloadRequest:
    """Ask the peers what they share under a name, and take what they have said ``within_s``.

    ``on_pending`` is called, in this thread, while a peer reads its list or hashes the file;
    ``check`` now and then, and may raise to give up; ``on_failure`` hears who has not answered, or
    nothing of use, whether others have or not. Raises NoSuchFileError when those that answer
    do not have it, AmbiguousNameError when they share different contents, PeerUnreachableError
    when none answers, UnsafeNameError.
    """
    safe_names.check(name)

    def ask(_peer: Address, connection: Connection, report: OnPending) -> Content:
        found = connection.ask(Stat(name), FileInfo, on_pending=report)
        return Content(found.root, found.size)

    sources: dict[Content, list[Address]] = {}
    failures: list[errors.PeerUnreachableError] = []
    for peer, answer in ask_all(peers, connect, ask, on_pending, check, within_s, timeouts):
        if isinstance(answer, Content):
            sources.setdefault(answer, []).append(peer)
        elif answer.status != errors.NoSuchFileError.status:
            failures.append(answer)
            on_failure(answer)
    if sources:
        return agreed(name, sources)
    raise failures[0] if failures else errors.NoSuchFileError(name, _places(peers))


def is_pattern(text: str) -> bool:
    """Tell whether a word can mean more than the name that it is."""
    return text.endswith("/") or any(c in text for c in "*?[")


def _find_or_match(
    name: str,
    peers: Sequence[Address],
    connect: Connect,
    on_pending: OnPending,
    timeouts: Timeouts,
    on_failure: OnFailure,
) -> Selection:
    """Find a file, or the folder of that name, which the peers that answer may have.

    Where none of these has either, one that did not answer may have had it: that is raised.
    """
    unreachable: RedeError | None = None
    failures: list[errors.PeerUnreachableError] = []  # of who may give its list all the same
    ask = partial(find, on_failure=failures.append)
    try:
        found = Selection([ask(name, peers, connect, on_pending, timeouts=timeouts)], [])
        for failure in failures:
            on_failure(failure)
        return found
    except errors.PeerUnreachableError as error:
        if len(peers) == 1:
            raise
        unreachable = error
    except errors.NoSuchFileError:
        pass
    try:
        return _match([name], peers, connect, on_pending, timeouts, on_failure)
    except errors.NoSuchFileError as error:
        raise unreachable or error from None


def _match(
    patterns: Sequence[str],
    peers: Sequence[Address],
    connect: Connect,
    on_pending: OnPending,
    timeouts: Timeouts,
    on_failure: OnFailure,
) -> Selection:
    """List the peers, and find what each pattern means among all that they share."""
    lists = list_all(peers, connect, on_pending, timeouts, on_failure, folders=True)

    def ask_again(name: str) -> DownloadRequest:
        return find(name, peers, connect, on_pending, timeouts=timeouts, on_failure=on_failure)

    return among(patterns, lists, ask_again, _places(peers))


def among(
    patterns: Sequence[str],
    lists: Sequence[tuple[Address, Lines[FileEntry]]],
    ask_again: Callable[[str], DownloadRequest],
    where: str,
) -> Selection:
    """Find what each pattern means in the lists of some peers, which are those of ``where``.

    ``ask_again`` finds a name that none of them has hashed yet, and may raise. Raises
    NoSuchFileError and BadUsageError as ``select`` does.
    """
    shared, empty = _contents(lists)
    meant: dict[str, None] = {}  # in order, each once
    folders: dict[str, None] = {}
    failed: list[tuple[str, RedeError]] = []
    for pattern in patterns:
        names, empty_ones = names_meant(pattern, shared), names_meant(pattern, empty)
        folders.update(dict.fromkeys(empty_ones))
        if not names and not empty_ones:
            near = "" if is_pattern(pattern) else safe_names.nearest(pattern, shared)
            failed.append((pattern, errors.NoSuchFileError(pattern, where, near)))
        meant.update(dict.fromkeys(names))
    together = " ".join(patterns)
    if failed and len(patterns) > 1 and safe_names.matching(together, shared):
        raise errors.BadUsageError("blanks", together)
    if failed and not meant and not folders:
        raise failed[0][1]
    unlisted = sum(files.total - len(files) for _, files in lists)
    found = Selection([], failed, unlisted, list(folders))
    for name in meant:
        _add(found, name, shared[name], ask_again)
    if not found.requests and not folders and len(failed) == 1:
        raise failed[0][1]
    return found


def _contents(
    lists: Sequence[tuple[Address, Sequence[FileEntry]]],
) -> tuple[dict[str, dict[Content | None, list[Address]]], dict[str, None]]:
    """Return who shares what under each name, and the names of empty folders.

    What is not hashed yet has no content.
    """
    shared: dict[str, dict[Content | None, list[Address]]] = {}
    folders: dict[str, None] = {}
    for peer, files in lists:
        for file in files:
            if file.name.endswith("/"):
                folders[file.name] = None
                continue
            content = None if file.root is None else Content(file.root, file.size)
            shared.setdefault(file.name, {}).setdefault(content, []).append(peer)
    return shared, folders


def _add(
    selection: Selection,
    name: str,
    contents: dict[Content | None, list[Address]],
    ask_again: Callable[[str], DownloadRequest],
) -> None:
    """Add the content of a name, or why it cannot be had: the others can."""
    try:
        # Where all have yet to hash it, they are asked again, and hash it first.
        known = {c: sources for c, sources in contents.items() if c is not None}
        request = agreed(name, known) if known else ask_again(name)
        selection.requests.append(request)
    except RedeError as error:
        selection.failed.append((name, error))


def agreed(name: str, contents: dict[Content, list[Address]]) -> DownloadRequest:
    """Return the one content under a name, with all who have it; raise AmbiguousNameError."""
    if len(contents) > 1:
        peers = (peer for group in contents.values() for peer in group)
        raise errors.AmbiguousNameError(name, tuple(dict.fromkeys(peers)))
    ((content, sources),) = contents.items()
    return DownloadRequest(name, content, tuple(sources))


def list_all(
    peers: Sequence[Address],
    connect: Connect,
    on_pending: OnPending,
    timeouts: Timeouts = DEFAULT,
    on_failure: OnFailure = lambda _: None,
    *,
    folders: bool = False,
) -> list[tuple[Address, Lines[FileEntry]]]:
    """Ask every peer for its list, with empty ``folders`` or without.

    ``on_failure`` hears who has not given it. Raises the first failure when none answers.
    """

    def ask(_peer: Address, connection: Connection, report: OnPending) -> Lines[FileEntry]:
        return list_of(connection, report, folders=folders)

    answers = ask_all(peers, connect, ask, on_pending, timeouts=timeouts)
    lists = [(peer, answer) for peer, answer in answers if not isinstance(answer, RedeError)]
    failures = [answer for _, answer in answers if isinstance(answer, RedeError)]
    for failure in failures:
        on_failure(failure)
    if not lists:
        raise failures[0]
    return lists


def list_of(
    connection: Connection, on_pending: OnPending, *, folders: bool = False
) -> Lines[FileEntry]:
    """Ask one peer for its list, compressed where that can be read."""
    return connection.ask_lines(Ls(folders, zlib=compression.KNOWN), FileEntry, on_pending)


def names_meant(pattern: str, shared: Collection[str]) -> list[str]:
    """Return the shared names that a pattern means: itself, a folder's, or those it matches."""
    if found := safe_names.matching(pattern, shared):
        return found
    form = safe_names.normal_form(pattern)
    folder, mask = form.rstrip("/") + "/", form + "*" if form.endswith("/") else form
    forms = ((name, safe_names.normal_form(name)) for name in shared)
    return [name for name, same in forms if same.startswith(folder) or fnmatchcase(same, mask)]


def _places(peers: Sequence[Address]) -> str:
    return f"{peers[0]}" if len(peers) == 1 else ", ".join(dict.fromkeys(p.ip for p in peers))
