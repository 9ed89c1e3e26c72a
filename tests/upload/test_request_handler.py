"""What a peer answers to other peers, through a real listener."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from queue import Queue
from threading import Event, Semaphore, Thread, current_thread
from time import monotonic
from types import SimpleNamespace

import pytest
from lies import UNSAFE_NAMES
from listening import SOON
from processes import eventually
from selling import (
    DATA,
    EMPTY_ROOT,
    LAYER,
    ROOT,
    SMALL,
    SMALL_ROOT,
    edit_and_put_the_time_back,
    selling,
)
from sources import content_of

from rede_p2p.content import disk, inside, merkle
from rede_p2p.content.hashing import Hashed
from rede_p2p.content.merkle import HASH_BYTES, MIN_PIECE_BYTES, Content
from rede_p2p.download.source import describe
from rede_p2p.errors import ConnectionLostError, RefusedError
from rede_p2p.events import FilesServed
from rede_p2p.net import patience
from rede_p2p.net.connection import Connection, dial
from rede_p2p.net.turns import MAX_LISTS_PER_ADDRESS
from rede_p2p.protocol import codec
from rede_p2p.protocol.compression import decompress
from rede_p2p.protocol.messages import (
    Bundle,
    FileData,
    FileEntry,
    FileInfo,
    Get,
    Hashes,
    Join,
    Listing,
    Ls,
    Ok,
    Peers,
    PieceData,
    PieceOffer,
    Pieces,
    Quit,
    Stat,
    Take,
    Want,
)
from rede_p2p.timeouts import Timeouts
from rede_p2p.upload import request_handler, seed_store, share_list
from rede_p2p.upload.seed_store import SeedStore

MORE_THAN_BUFFERS = 64 * 1024 * 1024  # bytes; what no pair of sockets holds


@pytest.fixture
def seller(tmp_path, host):
    with selling(tmp_path, host) as seller:
        yield seller


@pytest.fixture
def buyer(seller):
    with dial(seller.address) as connection:
        yield connection


def body(connection, request):
    reply = connection.ask(request, FileData)
    return bytes(connection.receive_exactly(reply.bytes))


def refusal(connection, request):
    with pytest.raises(RefusedError) as caught:
        connection.ask(request, FileData)
    assert caught.value.message
    return caught.value.code


# Lists and names.


def test_the_list_names_everything_and_its_roots_once_they_are_known(buyer):
    names = ["data", "small", "twin", "empty", "p/in/a.txt"]
    assert [shared.name for shared in buyer.ask_lines(Ls(), FileEntry)] == names
    for name in names:
        buyer.ask(Stat(name), FileInfo)
    inside = merkle.layer_of(b"inside")
    assert buyer.ask_lines(Ls(), FileEntry) == [
        FileEntry("data", len(DATA), ROOT),
        FileEntry("small", 10, SMALL_ROOT),
        FileEntry("twin", 10, SMALL_ROOT),
        FileEntry("empty", 0, EMPTY_ROOT),
        FileEntry("p/in/a.txt", 6, inside),
    ]


@pytest.mark.parametrize(
    ("name", "size", "root"),
    [
        ("data", len(DATA), ROOT),
        ("small", 10, SMALL_ROOT),
        ("twin", 10, SMALL_ROOT),
        ("empty", 0, EMPTY_ROOT),
    ],
)
def test_the_content_under_a_name_is_answered(buyer, name, size, root):
    assert buyer.ask(Stat(name), FileInfo) == FileInfo(name, size, root)


def is_sendable(name):
    """Tell whether a name fits in a line of UTF-8."""
    return len(name) < 60_000 and name.encode(errors="ignore").decode() == name


NOT_SHARED = [
    "gone",
    "DATA",
    "data ",
    "data.bin",
    "p",
    "p/in",
    "p/../data.bin",
    "meus_arquivos.txt",
    "small.txt",
    "/etc/passwd",
    *(name for name, _ in UNSAFE_NAMES if is_sendable(name)),
]


def test_what_is_not_in_the_list_is_not_there_whatever_its_name(buyer):
    for name in NOT_SHARED:
        code = "no-such-file" if len(name.encode()) <= 1024 else "bad-field"
        assert refusal(buyer, Stat(name)) == refusal(buyer, Get(name)) == code, name
    assert buyer.ask(Stat("small"), FileInfo).size == 10


def test_while_a_file_is_hashed_how_far_that_is_is_reported(tmp_path, host):
    heard = []

    class EnoughError(Exception):
        pass

    def hear(pending):
        heard.append(pending)
        if pending.done > heard[0].done:
            raise EnoughError

    with selling(tmp_path, host, hash_report_s=0.02) as seller, dial(seller.address) as buyer:
        seller.sparse("huge", 2**36)
        seller.share("huge huge\n")
        with pytest.raises(EnoughError):
            buyer.ask(Stat("huge"), FileInfo, on_pending=hear)
    assert {(pending.place, pending.size) for pending in heard} == {(0, 2**36)}


@contextmanager
def slow_disk(monkeypatch, look):
    """Have ``look`` called before each file of the folder "many" is found."""

    def lstat(place, name):
        if place.path.endswith("/many"):
            look()
        return real(place, name)

    with monkeypatch.context() as patched:
        real = inside.lstat
        patched.setattr(inside, "lstat", lstat)
        yield


@pytest.mark.parametrize("request_", [Ls(), Stat("many/3"), Get("many/3"), Stat("nowhere")])
def test_on_a_slow_disk_the_list_comes_after_reports_and_not_after_a_deadline(
    tmp_path, host, monkeypatch, request_
):
    heard, more = [], Semaphore(0)

    def hear(pending):
        heard.append(pending.files)
        more.release()

    def wait_for_some_reports():
        if current_thread().name == "share list":  # and not where one file is looked at again
            for _ in range(5):
                more.acquire(timeout=SOON)

    with selling(tmp_path, host, hash_report_s=0.02) as seller:
        for number in range(5):
            seller.file(f"many/{number}", b"x")
        with slow_disk(monkeypatch, wait_for_some_reports):
            seller.share("many many\n")
            with dial(
                seller.address, timeouts=Timeouts(reply_s=0.4)
            ) as buyer:  # five seconds in all
                if request_ == Ls():
                    assert len(buyer.ask_lines(request_, FileEntry, hear)) == 5
                elif request_ == Stat("nowhere"):
                    with pytest.raises(RefusedError):
                        buyer.ask(request_, FileInfo, on_pending=hear)
                else:
                    kind = FileInfo if isinstance(request_, Stat) else FileData
                    assert buyer.ask(request_, kind, on_pending=hear)
    assert set(heard) >= {1, 2, 3, 4, 5}
    assert 0 not in heard  # which would say that a file must first be quiet


def test_while_a_look_is_slow_the_last_one_answers_unless_the_list_has_changed(
    tmp_path, host, monkeypatch
):
    looking, goes_on = Event(), Event()

    def block():
        looking.set()
        goes_on.wait(SOON)

    monkeypatch.setattr(share_list, "SCAN_COST_FACTOR", 0)
    monkeypatch.setattr(share_list, "SCAN_CPU_FACTOR", 0)
    hurry = dict.fromkeys(("list_poll_s", "idle_list_poll_s", "file_scan_s", "hash_report_s"), 0.02)
    with selling(tmp_path, host, **hurry) as seller:
        seller.file("many/1", b"x")
        seller.share("many many\nsmall small.txt\n")
        with dial(seller.address) as buyer:
            buyer.ask(Stat("small"), FileInfo)
            with slow_disk(monkeypatch, block):
                assert looking.wait(SOON)
                assert buyer.ask(Stat("small"), FileInfo).size == 10
                assert body(buyer, Get("small")) == SMALL
                assert not goes_on.is_set()
                seller.share("many many\n")
                with pytest.raises(RefusedError, match="no-such-file"):
                    buyer.ask(Stat("small"), FileInfo, on_pending=lambda _: goes_on.set())
                assert goes_on.is_set()


def test_a_list_that_takes_long_to_write_is_reported_too(tmp_path, host, monkeypatch):
    monkeypatch.setattr(patience, "MAX_PENDINGS_AT_ONCE", 10**9)  # it reports again and again
    told = Event()

    def hear(pending):
        if pending.files == 5:
            told.set()

    with selling(tmp_path, host, hash_report_s=0.01) as seller, dial(seller.address) as buyer:
        entry = seller.shares.entry
        monkeypatch.setattr(seller.shares, "entry", lambda one: told.wait(SOON) and entry(one))
        assert len(buyer.ask_lines(Ls(), FileEntry, hear)) == 5
    assert told.is_set()


def test_who_asks_again_and_again_has_no_disk_read_each_time(tmp_path, host, monkeypatch):
    looks, never, began = [], Event(), monotonic()

    def be_slow():
        looks.append("a look")
        never.wait(0.1)

    with selling(tmp_path, host, list_poll_s=0.0) as seller:
        seller.file("many/1", b"x")
        seller.share("many many\n")
        with slow_disk(monkeypatch, be_slow), dial(seller.address) as buyer:
            for _ in range(20):
                assert len(buyer.ask_lines(Ls(), FileEntry)) == 1
                assert refusal(buyer, Stat("nowhere")) == "no-such-file"
    # Without a bound they would be 40. One look and the next may begin close to each other.
    assert len(looks) <= 5 + (monotonic() - began) / (share_list.ASKED_COST_FACTOR * 0.1)


# Bytes by name.


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        (Get("small"), SMALL),
        (Get("twin"), SMALL),
        (Get("small", 0, 10), SMALL),
        (Get("small", 3), SMALL[3:]),
        (Get("small", 3, 4), SMALL[3:7]),
        (Get("small", 9, 1), SMALL[9:]),
        (Get("small", 10), b""),
        (Get("small", 10, 0), b""),
        (Get("small", 0, 0), b""),
        (Get("empty"), b""),
        (Get("empty", 0, 0), b""),
        (Get("p/in/a.txt"), b"inside"),
        (Get("data"), DATA),
        (Get("data", 1), DATA[1:]),
        (Get("data", 0, MIN_PIECE_BYTES), DATA[:MIN_PIECE_BYTES]),
        (Get("data", 5, MIN_PIECE_BYTES + 1), DATA[5 : MIN_PIECE_BYTES + 6]),
        (Get("data", len(DATA) - 1), DATA[-1:]),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_bytes_are_sent_whole_or_in_part(buyer, request_, found):
    assert body(buyer, request_) == found
    assert body(buyer, Get("small")) == SMALL  # nothing was left over


@pytest.mark.parametrize(
    "request_",
    [
        Get("small", 11),
        Get("small", 0, 11),
        Get("small", 10, 1),
        Get("small", 5, 6),
        Get("small", merkle.MAX_CONTENT_BYTES),
        Get("small", merkle.MAX_CONTENT_BYTES, merkle.MAX_CONTENT_BYTES),
        Get("small", 0, merkle.MAX_CONTENT_BYTES),
        Get("empty", 0, 1),
        Get("empty", 1),
    ],
    ids=repr,
)
def test_a_range_beyond_the_file_is_refused(buyer, request_):
    assert refusal(buyer, request_) == "bad-range"
    assert body(buyer, Get("small")) == SMALL


def test_what_is_sent_says_what_it_is(seller, buyer):
    buyer.ask(Stat("data"), FileInfo)
    reply = buyer.ask(Get("data", 0, 7), FileData)
    assert (reply.bytes, reply.size, reply.root) == (7, len(DATA), ROOT)


# Hashes and pieces by root.


def test_the_hashes_of_a_content_are_its_layer(buyer):
    for name in ("data", "small", "empty"):
        buyer.ask(Stat(name), FileInfo)
    assert body(buyer, Hashes(ROOT)) == LAYER
    assert body(buyer, Hashes(SMALL_ROOT)) == SMALL_ROOT
    assert body(buyer, Hashes(EMPTY_ROOT)) == EMPTY_ROOT


def test_hashes_that_the_database_lost_are_computed_again(seller, buyer):
    buyer.ask(Stat("data"), FileInfo)
    seller.hash_cache._database.execute("delete from file")
    assert body(buyer, Hashes(ROOT)) == LAYER


def test_every_run_of_pieces_is_the_bytes_of_the_content(buyer):
    buyer.ask(Stat("data"), FileInfo)
    pieces = len(LAYER) // HASH_BYTES
    for first in range(pieces):
        for count in range(1, pieces - first + 1):
            data = DATA[first * MIN_PIECE_BYTES : (first + count) * MIN_PIECE_BYTES]
            assert body(buyer, Pieces(ROOT, first, count)) == data


def test_an_empty_content_has_one_empty_piece(buyer):
    buyer.ask(Stat("empty"), FileInfo)
    assert body(buyer, Pieces(EMPTY_ROOT, 0, 1)) == b""


@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 0), (0, 7), (5, 2), (6, 1), (6, 0), (65536, 1), (65536, 65536), (0, 65536)],
)
def test_pieces_that_the_content_has_not_are_refused(buyer, first, count):
    buyer.ask(Stat("data"), FileInfo)
    assert refusal(buyer, Pieces(ROOT, first, count)) == "bad-range"
    assert body(buyer, Pieces(ROOT, 5, 1)) == DATA[5 * MIN_PIECE_BYTES :]


def test_a_content_that_is_not_here_is_refused(buyer):
    for request in (Hashes(bytes(32)), Pieces(bytes(32), 0, 1)):
        assert refusal(buyer, request) == "not-here"


def test_a_content_of_this_machine_that_is_not_shared_is_not_here(seller, buyer):
    path = seller.file("secret.txt", b"secret")
    root = seller.hash_cache.wait(str(path), disk.file_state(path), SOON)
    assert root == merkle.layer_of(b"secret")
    assert refusal(buyer, Pieces(root, 0, 1)) == "not-here"


# Files that change.


def test_a_file_that_vanished_is_there_no_more(seller, buyer):
    buyer.ask(Stat("data"), FileInfo)
    (seller.folder / "data.bin").unlink()
    assert refusal(buyer, Get("data")) == "no-such-file"
    assert refusal(buyer, Pieces(ROOT, 0, 1)) == "not-here"
    assert refusal(buyer, Hashes(ROOT)) == "not-here"


def test_a_file_that_changed_is_the_new_content_and_the_old_one_is_not_here(seller, buyer):
    buyer.ask(Stat("data"), FileInfo)
    seller.file("data.bin", b"new")
    assert refusal(buyer, Pieces(ROOT, 0, 1)) == "not-here"
    assert body(buyer, Get("data")) == b"new"
    assert buyer.ask(Stat("data"), FileInfo) == FileInfo("data", 3, merkle.layer_of(b"new"))


CHANGES = {
    "touched": lambda path: os.utime(path, ns=(1, 1)),
    "edited, its time put back": lambda path: edit_and_put_the_time_back(path),
    "cut": lambda path: os.truncate(path, 1000),
    "cut by one": lambda path: os.truncate(path, MORE_THAN_BUFFERS - 1),
    "emptied": lambda path: os.truncate(path, 0),
    "grown": lambda path: os.truncate(path, MORE_THAN_BUFFERS + 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_that_changes_while_it_is_sent_never_arrives_whole(seller, buyer, change):
    path = seller.sparse("large", MORE_THAN_BUFFERS)
    seller.share("large large\n")
    reply = buyer.ask(Get("large"), FileData)
    assert reply.bytes == MORE_THAN_BUFFERS
    view = memoryview(bytearray(1024 * 1024))
    left = reply.bytes - buyer.receive_into(view, 1)
    change(path)
    with pytest.raises(ConnectionLostError, match="lost"):
        while left:
            left -= buyer.receive_into(view[:left], 1)
    assert left > 0


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_a_file_that_loses_its_name_while_it_is_sent_arrives_as_it_was(seller, buyer, how):
    path = seller.sparse("large", MORE_THAN_BUFFERS)
    seller.share("large large\n")
    left = buyer.ask(Get("large"), FileData).bytes
    if how == "removed":
        path.unlink()
    else:
        seller.file("new", b"\xff" * 100).replace(path)
    view = memoryview(bytearray(1024 * 1024))
    while left:
        count = buyer.receive_into(view[:left], 1)
        assert not any(view[:count:4096])
        left -= count
    assert buyer.ask(Quit(), Ok) == Ok()


@contextmanager
def no_turn_left(seller, buyer):
    """Hold every turn that the buyer's address may have."""
    with ExitStack() as held:
        for _ in range(MAX_LISTS_PER_ADDRESS):
            held.enter_context(seller.slots.turns.turn(buyer.local.ip))
        yield


