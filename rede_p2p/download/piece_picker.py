"""Who fetches which piece from whom: the requester's truth, one plain object.

No I/O, no thread, no lock of its own: its owner holds one around it. Invariant: every piece is in
exactly one state, DOUBTFUL (left by an earlier download, not looked at yet), MISSING, RESERVED (by
one source; at the very end by more, where those before are slow) or HERE; HERE is for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

PATIENCE = 2.0  # times the usual time of a piece, after which another source may fetch it too;
# a third one after twice that, for the network alone may have been slow to both
LEAST_PATIENCE = 0.1  # seconds


class PiecePicker:
    """What one download has, what it has asked for, and what it lacks."""

    def __init__(self, count: int, clock: Callable[[], float], doubtful: range = range(0)) -> None:
        """``clock`` tells the time in seconds; all pieces are missing but the ``doubtful``."""
        self.count = count
        self._clock = clock
        self._here = bytearray(count)
        self._doubtful = set(doubtful)
        self._missing = set(range(count)) - self._doubtful
        # Piece → source → since when; None: it makes us wait.
        self._reserved: dict[int, dict[Hashable, float | None]] = {}
        self._news: list[int] = []  # index: wanted no more; ~index: wanted again
        self._usual = 0.0  # seconds from reserving a piece to having it, smoothed

    @property
    def complete(self) -> bool:
        """Whether every piece is here."""
        return not (self._missing or self._reserved or self._doubtful)

    @property
    def idle(self) -> bool:
        """Whether nothing is missing that is not reserved."""
        return not self._missing

    def is_here(self, index: int) -> bool:
        """Tell whether a piece is here."""
        return bool(self._here[index])

    def is_missing(self, index: int) -> bool:
        """Tell whether a piece is neither here nor reserved."""
        return index in self._missing

    def wanted(self) -> tuple[bytes, int]:
        """Return a bitmap of the missing pieces, and where its news begin."""
        bits = bytearray(-(-self.count // 8))
        for index in self._missing:
            bits[index // 8] |= 128 >> index % 8
        return bytes(bits), len(self._news)

    def news(self, since: int, most: int) -> tuple[list[int], list[int], int]:
        """Return what is wanted no more, what is wanted again, and where the next news begin."""
        upto = min(len(self._news), since + most)
        last = {(piece if piece >= 0 else ~piece): piece >= 0 for piece in self._news[since:upto]}
        got = [index for index, gone in last.items() if gone]
        lost = [index for index, gone in last.items() if not gone]
        return got, lost, upto

    def claim(self, source: Hashable, offered: range, most: int) -> range:
        """Reserve the first run of offered pieces that this source may fetch; it may be empty.

        It is of at most ``most`` pieces.
        """
        first = next((i for i in offered if self._may_claim(source, i)), offered.stop)
        end = first
        stop = min(offered.stop, first + most)
        while end < stop and self._may_claim(source, end):
            end += 1
        now = self._clock()
        for index in range(first, end):
            if index in self._missing:
                self._missing.remove(index)
                self._news.append(index)
            self._reserved.setdefault(index, {})[source] = now
        return range(first, end)

    def confirm(self, index: int, source: Hashable = None) -> bool:
        """Note that a piece is verified and written; tell whether that is new."""
        if self._here[index]:
            return False
        since = self._reserved.pop(index, {}).get(source)
        if since is not None:
            spent = self._clock() - since
            self._usual = spent if not self._usual else 0.9 * self._usual + 0.1 * spent
        if index in self._missing:
            self._missing.remove(index)
            self._news.append(index)
        self._here[index] = 1
        return True

    def settle(self, found: dict[int, bool]) -> None:
        """Note of doubtful pieces whether they are right."""
        self._doubtful.difference_update(found)
        for index, right in found.items():
            if right:
                self._here[index] = 1
            else:
                self._missing.add(index)
                self._news.append(~index)

    def give_back(self, source: Hashable) -> None:
        """Let others have what this source had reserved."""
        for index in [i for i, holders in self._reserved.items() if source in holders]:
            holders = self._reserved[index]
            del holders[source]
            if not holders:
                del self._reserved[index]
                self._missing.add(index)
                self._news.append(~index)

    def put_off(self, source: Hashable, pieces: range) -> None:
        """Note that a source makes us wait for these: nobody else has to wait for it at the end."""
        for index in pieces:
            holders = self._reserved.get(index, {})
            if source in holders:
                holders[source] = None

    def overdue(self, source: Hashable) -> list[int]:
        """List the pieces that another source is slow to bring, and this one may fetch too."""
        return [index for index in self._reserved if self._may_claim(source, index)]

    def _may_claim(self, source: Hashable, index: int) -> bool:
        if index in self._missing:
            return True
        holders = self._reserved.get(index)
        if holders is None or source in holders:
            return False
        if self._missing or self._doubtful:  # it is not the end yet
            return False
        begun = [since for since in holders.values() if since is not None]
        patience = max(LEAST_PATIENCE, PATIENCE * self._usual) * len(begun)
        return not begun or self._clock() - max(begun) > patience
