"""How fast the pieces of a content move: the highest rate of late.

A plain object; the lock of its owner guards it.
"""

from collections.abc import Callable

WINDOW_S = 0.05  # over which a rate is taken; a shorter one sees single runs
KEPT_EACH_WINDOW = 0.95  # of the highest rate; a busy processor is not a slow network


class Pace:
    """The rate of pieces that pass one place."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin a window; ``clock`` returns monotonic seconds."""
        self._clock = clock
        self._began = clock()
        self._passed = 0  # pieces, in this window
        self.rate = 0.0  # pieces/s

    def note(self, pieces: int) -> None:
        """Count pieces that have passed, and take the rate if the window is over."""
        self._passed += pieces
        elapsed = (now := self._clock()) - self._began
        if elapsed >= WINDOW_S:
            self.rate = max(self._passed / elapsed, KEPT_EACH_WINDOW * self.rate)
            self._began, self._passed = now, 0
