"""Finding the tracker of a machine: one small UDP question to the well-known port 9450.

The question and its answer are lines of the wire's grammar, one datagram each (docs/PROTOCOLO.md).
A tracker may listen on any TCP port; the first of a machine also answers the question, and when it
goes, another does.
"""

from __future__ import annotations

import ipaddress
import secrets
import selectors
import socket
import time
from contextlib import suppress
from threading import Thread

from rede_p2p.errors import RedeError
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import BY_UDP, VERSION, LocateTracker, TrackerLocation

WELL_KNOWN_PORT = 9450
DATAGRAM_LIMIT = 512  # bytes
TRIES = 3
WAIT_LOCAL = 0.05  # seconds a try on this machine, where an answer takes less than a millisecond
WAIT = 0.4  # seconds a try
TAKE_OVER_EVERY = 5.0  # seconds between two attempts to be the one who answers


class Responder:
    """Answers the question for the tracker of this machine, in a thread of its own.

    Where another one answers already, it takes that one's place when it goes.
    """

    def __init__(self, ip: str | None, tracker_port: int) -> None:
        """Answer on ``ip``, or on all addresses."""
        self._ip, self._port = ip, tracker_port
        self._sock = _answering_socket(ip)
        self._wake, self._stop = socket.socketpair()
        self._thread = Thread(target=self._run, name="discovery")
        self._thread.start()

    def close(self) -> None:
        """Answer no more, and wait for the thread."""
        self._stop.close()
        self._thread.join()
        if self._sock is not None:
            self._sock.close()
        self._wake.close()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake, selectors.EVENT_READ)
            while self._sock is None:
                if selector.select(TAKE_OVER_EVERY):
                    return
                self._sock = _answering_socket(self._ip)
            selector.register(self._sock, selectors.EVENT_READ)
            while all(key.fileobj is self._sock for key, _ in selector.select()):
                with suppress(OSError, RedeError):  # a bad question is nobody's business
                    self._answer(self._sock)

    def _answer(self, sock: socket.socket) -> None:
        datagram, asker = sock.recvfrom(DATAGRAM_LIMIT)
        question = codec.decode_request(datagram, BY_UDP)
        here = TrackerLocation(question.nonce, self._port, VERSION)
        sock.sendto(codec.encode_reply(here), asker)


def find(ip: str, source: str | None = None) -> int | None:
    """Return the TCP port of the tracker on the machine ``ip``, or None if nobody answers.

    Asks three times, 0.4 s each (0.05 s on this machine). The answer may come from another address
    of that machine, so it is known by its nonce.
    """
    nonce = secrets.token_hex(8)
    question = codec.encode_request(LocateTracker(nonce))
    wait = WAIT_LOCAL if ipaddress.ip_address(ip).is_loopback else WAIT
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        if source is not None:
            sock.bind((source, 0))
        for _ in range(TRIES):
            sock.sendto(question, (ip, WELL_KNOWN_PORT))
            port = _await_answer(sock, nonce, wait)
            if port is not None:
                return port
    return None


def _await_answer(sock: socket.socket, nonce: str, wait: float) -> int | None:
    """Return the port in the answer that bears the nonce, if it comes within ``wait`` seconds."""
    end = time.monotonic() + wait
    while (left := end - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            here = codec.decode_reply(sock.recv(DATAGRAM_LIMIT), TrackerLocation)
        except TimeoutError:
            break
        except RedeError:
            continue
        if isinstance(here, TrackerLocation) and here.nonce == nonce:
            return here.port
    return None


def _answering_socket(ip: str | None) -> socket.socket | None:
    """Return a socket of the well-known port, or None where somebody else has it."""
    if ip is None and socket.has_dualstack_ipv6():
        with suppress(OSError):
            return _bound("::", dual=True)
    with suppress(OSError):
        return _bound(ip or "0.0.0.0", dual=False)
    return None


def _bound(ip: str, *, dual: bool) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if dual:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((ip, WELL_KNOWN_PORT))
    except OSError:
        sock.close()
        raise
    return sock
