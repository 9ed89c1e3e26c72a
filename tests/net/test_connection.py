"""One TCP connection: deadlines, limits, half lines, and hanging up from another thread."""

from __future__ import annotations

import socket
import struct
import tracemalloc
from contextlib import contextmanager
from itertools import count
from threading import Event, Thread
from time import monotonic

import pytest

from rede_p2p.errors import Address, ConnectionLostError, ProtocolError, RefusedError
from rede_p2p.net import connection as room
from rede_p2p.net.address import own_addresses
from rede_p2p.net.connection import Connection, dial
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import TO_PEER, FileData, FileEntry, Listing, Ls, Ok, Quit, Stat

SOON = 10.0  # seconds; a bound on what takes milliseconds


@pytest.fixture
def pair():
    """Return a bare socket and the connection at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        bare = socket.create_connection(listening.getsockname())
        accepted, _ = listening.accept()
    with bare, Connection(accepted) as connection:
        yield bare, connection


@pytest.fixture
def server(host):
    """Return the address of a listening socket, and the socket."""
    with socket.create_server((host, 0)) as listening:
        yield Address(host, listening.getsockname()[1]), listening


def reset(sock):
    """Close a socket so rudely that the other side is told."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# Lines.

LONGEST = b"x" * (codec.LINE_LIMIT - 1) + b"\n"

ENDINGS = [
    (b"", None),
    (b"ls\n", b"ls\n"),
    (b"\n", b"\n"),
    (LONGEST, LONGEST),
    (b"l", "lost"),
    (b"ls", "lost"),
    (b"ls\nhalf", b"ls\n"),
    (b"x" + LONGEST, "long-line"),
    (b"x" * codec.LINE_LIMIT, "long-line"),
    (b"x" * 10 * codec.LINE_LIMIT, "long-line"),
    (b"\x00" * (codec.LINE_LIMIT - 1), "lost"),
]


@pytest.mark.parametrize(("sent", "found"), ENDINGS, ids=lambda value: repr(value)[:20])
def test_a_line_ends_with_a_line_feed_or_is_an_error(pair, sent, found):
    bare, connection = pair
    sender = Thread(target=send_and_leave, args=(bare, sent))
    sender.start()
    if isinstance(found, str):
        with pytest.raises((ConnectionLostError, ProtocolError), match=found):
            connection.receive_line(SOON)
    else:
        assert connection.receive_line(SOON) == found
    connection.hang_up()
    sender.join()


def send_and_leave(bare, sent):
    try:
        bare.sendall(sent)
        bare.shutdown(socket.SHUT_WR)
    except OSError:  # the other side had read enough
        return


def test_a_line_that_does_not_come_is_given_up(pair):
    _, connection = pair
    with pytest.raises(ConnectionLostError, match="silent"):
        connection.receive_line(0.05)


@pytest.mark.parametrize("pause", [0.0002, 0.02])
def test_a_line_dribbled_byte_by_byte_is_given_up(pair, pause):
    bare, connection = pair
    given_up = Event()

    def dribble():
        while not given_up.wait(pause):
            send_and_go_on(bare, b"x")

    dribbler = Thread(target=dribble)
    dribbler.start()
    began = monotonic()
    try:
        with pytest.raises(ConnectionLostError, match="silent"):
            connection.receive_line(0.3)
        assert 0.3 <= monotonic() - began < 2.0
    finally:
        given_up.set()
        dribbler.join()


def send_and_go_on(bare, data):
    try:
        bare.sendall(data)
    except OSError:
        return


def test_a_connection_that_is_reset_is_lost(pair):
    bare, connection = pair
    reset(bare)
    with pytest.raises(ConnectionLostError, match="lost"):
        connection.receive_line(SOON)


# Bodies.


def test_a_body_that_ends_before_its_end_is_lost(pair):
    bare, connection = pair
    bare.sendall(b"12345")
    bare.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionLostError, match="lost"):
        connection.receive_exactly(6)


def test_a_body_that_stops_is_given_up(pair, monkeypatch):
    monkeypatch.setattr(room, "STALL_TIMEOUT", 0.05)
    bare, connection = pair
    bare.sendall(b"12345")
    with pytest.raises(ConnectionLostError, match="silent"):
        connection.receive_exactly(6)


