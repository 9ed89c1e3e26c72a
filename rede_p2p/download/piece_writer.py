"""Verifying pieces, then writing them: nothing wrong reaches the partial file.

The thread that receives a run also hashes it, while it is in that processor's cache: handing it to
another thread costs half as much as hashing it. The right pieces of a long run are written by one
more thread, so that a fast source need not wait for the disk; waking it for a short run would cost
more than writing that.
"""

from collections.abc import Callable, Iterator
from queue import Queue
from threading import Thread
from typing import NamedTuple

from rede_p2p.content import merkle
from rede_p2p.content.disk import Writer
from rede_p2p.content.merkle import Verdicts
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.errors import Address, DiskError, RedeError


class _Verified(NamedTuple):
    """A part of a run for the writing thread; ``done`` is called when ``data`` is free again."""

    source: Address
    pieces: range
    data: memoryview
    verdicts: Verdicts
    done: Callable[[], None]


class PieceWriter:
    """Verifies and writes the pieces of one download. Used by ``with``, which waits for the end."""

    def __init__(
        self,
        partial: PartialFile,
        size: int,
        layer: bytes,
        is_here: Callable[[int], bool],
        report: Callable[[Address, Verdicts], None],
        fail: Callable[[RedeError], None],
    ) -> None:
        """Verify against ``layer``; skip a piece that came twice, for which ``is_here`` is true.

        The writing thread calls ``report`` once a part is written, and ``fail`` where it ends.
        """
        self._partial = partial
        self._size = size
        self._piece = merkle.piece_length(size)  # bytes
        self._hashes = merkle.split(layer)
        self._zeros = merkle.zero_hash(self._piece)
        self._held = partial.size()  # bytes, right or wrong; what follows them is a hole
        self._is_here = is_here
        self._report = report
        self._fail = fail
        self._verified: Queue[_Verified | None] = Queue()
        self._thread = Thread(target=self._write_all, name="writer")

    def __enter__(self) -> "PieceWriter":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._verified.put(None)
        self._thread.join()

    def open(self) -> Writer:
        """Open the partial file once more, for one source's ``write``; raise DiskError."""
        return self._partial.writer()

    def write(self, file: Writer, pieces: range, data: memoryview) -> Verdicts:
        """Verify pieces and write the right ones; return the verdicts. Raises DiskError."""
        verdicts = self._verify(pieces, data)
        self._write(file, pieces, data, verdicts)
        return verdicts

    def write_behind(
        self, source: Address, pieces: range, data: memoryview, done: Callable[[], None]
    ) -> None:
        """Verify pieces and hand them to the writing thread; ``done`` when ``data`` is free."""
        self._verified.put(_Verified(source, pieces, data, self._verify(pieces, data), done))

    def _write_all(self) -> None:
        handed = iter(self._verified.get, None)
        try:
            with self._partial.writer() as file:
                for part in handed:
                    try:
                        self._write(file, part.pieces, part.data, part.verdicts)
                    finally:
                        part.done()
                    self._report(part.source, part.verdicts)
        except RedeError as error:
            self._fail(error)
        except BaseException:  # a bug, or no memory: Python tells it, and nobody may wait
            self._fail(DiskError(str(self._partial.path), "stopped"))
            raise
        finally:
            for part in handed:  # a source that waits for a buffer must get it
                part.done()

    def _verify(self, pieces: range, data: memoryview) -> Verdicts:
        right = merkle.compare(data, self._size, pieces, self._hashes)
        verdicts = zip(pieces, right, strict=True)
        return {index: is_right for index, is_right in verdicts if not self._is_here(index)}

    def _write(self, file: Writer, pieces: range, data: memoryview, verdicts: Verdicts) -> None:
        right = merkle.right_pieces(verdicts)
        for run in _runs([index for index in right if not self._is_hole(index)]):
            start, stop = ((i - pieces.start) * self._piece for i in (run.start, run.stop))
            file.write(run.start * self._piece, data[start:stop])
        for run in _runs([index for index in right if self._is_hole(index)]):
            file.leave_hole(run.stop * self._piece)

    def _is_hole(self, index: int) -> bool:
        """Tell whether a piece is all zeros and can stay a hole, as it often is at the source."""
        in_hole = index * self._piece >= self._held and index < len(self._hashes) - 1
        return in_hole and self._hashes[index] == self._zeros


def _runs(indexes: list[int]) -> Iterator[range]:
    """Join neighbours, so that one call writes them."""
    start = 0
    for end in range(1, len(indexes) + 1):
        if end == len(indexes) or indexes[end] != indexes[end - 1] + 1:
            yield range(indexes[start], indexes[end - 1] + 1)
            start = end
