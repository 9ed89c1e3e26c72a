"""Sets of pieces of one content, as the bitfield of BEP 3: one bit for each piece.

A set is an int, in which bit i stands for piece i. Python intersects two sets of 65,536 pieces in
0.2 µs, and each takes 8 KiB. Pure functions.
"""

from collections.abc import Collection, Iterator
from functools import lru_cache

MAX_SET_ONE_BY_ONE = 64  # each makes a new int, which may have 65,536 bits
_CHUNK = (1 << 1024) - 1  # bits that are searched first: negating 65,536 of them takes 2 µs
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))  # byte → its bits reversed


def from_bitmap(bitmap: bytes, count: int) -> int:
    """Read the form on the wire, in which piece 0 is the highest bit of the first byte.

    Of ``count`` pieces those beyond the end of the bitmap are absent; bits beyond them are ignored.
    """
    return int.from_bytes(bitmap.translate(_REVERSED), "little") & bits_of(range(count))


def bits_of(pieces: Collection[int]) -> int:
    """Return the set of these pieces."""
    if isinstance(pieces, range) and pieces.step == 1:
        return ((1 << len(pieces)) - 1) << pieces.start
    if len(pieces) > MAX_SET_ONE_BY_ONE:
        marks = bytearray(max(pieces) // 8 + 1)
        for piece in pieces:
            marks[piece >> 3] |= 1 << (piece & 7)
        return int.from_bytes(marks, "little")
    bits = 0
    for piece in pieces:
        bits |= 1 << piece
    return bits


def run_in(bits: int, first: int, most: int) -> range:
    """Return the longest run of pieces in a set from ``first`` on, of at most ``most``."""
    following = (bits >> first) & ((1 << most) - 1)
    length = (following ^ (following + 1)).bit_length() - 1  # how many of the lowest bits are set
    return range(first, first + length)


def whole_units(bits: int, count: int, unit: int) -> int:
    """Return the pieces of a set that lie in a whole unit, of ``count`` pieces in all.

    A unit is ``unit`` pieces, a power of two, from a multiple of it on; the last may be shorter.
    """
    if unit == 1:
        return bits
    starts = bits | bits_of(range(count, count + -count % unit))
    step = 1
    while step < unit:
        starts &= starts >> step
        step *= 2
    return bits & ((starts & _unit_starts(count, unit)) * ((1 << unit) - 1))


@lru_cache(64)
def _unit_starts(count: int, unit: int) -> int:
    return ((1 << (count + -count % unit)) - 1) // ((1 << unit) - 1)


def pieces_from(bits: int, start: int) -> Iterator[int]:
    """Yield the pieces of a set in ascending order, from ``start`` to the last, then from 0."""
    yield from _ascending(bits >> start, start)
    yield from _ascending(bits & ((1 << start) - 1), 0)


def _ascending(bits: int, offset: int) -> Iterator[int]:
    while bits:
        nearest = bits & _CHUNK or bits
        piece = (nearest & -nearest).bit_length() - 1
        bits ^= 1 << piece
        yield offset + piece
