"""What the bars of a download say: the whole, the file that comes now, each source. No I/O.

``terminal`` draws each line in the room that there is.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from rede_p2p.cli import texts
from rede_p2p.errors import Address
from rede_p2p.events import Progress

RATE_WINDOW_S = 5.0  # seconds over which a rate is measured
MAX_SOURCE_LINES = 4  # with more sources, those that brought most


@dataclass(frozen=True)
class BarLine:
    """One line: a name, how full its bar is (None: it has none), and figures, best first."""

    name: str
    full: float | None
    figures: Sequence[str]


class Pace:
    """The rate at which a number grows, over the last RATE_WINDOW_S."""

    def __init__(self, count: int, now: float) -> None:
        self._samples = deque([(now, count)])

    def rate(self, count: int, now: float) -> float:
        """Take the number at the time ``now`` in seconds; return its growth in a second."""
        self._samples.append((now, count))
        while now - self._samples[1][0] > RATE_WINDOW_S:
            self._samples.popleft()
        began, first = self._samples[0]
        return (count - first) / max(now - began, 0.001)


class BarLines:
    """The lines of one download, from when somebody begins to look."""

    def __init__(self, names: Sequence[str], began: Progress, now: float) -> None:
        self._title = texts.title(names)
        self._pace, self._began = Pace(began.came, now), now
        self._by_source = {source: Pace(count, now) for source, count in began.by_source}

    def at(self, shown: Progress, now: float) -> list[BarLine]:
        """Return the lines at the time ``now`` in seconds, the whole first."""
        rate = self._pace.rate(shown.came, now)
        rates = [(s, count, self._pace_of(s).rate(count, now)) for s, count in shown.by_source]
        lines = [BarLine(self._title, fullness(shown), texts.under_way(shown, rate))]
        if shown.files > 1 and shown.part is not None:
            part = shown.part
            lines.append(BarLine(f"  {part.name}", fullness(part), texts.under_way(part, 0)))
        if shown.sources > 1:
            lines += _of_sources(rates, shown.came)
        return lines

    def _pace_of(self, source: Address) -> Pace:
        return self._by_source.setdefault(source, Pace(0, self._began))


def _of_sources(rates: Sequence[tuple[Address, int, float]], came: int) -> list[BarLine]:
    """Return a line for each of the sources that brought most."""
    most = sorted(rates, key=lambda one: (-one[1], one[0]))
    lines = [
        BarLine(f"  {source}", None, texts.of_source(count, came, rate))
        for source, count, rate in most[:MAX_SOURCE_LINES]
    ]
    if more := len(most) - len(lines):
        lines.append(BarLine(f"  {texts.more(more)}", None, ()))
    return lines


def fullness(now: Progress) -> float:
    """Return how full the bar of a file is that has no final name yet: never quite."""
    return min(now.have / max(now.size, 1), 0.99)
