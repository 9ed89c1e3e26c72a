"""Checking pieces, then writing them: nothing that is not right reaches the partial file.

A long run of pieces is handed to a thread beside the one that receives, so that a fast source is
never kept waiting; a short one is settled where it is, which is cheaper than waking another thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import BinaryIO

from rede_p2p import merkle
from rede_p2p.disk import border, open_regular
from rede_p2p.errors import Address, RedeError
from rede_p2p.partial import Partial

Judge = Callable[[int, Address, bool], None]
Arrived = tuple[Address, range, memoryview, Callable[[], None]]


class Verifier:
    """One thread that verifies and writes; used by ``with``, which waits until all is judged."""

    def __init__(
        self,
        partial: Partial,
        size: int,
        hashes: list[bytes],
        is_here: Callable[[int], bool],
        judge: Judge,
    ) -> None:
        """``judge(index, source, right)`` is called after a right piece has been written.

        A piece for which ``is_here`` says yes came twice, and is passed over.
        """
        self._partial = partial
        self._size = size
        self._piece = merkle.piece_length(size)
        self._hashes = hashes
        self._is_here = is_here
        self._judge = judge
        self._arrived: SimpleQueue[Arrived | None] = SimpleQueue()
        self.failure: RedeError | None = None  # of a disk that refuses
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
        self._arrived.put(None)
        self._thread.join()

    def handle(self) -> AbstractContextManager[BinaryIO]:
        """Open the partial file once more, for the ``settle`` of another thread."""
        return self._partial.handle("rb+")

    def take(
        self, source: Address, pieces: range, data: memoryview, done: Callable[[], None]
    ) -> None:
        """Have these pieces judged and written; ``done`` is called when ``data`` is free again."""
        self._arrived.put((source, pieces, data, done))

    def _run(self) -> None:
        try:
            with self._partial.handle("rb+") as file:
                while (arrived := self._arrived.get()) is not None:
                    source, pieces, data, done = arrived
                    try:
                        self.settle(file, source, pieces, data)
                    finally:
                        done()
        except RedeError as error:
            self.failure = error
            while (arrived := self._arrived.get()) is not None:
                arrived[3]()  # nobody may wait for a buffer that is never given back

    def settle(self, file: BinaryIO, source: Address, pieces: range, data: memoryview) -> None:
        """Judge these pieces and write them, through the calling thread's own handle."""
        for number, index in enumerate(pieces):
            if self._is_here(index):
                continue
            view = data[number * self._piece : (number + 1) * self._piece]
            right = merkle.piece_hash(view, self._size) == self._hashes[index]
            if right:
                with border(self._partial.path):
                    file.seek(index * self._piece)
                    while view:
                        view = view[file.write(view) :]
                self._partial.written += self._piece
            self._judge(index, source, right)


def right_pieces(path: Path, size: int, hashes: list[bytes], step: int = 1) -> Iterator[int]:
    """Read every ``step``-th piece of a partial file, and yield the index of each that is right."""
    piece = merkle.piece_length(size)
    with open_regular(path) as file, border(path):
        buffer = memoryview(bytearray(min(piece, max(size, 1))))
        for index in range(0, merkle.piece_count(size), step):
            view = buffer[: min(piece, size - index * piece)]
            file.seek(index * piece)
            if not _fill(file, view):
                return  # the file ends here
            if merkle.piece_hash(view, size) == hashes[index]:
                yield index


def _fill(file: BinaryIO, view: memoryview) -> bool:
    """Fill the view from the file; False when the file ends before."""
    while view and (count := file.readinto(view)):  # type: ignore[attr-defined]
        view = view[count:]
    return not view
