"""What this peer sends: how many at once, how fast in all, and who is being served now.

Those who find every slot taken wait in the order of their coming and are told their place. One
address has at most half of the slots, so that who reads slowly, however often, leaves the others
theirs. With a limit, each chunk is given its moment on one common clock, so that those served share
it evenly.
Owner: the peer; the threads that serve share it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Event, Lock
from time import monotonic

from rede_p2p.content import merkle
from rede_p2p.errors import ConnectionLostError

SLOTS = 32  # uploads at once
TELL_EVERY = 2.0  # seconds between two tellings of one's place
FREE_CHUNK = 4 * 1024 * 1024  # bytes handed to the kernel at once, where there is no limit
LEAST_RATE = 16 * 1024  # bytes a second for one upload; a receiver gives up below about 4 KiB
PACED_CHUNK = 16 * 1024  # bytes, where there is, or more:
PACE = 0.005  # seconds that a chunk takes at least; to wait for less takes longer than asked for


@dataclass(eq=False)
class Upload:
    """One answer on its way."""

    name: str
    to: str  # IP address
    began: float  # on the monotonic clock, seconds: the first answer about the same file did
    earlier: int = 0  # bytes, in the answers before this one
    sent: int = 0  # bytes


class UploadSlots:
    """The slots and the clock; see the module's docstring."""

    def __init__(self, limit: int | None = None, slots: int = SLOTS) -> None:
        """Send at most ``limit`` bytes a second in all (None: as fast as can be).

        A limit also means fewer at once, so that each is served fast enough not to give us up.
        """
        self._limit = limit
        if limit is not None:
            slots = max(1, min(slots, limit // LEAST_RATE))
        self._lock = Condition(Lock())  # guards all below
        self._free = slots
        self._share = max(1, slots // 2)  # of one address
        self._held: Counter[str] = Counter()  # slots, by address
        self._queue: deque[Upload] = deque()
        self._active: list[Upload] = []
        self._due = 0.0  # when the next chunk may leave, on the monotonic clock
        self._closed = Event()

    def close(self) -> None:
        """Let nobody wait any more: what is under way ends with ConnectionLostError."""
        self._closed.set()
        with self._lock:
            self._lock.notify_all()

    @property
    def limited(self) -> bool:
        """Whether there is a limit of bytes a second."""
        return self._limit is not None

    def active(self) -> list[Upload]:
        """List what is being sent now."""
        with self._lock:
            return list(self._active)

    @contextmanager
    def slot(self, name: str, to: str, tell: Callable[[int], None]) -> Iterator[Upload]:
        """Wait for a slot and hold it; ``tell`` is given one's place, and may raise to give up."""
        upload = Upload(name, to, monotonic())
        with self._lock:
            self._queue.append(upload)
        try:
            while (place := self._take(upload)) > 0:
                tell(place)
        except BaseException:
            with self._lock:
                self._queue.remove(upload)
                self._lock.notify_all()
            raise
        try:
            yield upload
        finally:
            with self._lock:
                self._active.remove(upload)
                self._free += 1
                self._held[upload.to] -= 1
                if not self._held[upload.to]:
                    del self._held[upload.to]
                self._lock.notify_all()

    def chunks(self, upload: Upload, length: int) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) of each chunk of an upload when its moment has come."""
        step = FREE_CHUNK
        if self._limit:
            step = min(step, max(PACED_CHUNK, int(self._limit * PACE)))
        for offset, count in merkle.cut(length, step):
            if self._limit:
                self._pace(count / self._limit)
            yield offset, count
            upload.sent += count

    def _take(self, upload: Upload) -> int:
        """Wait a while for a slot; return 0 with one, else the place in the queue."""
        with self._lock:
            self._lock.wait_for(lambda: self._closed.is_set() or self._is_next(upload), TELL_EVERY)
            if self._closed.is_set():
                raise ConnectionLostError("lost")
            if not self._is_next(upload):
                return self._queue.index(upload) + 1
            self._queue.remove(upload)
            self._free -= 1
            self._held[upload.to] += 1
            self._active.append(upload)
            self._lock.notify_all()
            return 0

    def _is_next(self, upload: Upload) -> bool:
        if not self._free:
            return False
        served = (one for one in self._queue if self._held[one.to] < self._share)
        return next(served, None) is upload

    def _pace(self, seconds: float) -> None:
        """Wait for the moment of a chunk that takes so many seconds."""
        with self._lock:
            now = monotonic()
            due = max(now, self._due)
            self._due = due + seconds
        self.pause(due - now)

    def pause(self, seconds: float) -> None:
        """Let some time pass; raise ConnectionLostError when nobody may wait any more."""
        if self._closed.wait(seconds):
            raise ConnectionLostError("lost")
