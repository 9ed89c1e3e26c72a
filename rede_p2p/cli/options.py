"""The words of a command line → the options of the program.

No I/O, but that the system is asked for the address of a machine's name.

The words are split by getopt and not by argparse, whose messages are in English.
"""

import getopt
import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar, get_type_hints

from rede_p2p.cli import installation
from rede_p2p.content.safe_names import normal_form, peer_name
from rede_p2p.errors import BadUsageError
from rede_p2p.net.address import machine_name
from rede_p2p.net.discovery import LOCAL, WELL_KNOWN_PORT
from rede_p2p.net.resolver import addresses_of, may_be_name
from rede_p2p.protocol.fields import LOWEST_PUBLIC_PORT
from rede_p2p.tracker.registry import FIRST_PORT
from rede_p2p.upload.list_file import expand_user
from rede_p2p.upload.upload_slots import MIN_LIMIT_BYTES_PER_S

FOLDER = installation.folder()


def parse_port(text: str) -> int:
    """Read a TCP port, 1 to 65535; raise BadUsageError."""
    if not (len(text) <= 5 and text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise BadUsageError("port", text)
    return int(text)


def _parse_first_port(text: str) -> int:
    if parse_port(text) < LOWEST_PUBLIC_PORT:
        raise BadUsageError("first-port", text)
    return int(text)


def parse_ips(text: str) -> list[str]:
    """Read the literal address of one machine, or ask for those of a name, the likeliest first.

    Raises BadUsageError, or UnknownMachineError after ``name_s`` at most.
    """
    if text.casefold() == "localhost":
        return [LOCAL]
    try:
        address = ipaddress.ip_address(re.sub(r"^\[(.*)\]$", r"\1", text))
    except ValueError:
        if may_be_name(text):
            return addresses_of(text)
        raise BadUsageError("ip", text) from None
    if address.is_unspecified or address.is_multicast:
        raise BadUsageError("ip", text)
    return [str(address)]


def parse_ip(text: str) -> str:
    """Read the address of one machine, as ``parse_ips`` does."""
    return parse_ips(text)[0]


def split_address(word: str) -> list[str]:
    """Cut ``IP:PORTA`` or ``[IPv6]:PORTA`` in two; any other word stays whole."""
    found = re.fullmatch(r"(\[.*\]|[^:]*):([^:]*)", word)
    return [found[1], found[2]] if found else [word]


def is_ip(text: str) -> bool:
    """Tell whether the text is a literal address, or ``localhost``."""
    try:
        return text.casefold() == "localhost" or bool(not may_be_name(text) and parse_ips(text))
    except BadUsageError:
        return False


def parse_name(text: str) -> str:
    """Read what a peer is to be called, empty for no name; raise BadUsageError."""
    name = peer_name(text)
    if not name and normal_form(text):
        raise BadUsageError("nome", text)
    return name


def _parse_rate(text: str) -> int:
    """Read bytes a second, as ``500K`` or ``5M``; raise BadUsageError."""
    found = re.fullmatch(r"(\d{1,12})([KMG]?)", text, re.IGNORECASE | re.ASCII)
    count = int(found[1]) * 1024 ** " KMG".index(found[2].upper() or " ") if found else 0
    if count < MIN_LIMIT_BYTES_PER_S:
        raise BadUsageError("rate", text)
    return count


def _parse_path(text: str) -> Path:
    return Path(expand_user(text)).absolute()


# Each field names the option that sets it and the reader of the option's text. An option without a
# reader has no text and inverts the default; a field without an option is a word, by its place.


class TrackerOptions(NamedTuple):
    """The options of Servidor.py; ``ip`` None means all addresses."""

    port: Annotated[int, "", parse_port] = WELL_KNOWN_PORT
    ip: Annotated[str | None, "ip", parse_ip] = None
    first_port: Annotated[int, "primeira-porta", _parse_first_port] = FIRST_PORT
    pack: Annotated[Path | None, "empacotar", _parse_path] = None
    page: Annotated[bool, "sem-pagina", None] = True  # whether browsers are answered
    help: Annotated[bool, "ajuda", None] = False
    version: Annotated[bool, "versao", None] = False


class PeerOptions(NamedTuple):
    """The options of Peers.py; ``ip`` and ``port`` are the tracker's, None if not given."""

    ip: Annotated[str | None, "", parse_ip] = None
    port: Annotated[int | None, "", parse_port] = None
    own_ip: Annotated[str | None, "ip", parse_ip] = None
    name: Annotated[str | None, "nome", parse_name] = None
    share_list: Annotated[Path, "arquivos", _parse_path] = FOLDER / "meus_arquivos.txt"
    folder: Annotated[Path, "pasta", _parse_path] = FOLDER / "arquivos_baixados"
    script: Annotated[str | None, "c", str] = None
    serve: Annotated[bool, "servir", None] = False
    json: Annotated[bool, "json", None] = False
    quiet: Annotated[bool, "q", None] = False
    limit: Annotated[int | None, "limite", _parse_rate] = None  # bytes a second
    seeds: Annotated[bool, "nao-semear", None] = True
    page: Annotated[bool, "sem-pagina", None] = True  # whether browsers are answered
    help: Annotated[bool, "ajuda", None] = False
    version: Annotated[bool, "versao", None] = False


def from_environment(
    chosen: PeerOptions, environment: Mapping[str, str] = os.environ
) -> PeerOptions:
    """Fill in what was not typed: the tracker that REDE_TRACKER says, and this peer's name.

    That is as REDE_NOME says, else the machine's, if that may be one. Raises BadUsageError, and
    UnknownMachineError as ``parse_ips``.
    """
    ip, port, name = chosen.ip, chosen.port, chosen.name
    words = environment.get("REDE_TRACKER", "").split()
    if ip is None and words:
        typed = _typed_tracker(words)
        ip, port = typed.ip, typed.port
    return chosen._replace(ip=ip, port=port, name=own_name(environment) if name is None else name)


def own_name(environment: Mapping[str, str] = os.environ) -> str:
    """Return what this machine is called: as REDE_NOME says, else as the system does."""
    if "REDE_NOME" in environment:
        return parse_name(environment["REDE_NOME"])
    return peer_name(machine_name())


def _typed_tracker(words: Sequence[str]) -> PeerOptions:
    """Read REDE_TRACKER as the words that it stands for."""
    try:
        return parse(PeerOptions, ["--", *words])
    except BadUsageError:
        raise BadUsageError("rede-tracker", " ".join(words)) from None


Options = TypeVar("Options", bound=TrackerOptions | PeerOptions)


def parse(kind: type[Options], words: Sequence[str]) -> Options:
    """Read the words that follow the program's name; raise BadUsageError."""
    hints = get_type_hints(kind, include_extras=True)
    table = [(field, *hint.__metadata__) for field, hint in hints.items()]
    by_place = [(field, read) for field, name, read in table if not name]
    by_name = {name: (field, read) for field, name, read in table if name}
    long = [f"{name}=" if read else name for name, (_, read) in by_name.items() if len(name) > 1]
    try:
        given, rest = getopt.gnu_getopt(list(words), "hqc:", ["help", *long])
    except getopt.GetoptError as error:
        raise BadUsageError("option", _dashed(error.opt)) from None
    if len(by_place) > len(rest) == 1:
        rest = split_address(rest[0])
    elif rest and len(split_address(rest[0])) == 2:  # a port is told twice
        raise BadUsageError("too-many", rest[1])
    if len(rest) > len(by_place):
        raise BadUsageError("too-many", rest[len(by_place)])
    values = {field: read(word) for (field, read), word in zip(by_place, rest, strict=False)}
    for option, text in dict(given).items():
        name = "ajuda" if option in ("-h", "--help") else option.lstrip("-")
        if name not in by_name:
            raise BadUsageError("option", _dashed(name))
        field, read = by_name[name]
        if read is _parse_path and not text:  # as of a variable that is not set
            raise BadUsageError("option", _dashed(name))
        values[field] = read(text) if read else not kind._field_defaults[field]
    return kind(**values)


def _dashed(option: str) -> str:
    return f"--{option}" if len(option) > 1 else f"-{option}"
