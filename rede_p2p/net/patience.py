"""How long one who says "espera" is waited for: as long as that gets better, at a least rate.

A liar may say anything. So what counts as better has a floor, and a day is the end of it all.
"""

from collections.abc import Hashable
from time import monotonic

from rede_p2p.protocol.codec import Pending
from rede_p2p.timeouts import Timeouts

MAX_PLACES = 1024  # in a queue: twice the connections that a peer accepts
MIN_PENDING_BYTES = 16 * 1024 * 1024  # more that are read within ``pending_s``: no disk is slower
MIN_PENDING_FILES = 10  # more that are seen within ``pending_s``
MAX_PENDINGS_PER_S = 10  # that one connection says; an honest one says it every second or two
MAX_PENDINGS_AT_ONCE = 1000  # beside those: what had gathered while this machine slept


def is_flood(said: int, for_s: float) -> bool:
    """Tell whether one connection has said "espera" too often since it was made."""
    return said > MAX_PENDINGS_AT_ONCE + MAX_PENDINGS_PER_S * for_s


class Patience:
    """With one reply, or with all that a download waits for. It begins with the first "espera"."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._places: dict[Hashable, int] = {}  # the lowest that each has told
        self._done, self._files = 0, 0  # the most that were told
        self._began = self._since = monotonic()  # of all; when something better was last told

    def is_over(self, said: Pending, who: Hashable = None) -> bool:
        """Take note of what ``who`` said; tell whether to give up.

        The first place that one more tells is no better than none: else there would be no end of
        those who only tell one.
        """
        now = monotonic()
        if now - self._began > self._timeouts.max_pending_s:
            return True
        before = self._places.get(who, 0 if self._places else MAX_PLACES + 1)
        better_place = 0 < said.place < before
        if said.place:
            self._places[who] = min(said.place, before or MAX_PLACES + 1)
        further = said.done - self._done >= MIN_PENDING_BYTES
        more = said.files - self._files >= MIN_PENDING_FILES
        if better_place or further or more:
            self._done = said.done if further else self._done
            self._files = said.files if more else self._files
            self._since = now
        return now - self._since > self._timeouts.pending_s