def test_who_reads_no_list_leaves_the_others_theirs(tmp_path, host):
    with ExitStack() as stack:
        seller = stack.enter_context(selling(tmp_path, host, reply_s=0.01))
        buyer = stack.enter_context(dial(seller.address))
        with no_turn_left(seller, buyer):  # as if it read nothing
            for request in (Ls(), Hashes(ROOT)):
                with pytest.raises(RefusedError, match="full"):
                    buyer.ask(request, Listing)
            assert buyer.ask(Stat("small"), FileInfo).size == 10
        assert buyer.ask_lines(Ls(), FileEntry)


def test_the_list_is_compressed_for_who_asks_for_it(buyer):
    for name in ("data", "small", "twin", "empty", "p/in/a.txt"):
        buyer.ask(Stat(name), FileInfo)
    bodies = []
    for request in (Ls(), Ls(zlib=True)):
        head = buyer.ask(request, Listing)
        assert head.zlib is request.zlib
        body = buyer.receive_exactly(head.bytes)
        bodies.append(decompress(body) if head.zlib else body)
        assert head.bytes <= len(bodies[-1])
    assert bodies[0] == bodies[1] != b""


# Bundles.


def described(connection, *sizes):
    """Describe a bundle of contents of these sizes."""
    text = describe([Content(ROOT, size) for size in sizes])
    connection.send(codec.encode_request(Bundle(len(text), len(sizes))) + text)
    return connection.receive_reply(Ok)


