"""The roots of the files of this machine: computed once, remembered, and never believed blindly."""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace

import pytest
from listening import SOON
from processes import eventually

from rede_p2p.content import disk, hash_cache, merkle
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.hashing import Hashed, hash_file
from rede_p2p.content.merkle import MIN_PIECE_BYTES, Content
from rede_p2p.content.v1_pieces import V1Hasher
from rede_p2p.errors import DiskError

LONG_AGO = 1_500_000_000_000_000_000  # nanoseconds; a file this old need not settle


def write(path, data, mtime_ns=LONG_AGO):
    path.write_bytes(data)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return str(path)


def sparse(path, size):
    """Make a file that takes long to hash and no space."""
    with path.open("wb") as file:
        file.truncate(size)
    os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return str(path)


def layer_and_root(data):
    step = merkle.piece_length(len(data))
    layer = b"".join(
        merkle.piece_hashes(data[at : at + length], len(data))[0]
        for at, length in merkle.cut(len(data), step)
    )
    return layer, merkle.root_of(layer, len(data))


def rows(database):
    with closing(sqlite3.connect(database)) as found:
        return found.execute("select path, size, root, layer from file").fetchall()


@pytest.fixture
def open_caches():
    """Return how to open hash caches, all of which are closed at the end."""
    opened = []

    def open_one(database=None):
        opened.append(HashCache(database))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


# What cannot be hashed.


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: None, "missing"),
        (lambda path: path.mkdir(), "not-file"),
        (os.mkfifo, "not-file"),
        (lambda path: path.symlink_to("gone"), "missing"),
        (lambda path: path.symlink_to(path), "link"),
        (lambda path: path.symlink_to("/dev/zero"), "not-file"),
    ],
    ids=["missing", "folder", "pipe", "dangling", "loop", "device"],
)
def test_what_is_no_file_is_said_by_whoever_waits(tmp_path, open_caches, make, kind):
    path = tmp_path / "a"
    make(path)
    with pytest.raises(DiskError) as caught:
        open_caches().wait(str(path), disk.FileState(0, 0, 0, 0), SOON)
    assert (caught.value.path, caught.value.kind) == (str(path), kind)


def test_a_file_without_permission_is_said_and_hashed_once_it_has_it(tmp_path, open_caches):
    path = write(tmp_path / "a", b"secret")
    state, found = disk.file_state(path), open_caches()
    (tmp_path / "a").chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("an administrator may read everything")
    with pytest.raises(DiskError, match="denied"):
        found.wait(path, state, SOON)
    (tmp_path / "a").chmod(0o600)
    assert found.wait(path, state, SOON) == layer_and_root(b"secret")[1]


# Remembering.


def test_a_root_is_in_the_database_and_is_known_to_the_next_program(tmp_path, open_caches):
    database = tmp_path / "deep/er/roots.sqlite3"
    data = random.Random(1).randbytes(3 * MIN_PIECE_BYTES)
    layer, root = layer_and_root(data)
    path = write(tmp_path / "a", data)
    state, first = disk.file_state(path), HashCache(database)
    assert first.known(path, state) is None
    assert first.wait(path, state, SOON) == root
    first.close()
    ((_, size, stored, stored_layer),) = rows(database)
    assert (size, stored, stored_layer) == (len(data), root, layer)

    (tmp_path / "a").unlink()  # only a remembered root can be told
    second = open_caches(database)
    assert second.known(path, state) == root
    assert second.wait(path, state, 0) == root
    assert second.paths(root) == [path]
    assert second.layer(path, Content(root, len(data))) == layer


@pytest.mark.parametrize(
    "change",
    [
        lambda path: write(path, b"other, longer"),
        lambda path: write(path, b"twin", LONG_AGO + 1),
        lambda path: write(path, b"twin"),
        lambda path: (
            write(path.with_suffix(".new"), b"twin") and path.with_suffix(".new").replace(path)
        ),
    ],
    ids=["size", "time", "nothing but the bytes", "inode"],
)
def test_a_file_that_changed_is_hashed_again(tmp_path, open_caches, change):
    found, path = open_caches(tmp_path / "db"), tmp_path / "a"
    write(path, b"once")
    before = disk.file_state(path)
    old = found.wait(str(path), before, SOON)
    change(path)
    after = disk.file_state(path)
    assert found.known(str(path), after) is None
    new = found.wait(str(path), after, SOON)
    assert new == layer_and_root(path.read_bytes())[1]
    assert found.known(str(path), before) is None
    assert (found.paths(old), found.paths(new)) == ([], [str(path)])


