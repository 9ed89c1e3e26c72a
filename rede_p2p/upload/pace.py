"""How fast the pieces of a content move: the highest rate of late.

A plain object; the lock of its owner guards it.
"""

from collections import deque
from collections.abc import Callable

WINDOW_S = 0.05  # between two looks at the rate
WINDOWS = 5  # over which it is taken: after a pause of the processor, pieces come in a burst
KEPT_EACH_WINDOW = 0.95  # of the highest rate; a busy processor is not a slow network


class Pace:
    """The rate of pieces that pass one place."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin a window; ``clock`` returns monotonic seconds."""
        self._clock = clock
        self._passed = 0  # pieces
        self._looks = deque([(clock(), 0)], WINDOWS)  # the last ones: when, and what had passed
        self.rate = 0.0  # pieces/s

    def note(self, pieces: int) -> None:
        """Count pieces that have passed, and take the rate if the window is over."""
        self._passed += pieces
        now = self._clock()
        if now - self._looks[-1][0] >= WINDOW_S:
            since, before = self._looks[0]
            self.rate = max((self._passed - before) / (now - since), KEPT_EACH_WINDOW * self.rate)
            self._looks.append((now, self._passed))
