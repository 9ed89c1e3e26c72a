"""The network interfaces of this machine, as far as the system tells without a library."""

import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

# netdevice(7): requests for the IPv4 address of an interface, and for that of its broadcast.
_REQUESTS = {"linux": (0x8915, 0x8919), "darwin": (0xC0206921, 0xC0206923)}
_IPV6_TABLE = Path("/proc/net/if_inet6")


@dataclass(frozen=True)
class Interface:
    """One interface; ``name`` is empty and ``index`` 0 where the system tells addresses alone."""

    name: str
    index: int
    ips: tuple[str, ...]  # an IPv4 address first; a link-local IPv6 one has no zone
    broadcast: str | None = None  # of the IPv4 address


def interfaces() -> list[Interface]:
    """List the interfaces that have an address, loopback among them."""
    if sys.platform not in _REQUESTS:
        return [Interface("", 0, (ip,)) for ip in addresses_of_name()]
    of_ipv6 = _ipv6_addresses()
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for index, name in socket.if_nameindex():
            ip, broadcast = (_ask(probe, request, name) for request in _REQUESTS[sys.platform])
            ips = (*([ip] if ip else []), *of_ipv6.get(name, ()))
            if ips:
                found.append(Interface(name, index, ips, broadcast))
    return found


def addresses_of_name() -> list[str]:
    """List the addresses that the system knows by this machine's own name."""
    with suppress(OSError):
        infos = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
        return [str(info[4][0]).partition("%")[0] for info in infos]
    return []


def _ask(probe: socket.socket, request: int, name: str) -> str | None:
    import fcntl

    with suppress(OSError):  # an interface without an address
        answer = fcntl.ioctl(probe, request, name.encode().ljust(256, b"\0"))
        return socket.inet_ntoa(answer[20:24]).replace("0.0.0.0", "") or None
    return None


def _ipv6_addresses() -> dict[str, list[str]]:
    """Return the IPv6 addresses of each interface by its name, where Linux tells."""
    found: dict[str, list[str]] = {}
    with suppress(OSError):
        for line in _IPV6_TABLE.read_text().splitlines():
            digits, *_, name = line.split()
            ip = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))
            found.setdefault(name, []).append(ip)
    return found
