"""Super-seeding (BEP 16): which pieces of one content each requester is offered next.

The source chooses, because it alone knows what it has sent to all requesters. It offers the piece
that it has offered least, so that a lone seed sends every piece once before any twice.

An OfferPicker is a monitor: one lock guards it and its requesters, and any thread may call it.
"""

import random
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from itertools import chain, islice
from threading import Condition, Lock
from time import monotonic

from rede_p2p.content.bitfield import bits_of, pieces_from, run_in, whole_units
from rede_p2p.upload.pace import Pace

UNIT_TIME_S = 0.03  # one unit is what moves in so long
UNIT_WAIT_S = 0.1  # of waiting for whole units, where pieces that are lacking are here already
MIN_UNITS_EACH = 14  # of a content, for each requester and for us: else it spreads too late
MAX_COUNTED_OFFERS = 256  # of one piece: who takes it again and again makes nothing longer
OTHER_PIECES_OFFERED = 3  # alternatives sent with an offer of one piece
HALF_PACE_LEAD = 0.015  # fraction of the pieces; a requester this far ahead gets half speed
MIN_LEAD = 0.008  # fraction of the pieces; a smaller lead is noise
MIN_LEAD_PIECES = 8  # the larger of the two minimums counts
MAX_LEAD = 0.1  # fraction of the pieces; beyond it the others have slower links


@dataclass(eq=False)
class Requester:
    """A peer that downloads a content; the lock of its OfferPicker guards it."""

    machine: Hashable
    lacking: int  # bit i is set if it lacks piece i
    lacking_count: int
    arrival: Condition  # of a piece that it lacks
    taken: int = 0  # pieces, the last time
    waited: bool = False  # in vain for a whole unit: any piece will do
    offered: range = range(0)  # its last offer, until it answers
    others: tuple[int, ...] = ()  # of which it may take one instead


