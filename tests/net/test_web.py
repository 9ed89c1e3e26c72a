"""A connection on which a browser asks: what is answered, what is refused, and what ends it."""

from __future__ import annotations

import platform
import socket

import pytest
from listening import SOON, connected

from rede_p2p.errors import ConnectionLostError
from rede_p2p.net.requests import serve
from rede_p2p.net.web import serve_web
from rede_p2p.protocol import http
from rede_p2p.protocol.messages import Ls, Ok
from rede_p2p.protocol.verbs import TO_PEER
from rede_p2p.timeouts import Timeouts

QUICK = Timeouts(reply_s=0.2, web_idle_s=0.2)
HOST = b"Host: 127.0.0.1\r\n"
END = b"\r\n"


def answer(request, reply):
    if request.path == "/half":
        reply.connection.send(reply.head(200, 100) + b"half")
    if request.path != "/":
        raise http.HttpError(404)
    reply.send(200, "text/html", f"{request.query}".encode())


def conversation(said, timeouts=QUICK):
    """Say something on a connection whose first line is for a browser; return what is heard."""
    with connected() as (bare, connection):
        bare.sendall(said)
        with pytest.raises(ConnectionLostError) if b"half" in said else suppress_lost():
            serve_web(connection, connection.receive_line(SOON), answer, str, timeouts)
        connection.close()
        bare.settimeout(SOON)
        heard = b""
        while chunk := received(bare):
            heard += chunk
        return heard


class suppress_lost:  # noqa: N801 - used as a function
    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        return kind is ConnectionLostError


def received(bare):
    try:
        return bare.recv(65536)
    except ConnectionError:
        return b""


def statuses(heard):
    return [int(part[:3]) for part in heard.split(b"HTTP/1.1 ")[1:]]


def test_one_connection_answers_one_request_after_another():
    heard = conversation(
        b"GET /?a HTTP/1.1\r\n" + HOST + END
        + b"HEAD /?bbb HTTP/1.1\r\n" + HOST + END
        + b"GET /none HTTP/1.1\r\n" + HOST + END
        + b"GET /?c HTTP/1.1\r\nConnection: close\r\n" + HOST + END
        + b"GET /?d HTTP/1.1\r\n" + HOST + END
    )  # fmt: skip
    assert statuses(heard) == [200, 200, 404, 200]
    first, second, third, fourth = heard.split(b"HTTP/1.1 ")[1:]
    assert first.endswith(b"\r\n\r\na") and second.endswith(b"\r\n\r\n")
    assert b"Content-Length: 3\r\n" in second and b"Connection" not in third
    assert fourth.endswith(b"\r\n\r\nc") and b"Connection: close\r\n" in fourth
    for part in (first, second, third, fourth):
        assert b"X-Content-Type-Options: nosniff\r\n" in part
        assert b"Content-Security-Policy: default-src 'none';" in part


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\n\r\nabc", 413),
        (b"DELETE / HTTP/1.1\r\n" + HOST + END, 405),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * http.MAX_HEAD_BYTES + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 2**17 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 200, 431),
        (b"GET /" + b"y" * http.MAX_HEAD_BYTES + b" HTTP/1.1\r\n" + HOST + END, 431),
    ],
)
def test_an_ill_formed_request_is_told_so_and_the_connection_ends(said, status):
    heard = conversation(said + b"GET / HTTP/1.1\r\n" + HOST + END)
    assert statuses(heard) in ([status], [])  # what nobody read may cut the answer off
    if heard:
        assert b"Connection: close\r\n" in heard


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:9450", 200),
        ("localhost:9450", 200),
        ("192.168.0.10:9450", 200),
        (platform.node().partition(".")[0], 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
    ],
)
def test_only_a_host_that_no_name_server_can_give_away_is_answered(host, status):
    heard = conversation(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())
    assert statuses(heard) == [status]


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n" + HOST])
def test_a_head_that_does_not_end_is_awaited_for_one_deadline_in_all(said):
    assert conversation(said) == b""


def test_an_idle_connection_ends():
    assert statuses(conversation(b"GET / HTTP/1.1\r\n" + HOST + END)) == [200]


def test_an_error_after_the_head_ends_the_connection():
    heard = conversation(b"GET /half HTTP/1.1\r\n" + HOST + END)
    assert statuses(heard) == [200] and heard.endswith(b"half")


@pytest.mark.parametrize(
    ("said", "lines"),
    [(b"GET / HTTP/1.1\r\n", [b"GET / HTTP/1.1\r\n"]), (b"ls\nGET / HTTP/1.1\r\n", [])],
)
def test_only_a_first_line_is_the_browsers(said, lines):
    found = []
    with connected() as (bare, connection):
        bare.sendall(said)
        bare.shutdown(socket.SHUT_WR)
        serve(
            connection,
            TO_PEER,
            lambda: SOON,
            lambda request: connection.reply(Ok()) if isinstance(request, Ls) else None,
            str,
            found.append,
        )
    assert found == lines
