"""Finding the tracker of a machine: one UDP question to the well-known port 9450.

A tracker may listen on any TCP port; the first one of a machine also answers the question, and when
it ends, another takes over. ``search`` puts the question to the whole network.
"""

import secrets
import selectors
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from threading import Thread

from rede_p2p.errors import RedeError
from rede_p2p.net.address import is_loopback, raw_of
from rede_p2p.net.interfaces import interfaces
from rede_p2p.protocol import codec
from rede_p2p.protocol.datagrams import BY_UDP, LocateTracker, TrackerLocation
from rede_p2p.protocol.messages import PROTOCOL_VERSION
from rede_p2p.timeouts import DEFAULT, Timeouts

WELL_KNOWN_PORT = 9450
LOCAL = "127.0.0.1"
MAX_DATAGRAM_BYTES = 512
DISCOVERY_TRIES = 3
# A question may come from a forged address, to which its answer goes.
MAX_ANSWERS_PER_S = 5000
MAX_ANSWERS_PER_ADDRESS_PER_S = 200
# Multicast groups that no router passes on: RFC 2365 (local scope), RFC 4291 (link scope).
GROUP_4 = "239.255.94.50"
GROUP_6 = "ff12::9450"

Opening = Callable[[str], bool]


class AnswerRate:
    """How many answers went this second, to whom; of one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._second = clock, 0
        self._left, self._answers = 0, Counter[str]()  # of this second; by IP address

    def allows(self, ip: str) -> bool:
        """Count an answer to an address, if it may have one more."""
        if (second := int(self._clock())) != self._second:
            self._second, self._left = second, MAX_ANSWERS_PER_S
            self._answers.clear()
        if not self._left or self._answers[ip] >= MAX_ANSWERS_PER_ADDRESS_PER_S:
            return False
        self._left -= 1
        self._answers[ip] += 1
        return True


class Responder:
    """Answers the question for a tracker of this machine, in a thread of its own."""

    def __init__(
        self,
        ip: str | None,
        tracker_port: int,
        timeouts: Timeouts = DEFAULT,
        tracker_id: str = "",
        opening: Opening = lambda _asker: False,
        name: str = "",
    ) -> None:
        """Answer on ``ip`` or on all addresses, once no other tracker of the machine does.

        Who searches is told the ``name`` of this machine. ``opening`` is told the id of each
        tracker that searches while it opens, "" for any other asker, and tells whether this tracker
        is just opening too.
        """
        self._ip, self._port = ip, tracker_port
        self._id, self._opening, self._name = tracker_id, opening, name
        self._interval_s = timeouts.take_over_interval_s
        self._rate = AnswerRate()
        self._socks = _answering_sockets(ip)
        self._wake, self._stop = socket.socketpair()
        self._thread = Thread(target=self._run, name="discovery")
        self._thread.start()

    @property
    def answers(self) -> bool:
        """Whether this is the one of the machine that answers."""
        return bool(self._socks)

    def close(self) -> None:
        """Stop answering, and wait for the thread."""
        self._stop.close()
        self._thread.join()
        for sock in self._socks:
            sock.close()
        self._wake.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            while not self._socks:
                if selector.select(self._interval_s):
                    return
                self._socks = _answering_sockets(self._ip)
            for sock in self._socks:
                selector.register(sock, selectors.EVENT_READ)
            while all(key.fileobj is not self._wake for key, _ in self._ready(selector)):
                continue

    def _ready(self, selector: selectors.BaseSelector) -> list[tuple[selectors.SelectorKey, int]]:
        """Answer what comes within an interval; at its end, join the groups of new interfaces."""
        ready = selector.select(self._interval_s)
        if not ready:
            _join_groups(self._socks, self._ip)
        for sock in self._socks:
            if any(key.fileobj is sock for key, _ in ready):
                with suppress(OSError, RedeError):  # an ill-formed question gets no answer
                    self._answer(sock)
        return ready

    def _answer(self, sock: socket.socket) -> None:
        datagram, asker = sock.recvfrom(MAX_DATAGRAM_BYTES)
        if not self._rate.allows(asker[0]):
            return
        question = codec.decode_request(datagram, BY_UDP)
        location = TrackerLocation(question.nonce, self._port, PROTOCOL_VERSION)
        if question.search:
            opening = self._opening(question.id)
            location = replace(location, id=self._id, opening=opening, name=self._name)
        # From a group no answer can go out; of one address, the first socket has it.
        answering = sock if self._ip is None else self._socks[0]
        answering.sendto(codec.encode_reply(location), asker)


def find(ip: str, source: str | None = None, timeouts: Timeouts = DEFAULT) -> int | None:
    """Return the TCP port of the tracker on the machine ``ip``, or None if nobody answers.

    ``source`` is the address of this machine to ask from.
    """
    location = locate(ip, source, timeouts)
    return None if location is None else location.port


def locate(
    ip: str, source: str | None = None, timeouts: Timeouts = DEFAULT, *, search: bool = False
) -> TrackerLocation | None:
    """Return what the tracker on the machine ``ip`` answers, as ``find`` does."""
    nonce = secrets.token_hex(8)  # the answer may come from another address of that machine
    question = codec.encode_request(LocateTracker(nonce, search))
    timeout = timeouts.local_discovery_try_s if is_loopback(ip) else timeouts.discovery_try_s
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        if source is not None:
            sock.bind(raw_of(source, 0, ip))
        if ip == LOCAL:  # whence alone the answer comes; and the system tells at once of nobody
            sock.connect((ip, WELL_KNOWN_PORT))
        for _ in range(DISCOVERY_TRIES):
            if ip == LOCAL:
                sock.send(question)
            else:
                sock.sendto(question, raw_of(ip, WELL_KNOWN_PORT))
            if (location := _await_answer(sock, nonce, timeout)) is not None:
                return location
    return None


def _await_answer(sock: socket.socket, nonce: str, timeout: float) -> TrackerLocation | None:
    """Return the answer with that nonce, if it comes within ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        sock.settimeout(left)
        with suppress(TimeoutError, RedeError):
            location = codec.decode_reply(sock.recv(MAX_DATAGRAM_BYTES), TrackerLocation)
            if isinstance(location, TrackerLocation) and location.nonce == nonce:
                return location
    return None


