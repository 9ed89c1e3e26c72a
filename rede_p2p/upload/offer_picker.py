"""Super-seeding (BEP 16): which pieces of one content to offer next to each of its requesters.

The source chooses, because it alone knows what it has sent to everyone. It offers the piece that it
has offered least often, so that a lone seed sends every piece once before any twice.

An OfferPicker is a monitor: one lock guards it and its requesters, and any thread may call it.
"""

import random
from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import dataclass
from itertools import chain, islice
from threading import Condition, Lock

from rede_p2p.content.bitfield import bits_of, pieces_from, run_in

OTHER_PIECES_OFFERED = 3  # pieces named beside an offer of one piece
HALF_PACE_LEAD = 0.015  # fraction of the pieces; so far ahead, a requester is served at half pace
MIN_LEAD = 0.008  # fraction of the pieces; a smaller lead is chance
MIN_LEAD_PIECES = 8  # the same, in pieces
MAX_LEAD = 0.1  # fraction of the pieces; with a larger one the others are just slower


@dataclass(eq=False)
class Requester:
    """A peer that asks for a content; a Requester belongs to its OfferPicker."""

    machine: Hashable
    lacking: int  # bit i is set if it lacks piece i
    lacking_count: int
    arrival: Condition  # of a piece that it lacks
    offered: range = range(0)  # the offer that it has not answered
    others: tuple[int, ...] = ()  # pieces that it may take in place of those


class OfferPicker:
    """The pieces of one content that are here, by how often each was offered.

    Each is in exactly one level: bit i of ``_levels[n]`` is set if piece i was offered n times.
    """

    def __init__(self, count: int, here: int, chance: Callable[[], float] = random.random) -> None:
        """Begin with the set ``here`` of a content of ``count`` pieces, none of them offered."""
        self._count = count
        self._chance = chance
        self._lock = Lock()  # guards everything below, and the requesters
        self._levels = [here, 0]  # the last one is always empty
        self._requesters: set[Requester] = set()
        self._waiting: set[Requester] = set()  # those for which ``offer`` waits

    def enter(self, machine: Hashable, lacking: int) -> Requester:
        """Begin to serve a requester on ``machine`` that lacks this set of pieces."""
        requester = Requester(machine, lacking, lacking.bit_count(), Condition(self._lock))
        with self._lock:
            self._requesters.add(requester)
        return requester

    def leave(self, requester: Requester) -> None:
        """Stop serving a requester; what it did not take counts as never offered.

        With no requester left, offer counts restart at zero, so that a lone downloader reads the
        file in order.
        """
        with self._lock:
            self._settle(requester, range(0))
            self._requesters.discard(requester)
            if not self._requesters:
                self._levels = [sum(self._levels), 0]  # no two levels share a bit

    def add(self, pieces: Iterable[int]) -> None:
        """Take in pieces that have arrived, and wake the requesters that wait for one of them."""
        with self._lock:
            new = bits_of(pieces)
            for level in self._levels:
                new ^= new & level
            self._levels[0] |= new
            for requester in self._waiting:
                if requester.lacking & new:
                    requester.arrival.notify()

    def note(self, requester: Requester, got: Collection[int], lost: Collection[int]) -> None:
        """Note that a requester no longer lacks ``got``, and lacks ``lost`` again."""
        with self._lock:
            removed = requester.lacking & bits_of(got)
            requester.lacking ^= removed
            requester.lacking_count -= removed.bit_count()
            if lost:
                requester.lacking |= bits_of(lost) & bits_of(range(self._count))
                requester.lacking_count = requester.lacking.bit_count()

    def handicap(self, requester: Requester) -> float:
        """Return a requester's pause as a fraction, at most 1, of the time its last run took.

        TCP shares a cable unevenly. The requester served most ends early, and the last one
        can then go no faster than its own cable. So those ahead of the median must wait. A machine
        counts once however often it asks, so that nobody slows the others down by asking often.
        """
        with self._lock:
            lacking = sorted({one.machine: one.lacking_count for one in self._requesters}.values())
            lead = lacking[len(lacking) // 2] - requester.lacking_count
        if not max(MIN_LEAD_PIECES, MIN_LEAD * self._count) < lead < MAX_LEAD * self._count:
            return 0.0
        return min(1.0, lead / self._count / HALF_PACE_LEAD)

    def offer(
        self, requester: Requester, after: int, most: int, timeout_s: float = 0.0
    ) -> tuple[range, tuple[int, ...]]:
        """Offer a run of at most ``most`` pieces that a requester lacks, instead of the last offer.

        Where no such piece is here, one is waited for; the run is empty if none arrives. A run of
        one piece comes with others to choose from: while the offer travels, another source may
        have promised that piece. ``after`` is the piece after the last one sent.
        """
        with self._lock:
            self._settle(requester, range(0))
            self._pick(requester, after, most)
            if timeout_s and not requester.offered:
                self._waiting.add(requester)
                if requester.arrival.wait(timeout_s):
                    self._pick(requester, after, most)
                self._waiting.remove(requester)
            return requester.offered, requester.others

    def take(self, requester: Requester, taken: range) -> bool:
        """Count only ``taken`` of the last offer as offered; tell whether it was in that offer."""
        with self._lock:
            offered = requester.offered
            in_run = taken and taken[0] in offered and taken[-1] in offered
            if not in_run and not (len(taken) == 1 and taken[0] in requester.others):
                return False
            self._settle(requester, taken)
            return True

    def _settle(self, requester: Requester, taken: range) -> None:
        """Count what was taken as offered, and the rest of the last offer as not offered."""
        if taken != requester.offered:
            # Each loop leaves the level it moves to behind, so that no piece moves twice.
            added, offered = bits_of(taken), bits_of(requester.offered)
            for level in range(1, len(self._levels)):
                self._move(self._levels[level] & offered & ~added, level, level - 1)
            for level in reversed(range(len(self._levels) - 1)):
                self._move(self._levels[level] & added & ~offered, level, level + 1)
        requester.offered, requester.others = range(0), ()

    def _pick(self, requester: Requester, after: int, most: int) -> None:
        """Choose among the pieces offered least: ``after`` if it is one, else at random.

        Going on after the last piece sent makes long runs, and lets a file be read in order.
        """
        level = 0
        while not (wanted := self._levels[level] & requester.lacking):
            level += 1
            if level == len(self._levels):
                return
        place = int(self._chance() * self._count)
        first = after if wanted & (1 << after) else next(pieces_from(wanted, place))
        run = requester.offered = run_in(wanted, first, most)
        if most == 1:
            lacking = requester.lacking ^ (1 << first)
            levels = (pieces_from(pieces & lacking, place) for pieces in self._levels[level:])
            requester.others = tuple(islice(chain.from_iterable(levels), OTHER_PIECES_OFFERED))
        self._move(bits_of(run), level, level + 1)

    def _move(self, pieces: int, level: int, to: int) -> None:
        self._levels[level] ^= pieces
        self._levels[to] |= pieces
        if self._levels[-1]:
            self._levels.append(0)
