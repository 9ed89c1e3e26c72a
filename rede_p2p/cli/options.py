"""The words of a command line → what the person wants of the program. No I/O.

Written over getopt and not argparse, because argparse speaks English to the user.
"""

from __future__ import annotations

import getopt
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rede_p2p.errors import BadUsageError
from rede_p2p.net.discovery import WELL_KNOWN_PORT
from rede_p2p.protocol.messages import FIRST_PUBLIC_PORT
from rede_p2p.tracker.registry import FIRST_PORT
from rede_p2p.upload.upload_slots import LEAST_RATE

HERE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class TrackerOptions:
    """What Servidor.py was asked for; ``ip`` None means all addresses."""

    port: int = WELL_KNOWN_PORT
    ip: str | None = None
    first_port: int = FIRST_PORT
    help: bool = False


@dataclass(frozen=True)
class PeerOptions:
    """What Peers.py was asked for; ``ip`` and ``port`` are the tracker's, None if not given."""

    ip: str | None = None
    port: int | None = None
    own_ip: str | None = None
    share_list: Path = HERE / "meus_arquivos.txt"
    folder: Path = HERE / "arquivos_baixados"
    script: str | None = None
    serve: bool = False
    json: bool = False
    limit: int | None = None
    seeds: bool = True
    help: bool = False


def parse_tracker(words: Sequence[str]) -> TrackerOptions:
    """Read ``Servidor.py [PORTA] [--ip …] [--primeira-porta …]``; raise BadUsageError."""
    given, rest = _split(words, "h", ["ajuda", "help", "ip=", "primeira-porta="])
    if len(rest) > 1:
        raise BadUsageError("too-many", rest[1])
    return TrackerOptions(
        port=port(rest[0]) if rest else WELL_KNOWN_PORT,
        ip=ip(given["ip"]) if "ip" in given else None,
        first_port=_first_port(given.get("primeira-porta", str(FIRST_PORT))),
        help=_wants_help(given),
    )


def parse_peer(words: Sequence[str]) -> PeerOptions:
    """Read ``Peers.py [IP] [PORTA] [options]``; raise BadUsageError."""
    given, rest = _split(
        words,
        "hc:",
        ["ajuda", "help", "ip=", "arquivos=", "pasta=", "servir", "json", "limite=", "nao-semear"],
    )
    if len(rest) > 2:
        raise BadUsageError("too-many", rest[2])
    if len(rest) == 1 and rest[0].count(":") == 1:
        rest = rest[0].split(":")
    return PeerOptions(
        ip=ip(rest[0]) if rest else None,
        port=port(rest[1]) if len(rest) > 1 else None,
        own_ip=ip(given["ip"]) if "ip" in given else None,
        share_list=Path(given.get("arquivos", PeerOptions.share_list)).absolute(),
        folder=Path(given.get("pasta", PeerOptions.folder)).absolute(),
        script=given.get("c"),
        serve="servir" in given,
        json="json" in given,
        limit=rate(given["limite"]) if "limite" in given else None,
        seeds="nao-semear" not in given,
        help=_wants_help(given),
    )


def port(text: str) -> int:
    """Read a TCP port, 1 to 65535; raise BadUsageError."""
    if not (len(text) <= 5 and text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise BadUsageError("port", text)
    return int(text)


def rate(text: str) -> int:
    """Read bytes a second, as ``500K`` or ``5M``; raise BadUsageError."""
    found = re.fullmatch(r"(\d{1,12})([KMG]?)", text, re.IGNORECASE | re.ASCII)
    count = int(found[1]) * 1024 ** " KMG".index(found[2].upper() or " ") if found else 0
    if count < LEAST_RATE:
        raise BadUsageError("rate", text)
    return count


def _first_port(text: str) -> int:
    number = port(text)
    if number < FIRST_PUBLIC_PORT:
        raise BadUsageError("first-port", text)
    return number


def ip(text: str) -> str:
    """Read the literal address of one machine, or ``localhost``; raise BadUsageError."""
    if text.casefold() == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        raise BadUsageError("ip", text) from None
    if address.is_unspecified or address.is_multicast:
        raise BadUsageError("ip", text)
    return str(address)


def is_ip(text: str) -> bool:
    """Tell whether ``ip`` takes the text."""
    try:
        ip(text)
    except BadUsageError:
        return False
    return True


def _split(words: Sequence[str], short: str, long: list[str]) -> tuple[dict[str, str], list[str]]:
    try:
        given, rest = getopt.gnu_getopt(list(words), short, long)
    except getopt.GetoptError as error:
        raise BadUsageError("option", error.opt) from None
    return {option.lstrip("-"): value for option, value in given}, rest


def _wants_help(given: dict[str, str]) -> bool:
    return not given.keys().isdisjoint({"h", "help", "ajuda"})
