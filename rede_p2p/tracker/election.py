"""Which of the trackers that open at the same moment stays: the one with the lowest id.

A tracker that a peer opens by itself is *opening* until its search of the network has ended. Two
that open hear of each other by the question or by the answer, whichever comes: the one with the
higher id closes. One that is open stays open. Owner: ``Tracker``; any thread may call.
"""

import math
import secrets
from threading import Lock
from time import monotonic


class Election:
    """The part of one tracker. Invariant: once it is open, or has given way, that stays so."""

    def __init__(self, *, opening: bool) -> None:
        """Open at once unless ``opening``."""
        self.id = secrets.token_hex(8)
        self._lock = Lock()  # guards the three below
        self._opening = opening
        self._beaten = False
        self._rival_at = -math.inf  # on the clock ``monotonic``

    def hear(self, asker: str) -> bool:
        """Note the id of a tracker that opens elsewhere, if it is one; tell whether this opens."""
        with self._lock:
            if self._opening and asker and asker != self.id:
                self._rival_at = monotonic()
                self._beaten = self._beaten or asker < self.id
            return self._opening

    def is_clear(self, seconds: float) -> bool:
        """Tell whether waiting on changes nothing: beaten, or for so long no rival was heard of."""
        with self._lock:
            return self._beaten or monotonic() - self._rival_at > seconds

    def open(self) -> None:
        """Stay from now on."""
        with self._lock:
            self._opening = False

    def decide(self, *, another: bool) -> bool:
        """Tell whether this one stays: not where it is beaten, or ``another`` is open already."""
        with self._lock:
            if not (self._beaten or another):
                self._opening = False
            return not self._opening
