"""What a peer answers to browsers, through a real listener."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import closing
from http.client import HTTPConnection
from queue import Empty
from threading import Event
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from lies import UNSAFE_NAMES
from listening import SOON
from processes import eventually
from selling import (
    DATA,
    EMPTY_ROOT,
    ROOT,
    SMALL,
    SMALL_ROOT,
    edit_and_put_the_time_back,
    know_all,
    selling,
)
from sources import Changing

from rede_p2p.content import disk, hash_cache, merkle, torrent
from rede_p2p.content.hashing import hash_file
from rede_p2p.content.v1_pieces import V1Hasher
from rede_p2p.errors import DiskError
from rede_p2p.events import FilesServed
from rede_p2p.timeouts import Timeouts
from rede_p2p.upload import web_files

TAG = f'"{ROOT.hex()}"'
PATH = f"/arquivo/{ROOT.hex()}/data"
MORE_THAN_BUFFERS = 64 * 1024 * 1024  # bytes; what no pair of sockets holds


@pytest.fixture
def seller(tmp_path, host):
    with selling(tmp_path, host) as seller:
        know_all(seller)
        yield seller


@pytest.fixture
def ask(seller):
    """Return a function that asks for a path on one connection."""
    with closing(HTTPConnection(*seller.address, timeout=SOON)) as browser:
        yield asking(browser)


def asking(browser):
    def ask(path, method="GET", **fields):
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        browser.request(method, path, headers=named)
        answer = browser.getresponse()
        return answer, answer.read()

    return ask


def status(answered):
    return answered[0].status


def test_a_disk_that_fails_within_a_file_ends_the_connection_and_no_answer_is_among_its_bytes(
    seller, monkeypatch
):
    read_into = disk.read_into

    def fail_later(file, start, view):
        if start:
            raise DiskError("data", "other")
        return read_into(file, start, view)

    monkeypatch.delattr(os, "sendfile", raising=False)
    monkeypatch.setattr(disk, "read_into", fail_later)
    with socket.create_connection(seller.address, SOON) as sock, sock.makefile("rb") as answer:
        sock.sendall(f"GET {PATH} HTTP/1.1\r\nHost: {seller.address.ip}\r\n\r\n".encode())
        head, _, body = answer.read().partition(b"\r\n\r\n")
    assert f"Content-Length: {len(DATA)}".encode() in head
    assert len(body) < len(DATA) and DATA.startswith(body)


# Whole files, and parts of them.


@pytest.mark.parametrize(
    ("root", "data"), [(ROOT, DATA), (SMALL_ROOT, SMALL), (EMPTY_ROOT, b"")], ids=len
)
def test_a_file_is_found_by_its_root_whatever_it_is_called(ask, root, data):
    for name in ("x", "a%20b.txt", "folder/in/%C3%A7.txt"):
        answer, body = ask(f"/arquivo/{root.hex()}/{name}")
        assert (answer.status, body) == (200, data)
        assert answer.headers["Content-Length"] == str(len(data))
        assert answer.headers["ETag"] == f'"{root.hex()}"'
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.headers["Content-Type"] == "application/octet-stream"
        last = name.rsplit("/", 1)[-1]
        assert answer.headers["Content-Disposition"].endswith(f"filename*=UTF-8''{last}")


@pytest.mark.parametrize(
    ("name", "data"),
    [("data", DATA), ("twin", SMALL), ("p/in/a.txt", b"inside"), ("p/in/%61.txt", b"inside")],
)
def test_a_file_is_found_by_the_name_under_which_it_is_shared(ask, name, data):
    answer, body = ask(f"/pasta/{name}")
    assert (answer.status, body) == (200, data)
    assert answer.headers["ETag"] == f'"{merkle.root_of(merkle.layer_of(data), len(data)).hex()}"'


@pytest.mark.parametrize(
    ("value", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-", 100, len(DATA)),
        ("bytes=65535-131073", 65535, 131074),
        ("bytes=-5", len(DATA) - 5, len(DATA)),
        (f"bytes=5-{10**18}", 5, len(DATA)),
    ],
)
def test_a_range_is_sent_alone(ask, value, start, stop):
    answer, body = ask(PATH, range=value)
    assert (answer.status, body) == (206, DATA[start:stop])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(DATA)}"
    assert answer.headers["ETag"] == TAG


@pytest.mark.parametrize("value", ["bytes=0-1,3-4", "lines=1-2", "bytes=3-1", "bytes=x-"])
def test_what_is_no_range_of_one_part_is_answered_by_the_whole(ask, value):
    assert ask(PATH, range=value)[1] == DATA


def test_a_range_after_the_end_is_told_how_long_the_file_is(ask):
    answer, _ = ask(PATH, range=f"bytes={len(DATA)}-")
    assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")


@pytest.mark.parametrize(
    ("had", "came"), [(TAG, DATA[3:]), ('"other"', DATA), (f"W/{TAG}", DATA), ("a date", DATA)]
)
def test_a_part_is_sent_only_of_the_content_that_the_browser_began_with(ask, had, came):
    assert ask(PATH, range="bytes=3-", if_range=had)[1] == came


def test_who_has_another_content_is_not_told_that_its_range_is_wrong(ask):
    assert ask(PATH, range=f"bytes={2 * len(DATA)}-", if_range='"other"')[1] == DATA


@pytest.mark.parametrize("tags", [TAG, f"W/{TAG}", f'"x", {TAG}', "*"])
def test_who_has_it_gets_no_body(ask, tags):
    answer, body = ask(PATH, if_none_match=tags)
    assert (answer.status, body, answer.headers["ETag"]) == (304, b"", TAG)
    assert ask(PATH)[1] == DATA


@pytest.mark.parametrize("value", [None, "bytes=5-"])
def test_head_is_told_of_the_whole_and_gets_no_body(ask, value):
    fields = {"range": value} if value else {}
    answer, body = ask(PATH, "HEAD", **fields)
    assert (answer.status, body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(DATA))
    assert ask(PATH)[1] == DATA


# What is not there.


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/arquivo",
        "/arquivo/",
        f"/arquivo/{ROOT.hex()}",
        f"/arquivo/{ROOT.hex()}/",
        f"/arquivo/{'0' * 64}/data",
        f"/arquivo/{ROOT.hex()[1:]}/data",
        f"/arquivo/{ROOT.hex()} /data".replace(" ", "%20"),
        f"/arquivo/{'%C3%A7' * 64}/data",
        f"/arquivo/{ROOT.hex()}/../data",
        f"/arquivo/{ROOT.hex()}/%2e%2e/data",
        f"/arquivo/{ROOT.hex()}/a%2Fb",
        f"/arquivo/{ROOT.hex()}/a%5Cb",
        f"/arquivo/{ROOT.hex()}/a%0D%0AX:%20y",
        f"/arquivo/{ROOT.hex()}/a%00b",
        f"/arquivo/{ROOT.hex()}/{'a' * 300}",
        f"/Arquivo/{ROOT.hex()}/data",
        "/pasta",
        "/pasta/",
        "/pasta/none",
        "/pasta/p",
        "/pasta/p/in",
        "/pasta/p/in/",
        "/pasta/p%2Fin%2Fa.txt",
        "/pasta/p/../data",
        "/pasta/p/in/..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "/pasta//etc/passwd",
        "/pasta/meus_arquivos.txt",
        "/pasta/data.bin",
    ],
)
def test_what_nobody_shares_is_404_and_the_connection_goes_on(ask, path):
    answer, body = ask(path)
    assert answer.status == 404 and b"passwd" not in body
    assert "volte à página da rede" in body.decode()
    assert ask(PATH)[1] == DATA


@pytest.mark.parametrize("name", [name for name, _ in UNSAFE_NAMES if len(name) < 2000])
def test_no_name_leads_out_of_what_is_shared(ask, name):
    quoted = "".join(f"%{byte:02X}" for byte in name.encode("utf-8", "surrogatepass"))
    assert status(ask(f"/arquivo/{ROOT.hex()}/{quoted}")) in (400, 404)
    assert status(ask(f"/pasta/{quoted}")) in (400, 404)


def test_bytes_that_are_no_utf8_are_400(ask):
    assert status(ask("/pasta/%FF")) == 400


def test_what_is_not_hashed_yet_may_be_asked_for_later(seller, ask):
    path = seller.folder / "new.txt"
    path.write_bytes(b"new")  # and not quiet yet
    seller.share("new new.txt\n")
    seller.shares.shares()
    root = merkle.layer_of(b"new").hex()
    for where in (f"/arquivo/{root}/new", "/pasta/new"):
        answer, _ = ask(where)
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    os.utime(path, (1, 1))
    know_all(seller)
    for where in (f"/arquivo/{root}/new", "/pasta/new"):
        assert ask(where)[1] == b"new"


def test_a_download_is_given_once_it_is_whole(seller, ask):
    data = b"w" * 100_000
    layer = merkle.layer_of(data)
    content = merkle.Content(merkle.root_of(layer, len(data)), len(data))
    path = seller.file("got.parte", data)
    where = f"/arquivo/{content.root.hex()}/got"
    seeded = seller.seeds.begin("got", content, layer, path, [0])
    assert status(ask(where)) == 404
    seller.seeds.end(seeded, path, disk.file_state(path))
    assert ask(where)[1] == data


def test_a_file_that_was_removed_or_changed_is_gone(seller, ask):
    (seller.folder / "data.bin").write_bytes(b"other")
    assert status(ask(PATH)) in (404, 503)
    (seller.folder / "data.bin").unlink()
    assert status(ask("/pasta/data")) == 404


# What is being sent.


@pytest.mark.parametrize(
    "change",
    [
        lambda path: os.truncate(path, 100),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: os.utime(path, (5, 5)),
        edit_and_put_the_time_back,
    ],
    ids=["shorter", "rewritten", "touched", "edited, its time put back"],
)
def test_a_file_that_changes_while_it_is_sent_ends_the_connection(tmp_path, host, change):
    with selling(tmp_path, host) as seller:
        know_all(seller)
        path = seller.file("large.bin", bytes(200 * 16 * 1024))
        seller.share("large large.bin\n")
        know_all(seller)
        seller.slots = Changing(lambda: change(path))
        with socket.create_connection(seller.address, SOON) as bare:
            bare.sendall(b"GET /pasta/large HTTP/1.0\r\n\r\n")
            heard = bytearray()
            while chunk := bare.recv(2**20):
                heard += chunk
        head, _, body = bytes(heard).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert len(body) < 200 * 16 * 1024
        seller.slots.close()


def test_a_file_whose_place_is_taken_while_it_is_opened_is_503(seller, ask, monkeypatch):
    opened = web_files.disk.open_regular
    other = seller.file("other.bin", b"other")
    monkeypatch.setattr(web_files.disk, "open_regular", lambda _: opened(other))
    assert status(ask(PATH)) == 503
    monkeypatch.undo()
    assert ask(PATH)[1] == DATA


def test_it_waits_for_a_slot_as_others_do_and_what_left_waits_no_more(tmp_path, host):
    with selling(tmp_path, host, slots=1, place_report_s=0.02) as seller:
        know_all(seller)
        seller.sparse("big.bin", MORE_THAN_BUFFERS)
        seller.share("data data.bin\nbig big.bin\n")
        know_all(seller)
        first, second, third = (socket.create_connection(seller.address, SOON) for _ in range(3))
        with first, second, third:
            first.sendall(b"GET /pasta/big HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert first.recv(12) == b"HTTP/1.1 200"
            asked = f"GET {PATH} HTTP/1.0\r\n\r\n".encode()
            second.sendall(asked)
            eventually(lambda: len(seller.slots._queue) == 1)
            third.sendall(asked)
            eventually(lambda: len(seller.slots._queue) == 2)
            second.close()
            eventually(lambda: len(seller.slots._queue) == 1)
            assert [upload.name for upload in seller.slots.active()] == ["big"]
            first.close()
            heard = bytearray()
            while chunk := third.recv(2**20):
                heard += chunk
            assert heard.endswith(DATA) and heard.startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_limit_is_for_browsers_too(tmp_path, host):
    with selling(tmp_path, host) as seller:
        know_all(seller)
        seller.slots.limit = 2**40  # any: then not even a small body goes without a slot
        with closing(HTTPConnection(*seller.address, timeout=SOON)) as browser:
            ask = asking(browser)
            for root, data in ((ROOT, DATA), (SMALL_ROOT, SMALL), (EMPTY_ROOT, b"")):
                assert ask(f"/arquivo/{root.hex()}/x")[1] == data
                assert ask(f"/arquivo/{root.hex()}/x", "HEAD")[0].status == 200


def test_requests_sent_ahead_are_answered_in_their_order(seller):
    asked = b"GET /pasta/small HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    last = b"GET /pasta/empty HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    with socket.create_connection(seller.address, SOON) as bare:
        bare.sendall(asked * 50 + last + asked)
        heard = bytearray()
        while chunk := bare.recv(2**20):
            heard += chunk
    answers = bytes(heard).split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert len(answers) == 51
    assert all(one.endswith(b"\r\n\r\n" + SMALL) for one in answers[:50])


# What a BitTorrent client asks for.

TORRENT = f"/torrent/{ROOT.hex()}"


def made_of(name, data, seeds):
    piece = torrent.piece_length([len(data)])
    layer, hasher = merkle.layer_of(data), V1Hasher(piece)
    hasher.add(memoryview(data))
    content = merkle.Content(merkle.root_of(layer, len(data)), len(data))
    file = torrent.TorrentFile((name,), content, layer, hasher.digests())
    return torrent.make(name, [file], seeds, folder=False)


@pytest.mark.parametrize(
    ("asked", "name"),
    [("data.torrent", "data"), ("p/a%20%C3%A7%23.torrent.torrent", "a ç#.torrent")],
)
def test_the_torrent_of_a_file_names_this_peer_and_those_that_the_page_knows(
    seller, ask, asked, name
):
    other = "fonte=10.0.0.3:5455&fonte=[2001:db8::3]:5455"
    bad = "fonte=x&fonte=10.0.0:1&fonte=10.0.0.3:0&fonte=10.0.0.3:1/x&fonte=[::x]:1&fonte=a.b:1"
    answer, body = ask(f"{TORRENT}/{asked}?{other}&{bad}")
    assert answer.status == 200
    own = f"http://{seller.address.ip}:{seller.address.port}"
    path = f"/arquivo/{ROOT.hex()}/{quote(name)}"
    origins = (own, "http://10.0.0.3:5455", "http://[2001:db8::3]:5455")
    assert body == made_of(name, DATA, [origin + path for origin in origins]).data
    assert answer.headers["Content-Type"] == "application/x-bittorrent"
    saved = answer.headers["Content-Disposition"]
    assert saved.endswith(f"filename*=UTF-8''{quote(name)}.torrent")
    assert ask(f"{TORRENT}/{asked}", if_none_match="*")[0].status == 304
    assert ask(f"{TORRENT}/{asked}", "HEAD")[0].status == 200
    assert ask(path)[1] == DATA


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/torrent",
            "/torrent/",
            TORRENT,
            f"{TORRENT}/",
            f"{TORRENT}/data",
            f"{TORRENT}/.torrent",
        ),
        *(f"{TORRENT}/p/.torrent", f"{TORRENT}/../x.torrent", f"{TORRENT}/a%2Fb.torrent"),
        *(f"/torrent/{'0' * 64}/x.torrent", "/torrent/x/x.torrent", f"{TORRENT}/x.TORRENT"),
    ],
)
def test_there_is_no_other_torrent(ask, path):
    assert status(ask(path)) == 404


@pytest.mark.parametrize(
    "place",
    [
        *("10.0.0.3:22", "169.254.169.254:80", "10.0.0.3:65536", "0.0.0.0:5455", "224.0.0.1:5455"),
        *("[::]:5455", "[ff02::1]:5455", "[::ffff:0.0.0.0]:5455"),
    ],
)
def test_a_link_has_no_torrent_name_what_no_tracker_may_list(ask, place):
    assert place.encode() not in ask(f"{TORRENT}/data.torrent?fonte={place}")[1]


@pytest.mark.parametrize("place", ["127.0.0.9:5455", "[::1]:5455", "[::ffff:127.0.0.1]:5455"])
def test_only_on_this_machine_does_a_torrent_name_its_loopback(seller, ask, monkeypatch, place):
    asked = f"{TORRENT}/data.torrent?fonte={place}"
    assert place.encode() in ask(asked)[1]
    real = web_files.is_loopback  # as for a browser from elsewhere, to which we are no loopback
    monkeypatch.setattr(web_files, "is_loopback", lambda ip: ip != seller.address.ip and real(ip))
    assert place.encode() not in ask(asked)[1]


@pytest.mark.parametrize("what", ["padding", "torrent"])
def test_nothing_of_what_a_stranger_typed_is_shown_as_what_is_sent(tmp_path, host, what):
    with selling(tmp_path, host, slots=1) as seller:
        know_all(seller)
        seller.slots.limit = 64 * 1024  # any: then not even a small body goes without a slot
        paths = {"padding": "/pasta/typed/.pad/200000000", "torrent": f"{TORRENT}/typed.torrent"}
        with (
            seller.slots.slot(SimpleNamespace(name="", to="other"), lambda _: None),
            socket.create_connection(seller.address, SOON) as bare,
        ):
            bare.sendall(f"GET {paths[what]} HTTP/1.0\r\n\r\n".encode())
            eventually(lambda: seller.slots._queue)
            (upload,) = seller.slots._queue
            assert upload.name == {"padding": ".pad", "torrent": "data.torrent"}[what]
            bare.close()
            eventually(lambda: not seller.slots._queue)


def test_too_many_others_are_400(ask):
    assert status(ask(f"{TORRENT}/a.torrent?{'&'.join(['fonte=10.0.0.3:1'] * 99)}")) == 400


def test_while_a_torrent_is_computed_it_may_be_asked_for_later(seller, ask, monkeypatch):
    go_on, waited = Event(), []

    def held(*words):
        waited.append(words)
        assert go_on.wait(SOON)
        return hash_file(*words)

    monkeypatch.setattr(hash_cache, "hash_file", held)
    monkeypatch.setattr(web_files, "DEFAULT", Timeouts(hash_report_s=0.05))
    answer, _ = ask(f"{TORRENT}/data.torrent")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
    assert answer.headers["Refresh"] == "2"
    assert ask(PATH)[1] == DATA
    go_on.set()
    eventually(lambda: status(ask(f"{TORRENT}/data.torrent")) == 200)
    assert len(waited) == 1


@pytest.mark.parametrize("name", ["65535", "65535-1", "1-99", "1"])
def test_the_padding_of_a_folder_is_zeros(ask, name):
    size = int(name.partition("-")[0])
    answer, body = ask(f"/pasta/p/.pad/{name}")
    assert (answer.status, body) == (200, bytes(size))
    answer, body = ask(f"/pasta/p/.pad/{name}", range="bytes=0-0")
    assert (answer.status, body) == (206, b"\0")
    answer, body = ask(f"/pasta/p/.pad/{name}", range=f"bytes={size - 1}-")
    assert (answer.status, body) == (206, b"\0")
    assert answer.headers["Content-Range"] == f"bytes {size - 1}-{size - 1}/{size}"


@pytest.mark.parametrize("name", ["0", "-1", "x", "1-", "1-x", "99999999999", "999999999", "1/2"])
def test_there_is_no_other_padding(ask, name):
    assert status(ask(f"/pasta/p/.pad/{name}")) == 404
    assert status(ask("/pasta/.pad")) == 404


def test_a_disk_that_takes_nothing_is_503(ask, monkeypatch):
    def refuse(**_):
        raise OSError

    monkeypatch.setattr(web_files.tempfile, "TemporaryFile", refuse)
    assert status(ask("/pasta/p/.pad/5")) == 503
    assert ask(PATH)[1] == DATA


# Who took what.


def posted(seller):
    return seller.posted.get(timeout=SOON)


def test_what_a_browser_took_is_told_and_counted(seller, host):
    with closing(HTTPConnection(*seller.address, timeout=SOON)) as browser:
        ask = asking(browser)
        ask(PATH)
        ask(PATH, "HEAD")
        ask(PATH, if_none_match=TAG)
        for start in range(0, len(DATA), 2**17):
            ask(PATH, range=f"bytes={start}-{start + 2**17 - 1}")
        ask("/pasta/small")
    assert posted(seller) == FilesServed("small", 2, len(DATA) + len(SMALL), "127.0.0.1")
    assert seller.slots.tally.sent(ROOT) == 2 * len(DATA)
    assert seller.slots.tally.given() == (2 * len(DATA) + len(SMALL), 1)


def test_who_goes_on_with_a_file_took_it_and_who_took_a_part_did_not(seller):
    for value, told in (("bytes=0-99999", False), ("bytes=100000-", True)):
        with closing(HTTPConnection(*seller.address, timeout=SOON)) as browser:
            asking(browser)(PATH, range=value)
        if told:
            assert posted(seller) == FilesServed("data", 1, len(DATA), "127.0.0.1")
    with pytest.raises(Empty):
        seller.posted.get_nowait()


# Beside the protocol of peers.


def test_only_a_first_line_is_a_browsers(seller):
    with socket.create_connection(seller.address, SOON) as bare, bare.makefile("rb") as heard:
        bare.sendall(b"ls\nGET /pasta/small HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert heard.readline().startswith(b"ok ")
        assert SMALL not in heard.read()


def test_without_a_page_a_browser_is_hung_up_on(tmp_path, host):
    with selling(tmp_path, host) as seller:
        seller.page = False
        with socket.create_connection(seller.address, SOON) as bare:
            bare.sendall(b"GET /pasta/small HTTP/1.0\r\n\r\n")
            assert bare.recv(100) == b""


# curl.


@pytest.fixture
def curl(seller, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    url = f"http://{seller.address.ip}:{seller.address.port}"

    def run(path, *words):
        command = ["curl", "-sS", "--max-time", "20", *words, f"{url}{path}"]
        return subprocess.run(command, capture_output=True, check=False, cwd=tmp_path / "got")

    (tmp_path / "got").mkdir()
    return run


def test_curl_takes_a_file_whole_and_under_its_name(curl, tmp_path):
    done = curl(PATH.replace("data", "%22%F0%9F%8E%89%3Cscript%3E'.bin"), "-OJ")
    assert done.returncode == 0, done.stderr
    (got,) = (tmp_path / "got").iterdir()
    assert got.read_bytes() == DATA


@pytest.mark.parametrize("have", [1, 100_000, len(DATA) - 1, len(DATA)])
def test_curl_goes_on_with_a_file(curl, tmp_path, have):
    (tmp_path / "got" / "data").write_bytes(DATA[:have])
    done = curl(PATH, "-O", "-C", "-")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got" / "data").read_bytes() == DATA


def test_curl_takes_ranges_heads_and_refusals(curl):
    assert curl(PATH, "-r", "7-1006").stdout == DATA[7:1007]
    assert curl(PATH, "-r", "-9").stdout == DATA[-9:]
    head = curl(PATH, "-I").stdout
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and TAG.encode() in head
    wrong = curl(f"/arquivo/{'ab' * 32}/data", "-f", "-w", "%{http_code}")
    assert wrong.stdout.endswith(b"404") and wrong.returncode == 22
