"""Bytes ↔ messages: the one grammar that tracker and peers speak (docs/PROTOCOLO.md).

    request = verb [SP json-object] LF
    reply   = *wait ( "ok" [SP json-object] LF [body]  |  "erro" SP json-object LF )
    wait    = "espera" [SP json-object] LF

A message is a frozen dataclass whose fields say what they accept, so reading checks every field
and an ill-formed message cannot exist. Fields that are not known are ignored. No I/O.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, ClassVar, Protocol, TypeVar, get_args, get_type_hints

from rede_p2p.content.safe_names import peer_name
from rede_p2p.errors import ProtocolError, RefusedError

MAX_LINE_BYTES = 64 * 1024  # LF included

_ENCODE = json.JSONEncoder(ensure_ascii=False).encode  # dumps() would make one each time
_DECODE = json.JSONDecoder().decode
_SCAN = json.JSONDecoder().raw_decode
_VERB = re.compile(r"[a-z][a-z-]{0,15}")
_HTTP = re.compile(rb"(GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PRI) ")


Check = Callable[[object], object]  # a JSON value → that of a field; raises ValueError


@dataclass(frozen=True)
class Integer:
    """An integer in a range; a bool or a float is none."""

    low: int
    high: int

    def __call__(self, value: object) -> int:
        """Accept or raise ValueError."""
        if type(value) is not int or not self.low <= value <= self.high:  # True is an int
            raise ValueError(value)
        return value


@dataclass(frozen=True)
class Text:
    """Text of at most ``limit`` bytes of UTF-8."""

    limit: int

    def __call__(self, value: object) -> str:
        """Accept or raise ValueError."""
        # A lone surrogate, which JSON can write, raises UnicodeEncodeError: a ValueError too.
        if not isinstance(value, str) or len(value.encode()) > self.limit:
            raise ValueError(value)
        return value


@dataclass(frozen=True)
class Hexadecimal:
    """From ``least`` to ``limit`` bytes, two hexadecimal digits each on the wire."""

    limit: int
    least: int = 0

    def __call__(self, value: object) -> bytes:
        """Accept or raise ValueError."""
        if not isinstance(value, str) or not 2 * self.least <= len(value) <= 2 * self.limit:
            raise ValueError(value)
        data = bytes.fromhex(value)
        if data.hex() != value:  # fromhex takes blanks and capitals too
            raise ValueError(value)
        return data


@dataclass(frozen=True)
class Indexes:
    """At most ``limit`` integers from 0 to below ``stop``, a list on the wire."""

    stop: int
    limit: int

    def __call__(self, value: object) -> tuple[int, ...]:
        """Accept or raise ValueError."""
        if not isinstance(value, list) or len(value) > self.limit:
            raise ValueError(value)
        if any(type(index) is not int or not 0 <= index < self.stop for index in value):
            raise ValueError(value)
        return tuple(value)


def read_ip(value: object) -> str:
    """Read the literal IPv4 or IPv6 address of one machine; return its canonical form."""
    if not isinstance(value, str):
        raise ValueError(value)
    address = ipaddress.ip_address(value)
    # Mapped into IPv6, 127.0.0.1 is not loopback to every Python.
    address = getattr(address, "ipv4_mapped", None) or address
    # A zone ("fe80::1%eth0") is any text at all, and means nothing on another machine.
    if address.is_unspecified or address.is_multicast or "%" in value:
        raise ValueError(value)
    return str(address)


def read_peer_name(value: object) -> str:
    """Read what somebody is called; what cannot be a name is none, and spoils no message."""
    return peer_name(value) if isinstance(value, str) else ""


def read_bool(value: object) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


@dataclass(frozen=True)
class Refusal:
    """After ``erro``: a stable code for programs, a sentence for people."""

    code: Annotated[str, Text(64)]
    message: Annotated[str, Text(4096)] = ""


@dataclass(frozen=True)
class Pending:
    """After ``espera``: not yet, a line every second or two.

    ``place`` is the asker's in a queue (1: the next); ``done`` of ``size`` bytes are prepared;
    ``files`` were seen for a list.
    """

    place: Annotated[int, Integer(0, 2**31)] = 0
    done: Annotated[int, Integer(0, 2**63 - 1)] = 0
    size: Annotated[int, Integer(0, 2**63 - 1)] = 0
    files: Annotated[int, Integer(0, 2**63 - 1)] = 0


class Request(Protocol):
    """Any request: a frozen dataclass of checked fields, and its verb."""

    verb: ClassVar[str]


_REPLY_WORDS = {Refusal: "erro", Pending: "espera"}

Message = TypeVar("Message")
RequestType = TypeVar("RequestType")


class Lines(list[Message]):
    """The lines of a listing; ``total`` is how many there are, of which these are the first."""

    def __init__(self, lines: Iterable[Message], total: int = 0) -> None:
        super().__init__(lines)
        self.total = max(len(self), total)


def encode_request(request: Request) -> bytes:
    """Return the request's line."""
    return _line(request.verb, request)