def test_a_body_that_is_dribbled_is_given_up(pair, monkeypatch):
    monkeypatch.setattr(room, "STALL_TIMEOUT", 0.3)
    bare, connection = pair
    given_up = Event()

    def dribble():
        while not given_up.wait(0.01):
            send_and_go_on(bare, b"x")

    dribbler = Thread(target=dribble)
    dribbler.start()
    try:
        with pytest.raises(ConnectionLostError, match="silent"):
            connection.receive_exactly(room.STALL_SIZE * 4)
    finally:
        given_up.set()
        dribbler.join()


def test_a_head_is_read_with_its_body_where_that_comes_soon(pair, monkeypatch):
    bare, connection = pair
    monkeypatch.setattr("rede_p2p.net.connection.TOGETHER", SOON)
    body = bytes(range(256)) * 256
    halves = b"ok\n" + body[:30_000], body[30_000:]
    bare.sendall(halves[0])
    thread = Thread(target=connection.await_together, args=(3 + len(body),))
    thread.start()
    bare.sendall(halves[1])
    thread.join(SOON / 2)
    assert not thread.is_alive()
    assert connection.receive_line(SOON) == b"ok\n"
    assert connection.receive_exactly(len(body)) == body


@pytest.mark.parametrize("ends", [False, True])
def test_what_comes_alone_is_not_waited_with_for_long(pair, monkeypatch, ends):
    bare, connection = pair
    monkeypatch.setattr("rede_p2p.net.connection.TOGETHER", 0.05)
    bare.sendall(b"espera\n")
    if ends:
        bare.close()
    connection.await_together(1_000_000)
    assert connection.receive_line(SOON) == b"espera\n"
    if ends:
        assert connection.receive_line(SOON) is None