@contextmanager
def three_who_want(tmp_path, host, root, **times):
    """Yield a buyer that was told that a bundle is not here, and two that wait for an answer."""
    with selling(tmp_path, host, **times) as seller, ExitStack() as stack:
        first, *others = (stack.enter_context(dial(seller.address)) for _ in range(3))
        first.ask(Stat("data"), FileInfo)
        assert refusal(first, Want(root, b"\x80")) == "not-here"
        for other in others:
            other.send(codec.encode_request(Want(root, b"\x80")))
        yield first, others


ONE = sha256(describe([Content(ROOT, len(DATA))])).digest()  # a bundle of one file


def test_a_bundle_is_described_by_one_of_those_who_fetch_it(tmp_path, host):
    with three_who_want(tmp_path, host, ONE, description_wait_s=60.0) as (first, others):
        assert described(first, len(DATA)) == Ok()
        for other in others:
            assert other.receive_reply(PieceOffer).count


@pytest.mark.parametrize("leaves", [Connection.close, lambda first: first.ask(Quit(), Ok)])
def test_where_who_was_to_describe_a_bundle_does_not_the_next_one_is_told_to(
    tmp_path, host, leaves
):
    with three_who_want(tmp_path, host, ONE, description_wait_s=60.0) as (first, others):
        leaves(first)
        told = Queue()

        def hear(other):
            try:
                told.put((other, other.receive_reply(PieceOffer, 30.0)))
            except RefusedError as no:
                told.put((other, no.code))
                described(other, len(DATA))

        threads = [Thread(target=hear, args=(other,)) for other in others]
        for thread in threads:
            thread.start()
        (describer, no), (_, offer) = told.get(timeout=SOON), told.get(timeout=SOON)
        for thread in threads:
            thread.join()
        assert no == "not-here" and offer.count
        assert describer.ask(Want(ONE, b"\x80"), PieceOffer).count


