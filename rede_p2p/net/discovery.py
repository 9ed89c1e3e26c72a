"""Finding the tracker of a machine: one UDP question to the well-known port 9450.

A tracker may listen on any TCP port; the first one of a machine also answers the question, and when
it ends, another takes over.
"""

import ipaddress
import secrets
import selectors
import socket
import time
from contextlib import ExitStack, suppress
from threading import Thread

from rede_p2p.errors import RedeError
from rede_p2p.net.address import raw_of
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import BY_UDP, PROTOCOL_VERSION, LocateTracker, TrackerLocation
from rede_p2p.timeouts import DEFAULT, Timeouts

WELL_KNOWN_PORT = 9450
MAX_DATAGRAM_BYTES = 512
DISCOVERY_TRIES = 3


class Responder:
    """Answers the question for a tracker of this machine, in a thread of its own."""

    def __init__(self, ip: str | None, tracker_port: int, timeouts: Timeouts = DEFAULT) -> None:
        """Answer on ``ip`` or on all addresses, once no other tracker of the machine does."""
        self._ip, self._port = ip, tracker_port
        self._take_over_interval_s = timeouts.take_over_interval_s
        self._sock = _answering_socket(ip)
        self._wake, self._stop = socket.socketpair()
        self._thread = Thread(target=self._run, name="discovery")
        self._thread.start()

    def close(self) -> None:
        """Stop answering, and wait for the thread."""
        self._stop.close()
        self._thread.join()
        if self._sock is not None:
            self._sock.close()
        self._wake.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            while self._sock is None:
                if selector.select(self._take_over_interval_s):
                    return
                self._sock = _answering_socket(self._ip)
            selector.register(self._sock, selectors.EVENT_READ)
            while all(key.fileobj is self._sock for key, _ in selector.select()):
                with suppress(OSError, RedeError):  # an ill-formed question gets no answer
                    self._answer(self._sock)

    def _answer(self, sock: socket.socket) -> None:
        datagram, asker = sock.recvfrom(MAX_DATAGRAM_BYTES)
        question = codec.decode_request(datagram, BY_UDP)
        location = TrackerLocation(question.nonce, self._port, PROTOCOL_VERSION)
        sock.sendto(codec.encode_reply(location), asker)


def find(ip: str, source: str | None = None, timeouts: Timeouts = DEFAULT) -> int | None:
    """Return the TCP port of the tracker on the machine ``ip``, or None if nobody answers.

    ``source`` is the address of this machine to ask from.
    """
    nonce = secrets.token_hex(8)  # the answer may come from another address of that machine
    question = codec.encode_request(LocateTracker(nonce))
    is_local = ipaddress.ip_address(ip).is_loopback
    timeout = timeouts.local_discovery_try_s if is_local else timeouts.discovery_try_s
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        if source is not None:
            sock.bind(raw_of(source, 0, ip))
        for _ in range(DISCOVERY_TRIES):
            sock.sendto(question, raw_of(ip, WELL_KNOWN_PORT))
            if (port := _await_answer(sock, nonce, timeout)) is not None:
                return port
    return None


def _await_answer(sock: socket.socket, nonce: str, timeout: float) -> int | None:
    """Return the port in the answer with that nonce, if it comes within ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while (left := end - time.monotonic()) > 0:
        sock.settimeout(left)
        with suppress(TimeoutError, RedeError):
            location = codec.decode_reply(sock.recv(MAX_DATAGRAM_BYTES), TrackerLocation)
            if isinstance(location, TrackerLocation) and location.nonce == nonce:
                return location.port
    return None


def _answering_socket(ip: str | None) -> socket.socket | None:
    """Return a socket of the well-known port, or None where another program has it."""
    dual = ip is None and socket.has_dualstack_ipv6()
    for at in ("::", "0.0.0.0") if dual else (ip or "0.0.0.0",):
        with suppress(OSError), ExitStack() as stack:
            family = socket.AF_INET6 if ":" in at else socket.AF_INET
            sock = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            if dual and family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind(raw_of(at, WELL_KNOWN_PORT))
            stack.pop_all()
            return sock
    return None
