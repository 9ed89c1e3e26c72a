"""Who is in the network, and on which port.

Every connection has a registration, which holds at most one port, offered or confirmed; only a
confirmed one is listed. Invariant: no two registrations hold the same port. Owner: the tracker,
whose threads share it; every method takes the one lock, and none does I/O.
"""

from collections.abc import Iterable
from threading import Lock

from rede_p2p.errors import RefusedError
from rede_p2p.protocol.fields import MAX_PORT_OFFERS
from rede_p2p.protocol.messages import PeerEntry
from rede_p2p.tracker.peer_list import PeerList
from rede_p2p.tracker.registration import Reach, Registration, is_loopback

FIRST_PORT = 5455
LAST_PORT = 65535
MAX_LISTS = 64  # kept for as many ways of being reached


class Registry:
    """The registrations of one network."""

    def __init__(self, first_port: int = FIRST_PORT) -> None:
        self._first_port = first_port
        self._lock = Lock()  # guards everything below, and every Registration in _by_port
        self._by_port: dict[int, Registration] = {}
        self._all_held_below = first_port  # where the lowest free port is looked for from
        self._lists: dict[Reach, PeerList] = {}

    def offer(self, registration: Registration, wanted: int | None = None) -> int:
        """Hold a port for a peer: the wanted one if it is free, else the lowest that is.

        A port that the peer gave back is not offered to it again. Raises RefusedError ``no-port``
        when none is left.
        """
        with self._lock:
            self._release(registration)
            port = registration.port = self._choose(registration, wanted)
            self._by_port[port] = registration
            return port

    def give_back(self, registration: Registration, port: int) -> None:
        """Record that the offered ``port`` is taken on the peer's machine.

        Raises RefusedError ``not-offered``, or ``no-port`` after MAX_PORT_OFFERS.
        """
        with self._lock:
            if registration.port != port:
                raise RefusedError("not-offered")
            if len(registration.refused) == MAX_PORT_OFFERS:
                raise RefusedError("no-port")
            registration.refused |= {port}

    def confirm(self, registration: Registration, port: int) -> bool:
        """List a peer, and tell whether that is new; raise RefusedError ``not-offered``."""
        with self._lock:
            if registration.port != port:
                raise RefusedError("not-offered")
            if registration.listed:
                return False
            registration.listed = True
            for peers in self._lists.values():
                peers.add(registration)
            return True

    def leave(self, registration: Registration) -> bool:
        """Free a peer's port; tell whether it was listed."""
        with self._lock:
            was_listed = registration.listed
            self._release(registration)
            return was_listed

    def listed_ports(self) -> set[int]:
        """Return the public ports of the listed peers."""
        with self._lock:
            return {port for port, one in self._by_port.items() if one.listed}

    def members(self, asker: Registration, reached_at: str) -> list[bytes]:
        """Return the encoded lines of everyone, as the asker can reach them, by address.

        There is at most one for each port: all of them fit in one listing.
        """
        reach = self._reach(asker, reached_at)
        with self._lock:
            found = self._lists.get(reach)
            if found is None:
                if len(self._lists) == MAX_LISTS:
                    self._lists.clear()
                found = self._lists[reach] = PeerList(reach)
                for peer in self._by_port.values():
                    if peer.listed:
                        found.add(peer)
            return found.lines(asker)

    def as_reached(
        self, registrations: Iterable[Registration], asker: Registration, reached_at: str
    ) -> list[PeerEntry]:
        """Return where these peers are, as the asker can reach them; only the listed ones."""
        reach = self._reach(asker, reached_at)
        with self._lock:
            return [reach.entry(peer, you=peer is asker) for peer in registrations if peer.listed]

    def _reach(self, asker: Registration, reached_at: str) -> Reach:
        by_loopback = is_loopback(asker.ip)
        return Reach(reached_at, by_loopback, by_loopback or asker.here)

    def _choose(self, registration: Registration, wanted: int | None) -> int:
        """Return a free port for a peer, as ``offer`` does."""
        taken, refused = self._by_port, registration.refused
        is_public = wanted is not None and self._first_port <= wanted <= LAST_PORT
        if wanted is not None and is_public and wanted not in taken and wanted not in refused:
            return wanted
        while self._all_held_below in taken:
            self._all_held_below += 1
        every = range(self._all_held_below, LAST_PORT + 1)
        port = next((port for port in every if port not in taken and port not in refused), None)
        if port is None:
            raise RefusedError("no-port")
        return port

    def _release(self, registration: Registration) -> None:
        if registration.listed:
            for peers in self._lists.values():
                peers.remove(registration)
        if registration.port:
            del self._by_port[registration.port]
            self._all_held_below = min(self._all_held_below, registration.port)
        registration.port, registration.listed = 0, False