def test_files_of_one_content_are_all_found_by_its_root(tmp_path, open_caches):
    found = open_caches()
    paths = [write(tmp_path / name, b"same") for name in "cab"]
    (root,) = {found.wait(path, disk.file_state(path), SOON) for path in paths}
    assert found.paths(root) == sorted(paths)
    assert found.paths(bytes(32)) == []


def test_what_a_download_computed_is_kept(tmp_path, open_caches):
    data = random.Random(2).randbytes(2 * MIN_PIECE_BYTES)
    layer, root = layer_and_root(data)
    path = write(tmp_path / "a", data)
    found, content = open_caches(tmp_path / "db"), Content(root, len(data))
    found.remember([(path, Hashed(disk.file_state(path), content, layer))])
    assert found.known(path, disk.file_state(path)) == root
    assert found.layer(path, content) == layer


def test_a_content_of_one_piece_needs_no_stored_layer(tmp_path, open_caches):
    content = Content(bytes(32), MIN_PIECE_BYTES)
    assert open_caches().layer("nowhere", content) == content.root


def test_a_layer_that_was_never_computed_is_none(open_caches):
    assert open_caches().layer("nowhere", Content(bytes(32), MIN_PIECE_BYTES + 1)) is None


def test_a_path_that_is_not_utf_8_is_hashed_and_remembered(tmp_path):
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    os.mkdir(folder)  # noqa: PTH102
    data = random.Random(3).randbytes(2 * MIN_PIECE_BYTES)
    path = f"{folder}/a"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(data)
    layer, root = layer_and_root(data)
    for within in (SOON, 0):  # computed, and then remembered
        found = HashCache(tmp_path / "db")
        try:
            assert found.wait(path, disk.file_state(path), within) == root
            assert found.paths(root) == [path]
            assert found.layer(path, Content(root, len(data))) == layer
        finally:
            found.close()


@pytest.mark.parametrize("seconds", [10_000_000_000, -1, -10_000_000_000])
def test_a_file_of_any_time_is_hashed_and_remembered(tmp_path, open_caches, seconds):
    found, path = open_caches(tmp_path / "db"), tmp_path / "a"
    path.write_bytes(b"x")
    os.utime(path, (seconds, seconds))
    root = found.wait(str(path), disk.file_state(path), SOON)
    assert root == layer_and_root(b"x")[1]
    assert open_caches(tmp_path / "db").known(str(path), disk.file_state(path)) == root


def test_an_inode_of_64_bits_is_remembered(tmp_path, open_caches):
    path = write(tmp_path / "a", b"a")
    parts = list((tmp_path / "a").stat())
    parts[1] = 2**64 - 1
    state = disk.state_of_status(
        os.stat_result(parts, {"st_mtime_ns": LONG_AGO, "st_ctime_ns": LONG_AGO})
    )
    found = open_caches(tmp_path / "db")
    found.remember([(path, Hashed(state, Content(bytes(32), 1), bytes(32)))])
    assert found.known(path, state) == bytes(32)


# A database that is not as it should be costs time, never truth.


def garbage(database):
    database.write_bytes(b"this is no database" * 1000)


def a_folder(database):
    database.mkdir()


def another_table(database):
    with closing(sqlite3.connect(database)) as found:
        found.execute("create table root (path text primary key, colour text)")
        found.execute("insert into root values ('a', 'blue')")
        found.commit()


def an_older_version(database):
    with closing(sqlite3.connect(database)) as found:
        found.execute(
            "create table root (path blob primary key, size integer, mtime_ns integer,"
            "inode integer, root blob not null, layer blob not null) without rowid"
        )
        found.execute("insert into root values (x'2f61', 1, 2, 3, x'00', x'00')")
        found.commit()


