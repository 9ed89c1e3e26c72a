"""The side of a connection that answers a browser: HTTP/1.1, one request after another.

Only GET and HEAD, only for a Host that is this machine, and nothing that a page could run. Bounds:
a request's head has MAX_HEAD_BYTES and ``reply_s``, and an idle connection ``web_idle_s``.
"""

import platform
from collections.abc import Callable, Sequence
from http import HTTPStatus
from time import monotonic

from rede_p2p.errors import ConnectionLostError, ProtocolError, RefusedError
from rede_p2p.net.address import is_loopback
from rede_p2p.net.connection import Connection
from rede_p2p.net.requests import Describe, await_request
from rede_p2p.protocol import http
from rede_p2p.protocol.http import HttpError, HttpRequest
from rede_p2p.timeouts import DEFAULT, Timeouts

# Of every answer: nobody guesses its type, nothing on it runs, and no other page shows it.
SAFE_FIELDS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'",
    ),
)
TEXT = "text/plain; charset=utf-8"
_UNREAD = HttpRequest("GET", "/", "", "", closes=True)  # in place of one that is ill-formed
Fields = Sequence[tuple[str, str]]
Answer = Callable[[HttpRequest, "Reply"], None]  # raises HttpError where the answer is no


class Reply:
    """Where one request is answered; used by the thread of its connection."""

    def __init__(self, connection: Connection, request: HttpRequest) -> None:
        self.connection = connection
        self.request = request
        self.begun = False  # the head may have been sent, or part of it

    def head(self, status: int, length: int, fields: Fields = ()) -> bytes:
        """Return the head of an answer with a body of ``length`` bytes, for who sends both."""
        self.begun = True
        more = [("Connection", "close")] if self.request.closes else []
        return http.encode_head(
            status, [("Content-Length", str(length)), *fields, *SAFE_FIELDS, *more]
        )

    def send(self, status: int, kind: str, body: bytes, fields: Fields = ()) -> None:
        """Send a whole answer, of which HEAD gets the head alone."""
        head = self.head(status, len(body), [("Content-Type", kind), *fields])
        self.connection.send(head if self.request.method == "HEAD" else head + body)


def serve_web(
    connection: Connection,
    line: bytes,
    answer: Answer,
    describe: Describe,
    timeouts: Timeouts = DEFAULT,
) -> None:
    """Answer requests, of which ``line`` begins the first; raise ConnectionLostError.

    The connection ends after an ill-formed request, since nobody knows where the next one begins.
    ``describe`` puts a refusal into words, as in ``requests.serve``.
    """
    next_line: bytes | None = line
    while next_line:
        try:
            lines = _rest_of_head(connection, len(next_line), timeouts.reply_s)
            request = http.decode_request(next_line, lines)
        except HttpError as error:
            _refuse(Reply(connection, _UNREAD), error, describe)
            return
        reply = Reply(connection, request)
        try:
            _check_host(connection, request.host)
            answer(request, reply)
        except HttpError as error:
            if reply.begun:  # a second head would be taken for a body
                raise ConnectionLostError("lost") from error
            _refuse(reply, error, describe)
        if request.closes:
            connection.send(b"")  # with what is held
            return
        try:
            next_line = await_request(connection, timeouts.web_idle_s)
        except ProtocolError:
            return


def _rest_of_head(connection: Connection, length: int, within_s: float) -> list[bytes]:
    """Return the lines of the fields; raise HttpError."""
    end, lines = monotonic() + within_s, list[bytes]()
    while True:
        try:
            line = connection.receive_line(max(end - monotonic(), 0.001))
        except ProtocolError as error:
            raise HttpError(431) from error
        if line is None:
            raise ConnectionLostError("lost")
        if line in (b"\r\n", b"\n"):
            return lines
        lines.append(line)
        length += len(line)
        if length > http.MAX_HEAD_BYTES or len(lines) > http.MAX_FIELDS:
            raise HttpError(431)


def _check_host(connection: Connection, host: str) -> None:
    """Raise HttpError 421 for a name that is not of this machine.

    A page from elsewhere can have its name resolve to this machine (DNS rebinding), and read what
    it gets; it cannot do so with an IP address or with the name that only this machine has.
    """
    own = connection.local.ip
    if host in ("", own) or (host == "localhost" and is_loopback(own)):
        return
    name = platform.node().partition(".")[0].lower()
    if http.is_address(host) or host in (name, f"{name}.local"):
        return
    raise HttpError(421)


def _refuse(reply: Reply, error: HttpError, describe: Describe) -> None:
    status = error.status
    fields = {405: [("Allow", "GET, HEAD")], 503: [("Retry-After", "2")]}.get(status, [])
    phrase = HTTPStatus(status).phrase
    sentence = describe(RefusedError(f"http-{status}", phrase))
    reply.send(status, TEXT, f"{status} {phrase}\n{sentence}\n".encode(), [*fields, *error.fields])
