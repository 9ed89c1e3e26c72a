"""What this peer shares: the lines ``name path`` of its list, and the files behind them.

The list is read again when it changes, and the files are looked at again now and then, and when
somebody asks and the last look is older than a second. Paths never leave this room but to be
opened: on the wire there are only names. Owner: the peer, whose threads share it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event as Signal
from threading import Lock, Thread
from time import monotonic

from rede_p2p.content import disk, safe_names
from rede_p2p.content.disk import FileState
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.merkle import Content
from rede_p2p.errors import DiskError, UnsafeNameError
from rede_p2p.events import Event, ListProblem, MoreListProblems

LOOK_EVERY = 1.0  # seconds
FILES_EVERY = 5.0  # seconds between two looks at all files, if nobody asks
SPARING = 50  # times what such a look takes, if that is more
LIST_LIMIT = 8 * 1024 * 1024  # bytes; a larger file is no list that somebody wrote
COMPLAINTS = 5  # lines that are told of at once; of the others, only how many there are


@dataclass(frozen=True)
class Share:
    """One shared file: its public name, where it is, and its state when last looked at."""

    name: str
    path: str
    stamp: FileState
    folder: str | None = None  # the shared folder that it is in, whose links lead nowhere


@dataclass(frozen=True)
class Line:
    """One line of the list."""

    number: int
    name: str
    path: str


@dataclass(frozen=True)
class Problem:
    """What is wrong with a line of the list (``number`` 0: with the list itself)."""

    number: int
    kind: str
    text: str


def parse(data: bytes) -> Iterator[Line | Problem]:
    """Read a list: ``name path`` a line, the name quoted if it has blanks, ``#`` for comments."""
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        try:
            text = raw.decode().strip()
        except UnicodeDecodeError:
            yield Problem(number, "encoding", raw.decode("latin-1").strip())
            continue
        if text and not text.startswith("#"):
            yield _parse_line(number, text)


def _parse_line(number: int, text: str) -> Line | Problem:
    if text.startswith('"'):
        name, quote, path = text[1:].partition('"')
        if not quote:
            return Problem(number, "quote", text)
    else:
        name, *rest = text.split(maxsplit=1)
        path = rest[0] if rest else ""
    path = path.strip()
    if len(path) > 1 and path[0] == path[-1] == '"':
        path = path[1:-1]
    return Line(number, name, path) if name and path else Problem(number, "no-path", text)


@dataclass(frozen=True)
class _View:
    """What one look at the disk found; replaced whole, so that readers need no lock."""

    looked_at: float = float("-inf")
    list_stamp: FileState | None = None
    found: tuple[Line | Problem, ...] = ()  # in the list
    shares: dict[str, Share] = field(default_factory=dict)
    by_path: dict[str, Share] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


class ShareList:
    """The shares of one peer."""

    def __init__(self, list_path: Path, roots: HashCache, tell: Callable[[Event], None]) -> None:
        self._list_path = list_path
        self._roots = roots
        self._tell = tell
        self._lock = Lock()  # held by the one thread that looks at the disk and replaces _view
        self._view = _View()
        self._stopped = Signal()
        self._thread = Thread(target=self._watch, name="catalog")
        self._thread.start()

    def close(self) -> None:
        """Stop watching the list, and wait for the thread."""
        self._stopped.set()
        self._thread.join()

    def shares(self) -> list[Share]:
        """List what is shared now, in the order of the list."""
        return list(self._look().shares.values())

    def version(self) -> tuple[float, int]:
        """Return what changes whenever ``seen`` or a ``content`` may have."""
        return self._view.looked_at, self._roots.learned

    def seen(self) -> list[Share]:
        """List what was shared at the last look, without looking again."""
        return list(self._view.shares.values())

    def find(self, name: str) -> Share | None:
        """Return the share of that name, in its state of this moment."""
        share = _fresh(self._look(only_list=True).shares.get(name))
        return share or _fresh(self._look().shares.get(name))

    def content(self, share: Share) -> Content | None:
        """Return what the share is, if it has been computed."""
        root = self._roots.known(share.path, share.stamp)
        return None if root is None else Content(root, share.stamp.size)

    def find_content(self, root: bytes) -> Share | None:
        """Return a share that is this content in its state of this moment."""
        paths = self._roots.paths(root)
        # A look at the list for each of many small files would cost as much as sending them.
        return self._find_among(self._view, paths, root) or self._find_among(
            self._look(only_list=True), paths, root
        )

    def _find_among(self, view: _View, paths: Iterable[str], root: bytes) -> Share | None:
        for path in paths:
            share = _fresh(view.by_path.get(path))
            if share is not None and self._roots.known(path, share.stamp) == root:
                return share
        return None

    def _watch(self) -> None:
        """Notice what changes, and start hashing, though nobody asks."""
        due = now = monotonic()
        while True:
            self._look(only_list=now < due)
            if now >= due:
                due = now + max(FILES_EVERY, SPARING * (monotonic() - now))
            if self._stopped.wait(LOOK_EVERY):
                return
            now = monotonic()

    def _look(self, *, only_list: bool = False) -> _View:
        """Look at the list, and at the files too if the last look is old or the list changed."""
        with self._lock:
            old, stamp = self._view, disk.stamp(self._list_path)
            young = only_list or monotonic() - old.looked_at < LOOK_EVERY
            if stamp == old.list_stamp and young:
                return old
            new = self._view = _read_view(self._list_path, stamp, old)
        self._complain(new.problems, {*old.problems})
        for path, share in new.by_path.items():
            if self._roots.known(path, share.stamp) is None and share != old.by_path.get(path):
                self._roots.want(path)
        return new

    def _complain(self, problems: Iterable[Problem], told: set[Problem]) -> None:
        """Tell of the problems that were not told, but not of each line of what is no list."""
        path = str(self._list_path)
        new = [problem for problem in problems if problem not in told]
        for problem in new[:COMPLAINTS]:
            self._tell(ListProblem(path, problem.number, problem.kind, problem.text))
        if len(new) > COMPLAINTS:
            self._tell(MoreListProblems(path, len(new) - COMPLAINTS))


