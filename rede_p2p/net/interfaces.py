"""The network interfaces of this machine, as far as the system tells without a library."""

import ipaddress
import re
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

# netdevice(7): requests for the IPv4 address of an interface, and for that of its broadcast.
_REQUESTS = {"linux": (0x8915, 0x8919), "darwin": (0xC0206921, 0xC0206923)}
_IPV6_TABLE = Path("/proc/net/if_inet6")
_ARP_TABLE = Path("/proc/net/arp")
_ARP_COMPLETE = 2  # ATF_COM of if_arp.h

Kind = Literal["", "container", "virtual", "vpn"]  # what a network seems to be, "" a usual one
_KINDS: dict[Kind, re.Pattern[str]] = {  # by the names that the programs give to interfaces
    "container": re.compile(
        r"docker|br-[0-9a-f]{12}$|veth|podman|cni|flannel|cali|lxc|lxdbr|incus"
    ),
    "virtual": re.compile(r"virbr|vmnet|vboxnet|vnet|bridge1\d\d$"),
    "vpn": re.compile(r"tun|tap|utun|wg|tailscale|zt|ppp|ipsec|nordlynx|proton|gpd|cscotun"),
}
_KINDS_BY_NET: dict[Kind, str] = {  # where the system names no interface: the usual networks
    "container": "172.17.0.0/16",
    "virtual": "192.168.56.0/24",
    "vpn": "100.64.0.0/10",
}


def kind_of(name: str, ip: str) -> Kind:
    """Tell what the network of an interface seems to be, by its name or else by its address."""
    for kind, names in _KINDS.items():
        if names.match(name):
            return kind
    address = ipaddress.ip_address(ip)
    for kind, net in _KINDS_BY_NET.items():
        if not name and address in ipaddress.ip_network(net):
            return kind
    return ""


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
    found: list[Interface] = []
    # Without a descriptor left there is none to be seen now.
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for index, name in socket.if_nameindex():
            ip, broadcast = (_ask(probe, request, name) for request in _REQUESTS[sys.platform])
            ips = (*([ip] if ip else []), *of_ipv6.get(name, ()))
            if ips:
                found.append(Interface(name, index, ips, broadcast))
    return found


def answers_on_the_link(ip: str) -> bool | None:
    """Tell whether a machine that was just spoken to is there, None where the system tells nothing.

    A firewall may be silent, but no machine hides from the question for its hardware address (ARP).
    """
    with suppress(OSError, ValueError, IndexError):
        for line in _ARP_TABLE.read_text().splitlines()[1:]:
            at, _, flags = line.split()[:3]
            if at == ip:
                return bool(int(flags, 16) & _ARP_COMPLETE)
    return None


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
