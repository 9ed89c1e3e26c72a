"""The reply to ``ls``: made once for all who ask, until something else is shared.

A class of thirty asks for one list in the same moment. Any thread may use a ListReply.
"""

from collections.abc import Callable, Hashable
from threading import Lock

from rede_p2p.timeouts import DEFAULT, Timeouts


class ListReply:
    """The last reply that was made, and of what."""

    def __init__(self, timeouts: Timeouts = DEFAULT) -> None:
        self._wait_s = timeouts.hash_report_s
        self._lock = Lock()  # guards both below, and is held while a reply is made
        self._version: Hashable = None
        self._reply = b""

    def get(self, version: Hashable, make: Callable[[], bytes]) -> bytes:
        """Return what ``make`` returns, or has returned for the same version.

        One thread makes it for all. It may report to a peer that does not read, so whoever has
        waited ``hash_report_s`` makes it alone. Raises what ``make`` raises.
        """
        if not self._lock.acquire(timeout=self._wait_s):
            return make()
        try:
            if self._version != version:
                self._version, self._reply = None, b""  # a long one is not kept beside the next
                self._reply = make()
                self._version = version
            return self._reply
        finally:
            self._lock.release()