def test_who_is_to_describe_a_bundle_does_not_wait_for_itself(tmp_path, host):
    with three_who_want(tmp_path, host, ONE, description_wait_s=60.0) as (first, others):
        assert refusal(first, Want(ONE, b"\x80")) == "not-here"
        assert described(first, len(DATA)) == Ok()  # which it is still known to do
        for other in others:
            assert other.receive_reply(PieceOffer).count


def test_who_was_too_slow_to_describe_a_bundle_does_not_end_the_wait_for_another():
    seeds, slow, other, third = SeedStore(), object(), object(), object()
    assert seeds.wait_described(ROOT, slow, 0.0) is None
    assert seeds.wait_described(ROOT, other, 0.0) is None  # it is to do so now
    seeds.end_description(ROOT, slow)
    assert seeds._describers == {ROOT: other}
    seeds.end_description(ROOT, other)
    assert seeds._describers == {}
    assert seeds.wait_described(ROOT, third, 60.0) is None


def test_nobody_waits_long_for_who_describes_nothing(tmp_path, host):
    with three_who_want(tmp_path, host, ONE, description_wait_s=0.05) as (_silent, others):
        for other in others:
            with pytest.raises(RefusedError, match="not-here"):
                other.receive_reply(PieceOffer)
        assert described(others[0], len(DATA)) == Ok()


