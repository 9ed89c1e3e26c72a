"""The side that answers: one request after another, and refusals in words."""

from __future__ import annotations

import socket
from itertools import count
from threading import Thread

import pytest
from listening import SOON, connected, send_and_leave

from rede_p2p.errors import ConnectionLostError, ProtocolError, RefusedError
from rede_p2p.net import requests as net_requests
from rede_p2p.net.connection import Connection
from rede_p2p.net.requests import (
    LINES_STEP_BYTES,
    lines_of_body,
    refuse,
    reply_lines,
    requests,
    serve,
)
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import Announce, FileEntry, Ls, Ok, Quit, Stat
from rede_p2p.protocol.verbs import TO_PEER, TO_TRACKER


@pytest.fixture
def pair():
    """Return a bare socket and the connection at its other end."""
    with connected() as both:
        yield both


def why(_error):
    """Put every refusal into the same words."""
    return "why"


def heard_by(bare):
    """Return all that is said to a bare socket, up to the end."""
    return b"".join(iter(lambda: bare.recv(1000), b""))


# requests(): what can be understood.

TALKS = [
    (b"ls\nquit\nls\n", [Ls(), Quit()], b""),
    (b"ls\n", [Ls()], b""),
    (b"", [], b""),
    (b"ls", "lost", b""),
    (b"ls\r\nquit\r\n", [Ls(), Quit()], b""),
    (b"stat {}\nls\n", [Ls()], b'erro {"code": "no-field", "message": "why"}\n'),
    (b"stat [[\nls\n", [Ls()], b'erro {"code": "not-json", "message": "why"}\n'),
    (b"dance\nls\n", [Ls()], b'erro {"code": "unknown-verb", "message": "why"}\n'),
    (b"\x16\x03\x01\nls\n", [], b'erro {"code": "noise", "message": "why"}\n'),
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\nls\n", [], b""),
]


@pytest.mark.parametrize(("sent", "found", "said"), TALKS, ids=lambda value: repr(value)[:25])
def test_a_conversation_survives_what_can_be_understood(pair, sent, found, said):
    bare, connection = pair
    bare.sendall(sent)
    bare.shutdown(socket.SHUT_WR)
    asked = requests(connection, TO_PEER, lambda: SOON, why)
    if isinstance(found, str):
        with pytest.raises(ConnectionLostError, match=found):
            list(asked)
    else:
        assert list(asked) == found
    connection.hang_up()
    assert heard_by(bare) == said


def test_an_endless_line_is_refused_in_words_and_ends_the_conversation(pair):
    bare, connection = pair
    sender = Thread(target=send_and_leave, args=(bare, b"x" * codec.MAX_LINE_BYTES))
    sender.start()
    assert list(requests(connection, TO_PEER, lambda: SOON, why)) == []
    sender.join()
    assert bare.recv(1000) == b'erro {"code": "long-line", "message": "why"}\n'


def test_a_conversation_waits_as_long_as_it_is_told_each_time(pair):
    bare, connection = pair
    waits = count()
    bare.sendall(b"ls\nls\n")
    asked = requests(connection, TO_PEER, lambda: 5.0 if next(waits) < 2 else 0.05, str)
    assert [next(asked), next(asked)] == [Ls(), Ls()]
    with pytest.raises(ConnectionLostError, match="silent"):
        next(asked)


def test_a_program_of_two_lines_can_speak_it(pair):
    """As in docs/PROTOCOLO.md: what a student types in nc is understood."""
    student, connection = pair
    student.sendall(b'stat {"name": "a.txt"}\r\n')
    assert next(requests(connection, TO_PEER, lambda: SOON, why)) == Stat("a.txt")


# refuse(): a code and a sentence.


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedError("no-such-file"), "no-such-file"),
        (RefusedError("full", "a stranger's words"), "full"),
        (ProtocolError("bad-field", "start"), "bad-field"),
    ],
    ids=lambda value: str(value),
)
def test_a_refusal_has_the_code_of_the_error_and_our_sentence(pair, error, code):
    bare, connection = pair
    described = []
    refuse(connection, error, lambda found: described.append(found) or "não")
    assert bare.recv(1000) == f'erro {{"code": "{code}", "message": "não"}}\n'.encode()
    assert described == [error]


# serve(): every request is answered.


def saying_of(connection):
    """Answer yes, but to "stat"; note in order what was asked."""
    asked = []

    def answer(request):
        asked.append(request)
        if isinstance(request, Stat):
            raise RefusedError("no-such-file")
        connection.reply(Ok())

    return asked, answer


def test_every_request_is_answered_until_the_last_one(pair):
    bare, connection = pair
    asked, answer = saying_of(connection)
    bare.sendall(b"ls\nls\nquit\nls\n")
    serve(connection, TO_PEER, lambda: SOON, answer, why)
    assert asked == [Ls(), Ls(), Quit()]
    connection.hang_up()
    assert heard_by(bare) == b"ok\nok\nok\n"


