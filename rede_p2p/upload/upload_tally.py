"""How much this peer has sent since it began: of each content, and to whom. Thread-safe."""

from collections import Counter
from threading import Lock
from typing import NamedTuple

MAX_ADDRESSES = 1000  # told apart; who comes after them is counted in the bytes alone


class Given(NamedTuple):
    """What was sent in all."""

    sent: int  # bytes
    peers: int  # IP addresses that took some of them


class UploadTally:
    """The count of one peer, to which the threads that serve add."""

    def __init__(self) -> None:
        self._lock = Lock()  # guards everything below
        self._sent: Counter[bytes] = Counter()  # bytes, by root
        self._total = 0  # bytes, also of contents without a root
        self._addresses: set[str] = set()

    def add(self, root: bytes | None, to: str, length: int) -> None:
        """Count bytes sent to an IP address; the root is None where the file is not hashed yet."""
        with self._lock:
            self._total += length
            if root is not None:
                self._sent[root] += length
            if length and len(self._addresses) < MAX_ADDRESSES:
                self._addresses.add(to)

    def sent(self, root: bytes | None) -> int:
        """Return how many bytes of a content were sent."""
        with self._lock:
            return self._sent[root] if root is not None else 0

    def given(self) -> Given:
        """Return what was sent in all."""
        with self._lock:
            return Given(self._total, len(self._addresses))
