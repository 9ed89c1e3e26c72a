"""Content identity: a file is what its bytes are.

The identity is the "pieces root" of BitTorrent v2 (BEP 52): SHA-256 of each block of 16 KiB makes
the leaves of a binary tree, in which absent leaves are 32 zero bytes. BEP 52 gives an empty file no
root; here it is the hash of its one block, which is empty.

A content travels in pieces, whose size follows from its own, so that nobody has to agree on one.
Its *piece layer* (BEP 52) is the level of the tree with one hash for each piece, side by side in
one ``bytes``: checked against the root, it lets every piece be verified alone. No I/O, no state.
"""

from collections.abc import Collection, Iterator
from hashlib import sha256
from itertools import zip_longest
from typing import NamedTuple

BLOCK_BYTES = 16 * 1024  # bytes a leaf; BEP 52
HASH_BYTES = 32  # bytes a SHA-256 digest
MIN_PIECE_BYTES = 64 * 1024  # bytes; below it the hashes cost more than they tell
MAX_PIECES = 64 * 1024  # pieces in one layer, so that a layer is at most 2 MiB on the wire
MAX_CONTENT_BYTES = 2**50  # bytes a file; 1 PiB, where a piece of 16 GiB is the smallest


Verdicts = dict[int, bool]  # piece index → whether its bytes are right


class Content(NamedTuple):  # importing dataclasses would be a third of the start of recheck_worker
    """What a file is, whatever its name: its root, and its size in bytes."""

    root: bytes
    size: int


def piece_length(size: int) -> int:
    """Return the bytes a piece of a content: 64 KiB, doubled until MAX_PIECES are enough."""
    piece = MIN_PIECE_BYTES
    while piece * MAX_PIECES < size:
        piece *= 2
    return piece


def piece_count(size: int) -> int:
    """Return how many pieces a content has; an empty one has one, empty too."""
    return max(1, -(-size // piece_length(size)))


def bytes_in(pieces: Collection[int], size: int) -> int:
    """Return how many bytes some pieces of a content of ``size`` bytes have; the last is short."""
    piece = piece_length(size)
    last = max(0, size - 1) // piece
    return len(pieces) * piece - ((last + 1) * piece - size if last in pieces else 0)


class FileLayout:
    """The pieces of one content."""

    def __init__(self, content: Content) -> None:
        self.root, self.size = content
        self.count = piece_count(content.size)
        self.piece_bytes = piece_length(content.size)  # of all but the last
        self.max_piece_bytes = self.piece_bytes

    def bytes_in(self, pieces: Collection[int]) -> int:
        """Return how many bytes some pieces have."""
        return bytes_in(pieces, self.size)


def cut(size: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of each part of ``size`` bytes; of none, one empty part."""
    for offset in range(0, max(size, 1), step):
        yield offset, min(step, size - offset)


def zero_hash(length: int) -> bytes:
    """Return the hash of a piece of ``length`` zeros, which is a power of two of blocks."""
    if length == BLOCK_BYTES:
        return sha256(bytes(length)).digest()
    return sha256(2 * zero_hash(length // 2)).digest()


def piece_hashes(data: bytes | bytearray | memoryview, size: int) -> list[bytes]:
    """Hash the pieces that stand side by side in ``data``, of a content of ``size`` bytes.

    Where the content has several pieces, a short last one is padded with absent leaves to the
    height of the others (BEP 52). All leaves are hashed before any node, because hashing a leaf
    lets other threads run, and hashing two digests does not.
    """
    if size <= BLOCK_BYTES:
        return [sha256(data).digest()]
    piece, view = piece_length(size), memoryview(data)
    hashes = [
        sha256(view[at : at + BLOCK_BYTES]).digest()
        for at in range(0, max(len(view), 1), BLOCK_BYTES)
    ]
    width = piece // BLOCK_BYTES if size > piece else 1 << (len(hashes) - 1).bit_length()
    hashes += [bytes(HASH_BYTES)] * (-len(hashes) % width)
    while width > 1:
        hashes = _pairs(hashes)
        width //= 2
    return hashes


def right_pieces(verdicts: Verdicts) -> list[int]:
    """Return the pieces whose bytes are right."""
    return [index for index, is_right in verdicts.items() if is_right]


def compare(
    data: bytes | bytearray | memoryview, size: int, pieces: range, hashes: list[bytes]
) -> list[bool]:
    """Tell which of these pieces are right in ``data``; ``hashes`` are those of all pieces.

    A piece of which ``data`` has only a part is wrong: padded, a part of a tree could have the hash
    of the whole.
    """
    piece = piece_length(size)
    if len(data) < bytes_in(pieces, size):
        data = memoryview(data)[: len(data) // piece * piece]
    digests = piece_hashes(data, size) if data or not size else []
    expected = hashes[pieces.start : pieces.stop]
    return [digest == right for digest, right in zip_longest(digests, expected)]


def layer_of(data: bytes | bytearray | memoryview) -> bytes:
    """Return the layer of a whole content that is in memory."""
    return b"".join(piece_hashes(data, len(data)))


def root_of(layer: bytes, size: int) -> bytes:
    """Return the root above a whole layer; a content of one piece has that piece's hash."""
    if size <= MIN_PIECE_BYTES:
        return layer
    return next(hashes[0] for _, hashes in _levels(layer, size) if len(hashes) == 1)


def layer_above(layer: bytes, size: int, piece: int) -> bytes:
    """Return the layer whose pieces have ``piece`` bytes each, of a content of more than that."""
    return next(b"".join(hashes) for step, hashes in _levels(layer, size) if step == piece)


def _levels(layer: bytes, size: int) -> Iterator[tuple[int, list[bytes]]]:
    """Yield each level from a whole layer up: the bytes under a hash, and the hashes."""
    hashes, step, absent = split(layer), piece_length(size), bytes(HASH_BYTES)
    for _ in range((step // BLOCK_BYTES).bit_length() - 1):
        absent = sha256(absent + absent).digest()
    while True:
        yield step, hashes
        if len(hashes) % 2:
            hashes.append(absent)
        hashes, step, absent = _pairs(hashes), 2 * step, sha256(absent + absent).digest()


def split(layer: bytes) -> list[bytes]:
    """Cut a layer into its hashes."""
    return [layer[at : at + HASH_BYTES] for at in range(0, len(layer), HASH_BYTES)]


def _pairs(hashes: list[bytes]) -> list[bytes]:
    """Hash each two neighbours into their parent."""
    return [sha256(a + b).digest() for a, b in zip(hashes[::2], hashes[1::2], strict=True)]