@contextmanager
def memory_at_most(limit):
    """Fail if more bytes than these are taken at any moment of the block."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


def test_a_body_takes_memory_as_it_comes_and_not_as_it_is_announced(pair):
    bare, connection = pair
    bare.sendall(b'ok {"bytes": 67108864, "count": 1}\n' + b"x" * 1000)
    bare.shutdown(socket.SHUT_WR)
    with memory_at_most(1_000_000), pytest.raises(ConnectionLostError, match="lost"):
        connection.ask_lines(Ls(), FileEntry)


def test_a_large_body_arrives_whole_in_its_steps(pair):
    bare, connection = pair
    body = bytes(range(251)) * 10_000
    assert len(body) > 2 * room.BODY_STEP
    sender = Thread(target=bare.sendall, args=(body + b"ls\n",))
    sender.start()
    assert connection.receive_exactly(len(body)) == body
    assert connection.receive_line(SOON) == b"ls\n"
    sender.join()


def test_a_body_that_is_skipped_is_kept_by_nobody_and_what_follows_is_read(pair):
    bare, connection = pair
    body = bytes(3_000_000)
    sender = Thread(target=bare.sendall, args=(body + b"ls\n",))
    sender.start()
    with memory_at_most(1_000_000):
        connection.skip_body(len(body))
        assert connection.receive_line(SOON) == b"ls\n"
    sender.join()


def test_a_body_of_nothing_waits_for_nothing(pair):
    _, connection = pair
    assert connection.receive_exactly(0) == b""


def test_sending_to_one_who_takes_nothing_is_given_up(pair, monkeypatch):
    monkeypatch.setattr(room, "STALL_TIMEOUT", 0.05)
    _, connection = pair
    with pytest.raises(ConnectionLostError, match="silent"):
        connection.send(bytes(64 * 1024 * 1024))


def test_sending_to_one_who_left_is_lost(pair):
    bare, connection = pair
    reset(bare)
    with pytest.raises(ConnectionLostError, match="lost"):
        for _ in range(100):
            connection.send(bytes(1024 * 1024))


@pytest.mark.parametrize(
    ("start", "length", "found"),
    [(0, 10, b"0123456789"), (3, 4, b"3456"), (9, 1, b"9"), (10, 0, b""), (0, 0, b"")],
)
def test_a_range_of_a_file_is_sent(pair, tmp_path, start, length, found):
    bare, connection = pair
    (tmp_path / "a").write_bytes(b"0123456789")
    with open(tmp_path / "a", "rb", buffering=0) as file:  # noqa: PTH123
        assert connection.send_file(file, start, length) == length
    connection.hang_up()
    assert b"".join(iter(lambda: bare.recv(100), b"")) == found


def test_a_file_that_ends_early_is_told_by_the_count(pair, tmp_path):
    _, connection = pair
    (tmp_path / "a").write_bytes(b"0123456789")
    with open(tmp_path / "a", "rb", buffering=0) as file:  # noqa: PTH123
        assert connection.send_file(file, 5, 100) == 5


# Hanging up.


@pytest.mark.parametrize(
    "blocked",
    [
        lambda connection: connection.receive_line(60),
        lambda connection: connection.receive_exactly(1),
        lambda connection: connection.send(bytes(256 * 1024 * 1024)),
    ],
    ids=["line", "body", "send"],
)
def test_hanging_up_from_another_thread_wakes_the_owner(pair, blocked):
    _, connection = pair
    begun, ended = Event(), []

    def own():
        begun.set()
        try:
            ended.append(blocked(connection))
        except ConnectionLostError as error:
            ended.append(error.reason)

    owner = Thread(target=own)
    owner.start()
    assert begun.wait(SOON)
    connection.hang_up()
    owner.join(SOON)
    assert ended in ([None], ["lost"])


def test_hanging_up_twice_or_after_the_end_is_no_error(pair):
    bare, connection = pair
    bare.close()
    connection.hang_up()
    connection.hang_up()
    connection.close()
    connection.hang_up()


# Requests.

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
    requests = connection.requests(TO_PEER, lambda: SOON, lambda error: "why")
    if isinstance(found, str):
        with pytest.raises(ConnectionLostError, match=found):
            list(requests)
    else:
        assert list(requests) == found
    connection.hang_up()
    assert b"".join(iter(lambda: bare.recv(1000), b"")) == said


def test_an_endless_line_is_refused_in_words_and_ends_the_conversation(pair):
    bare, connection = pair
    sender = Thread(target=send_and_leave, args=(bare, b"x" * codec.LINE_LIMIT))
    sender.start()
    assert list(connection.requests(TO_PEER, lambda: SOON, lambda error: "why")) == []
    sender.join()
    assert bare.recv(1000) == b'erro {"code": "long-line", "message": "why"}\n'


def test_a_conversation_waits_as_long_as_it_is_told_each_time(pair):
    bare, connection = pair
    waits = count()
    bare.sendall(b"ls\nls\n")
    requests = connection.requests(TO_PEER, lambda: 5.0 if next(waits) < 2 else 0.05, str)
    assert [next(requests), next(requests)] == [Ls(), Ls()]
    with pytest.raises(ConnectionLostError, match="silent"):
        next(requests)


# Replies.


def test_an_answer_is_asked_for_and_read(pair):
    bare, connection = pair
    bare.sendall(b'ok {"bytes": 3}\nabc')
    assert connection.ask(Stat("a"), FileData) == FileData(3)
    assert connection.receive_exactly(3) == b"abc"
    assert bare.recv(1000) == b'stat {"name": "a"}\n'


def test_a_refusal_is_raised_with_its_words(pair):
    bare, connection = pair
    bare.sendall('erro {"code": "full", "message": "não"}\n'.encode())
    with pytest.raises(RefusedError) as caught:
        connection.ask(Ls(), Listing)
    assert (caught.value.code, caught.value.message) == ("full", "não")


def test_no_answer_at_all_is_lost(pair):
    bare, connection = pair
    bare.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionLostError, match="lost"):
        connection.ask(Ls(), Listing)


def test_a_listing_travels_whole(pair, monkeypatch):
    bare, connection = pair
    entries = [FileEntry(f"ação {number}", number) for number in range(3000)]
    with Connection(bare.dup()) as other:
        for some in (entries, [], entries[:1]):
            sender = Thread(target=other.reply_lines, args=(some,))
            sender.start()
            assert connection.ask_lines(Ls(), FileEntry) == some
            sender.join()


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b'ok {"bytes": 5, "count": 1}\n[[[[\n', "not-json"),
        (b'ok {"bytes": 3, "count": 2}\n{}\n', "bad-count"),
        (b'ok {"bytes": 67108865, "count": 1}\n', "bad-field"),
        (b'ok {"bytes": 9, "count": 1}\n{}\n', "lost"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "stranger"),
    ],
    ids=lambda value: repr(value)[:25],
)
def test_a_hostile_listing_is_an_error_of_ours(pair, reply, error):
    bare, connection = pair
    bare.sendall(reply)
    bare.shutdown(socket.SHUT_WR)
    with pytest.raises((ConnectionLostError, ProtocolError), match=error):
        connection.ask_lines(Ls(), FileEntry)


def test_one_who_says_wait_is_waited_for_and_heard(pair):
    bare, connection = pair
    heard = []
    bare.sendall(b'espera {"place": 2}\nespera {"place": 1}\nespera\nok\n')
    assert connection.ask(Ls(), Ok, waiting=heard.append) == Ok()
    assert heard == [codec.Pending(place=2), codec.Pending(place=1), codec.Pending()]


@pytest.mark.parametrize(
    "said",
    [
        b"espera\n",
        b'espera {"place": 1}\nespera {"place": 2}\n',
        b'espera {"done": 2}\nespera {"done": 1}\n',
        b'espera {"size": 1}\nespera {"size": 2}\n',
    ],
)
def test_one_who_never_says_anything_better_is_given_up(pair, monkeypatch, said):
    monkeypatch.setattr(room, "WAIT_TIMEOUT", 0.1)
    bare, connection = pair
    given_up = Event()

    def stall():
        while not given_up.wait(0.01):
            send_and_go_on(bare, said)

    staller = Thread(target=stall)
    staller.start()
    try:
        with pytest.raises(ConnectionLostError, match="silent"):
            connection.ask(Ls(), Ok)
    finally:
        given_up.set()
        staller.join()


@pytest.mark.parametrize("field", ["place", "done"])
def test_one_who_says_something_better_each_time_is_waited_for(pair, monkeypatch, field):
    monkeypatch.setattr(room, "WAIT_TIMEOUT", 0.0)  # each line is later than that
    bare, connection = pair
    said = [b'espera {"%s": %d}\n' % (field.encode(), n) for n in range(100, 200)]
    bare.sendall(b"".join(said if field == "done" else reversed(said)) + b"ok\n")
    assert connection.ask(Ls(), Ok) == Ok()


# Dialling.


def test_a_dialled_connection_knows_both_ends(server, host):
    address, listening = server
    with dial(address, source=host) as connection:
        accepted, remote = listening.accept()
        accepted.close()
        assert connection.remote == address
        assert connection.local == Address(*remote)
        assert connection.local.ip == host


def test_an_ipv4_address_inside_ipv6_is_told_as_ipv4(host):
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with (
        socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listening,
        dial(Address(host, listening.getsockname()[1])) as dialled,
        Connection(listening.accept()[0]) as accepted,
    ):
        assert accepted.local == dialled.remote
        assert accepted.remote == dialled.local
        assert accepted.local.ip == host


def test_nobody_on_a_port_is_said(host):
    with socket.create_server((host, 0)) as gone:
        address = Address(host, gone.getsockname()[1])
    with pytest.raises(ConnectionLostError, match="refused"):
        dial(address)


def test_an_address_that_is_not_this_machines_is_said(server):
    address, _ = server
    with pytest.raises(ConnectionLostError, match="address"):
        dial(address, source="192.0.2.1")


def test_an_address_of_another_family_is_said(server):
    address, _ = server
    with pytest.raises(ConnectionLostError):
        dial(address, source="::1")


def test_a_port_that_answers_itself_is_nobody(host):
    with socket.socket() as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    real = socket.create_connection

    def from_the_same_port(address, timeout, source_address=None):
        return real(address, timeout, source_address=(host, port))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "create_connection", from_the_same_port)
        with pytest.raises(ConnectionLostError, match="refused"):
            dial(Address(host, port))


def test_the_addresses_of_this_machine_are_of_use_to_others():
    found = own_addresses()
    assert len(found) == len(set(found))
    assert not [ip for ip in found if ip.startswith(("127.", "169.254.", "fe80")) or ip == "::1"]


def test_a_program_of_two_lines_can_speak_it(server):
    """As in docs/PROTOCOLO.md: what a student types in nc is understood."""
    address, listening = server
    with socket.create_connection(address) as student:
        student.sendall(b'stat {"name": "a.txt"}\r\n')
        with Connection(listening.accept()[0]) as connection:
            assert connection.receive_request(TO_PEER, SOON) == Stat("a.txt")