def a_good_one(database, tmp_path):
    found = HashCache(database)
    for number in range(40):
        path = write(tmp_path / f"x{number}", b"")
        layer = random.Random(number).randbytes(100 * 32)
        content = Content(layer[:32], 100 * MIN_PIECE_BYTES)
        found.remember([(path, Hashed(disk.file_state(path), content, layer))])
    found.close()


def broken_pages(database, tmp_path):
    a_good_one(database, tmp_path)
    size = database.stat().st_size
    assert size > 16 * 4096
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(size - 4096))


def cut_short(database, tmp_path):
    a_good_one(database, tmp_path)
    os.truncate(database, 3 * 4096)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda database, _: garbage(database),
        lambda database, _: a_folder(database),
        lambda database, _: another_table(database),
        lambda database, _: an_older_version(database),
        lambda database, _: database.parent.rmdir() or database.parent.write_text("a file"),
        broken_pages,
        cut_short,
    ],
    ids=["garbage", "folder", "table", "older", "parent", "pages", "cut"],
)
def test_a_spoilt_database_is_survived(tmp_path, open_caches, spoil):
    database = tmp_path / "cache/roots.sqlite3"
    database.parent.mkdir()
    spoil(database, tmp_path)
    data = random.Random(4).randbytes(2 * MIN_PIECE_BYTES)
    layer, root = layer_and_root(data)
    path, found = write(tmp_path / "a", data), open_caches(database)
    assert found.wait(path, disk.file_state(path), SOON) == root
    assert found.layer(path, Content(root, len(data))) == layer


def test_a_database_that_another_program_uses_is_shared(tmp_path, open_caches):
    one, other = open_caches(tmp_path / "db"), open_caches(tmp_path / "db")
    path, twin = write(tmp_path / "a", b"a"), write(tmp_path / "b", b"b")
    assert one.wait(path, disk.file_state(path), SOON) == layer_and_root(b"a")[1]
    assert other.wait(twin, disk.file_state(twin), SOON) == layer_and_root(b"b")[1]


def test_without_a_cache_folder_there_is_no_database(monkeypatch):
    monkeypatch.setattr(hash_cache, "cache_folder", lambda: None)
    assert hash_cache.default_database() is None


# Waiting.


def test_one_who_waits_is_told_none_and_how_far_it_is(tmp_path, open_caches):
    path, found = sparse(tmp_path / "a", 2**40), open_caches()
    state = disk.file_state(path)
    assert found.wait(path, state, 0.01) is None
    eventually(lambda: found.progress(path))
    assert 0 < found.progress(path) < 2**40
    assert found.pending() == 1
    assert found.progress("another") == 0
    found.close()  # which waits for no more than one read


def test_one_who_waits_is_told_when_it_closes(tmp_path):
    path, found = sparse(tmp_path / "a", 2**40), HashCache(None)
    kinds = []

    def wait():
        with pytest.raises(DiskError) as caught:
            found.wait(path, disk.file_state(path), 60)
        kinds.append(caught.value.kind)

    waiting = Thread(target=wait)
    waiting.start()
    eventually(lambda: found.progress(path))
    found.close()
    waiting.join(SOON)
    assert kinds == ["stopped"]
    with pytest.raises(DiskError, match="stopped"):
        found.wait(path, disk.file_state(path), 60)


@pytest.mark.parametrize("becomes", [b"twin", b"twins", b"true", None])
def test_a_file_that_changes_while_it_waits_is_judged_as_what_it_became(
    tmp_path, open_caches, monkeypatch, becomes
):
    path, content = tmp_path / "a", Content(layer_and_root(b"true")[1], 4)
    write(path, b"once")
    looks = []

    def change():
        looks.append(path)
        if len(looks) == 2:
            path.unlink()
            if becomes is not None:
                write(path, becomes, LONG_AGO + 1)
        assert len(looks) < 50, "it is looked at for ever"

    found = open_caches()
    busy, go_on = write(tmp_path / "busy", b""), Event()

    def held(path, report, stopped, v1_piece):
        if path == busy:  # so that the first look does not end
            assert go_on.wait(SOON)
        return hash_file(path, report, stopped, v1_piece)

    monkeypatch.setattr(hash_cache, "hash_file", held)
    found.want(busy, 0, soon=True)
    answer = []
    asking = Thread(target=lambda: answer.append(found.is_content(str(path), content, change)))
    asking.start()
    eventually(lambda: len(looks) >= 2)
    go_on.set()
    asking.join(SOON)
    assert answer == [becomes == b"true"]