def test_a_bundle_that_is_known_is_not_read_again(seller, buyer, monkeypatch):
    read = []
    real = codec.decode_lines
    monkeypatch.setattr(codec, "decode_lines", lambda *a: read.append(a[0]) or real(*a))
    for sizes in ((1, 2), (1, 2), (2, 1), (2, 1)):
        described(buyer, *sizes)
    assert len(read) == 2
    with dial(seller.address) as other:
        described(other, 2, 1)  # as the first one does still
        assert len(read) == 2
        text = describe([Content(ROOT, size) for size in (2, 1)])
        other.send(codec.encode_request(Bundle(len(text), 3)) + text)
        with pytest.raises(RefusedError, match="bad-count"):
            other.receive_reply(Ok)


@pytest.mark.parametrize("sizes", [(2**50,), (1, 2**40), [2**25] * 32_769])
def test_a_bundle_of_which_no_piece_would_fit_in_memory_is_refused(buyer, sizes):
    with pytest.raises(RefusedError, match="bad-field"):
        described(buyer, *sizes)


def test_a_bundle_is_described_while_every_slot_is_taken(tmp_path, host):
    with selling(tmp_path, host, slots=1) as seller, ExitStack() as stack:
        stack.enter_context(seller.slots.slot(SimpleNamespace(to="10.0.0.1"), print))
        # What is not read while its sender waits is a stall: this is more than the sockets hold.
        hurried = Timeouts(stall_s=1.0)
        buyer = stack.enter_context(dial(seller.address, timeouts=hurried))
        assert described(buyer, *range(1, 65_537)) == Ok()


