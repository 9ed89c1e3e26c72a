"""Hostile HTTP against whole programs: nothing but errors, and nothing slower for peers."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack, suppress
from statistics import median
from threading import Event, Thread
from time import monotonic

import pytest
from processes import PATIENCE, beside, converse, eventually, network

from rede_p2p.content import merkle

SECRET = b"this stands beside what is shared\n"
DATA = b"shared " * 20_000
ROOT = merkle.root_of(merkle.layer_of(DATA), len(DATA)).hex()
HOST = b"Host: 127.0.0.1\r\n"
LINE = b"GET / HTTP/1.1\r\n"
END = b"\r\n"
AGAIN = LINE + HOST + END  # what a smuggler would have answered
ALL_AT_ONCE = 1000

# What is said, and what may be answered first: a status, or nothing at all.
HOSTILE = {
    "two lengths": (
        LINE + HOST + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n" + AGAIN, {400}),
    "a length and chunks": (
        LINE + HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + AGAIN,
        {413}),
    "chunks": (LINE + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + AGAIN, {413}),
    "a hidden length": (LINE + HOST + b"Content-Length : 44\r\n\r\n" + AGAIN, {400}),
    "a folded length": (LINE + HOST + b"X: y\r\n Content-Length: 44\r\n\r\n" + AGAIN, {400}),
    "a bare CR": (LINE + HOST + b"X: y\rContent-Length: 44\r\n\r\n" + AGAIN, {400}),
    "a length of plus": (LINE + HOST + b"Content-Length: +44\r\n\r\n" + AGAIN, {413}),
    "two hosts": (LINE + HOST + b"Host: evil.example\r\n\r\n" + AGAIN, {400}),
    "no host": (LINE + END, {400}),
    "the host of another": (LINE + b"Host: evil.example\r\n\r\n", {421}),
    "a host that begins as ours": (LINE + b"Host: 127.0.0.1.evil.example\r\n\r\n", {421}),
    "a host with a path": (LINE + b"Host: 127.0.0.1/@evil.example\r\n\r\n", {400}),
    "a whole URL": (b"GET http://evil.example/ HTTP/1.1\r\n" + HOST + END, {400}),
    "a proxy": (b"CONNECT 127.0.0.1:22 HTTP/1.1\r\n" + HOST + END, {405, 400}),
    "a post": (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nhi" + AGAIN, {413}),
    "options of another place": (
        b"OPTIONS / HTTP/1.1\r\n" + HOST + b"Origin: http://evil.example\r\n\r\n", {405}),
    "trace": (b"TRACE / HTTP/1.1\r\n" + HOST + END, {405}),
    "a field of 1 MiB": (LINE + HOST + b"X: " + b"y" * 2**20 + b"\r\n\r\n", {431}),
    "1 MiB of fields": (LINE + HOST + b"X: y\r\n" * (2**20 // 6) + END, {431}),
    "a target of 60 KiB": (b"GET /" + b"y" * 60_000 + b" HTTP/1.1\r\n" + HOST + END, {431}),
    "noise in a field": (LINE + HOST + b"X\0: y\r\n\r\n", {400}),
    "no colon": (LINE + HOST + b"evil\r\n\r\n", {400}),
    "dots": (b"GET /arquivo/../../../../etc/passwd HTTP/1.1\r\n" + HOST + END, {404}),
    "dots by name": (b"GET /pasta/../secret.txt HTTP/1.1\r\n" + HOST + END, {404}),
    "encoded dots": (b"GET /pasta/%2e%2e/secret.txt HTTP/1.1\r\n" + HOST + END, {404}),
    "encoded separators": (b"GET /pasta/..%2fsecret.txt HTTP/1.1\r\n" + HOST + END, {404}),
    "encoded backslashes": (b"GET /pasta/..%5Csecret.txt HTTP/1.1\r\n" + HOST + END, {404}),
    "encoded twice": (b"GET /pasta/%252e%252e/secret.txt HTTP/1.1\r\n" + HOST + END, {404}),
    "an absolute path": (b"GET /pasta//etc/passwd HTTP/1.1\r\n" + HOST + END, {404}),
    "a NUL": (b"GET /pasta/data%00.txt HTTP/1.1\r\n" + HOST + END, {404}),
    "lines in a name": (
        f"GET /arquivo/{ROOT}/a%0d%0aSet-Cookie:%20x HTTP/1.1\r\n".encode() + HOST + END, {404}),
    "no UTF-8": (b"GET /pasta/%ff%fe HTTP/1.1\r\n" + HOST + END, {400, 404}),
    "a wrong root": (f"GET /arquivo/{'0' * 64}/a HTTP/1.1\r\n".encode() + HOST + END, {404}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}),
    "HTTP/0.9": (b"GET /\r\n", set()),
    "half a request": (LINE + HOST, set()),
    "a question and no end": (b"GET /?" + b"%" * 9000 + b" HTTP/1.1\r\n" + HOST + END, {200, 404}),
}  # fmt: skip


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """A tracker and a peer, with short deadlines for heads."""
    with network(tmp_path_factory.mktemp("web")) as programs:
        programs.hurry(reply_s=0.5)
        programs.tracker()
        files = programs.sharing({"data": DATA})
        (files.parent / "secret.txt").write_bytes(SECRET)
        _, programs.port_a = programs.peer("--servir", files=files)
        eventually(lambda: ROOT.encode() in converse(programs.ip, programs.port, ASKED))
        yield programs


ASKED = b'search {"text": "data"}\nquit\n'
PORTS = pytest.mark.parametrize("where", ["port", "port_a"], ids=["tracker", "peer"])


def statuses(heard):
    return [int(number) for number in re.findall(rb"^HTTP/1\.1 (\d+) ", heard, re.MULTILINE)]


@PORTS
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_gets_one_error_or_nothing(standing, where, name):
    said, expected = HOSTILE[name]
    heard = converse(standing.ip, getattr(standing, where), said)
    found = statuses(heard)
    assert found == [] or (len(found) == 1 and found[0] in expected), heard[:300]
    if len(said) < 2**16 and expected:
        assert found  # only an answer to who has not stopped talking may be lost
    assert SECRET not in heard and b"root:" not in heard and b"Set-Cookie" not in heard
    assert b"Access-Control" not in heard
    for part in heard.split(b"HTTP/1.1 ")[1:]:
        assert b"X-Content-Type-Options: nosniff\r\n" in part
        assert b"default-src 'none'" in part
    still_answers(standing)


def still_answers(standing):
    heard = converse(standing.ip, standing.port_a, b'get {"name": "data"}\nquit\n')
    assert heard.endswith(DATA + b"ok\n")
    assert ROOT.encode() in converse(standing.ip, standing.port, ASKED)


@PORTS
def test_a_dribbled_request_is_ended_by_one_deadline(standing, where):
    with socket.create_connection((standing.ip, getattr(standing, where)), PATIENCE) as bare:
        bare.sendall(LINE)
        began, pause = monotonic(), Event()
        with suppress(OSError):
            while monotonic() - began < PATIENCE:
                bare.sendall(b"X: y\r\n" if int(monotonic() * 100) % 20 == 0 else b"")
                bare.settimeout(0.02)
                with suppress(TimeoutError):
                    assert bare.recv(1000) == b""
                    break
                pause.wait(0.01)
        assert monotonic() - began < PATIENCE / 2
    still_answers(standing)


class Crowd:
    """Browsers of one machine: some say nothing, some half a request, some ask for ever."""

    def __init__(self, ip: str, port: int) -> None:
        self.sockets = []
        for number in range(ALL_AT_ONCE):
            with suppress(OSError):
                source = (beside(ip, 3), 0)
                bare = socket.create_connection((ip, port), PATIENCE, source_address=source)
                self.sockets.append(bare)
                bare.settimeout(0.01)
                if number % 3:
                    bare.sendall(LINE if number % 3 == 1 else AGAIN)
        self._left = Event()
        self._thread = Thread(target=self._ask)
        self._thread.start()

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        self._thread.join()
        for bare in self.sockets:
            bare.close()

    def _ask(self) -> None:
        while not self._left.wait(0.05):
            for bare in self.sockets[2::60]:
                with suppress(OSError):
                    bare.sendall(AGAIN)
                    bare.recv(2**20)


def seconds_of_a_round(standing) -> float:
    """Return how long a peer waits for the tracker's and another peer's answers."""
    took = []
    for _ in range(9):
        began = monotonic()
        still_answers(standing)
        took.append(monotonic() - began)
    return median(took)


@PORTS
def test_a_thousand_connections_leave_peers_what_they_had(standing, where):
    alone = seconds_of_a_round(standing)
    with ExitStack() as stack:
        stack.enter_context(Crowd(standing.ip, getattr(standing, where)))
        crowded = seconds_of_a_round(standing)
    assert crowded < 5 * alone + 0.5, (alone, crowded)
    still_answers(standing)


def test_without_a_page_browsers_are_hung_up_on_and_nobody_is_sent_there(tmp_path):
    with network(tmp_path) as programs:
        tracker = programs.tracker()
        words = ("--servir", "--sem-pagina")
        _, port = programs.peer(*words, files={"data": DATA})
        eventually(lambda: ROOT.encode() in converse(programs.ip, programs.port, ASKED))
        page = converse(programs.ip, programs.port, AGAIN).decode()
        assert "data" in page and "só pelo programa" in page and f":{port}/" not in page
        asked = f"GET /arquivo/{ROOT}/data HTTP/1.1\r\n".encode() + HOST + END
        assert converse(programs.ip, port, asked) == b""
        tracker.kill()
        programs.tracker("--sem-pagina")
        assert converse(programs.ip, programs.port, AGAIN) == b""