def test_what_somebody_waits_for_is_hashed_before_what_is_only_wanted(
    tmp_path, open_caches, monkeypatch
):
    order, begun, go_on = [], Event(), Event()

    def recorded(path, report, stopped, v1_piece):
        order.append(path)
        begun.set()
        assert go_on.wait(SOON)
        return hash_file(path, report, stopped, v1_piece)

    monkeypatch.setattr(hash_cache, "hash_file", recorded)
    first, second, third = (write(tmp_path / name, name.encode()) for name in "abc")
    found = open_caches()
    found.want(first, 1)
    assert begun.wait(SOON)
    found.want(second, 1)
    found.want(first, 1)  # it is under way
    found.want(third, 1)
    found.want(third, 1, soon=True)
    assert found.pending() == 3
    go_on.set()
    assert found.wait(second, disk.file_state(second), SOON)
    assert order[:3] == [first, third, second]


def test_a_file_written_this_very_moment_is_hashed_when_it_has_settled(tmp_path, open_caches):
    path, found = tmp_path / "a", open_caches()
    path.write_bytes(b"one")
    found.want(str(path), 3)
    path.write_bytes(b"two")  # within the same tick of the clock, perhaps
    assert found.wait(str(path), disk.file_state(path), SOON) == layer_and_root(b"two")[1]


# What is believed of a file that is here.


def test_an_edit_in_the_same_tick_as_the_download_is_not_taken_for_the_content(
    tmp_path, open_caches
):
    path, found = tmp_path / "a", open_caches()
    layer, root = layer_and_root(b"true")
    path.write_bytes(b"edit")
    state = disk.file_state(path)
    # As on a disk that counts in two seconds: the edit left the state of what was downloaded.
    coarse = state._replace(mtime_ns=state.ctime_ns)
    found.remember([(str(path), Hashed(coarse, Content(root, 4), layer))])
    assert found.known(str(path), coarse) == root
    assert not found.is_content(str(path), Content(root, 4), lambda: None)


def test_what_was_hashed_long_after_its_last_change_is_not_read_again(
    tmp_path, open_caches, monkeypatch
):
    path, now_ns = tmp_path / "a", hash_cache.time.time_ns() + hash_cache.SETTLE_NS
    write(path, b"true")
    monkeypatch.setattr(hash_cache.time, "time_ns", lambda: now_ns)
    content = Content(layer_and_root(b"true")[1], 4)
    assert open_caches(tmp_path / "db").is_content(str(path), content, lambda: None)
    monkeypatch.setattr(hash_cache, "hash_file", None)
    assert open_caches(tmp_path / "db").is_content(str(path), content, lambda: None)


# Who goes first.


def test_a_small_file_does_not_wait_for_a_huge_one_which_goes_on_where_it_was(
    tmp_path, open_caches
):
    found, huge = open_caches(), sparse(tmp_path / "huge", 2**40)
    found.want(huge, 2**40)
    eventually(lambda: found.progress(huge))
    before = found.progress(huge)
    path = write(tmp_path / "small", b"7 bytes")
    assert found.wait(path, disk.file_state(path), SOON) == layer_and_root(b"7 bytes")[1]
    assert found.progress(huge) >= before
    eventually(lambda: found.pending() == 1)  # who waited may be faster than who hashed


def test_a_file_found_small_is_hashed_while_a_huge_one_is_though_nobody_waits(
    tmp_path, open_caches
):
    found, huge = open_caches(), sparse(tmp_path / "huge", 2**40)
    found.want(huge, 2**40)
    eventually(lambda: found.progress(huge))
    path = write(tmp_path / "small", b"7 bytes")
    found.want(path, 7)
    eventually(lambda: found.known(path, disk.file_state(path)))