def _answering_sockets(ip: str | None) -> list[socket.socket]:
    """Open the sockets of the well-known port; none where another program has it.

    A socket of all addresses gets what goes to everyone; one of a single address does not, and has
    others beside it, one for each way by which a search comes.
    """
    socks: list[socket.socket] = []
    with suppress(OSError):
        socks.append(_bound(ip or "0.0.0.0"))
    if socks:
        for other in ["::"] if ip is None else _common_addresses(ip):
            with suppress(OSError):  # no IPv6, or a system that has no sockets of a group
                socks.append(_bound(other, shared=ip is not None))
        _join_groups(socks, ip)
    return socks


def _bound(ip: str, *, shared: bool = False) -> socket.socket:
    """Open a UDP socket of the well-known port; raise OSError."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:  # by trackers of several addresses of this machine
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(raw_of(ip, WELL_KNOWN_PORT))
        stack.pop_all()
    return sock


def _common_addresses(ip: str) -> list[str]:
    """List the addresses, other than its own, at which a machine with that address is asked."""
    bare, _, zone = ip.partition("%")
    for interface in interfaces():
        if bare in interface.ips and not is_loopback(ip):
            if ":" in ip:
                return [f"{GROUP_6}%{zone or interface.name}"]
            return [GROUP_4, *([interface.broadcast] if interface.broadcast else [])]
    return []


def _join_groups(socks: list[socket.socket], ip: str | None) -> None:
    """Join the groups on every interface, or on the one with that address, where not joined yet."""
    bare = (ip or "").partition("%")[0]
    for interface in interfaces() if socks else ():
        if not is_loopback(interface.ips[0]) and (ip is None or bare in interface.ips):
            group_6 = socket.inet_pton(socket.AF_INET6, GROUP_6)
            for sock in socks:
                with suppress(OSError):  # joined already, or an interface without groups
                    if sock.family == socket.AF_INET6:
                        where = group_6 + struct.pack("@I", interface.index)
                        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, where)
                    else:
                        where = socket.inet_aton(GROUP_4) + socket.inet_aton(interface.ips[0])
                        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, where)