def test_who_describes_bundles_slowly_leaves_the_others_theirs(tmp_path, host):
    with ExitStack() as stack:
        seller = stack.enter_context(selling(tmp_path, host, reply_s=0.01))
        buyer = stack.enter_context(dial(seller.address))
        with no_turn_left(seller, buyer):  # as if it sent nothing
            with pytest.raises(RefusedError, match="full"):
                described(buyer, 1, 2)
            assert buyer.ask(Stat("small"), FileInfo).size == 10  # not a line of what was refused
        assert described(buyer, 1, 2) == Ok()


def test_who_describes_one_bundle_after_another_is_refused_and_served_on(buyer, monkeypatch):
    monkeypatch.setattr(seed_store, "MAX_BUNDLED_FILES", 10)
    monkeypatch.setattr(seed_store, "MAX_DESCRIBED_PER_S", 0.001)
    for size in range(1, 6):
        described(buyer, size, 2)
    with pytest.raises(RefusedError, match="full"):
        described(buyer, 6, 2)
    described(buyer, 5, 2)  # costs nothing
    assert buyer.ask(Stat("small"), FileInfo).size == 10


# Files that hold other bytes in the same state.


def edit_unseen(seller, name, data, root):
    """Write other bytes as through a map of the file: what was hashed seems to be there."""
    path = seller.file(name, data)
    seen = Hashed(disk.file_state(path), Content(root, len(data)), LAYER)
    seller.hash_cache.remember([(str(path), seen)])


def announced(seller, name):
    return {entry.root for entry in seller.seeds.entries() if entry.name == name}


def test_a_file_that_a_receiver_finds_wrong_is_hashed_again_and_announced_as_it_is(seller, buyer):
    edited = DATA[: 4 * MIN_PIECE_BYTES] + bytes(MIN_PIECE_BYTES + 77)
    buyer.ask(Stat("data"), FileInfo)
    edit_unseen(seller, "data.bin", edited, ROOT)
    assert body(buyer, Pieces(ROOT, 4, 1)) == bytes(MIN_PIECE_BYTES)  # it does not know
    assert refusal(buyer, Hashes(ROOT, again=4)) == "not-here"
    assert refusal(buyer, Pieces(ROOT, 4, 1)) == "not-here"
    info = buyer.ask(Stat("data"), FileInfo)
    assert info == FileInfo("data", len(edited), content_of(edited).root)
    assert body(buyer, Pieces(info.root, 4, 1)) == bytes(MIN_PIECE_BYTES)
    eventually(lambda: seller.shares.shares() and announced(seller, "data") == {info.root})


