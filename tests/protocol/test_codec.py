"""Bytes and messages: one table read both ways, and the same kind of table for what is hostile."""

from __future__ import annotations

import itertools
import json
import socket

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from listening import connected

from rede_p2p.content import merkle, safe_names
from rede_p2p.errors import ProtocolError, RefusedError
from rede_p2p.protocol import codec, fields
from rede_p2p.protocol.codec import Pending
from rede_p2p.protocol.datagrams import BY_UDP, LocateTracker, TrackerLocation
from rede_p2p.protocol.fields import MAX_NEWS_INDEXES
from rede_p2p.protocol.messages import (
    Announce,
    Bundle,
    FileData,
    FileEntry,
    FileInfo,
    Find,
    Get,
    Hashes,
    Join,
    Listing,
    Ls,
    Next,
    Ok,
    PeerEntry,
    Peers,
    PieceData,
    PieceOffer,
    Pieces,
    Ping,
    PortOffer,
    PortTaken,
    Quit,
    Reach,
    Reached,
    Ready,
    Search,
    SearchResult,
    Stat,
    Take,
    Want,
    Withdraw,
)
from rede_p2p.protocol.verbs import TO_PEER, TO_TRACKER
from rede_p2p.tracker import announcer

REQUESTS = {**TO_TRACKER, **TO_PEER, **BY_UDP}
REPLIES = (
    Ok,
    Reached,
    PortOffer,
    Listing,
    FileInfo,
    PieceOffer,
    PieceData,
    SearchResult,
    FileData,
    TrackerLocation,
    PeerEntry,
    FileEntry,
    Pending,
)
ROOT = bytes(range(32))
HEX = ROOT.hex().encode()
DEEP = b"[" * (60 * 1024)
MOST = tuple(range(merkle.MAX_PIECES - MAX_NEWS_INDEXES, merkle.MAX_PIECES))
FULL = bytes([255]) * (merkle.MAX_PIECES // 8)

# Message and bytes, the same thing on both sides of the wire.
CASES = [
    (Join(1), b'join {"version": 1}\n'),
    (Join(1, 5460), b'join {"version": 1, "port": 5460}\n'),
    (PortTaken(5455), b'busy {"port": 5455}\n'),
    (Ready(65535), b'ready {"port": 65535}\n'),
    (Peers(), b"peers\n"),
    (Ping(), b"ping\n"),
    (Ping(True, "00ff"), b'ping {"who": true, "ticket": "00ff"}\n'),
    (LocateTracker("00ff"), b'where {"nonce": "00ff"}\n'),
    (Ls(), b"ls\n"),
    (Stat("a b.txt"), b'stat {"name": "a b.txt"}\n'),
    (Stat("ação 🎈.txt"), 'stat {"name": "ação 🎈.txt"}\n'.encode()),
    (Stat('"\\/'), b'stat {"name": "\\"\\\\/"}\n'),
    (Stat("a\nb\x00"), b'stat {"name": "a\\nb\\u0000"}\n'),  # the wire carries an unsafe name
    (Stat("x" * 1024), b'stat {"name": "' + b"x" * 1024 + b'"}\n'),
    (Get("a"), b'get {"name": "a"}\n'),
    (Get("a", 5, 0), b'get {"name": "a", "start": 5, "length": 0}\n'),
    (Get("a", 0, 2**50), b'get {"name": "a", "length": 1125899906842624}\n'),
    (Hashes(ROOT), b'hashes {"root": "' + HEX + b'"}\n'),
    (Pieces(ROOT, 0, 9), b'pieces {"root": "' + HEX + b'", "first": 0, "count": 9}\n'),
    (Want(ROOT, b"\xf0\x01"), b'want {"root": "' + HEX + b'", "bitmap": "f001"}\n'),
    (Want(ROOT, b""), b'want {"root": "' + HEX + b'", "bitmap": ""}\n'),
    (Want(ROOT, FULL), b'want {"root": "%b", "bitmap": "%b"}\n' % (HEX, FULL.hex().encode())),
    (Take(3, 2), b'take {"first": 3, "count": 2}\n'),
    (Take(3, 2, (5, 0)), b'take {"first": 3, "count": 2, "got": [5, 0]}\n'),
    (Next(), b"next\n"),
    (Next((65535,), (1,)), b'next {"got": [65535], "lost": [1]}\n'),
    (Next((), MOST), b'next {"lost": %b}\n' % json.dumps(MOST).encode()),
    (Announce(0, 0), b'announce {"bytes": 0, "count": 0}\n'),
    (Bundle(9, 1), b'bundle {"bytes": 9, "count": 1}\n'),
    (Withdraw(9, 1), b'withdraw {"bytes": 9, "count": 1}\n'),
    (Find(ROOT), b'find {"root": "' + HEX + b'"}\n'),
    (Search(""), b'search {"text": ""}\n'),
    (Search("é.txt", True), 'search {"text": "é.txt", "exact": true}\n'.encode()),
    (Reach(), b"reach\n"),
    (Quit(), b"quit\n"),
    (Ok(), b"ok\n"),
    (Ok("a", "0", "1"), b'ok {"id": "a", "ticket": "0", "key": "1"}\n'),
    (Ok(proof="00ff"), b'ok {"proof": "00ff"}\n'),
    (Reached(), b"ok\n"),
    (Reached("silent"), b'ok {"reason": "silent"}\n'),
    (PortOffer(5455, "10.0.0.7", 1), b'ok {"port": 5455, "ip": "10.0.0.7", "version": 1}\n'),
    (PortOffer(5455, "2001:db8::7", 1), b'ok {"port": 5455, "ip": "2001:db8::7", "version": 1}\n'),
    (Listing(0, 0), b'ok {"bytes": 0, "count": 0}\n'),
    (Listing(7, 1, 2**40), b'ok {"bytes": 7, "count": 1, "total": 1099511627776}\n'),
    (FileInfo("a", 0, ROOT), b'ok {"name": "a", "size": 0, "root": "' + HEX + b'"}\n'),
    (PieceOffer(2, 9), b'ok {"first": 2, "count": 9}\n'),
    (PieceOffer(0), b'ok {"first": 0}\n'),
    (PieceOffer(0, end=True), b'ok {"first": 0, "end": true}\n'),
    (PieceOffer(2, 1, (3, 0)), b'ok {"first": 2, "count": 1, "others": [3, 0]}\n'),
    (PieceData(7, 3, 1, (9,)), b'ok {"bytes": 7, "first": 3, "count": 1, "others": [9]}\n'),
    (PieceData(7), b'ok {"bytes": 7}\n'),
    (PieceData(7, 65535, 1), b'ok {"bytes": 7, "first": 65535, "count": 1}\n'),
    (
        SearchResult("a", 3, ROOT, 2),
        b'ok {"name": "a", "size": 3, "root": "' + HEX + b'", "peers": 2}\n',
    ),
    (Pending(), b"espera\n"),
    (Pending(place=3), b'espera {"place": 3}\n'),
    (Pending(done=0, size=2**63 - 1), b'espera {"size": 9223372036854775807}\n'),
    (FileData(7), b'ok {"bytes": 7}\n'),
    (FileData(7, 9, ROOT), b'ok {"bytes": 7, "size": 9, "root": "' + HEX + b'"}\n'),
    (TrackerLocation("00ff", 80, 1), b'ok {"nonce": "00ff", "port": 80, "version": 1}\n'),
    (PeerEntry("127.0.0.1", 5455), b'ok {"ip": "127.0.0.1", "port": 5455}\n'),
    (PeerEntry("::1", 5455, True), b'ok {"ip": "::1", "port": 5455, "you": true}\n'),
    (FileEntry("p/a", 3), b'ok {"name": "p/a", "size": 3}\n'),
    (FileEntry("p/a", 3, ROOT), b'ok {"name": "p/a", "size": 3, "root": "' + HEX + b'"}\n'),
]

# The same message, written otherwise: read, never written.
ALSO_READ = [
    (Ls(), b"ls"),
    (Ls(), b"ls\r\n"),
    (Ls(), b"ls {}\n"),
    (Ls(), b"ls   {}  \r\n"),
    (Ls(), b'ls {"who": [1, {"deep": null}], "verb": "quit"}\n'),  # unknown fields are ignored
    (Ls(), b'ls {"x": NaN}\n'),
    (Stat("a"), b'stat {"name": "\\u0061", "name2": "\\ud800"}\n'),
    (Stat("é"), b'stat {"name":"\\u00e9"}\n'),
    (Get("a"), b'get {"start":0,"name":"a"}\n'),
    (Next(), b'next {"got": [], "lost": []}\n'),
    (Next((1, 1)), b'next {"got": [1, 1]}\n'),
    (Ok(), b'ok {"future": 1}\n'),
    (PeerEntry("::1", 5455), b'ok {"ip": "0:0::0001", "port": 5455}\n'),
    (PeerEntry("10.0.0.7", 5455), b'ok {"ip": "::ffff:10.0.0.7", "port": 5455}\n'),
]

# Hostile requests, and the kind of the ProtocolError each one is.
BAD_REQUESTS = [
    (b"GET / HTTP/1.1\r\n", "http"),
    (b"POST /x HTTP/1.0\r\n", "http"),
    (b"OPTIONS * HTTP/1.1\r\n", "http"),
    (b"PRI * HTTP/2.0\r\n", "http"),
    (b"GET\n", "noise"),
    (b"GETTING {}\n", "noise"),
    (b"\n", "noise"),
    (b" ls\n", "noise"),
    (b"ls{}\n", "noise"),
    (b"ls\t{}\n", "noise"),
    (b"LS\n", "noise"),
    (b"\x00\n", "noise"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", "noise"),  # a TLS hello
    (b"\xff\xfe\x80 {}\n", "noise"),
    (b"a" * 17 + b"\n", "noise"),
    (b"a" * 16 + b"\n", "unknown-verb"),
    (b"delete {}\n", "unknown-verb"),
    (b"ok\n", "unknown-verb"),
    (b"ls [\n", "not-json"),
    (b"ls []\n", "not-json"),
    (b"ls 1\n", "not-json"),
    (b"ls null\n", "not-json"),
    (b"ls {\n", "not-json"),
    (b"ls {} {}\n", "not-json"),
    (b"ls " + DEEP + b"\n", "not-json"),
    (b'ls {"a": ' + DEEP + b"\n", "not-json"),
    (b'stat {"name": "\xff"}\n', "not-json"),
    (b'stat {"name": "\xed\xa0\x80"}\n', "not-json"),  # a lone surrogate as if it were UTF-8
    ('stat {"name": "a"}'.encode("utf-16"), "noise"),
    (b"stat " + '{"name": "a"}'.encode("utf-16-le"), "not-json"),
    (b"stat " + '{"name": "a"}'.encode("utf-32-be"), "not-json"),
    (b'stat {"name": "a\x00"}\n', "not-json"),
    (b'get {"name": "a", "start": ' + b"9" * 5000 + b"}\n", "not-json"),
    (b"stat\n", "no-field"),
    (b"stat {}\n", "no-field"),
    (b'stat {"Name": "a"}\n', "no-field"),
    (b'join {"port": 5455}\n', "no-field"),
    (b'stat {"name": null}\n', "bad-field"),
    (b'stat {"name": "\\ud800"}\n', "bad-field"),
    (b'stat {"name": "' + b"x" * 1025 + b'"}\n', "bad-field"),
    (b'get {"name": "a", "start": -1}\n', "bad-field"),
    (b'get {"name": "a", "start": true}\n', "bad-field"),
    (b'get {"name": "a", "start": 1.0}\n', "bad-field"),
    (b'get {"name": "a", "start": NaN}\n', "bad-field"),
    (b'get {"name": "a", "start": ' + b"9" * 4000 + b"}\n", "bad-field"),
    (b'get {"name": "a", "length": null}\n', "bad-field"),
    (b'join {"version": 0}\n', "bad-field"),
    (b'join {"version": 1, "port": 1023}\n', "bad-field"),
    (b'hashes {"root": "' + HEX[:-1] + b'"}\n', "bad-field"),
    (b'pieces {"root": "' + HEX + b'", "first": 65537, "count": 1}\n', "bad-field"),
    (b'where {"nonce": "' + b"0" * 33 + b'"}\n', "bad-field"),
    (b'want {"root": "' + HEX + b'", "bitmap": "f"}\n', "bad-field"),
    (b'want {"root": "' + HEX + b'", "bitmap": "' + b"f0" * 8193 + b'"}\n', "bad-field"),
    (b'want {"root": "' + HEX + b'"}\n', "no-field"),
    (b'want {"bitmap": "f0"}\n', "no-field"),
    (b'next {"got": [-1]}\n', "bad-field"),
    (b'next {"lost": [65536]}\n', "bad-field"),
    (b'next {"got": %b}\n' % json.dumps([*MOST, 0]).encode(), "bad-field"),
    (b'next {"got": [NaN]}\n', "bad-field"),
    (b'next {"got": [1,]}\n', "not-json"),
    (b'take {"first": 0}\n', "no-field"),
    (b'take {"first": 0, "count": -1}\n', "bad-field"),
    (b'take {"first": 65537, "count": 1}\n', "bad-field"),
    (b'take {"first": 0, "count": 1, "lost": [65536]}\n', "bad-field"),
    (b'announce {"count": 1}\n', "no-field"),
    (b'announce {"bytes": 67108865, "count": 1}\n', "bad-field"),
    (b'announce {"bytes": 1, "count": 500001}\n', "bad-field"),
    (b'withdraw {"bytes": -1, "count": 0}\n', "bad-field"),
    (b'find {"root": ""}\n', "bad-field"),
    (b'search {"text": "' + b"x" * 1025 + b'"}\n', "bad-field"),
    (b'search {"text": "", "exact": 1}\n', "bad-field"),
]

# Hostile replies, what was expected, and the kind of the ProtocolError.
BAD_REPLIES = [
    (b"\n", Ok, "stranger"),
    (b"HTTP/1.1 400 Bad Request\r\n", Ok, "stranger"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", Ok, "stranger"),
    (b"OK\n", Ok, "stranger"),
    (b"okay {}\n", Ok, "stranger"),
    (b"\x80\x81\x82\n", Ok, "stranger"),
    (b"ok [[[[\n", Ok, "not-json"),
    (b"ok " + DEEP + b"\n", Ok, "not-json"),
    (b"ok\n", FileData, "no-field"),
    (b'ok {"name": "a", "size": 9}\n', FileInfo, "no-field"),
    (b'espera {"place": -1}\n', Ok, "bad-field"),
    (b'espera {"done": 9223372036854775808}\n', Ok, "bad-field"),
    (b"espera " + DEEP + b"\n", Ok, "not-json"),
    (b"esperar\n", Ok, "stranger"),
    (b"erro\n", Ok, "no-field"),
    (b"erro oops\n", Ok, "not-json"),
    (b'erro {"message": "x"}\n', Ok, "no-field"),
    (b'erro {"code": 7}\n', Ok, "bad-field"),
    (b'erro {"code": "' + b"c" * 65 + b'"}\n', Ok, "bad-field"),
    (b'erro {"code": "c", "message": "\\udfff"}\n', Ok, "bad-field"),
    (b'ok {"bytes": 67108865, "count": 1}\n', Listing, "bad-field"),
    (b'ok {"bytes": 1, "count": 500001}\n', Listing, "bad-field"),
    (b'ok {"bytes": -1, "count": 0}\n', Listing, "bad-field"),
    (b'ok {"bytes": 1, "count": 1, "total": true}\n', Listing, "bad-field"),
    (b'ok {"bytes": 1.5}\n', FileData, "bad-field"),
    (b"ok\n", PieceOffer, "no-field"),
    (b'ok {"first": 65537}\n', PieceOffer, "bad-field"),
    (b'ok {"first": 0, "count": null}\n', PieceOffer, "bad-field"),
    (b'ok {"first": 0, "count": 1}\n', PieceData, "no-field"),
    (b'ok {"bytes": 1125899906842625}\n', PieceData, "bad-field"),
    (b'ok {"bytes": 1, "first": -1}\n', PieceData, "bad-field"),
    (b'ok {"name": "a", "size": 1, "root": "' + HEX + b'"}\n', SearchResult, "no-field"),
    (b'ok {"ip": "10.0.0.7/8", "port": 5455}\n', PeerEntry, "bad-field"),
    (b'ok {"ip": "fe80::1%eth0", "port": 5455}\n', PeerEntry, "bad-field"),
    (b'ok {"ip": 7, "port": 5455}\n', PeerEntry, "bad-field"),
    (b'ok {"ip": "10.0.0.7", "port": 22}\n', PeerEntry, "bad-field"),
    (b'ok {"ip": "10.0.0.7", "port": 5455, "you": 1}\n', PeerEntry, "bad-field"),
]


def is_request(message):
    return hasattr(message, "verb")


def read(line, message):
    """Read a line as what the message is."""
    if is_request(message):
        return codec.decode_request(line, REQUESTS)
    return codec.decode_reply(line, type(message))


def shown(value):
    return repr(value)[:60]


@pytest.mark.parametrize(("message", "line"), CASES, ids=shown)
def test_a_message_is_written_as_these_bytes(message, line):
    encode = codec.encode_request if is_request(message) else codec.encode_reply
    assert encode(message) == line


@pytest.mark.parametrize(("message", "line"), CASES + ALSO_READ, ids=shown)
def test_these_bytes_are_read_as_the_message(message, line):
    found = read(line, message)
    assert found == message
    assert type(found) is type(message)


def test_every_message_has_a_row():
    rows = {type(message) for message, _ in CASES}
    assert rows == {*REQUESTS.values(), *REPLIES}
    assert all(verb == kind.verb for verb, kind in REQUESTS.items())


@pytest.mark.parametrize(("line", "kind"), BAD_REQUESTS, ids=shown)
def test_a_hostile_request_is_a_protocol_error(line, kind):
    with pytest.raises(ProtocolError) as caught:
        codec.decode_request(line, REQUESTS)
    assert caught.value.kind == kind


@pytest.mark.parametrize(("line", "expected", "kind"), BAD_REPLIES, ids=shown)
def test_a_hostile_reply_is_a_protocol_error(line, expected, kind):
    with pytest.raises(ProtocolError) as caught:
        codec.decode_reply(line, expected)
    assert caught.value.kind == kind


def test_a_bad_field_is_named():
    with pytest.raises(ProtocolError) as caught:
        codec.decode_request(b'get {"name": "a", "start": -1}\n', REQUESTS)
    assert caught.value.detail == "start"


def test_a_refusal_is_written_and_raised_with_its_code_and_its_sentence():
    line = codec.encode_reply(codec.Refusal("no-such-file", "não há"))
    assert line == 'erro {"code": "no-such-file", "message": "não há"}\n'.encode()
    with pytest.raises(RefusedError) as caught:
        codec.decode_reply(line, Ok)
    assert (caught.value.code, caught.value.message) == ("no-such-file", "não há")


@pytest.mark.parametrize("verb", [b"join", b"peers", b"where", b"announce", b"find"])
def test_a_peer_does_not_know_the_verbs_of_a_tracker(verb):
    with pytest.raises(ProtocolError, match="unknown-verb"):
        codec.decode_request(verb + b"\n", TO_PEER)


# Bodies of lines.

LINES = [
    ([], b""),
    ([FileEntry("a", 1)], b'{"name": "a", "size": 1}\n'),
    (
        [FileEntry("a", 1), FileEntry("b", 2)],
        b'{"name": "a", "size": 1}\n{"name": "b", "size": 2}\n',
    ),
]


@pytest.mark.parametrize(("entries", "body"), LINES, ids=shown)
def test_a_listing_is_read_and_written(entries, body):
    assert codec.encode_lines(entries) == body
    assert codec.decode_lines(body, FileEntry, len(entries)) == entries
    assert codec.decode_lines(body.removesuffix(b"\n"), FileEntry, len(entries)) == entries


@pytest.mark.parametrize(
    ("body", "count", "kind"),
    [
        (b"", 1, "bad-count"),
        (b"\n", 0, "bad-count"),
        (b'{"name": "a", "size": 1}\n', 2, "bad-count"),
        (b'{"name": "a", "size": 1}\n', 0, "bad-count"),
        (b'{"name": "a", "size": 1}\n\n', 1, "bad-count"),
        (b"\n", 1, "no-field"),
        (b'{"name": "a"}', 1, "no-field"),
        (b'{"name": "a", "size": -1}', 1, "bad-field"),
        (b'{"name": "a", "siz', 1, "not-json"),
        (DEEP, 1, "not-json"),
        (b"\xff\xfe\n", 1, "not-json"),
        (b"\n" * 100_000, 3, "bad-count"),
        (b'{"name": "a", "size": 1}\n' + b" " * codec.MAX_LINE_BYTES + b"\n", 2, "long-line"),
        (b" " * codec.MAX_LINE_BYTES, 1, "long-line"),
        (b"[" + b"{}," * 1_000_000 + b"{}]\n", 1, "long-line"),
    ],
    ids=shown,
)
def test_a_hostile_listing_is_a_protocol_error(body, count, kind):
    with pytest.raises(ProtocolError) as caught:
        codec.decode_lines(body, FileEntry, count)
    assert caught.value.kind == kind


def test_a_line_of_a_listing_may_be_as_long_as_any_other():
    line = b'{"name": "a", "size": 1, "more": "'
    line += b"x" * (codec.MAX_LINE_BYTES - len(line) - 3) + b'"}\n'
    assert len(line) == codec.MAX_LINE_BYTES
    assert codec.decode_lines(line * 2, FileEntry, 2) == [FileEntry("a", 1)] * 2


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        (PeerEntry, b'{"ip":"10.0.0.1","port":5455}\n'),
        (SearchResult, b'{"name":"a","size":1,"root":"%s","peers":1}\n' % (b"0" * 64)),
    ],
)
def test_a_tracker_lists_no_more_than_it_can_have(kind, line):
    assert len(codec.decode_lines(line * 100, kind, 100)) == 100
    most = fields.MAX_TRACKER_LINES
    with pytest.raises(ProtocolError, match="bad-count"):
        codec.decode_lines(line * (most + 1), kind, most + 1)


def test_the_longest_lines_that_the_program_announces_at_once_may_be_announced():
    longest = FileEntry('"' * safe_names.MAX_NAME_BYTES, merkle.MAX_CONTENT_BYTES, ROOT)
    body = codec.encode_lines([longest] * announcer.MAX_LINES_PER_ANNOUNCE)
    line = codec.encode_request(Announce(len(body), announcer.MAX_LINES_PER_ANNOUNCE))
    assert codec.decode_request(line, TO_TRACKER).bytes == len(body)


# Through a real socket.


@pytest.fixture
def pair():
    """Return a socket to write on, and the connection that reads it."""
    with connected() as both:
        yield both


def receive(connection, message):
    return read(connection.receive_line(10.0), message)


def test_messages_are_read_byte_by_byte(pair):
    writer, connection = pair
    writer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for message, line in CASES:
        for byte in line[:200]:
            writer.send(bytes([byte]))
        writer.sendall(line[200:])
        assert receive(connection, message) == message


def test_messages_glued_in_one_packet_are_read_apart(pair):
    writer, connection = pair
    for (first, one), (second, other) in itertools.pairwise(CASES):
        writer.sendall(one + other)
        assert receive(connection, first) == first
        assert receive(connection, second) == second


def test_every_cut_of_two_messages_is_read_as_two_messages(pair):
    writer, connection = pair
    first, second = Stat("é"), Join(1)
    glued = codec.encode_request(first) + codec.encode_request(second)
    for at in range(1, len(glued)):
        writer.sendall(glued[:at])
        writer.sendall(glued[at:])
        assert receive(connection, first) == first
        assert receive(connection, second) == second


def test_a_body_that_follows_its_header_in_one_packet_stays_whole(pair):
    writer, connection = pair
    writer.sendall(codec.encode_reply(FileData(6)) + b"a\nb\nc\n" + codec.encode_reply(Ok()))
    assert connection.receive_reply(FileData, 10.0) == FileData(6)
    assert connection.receive_exactly(6) == b"a\nb\nc\n"
    assert connection.receive_reply(Ok, 10.0) == Ok()


# Anything at all.

SOME_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
FIELDS = sorted({name for kind in (*REQUESTS.values(), *REPLIES) for name in kind.__annotations__})
ALMOST = st.builds(
    lambda word, given: word + b" " + json.dumps(given).encode() + b"\n",
    st.sampled_from([b"ok", b"erro", *(verb.encode() for verb in REQUESTS)]),
    st.dictionaries(st.sampled_from(["code", "message", *FIELDS]), SOME_JSON, max_size=5),
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | ALMOST)
@example(b"ls " + DEEP)
def test_any_bytes_are_a_message_or_an_error_of_ours(data):
    attempts = [
        lambda: codec.decode_request(data, REQUESTS),
        *(lambda kind=kind: codec.decode_reply(data, kind) for kind in REPLIES),
        lambda: codec.decode_lines(data, FileEntry, data.count(b"\n")),
        lambda: codec.decode_lines(data, PeerEntry, 1),
    ]
    for attempt in attempts:
        try:
            attempt()
        except (ProtocolError, RefusedError):
            continue


@settings(max_examples=100, deadline=None)
@given(
    st.builds(Get, st.text(max_size=200), st.integers(0, merkle.MAX_CONTENT_BYTES))
    | st.builds(Hashes, st.binary(min_size=32, max_size=32))
    | st.builds(Want, st.just(ROOT), st.binary(max_size=merkle.MAX_PIECES // 8))
    | st.builds(Next, *[st.lists(st.integers(0, merkle.MAX_PIECES - 1)).map(tuple)] * 2)
    | st.builds(
        FileInfo, st.text(max_size=200), st.integers(0, merkle.MAX_CONTENT_BYTES), st.just(ROOT)
    )
    | st.builds(PeerEntry, st.ip_addresses(v=4).map(str), st.integers(1024, 65535), st.booleans())
)
def test_what_is_written_is_one_line_and_is_read_back(message):
    line = (codec.encode_request if is_request(message) else codec.encode_reply)(message)
    assert line.count(b"\n") == 1
    try:
        assert read(line, message) == message
    except ProtocolError as error:  # an address of nobody
        assert (error.kind, error.detail) == ("bad-field", "ip")


def test_the_longest_line_of_a_peer_fits():
    longest = FileInfo("\x01" * 1024, merkle.MAX_CONTENT_BYTES, ROOT)
    assert len(codec.encode_reply(longest)) < codec.MAX_LINE_BYTES
    last = merkle.MAX_PIECES
    assert len(codec.encode_request(Take(last, last, MOST, MOST))) < codec.MAX_LINE_BYTES
    assert len(codec.encode_request(Want(ROOT, FULL))) < codec.MAX_LINE_BYTES
    assert fields.MAX_LISTING_BYTES > codec.MAX_LINE_BYTES
