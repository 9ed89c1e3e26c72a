"""The seats of one download: which of the known sources are at work.

A few sources fill a cable, and to speak with thirty costs more than it brings. But who keeps the
same few hears late of what the others have. So a download goes in rounds: at the end of each, who
brought too little gives its seat to a source that waits, as the unchoked peers of BitTorrent do.
Who keeps us in its queue stays beside the seats: who leaves a queue never gets to its head. As a
liar may say that for ever, no more stay so than half as many as there are seats.

A plain object: no I/O, no thread, and no lock but the one its owner holds around it.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from rede_p2p.errors import Address

MIN_SEATS = 8  # sources that fill a cable
MAX_SEATS = 32  # where each source is slower than our cable; as many connections and open files
ROUNDS = 16  # of a download that goes on well
MAX_ROUND_S = 2.0  # of one that does not


class Seats:
    """The sources at work, and who of them must give its seat to one that waits."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        """Begin a download of ``size`` bytes; ``clock`` returns monotonic seconds."""
        self._round_bytes = size // ROUNDS
        self._clock = clock
        self._count = MIN_SEATS
        self._brought: dict[Address, int] = {}  # bytes in this round, by each source at work
        self._new: set[Address] = set()  # who came in this round
        self._dismissed: set[Address] = set()  # who ends its exchange, then leaves
        self._asked: set[Address] = set()  # whose next offer is awaited
        self._queued: set[Address] = set()  # who has told our place since it brought something
        self._ended: dict[Address, int] = {}  # who has nothing more, by the news that it knew
        self._began = clock()
        self.any_waits = False  # for a seat

    def __contains__(self, source: Address) -> bool:
        return source in self._brought

    def __iter__(self) -> Iterator[Address]:
        return iter(self._brought)

    def __len__(self) -> int:
        return len(self._brought)

    @property
    def is_due(self) -> bool:
        """Whether a round has ended, or a seat is free for a source that waits."""
        return (self.any_waits and not self._is_full) or self.round_left_s() <= 0

    def enter(self, source: Address) -> bool:
        """Give a source a seat; return False if it must wait for one."""
        self.any_waits = self._is_full
        if not self.any_waits:
            self._brought[source] = 0
            self._new.add(source)
        return not self.any_waits

    def leave(self, source: Address) -> None:
        """Take the seat of a source, which has ended."""
        del self._brought[source]
        for some in (self._new, self._dismissed, self._asked, self._queued):
            some.discard(source)

    def dismiss(self, source: Address) -> None:
        """Have a source give its seat to another."""
        self._dismissed.add(source)

    def is_dismissed(self, source: Address) -> bool:
        """Tell whether a source shall give its seat to another."""
        return source in self._dismissed

    def note_asked(self, source: Address) -> None:
        """Note that a source is asked for an offer."""
        self._asked.add(source)

    def note_queued(self, source: Address) -> None:
        """Note that a source keeps us in its queue."""
        self._queued.add(source)

    def note_answer(self, source: Address, ended: int) -> None:
        """Note its answer, and until which news it knows that it has nothing more, or -1."""
        self._asked.discard(source)
        self._ended[source] = ended

    def forget_end(self, source: Address) -> None:
        """Note that a source was lost, which may have more once it is back."""
        self._ended.pop(source, None)

    def have_ended(self, since: int, waiting: Iterable[Address]) -> bool:
        """Tell whether nobody at work or waiting has more, of those who know the news ``since``."""
        ended = {source for source, known in self._ended.items() if known >= since}
        return bool(self._brought) and ended.issuperset((*self._brought, *waiting))

    def dismissed_and_asked(self) -> set[Address]:
        """List who of the dismissed owes an offer; who owes pieces brings them first."""
        return self._dismissed & self._asked

    def note(self, source: Address, brought: int) -> None:
        """Take note of bytes that a source has brought, which may have left since."""
        if source in self._brought:
            self._brought[source] += brought
            self._queued.discard(source)

    @property
    def _is_full(self) -> bool:
        return len(self._brought) >= min(self._count + len(self._staying()), MAX_SEATS)

    def _staying(self) -> set[Address]:
        """List those who keep us in their queue and may, the longest first."""
        queued = self._queued - self._dismissed
        return set(islice((one for one in self._brought if one in queued), self._count // 2))

    def round_left_s(self) -> float:
        """Return in how many seconds the round ends; without end while no source waits."""
        if not self.any_waits:
            return float("inf")
        if sum(self._brought.values()) >= self._round_bytes > 0:
            return 0.0
        return max(0.0, self._began + MAX_ROUND_S - self._clock())

    def end_round(self) -> list[Address]:
        """Dismiss who brought too little; return who brought nothing. Another round begins.

        Dismissed is who brought nothing, and the one that brought least, if it was less than two
        thirds of what one brings; but not who keeps us in its queue and may stay. Where they are
        all alike one more may bring more, so it gets a seat; and where nothing came at all, the
        next sources get all the seats that there may be.
        """
        staying = self._staying()
        judged = self._brought.keys() - self._new - self._dismissed
        idle = [source for source in judged if not self._brought[source]]
        judged -= staying
        leaving = set(idle) - staying
        if judged:
            least = min(judged, key=self._brought.__getitem__)
            average = sum(self._brought[one] for one in judged) / len(judged)
            if self._brought[least] < average * 2 / 3:
                leaving.add(least)
            self._count = max(MIN_SEATS, min(self._count + (-1 if leaving else 1), MAX_SEATS))
            if not any(self._brought.values()):
                self._count = MAX_SEATS
        self._dismissed |= leaving
        self._brought = dict.fromkeys(self._brought, 0)
        self._new.clear()
        self._began = self._clock()
        return idle
