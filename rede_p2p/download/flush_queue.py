"""Files that are written and await the disk, flushed by the group while others arrive.

A group is flushed at one go where ``group_flush`` can, else each file by itself, several at once.
Owner: one thread, by ``with``.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import NamedTuple

from rede_p2p.content import descriptors, disk, group_flush
from rede_p2p.content.anonymous_file import AnonymousFile
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.download.request import DownloadRequest
from rede_p2p.errors import DiskError

FILES_PER_FLUSH = 256  # and open for so long; fewer where the system grants few descriptors
GROUPS_OF_DESCRIPTORS = 16  # of which four are open, and the others are for all else
BYTES_PER_FLUSH = 32 * 1024 * 1024  # which is as much as an interruption has to flush
MAX_UNFLUSHED_GROUPS = 2  # that await the disk; more would only be open files
FLUSH_THREADS = 8  # the disk takes what several wait for in one go


class Written(NamedTuple):
    """A file that has arrived and is right; it is written, but perhaps not on the disk."""

    request: DownloadRequest
    file: AnonymousFile | PartialFile
    layer: bytes


class FlushQueue:
    """Groups of files, the oldest first; at the end it has those closed that nobody took."""

    def __init__(self, close: Callable[[Written], None]) -> None:
        few = descriptors.limit() // GROUPS_OF_DESCRIPTORS
        self._group_files = max(1, min(FILES_PER_FLUSH, few))
        self._close = close
        self._threads = ThreadPoolExecutor(FLUSH_THREADS, "flusher")
        self._flushing: deque[tuple[list[Written], list[Future[None]]]] = deque()
        self._group: list[Written] = []  # not being flushed yet
        self._group_bytes = 0

    def __enter__(self) -> "FlushQueue":
        return self

    def __exit__(self, *_error: object) -> None:
        self._threads.shutdown()
        for group in (self._group, *(group for group, _ in self._flushing)):
            for written in group:
                self._close(written)

    def add(self, written: Written, length: int) -> bool:
        """Add a file of ``length`` bytes; tell whether a group was full, and is being flushed."""
        self._group.append(written)
        self._group_bytes += length
        full = len(self._group) == self._group_files or self._group_bytes >= BYTES_PER_FLUSH
        if full:
            self.flush()
        return full

    def flush(self) -> None:
        """Begin to make durable what was added."""
        if not self._group:
            return
        files = [written.file for written in self._group]
        awaiting = self._group_bytes * (1 + MAX_UNFLUSHED_GROUPS)
        if len(files) > 1 and group_flush.is_worth_it(awaiting):
            flushed = [self._threads.submit(_flush_together, files)]
        else:
            parts = filter(None, (files[first::FLUSH_THREADS] for first in range(FLUSH_THREADS)))
            flushed = [self._threads.submit(_flush_each, part) for part in parts]
        self._flushing.append((self._group, flushed))
        self._group, self._group_bytes = [], 0

    def take(self, but: int) -> Iterator[tuple[list[Written], DiskError | None]]:
        """Yield each group that was flushed, with the error of that, until ``but`` are left.

        The caller closes the files of a group.
        """
        while self._flushing:
            group, flushed = self._flushing[0]
            if len(self._flushing) <= but and not all(part.done() for part in flushed):
                return
            wait(flushed)  # all of them: no file may be closed while a thread flushes it
            error = None
            try:
                for part in flushed:
                    part.result()
            except DiskError as found:
                error = found
            yield group, error
            self._flushing.popleft()


def _flush_together(files: Sequence[AnonymousFile | PartialFile]) -> None:
    if not group_flush.flush((file.fileno(), file.device()) for file in files):
        _flush_each(files)


def _flush_each(files: Sequence[AnonymousFile | PartialFile]) -> None:
    for file in files:
        disk.begin_flush(file.fileno())
    for file in files:
        file.flush()
