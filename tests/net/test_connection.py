"""One TCP connection: deadlines, limits, half lines, and hanging up from another thread."""

from __future__ import annotations

import socket
import struct
import tracemalloc
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Thread, Timer
from time import monotonic

import pytest
from listening import SOON, connected, send_and_leave

from rede_p2p.errors import Address, ConnectionLostError, ProtocolError, RefusedError
from rede_p2p.net.connection import (
    BODY_STEP_BYTES,
    BUFFER_BYTES,
    MAX_HELD_BYTES,
    MIN_PROGRESS_BYTES,
    Connection,
    dial,
)
from rede_p2p.net.requests import reply_lines
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import FileData, FileEntry, Listing, Ls, Ok, Stat
from rede_p2p.timeouts import Timeouts


@pytest.fixture(params=[BUFFER_BYTES, 30], ids=["a peer's", "a tracker's"])
def pair(request):
    """Return a bare socket and the connection at its other end, whose buffer may begin small."""
    with connected(request.param) as both:
        yield both


@pytest.fixture
def server(host):
    """Return the address of a listening socket, and the socket."""
    with socket.create_server((host, 0)) as listening:
        yield Address(host, listening.getsockname()[1]), listening


def reset(sock):
    """Close a socket so rudely that the other side is told."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# Whether it is still there.


def test_who_says_more_or_nothing_is_here_and_what_it_said_is_kept(pair):
    bare, connection = pair
    connection.check_here()
    for _ in range(3):
        bare.sendall(b"one\ntwo\n")
        assert connection.receive_line(SOON) == b"one\n"
        connection.check_here()
        assert connection.receive_line(SOON) == b"two\n"


@pytest.mark.parametrize("leave", [reset, socket.socket.close], ids=["rudely", "politely"])
def test_who_left_is_not_here(pair, leave):
    bare, connection = pair
    bare.sendall(b"half")
    leave(bare)
    with pytest.raises(ConnectionLostError):
        while True:  # until it is known
            connection.check_here()


def test_who_says_more_than_anybody_would_is_not_waited_for(pair):
    bare, connection = pair
    bare.settimeout(0.01)
    with pytest.raises(ConnectionLostError):
        for _ in range(10_000):
            with suppress(TimeoutError):
                bare.sendall(b"x" * 1000)
            connection.check_here()


# Lines.

LONGEST_LINE = b"x" * (codec.MAX_LINE_BYTES - 1) + b"\n"

ENDINGS = [
    (b"", None),
    (b"ls\n", b"ls\n"),
    (b"\n", b"\n"),
    (LONGEST_LINE, LONGEST_LINE),
    (b"l", "lost"),
    (b"ls", "lost"),
    (b"ls\nhalf", b"ls\n"),
    (b"x" + LONGEST_LINE, "long-line"),
    (b"x" * codec.MAX_LINE_BYTES, "long-line"),
    (b"x" * 10 * codec.MAX_LINE_BYTES, "long-line"),
    (b"\x00" * (codec.MAX_LINE_BYTES - 1), "lost"),
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


@pytest.mark.parametrize("before", [b"", b"ls\n"], ids=["alone", "behind another"])
def test_a_line_that_has_begun_has_a_deadline_of_its_own(before):
    with connected(line_s=0.2) as (bare, connection):
        bare.sendall(before + b"l")
        if before:
            assert connection.receive_line(SOON) == before
        with pytest.raises(ConnectionLostError, match="silent"):
            connection.receive_line(SOON)


def test_a_silence_before_a_line_takes_nothing_from_its_deadline():
    with connected(line_s=0.2) as (bare, connection):
        late = Timer(0.3, bare.sendall, (b"ls\n",))
        late.start()
        assert connection.receive_line(SOON) == b"ls\n"
        late.join()


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


def test_a_body_that_stops_is_given_up():
    with connected(stall_s=0.05) as (bare, connection):
        bare.sendall(b"12345")
        with pytest.raises(ConnectionLostError, match="silent"):
            connection.receive_exactly(6)


def test_a_body_that_is_dribbled_is_given_up():
    given_up = Event()

    def dribble(bare):
        while not given_up.wait(0.01):
            send_and_go_on(bare, b"x")

    with connected(stall_s=0.3) as (bare, connection):
        dribbler = Thread(target=dribble, args=(bare,))
        dribbler.start()
        try:
            with pytest.raises(ConnectionLostError, match="silent"):
                connection.receive_exactly(MIN_PROGRESS_BYTES * 4)
        finally:
            given_up.set()
            dribbler.join()


def test_a_head_is_read_with_its_body_where_that_comes_soon():
    body = bytes(range(256)) * 256
    halves = b"ok\n" + body[:30_000], body[30_000:]
    with connected(head_body_wait_s=2 * SOON) as (bare, connection):
        bare.sendall(halves[0])
        thread = Thread(target=connection.await_together, args=(3 + len(body),))
        thread.start()
        bare.sendall(halves[1])
        thread.join(SOON)
        assert not thread.is_alive()
        assert connection.receive_line(SOON) == b"ok\n"
        assert connection.receive_exactly(len(body)) == body


@pytest.mark.parametrize("ends", [False, True])
def test_what_comes_alone_is_not_waited_with_for_long(ends):
    with connected(head_body_wait_s=0.05) as (bare, connection):
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
    assert len(body) > 2 * BODY_STEP_BYTES
    sender = Thread(target=bare.sendall, args=(body + b"ls\n",))
    sender.start()
    assert connection.receive_exactly(len(body)) == body
    assert connection.receive_line(SOON) == b"ls\n"
    sender.join()


def test_a_body_of_nothing_waits_for_nothing(pair):
    _, connection = pair
    assert connection.receive_exactly(0) == b""


def test_sending_to_one_who_takes_nothing_is_given_up():
    with (
        connected(stall_s=0.05) as (_, connection),
        pytest.raises(ConnectionLostError, match="silent"),
    ):
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


def test_a_listing_travels_whole(pair):
    bare, connection = pair
    entries = [FileEntry(f"ação {number}", number) for number in range(3000)]
    with Connection(bare.dup()) as other:
        for some in (entries, [], entries[:1]):
            for zlib in (False, True):
                sender = Thread(target=reply_lines, args=(other, some), kwargs={"zlib": zlib})
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
        (b'ok {"bytes": 3, "count": 1, "zlib": true}\n{}\n', "bad-length"),
        (b'ok {"bytes": 3, "count": 1, "zlib": 1}\n{}\n', "bad-field"),
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
    assert connection.ask(Ls(), Ok, on_pending=heard.append) == Ok()
    assert heard == [codec.Pending(place=2), codec.Pending(place=1), codec.Pending()]


@pytest.mark.parametrize(
    "said",
    [
        b"espera\n",
        b'espera {"place": 1}\nespera {"place": 2}\n',
        b'espera {"done": 2}\nespera {"done": 1}\n',
        b'espera {"files": 2}\nespera {"files": 1}\n',
        b'espera {"size": 1}\nespera {"size": 2}\n',
    ],
)
def test_one_who_never_says_anything_better_is_given_up(said):
    given_up = Event()

    def stall(bare):
        while not given_up.wait(0.01):
            send_and_go_on(bare, said)

    with connected(pending_s=0.1) as (bare, connection):
        staller = Thread(target=stall, args=(bare,))
        staller.start()
        try:
            with pytest.raises(ConnectionLostError, match="silent"):
                connection.ask(Ls(), Ok)
        finally:
            given_up.set()
            staller.join()


@pytest.mark.parametrize("field", ["place", "done", "files"])
def test_one_who_says_something_better_each_time_is_waited_for(field):
    step = {"place": 1, "done": 16 * 2**20, "files": 10}[field]
    said = [b'espera {"%s": %d}\n' % (field.encode(), n * step) for n in range(100, 200)]
    with connected(pending_s=0.0) as (bare, connection):  # each line is later than that
        bare.sendall(b"".join(said if field != "place" else reversed(said)) + b"ok\n")
        assert connection.ask(Ls(), Ok) == Ok()


def test_a_reply_that_does_not_come_is_given_up():
    with connected(reply_s=0.05) as (_, connection):
        with pytest.raises(ConnectionLostError, match="silent"):
            connection.ask(Ls(), Ok)
        with pytest.raises(ConnectionLostError, match="silent"):
            connection.receive_reply(Ok)


def test_a_reply_is_waited_for_as_long_as_the_caller_says():
    with (
        connected(reply_s=2 * SOON) as (_, connection),
        pytest.raises(ConnectionLostError, match="silent"),
    ):
        connection.ask(Ls(), Ok, timeout=0.05)


# Answers that are held back, to be sent together.


def test_an_answer_to_one_of_several_requests_goes_with_the_last_one(pair):
    bare, connection = pair
    bare.sendall(b"ls\nls\n")
    assert connection.receive_line(SOON) == b"ls\n"
    connection.send_soon(b"one\n")
    bare.setblocking(False)
    with pytest.raises(BlockingIOError):
        bare.recv(100)
    bare.setblocking(True)
    assert connection.receive_line(SOON) == b"ls\n"
    connection.send_soon(b"two\n")
    assert bare.recv(100) == b"one\ntwo\n"


def test_what_is_held_back_is_sent_before_more_is_waited_for(pair):
    bare, connection = pair
    bare.sendall(b"ls\nquit\n")
    assert connection.receive_line(SOON) == b"ls\n"
    connection.send_soon(b"one\n")
    assert connection.receive_line(SOON) == b"quit\n"
    bare.shutdown(socket.SHUT_WR)
    assert connection.receive_line(SOON) is None
    assert bare.recv(100) == b"one\n"


def test_no_more_is_held_back_than_there_is_room_for(pair):
    bare, connection = pair
    bare.sendall(b"ls\nls\n")
    assert connection.receive_line(SOON) == b"ls\n"
    answers = [bytes(MAX_HELD_BYTES - 1), b"two\n"]
    for answer in answers:
        connection.send_soon(answer)
    connection.hang_up()
    assert b"".join(iter(lambda: bare.recv(2**16), b"")) == b"".join(answers)


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


def test_a_connection_that_is_not_made_is_given_up(host):
    with socket.create_server((host, 0), backlog=0) as listening, ExitStack() as stack:
        address = Address(host, listening.getsockname()[1])
        with pytest.raises(ConnectionLostError, match="silent"):
            while True:  # until no more of them fit
                stack.enter_context(dial(address, timeouts=Timeouts(dial_s=0.05)))
        with pytest.raises(ConnectionLostError, match="silent"):
            dial(address, timeout=0.05)


def test_one_who_says_wait_without_a_pause_is_given_up():
    """An honest one says it every second or two, so that ten thousand at once are a flood."""
    said = b"".join(b'espera {"files": %d}\n' % (n * 10) for n in range(1, 10_000))
    with connected() as (bare, connection):
        sender = Thread(target=send_and_leave, args=(bare, said + b"ok\n"))
        sender.start()
        try:
            with pytest.raises(ConnectionLostError, match="silent"):
                connection.ask(Ls(), Ok)
        finally:
            connection.hang_up()
            sender.join()
