"""What the other threads tell: an event is one line, and many of one kind at once are one too.

Any thread may post; the main thread takes the lines. Of peers that come, go or fetch, the first is
told at once, and what follows within FOLD_INTERVAL_S is told together. While more comes, that
interval doubles, up to MAX_FOLD_INTERVAL_S: a class that fetches for an hour is no wall of lines.
A log has a line for each, but of one address, which may come and go without end, no more than
MAX_LINES_OF_AN_ADDRESS: what it does beyond that is told together, too.
"""

from collections import Counter, deque
from collections.abc import Generator, Iterator
from threading import Event as Flag
from time import monotonic

from rede_p2p.cli import texts
from rede_p2p.events import Event, FilesServed, PeerJoined, PeerLeft
from rede_p2p.net.waker import Waker

FOLD_INTERVAL_S = 1.0  # between two times that such events are told
MAX_FOLD_INTERVAL_S = 30.0  # the same, where they do not end
PAUSE_S = 0.05  # between two looks of who waits: of thousands at once, each would wake it
MAX_LINES_OF_AN_ADDRESS = 100  # in a log, within MAX_FOLD_INTERVAL_S
MAX_HELD = 10_000  # events, which are told together before their time
MAX_LINES_OF_A_KIND = 3  # at one time; of more events, one line tells how many

_FOLDED = (FilesServed, PeerJoined, PeerLeft)


class Notices:
    """The events that are not told yet; ``folds``: many of one kind are told in one line."""

    def __init__(self, *, folds: bool) -> None:
        self._folds = folds
        # No Queue: Ctrl-C in the main thread, between taking its lock and the block that gives it
        # back, would leave all who post waiting for ever.
        self._posted: deque[Event] = deque()
        self._waker: Waker | None = None  # of who waits for events
        # All these are changed by the main thread only.
        self._held: list[Event] = []  # to be told together
        self._told_at = -FOLD_INTERVAL_S
        self._interval_s = FOLD_INTERVAL_S
        self._lines: Counter[str] = Counter()  # of each IP address, in a log
        self._counted_since = 0.0

    def post(self, event: Event) -> None:
        """Queue an event; any thread may call this."""
        self._posted.append(event)
        if self._waker is not None:
            self._waker.wake()

    def follow(self) -> Generator[list[str], None, None]:
        """Yield the lines that are due, as they come, until a signal ends the main thread."""
        pause = Flag()
        with Waker(signals=True) as self._waker:
            while True:
                yield list(self.take())
                pause.wait(PAUSE_S)
                self._waker.wait(FOLD_INTERVAL_S if self._held else None)

    def any_left(self) -> bool:
        """Tell whether there is something to take, now or soon; any thread may call this."""
        return bool(self._held) or bool(self._posted)

    def take(self, timeout: float = 0.0, *, at_once: bool = False) -> Iterator[str]:
        """Yield a line for each event that is due, or ``at_once`` for all that there are.

        Waits ``timeout`` seconds for the first.
        """
        end = monotonic() + timeout
        while not self._posted and monotonic() < end:
            Flag().wait(PAUSE_S)
        while self._posted:
            event = self._posted.popleft()
            if not isinstance(event, _FOLDED) or self._has_a_line(event):
                yield texts.describe(event)
                continue
            self._held.append(event)
            if len(self._held) == MAX_HELD:
                yield from self._told_together()
        if self._held and (at_once or monotonic() - self._told_at >= self._interval_s):
            yield from self._told_together()

    def _has_a_line(self, event: FilesServed | PeerJoined | PeerLeft) -> bool:
        """Tell whether such an event is a line of a log, and count it as one."""
        if self._folds:
            return False
        if monotonic() - self._counted_since >= MAX_FOLD_INTERVAL_S:
            self._lines, self._counted_since = Counter(), monotonic()
        ip = event.to if isinstance(event, FilesServed) else event.peer.ip
        self._lines[ip] += 1
        return self._lines[ip] <= MAX_LINES_OF_AN_ADDRESS

    def _told_together(self) -> Iterator[str]:
        quiet_s = monotonic() - self._told_at
        again = quiet_s < 2 * self._interval_s  # else it had ended
        interval_s = 2 * self._interval_s if again else FOLD_INTERVAL_S
        self._interval_s = min(interval_s, MAX_FOLD_INTERVAL_S)
        held, self._held, self._told_at = self._held, [], monotonic()
        return fold(held)


def fold(events: list[Event]) -> Iterator[str]:
    """Yield a line for each of some events; of very many of one kind, one for them all."""
    many = {kind for kind in _FOLDED if _count(events, kind) > MAX_LINES_OF_A_KIND}
    for event in events:
        kind = type(event)
        if kind not in many:
            yield texts.describe(event)
    served = [event for event in events if isinstance(event, FilesServed)]
    if FilesServed in many:
        yield texts.served(served)
    for kind in (PeerJoined, PeerLeft):
        if kind in many:
            yield texts.moved(kind, _count(events, kind))


def _count(events: list[Event], kind: type) -> int:
    return sum(isinstance(event, kind) for event in events)
