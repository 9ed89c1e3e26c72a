"""HTTP requests read strictly, ranges, and heads that carry a stranger's name."""

from __future__ import annotations

from time import thread_time

import pytest

from rede_p2p.protocol import http

HOST = b"Host: 10.0.0.1:9450\r\n"


def read(line, *lines):
    return http.decode_request(line, lines)


def test_a_request_tells_its_path_its_host_and_whether_it_is_the_last():
    request = read(b"GET /a%20b/c?busca=x HTTP/1.1\r\n", HOST, b"Range: bytes=1-2 \r\n")
    assert (request.method, request.path, request.query) == ("GET", "/a%20b/c", "busca=x")
    assert (request.host, request.closes) == ("10.0.0.1", False)
    assert request.fields["range"] == "bytes=1-2"
    assert request.segments() == ["a b", "c"]


@pytest.mark.parametrize(
    ("line", "fields", "closes"),
    [
        (b"GET / HTTP/1.1\r\n", [HOST], False),
        (b"GET / HTTP/1.1\n", [HOST, b"Connection: Close\n"], True),
        (b"HEAD / HTTP/1.0\r\n", [], True),
        (b"GET / HTTP/1.0\r\n", [b"Connection: x, keep-alive\r\n"], False),
    ],
)
def test_a_connection_goes_on_as_the_version_and_the_browser_say(line, fields, closes):
    assert read(line, *fields).closes == closes


ILL_FORMED = [
    (b"GET / HTTP/1.1\r\n", [], 400),
    (b"GET / HTTP/1.1\r\n", [HOST, HOST], 400),
    (b"GET /\r\n", [], 400),
    (b"GET  / HTTP/1.1\r\n", [HOST], 400),
    (b"GET /a b HTTP/1.1\r\n", [HOST], 400),
    (b"GET / HTTP/2.0\r\n", [HOST], 400),
    (b"GET http://10.0.0.1/ HTTP/1.1\r\n", [HOST], 400),
    ("GET /ç HTTP/1.1\r\n".encode(), [HOST], 400),
    (b"get / HTTP/1.1\r\n", [HOST], 400),
    (b"POST / HTTP/1.1\r\n", [HOST], 405),
    (b"OPTIONS / HTTP/1.1\r\n", [HOST], 405),
    (b"GET / HTTP/1.1\r\n", [HOST, b"Content-Length: 5\r\n"], 413),
    (b"GET / HTTP/1.1\r\n", [HOST, b"Content-Length: +0\r\n"], 413),
    (b"GET / HTTP/1.1\r\n", [HOST, b"Content-Length: 0\r\n", b"Content-Length: 5\r\n"], 400),
    (b"GET / HTTP/1.1\r\n", [HOST, b"Transfer-Encoding: chunked\r\n"], 413),
    (b"GET / HTTP/1.1\r\n", [HOST, b"Transfer-Encoding : chunked\r\n"], 400),
    (b"GET / HTTP/1.1\r\n", [HOST, b" folded: x\r\n"], 400),
    (b"GET / HTTP/1.1\r\n", [HOST, b"X: a\rb\r\n"], 400),
    (b"GET / HTTP/1.1\r\n", [HOST, b"X: a\0b\r\n"], 400),
    (b"GET / HTTP/1.1\r\n", [HOST, b"no colon\r\n"], 400),
    (b"GET / HTTP/1.1\r\n", [HOST, *[b"X: y\r\n"] * http.MAX_FIELDS], 431),
    (b"GET / HTTP/1.1\r\n", [b"Host: a@10.0.0.1\r\n"], 400),
    (b"GET / HTTP/1.1\r\n", [b"Host: 10.0.0.1/x\r\n"], 400),
    (b"GET / HTTP/1.1\r\n", [b"Host: 10.0.0.1:x\r\n"], 400),
    (b"GET / HTTP/1.1\r\n", [b"Host: [::1\r\n"], 400),
]


