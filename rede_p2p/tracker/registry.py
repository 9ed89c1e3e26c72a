"""Who is in the network, and on which port.

Every connection has a registration, which holds at most one port, offered or confirmed; only a
confirmed one is listed. Invariant: no two registrations hold the same port. Owner: the tracker,
whose threads share it; every method takes the one lock, and none does I/O.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock

from rede_p2p.errors import Address, RefusedError
from rede_p2p.protocol.fields import MAX_PORT_OFFERS
from rede_p2p.protocol.messages import PeerEntry

FIRST_PORT = 5455
LAST_PORT = 65535
CACHED_ADDRESSES = 16_384  # twice the connections of a tracker


@dataclass(eq=False)
class Registration:
    """One peer's place. ``ip`` is the address that the tracker observed, never a claimed one.

    ``name`` is the one that it claims, which several may have.
    ``here``: it came by one of this machine's own addresses, to the same one.
    """

    ip: str
    here: bool = False
    port: int = 0
    listed: bool = False
    name: str = ""
    refused: set[int] = field(default_factory=set)  # ports taken on the peer's machine

    @property
    def address(self) -> Address:
        """Where this peer listens."""
        return Address(self.ip, self.port)


class Registry:
    """The registrations of one network."""

    def __init__(self, first_port: int = FIRST_PORT) -> None:
        self._first_port = first_port
        self._lock = Lock()  # guards _by_port, and every Registration in it
        self._by_port: dict[int, Registration] = {}

    def offer(self, registration: Registration, wanted: int | None = None) -> int:
        """Hold a port for a peer: the wanted one if it is free, else the lowest that is.

        A port that the peer gave back is not offered to it again. Raises RefusedError ``no-port``
        when none is left.
        """
        with self._lock:
            self._release(registration)
            every = range(self._first_port, LAST_PORT + 1)
            tried = every if wanted is None else (wanted, *every)
            taken = self._by_port.keys() | registration.refused
            port = next((port for port in tried if port in every and port not in taken), None)
            if port is None:
                raise RefusedError("no-port")
            registration.port = port
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
            registration.refused.add(port)

    def confirm(self, registration: Registration, port: int) -> bool:
        """List a peer, and tell whether that is new; raise RefusedError ``not-offered``."""
        with self._lock:
            if registration.port != port:
                raise RefusedError("not-offered")
            was_listed, registration.listed = registration.listed, True
            return not was_listed

    def leave(self, registration: Registration) -> bool:
        """Free a peer's port; tell whether it was listed."""
        with self._lock:
            was_listed = registration.listed
            self._release(registration)
            return was_listed

    def members(self, asker: Registration, reached_at: str) -> list[PeerEntry]:
        """List everyone, as the asker can reach them, by address.

        A peer that came by loopback, or by another own address, is on the tracker's machine: to an
        asker from elsewhere it is listed at ``reached_at``, the address by which that asker reached
        the tracker. The machine may be on two networks, and the asker on one of them.
        """
        with self._lock:
            listed = [one for one in self._by_port.values() if one.listed]
        entries = self.as_reached(listed, asker, reached_at)
        return sorted(entries, key=lambda entry: (_order(entry.ip), entry.port))

    def as_reached(
        self, registrations: Iterable[Registration], asker: Registration, reached_at: str
    ) -> list[PeerEntry]:
        """Return where these peers are, as the asker can reach them; only the listed ones."""
        by_loopback = _is_loopback(asker.ip)
        beside = by_loopback or asker.here
        with self._lock:
            listed = [
                (one, one.port, one is asker, one.name) for one in registrations if one.listed
            ]
        return [
            PeerEntry(
                reached_at
                if (one.here and not beside) or (_is_loopback(one.ip) and not by_loopback)
                else one.ip,
                port,
                you,
                name,
            )
            for one, port, you, name in listed
        ]

    def _release(self, registration: Registration) -> None:
        if registration.port:
            del self._by_port[registration.port]
        registration.port, registration.listed = 0, False


# Cached: parsing addresses again for each list would take most of the time of making it.
@lru_cache(CACHED_ADDRESSES)
def _is_loopback(ip: str) -> bool:
    return ipaddress.ip_address(ip).is_loopback


@lru_cache(CACHED_ADDRESSES)
def _order(ip: str) -> tuple[int, int]:
    address = ipaddress.ip_address(ip)
    return address.version, int(address)
