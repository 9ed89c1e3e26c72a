"""Checking pieces, then writing them: nothing that is not right reaches the partial file.

A long run of pieces is handed to two threads beside the one that receives, so that a fast source is
never kept waiting: one hashes, the other waits for the disk. A short run is settled where it is,
which is cheaper than waking another thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import TracebackType

from rede_p2p import disk, merkle
from rede_p2p.disk import Writer
from rede_p2p.errors import Address, RedeError
from rede_p2p.partial import Partial

Found = dict[int, bool]  # piece → whether it is right
Judge = Callable[[Address, Found], None]


@dataclass(frozen=True)
class Arrived:
    """A run of pieces that came; ``done`` is called when ``data`` is free again."""

    source: Address
    pieces: range
    data: memoryview
    done: Callable[[], None]


class Verifier:
    """Threads that verify and write; used by ``with``, which waits until all is judged."""

    def __init__(
        self,
        partial: Partial,
        size: int,
        hashes: list[bytes],
        is_here: Callable[[int], bool],
        judge: Judge,
    ) -> None:
        """``judge(source, found)`` is called, in any thread, when what is right has been written.

        A piece for which ``is_here`` says yes came twice, and is passed over.
        """
        self._partial = partial
        self._size = size
        self._piece = merkle.piece_length(size)
        self._hashes = hashes
        self._is_here = is_here
        self._judge = judge
        self._arrived: SimpleQueue[Arrived | None] = SimpleQueue()
        self._hashed: SimpleQueue[tuple[Arrived, Found] | None] = SimpleQueue()
        self.failure: RedeError | None = None  # of a disk that refuses
        self._threads = [
            Thread(target=self._hash_all, name="verifier"),
            Thread(target=self._write_all, name="writer"),
        ]

    def __enter__(self) -> Verifier:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._arrived.put(None)
        for thread in self._threads:
            thread.join()

    def writer(self) -> Writer:
        """Open the partial file once more, for the ``settle`` of another thread."""
        return self._partial.writer()

    def take(self, arrived: Arrived) -> None:
        """Have these pieces judged and written."""
        self._arrived.put(arrived)

    def settle(self, writer: Writer, source: Address, pieces: range, data: memoryview) -> None:
        """Judge these pieces and write them, through the calling thread's own writer."""
        found = self._check(pieces, data)
        self._write(writer, pieces, data, found)
        self._judge(source, found)

    def _hash_all(self) -> None:
        try:
            while (arrived := self._arrived.get()) is not None:
                self._hashed.put((arrived, self._check(arrived.pieces, arrived.data)))
        finally:
            self._hashed.put(None)  # whatever happened, the other thread ends too

    def _write_all(self) -> None:
        try:
            with self._partial.writer() as writer:
                while (hashed := self._hashed.get()) is not None:
                    arrived, found = hashed
                    try:
                        self._write(writer, arrived.pieces, arrived.data, found)
                    finally:
                        arrived.done()
                    self._judge(arrived.source, found)
        except RedeError as error:
            self.failure = error
            while (hashed := self._hashed.get()) is not None:
                hashed[0].done()  # nobody may wait for a buffer that is never given back

    def _check(self, pieces: range, data: memoryview) -> Found:
        """Tell of each piece that is not here yet whether it is right."""
        right = merkle.compare(data, self._size, self._hashes[pieces.start : pieces.stop])
        return {
            index: is_right
            for index, is_right in zip(pieces, right, strict=True)
            if not self._is_here(index)
        }

    def _write(self, writer: Writer, pieces: range, data: memoryview, found: Found) -> None:
        for run in _runs([index for index, right in found.items() if right]):
            start, stop = ((i - pieces.start) * self._piece for i in (run.start, run.stop))
            writer.write(run.start * self._piece, data[start:stop])


def _runs(indexes: list[int]) -> Iterator[range]:
    """Join neighbours, so that what is written together costs one call."""
    start = 0
    for end in range(1, len(indexes) + 1):
        if end == len(indexes) or indexes[end] != indexes[end - 1] + 1:
            yield range(indexes[start], indexes[end - 1] + 1)
            start = end


def look_at(path: Path, size: int, hashes: list[bytes], runs: Iterable[range]) -> Iterator[Found]:
    """Read runs of pieces of a partial file, and yield what is right of each.

    Raises DiskError. A piece that the file does not hold whole is not right.
    """
    piece = merkle.piece_length(size)
    with disk.open_regular(path) as file:
        buffer = memoryview(bytearray())
        for run in runs:
            length = min(len(run) * piece, size - run.start * piece)
            if length > len(buffer):
                buffer = memoryview(bytearray(length))
            filled = disk.read_into(file, run.start * piece, buffer[:length])
            whole = length if filled == length else filled // piece * piece
            right = merkle.compare(buffer[:whole], size, hashes[run.start : run.stop])
            yield dict(zip(run, right, strict=True))
