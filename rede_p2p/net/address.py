"""Addresses: the system's form of them, and those by which other machines know this one."""

import ipaddress
import socket
from contextlib import suppress
from typing import Any, NamedTuple

from rede_p2p.errors import Address
from rede_p2p.net.interfaces import Kind, addresses_of_name, interfaces, kind_of


def raw_of(ip: str, port: int, beside: str = "") -> tuple[str, int]:
    """Make what a socket takes of an address, the zone of ``fe80::1%eth0`` as its number.

    Raises OSError where this machine has no such zone, or ``beside`` is of another family.
    """
    family = socket.AF_INET6 if ":" in (beside or ip) else socket.AF_INET
    raw: Any = socket.getaddrinfo(ip, port, family, flags=socket.AI_NUMERICHOST)[0][4]
    return raw  # type: ignore[no-any-return]  # of four, which no stub foresees


def address_of(raw: tuple[object, ...]) -> Address:
    """Make an Address of a socket's name; an IPv4 address mapped into IPv6 is told as IPv4."""
    ip = ipaddress.ip_address(str(raw[0]).partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return Address(str(mapped or ip), int(str(raw[1])))


def is_link_local(ip: str) -> bool:
    """Tell whether an address means something in one zone only, the IPv6 ones alone."""
    return ":" in ip and ipaddress.ip_address(ip).is_link_local


def is_loopback(ip: str) -> bool:
    """Tell whether an address is of the machine itself, whichever that is."""
    return ipaddress.ip_address(ip).is_loopback


def machine_name() -> str:
    """Return the first part of this machine's name."""
    return socket.gethostname().partition(".")[0]


class OwnAddress(NamedTuple):
    """An address of this machine, its interface ("" if unknown), and what that seems to be."""

    ip: str
    interface: str
    kind: Kind


def own_addresses() -> list[OwnAddress]:
    """List the addresses by which other machines may know this one, the likeliest first.

    That is one of a usual network and not of a container, a virtual machine or a VPN, though the
    way out of this network lead by that; then one by which there is a way out; then one of IPv4. An
    empty list means that no network was found.
    """
    names = {ip: one.name for one in interfaces() for ip in one.ips}
    ways_out = _ways_out()
    ips = dict.fromkeys([*ways_out, *names, *addresses_of_name()])
    found = [OwnAddress(ip, names.get(ip, ""), kind_of(names.get(ip, ""), ip)) for ip in ips]
    found = [one for one in found if _is_public(one.ip)]
    return sorted(found, key=lambda one: (one.kind != "", ":" in one.ip, one.ip not in ways_out))


def _ways_out() -> list[str]:
    """List the addresses with which the system would leave this network."""
    return list(filter(None, map(way_to, ("192.0.2.1", "2001:db8::1"))))


def way_to(ip: str) -> str | None:
    """Return the address of this machine from which it would reach ``ip``, None without a way.

    A UDP socket that is connected sends nothing, but tells which address that is.
    """
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(raw_of(ip, 9))
        return str(probe.getsockname()[0]).partition("%")[0]
    return None


def _is_public(ip: str) -> bool:
    """Tell whether another machine can use this address as it is written."""
    address = ipaddress.ip_address(ip)
    return not (address.is_loopback or address.is_link_local or address.is_unspecified)