def test_a_refusal_is_an_answer_and_the_conversation_goes_on(pair):
    bare, connection = pair
    asked, answer = saying_of(connection)
    bare.sendall(b'stat {"name": "a"}\nls\n')
    bare.shutdown(socket.SHUT_WR)
    serve(connection, TO_PEER, lambda: SOON, answer, why)
    assert asked == [Stat("a"), Ls()]
    connection.hang_up()
    assert heard_by(bare) == b'erro {"code": "no-such-file", "message": "why"}\nok\n'


@pytest.mark.parametrize(
    ("head", "body", "code"),
    [
        (Announce(3, 2), b"{}\n", "bad-count"),
        (Announce(3, 1), b"{}\n", "no-field"),
        (Announce(4, 1), b"[[[\n", "not-json"),
        (Announce(30, 1), b'{"name": "a", "size": "large"}', "bad-field"),
    ],
    ids=lambda value: repr(value)[:25],
)
def test_an_ill_formed_body_is_refused_and_ends_the_conversation(pair, head, body, code):
    bare, connection = pair
    asked = []

    def answer(request):
        asked.append(request)
        list(lines_of_body(connection, request.bytes, request.count, FileEntry))
        connection.reply(Ok())

    assert head.bytes == len(body)
    bare.sendall(codec.encode_request(head) + body + b"ping\n")
    serve(connection, TO_TRACKER, lambda: SOON, answer, why)
    assert asked == [head]  # nobody knows where the next request begins
    connection.hang_up()
    assert heard_by(bare) == b'erro {"code": "%b", "message": "why"}\n' % code.encode()


def test_an_ill_formed_line_is_refused_and_never_answered(pair):
    bare, connection = pair
    asked, answer = saying_of(connection)
    bare.sendall(b"stat {}\nls\n")
    bare.shutdown(socket.SHUT_WR)
    serve(connection, TO_PEER, lambda: SOON, answer, why)
    assert asked == [Ls()]
    connection.hang_up()
    assert heard_by(bare) == b'erro {"code": "no-field", "message": "why"}\nok\n'


def test_a_connection_that_is_lost_while_answering_is_told_to_the_caller(pair):
    bare, connection = pair

    def answer(_request):
        raise ConnectionLostError("changed")

    bare.sendall(b"ls\nls\n")
    with pytest.raises(ConnectionLostError, match="changed"):
        serve(connection, TO_PEER, lambda: SOON, answer, why)
    connection.hang_up()
    assert heard_by(bare) == b""


# Listings.


@pytest.mark.parametrize(
    ("limit", "value", "come"), [("LINES", 25, 25), ("BYTES", 700, 23), ("LINES", 30, 30)]
)
def test_a_listing_is_cut_at_what_a_reply_may_hold_and_says_of_how_many(
    pair, monkeypatch, limit, value, come
):
    bare, far = pair
    monkeypatch.setattr(net_requests, f"MAX_LISTING_{limit}", value)
    some = [FileEntry(f"{number:03}", 1000 + number) for number in range(30)]  # 30 bytes each
    reply_lines(far, iter(some), 30)
    lines = Connection(bare).ask_lines(Ls(), FileEntry)
    assert lines == some[:come]
    assert lines.total == 30


def test_the_lines_of_a_body_are_read_as_they_arrive(pair):
    bare, connection = pair
    told = [FileEntry(f"{number} {'x' * 900}", number) for number in range(200)]
    body = codec.encode_lines(told)
    found = lines_of_body(connection, len(body), len(told), FileEntry)
    bare.sendall(body[:-1])
    some = next(found)
    assert some and len(codec.encode_lines(some)) <= LINES_STEP_BYTES
    bare.sendall(body[-1:])
    for more in found:
        some += more
    assert some == told


@pytest.mark.parametrize(
    ("body", "more", "kind"),
    [
        (codec.encode_lines([FileEntry("x" * 900, 1)]) * 200, 1, "bad-count"),
        (codec.encode_lines([FileEntry("x" * 900, 1)]) * 200, -150, "bad-count"),
        (b"\n" * 3 * LINES_STEP_BYTES, -LINES_STEP_BYTES, "no-field"),
        (b"x" * 3 * LINES_STEP_BYTES + b"\n", 0, "long-line"),
        (codec.encode_lines([FileEntry("x" * 900, 1)]) * 200 + b"{}\n", 0, "no-field"),
    ],
    ids=["too few", "too many", "empty lines", "an endless one", "no entry"],
)
def test_a_long_body_that_is_not_what_was_said_is_a_breach(pair, body, more, kind):
    bare, connection = pair
    sending = Thread(target=send_and_leave, args=(bare, body))
    sending.start()
    with pytest.raises(ProtocolError) as caught:
        list(lines_of_body(connection, len(body), body.count(b"\n") + more, FileEntry))
    connection.hang_up()
    sending.join(SOON)
    assert caught.value.kind == kind
