"""Checking pieces, then writing them: nothing that is not right reaches the partial file.

Who receives a run of pieces hashes it too, while it is still near the processor: handed to another
thread, it would have to be fetched from there again, which takes as long as half of the hashing.
What is right of a long run is written by a thread of its own, so that a fast source need not wait
for the disk; to wake it for a short run would cost more than to write that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import NamedTuple

from rede_p2p.content import merkle
from rede_p2p.content.disk import Writer
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.errors import Address, RedeError

Verdicts = dict[int, bool]  # piece → whether it is right
Judge = Callable[[Address, Verdicts], None]


class _Checked(NamedTuple):
    """What the writing thread is handed; ``done`` is called when ``data`` is free again."""

    source: Address
    pieces: range
    data: memoryview
    found: Verdicts
    done: Callable[[], None]


class PieceWriter:
    """Verifies, and writes what is right; used by ``with``, which waits until all is judged."""

    def __init__(
        self,
        partial: PartialFile,
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
        self._checked: SimpleQueue[_Checked | None] = SimpleQueue()
        self.failure: RedeError | None = None  # of a disk that refuses
        self._thread = Thread(target=self._write_all, name="writer")

    def __enter__(self) -> PieceWriter:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._checked.put(None)
        self._thread.join()

    def writer(self) -> Writer:
        """Open the partial file once more, for the ``settle`` of another thread."""
        return self._partial.writer()

    def settle(self, writer: Writer, source: Address, pieces: range, data: memoryview) -> None:
        """Judge these pieces and write them, through the calling thread's own writer."""
        found = self._check(pieces, data)
        self._write(writer, pieces, data, found)
        self._judge(source, found)

    def settle_beside(
        self, source: Address, pieces: range, data: memoryview, done: Callable[[], None]
    ) -> None:
        """Judge these pieces, and have them written; ``done`` is called when ``data`` is free."""
        self._checked.put(_Checked(source, pieces, data, self._check(pieces, data), done))

    def _write_all(self) -> None:
        handed = iter(self._checked.get, None)
        try:
            with self._partial.writer() as writer:
                for checked in handed:
                    try:
                        self._write(writer, checked.pieces, checked.data, checked.found)
                    finally:
                        checked.done()
                    self._judge(checked.source, checked.found)
        except RedeError as error:
            self.failure = error
        finally:
            for checked in handed:  # nobody may wait for a buffer that is never given back
                checked.done()

    def _check(self, pieces: range, data: memoryview) -> Verdicts:
        """Tell of each piece that is not here yet whether it is right."""
        right = merkle.compare(data, self._size, pieces, self._hashes)
        return {
            index: is_right
            for index, is_right in zip(pieces, right, strict=True)
            if not self._is_here(index)
        }

    def _write(self, writer: Writer, pieces: range, data: memoryview, found: Verdicts) -> None:
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
