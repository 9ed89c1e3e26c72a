"""The tracker's state: who is here, and on which port.

Every connection has a seat; a seat holds at most one port, offered or confirmed; only a confirmed
one is listed. Invariant: no two seats hold the same port. Owner: the tracker; its threads share
it, so every method takes the one lock, and none does I/O.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock

from rede_p2p.errors import Address, RefusedError
from rede_p2p.protocol.messages import MAX_OFFERS, PeerEntry

FIRST_PORT = 5455
LAST_PORT = 65535
KNOWN_ADDRESSES = 16_384  # twice the connections of a tracker: those of the last network, too


@dataclass(eq=False)
class Registration:
    """One peer's place. ``ip`` is the address the tracker observed, never one a peer claims."""

    ip: str
    port: int = 0
    listed: bool = False
    refused: set[int] = field(default_factory=set)

    @property
    def address(self) -> Address:
        """Where this peer listens."""
        return Address(self.ip, self.port)


class Registry:
    """Who is here; see the module's docstring for its invariant."""

    def __init__(self, first_port: int = FIRST_PORT) -> None:
        self._first_port = first_port
        self._lock = Lock()  # guards _seats, and every Registration in it
        self._seats: dict[int, Registration] = {}  # by port

    def offer(self, seat: Registration, wanted: int | None = None) -> int:
        """Give the seat a port: the wanted one if it is free, else the lowest that is.

        A port that the seat gave back as taken on its machine is not offered to it again. Raise
        RefusedError ``no-port`` when none is left.
        """
        with self._lock:
            self._release(seat)
            if wanted is not None and self._is_free(wanted, seat):
                return self._hold(seat, wanted)
            for port in range(self._first_port, LAST_PORT + 1):
                if self._is_free(port, seat):
                    return self._hold(seat, port)
            raise RefusedError("no-port")

    def give_back(self, seat: Registration, port: int) -> None:
        """Note that ``port``, which the seat was offered, is taken on its machine.

        Raise RefusedError ``no-port`` when MAX_OFFERS were.
        """
        with self._lock:
            if seat.port != port:
                raise RefusedError("not-offered")
            if len(seat.refused) == MAX_OFFERS:
                raise RefusedError("no-port")
            seat.refused.add(port)

    def confirm(self, seat: Registration, port: int) -> bool:
        """List the seat, and tell if it was not yet; the port must be the one offered."""
        with self._lock:
            if seat.port != port:
                raise RefusedError("not-offered")
            was_listed, seat.listed = seat.listed, True
            return not was_listed

    def leave(self, seat: Registration) -> bool:
        """Free the seat's port; tell if it was listed."""
        with self._lock:
            was_listed = seat.listed
            self._release(seat)
            return was_listed

    def members(self, asker: Registration, reached_at: str) -> list[PeerEntry]:
        """List everyone, as the asker can reach them, by address.

        A peer that came by loopback sits on the tracker's machine: whoever asks from elsewhere is
        told the address ``reached_at``, by which that asker itself reached the tracker.
        """
        with self._lock:
            listed = [seat for seat in self._seats.values() if seat.listed]
        return sorted(
            self.as_reached(listed, asker, reached_at), key=lambda m: (_order(m.ip), m.port)
        )

    def as_reached(
        self, seats: Iterable[Registration], asker: Registration, reached_at: str
    ) -> list[PeerEntry]:
        """Tell where these peers are, as the asker can reach them; only the listed ones."""
        here = _is_loopback(asker.ip)
        with self._lock:
            listed = [(s.ip, s.port, s is asker) for s in seats if s.listed]
        return [
            PeerEntry(ip if here or not _is_loopback(ip) else reached_at, port, you)
            for ip, port, you in listed
        ]

    def _is_free(self, port: int, seat: Registration) -> bool:
        return (
            self._first_port <= port <= LAST_PORT
            and port not in self._seats
            and port not in seat.refused
        )

    def _hold(self, seat: Registration, port: int) -> int:
        seat.port = port
        self._seats[port] = seat
        return port

    def _release(self, seat: Registration) -> None:
        if seat.port:
            del self._seats[seat.port]
        seat.port, seat.listed = 0, False


# Remembered: to read addresses again for each list would take most of the time of making it.
@lru_cache(KNOWN_ADDRESSES)
def _is_loopback(ip: str) -> bool:
    return ipaddress.ip_address(ip).is_loopback


@lru_cache(KNOWN_ADDRESSES)
def _order(ip: str) -> tuple[int, int]:
    address = ipaddress.ip_address(ip)
    return address.version, int(address)