def test_a_thousand_empty_files_are_hashed_one_after_the_other(tmp_path, open_caches):
    paths = [write(tmp_path / f"{number}", b"") for number in range(1000)]
    cache = open_caches()
    for path in paths:
        cache.want(path, 0)
    assert all(cache.wait(path, disk.file_state(path), SOON) for path in paths)


def test_a_bug_in_one_file_is_told_to_who_waits_for_it_and_the_others_are_hashed(
    tmp_path, open_caches, monkeypatch
):
    def fail(path, *words):
        if path.endswith("a"):
            raise MemoryError
        return hash_file(path, *words)

    caught, hash_file = [], hash_cache.hash_file
    monkeypatch.setattr(threading, "excepthook", caught.append)
    monkeypatch.setattr(hash_cache, "hash_file", fail)
    path, cache = write(tmp_path / "a", b"a"), open_caches()
    for _ in range(2):
        with pytest.raises(DiskError, match="other"):
            cache.wait(path, disk.file_state(path), SOON)
    assert not cache.is_content(path, Content(bytes(32), 1), lambda: None)
    assert caught[0].exc_type is MemoryError
    other = write(tmp_path / "b", b"b")
    assert cache.wait(other, disk.file_state(other), SOON)


def test_who_waits_is_told_when_the_thread_has_ended(tmp_path, open_caches, monkeypatch):
    def fail(*_):
        raise SystemExit

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(hash_cache, "hash_file", fail)
    path, cache = write(tmp_path / "a", b"a"), open_caches()
    for _ in range(2):
        with pytest.raises(DiskError, match="stopped"):
            cache.wait(path, disk.file_state(path), SOON)
    assert not cache.is_content(path, Content(bytes(32), 1), lambda: None)


def test_of_a_root_that_no_file_has_any_more_nothing_is_kept(tmp_path, open_caches):
    path, cache = write(tmp_path / "a", b""), open_caches()
    roots = []
    for number in range(5):
        write(tmp_path / "a", b"%d" % number)
        roots.append(cache.wait(path, disk.file_state(path), SOON))
    assert [cache.paths(root) for root in roots] == [[]] * 4 + [[path]]
    assert len(cache._by_root) == 1


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="only Linux has such files")
def test_a_file_without_a_length_that_can_be_read_is_no_file(open_caches):
    cache = open_caches()
    with pytest.raises(DiskError, match="not-file"):
        cache.wait("/proc/version", disk.file_state("/proc/version"), SOON)


def test_what_somebody_waits_for_is_hashed_while_a_smaller_one_is_put_off(tmp_path, open_caches):
    found, idle = open_caches(), sparse(tmp_path / "idle", 2**40)
    found.want(idle, 2**40)
    eventually(lambda: found.progress(idle))
    asked = sparse(tmp_path / "asked", 2**41)
    assert found.wait(asked, disk.file_state(asked), 0.01) is None
    eventually(lambda: found.progress(asked))
    assert found.progress(idle)


def test_a_file_system_that_tells_of_an_open_file_another_time_keeps_nobody_waiting(
    tmp_path, open_caches, monkeypatch
):
    """As Windows does: the time that it calls the last change is told by one of two calls."""
    real = os.fstat

    def fstat(descriptor):
        found = real(descriptor)
        return SimpleNamespace(
            st_size=found.st_size, st_mtime_ns=found.st_mtime_ns, st_ino=found.st_ino,
            st_ctime_ns=found.st_ctime_ns + 12_000_000, st_mode=found.st_mode,
            st_dev=found.st_dev, st_nlink=found.st_nlink, st_blksize=4096,
        )  # fmt: skip

    path, looks = write(tmp_path / "a", b"one"), []
    monkeypatch.setattr(os, "fstat", fstat)

    def check():
        looks.append(1)
        assert len(looks) < 50, "it is looked at for ever"

    layer, root = layer_and_root(b"one")
    assert layer and open_caches().is_content(path, Content(root, 3), check)


