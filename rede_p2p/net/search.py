"""Searching the network for trackers: the question of ``discovery``, asked on every interface.

It goes by IPv4 broadcast and by multicast of IPv4 and IPv6, and no router passes it on. An answer
is a stranger's word: it says where to try, and nothing else is believed.
"""

import secrets
import selectors
import socket
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from time import monotonic
from typing import Any, NamedTuple

from rede_p2p.errors import Address, RedeError
from rede_p2p.net import discovery
from rede_p2p.net.address import is_link_local, is_loopback, raw_of
from rede_p2p.net.discovery import GROUP_4, GROUP_6, MAX_DATAGRAM_BYTES
from rede_p2p.net.interfaces import Interface, interfaces
from rede_p2p.protocol import codec
from rede_p2p.protocol.datagrams import LocateTracker, TrackerLocation
from rede_p2p.timeouts import DEFAULT, Timeouts

MAX_FOUND = 32  # addresses at which one search finds trackers, one at each
MAX_INTERFACES = 64


class Found(NamedTuple):
    """A tracker that answered. ``id`` tells trackers apart, "" where it said none.

    ``name`` is what its machine claims to be called, for a person to choose by. Anybody may say any
    ``id``: ``addresses`` are all from which it was said, the best first, which is ``address``.
    """

    address: Address
    id: str
    opening: bool  # it may yet give way to another: wait before joining it
    name: str = ""
    others: tuple[Address, ...] = ()

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All from which this id was said."""
        return (self.address, *self.others)


def search(
    source: str | None = None, own_id: str = "", timeouts: Timeouts = DEFAULT
) -> list[Found]:
    """List the other trackers of the network, by address.

    Ends ``search_several_s`` after the first that is not just opening, else after ``search_s``; at
    once where there is no network. ``source`` is the one address of this machine to ask from.
    ``own_id`` is that of a tracker which opens here.
    """
    nonce = secrets.token_hex(8)
    question = codec.encode_request(LocateTracker(nonce, search=True, id=own_id))
    found: dict[str, Found] = {}  # by IP address
    with suppress(OSError), ExitStack() as stack:  # one without a descriptor left finds nobody
        selector = stack.enter_context(selectors.DefaultSelector())
        targets = _targets(source, stack)
        for sock, _ in targets:
            selector.register(sock, selectors.EVENT_READ)
        now = ask_at = monotonic()
        end, open_at = now + timeouts.search_s, None
        while targets and now < end:
            if now >= ask_at:
                _ask(targets, question)
                ask_at = now + timeouts.search_interval_s
            for key, _ in selector.select(min(end, ask_at) - now):
                _hear(key.fileobj, nonce, own_id, found)
            now = monotonic()
            if open_at is None and any(not one.opening for one in found.values()):
                open_at = now
                end = min(end, now + timeouts.search_several_s)
    return _together(found.values())


def _targets(source: str | None, stack: ExitStack) -> list[tuple[socket.socket, list[Any]]]:
    """Open a socket for each interface and family, with the addresses to send to from it."""
    targets: list[tuple[socket.socket, list[Any]]] = []
    for interface in interfaces()[:MAX_INTERFACES]:
        seen = set()
        for ip in interface.ips:
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            is_asked = source is None or source.partition("%")[0] == ip
            if is_loopback(ip) or family in seen or not is_asked:
                continue
            with suppress(OSError), ExitStack() as opened:  # such an interface is left out
                sock = opened.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                sock.setblocking(False)
                to = _prepared(sock, interface, ip, bound=source is not None)
                stack.push(opened.pop_all())
                targets.append((sock, to))
                seen.add(family)
    return targets


def _prepared(sock: socket.socket, interface: Interface, ip: str, *, bound: bool) -> list[Any]:
    """Have a socket send by one interface; return where to. Raises OSError."""
    if ":" in ip:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, interface.index)
        if bound:
            zone = f"%{interface.name}" if is_link_local(ip) else ""
            sock.bind(raw_of(ip + zone, 0))
        return [(GROUP_6, discovery.WELL_KNOWN_PORT, 0, interface.index)]
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(ip))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    sock.bind((ip, 0))  # by which the system knows the interface of a broadcast
    everyone = [GROUP_4, "255.255.255.255", interface.broadcast]
    return [(there, discovery.WELL_KNOWN_PORT) for there in dict.fromkeys(everyone) if there]


def _ask(targets: list[tuple[socket.socket, list[Any]]], question: bytes) -> None:
    for sock, to in targets:
        for there in to:
            with suppress(OSError):  # no way there: by another, perhaps
                sock.sendto(question, there)


def _hear(sock: Any, nonce: str, own_id: str, found: dict[str, Found]) -> None:
    """Note one answer to the question, by the IP address from which it came."""
    with suppress(OSError, RedeError):
        datagram, asked = sock.recvfrom(MAX_DATAGRAM_BYTES)
        location = codec.decode_reply(datagram, TrackerLocation)
        if not isinstance(location, TrackerLocation) or location.nonce != nonce:
            return
        zone = f"%{socket.if_indextoname(asked[3])}" if is_link_local(asked[0]) else ""
        address = Address(asked[0] + zone, location.port)
        before = found.get(address.ip)
        if before is not None:  # one tracker of a machine answers, and says once what it is called
            opening = before.opening and (location.opening or location.id != before.id)
            found[address.ip] = before._replace(opening=opening)
        elif len(found) < MAX_FOUND and not (own_id and location.id == own_id):
            found[address.ip] = Found(address, location.id, location.opening, location.name)


def _together(heard: Iterable[Found]) -> list[Found]:
    """Make one of those that say one id: who answered later takes nothing from who did first."""
    found: dict[str, Found] = {}
    for one in heard:
        before = found.setdefault(one.id or str(one.address), one)
        if before is not one:
            at = sorted((*before.addresses, one.address), key=_order)
            opening = before.opening and one.opening
            found[one.id] = Found(at[0], one.id, opening, before.name, tuple(at[1:]))
    return sorted(found.values(), key=lambda one: one.address)


def _order(address: Address) -> tuple[bool, bool]:
    """Put an IPv4 address before an IPv6 one, and that before one of a single zone."""
    return ":" in address.ip, "%" in address.ip