def _fresh(share: Share | None) -> Share | None:
    """Look at one file again; None if there is none any more."""
    stamp = share and disk.stamp(share.path, links=share.folder is None)
    if not share or not stamp:
        return None
    if stamp == share.stamp:
        return share
    if share.folder is not None and disk.has_link(share.folder, share.path):
        return None
    return replace(share, stamp=stamp)


def _read_view(list_path: Path, stamp: FileState | None, old: _View) -> _View:
    found = old.found if stamp == old.list_stamp and stamp else _read_list(list_path)
    shares: dict[str, Share] = {}
    problems = []
    for entry in found:
        for share in [entry] if isinstance(entry, Problem) else _expand(list_path.parent, entry):
            if isinstance(share, Problem):
                problems.append(share)
            elif shares.setdefault(share.name, share) is not share:
                problems.append(Problem(getattr(entry, "number", 0), "twice", share.name))
    by_path: dict[str, Share] = {}
    for share in shares.values():
        by_path.setdefault(share.path, share)  # of two names for one file, the first
    return _View(monotonic(), stamp, found, shares, by_path, tuple(problems))


def _read_list(list_path: Path) -> tuple[Line | Problem, ...]:
    try:
        with disk.open_regular(list_path) as file, disk.translate_os_errors(list_path):
            data = file.read(LIST_LIMIT + 1)
            if len(data) > LIST_LIMIT or b"\0" in data:
                return (Problem(0, "not-list", str(list_path)),)
            return tuple(parse(data))
    except DiskError as error:
        return (Problem(0, error.kind, str(list_path)),)


def _expand(base: Path, line: Line) -> Iterator[Share | Problem]:
    """Yield the share of a line, or one for each file in the folder that it names."""
    try:
        safe_names.check(line.name)
    except UnsafeNameError as error:
        yield Problem(line.number, f"name-{error.kind}", line.name)
        return
    path = os.path.join(base, os.path.expanduser(line.path))  # noqa: PTH111, PTH118 - 10,000 lines
    stamp = disk.stamp(path)
    if stamp is not None and os.access(path, os.R_OK):
        yield Share(line.name, path, stamp)
    elif os.path.isdir(path):  # noqa: PTH112
        yield from _expand_folder(path, line)
    else:
        yield Problem(line.number, "missing" if stamp is None else "denied", line.path)


def _expand_folder(top: str, line: Line) -> Iterator[Share | Problem]:
    """Yield what a folder holds, under ``name/…``; hidden entries and links stay out of it."""
    for folder, inner, files in os.walk(top):
        inner[:] = sorted(entry for entry in inner if not entry.startswith("."))
        within = os.path.relpath(folder, top).replace(os.sep, "/")
        prefix = line.name if within == "." else f"{line.name}/{within}"
        for entry in sorted(files):
            path = os.path.join(folder, entry)  # noqa: PTH118
            name, stamp = f"{prefix}/{entry}", disk.stamp(path, links=False)
            if entry.startswith(".") or stamp is None:
                continue
            if not safe_names.is_safe(name):
                yield Problem(line.number, "name-unsafe", name)
            else:
                yield Share(name, path, stamp, top)
