"""How many files are cut into pieces together, as one bundle.

The files of a bundle lie one behind the other. A small one is in one piece, with its neighbours; a
large one is cut, as it is alone. So every piece is verified by the roots of the files in it, and a
bundle needs no hashes of its own. Pure: no I/O, no state.
"""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import NamedTuple

from rede_p2p.content import merkle
from rede_p2p.content.merkle import Content, FileLayout


class Part(NamedTuple):
    """What a piece of a bundle has of one file."""

    file: int  # its index in the bundle
    start: int  # bytes, in that file
    length: int


class BundleLayout:
    """The pieces of many contents, none of them empty, in a given order."""

    def __init__(self, root: bytes, contents: Sequence[Content]) -> None:
        """``root`` identifies the bundle: the SHA-256 of the lines that name these contents."""
        self.root = root
        self.contents = contents
        self.size = sum(content.size for content in contents)
        self.piece_bytes = merkle.piece_length(self.size)  # no file is cut into smaller ones
        while len(firsts := self._cut()) > merkle.MAX_PIECES:
            self.piece_bytes *= 2
        self.max_piece_bytes = 2 * self.piece_bytes
        self._firsts = firsts  # of each piece: where it begins
        self.count = len(firsts)
        starts = [0, *accumulate(content.size for content in contents)]
        self._ends = [starts[file] + start for file, start in firsts] + [self.size]

    def is_cut(self, file: int) -> bool:
        """Tell whether a file is cut into pieces of its own, each but the last ``piece_bytes``."""
        return self.contents[file].size > 2 * self.piece_bytes

    def bytes_in(self, pieces: Collection[int]) -> int:
        """Return how many bytes some pieces have."""
        if isinstance(pieces, range):
            return self._ends[pieces.stop] - self._ends[pieces.start] if pieces else 0
        return sum(self._ends[piece + 1] - self._ends[piece] for piece in pieces)

    def parts(self, piece: int) -> list[Part]:
        """Return what a piece has of each of its files, in their order."""
        file, start = self._firsts[piece]
        if self.is_cut(file):
            return [Part(file, start, self._ends[piece + 1] - self._ends[piece])]
        end = self._firsts[piece + 1][0] if piece + 1 < self.count else len(self.contents)
        return [Part(one, 0, self.contents[one].size) for one in range(file, end)]

    def pieces_of(self, file: int) -> range:
        """Return the pieces that have something of a file."""
        first = bisect_right(self._firsts, (file, 0)) - 1
        if not self.is_cut(file):
            return range(first, first + 1)
        return range(first, first + -(-self.contents[file].size // self.piece_bytes))

    def _cut(self) -> list[tuple[int, int]]:
        """Return where each piece begins: a file, and the bytes of it before that."""
        firsts: list[tuple[int, int]] = []
        room = 0  # for small files, in the piece before
        for file, (_, size) in enumerate(self.contents):
            if size > 2 * self.piece_bytes:
                firsts += ((file, start) for start in range(0, size, self.piece_bytes))
                room = 0
            elif size <= room:
                room -= size
            else:
                firsts.append((file, 0))
                room = self.piece_bytes - size
        return firsts


Layout = FileLayout | BundleLayout
