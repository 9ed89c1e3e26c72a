"""What a source has of a content, and which of it to offer next: one plain object.

It remembers how often each piece was offered and picks the one offered least, so that a lone seed
sends every piece once before any twice. No I/O, no thread, no lock of its own: its owner holds one
around it.
"""

from __future__ import annotations

import random
from collections.abc import Hashable, Iterable, Iterator
from itertools import chain, islice

LEAD = 0.015  # of a content; who is so far before the others is served at half its pace
OUTRUN = 0.1  # of a content; those so far behind are slower, and to wait for them helps nobody
CLOSE = 0.008  # of a content; a lead that chance gives and takes
LEAST_LEAD = 8  # pieces

_FLAG_OF_DIGIT = bytes(digit == ord("1") for digit in range(256))


class Bitfield:
    """A set of piece numbers, in a byte for each of ``count`` pieces.

    There are two of them for each requester: sets would take fifty times the memory, and as long
    to be made as a requester that asks again and again could wish for.
    """

    def __init__(self, count: int, pieces: Iterable[int] = ()) -> None:
        self.flags = bytearray(count)
        self._size = 0
        for piece in pieces:
            self.add(piece)

    @classmethod
    def of_bitmap(cls, bitmap: bytes, count: int) -> Bitfield:
        """Read a bitmap, its highest bit first; what it has too little of is not in the set."""
        bits = bin(int.from_bytes(b"\1" + bitmap, "big"))[3:].encode()  # after "0b1"
        return cls._of_flags(bits.translate(_FLAG_OF_DIGIT)[:count].ljust(count, b"\0"))

    @classmethod
    def _of_flags(cls, flags: bytes) -> Bitfield:
        made = cls(0)
        made.flags = bytearray(flags)
        made._size = made.flags.count(1)
        return made

    def __and__(self, other: Bitfield) -> Bitfield:
        both = int.from_bytes(self.flags, "big") & int.from_bytes(other.flags, "big")
        return self._of_flags(both.to_bytes(len(self.flags), "big"))

    def __len__(self) -> int:
        return self._size

    def __contains__(self, piece: int) -> bool:
        return piece < len(self.flags) and self.flags[piece] == 1

    def __iter__(self) -> Iterator[int]:
        piece = self.flags.find(1)
        while piece >= 0:
            yield piece
            piece = self.flags.find(1, piece + 1)

    def add(self, piece: int) -> None:
        """Have a piece in it."""
        self._size += 1 - self.flags[piece]
        self.flags[piece] = 1

    def discard(self, piece: int) -> None:
        """Have a piece in it no more, if there is such a piece."""
        if piece in self:
            self._size -= 1
            self.flags[piece] = 0


class Requester:
    """What one requester lacks of a content, and what of the source has."""

    def __init__(self, machine: Hashable, lacking: Bitfield, here: Bitfield) -> None:
        self.machine = machine
        self.lacking = lacking
        self.here = here


