"""Checking pieces in a thread of its own, beside the one that receives them.

What has been written to the partial file is read back, hashed and compared with the piece's hash.
Memory stays at one piece, whatever the file's size.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import BinaryIO

from rede_p2p import merkle
from rede_p2p.disk import border
from rede_p2p.errors import RedeError
from rede_p2p.partial import Partial

Judge = Callable[[int, bool], None]


class Verifier:
    """One thread that verifies; used by ``with``, which waits until all is judged."""

    def __init__(self, partial: Partial, size: int, hashes: list[bytes], judge: Judge) -> None:
        """``judge(index, right)`` is called in the thread, for each piece in its turn."""
        self._partial = partial
        self._size = size
        self._piece = merkle.piece_length(size)
        self._hashes = hashes
        self._judge = judge
        self._ranges: SimpleQueue[range | None] = SimpleQueue()
        self._failure: RedeError | None = None
        self._thread = Thread(target=self._run, name="verifier")

    def __enter__(self) -> Verifier:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ranges.put(None)
        self._thread.join()
        if self._failure is not None and kind is None:
            raise self._failure

    def check(self, pieces: range) -> None:
        """Have these pieces read and judged."""
        self._ranges.put(pieces)

    def _run(self) -> None:
        try:
            with self._partial.handle("rb") as file, border(self._partial.path):
                buffer = memoryview(bytearray(min(self._piece, max(self._size, 1))))
                while (pieces := self._ranges.get()) is not None:
                    for index in pieces:
                        self._judge(index, self._is_right(file, buffer, index))
        except RedeError as error:  # a disk that fails, a judge that gives up
            self._failure = error

    def _is_right(self, file: BinaryIO, buffer: memoryview, index: int) -> bool:
        start = index * self._piece
        view = buffer[: min(self._piece, self._size - start)]
        file.seek(start)
        if not _fill(file, view):
            return False
        return merkle.piece_hash(view, self._size) == self._hashes[index]


def _fill(file: BinaryIO, view: memoryview) -> bool:
    """Fill the view from the file; False when the file ends before."""
    while view and (count := file.readinto(view)):  # type: ignore[attr-defined]
        view = view[count:]
    return not view
