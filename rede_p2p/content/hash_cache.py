"""The root of each file on this machine: computed once, in the background, and remembered.

A root is remembered by path, size, modification time and inode, in memory and in a small database
that survives the program; losing the database costs time, never truth. One thread hashes, one
file after another, what is asked for by somebody first. Invariant: ``_by_root`` is ``_known``
read backwards. Owner: whoever made the object, which must ``close`` it.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Condition, Lock, Thread
from typing import Any

from rede_p2p.content import disk, merkle
from rede_p2p.content.disk import FileState
from rede_p2p.content.merkle import Content
from rede_p2p.errors import DiskError

READ_SIZE = 1024 * 1024  # bytes a read
SETTLE_NS = 100_000_000  # a file this young may change again without its time stamp showing it
ROWS = 128  # in one write, which costs as much as they do

_TABLE = """create table if not exists root (
    path blob primary key, size integer, mtime_ns integer, inode integer,
    root blob not null, layer blob not null) without rowid"""


@dataclass(frozen=True)
class Hashed:
    """A file's state, content and layer of piece hashes."""

    stamp: FileState
    content: Content
    layer: bytes


def hash_file(
    path: Path | str, report: Callable[[int], None], stopped: Callable[[], bool]
) -> Hashed:
    """Read a whole file and hash it, reporting the bytes read so far.

    Raises DiskError, of kind ``changed`` when the file did not stay the same meanwhile, or
    ``stopped`` when asked to.
    """
    with disk.open_regular(path) as file, disk.translate_os_errors(path):
        stamp = disk.stamp_of(os.fstat(file.fileno()))
        piece = merkle.piece_length(stamp.size)
        view = memoryview(bytearray(max(READ_SIZE, piece)))
        hashes: list[bytes] = []
        for start, length in merkle.cut(stamp.size, len(view)):
            if stopped():
                raise DiskError(str(path), "stopped")
            if disk.read_into(file, start, view[:length]) != length:
                raise DiskError(str(path), "changed")  # it is shorter now
            hashes += merkle.piece_hashes(view[:length], stamp.size)
            report(start + length)
        if disk.stamp_of(os.fstat(file.fileno())) != stamp:
            raise DiskError(str(path), "changed")
    layer = b"".join(hashes)
    return Hashed(stamp, Content(merkle.root_of(layer, stamp.size), stamp.size), layer)


