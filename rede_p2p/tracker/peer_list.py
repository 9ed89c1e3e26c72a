"""The listed peers as one kind of asker reaches them: in order, and each line encoded once.

Thousands of peers that join at one instant ask for thousands of lists. Used under the lock of the
registry, which owns it.
"""

from bisect import bisect_left

from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import PeerEntry
from rede_p2p.tracker.registration import Reach, Registration, order


class PeerList:
    """The list for one ``reach``, sorted by address."""

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._keys: list[tuple[tuple[int, int], int]] = []
        self._lines: list[bytes] = []

    def add(self, peer: Registration) -> None:
        """List a peer, whose port and name do not change before it is removed."""
        entry = self._reach.entry(peer)
        place = self._place(entry)
        self._keys.insert(place, _key(entry))
        self._lines.insert(place, codec.encode_entry(entry))

    def remove(self, peer: Registration) -> None:
        """List a peer no more."""
        place = self._place(self._reach.entry(peer))
        del self._keys[place], self._lines[place]

    def lines(self, asker: Registration) -> list[bytes]:
        """Return the encoded lines, of which that of the asker says so."""
        lines = self._lines.copy()
        if asker.listed:
            entry = self._reach.entry(asker, you=True)
            lines[self._place(entry)] = codec.encode_entry(entry)
        return lines

    def _place(self, entry: PeerEntry) -> int:
        return bisect_left(self._keys, _key(entry))


def _key(entry: PeerEntry) -> tuple[tuple[int, int], int]:
    return order(entry.ip), entry.port
