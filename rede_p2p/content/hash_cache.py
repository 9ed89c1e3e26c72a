"""The roots of files: computed once, in the background, and remembered.

A root is remembered by path and state, in memory and in an SQLite database; losing the database
costs only time. One thread hashes: first the files that somebody waits for, then the others, small
before large. The state can miss a change of bytes: whoever finds one calls ``forget``.
Invariant: ``_by_root`` is the inverse of ``_known``. Whoever makes a HashCache must ``close`` it.
"""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Condition, ExceptHookArgs, Lock, Thread
from typing import NamedTuple

from rede_p2p.content import disk, merkle
from rede_p2p.content.cache_folder import cache_folder
from rede_p2p.content.disk import FileState
from rede_p2p.content.hash_database import HashDatabase
from rede_p2p.content.hash_queue import HashQueue, Job
from rede_p2p.content.hashing import Hashed, hash_file
from rede_p2p.content.merkle import Content
from rede_p2p.errors import DiskError, DiskKind

TICK_NS = 100_000_000  # an edit this soon after another may leave the times as they are
SETTLE_NS = 2_500_000_000  # the same where times are coarse: on FAT, two seconds


class _Entry(NamedTuple):
    """What is known of a path; ``settled`` if any later edit must change the state."""

    state: FileState
    root: bytes
    settled: bool