def test_a_stranger_who_complains_of_right_pieces_makes_nobody_hash(seller, buyer):
    buyer.ask(Stat("data"), FileInfo)
    eventually(lambda: not seller.hash_cache.pending())
    for again in (0, 5, 6, 65536):
        assert body(buyer, Hashes(ROOT, again)) == LAYER
        assert seller.hash_cache.pending() == 0
    assert body(buyer, Pieces(ROOT, 5, 1)) == DATA[5 * MIN_PIECE_BYTES :]


def test_hashes_that_the_database_has_wrong_are_computed_again(seller, buyer):
    buyer.ask(Stat("data"), FileInfo)
    seller.hash_cache._database.execute(
        "update file set layer = zeroblob(192) where root = ?", ROOT
    )
    assert body(buyer, Hashes(ROOT)) == bytes(len(LAYER))
    assert body(buyer, Hashes(ROOT, again=0)) == LAYER


def test_an_edit_of_the_same_size_that_sets_the_time_back_is_another_content(seller, buyer):
    buyer.ask(Stat("data"), FileInfo)
    seller.file("data.bin", bytes(len(DATA)))
    assert refusal(buyer, Pieces(ROOT, 0, 1)) == "not-here"
    assert buyer.ask(Stat("data"), FileInfo).root == content_of(bytes(len(DATA))).root


def test_a_log_that_never_stops_growing_is_refused_in_words(tmp_path, host):
    with selling(tmp_path, host, max_quiet_wait_s=0.0, hash_report_s=0.05) as seller:
        (seller.folder / "small.txt").write_bytes(b"just now")
        with dial(seller.address) as buyer:
            assert refusal(buyer, Stat("small")) == "changed"


# Conversations.

ONE_SLOT = {"slots": 1, "place_report_s": 0.02}


def test_a_peer_is_no_tracker(buyer):
    for request in (Join(1), Peers()):
        assert refusal(buyer, request) == "unknown-verb"
    assert body(buyer, Get("small")) == SMALL


def test_requests_sent_ahead_are_answered_in_order(buyer):
    requests = [Get("small", start, 1) for start in range(10)] * 20
    buyer.send(b"".join(codec.encode_request(request) for request in requests))
    for request in requests:
        assert buyer.receive_reply(FileData).bytes == 1
        assert buyer.receive_exactly(1) == SMALL[request.start : request.start + 1]


def test_what_was_served_is_posted_when_the_buyer_has_left(seller):
    with dial(seller.address) as buyer:
        buyer.ask(Stat("data"), FileInfo)
        body(buyer, Get("small"))
        body(buyer, Get("small", 1))  # a part
        body(buyer, Pieces(ROOT, 0, 3))
        body(buyer, Pieces(ROOT, 3, 3))
        assert seller.posted.empty()
        buyer.ask(Quit(), Ok)
    assert seller.posted.get(timeout=SOON) == FilesServed("data", 2, 10 + len(DATA), buyer.local.ip)


def test_of_a_buyer_who_took_nothing_whole_nothing_is_posted(seller):
    with dial(seller.address) as buyer:
        body(buyer, Get("small", 1))
        buyer.ask(Quit(), Ok)
        assert buyer.receive_line(SOON) is None
    assert seller.posted.empty()


def test_many_buyers_are_served_at_once(seller):
    found = Queue()

    def buy():
        with dial(seller.address) as buyer:
            for _ in range(5):
                root = buyer.ask(Stat("data"), FileInfo).root
                found.put(body(buyer, Get("data")) == body(buyer, Pieces(root, 0, 6)) == DATA)

    threads = [Thread(target=buy) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found.get_nowait() for _ in range(100)] == [True] * 100


