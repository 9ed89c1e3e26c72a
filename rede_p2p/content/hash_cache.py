"""The root of each file on this machine: computed once, in the background, and remembered.

A root is remembered by path, size, modification time and inode, in memory and in an SQLite database
that survives the program; losing the database costs time, never truth. One thread hashes, first
the files that somebody waits for. Invariant: ``_by_root`` is ``_known`` read backwards.
Owner: whoever made the object, which must ``close`` it.
"""

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
from rede_p2p.errors import DiskError, DiskKind

READ_BYTES = 1024 * 1024  # at once
SETTLE_NS = 100_000_000  # a file this young may change again and keep its modification time
ROWS_PER_WRITE = 128  # one write costs as much as they do

_TABLE = """create table if not exists root (
    path blob primary key, size integer, mtime_ns integer, inode integer,
    root blob not null, layer blob not null) without rowid"""


@dataclass(frozen=True)
class Hashed:
    """A file's state, content and piece layer."""

    state: FileState
    content: Content
    layer: bytes


def hash_file(
    path: Path | str, report: Callable[[int], None], stopped: Callable[[], bool]
) -> Hashed:
    """Read a whole file and hash it; ``report`` the bytes read so far.

    Raises DiskError, ``changed`` when the file did not stay the same, ``stopped`` when asked to.
    """
    with disk.open_regular(path) as file, disk.translate_os_errors(path):
        state = disk.state_of_open(file)
        piece = merkle.piece_length(state.size)
        view = memoryview(bytearray(max(READ_BYTES, piece)))
        hashes: list[bytes] = []
        for start, length in merkle.cut(state.size, len(view)):
            if stopped():
                raise DiskError(str(path), "stopped")
            if disk.read_into(file, start, view[:length]) != length:
                raise DiskError(str(path), "changed")  # it is shorter now
            hashes += merkle.piece_hashes(view[:length], state.size)
            report(start + length)
        if disk.state_of_open(file) != state:
            raise DiskError(str(path), "changed")
    layer = b"".join(hashes)
    return Hashed(state, Content(merkle.root_of(layer, state.size), state.size), layer)


class HashCache:
    """What is known, what is being hashed, what waits to be."""

    def __init__(self, database: Path | None) -> None:
        """Open the database; keep it in memory where the path is None or cannot be used."""
        self.changed: Callable[[], None] = lambda: None  # called when a root is learned
        self._lock = Condition(Lock())  # guards everything below but the database
        self._known: dict[str, tuple[FileState, bytes]] = {}
        self._by_root: dict[bytes, set[str]] = {}
        self._soon: dict[str, None] = {}  # paths to hash first, in order
        self._later: dict[str, None] = {}  # paths to hash after those, in order
        self._failed: dict[str, DiskKind] = {}
        self._at: tuple[str, int] = ("", 0)  # the path being hashed, the bytes of it so far
        self._stopped = False
        self._database_lock = Lock()  # guards _database
        self._database = _open(database)
        self._load()
        self._thread = Thread(target=self._run, name="hashing")
        self._thread.start()

    def close(self) -> None:
        """Stop hashing, and wait for the thread."""
        with self._lock:
            self._stopped = True
            self._lock.notify_all()
        self._thread.join()
        self._database.close()

    def known(self, path: str, state: FileState) -> bytes | None:
        """Return the root of a file in that state, if it has been computed."""
        found = self._known.get(path)  # one look into a dict needs no lock
        return found[1] if found is not None and found[0] == state else None

    def state_as(self, content: Content, path: str) -> FileState | None:
        """Return the state of a file, if in it the file is known to be that content."""
        state = disk.file_state(path)
        return state if state and self.known(path, state) == content.root else None

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

    def wait(self, path: str, state: FileState, timeout: float) -> bytes | None:
        """Have a file hashed soon; return its root, or None if that takes over ``timeout`` seconds.

        Raises DiskError when the file cannot be hashed, or will not be any more.
        """
        root = self.known(path, state)
        if root is not None:
            return root
        self.want(path, soon=True)
        with self._lock:
            self._lock.wait_for(
                lambda: self._stopped or path in self._failed or self.known(path, state), timeout
            )
            if path in self._failed:
                raise DiskError(path, self._failed[path])
            if self._stopped:
                raise DiskError(path, "stopped")
        return self.known(path, state)

    def is_content(self, path: Path, content: Content, check: Callable[[], None]) -> bool:
        """Tell whether a file is that content, hashing it if need be.

        ``check`` is called now and then meanwhile, and may raise to give up.
        """
        while not self._stopped:
            check()
            state = disk.file_state(path)  # each time: the file may change while it waits
            if state is None or state.size != content.size:
                return False
            try:
                root = self.wait(str(path), state, timeout=0.5)
            except DiskError:  # it cannot be read, or changes meanwhile
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
        """Return the piece layer of a known file, if it is still remembered."""
        if content.size <= merkle.MIN_PIECE_BYTES:
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
        for at in range(0, len(known), ROWS_PER_WRITE):
            rows = [_row(path, hashed) for path, hashed in known[at : at + ROWS_PER_WRITE]]
            marks = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(rows))
            self._execute(f"insert or replace into root values {marks}", *chain(*rows))
        with self._lock:
            for path, hashed in known:
                self._learn(path, hashed.state, hashed.content.root)
            self._lock.notify_all()
        self.changed()

    def _execute(self, query: str, *values: object) -> Any:
        """Run a query and return its first row; replace a database that fails by memory."""
        with self._database_lock:
            try:
                return self._database.execute(query, values).fetchone()
            except sqlite3.Error:
                with suppress(sqlite3.Error):
                    self._database.close()
                self._database = _open(None)
                return self._database.execute(query, values).fetchone()

    def _learn(self, path: str, state: FileState, root: bytes) -> None:
        if path in self._known:
            self._by_root[self._known[path][1]].discard(path)
        self._known[path] = (state, root)
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
                self._let_settle(path)
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

    def _let_settle(self, path: str) -> None:
        """Wait until a file written this very moment is old enough for its time to tell."""
        state = disk.file_state(path)
        if state is not None and 0 <= time.time_ns() - state.mtime_ns < SETTLE_NS:
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
    layer = hashed.layer if hashed.content.size > merkle.MIN_PIECE_BYTES else b""
    return os.fsencode(path), *hashed.state, hashed.content.root, layer


def _open(path: Path | None) -> sqlite3.Connection:
    """Open or make the database; one that cannot be opened is replaced by one in memory."""
    if path is not None:
        with suppress(sqlite3.Error, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return _prepared(sqlite3.connect(path, timeout=5, check_same_thread=False))
    return _prepared(sqlite3.connect(":memory:", check_same_thread=False))


def _prepared(database: sqlite3.Connection) -> sqlite3.Connection:
    try:
        # Each write is a short transaction of its own, because other peers of this user write here
        # too. No write waits for the disk: what a power cut spoils can be computed again.
        database.isolation_level = None
        database.execute("pragma synchronous = off")
        database.execute(_TABLE)
    except sqlite3.Error:
        database.close()
        raise
    return database