class OfferPicker:
    """What one source has of a content, ordered by how often each piece was offered.

    ``_order`` holds the pieces, those offered least first; ``_starts[n]`` is where those offered
    n times begin, so that counting an offer is one swap and not a sort. ``_wishes`` are those of
    the requesters; of each, ``here`` is what it lacks and is on the shelf.
    """

    def __init__(
        self, count: int, pieces: Iterable[int], choose: random.Random | None = None
    ) -> None:
        """Have these ``pieces``, of a content of ``count``."""
        self._choose: random.Random = choose or random.Random()
        self._order: list[int] = list(pieces)
        self._place = {piece: place for place, piece in enumerate(self._order)}
        self._offers = dict.fromkeys(self._order, 0)
        self._here = Bitfield(count, self._order)
        self._starts = [0]
        self._wishes: set[Requester] = set()

    def enter(self, machine: Hashable, lacking: Bitfield) -> Requester:
        """Begin to serve a requester, who is on a machine.

        Who comes to an empty room finds nothing offered: what those before were offered says
        nothing of who is here now, and would only break the file into short runs.
        """
        if not self._wishes and len(self._starts) > 1 and self._starts[1] < len(self._order):
            self._offers = dict.fromkeys(self._order, 0)
            self._starts = [0]
        wish = Requester(machine, lacking, lacking & self._here)
        self._wishes.add(wish)
        return wish

    def leave(self, wish: Requester) -> None:
        """Serve a requester no more."""
        self._wishes.discard(wish)

    def note(self, wish: Requester, got: Iterable[int], lost: Iterable[int]) -> None:
        """Take it that a requester lacks some pieces no more, and others again."""
        for piece in got:
            wish.lacking.discard(piece)
            wish.here.discard(piece)
        for piece in lost:
            wish.lacking.add(piece)
            if piece in self._here:
                wish.here.add(piece)

    def handicap(self, wish: Requester) -> float:
        """Tell how long a requester should wait for its next run: times what the last one took.

        TCP shares a cable unevenly. Who is served more ends early, and who ends last has nothing
        but his own cable's rate left to catch up with; so those before the middle one let the
        others go first. A machine counts once, however often it asks, so that nobody can slow the
        others down by asking often.
        """
        count = len(self._here.flags)
        lacking = sorted({one.machine: len(one.lacking) for one in self._wishes}.values())
        lead = lacking[len(lacking) // 2] - len(wish.lacking)
        if not max(LEAST_LEAD, CLOSE * count) < lead < OUTRUN * count:
            return 0.0
        return min(1.0, lead / count / LEAD)

    def __contains__(self, piece: int) -> bool:
        return piece in self._here

    def __len__(self) -> int:
        return len(self._order)

    def add(self, piece: int) -> None:
        """Put a new piece on the shelf, offered to nobody yet."""
        if piece in self._here:
            return
        self._here.add(piece)
        self._order.append(piece)
        place = len(self._order) - 1
        for level in range(len(self._starts) - 1, 0, -1):  # the first of each makes room at its end
            first = self._starts[level]
            if first != place:  # it is not empty
                self._order[place] = moved = self._order[first]
                self._place[moved] = place
            self._starts[level], place = first + 1, first
        self._order[place] = piece
        self._place[piece] = place
        self._offers[piece] = 0
        for wish in self._wishes:
            if piece in wish.lacking:
                wish.here.add(piece)

    def pick(
        self, wish: Requester, after: int, most: int, others: int = 0
    ) -> tuple[range, list[int]]:
        """Choose what to offer: the least offered of what is wished, a run of at most ``most``.

        Among equals the piece after the last one sent comes first, so that files are read in
        order; else chance decides. Each piece of the run counts as offered. Empty if there is none.
        Beside it name up to ``others`` pieces more, the least offered first.
        """
        follows = after in wish.here and self._offers[after] == self._lowest()
        needed = 0 if follows and not others else others + 1
        found = list(islice(self._least_offered(wish.here), needed))
        if not follows:
            if not found:
                return range(0), []
            follows = after in wish.here and self._offers[after] <= self._offers[found[0]]
        first = after if follows else found[0]
        level, end = self._offers[first], first + 1
        while end - first < most and end in wish.here and self._offers[end] <= level:
            end += 1
        for piece in range(first, end):
            self._move_up(piece)
        run = range(first, end)
        return run, [piece for piece in found if piece not in run][:others]

    def count(self, piece: int) -> None:
        """Count a piece as offered once more."""
        self._move_up(piece)

    def take_back(self, pieces: Iterable[int]) -> None:
        """Count as not offered what the requester did not take."""
        for piece in pieces:
            self._move_down(piece)

    def _lowest(self) -> int:
        """Return how often the least offered of all was offered."""
        ends = chain(self._starts[1:], (len(self._order),))
        return next((n for n, end in enumerate(ends) if self._starts[n] < end), 0)

    def _least_offered(self, wished: Bitfield) -> Iterator[int]:
        """Yield wished pieces, the least offered first, equals from a place that chance says.

        Where they are few those are looked at, else all that is here, of which the first will do.
        """
        if len(wished) * min(len(wished), 64) < len(self._order):
            some = list(wished)
            turn = self._choose.randrange(len(some)) if some else 0
            yield from sorted(some[turn:] + some[:turn], key=self._offers.__getitem__)
            return
        ends, flags = [*self._starts[1:], len(self._order)], wished.flags
        for start, end in zip(self._starts, ends, strict=True):
            if start == end:
                continue
            turn = self._choose.randrange(start, end)
            for place in chain(range(turn, end), range(start, turn)):
                piece = self._order[place]
                if flags[piece]:
                    yield piece

    def _move_up(self, piece: int) -> None:
        """Count one offer more: swap with the last of its level, and move the border before it."""
        level = self._offers[piece]
        if level + 1 == len(self._starts):
            self._starts.append(len(self._order))
        self._starts[level + 1] -= 1
        self._swap(piece, self._starts[level + 1])
        self._offers[piece] = level + 1

    def _move_down(self, piece: int) -> None:
        """Count one offer less: swap with the first of its level, and move the border after it."""
        level = self._offers[piece]
        if level:
            self._swap(piece, self._starts[level])
            self._starts[level] += 1
            self._offers[piece] = level - 1

    def _swap(self, piece: int, place: int) -> None:
        other, from_place = self._order[place], self._place[piece]
        self._order[place], self._order[from_place] = piece, other
        self._place[piece], self._place[other] = place, from_place
