"""The table of what was hashed, in an SQLite database; losing it costs only time.

Roots and layers are by path and state. The SHA-1 digests of BitTorrent v1 are by root: they follow
from a content and a piece length, wherever the file is. Any thread may use a HashDatabase.
"""

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from rede_p2p.content import merkle
from rede_p2p.content.disk import FileState
from rede_p2p.content.hashing import Hashed
from rede_p2p.content.merkle import HASH_BYTES, Content
from rede_p2p.content.v1_pieces import DIGEST_BYTES

# A write costs about as much as this many rows; SQLite before 3.32 takes 999 values.
ROWS_PER_WRITE = 120

_TABLES = (
    """create table if not exists file (
    path blob primary key, size integer, mtime_ns integer, inode integer, ctime_ns integer,
    settled integer, root blob not null, layer blob not null) without rowid""",
    """create table if not exists v1 (
    root blob, piece integer, digests blob not null, primary key (root, piece)) without rowid""",
    "drop table if exists root",  # of earlier versions, without ctime
)
_STATE = ("size", "mtime_ns", "inode", "ctime_ns")
# A column of SQLite takes values of any type: what another program wrote is not there.
_FILES = (
    f"select path, {', '.join(_STATE)}, settled, root from file "
    f"where typeof(path) = 'blob' and typeof(root) = 'blob' and length(root) = {HASH_BYTES}"
    + "".join(f" and typeof({column}) = 'integer'" for column in _STATE)
)
_LAYER = """select layer, size from file
    where path = ? and root = ? and typeof(layer) = 'blob' and typeof(size) = 'integer'"""
_DIGESTS = "select digests from v1 where root = ? and piece = ? and typeof(digests) = 'blob'"


class Row(NamedTuple):
    """What is remembered of a path; ``settled`` if any later edit must change the state."""

    path: str
    state: FileState
    settled: bool
    root: bytes


class HashDatabase:
    """The database of one program; other programs of this user may write to the same one."""

    def __init__(self, path: Path | None) -> None:
        """Open the database; keep it in memory where the path is None or cannot be used."""
        self._lock = Lock()  # guards _opened
        self._opened = _open(path)

    def close(self) -> None:
        """Close the database; nothing may be asked any more."""
        self._opened.close()

    def files(self) -> list[Row]:
        """Return what is remembered of every path, as far as it can be read."""
        rows: list[Row] = []
        with suppress(sqlite3.Error, UnicodeDecodeError):
            for path, *state, settled, root in self._opened.execute(_FILES):
                rows.append(Row(os.fsdecode(path), FileState(*state), bool(settled), root))
        return rows

    def layer(self, path: str, root: bytes) -> bytes | None:
        """Return the piece layer of a file of several pieces, if it is remembered."""
        layer, size = self.execute(_LAYER, os.fsencode(path), root) or (b"", 0)
        return layer if len(layer) == merkle.piece_count(size) * HASH_BYTES else None

    def digests(self, content: Content, piece: int) -> bytes | None:
        """Return the v1 digests of a content, if they are remembered."""
        if not content.size:
            return b""
        (digests,) = self.execute(_DIGESTS, content.root, piece) or (b"",)
        count = -(-content.size // piece) + 1  # the last is there twice
        return digests if len(digests) == count * DIGEST_BYTES else None

    def remember(self, files: Sequence[tuple[str, Hashed, bool]]) -> None:
        """Store what was hashed: the path, what was found, and whether its state is settled."""
        for at in range(0, len(files), ROWS_PER_WRITE):
            rows = [_row(*one) for one in files[at : at + ROWS_PER_WRITE]]
            self._insert("file", rows)
        for _, hashed, _ in files:
            if hashed.digests:
                self._insert("v1", [(hashed.content.root, hashed.v1_piece, hashed.digests)])

    def forget(self, path: str) -> None:
        """Remove what is remembered of a path."""
        self.execute("delete from file where path = ?", os.fsencode(path))

    def _insert(self, table: str, rows: Iterable[tuple[object, ...]]) -> None:
        values = list(rows)
        marks = ", ".join("(" + ", ".join("?" * len(row)) + ")" for row in values)
        self.execute(f"insert or replace into {table} values {marks}", *chain(*values))

    def execute(self, query: str, *values: object) -> Any:
        """Run a query and return its first row; if the database fails, use one in memory."""
        with self._lock:
            try:
                return self._opened.execute(query, values).fetchone()
            except sqlite3.Error:
                with suppress(sqlite3.Error):
                    self._opened.close()
                self._opened = _open(None)
                return self._opened.execute(query, values).fetchone()


def _row(path: str, hashed: Hashed, settled: bool) -> tuple[object, ...]:
    layer = hashed.layer if hashed.content.size > merkle.MIN_PIECE_BYTES else b""
    return os.fsencode(path), *hashed.state, settled, hashed.content.root, layer


def _open(path: Path | None) -> sqlite3.Connection:
    """Open or create the database; if that fails, use one in memory."""
    if path is not None:
        with suppress(sqlite3.Error, OSError):
            path.parent.mkdir(0o700, parents=True, exist_ok=True)  # it tells every path
            return _prepared(sqlite3.connect(path, timeout=5, check_same_thread=False))
    return _prepared(sqlite3.connect(":memory:", check_same_thread=False))


def _prepared(database: sqlite3.Connection) -> sqlite3.Connection:
    try:
        # Each write is a short transaction of its own, because other peers of this user write here
        # too. No write waits for the disk: after a power cut, roots can be computed again.
        database.isolation_level = None
        database.execute("pragma synchronous = off")
        for table in _TABLES:
            database.execute(table)
    except sqlite3.Error:
        database.close()
        raise
    return database
