"""One peer's place in the network, and where others reach it."""

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rede_p2p.errors import Address
from rede_p2p.protocol.messages import PeerEntry

CACHED_ADDRESSES = 32_768  # twice the connections of a tracker


@dataclass(eq=False, slots=True)  # there are thousands
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
    web: bool = False  # its port answers browsers
    refused: frozenset[int] = frozenset()  # ports taken on the peer's machine

    @property
    def address(self) -> Address:
        """Where this peer listens."""
        return Address(self.ip, self.port)


class Reach(NamedTuple):
    """How an asker reaches the others.

    A peer that came by loopback, or by another own address, is on the tracker's machine: to an
    asker from elsewhere it is listed at ``at``, the address by which that asker reached the
    tracker. The machine may be on two networks, and the asker on one of them.
    """

    at: str
    by_loopback: bool
    beside: bool  # the asker is on the tracker's machine, too

    def entry(self, peer: Registration, *, you: bool = False) -> PeerEntry:
        """Return where a peer is."""
        from_elsewhere = peer.here and not self.beside
        if from_elsewhere or (is_loopback(peer.ip) and not self.by_loopback):
            return PeerEntry(self.at, peer.port, you, peer.name)
        return PeerEntry(peer.ip, peer.port, you, peer.name)


# Cached: parsing addresses again for each list would take most of the time of making it.
@lru_cache(CACHED_ADDRESSES)
def is_loopback(ip: str) -> bool:
    """Tell whether an address is of loopback."""
    return ipaddress.ip_address(ip).is_loopback


@lru_cache(CACHED_ADDRESSES)
def order(ip: str) -> tuple[int, int]:
    """Return by what addresses are sorted: as numbers, IPv4 first."""
    address = ipaddress.ip_address(ip)
    return address.version, int(address)
