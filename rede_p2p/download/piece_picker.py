"""Which piece to ask of which source: every piece of one download is in exactly one state.

DOUBTFUL  left by an earlier attempt and not rechecked yet;
MISSING   to be fetched;
RESERVED  asked of a source, or of several in the endgame;
HERE      verified and written, for ever.

A plain object: no I/O, no thread, and no lock but the one its owner holds around it.
"""

from collections.abc import Callable, Collection, Hashable, Iterable

from rede_p2p.content.merkle import Verdicts
from rede_p2p.errors import ProtocolError
from rede_p2p.protocol.fields import MAX_NEWS_INDEXES
from rede_p2p.protocol.messages import Next, PieceOffer, Take

ENDGAME_FACTOR = 2.0  # smoothed piece times before a second source may fetch a piece too; a third
# waits twice as long, because a slow network delays every source


class PiecePicker:
    """The state of every piece of one download."""

    def __init__(self, count: int, clock: Callable[[], float], min_endgame_wait_s: float) -> None:
        """Begin with ``count`` missing pieces; ``clock`` returns monotonic seconds."""
        self.count = count
        self._clock = clock
        self._min_endgame_wait_s = min_endgame_wait_s
        self._here = bytearray(count)
        self._doubtful: set[int] = set()
        self._missing = set(range(count))
        # Piece → source → when it was asked; None while that source keeps us in its queue.
        self._reserved: dict[int, dict[Hashable, float | None]] = {}
        self._news: list[int] = []  # i: piece i is wanted no more; ~i: piece i is wanted again
        self.lost_at = 0  # where the news begin that have no piece that is wanted again
        self._smoothed_piece_s = 0.0  # from reserving a piece to having it

    @property
    def complete(self) -> bool:
        """Whether every piece is here."""
        return not (self._missing or self._reserved or self._doubtful)

    @property
    def any_under_way(self) -> bool:
        """Whether a piece is asked of a source, or waits to be rechecked."""
        return bool(self._reserved or self._doubtful)

    @property
    def any_doubtful(self) -> bool:
        """Whether a piece waits to be rechecked."""
        return bool(self._doubtful)

    def is_here(self, index: int) -> bool:
        """Tell whether a piece is verified and written."""
        return bool(self._here[index])

    def doubt(self, pieces: Collection[int]) -> None:
        """Mark missing pieces as left by an earlier attempt: nobody is asked for them."""
        self._doubtful.update(pieces)
        self._missing.difference_update(pieces)

    def skip(self, pieces: Iterable[int]) -> None:
        """Ask nobody for missing pieces, which are not needed."""
        self._missing.difference_update(pieces)

    def wanted(self) -> tuple[bytes, int]:
        """Return a bitmap of the missing pieces, and the position where its news begin."""
        bits = bytearray(-(-self.count // 8))
        for index in self._missing:
            bits[index // 8] |= 128 >> index % 8
        return bytes(bits), len(self._news)

    def news(self, since: int, most: int) -> tuple[list[int], list[int], int]:
        """Return the pieces wanted no more, those wanted again, and where the next news begin.

        At most ``most`` entries after position ``since`` are read.
        """
        upto = min(len(self._news), since + most)
        last = {(piece if piece >= 0 else ~piece): piece >= 0 for piece in self._news[since:upto]}
        got = [index for index, gone in last.items() if gone]
        lost = [index for index, gone in last.items() if not gone]
        return got, lost, upto

    def claim(self, source: Hashable, offered: range, most: int) -> range:
        """Reserve the first run of at most ``most`` offered pieces that ``source`` may fetch.

        The run is empty when none of them is of use.
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

    def take(
        self, source: Hashable, offer: PieceOffer, most: int, since: int
    ) -> tuple[Take | None, int]:
        """Reserve what is of use in an offer; return the request for it, with the news since.

        Where the offered run is of no use, one of the other pieces is taken. Raises ProtocolError
        for a piece that does not exist.
        """
        if max(offer.first + offer.count - 1, *offer.others, -1) >= self.count:
            raise ProtocolError("bad-length")
        taken = self.claim(source, range(offer.first, offer.first + offer.count), most)
        for other in offer.others:
            taken = taken or self.claim(source, range(other, other + 1), 1)
        if not taken:
            return None, since
        got, lost, since = self.news(since, MAX_NEWS_INDEXES)
        return Take(taken.start, len(taken), tuple(got), tuple(lost)), since

    def ask_next(self, source: Hashable, offer: PieceOffer, since: int) -> tuple[Next | None, int]:
        """Return the request for the next offer, with the news since; None if nothing is wanted.

        In the endgame, pieces that are late are wanted. What was of no use in the last offer is
        repeated as not wanted: a late piece came from its first source, which is no news.
        """
        late = [] if self._missing else self.endgame(source)[:MAX_NEWS_INDEXES]
        if not (self._missing or late):
            return None, since
        got, lost, since = self.news(since, MAX_NEWS_INDEXES - len(late))
        offered = (*range(offer.first, offer.first + offer.count), *offer.others)
        stale = [i for i in offered if i not in self._missing and i not in got]
        got += stale[: MAX_NEWS_INDEXES - len(got)]
        return Next(tuple(got), (*lost, *late)), since

    def confirm(self, index: int, source: Hashable = None) -> bool:
        """Record a piece as verified and written; return whether that is new."""
        if self._here[index]:
            return False
        since = self._reserved.pop(index, {}).get(source)
        if since is not None:
            spent = self._clock() - since
            smoothed = self._smoothed_piece_s
            self._smoothed_piece_s = 0.9 * smoothed + 0.1 * spent if smoothed else spent
        if index in self._missing:
            self._missing.remove(index)
            self._news.append(index)
        self._here[index] = 1
        return True

    def recheck(self, verdicts: Verdicts) -> None:
        """Record of doubtful pieces whether they are right; a wrong one is missing."""
        self._doubtful.difference_update(verdicts)
        for index, right in verdicts.items():
            if right:
                self._here[index] = 1
            else:
                self._lose(index)

    def release(self, source: Hashable) -> bool:
        """Give back what a source had reserved, and tell whether that was anything.

        Pieces that no other brings are missing again.
        """
        owed = [index for index, holders in self._reserved.items() if source in holders]
        for index in owed:
            holders = self._reserved[index]
            del holders[source]
            if not holders:
                del self._reserved[index]
                self._lose(index)
        return bool(owed)

    def _lose(self, index: int) -> None:
        self._missing.add(index)
        self._news.append(~index)
        self.lost_at = len(self._news)

    def postpone(self, source: Hashable, pieces: range) -> None:
        """Note that a source keeps us in its queue: in the endgame nobody waits for it."""
        for index in pieces:
            holders = self._reserved.get(index, {})
            if source in holders:
                holders[source] = None

    def endgame(self, source: Hashable) -> list[int]:
        """List the reserved pieces that are late, and that ``source`` may fetch too."""
        return [index for index in self._reserved if self._may_claim(source, index)]

    def _may_claim(self, source: Hashable, index: int) -> bool:
        if index in self._missing:
            return True
        holders = self._reserved.get(index)
        if holders is None or source in holders or self._missing or self._doubtful:
            return False  # in the last two cases, the endgame has not begun
        asked = [since for since in holders.values() if since is not None]
        wait = max(self._min_endgame_wait_s, ENDGAME_FACTOR * self._smoothed_piece_s) * len(asked)
        return not asked or self._clock() - max(asked) > wait
