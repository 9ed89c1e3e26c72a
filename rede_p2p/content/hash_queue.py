"""Which file is hashed next: what somebody waits for before the rest, and small before large.

A plain object, guarded by the lock of the hash cache. A large file under way is put off for another
file that somebody waits for, and for a much smaller one; it goes on where it was.
"""

from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple


class Wish(NamedTuple):
    """A file to be hashed; the least wish is the next."""

    later: bool  # nobody waits for it
    size: int  # bytes
    number: int  # in the order of asking
    path: str


@dataclass
class Job:
    """A file that is being hashed."""

    later: bool
    size: int  # bytes
    done: int = 0  # bytes


class HashQueue:
    """The files that wait to be hashed, and those that are."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}  # by path; each but the last is put off for the one after it
        self._heap: list[Wish] = []  # also wishes in whose place stronger ones came
        self._wishes: dict[str, Wish] = {}  # those that count, by path
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._wishes)

    def __contains__(self, path: str) -> bool:
        return path in self._wishes or path in self.jobs

    def add(self, path: str, size: int, *, soon: bool) -> bool:
        """Add a file, or note that somebody waits for it now; tell whether anything is new."""
        if path in self.jobs:
            self.jobs[path].later &= not soon
            return False
        wish, before = Wish(not soon, size, next(self._numbers), path), self._wishes.get(path)
        if before is not None and before < wish:
            return False
        self._wishes[path] = wish
        heappush(self._heap, wish)
        return True

    def begin(self, under_way: Job | None) -> tuple[str, Job] | None:
        """Make the next file a job; None if there is none that goes before the one under way."""
        while self._heap:
            wish = self._heap[0]
            if self._wishes.get(wish.path) is wish:
                if under_way is not None and not _goes_before(wish, under_way):
                    return None
                del self._wishes[wish.path]
                job = self.jobs[wish.path] = Job(wish.later, wish.size)
                return wish.path, job
            heappop(self._heap)
        return None


def _goes_before(wish: Wish, job: Job) -> bool:
    """Tell whether a job is put off for a file: one waited for, or one less than half as long.

    So no more jobs are put off for one another than a size has bits; for an empty file, none is.
    """
    if wish.later != job.later:
        return job.later
    return 2 * wish.size < job.size - job.done