class OfferPicker:
    """The pieces of one content that are here, by how often each was offered.

    Each is in exactly one level: bit i of ``_levels[n]`` is set if piece i was offered n times, or
    MAX_COUNTED_OFFERS times and more.
    """

    def __init__(
        self,
        count: int,
        here: int,
        chance: Callable[[], float] = random.random,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Begin with the pieces ``here``, of ``count``.

        ``chance`` draws a number from [0, 1), ``clock`` returns monotonic seconds.
        """
        self._count = count
        self._chance = chance
        self._lock = Lock()  # guards everything below, and the requesters
        self._levels = [here, 0]  # the last one is empty, until it is the last that there may be
        self._arriving, self._given = Pace(clock), Pace(clock)
        self._requesters: set[Requester] = set()
        self._waiting: set[Requester] = set()  # inside ``offer``, for a piece to arrive

    def enter(self, machine: Hashable, lacking: int) -> Requester:
        """Add a requester on ``machine`` that lacks the pieces in ``lacking``."""
        requester = Requester(machine, lacking, lacking.bit_count(), Condition(self._lock))
        with self._lock:
            self._requesters.add(requester)
        return requester

    def leave(self, requester: Requester) -> None:
        """Remove a requester, and uncount the offer that it has not answered.

        With no requester left, all counts restart at zero, so that a lone downloader gets the file
        in order.
        """
        with self._lock:
            self._settle(requester, range(0))
            self._requesters.discard(requester)
            if not self._requesters:
                self._levels = [sum(self._levels), 0]  # a union: no two levels share a bit

    def add(self, pieces: Collection[int]) -> bool:
        """Add pieces that have arrived, and wake the requesters that wait for one of them.

        Return whether one was not here already.
        """
        with self._lock:
            new = bits_of(pieces)
            for level in self._levels:
                new ^= new & level
            self._arriving.note(new.bit_count())
            self._levels[0] |= new
            for requester in self._waiting:
                if requester.lacking & new:
                    requester.arrival.notify()
            return bool(new)

    def remove(self, pieces: Collection[int]) -> None:
        """Offer pieces no more that are not here any longer."""
        with self._lock:
            gone = bits_of(pieces)
            self._levels = [level & ~gone for level in self._levels]

    def note(self, requester: Requester, got: Collection[int], lost: Collection[int]) -> None:
        """Note that a requester no longer lacks ``got``, and lacks ``lost`` again."""
        # Read without the lock: a stranger may tell of very many.
        brought = bits_of(got)
        missing = bits_of(lost) & bits_of(range(self._count)) if lost else 0
        with self._lock:
            removed = requester.lacking & brought
            requester.lacking ^= removed
            requester.lacking_count -= removed.bit_count()
            if missing:
                requester.lacking |= missing
                requester.lacking_count = requester.lacking.bit_count()

    def handicap(self, requester: Requester) -> float:
        """Return how long a requester must pause, as a fraction (0 to 1) of its last run's time.

        TCP shares a link unevenly. The fastest requester finishes early, and the slowest is then
        limited by its own link. So a requester ahead of the median must wait. A machine with many
        requesters counts once, so that it cannot shift the median.
        """
        with self._lock:
            counts = sorted({one.machine: one.lacking_count for one in self._requesters}.values())
            lead = counts[len(counts) // 2] - requester.lacking_count
        if not max(MIN_LEAD_PIECES, MIN_LEAD * self._count) < lead < MAX_LEAD * self._count:
            return 0.0
        return min(1.0, lead / self._count / HALF_PACE_LEAD)

    def unit(self, free_rate: float) -> int:
        """Return how many pieces to offer together, a power of two.

        Up to ``free_rate``, in pieces/s, exchanges cost nothing that shows; above it each costs
        more than it carries. Runs stay whole when they are passed on, because every source cuts
        the content into the same units; and as large ones, because what arrives here counts like
        what is given.
        """
        with self._lock:
            rate = max(self._arriving.rate, self._given.rate)
            most = self._count / MIN_UNITS_EACH / (len(self._requesters) + 1)
        pieces = (rate - free_rate) * UNIT_TIME_S
        return 1 << max(0, int(max(0, min(pieces, most))).bit_length() - 1)

    def offer(
        self,
        requester: Requester,
        after: int,
        most: int,
        timeout_s: float | None = None,
        unit: int = 1,
    ) -> tuple[range, tuple[int, ...]]:
        """Replace a requester's last offer by a run of pieces that it lacks, ``most`` or so.

        The run lies in whole units of ``unit`` pieces. If no such piece is here, wait for one; if
        none arrives, any piece will do, and the run is empty if there is none. A timeout of 0 waits
        for nothing; with None, it must be a whole unit, too. A run of one piece comes with
        alternatives, because another source may promise that piece first. ``after`` is the piece
        that follows the last one sent.
        """
        with self._lock:
            self._settle(requester, range(0))
            self._pick(requester, after, most, unit)
            if timeout_s is not None and not requester.offered:
                self._wait(requester, after, most, timeout_s, unit)
            return requester.offered, requester.others

    def _wait(
        self, requester: Requester, after: int, most: int, timeout_s: float, unit: int
    ) -> None:
        self._waiting.add(requester)
        began = monotonic()
        while not requester.offered:
            in_part = unit > 1 and requester.lacking & sum(self._levels)
            most_s = min(UNIT_WAIT_S, timeout_s) if in_part else timeout_s
            if not requester.arrival.wait(began + most_s - monotonic()):
                break
            self._pick(requester, after, most, unit)
        if not requester.offered and unit > 1:
            requester.waited = True
            self._pick(requester, after, most, unit)
        self._waiting.remove(requester)

    def take(self, requester: Requester, taken: range) -> bool:
        """Count only ``taken`` as offered; return False if the last offer did not contain it."""
        with self._lock:
            offered = requester.offered
            in_run = taken and taken[0] in offered and taken[-1] in offered
            if not in_run and not (len(taken) == 1 and taken[0] in requester.others):
                return False
            self._settle(requester, taken)
            self._given.note(requester.taken)  # which has arrived
            requester.taken = len(taken)
            return True

    def _settle(self, requester: Requester, taken: range) -> None:
        """Count what was taken as offered, and the rest of the last offer as not offered."""
        if taken != requester.offered:
            # Each loop moves pieces to a level that it has passed, so that none moves twice.
            counted, to_count = bits_of(requester.offered), bits_of(taken)
            for level in range(1, len(self._levels)):
                self._move(self._levels[level] & counted & ~to_count, level, level - 1)
            for level in reversed(range(len(self._levels) - 1)):
                self._move(self._levels[level] & to_count & ~counted, level, level + 1)
        requester.offered, requester.others = range(0), ()

    def _pick(self, requester: Requester, after: int, most: int, unit: int) -> None:
        """Offer a run of least-offered pieces, from ``after`` if it can, else from a random place.

        Continuing after the last piece sent makes runs long and lets a file be read in order.
        """
        usable = requester.lacking & whole_units(sum(self._levels), self._count, unit)
        if usable:
            requester.waited = False
        elif requester.waited:
            usable, unit = requester.lacking, 1
        level = 0
        while not (wanted := self._levels[level] & usable):
            level += 1
            if level == len(self._levels):
                return
        place = int(self._chance() * self._count)
        first = after if wanted & (1 << after) else next(pieces_from(wanted, place & -unit))
        # To the end of a unit, for what is left of one is another run.
        most = max(most - (first + most) % unit, unit - first % unit)
        run = requester.offered = run_in(wanted, first, most)
        if most == 1:
            lacking = requester.lacking ^ (1 << first)
            levels = (pieces_from(pieces & lacking, place) for pieces in self._levels[level:])
            requester.others = tuple(islice(chain.from_iterable(levels), OTHER_PIECES_OFFERED))
        self._move(bits_of(run), level, level + 1)

    def _move(self, pieces: int, level: int, to: int) -> None:
        self._levels[level] ^= pieces
        self._levels[min(to, len(self._levels) - 1)] |= pieces
        if self._levels[-1] and len(self._levels) <= MAX_COUNTED_OFFERS:
            self._levels.append(0)
