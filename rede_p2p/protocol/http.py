"""HTTP/1.1 as far as a browser needs it here: bytes ↔ a request, a head, a range (RFC 9110, 9112).

Strict where RFC 9112 lets a server be so: a request that two readers could understand differently
is refused, because that is how requests are smuggled. The standard library's own reader of fields
is made for mail and lets such requests pass.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NoReturn
from urllib.parse import quote, unquote_to_bytes, urlsplit

MAX_HEAD_BYTES = 16 * 1024  # of a request: its line and its fields
MAX_FIELDS = 64
_REQUEST = re.compile(rb"([A-Z]{1,16}) ([\x21-\x7e]+) HTTP/1\.([01])\r?\n")
# The blanks around a value are cut off later: to match them here would take quadratic time.
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)\r?\n")
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")
_ONLY_ONCE = frozenset({"host", "content-length", "transfer-encoding", "range", "if-range"})
_PLAIN = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # what a quoted file name may not have


class HttpError(Exception):
    """A request cannot be met; it is answered by this ``status``, and told to nobody else."""

    def __init__(self, status: int, fields: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(status)
        self.status = status
        self.fields = fields  # of the answer


@dataclass(frozen=True)
class HttpRequest:
    """A request that was understood, and asks for nothing but GET or HEAD."""

    method: str
    path: str  # with its %XX
    query: str
    host: str  # without the port; "" in HTTP/1.0
    closes: bool  # the connection ends after the answer
    fields: dict[str, str] = field(default_factory=dict)  # by name in small letters

    def segments(self) -> list[str]:
        """Return the parts of the path between its slashes, decoded; raise HttpError 400.

        A slash that was written as %2F is part of a segment.
        """
        try:
            return [unquote_to_bytes(part).decode() for part in self.path.split("/")[1:]]
        except UnicodeDecodeError as error:
            raise HttpError(400) from error


def decode_request(line: bytes, lines: Sequence[bytes]) -> HttpRequest:
    """Read a request's line and its fields; raise HttpError, of which the connection ends."""
    match = _REQUEST.fullmatch(line)
    if match is None:
        _refuse(400)
    method, target, minor = match[1].decode(), match[2].decode(), match[3]
    fields = _fields(lines)
    if minor == b"1" and "host" not in fields:
        _refuse(400)  # RFC 9112 §3.2
    if "transfer-encoding" in fields or fields.get("content-length", "0") != "0":
        _refuse(413)  # a body, which no request here has
    if method not in ("GET", "HEAD"):
        _refuse(405)
    if not target.startswith("/"):
        _refuse(400)
    path, _, query = target.partition("#")[0].partition("?")
    wishes = {wish.strip().lower() for wish in fields.get("connection", "").split(",")}
    closes = "close" in wishes or (minor == b"0" and "keep-alive" not in wishes)
    return HttpRequest(method, path, query, host_of(fields.get("host", "")), closes, fields)


def host_of(field_value: str) -> str:
    """Return the host of a ``Host`` field without its port, an IPv6 address without brackets."""
    try:
        parts = urlsplit(f"//{field_value}")
        if parts.username is not None or parts.path or parts.query or parts.fragment:
            _refuse(400)
        _ = parts.port  # raises where it is no number
        return parts.hostname or ""
    except ValueError as error:
        raise HttpError(400) from error


def is_address(host: str) -> bool:
    """Tell whether a host is a literal IP address, which no name server can give to another."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def encode_head(status: int, fields: Sequence[tuple[str, str]]) -> bytes:
    """Return the head of an answer. The caller has made each value safe."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{k}: {v}" for k, v in fields)]
    head = "".join(f"{line}\r\n" for line in lines).encode("latin-1") + b"\r\n"
    assert head.count(b"\n") == len(lines) + 1  # no value may bring a line of its own
    return head


def range_of(value: str | None, size: int) -> tuple[int, int] | None:
    """Return (start, length) of a ``Range`` of one part; None for the whole (RFC 9110 §14.2).

    What is not understood, or has several parts, is ignored, as the standard allows. Raises
    HttpError 416 for a range that begins after the end.
    """
    match = _RANGE.fullmatch((value or "").strip())
    if match is None or match[1] == match[2] == "":
        return None
    if match[1] == "":
        start, stop = max(size - int(match[2]), 0), size
        if start == stop:
            raise _unsatisfiable(size)
    else:
        start, stop = int(match[1]), min(int(match[2] or size) + 1, size)
        if match[2] and int(match[2]) < start:
            return None
    if start >= size:
        raise _unsatisfiable(size)
    return start, stop - start


def _unsatisfiable(size: int) -> HttpError:
    return HttpError(416, [("Content-Range", f"bytes */{size}")])


def origin(ip: str, port: int) -> str:
    """Return what the URLs of a program begin with, as ``http://10.0.0.2:5455``."""
    return f"http://[{ip}]:{port}" if ":" in ip else f"http://{ip}:{port}"


def path_of(route: str, root: bytes, name: str) -> str:
    """Return the path by which a peer gives a content (``arquivo``) or its ``torrent``."""
    return f"/{route}/{root.hex()}/{quote(name)}"


def attachment(name: str) -> str:
    """Return a ``Content-Disposition`` that saves under this name (RFC 6266, RFC 8187)."""
    last = name.rsplit("/", 1)[-1]
    plain = _PLAIN.sub("_", last)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(last, safe='')}"


def _fields(lines: Sequence[bytes]) -> dict[str, str]:
    if len(lines) > MAX_FIELDS:
        _refuse(431)
    fields: dict[str, str] = {}
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            _refuse(400)
        name, value = match[1].decode().lower(), match[2].strip(b" \t").decode("latin-1")
        if name in fields:
            if name in _ONLY_ONCE:
                _refuse(400)
            value = f"{fields[name]}, {value}"
        fields[name] = value
    return fields


def _refuse(status: int) -> NoReturn:
    raise HttpError(status)