class HashCache:
    """The roots of files, known or being computed. Any thread may use a HashCache."""

    def __init__(self, database: Path | None) -> None:
        """Open the database; keep it in memory where the path is None or cannot be used."""
        self.changed: Callable[[], None] = lambda: None  # after a root is learned or forgotten
        self.changes = 0  # how often one was; raised once ``known`` tells it
        self._lock = Condition(Lock())  # guards everything below but the database
        self._known: dict[str, _Entry] = {}
        self._by_root: dict[bytes, set[str]] = {}
        self._queue = HashQueue()
        self._pieces: dict[str, int] = {}  # the v1 piece length to hash a path with, once
        self._failed: dict[str, DiskKind] = {}
        self._stopped = False
        self._database = HashDatabase(database)
        for row in self._database.files():
            self._learn(row.path, _Entry(row.state, row.root, row.settled))
        self._thread = Thread(target=self._run, name="hashing")
        try:
            self._thread.start()
        except RuntimeError:  # the system has no thread left
            self._database.close()
            raise

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
        return found.root if found is not None and found.state == state else None

    def state_as(self, content: Content, path: str) -> FileState | None:
        """Return the state of a file, if a file in that state is known to be ``content``."""
        state = disk.file_state(path)
        return state if state and self.known(path, state) == content.root else None

    def paths(self, root: bytes) -> list[str]:
        """List the paths whose last known root is this one."""
        if root not in self._by_root:  # one look into a dict needs no lock
            return []
        with self._lock:
            return sorted(self._by_root.get(root, ()))

    def want(self, path: str, size: int, *, soon: bool = False) -> None:
        """Queue a file of ``size`` bytes; ``soon`` if somebody waits for its root.

        Files wanted soon go first, then small ones. They may suspend a large file under way.
        """
        with self._lock:
            self._failed.pop(path, None)
            if self._queue.add(path, size, soon=soon):
                self._lock.notify_all()

    def wait(self, path: str, state: FileState, timeout: float) -> bytes | None:
        """Have a file hashed soon; return its root, or None after ``timeout`` seconds.

        Raises DiskError if the file cannot be hashed, or once the cache is closed.
        """
        root = self.known(path, state)
        if root is not None:
            return root
        self.want(path, state.size, soon=True)
        self._wait(path, lambda: self.known(path, state) is not None, timeout)
        return self.known(path, state)

    def _wait(self, path: str, is_done: Callable[[], bool], timeout: float) -> None:
        """Wait for a file to be hashed; raise DiskError where it cannot be."""
        with self._lock:
            self._lock.wait_for(lambda: self._stopped or path in self._failed or is_done(), timeout)
            if path in self._failed:
                raise DiskError(path, self._failed[path])
            if self._stopped:
                raise DiskError(path, "stopped")

    def is_content(self, path: str, content: Content, check: Callable[[], None]) -> bool:
        """Tell whether a file is that content; hash it unless its known state is settled.

        ``check`` is called twice a second, and may raise to give up.
        """
        known = self._known.get(path)
        if known is not None and not known.settled:
            self.forget(path)
        while not self._stopped:
            check()
            state = disk.file_state(path)  # each time: the file may have changed
            if state is None or state.size != content.size:
                return False
            try:
                root = self.wait(path, state, timeout=0.5)
            except DiskError:  # unreadable, changing, or the cache is closed
                return False
            if root is not None:
                return root == content.root
        return False

    def progress(self, path: str) -> int:
        """Return how many bytes of a file have been hashed so far."""
        job = self._queue.jobs.get(path)  # one look into a dict needs no lock
        return job.done if job is not None else 0

    def pending(self) -> int:
        """Return how many files are being hashed or wait to be."""
        with self._lock:
            return len(self._queue) + len(self._queue.jobs)

    def layer(self, path: str, content: Content) -> bytes | None:
        """Return the piece layer of a known file, if it is still remembered."""
        if content.size <= merkle.MIN_PIECE_BYTES:
            return content.root
        return self._database.layer(path, content.root)

    def torrent_layers(
        self, path: str, content: Content, piece: int, timeout: float, *, soon: bool
    ) -> tuple[bytes, bytes] | None:
        """Return the piece layer, and the v1 digests of pieces of ``piece`` bytes, of a known file.

        The first time both are computed from one reading, so that they are of the same bytes. Until
        then, and if the file is another content by now, returns None after ``timeout`` seconds.
        Raises DiskError as ``wait`` does.
        """
        for may_wait in (True, False):
            layer, digests = self.layer(path, content), self._database.digests(content, piece)
            if layer is not None and digests is not None:
                return layer, digests
            if may_wait:
                with self._lock:
                    self._pieces[path] = piece
                self.want(path, content.size, soon=soon)
                self._wait(path, lambda: path not in self._queue, timeout)
        return None

    def forget(self, path: str) -> None:
        """Make the next ``wait`` hash a file again, also in the next program."""
        self._database.forget(path)
        with self._lock:
            if (known := self._known.pop(path, None)) is not None:
                self._discard(known.root, path)
            self.changes += 1
        self.changed()

    def remember(self, files: Iterable[tuple[str, Hashed]]) -> None:
        """Store the roots of files that were hashed, or verified whole by a download."""
        known = [(path, hashed, _is_settled(hashed.state)) for path, hashed in files]
        self._database.remember(known)
        with self._lock:
            for path, hashed, settled in known:
                self._learn(path, _Entry(hashed.state, hashed.content.root, settled))
            self.changes += 1
            self._lock.notify_all()
        self.changed()

    def _discard(self, root: bytes, path: str) -> None:
        self._by_root[root].discard(path)
        if not self._by_root[root]:
            del self._by_root[root]

    def _learn(self, path: str, known: _Entry) -> None:
        if path in self._known:
            self._discard(self._known[path].root, path)
        self._known[path] = known
        self._by_root.setdefault(known.root, set()).add(path)

    def _run(self) -> None:
        try:
            while not self._stopped:
                self._hash_next(None)
                with self._lock:
                    self._lock.wait_for(lambda: self._stopped or self._queue)
        finally:  # whatever ends it: nobody may wait for it any more
            with self._lock:
                self._stopped = True
                self._lock.notify_all()

    def _hash_next(self, under_way: Job | None) -> bool:
        """Hash the next file, if one goes before ``under_way``; return whether one did."""
        with self._lock:
            begun = None if self._stopped else self._queue.begin(under_way)
            if begun is None:
                return False
            path, job = begun
            piece = self._pieces.pop(path, 0)

        def report(done: int) -> None:
            job.done = done
            while self._queue and self._hash_next(job):
                pass

        try:
            self._let_settle(path)
            self.remember([(path, hash_file(path, report, lambda: self._stopped, piece))])
        except DiskError as error:
            with self._lock:
                self._failed[path] = error.kind
        except Exception as bug:  # noqa: BLE001 - or no memory: the other files can be had
            threading.excepthook(ExceptHookArgs((type(bug), bug, bug.__traceback__, None)))
            with self._lock:
                self._failed[path] = "other"
        with self._lock:
            del self._queue.jobs[path]
            self._lock.notify_all()
        return True

    def _let_settle(self, path: str) -> None:
        """If a file has just changed, wait one tick, so that another edit changes its times."""
        state = disk.file_state(path)
        if state is not None and _age_ns(state) < TICK_NS:
            with self._lock:
                self._lock.wait_for(lambda: self._stopped, TICK_NS / 1e9)


def _age_ns(state: FileState) -> int:
    """Return how long ago a file was changed; 0 if all its times are in the future."""
    ages = [time.time_ns() - at for at in (state.mtime_ns, state.ctime_ns)]
    return min((age for age in ages if age >= 0), default=0)


def _is_settled(state: FileState) -> bool:
    """Tell whether any edit from now on must change the file's state.

    True once the last change is SETTLE_NS old. True also if times are finer than a second and the
    file was renamed or linked after its last write: an edit would then set another mtime.
    """
    fine = state.ctime_ns % 1_000_000_000 != 0
    return (fine and state.mtime_ns < state.ctime_ns) or _age_ns(state) >= SETTLE_NS


def default_database() -> Path | None:
    """Return the database's path in this user's cache folder, or None without a home."""
    folder = cache_folder()
    return folder and folder / "roots.sqlite3"