@pytest.mark.parametrize(("line", "fields", "status"), ILL_FORMED)
def test_what_two_readers_could_understand_differently_is_refused(line, fields, status):
    with pytest.raises(http.HttpError) as caught:
        read(line, *fields)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("said", "host"),
    [("10.0.0.1", "10.0.0.1"), ("[fe80::1]:80", "fe80::1"), ("Prof-PC:9450", "prof-pc"), ("", "")],
)
def test_a_host_is_told_without_its_port(said, host):
    assert http.host_of(said) == host


@pytest.mark.parametrize(
    ("path", "segments"),
    [("/", [""]), ("/a%2Fb/%2e%2e", ["a/b", ".."]), ("/%C3%A7/", ["ç", ""])],
)
def test_a_slash_that_is_written_out_is_part_of_a_segment(path, segments):
    assert read(b"GET %s HTTP/1.1\r\n" % path.encode(), HOST).segments() == segments


def test_a_segment_that_is_no_text_is_refused():
    with pytest.raises(http.HttpError):
        read(b"GET /%ff HTTP/1.1\r\n", HOST).segments()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, None),
        ("bytes=0-0", (0, 1)),
        ("bytes=2-", (2, 8)),
        ("bytes=2-99", (2, 8)),
        ("bytes=-3", (7, 3)),
        ("bytes=-99", (0, 10)),
        ("bytes=9-9", (9, 1)),
        ("bytes=5-4", None),
        ("bytes=0-1,3-4", None),
        ("bytes=-", None),
        ("bytes= 1-2", None),
        ("lines=1-2", None),
        ("bytes=" + "9" * 30 + "-", None),
    ],
)
def test_a_range_is_one_part_or_ignored(value, found):
    assert http.range_of(value, 10) == found


@pytest.mark.parametrize("value", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_after_the_end_is_refused(value):
    with pytest.raises(http.HttpError) as caught:
        http.range_of(value, 10)
    assert caught.value.status == 416
    assert caught.value.fields == [("Content-Range", "bytes */10")]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a b.txt", "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt"),
        ('x/ç"\\.txt', "attachment; filename=\"___.txt\"; filename*=UTF-8''%C3%A7%22%5C.txt"),
        ("a\r\nX: y", "attachment; filename=\"a__X: y\"; filename*=UTF-8''a%0D%0AX%3A%20y"),
    ],
)
def test_a_name_from_a_stranger_is_one_line_in_a_head(name, said):
    assert http.attachment(name) == said
    assert http.encode_head(200, [("Content-Disposition", said)]).count(b"\r\n") == 3


def test_a_value_with_a_line_of_its_own_is_never_sent():
    with pytest.raises(AssertionError):
        http.encode_head(200, [("X", "a\r\nSet-Cookie: b")])


def test_addresses_of_a_peer_are_written_as_urls_are():
    assert http.origin("10.0.0.2", 5455) == "http://10.0.0.2:5455"
    assert http.origin("2001:db8::1", 5455) == "http://[2001:db8::1]:5455"
    root = bytes(range(32))
    assert http.path_of("arquivo", root, "p/a ç#?%.txt") == (
        f"/arquivo/{root.hex()}/p/a%20%C3%A7%23%3F%25.txt"
    )


def test_blanks_in_a_field_cost_no_more_than_other_bytes():
    field, began = b"X: a" + b" " * (http.MAX_HEAD_BYTES - 100) + b"b\r\n", thread_time()
    request = read(b"GET / HTTP/1.1\r\n", HOST, field)
    assert thread_time() - began < 0.1  # of the processor; it was 0.9 s
    assert request.fields["x"].startswith("a ") and request.fields["x"].endswith(" b")


def test_the_blanks_around_a_value_are_not_of_it():
    lines = [b"Host:\t x \t\r\n", b"X:\r\n", b"Y: \t \r\n", b"Z:a\tb\n"]
    assert read(b"GET / HTTP/1.1\r\n", *lines).fields == {
        "host": "x",
        "x": "",
        "y": "",
        "z": "a\tb",
    }