def test_what_was_doubted_is_hashed_again_by_the_next_program_too(tmp_path, open_caches):
    path, database = write(tmp_path / "a", b"one"), tmp_path / "roots.sqlite3"
    first = open_caches(database)
    state = disk.file_state(path)
    assert first.wait(path, state, SOON)
    first.forget(path)
    first.close()
    assert open_caches(database).known(path, state) is None


# BitTorrent v1.


def torrent_layers(cache, path, data, piece=MIN_PIECE_BYTES, timeout=SOON):
    content = Content(layer_and_root(data)[1], len(data))
    return cache.torrent_layers(path, content, piece, timeout, soon=True)


def v1_digests(data, piece=MIN_PIECE_BYTES):
    hasher = V1Hasher(piece)
    hasher.add(memoryview(data))
    return hasher.digests()


@pytest.mark.parametrize("size", [0, 1, MIN_PIECE_BYTES, 3 * MIN_PIECE_BYTES + 1])
def test_the_pieces_of_v1_are_hashed_once_and_remembered_with_the_layer(
    tmp_path, open_caches, monkeypatch, size
):
    data = random.Random(size).randbytes(size)
    path, database = write(tmp_path / "a", data), tmp_path / "roots.sqlite3"
    expected = layer_and_root(data)[0], v1_digests(data)
    found = open_caches(database)
    assert torrent_layers(found, path, data) == expected
    monkeypatch.setattr(hash_cache, "hash_file", None)
    assert torrent_layers(found, path, data) == expected
    assert torrent_layers(open_caches(database), path, data) == expected


def test_each_length_of_a_piece_has_its_own_digests(tmp_path, open_caches):
    data = random.Random(3).randbytes(5 * MIN_PIECE_BYTES)
    path, found = write(tmp_path / "a", data), open_caches()
    for piece in (MIN_PIECE_BYTES, 2 * MIN_PIECE_BYTES, MIN_PIECE_BYTES):
        layers = torrent_layers(found, path, data, piece)
        assert layers == (layer_and_root(data)[0], v1_digests(data, piece))


def test_of_a_file_that_is_another_content_by_now_there_are_none(tmp_path, open_caches):
    path, found = write(tmp_path / "a", b"new"), open_caches()
    assert torrent_layers(found, path, b"old") is None
    state = disk.file_state(path)
    assert found.known(path, state) == layer_and_root(b"new")[1]


def test_what_is_being_hashed_without_them_is_hashed_again(tmp_path, open_caches, monkeypatch):
    begun, go_on, asked = Event(), Event(), []

    def held(path, report, stopped, v1_piece):
        asked.append(v1_piece)
        begun.set()
        assert go_on.wait(SOON)
        return hash_file(path, report, stopped, v1_piece)

    monkeypatch.setattr(hash_cache, "hash_file", held)
    path, found = write(tmp_path / "a", b"one"), open_caches()
    found.want(path, 3)
    assert begun.wait(SOON)
    assert torrent_layers(found, path, b"one", timeout=0.01) is None
    go_on.set()
    eventually(lambda: torrent_layers(found, path, b"one") is not None)
    assert asked == [0, MIN_PIECE_BYTES]


def test_a_file_that_cannot_be_read_any_more_has_no_pieces_of_v1(tmp_path, open_caches):
    found = open_caches()
    with pytest.raises(DiskError):
        torrent_layers(found, str(tmp_path / "none"), b"gone")


def test_a_change_is_counted_once_it_can_be_seen(open_caches, tmp_path, monkeypatch):
    cache = open_caches()
    path = write(tmp_path / "a", b"a")
    seen, learn = [], cache._learn

    def learn_and_look(*given):
        learn(*given)
        seen.append(cache.changes)

    monkeypatch.setattr(cache, "_learn", learn_and_look)
    cache.remember([(path, hash_file(path, lambda _: None, lambda: False))] * 2)
    assert (seen, cache.changes) == ([0, 0], 1)
    cache.forget(path)
    assert cache.changes == 2
