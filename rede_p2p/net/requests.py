"""The side of a connection that answers: one request after another, and refusals in words."""

from collections.abc import Callable, Iterable, Iterator
from math import inf
from time import monotonic
from typing import TypeVar

from rede_p2p.errors import ProtocolError, RedeError, RefusedError
from rede_p2p.net.connection import Connection
from rede_p2p.protocol import codec
from rede_p2p.protocol.compression import compress
from rede_p2p.protocol.fields import MAX_LISTING_BYTES, MAX_LISTING_LINES
from rede_p2p.protocol.messages import Listing, Quit

LINES_STEP_BYTES = 64 * 1024  # of a body of lines, received at once
SKIP_STEP_BYTES = 256 * 1024  # of a body that nobody reads, received at once

RequestType = TypeVar("RequestType")
Line = TypeVar("Line")
Describe = Callable[[RedeError], str]  # an error → the sentence for the other side


def serve(
    connection: Connection,
    known: dict[str, type[RequestType]],
    silence_s: Callable[[], float],
    answer: Callable[[RequestType], None],
    describe: Describe,
    web: Callable[[bytes], None] | None = None,
) -> None:
    """Answer every request until the other side leaves; raise ConnectionLostError.

    A conversation that begins with a line of HTTP is handed with it to ``web``, if that is given.
    ``answer`` raises RefusedError where the answer is no, and ProtocolError when the body of a
    request is ill-formed: that ends the conversation, as nobody knows where the next one begins.
    """
    for request in requests(connection, known, silence_s, describe, web):
        try:
            answer(request)
        except (RefusedError, ProtocolError) as error:
            refuse(connection, error, describe)
            if isinstance(error, ProtocolError):
                return


def requests(
    connection: Connection,
    known: dict[str, type[RequestType]],
    silence_s: Callable[[], float],
    describe: Describe,
    web: Callable[[bytes], None] | None = None,
) -> Iterator[RequestType]:
    """Yield each request, awaited for ``silence_s()`` seconds; refuse the ill-formed ones."""
    request: RequestType | None = None
    while not isinstance(request, Quit):
        try:
            line = await_request(connection, silence_s())
            if line is None:
                return
            request = codec.decode_request(line, known)
        except ProtocolError as error:
            if error.kind == "http":  # which gets none of our words
                if web is not None and line is not None:
                    web(line)
                return
            refuse(connection, error, describe)
            if error.kind in ("noise", "long-line"):  # what follows cannot be understood
                return
        else:
            web = None  # only a first line may be HTTP's
            yield request


def await_request(connection: Connection, silence_s: float) -> bytes | None:
    """Return the first line of the next request, as ``receive_line``; tell meanwhile who waits."""
    connection.idle_since = monotonic()
    try:
        return connection.receive_line(silence_s)
    finally:
        connection.idle_since = inf


def refuse(connection: Connection, error: RefusedError | ProtocolError, describe: Describe) -> None:
    """Answer no: a code for programs, a sentence for people."""
    code = error.code if isinstance(error, RefusedError) else error.kind
    connection.reply(codec.Refusal(code, describe(error)))


def lines_of_body(
    connection: Connection, length: int, count: int, kind: type[Line]
) -> Iterator[list[Line]]:
    """Yield the lines of a request's body, some at a time; raise ProtocolError.

    What has not arrived yet takes no memory: there may be thousands who send slowly.
    """
    rest = b""
    while length:
        step = min(length, LINES_STEP_BYTES)
        length -= step
        body = rest + connection.receive_exactly(step)
        lines, rest = count, b""
        if length:
            body, rest = body[: (end := body.rfind(b"\n") + 1)], body[end:]
            lines = body.count(b"\n")
        if lines > count or len(rest) >= codec.MAX_LINE_BYTES:
            raise ProtocolError("bad-count" if lines > count else "long-line")
        count -= lines
        yield codec.decode_lines(body, kind, lines)
    if count:
        raise ProtocolError("bad-count")


def skip_body(connection: Connection, length: int) -> None:
    """Receive the body of a refused request, so that the next one can be read."""
    while length:
        length -= len(connection.receive_exactly(min(length, SKIP_STEP_BYTES)))


def reply_lines(
    connection: Connection, entries: Iterable[object], total: int = 0, *, zlib: bool = False
) -> None:
    """Send a reply whose body is a listing, cut where it gets too long: there are ``total``."""
    connection.send(with_body(*listing(entries, total), zlib=zlib))


def listing(entries: Iterable[object], total: int = 0) -> tuple[bytearray, int, int]:
    """Return what ``with_body`` needs to make such a reply."""
    body, count = bytearray(), 0
    for line in map(codec.encode_entry, entries):
        if count == MAX_LISTING_LINES or len(body) + len(line) > MAX_LISTING_BYTES:
            break
        body += line
        count += 1
    return body, count, total if total > count else 0


def with_body(body: bytes | bytearray, count: int, total: int = 0, *, zlib: bool = False) -> bytes:
    """Return such a reply, whose body of ``count`` lines is made already; compress it if asked."""
    packed = compress(body) if zlib else None
    body = body if packed is None else packed
    head = Listing(len(body), count, total, zlib=packed is not None)
    return codec.encode_reply(head) + body
