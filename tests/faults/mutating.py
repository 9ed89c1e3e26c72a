"""Inputs for the parsers: good ones, and what becomes of them when bytes are changed at random."""

from __future__ import annotations

import random
from collections.abc import Callable

from lies import NOISES, NOISES_TO_A_PEER, NOISES_TO_THE_TRACKER, UNSAFE_NAMES

from rede_p2p.cli.escapes import escape_controls
from rede_p2p.content import safe_names
from rede_p2p.errors import ProtocolError, RefusedError, UnsafeNameError
from rede_p2p.protocol import codec, http, messages, verbs

ROOT = b"ab" * 32
REQUESTS = [
    *(said for said, _ in (*NOISES.values(), *NOISES_TO_A_PEER.values()) if len(said) < 5000),
    *(said for said, _ in NOISES_TO_THE_TRACKER.values()),
    b"ls\n", b"peers\n", b"quit {}\n", b"ping {\"who\": true}\n", b"reach\n",
    b'ls {"folders": true}\n', b'stat {"name": "a.txt"}\n',
    b'get {"name": "a.txt", "start": 20, "length": 7}\n',
    b'hashes {"root": "%s", "again": 3}\n' % ROOT,
    b'pieces {"root": "%s", "first": 3, "count": 1}\n' % ROOT,
    b'want {"root": "%s", "bitmap": "20"}\n' % ROOT,
    b'take {"first": 2, "count": 1, "got": [0], "lost": [1, 5]}\n',
    b'next {"got": [1], "lost": [3]}\n',
    b'join {"version": 1, "port": 5455, "name": "ana", "web": true}\n',
    b'busy {"port": 5456}\n', b'ready {"port": 5457}\n', b'find {"root": "%s"}\n' % ROOT,
    b'announce {"bytes": 109, "count": 1}\n', b'withdraw {"bytes": 109, "count": 1}\n',
    b'search {"text": "INT", "exact": false}\n',
]  # fmt: skip
REPLIES = [
    b"ok\n", b'ok {"port": 5456, "ip": "127.0.0.1", "version": 1}\n', b'espera {"place": 1}\n',
    b'ok {"bytes": 81, "count": 2, "total": 9}\n', b'ok {"id": "5f0c2a"}\n',
    b'ok {"reason": "here"}\n', b'erro {"code": "no-port", "message": "x"}\n',
    b'ok {"first": 2, "count": 1, "others": [1, 2, 3]}\n',
    b'ok {"bytes": 65536, "first": 1, "count": 1, "others": []}\n',
    b'ok {"bytes": 7, "size": 116, "root": "%s"}\n' % ROOT,
    b'ok {"name": "x", "size": 200000, "root": "%s"}\n' % ROOT,
]  # fmt: skip
LINES = [
    b'{"ip": "127.0.0.1", "port": 5455, "you": true, "name": "ana"}\n',
    b'{"ip": "fe80::1", "port": 5455}\n',
    b'{"name": "int.png", "size": 7480, "root": "%s", "peers": 1}\n' % ROOT,
    b'{"name": "a/b.txt", "size": 0, "root": "%s"}\n' % ROOT,
]
WEB = [
    b"GET / HTTP/1.1\r\nHost: 10.0.0.1:9450\r\n\r\n",
    b"GET /arquivo/%s/a%%20b HTTP/1.1\r\nHost: [::1]\r\nRange: bytes=0-9\r\n\r\n" % ROOT,
    b"HEAD /pasta/x?q=1 HTTP/1.0\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
]
NAMES = [
    *(name for name, _ in UNSAFE_NAMES if len(name) < 2000),
    "aula/slides 1.pdf", "ação.tar.gz", ":smile:.dat", "nul.txt", "👩‍🔬.txt", "a\u0301.png",
]  # fmt: skip
PIECES = [
    b"\x00", b"\xff", b"\n", b"\r\n", b"\x1b[2J", b'"', b"\\", b"{", b"}", b"[" * 500, b"]", b"-1",
    b"true", b"null", b"1e999", b"9" * 400, b"\\ud800", b"\\u0000", b"\xe2\x80\xae", b"..", b"/",
    b"%2f", b"%", b":", b" " * 50, b"0.0.0.0", b"::", b"NaN", b"5.0", b",", b"\xf0\x9f\x98\x80",
]  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change a few places of an input."""
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(data) + 1)
        to = at + chance.choice((0, 0, 1, 1, 4, 30))
        put = chance.choice((b"", chance.choice(PIECES), chance.randbytes(chance.randrange(4))))
        data = data[:at] + put + data[to:]
    return data


# What reads each kind: returns what became of it; any exception that is not foreseen is a bug.


def _request(table: dict[str, type], data: bytes) -> str:
    try:
        request = codec.decode_request(data, table)
    except ProtocolError as error:
        return f"{error.kind} {error.detail}".strip()
    assert codec.decode_request(codec.encode_request(request), table) == request
    return request.verb


def to_peer(data: bytes) -> str:
    """Read a request to a peer."""
    return _request(verbs.TO_PEER, data)


def to_tracker(data: bytes) -> str:
    """Read a request to the tracker."""
    return _request(verbs.TO_TRACKER, data)


KINDS = (
    messages.Ok, messages.PortOffer, messages.Listing, messages.PieceOffer, messages.PieceData,
    messages.FileData, messages.FileInfo,
)  # fmt: skip


def reply(data: bytes) -> str:
    """Read an answer as each kind that there is."""
    became = []
    for kind in KINDS:
        try:
            codec.decode_reply(data, kind)
            became.append("ok")
        except ProtocolError as error:
            became.append(f"{error.kind} {error.detail}".strip())
        except RefusedError:
            became.append("refused")
    return ", ".join(became)


def listing(data: bytes) -> str:
    """Read the body of a list as each kind that there is."""
    became = []
    for kind in (messages.PeerEntry, messages.SearchResult, messages.FileEntry):
        try:
            codec.decode_lines(data, kind, 1)
            became.append("ok")
        except ProtocolError as error:
            became.append(f"{error.kind} {error.detail}".strip())
    return ", ".join(became)


def web(data: bytes) -> str:
    """Read a browser's request."""
    line, *fields = data.split(b"\r\n\r\n")[0].splitlines(keepends=True) or [b""]
    try:
        asked = http.decode_request(line, fields)
        asked.segments()
    except http.HttpError as error:
        return str(error)
    return "ok"


def name(data: bytes) -> str:
    """Judge a name, as who shares and as who receives; show it on a terminal."""
    text = data.decode(errors="surrogateescape")
    shown = escape_controls(text)
    assert shown == escape_controls(shown) or "\\" in shown
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u202e\u2066" for c in shown), shown
    safe_names.peer_name(text.encode(errors="replace").decode())
    try:
        safe_names.check(text)
    except UnsafeNameError as error:
        return error.kind
    parts = text.split("/")
    assert ".." not in parts and "" not in parts and "\\" not in text and "\0" not in text
    return "safe"


READERS: dict[str, tuple[Callable[[bytes], str], list[bytes], int]] = {
    # What reads, what begins as good, and how many are tried each time.
    "to a peer": (to_peer, REQUESTS, 100_000),
    "to the tracker": (to_tracker, REQUESTS, 100_000),
    "answers": (reply, REPLIES, 20_000),
    "lists": (listing, LINES, 20_000),
    "the web": (web, WEB, 20_000),
    "names": (
        name,
        [n.encode(errors="surrogateescape") for n in NAMES if "\ud800" not in n],
        100_000,
    ),
}