def encode_reply(reply: object) -> bytes:
    """Return the reply's line: ``erro`` for a Refusal, ``espera`` for a Pending, else ``ok``."""
    return _line(_REPLY_WORDS.get(type(reply), "ok"), reply)


def encode_lines(entries: Iterable[object]) -> bytes:
    """Return a body of JSON lines."""
    return b"".join(map(encode_entry, entries))


def encode_entry(entry: object) -> bytes:
    """Return one such line."""
    return _json(entry) + b"\n"


def decode_request(line: bytes, known: dict[str, type[RequestType]]) -> RequestType:
    """Read a request's line; raise ProtocolError, of kind ``http`` for a web browser's."""
    if _HTTP.match(line):
        raise ProtocolError("http")
    word, rest = _words(line)
    if word not in known:
        raise ProtocolError("unknown-verb" if _VERB.fullmatch(word) else "noise")
    return _read(known[word], _object(rest))


def decode_reply(line: bytes, kind: type[Message]) -> Message | Pending:
    """Read a reply's line; raise RefusedError for ``erro``, ProtocolError for what is no reply."""
    word, rest = _words(line)
    if word == "espera":
        return _read(Pending, _object(rest))
    if word == "erro":
        refusal = _read(Refusal, _object(rest))
        raise RefusedError(refusal.code, refusal.message)
    if word != "ok":
        raise ProtocolError("stranger")
    return _read(kind, _object(rest))


def decode_lines(body: bytes, kind: type[Message], count: int) -> list[Message]:
    """Read a body of exactly ``count`` JSON lines, each within MAX_LINE_BYTES as any other is.

    No more than the ``most`` of their kind, where it has one: each takes a kilobyte once read.
    """
    if count > getattr(kind, "most", count):
        raise ProtocolError("bad-count")
    if body and not body.endswith(b"\n"):
        body += b"\n"
    if body.count(b"\n") != count:  # counted first: to cut a body of LFs takes a lot of memory
        raise ProtocolError("bad-count")
    lines = body.split(b"\n")[:count]  # after the last LF there is nothing
    if any(len(line) >= MAX_LINE_BYTES for line in lines):
        raise ProtocolError("long-line")
    return [_read(kind, _object(line)) for line in lines]


def _words(line: bytes) -> tuple[str, bytes]:
    """Cut a line at its first blank; the verb of what is not UTF-8 is noise."""
    head, _, rest = line.rstrip(b"\r\n").partition(b" ")
    return head.decode(errors="replace"), rest.strip()


def _object(text: bytes) -> dict[str, object]:
    """Parse a JSON object; nothing at all is an empty one."""
    try:
        value = _parsed(text.decode()) if text else {}  # of bytes, it would take UTF-16 too
    except (ValueError, RecursionError) as error:  # "[[[[…" is a RecursionError on some Pythons
        raise ProtocolError("not-json") from error
    if not isinstance(value, dict):
        raise ProtocolError("not-json")
    return value


def _parsed(text: str) -> object:
    """Parse JSON; most lines are an object with no blanks around it, for which nobody looks."""
    if text[0] == "{":
        value, end = _SCAN(text)
        if end == len(text):
            return value
    return _DECODE(text)


def _read(kind: type[Message], given: dict[str, object]) -> Message:
    """Build a message, each field checked; a missing field takes its default."""
    values = {}
    fields_of: Any = kind  # mypy does not take every class for hashable
    for name, check, default in _checks(fields_of):
        if name in given:
            try:
                values[name] = check(given[name])
            except ValueError as error:
                raise ProtocolError("bad-field", name) from error
        elif default is MISSING:
            raise ProtocolError("no-field", name)
    return kind(**values)


@cache
def _checks(kind: Any) -> tuple[tuple[str, Check, object], ...]:
    """List each field of a message: its name, its check, its default or MISSING."""
    found = []
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        hint = hints[field.name]  # Annotated[T, check], or such a one | None
        annotated = hint if hasattr(hint, "__metadata__") else get_args(hint)[0]
        found.append((field.name, annotated.__metadata__[0], field.default))
    return tuple(found)


def _line(word: str, message: object) -> bytes:
    text = _json(message)
    return word.encode() + (b"" if text == b"{}" else b" " + text) + b"\n"


def _json(message: Any) -> bytes:
    """Write a message's fields, leaving out those that stand at their default.

    The object is put together here: of thousands of lines, an encoder takes three times as long.
    """
    shown = []
    for name, _, default in _checks(message.__class__):
        value = getattr(message, name)
        if value == default:
            continue
        if type(value) is bytes:
            shown.append(f'"{name}": "{value.hex()}"')
        else:
            shown.append(f'"{name}": {value if type(value) is int else _ENCODE(value)}')
    return f"{{{', '.join(shown)}}}".encode()
