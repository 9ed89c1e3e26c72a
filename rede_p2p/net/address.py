"""Addresses: the system's form of them, and those by which other machines know this one."""

import ipaddress
import socket
from contextlib import suppress
from typing import Any

from rede_p2p.net.interfaces import addresses_of_name, interfaces


def raw_of(ip: str, port: int, beside: str = "") -> tuple[str, int]:
    """Make what a socket takes of an address, the zone of ``fe80::1%eth0`` as its number.

    Raises OSError where this machine has no such zone, or ``beside`` is of another family.
    """
    family = socket.AF_INET6 if ":" in (beside or ip) else socket.AF_INET
    raw: Any = socket.getaddrinfo(ip, port, family, flags=socket.AI_NUMERICHOST)[0][4]
    return raw  # type: ignore[no-any-return]  # of four, which no stub foresees


def is_link_local(ip: str) -> bool:
    """Tell whether an address means something in one zone only, the IPv6 ones alone."""
    return ":" in ip and ipaddress.ip_address(ip).is_link_local


def is_loopback(ip: str) -> bool:
    """Tell whether an address is of the machine itself, whichever that is."""
    return ipaddress.ip_address(ip).is_loopback


def own_addresses() -> list[str]:
    """List the addresses by which other machines may know this one, the likeliest first.

    A UDP socket that is connected sends nothing, but tells which address the system would use to
    leave this network; the interfaces and the machine's name tell of more. An empty list means that
    no network was found.
    """
    found = []
    for family, beyond in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((beyond, 9))
            found.append(str(probe.getsockname()[0]).partition("%")[0])
    found += [ip for one in interfaces() for ip in one.ips]
    found += addresses_of_name()
    return [ip for ip in dict.fromkeys(found) if _is_public(ip)]


def _is_public(ip: str) -> bool:
    """Tell whether another machine can use this address as it is written."""
    address = ipaddress.ip_address(ip)
    return not (address.is_loopback or address.is_link_local or address.is_unspecified)
