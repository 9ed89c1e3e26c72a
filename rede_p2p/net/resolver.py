"""Names of machines: what the system makes of them, by a file, by DNS or by multicast DNS."""

import ipaddress
import re
import socket
from queue import Empty, Queue
from threading import Thread
from typing import Any

from rede_p2p.errors import UnknownMachineError
from rede_p2p.net.address import is_loopback
from rede_p2p.timeouts import DEFAULT, Timeouts

MAX_NAME_CHARS = 253  # RFC 1035
# A last part that begins with a digit would be read as part of an address (RFC 1123, 2.1).
_NAME = re.compile(r"(?:[^\W_](?:[\w-]{0,61}\w)?\.)*[^\W\d_](?:[\w-]{0,61}\w)?\.?")


def may_be_name(text: str) -> bool:
    """Tell whether a text has the form of a machine's name, whatever its letters."""
    return len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) is not None


def addresses_of(name: str, timeouts: Timeouts = DEFAULT) -> list[str]:
    """Ask the system for the addresses of a machine, those of IPv4 first.

    Raises UnknownMachineError, also where the system does not answer within ``name_s``.
    """
    answers: Queue[list[str]] = Queue()
    # Nothing ends the system's own wait, which may be long. The thread owns nothing.
    Thread(target=_ask, args=(name, answers), name="name", daemon=True).start()
    try:
        found = answers.get(timeout=timeouts.name_s)
    except Empty:
        raise UnknownMachineError(name, "silent") from None
    if not found:
        raise UnknownMachineError(name, "unknown")
    return found


def _ask(name: str, answers: "Queue[list[str]]") -> None:
    found: list[str] = []
    try:
        for family, *_, given in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM):
            raw: tuple[Any, ...] = given
            ip = str(raw[0]).partition("%")[0]
            address = ipaddress.ip_address(ip)
            if family == socket.AF_INET6 and address.is_link_local:
                if not raw[3]:
                    continue  # of no use without its zone
                ip += f"%{socket.if_indextoname(raw[3])}"
            if not (address.is_unspecified or address.is_multicast):
                found.append(ip)
    except (OSError, UnicodeError):  # nobody has that name, or none can have it
        found = []
    if any(map(is_loopback, found)):  # this machine: the list may have it as another of its own
        found.append("127.0.0.1")
    answers.put(sorted(dict.fromkeys(found), key=lambda ip: ":" in ip))