class HashCache:
    """What is known, what is being hashed, what waits; see the module's docstring."""

    def __init__(self, database: Path | None) -> None:
        """Open the database, in memory only where that path is None or cannot be used."""
        self._lock = Condition(Lock())  # guards everything below but the database
        self._known: dict[str, tuple[FileState, bytes]] = {}
        self._by_root: dict[bytes, set[str]] = {}
        self._soon: dict[str, None] = {}  # paths to hash first, in order
        self._later: dict[str, None] = {}  # paths to hash after those, in order
        self._failed: dict[str, str] = {}
        self._at: tuple[str, int] = ("", 0)  # the path being hashed, the bytes of it so far
        self._stopped = False
        self.learned = 0  # how many times a root was learnt
        self._database_lock = Lock()  # guards _database
        self._database = _open(database)
        self._load()
        self._thread = Thread(target=self._run, name="roots")
        self._thread.start()

    def close(self) -> None:
        """Stop hashing, and wait for the thread."""
        with self._lock:
            self._stopped = True
            self._lock.notify_all()
        self._thread.join()
        self._database.close()

    def known(self, path: str, stamp: FileState) -> bytes | None:
        """Return the root of a file in that state, if it has been computed."""
        found = self._known.get(path)  # one look-up in a dict needs no lock
        return found[1] if found is not None and found[0] == stamp else None

    def stamp_as(self, content: Content, path: str) -> FileState | None:
        """Return the state of a file, if in it the file is known to be that content."""
        stamp = disk.stamp(path)
        return stamp if stamp and self.known(path, stamp) == content.root else None

    def paths(self, root: bytes) -> list[str]:
        """List the paths where this content was seen."""
        with self._lock:
            return sorted(self._by_root.get(root, ()))

    def want(self, path: str, *, soon: bool = False) -> None:
        """Have a file hashed, after those that wait already, or before them."""
        with self._lock:
            self._failed.pop(path, None)
            if self._at[0] != path:
                (self._soon if soon else self._later)[path] = None
                self._lock.notify_all()

    def wait(self, path: str, stamp: FileState, within: float) -> bytes | None:
        """Have a file hashed soon and wait some seconds for its root; None if it takes longer.

        Raises DiskError when it cannot be hashed, or will not be any more.
        """
        root = self.known(path, stamp)
        if root is not None:
            return root
        self.want(path, soon=True)
        with self._lock:
            self._lock.wait_for(
                lambda: self._stopped or path in self._failed or self.known(path, stamp), within
            )
            if path in self._failed:
                raise DiskError(path, self._failed[path])
            if self._stopped:
                raise DiskError(path, "stopped")
        return self.known(path, stamp)

    def is_content(self, path: Path, content: Content, checkpoint: Callable[[], None]) -> bool:
        """Tell whether a file is that content, hashing it if need be.

        ``checkpoint`` is called now and then while that takes, and may raise to give up.
        """
        while not self._stopped:
            checkpoint()
            stamp = disk.stamp(path)  # each time: while it waits for its turn, it may be changed
            if stamp is None or stamp.size != content.size:
                return False
            try:
                root = self.wait(str(path), stamp, within=0.5)
            except DiskError:  # it cannot be read, or it is changed while it is
                return False
            if root is not None:
                return root == content.root
        return False

    def progress(self, path: str) -> int:
        """Return how many bytes of a file have been hashed so far."""
        at, done = self._at
        return done if at == path else 0

    def pending(self) -> int:
        """Return how many files wait to be hashed."""
        with self._lock:
            return len(self._soon.keys() | self._later.keys()) + bool(self._at[0])

    def layer(self, path: str, content: Content) -> bytes | None:
        """Return the piece hashes of a known file, if they are still remembered."""
        if content.size <= merkle.FINEST_PIECE:
            return content.root
        query = "select layer from root where path = ? and root = ?"
        row = self._execute(query, os.fsencode(path), content.root)
        return row[0] if row else None

    def forget(self, path: str) -> None:
        """Make the next ``wait`` hash a file again."""
        with self._lock:
            if (known := self._known.pop(path, None)) is not None:
                self._by_root[known[1]].discard(path)

    def remember(self, files: Iterable[tuple[str, Hashed]]) -> None:
        """Keep what is known of some paths, as after a download that verified every byte."""
        known = list(files)
        for at in range(0, len(known), ROWS):
            rows = [_row(path, hashed) for path, hashed in known[at : at + ROWS]]
            marks = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(rows))
            self._execute(f"insert or replace into root values {marks}", *chain(*rows))
        with self._lock:
            for path, hashed in known:
                self._learn(path, hashed.stamp, hashed.content.root)
            self._lock.notify_all()

    def _execute(self, query: str, *values: object) -> Any:
        """Run a query and return its first row; a database that fails gives way to memory."""
        with self._database_lock:
            try:
                return self._database.execute(query, values).fetchone()
            except sqlite3.Error:
                with suppress(sqlite3.Error):
                    self._database.close()
                self._database = _open(None)
                return self._database.execute(query, values).fetchone()

    def _learn(self, path: str, stamp: FileState, root: bytes) -> None:
        if path in self._known:
            self._by_root[self._known[path][1]].discard(path)
        self._known[path] = (stamp, root)
        self.learned += 1
        self._by_root.setdefault(root, set()).add(path)

    def _load(self) -> None:
        with suppress(sqlite3.Error):
            for path, size, mtime_ns, inode, root in self._database.execute(
                "select path, size, mtime_ns, inode, root from root"
            ):
                self._learn(os.fsdecode(path), FileState(size, mtime_ns, inode), root)

    def _run(self) -> None:
        while (path := self._next()) is not None:
            try:
                self._settle(path)
                self.remember([(path, hash_file(path, self._report, lambda: self._stopped))])
            except DiskError as error:
                with self._lock:
                    self._failed[path] = error.kind
            with self._lock:
                self._at = ("", 0)
                self._lock.notify_all()

    def _next(self) -> str | None:
        """Wait for a path to hash; None when it is time to end."""
        with self._lock:
            self._lock.wait_for(lambda: self._stopped or self._soon or self._later)
            if self._stopped:
                return None
            path = next(iter(self._soon or self._later))
            self._soon.pop(path, None)
            self._later.pop(path, None)
            self._at = (path, 0)
            return path

    def _report(self, done: int) -> None:
        self._at = (self._at[0], done)

    def _settle(self, path: str) -> None:
        """Let a file written this very moment become old enough for its stamp to tell."""
        stamp = disk.stamp(path)
        if stamp is not None and 0 <= time.time_ns() - stamp.mtime_ns < SETTLE_NS:
            with self._lock:
                self._lock.wait_for(lambda: self._stopped, SETTLE_NS / 1e9)


def default_database() -> Path | None:
    """Return where this user's system keeps what can be computed again, or None without a home."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "rede-p2p" / "roots.sqlite3"


def _row(path: str, hashed: Hashed) -> tuple[object, ...]:
    layer = hashed.layer if hashed.content.size > merkle.FINEST_PIECE else b""
    return os.fsencode(path), *hashed.stamp, hashed.content.root, layer


def _open(path: Path | None) -> sqlite3.Connection:
    """Open or make the database; what cannot be opened is replaced by one in memory."""
    if path is not None:
        with suppress(sqlite3.Error, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return _prepared(sqlite3.connect(path, timeout=5, check_same_thread=False))
    return _prepared(sqlite3.connect(":memory:", check_same_thread=False))


def _prepared(database: sqlite3.Connection) -> sqlite3.Connection:
    try:
        # Every write is on its own and short, for other peers of this person write here too.
        # Nothing is waited for: what a power cut spoils can be computed again.
        database.isolation_level = None
        database.execute("pragma synchronous = off")
        database.execute(_TABLE)
    except sqlite3.Error:
        database.close()
        raise
    return database