def test_who_finds_every_slot_taken_is_told_its_place_and_served_in_its_turn(tmp_path, host):
    with selling(tmp_path, host, **ONE_SLOT) as seller, ExitStack() as stack:
        seller.sparse("large", MORE_THAN_BUFFERS)
        seller.share("large large\nsmall small.txt\ndata data.bin\n")
        first, second, third = (stack.enter_context(dial(seller.address)) for _ in range(3))
        first.ask(Get("large"), FileData)  # and it takes nothing of it
        assert body(second, Get("small")) == SMALL  # what is small waits for no slot
        for place, waiting in enumerate((second, third), start=1):
            waiting.send(codec.encode_request(Get("data")))
            assert said(waiting) == codec.Pending(place=place)
        first.close()
        for waiting in (second, third):
            heard = []
            reply = waiting.receive_reply(FileData, on_pending=heard.append)
            assert waiting.receive_exactly(reply.bytes) == DATA
            assert {pending.place for pending in heard} <= {1, 2}


def said(connection):
    return codec.decode_reply(connection.receive_line(SOON), FileData)


def test_a_buyer_who_gives_up_in_the_queue_leaves_its_place(tmp_path, host):
    with selling(tmp_path, host, **ONE_SLOT) as seller, ExitStack() as stack:
        seller.sparse("large", MORE_THAN_BUFFERS)
        seller.share("large large\ndata data.bin\n")
        first, second, third = (stack.enter_context(dial(seller.address)) for _ in range(3))
        first.ask(Get("large"), FileData)
        for place, waiting in enumerate((second, third), start=1):
            waiting.send(codec.encode_request(Get("data")))
            assert said(waiting) == codec.Pending(place=place)
        second.close()
        while said(third) != codec.Pending(place=1):
            continue
        first.close()
        assert third.receive_reply(FileData).bytes == len(DATA)


def test_closing_wakes_whoever_is_served_or_waits(tmp_path, host):
    with ExitStack() as stack:
        with selling(tmp_path, host, slots=1) as seller:
            seller.sparse("large", MORE_THAN_BUFFERS)
            seller.share("large large\n")
            first, second = (stack.enter_context(dial(seller.address)) for _ in range(2))
            first.ask(Get("large"), FileData)
            second.send(codec.encode_request(Get("large")))
        with pytest.raises(ConnectionLostError):
            second.receive_reply(FileData)


def test_each_way_to_fetch_is_counted_for_its_content(seller, buyer):
    root, size = buyer.ask(Stat("data"), FileInfo).root, len(DATA)
    body(buyer, Get("data"))
    body(buyer, Pieces(root, 0, merkle.piece_count(size)))
    offer = buyer.ask(Want(root, b"\x80"), PieceOffer)
    taken = buyer.ask(Take(offer.first, 1), PieceData)
    buyer.receive_exactly(taken.bytes)
    total = 2 * size + taken.bytes
    eventually(lambda: seller.slots.tally.sent(root) == total)
    assert seller.slots.tally.given() == (total, 1)


def test_bundles_are_counted_in_the_bytes_alone(seller, buyer):
    buyer.ask(Stat("data"), FileInfo)
    text = describe([Content(ROOT, len(DATA))])
    buyer.send(codec.encode_request(Bundle(len(text), 1)) + text)
    buyer.receive_reply(Ok)
    root = sha256(text).digest()
    offer = buyer.ask(Want(root, b"\x80"), PieceOffer)
    taken = buyer.ask(Take(offer.first, 1), PieceData)
    buyer.receive_exactly(taken.bytes)
    eventually(lambda: seller.slots.tally.given() == (taken.bytes, 1))
    assert seller.slots.tally.sent(root) == 0


def test_a_complaint_waits_for_the_one_before_and_if_it_is_false_a_while_too(
    tmp_path, host, monkeypatch
):
    waited = []
    never = SimpleNamespace(wait=waited.append)
    with (
        selling(tmp_path, host, reply_s=0.05, again_pause_s=7.0) as seller,
        dial(seller.address) as buyer,
    ):
        buyer.ask(Stat("data"), FileInfo)
        monkeypatch.setattr(request_handler, "Event", lambda: never)
        with seller.slots.turns.alone("10.0.0.1"):
            assert refusal(buyer, Hashes(ROOT, again=0)) == "full"
            assert body(buyer, Hashes(ROOT)) == LAYER
        assert not waited
        assert body(buyer, Hashes(ROOT, again=0)) == LAYER
        assert waited == [7.0]
