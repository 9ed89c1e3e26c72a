"""The border with the file system."""

from __future__ import annotations

import errno
import os
import random
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from disks import scribble

from rede_p2p.content import disk
from rede_p2p.content.disk import MIN_DIRECT_BYTES, OtherWriters, Writer
from rede_p2p.errors import DiskError

MIB = 2**20


def test_a_stamp_changes_with_every_state_of_a_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 1))
    seen = {disk.file_state(path)}
    os.utime(path, ns=(2, 2))
    seen.add(disk.file_state(path))
    path.write_bytes(b"longer")
    os.utime(path, ns=(2, 2))
    seen.add(disk.file_state(path))
    path.write_bytes(b"LONGER")
    os.utime(path, ns=(2, 2))  # an edit of the same size that sets the time back
    seen.add(disk.file_state(path))
    twin = tmp_path / "b"
    twin.write_bytes(b"longer")
    os.utime(twin, ns=(2, 2))
    twin.replace(path)
    seen.add(disk.file_state(path))
    assert len(seen) == 5
    assert disk.file_state(path) == disk.state_of_status(path.stat())


def test_a_new_name_leaves_the_state_as_it_was_and_an_edit_does_not(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    before = disk.file_state(path)
    path.rename(tmp_path / "b")
    assert disk.state_once_named(tmp_path / "b", before) == disk.file_state(tmp_path / "b")
    os.utime(tmp_path / "b", ns=(1, 1))
    assert disk.state_once_named(tmp_path / "b", before) is None
    assert disk.state_once_named(path, before) is None


def test_a_stamp_follows_a_link_to_its_file(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "link").symlink_to("a")
    assert disk.file_state(tmp_path / "link") == disk.file_state(tmp_path / "a")


NO_FILES = {
    "missing": (lambda path: None, "missing"),
    "folder": (lambda path: path.mkdir(), "not-file"),
    "pipe": (os.mkfifo, "not-file"),
    "dangling": (lambda path: path.symlink_to("gone"), "missing"),
    "loop": (lambda path: path.symlink_to(path), "link"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "not-file"),
    "below a file": (
        lambda path: path.parent.rmdir() or path.parent.write_bytes(b""),
        "not-folder",
    ),
}


@pytest.mark.parametrize(("make", "kind"), NO_FILES.values(), ids=NO_FILES)
def test_what_is_no_regular_file_has_no_stamp_and_is_not_opened(tmp_path, make, kind):
    path = tmp_path / "d" / "a"
    path.parent.mkdir()
    make(path)
    assert disk.file_state(path) is None
    with pytest.raises(DiskError) as caught:
        disk.open_regular(path)
    assert (caught.value.path, caught.value.kind) == (str(path), kind)


@pytest.mark.parametrize("name", ["a\x00b", "x" * 256, "\ud800"], ids=ascii)
def test_a_path_that_no_file_can_have_has_no_stamp(tmp_path, name):
    assert disk.file_state(f"{tmp_path}/{name}") is None


def test_a_regular_file_is_opened_from_its_beginning(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    with disk.open_regular(tmp_path / "a") as file:
        assert file.read() == b"content"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.EACCES, "denied"),
        (errno.EROFS, "denied"),
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "full"),
        (errno.ENOENT, "missing"),
        (errno.ENAMETOOLONG, "name-long"),
        (errno.EILSEQ, "name"),
        (errno.EMFILE, "crowded"),
        (errno.EIO, "other"),
        (None, "other"),
    ],
)
def test_an_error_of_the_system_leaves_as_one_of_ours(number, kind):
    with pytest.raises(DiskError) as caught, disk.translate_os_errors("a"):
        raise OSError(number, "the system's word")
    assert (caught.value.path, caught.value.kind) == ("a", kind)
    assert caught.value.detail


def test_syncing_a_folder_that_is_gone_is_no_error(tmp_path):
    disk.sync_folder(tmp_path / "gone")
    disk.sync_folder(tmp_path)


def test_to_begin_a_flush_is_advice_that_a_system_may_not_take(tmp_path, monkeypatch):
    with (tmp_path / "a").open("wb") as file:
        disk.begin_flush(file.fileno())
        monkeypatch.delattr(disk.os, "posix_fadvise", raising=False)
        disk.begin_flush(file.fileno())


def test_free_space_is_that_of_the_nearest_folder_that_exists(tmp_path):
    assert disk.free_space(tmp_path / "not" / "yet") > 0


def test_a_disk_that_does_not_tell_its_space_is_not_full(tmp_path, monkeypatch):
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(total=0, free=0))
    assert disk.free_space(tmp_path) > 2**60


def test_the_free_space_is_that_of_the_nearest_folder_even_for_a_path_too_long(tmp_path):
    long = tmp_path.joinpath(*["x" * 250] * 20)
    assert disk.free_space(long) > 0


def test_the_stamp_of_a_link_is_that_of_its_file_or_none(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    assert disk.file_state(tmp_path / "link") == disk.file_state(tmp_path / "file") is not None
    assert disk.file_state(tmp_path / "link", links=False) is None


# Writing ranges.


def written(path, *ranges):
    """Write (offset, data) one after the other; return how many bytes went through the cache."""
    cached = [0]
    with path.open("rb") as file, Writer(path, file, OtherWriters(file), cached.append) as writer:
        for start, data in ranges:
            writer.write(start, data)
    return sum(cached)


def aligned(count, chance):
    """Return so many random bytes in memory as a direct write wants it."""
    view = disk.page_buffer(count)
    view[:] = chance.randbytes(count)
    return view


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "a.parte"
    path.write_bytes(b"")
    return path


def test_what_is_written_much_or_little_at_once_is_there_and_the_rest_is_as_it_was(target):
    chance = random.Random(3)
    expected = bytearray(5 * MIB)
    ranges = []
    for start, count in [
        (2 * MIB, MIB),
        (0, MIN_DIRECT_BYTES),
        (MIN_DIRECT_BYTES, 1),
        (4 * MIB, MIN_DIRECT_BYTES + 1),
        (3 * MIB + 4096, MIN_DIRECT_BYTES - 4096),
        (2 * MIB + 4096, MIN_DIRECT_BYTES),
    ]:
        data = aligned(count, chance)
        expected[start : start + count] = data
        ranges.append((start, data))
    written(target, *ranges)
    size = 4 * MIB + MIN_DIRECT_BYTES + 1
    assert target.read_bytes() == expected[:size]


def test_much_at_once_goes_past_the_cache_where_the_system_lets_it(target):
    if not disk_takes_direct_writes(target):
        pytest.skip("this file system is all cache")
    data = aligned(MIN_DIRECT_BYTES, random.Random(4))
    assert written(target, (0, data)) == 0
    assert written(target, (0, data[:4096])) == 4096
    assert written(target, (1, data)) == len(data)  # no multiple of the disk's unit
    assert target.read_bytes()[1:] == data


def disk_takes_direct_writes(path):
    flag = getattr(disk.os, "O_DIRECT", None)  # which may be masked
    if flag is None:
        return False
    try:
        descriptor = os.open(path, os.O_WRONLY | flag)
    except OSError:
        return False
    try:
        os.write(descriptor, disk.page_buffer(4096))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


@pytest.mark.parametrize("call", ["open", "pwrite"])
def test_a_disk_that_wants_none_of_it_is_written_through_the_cache(target, monkeypatch, call):
    if getattr(os, "O_DIRECT", None) is None or disk._pwrite is None:
        pytest.skip("this system has no direct writes")
    real = {"open": os.open, "pwrite": disk._pwrite}[call]

    def refuse(what, *words):
        direct = words[0] & os.O_DIRECT if call == "open" else is_direct(what)
        if direct:
            raise OSError(errno.EINVAL, "no direct writes here")
        return real(what, *words)

    monkeypatch.setattr(*((os, "open") if call == "open" else (disk, "_pwrite")), refuse)
    data = aligned(MIN_DIRECT_BYTES, random.Random(5))
    assert written(target, (0, data), (len(data), data)) == 2 * len(data)
    assert target.read_bytes() == bytes(data) * 2


def is_direct(descriptor):
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT


def test_a_disk_that_is_full_is_said_by_whoever_writes(target, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk, "_write_some", fail)
    for count in (4096, MIN_DIRECT_BYTES):
        with pytest.raises(DiskError, match="full"):
            written(target, (0, aligned(count, random.Random(6))))


# What others write.


def test_what_others_write_between_our_own_writes_is_noticed_once(target):
    with target.open("r+b") as file:
        others = OtherWriters(file)
        with Writer(target, file, others, [].append) as writer:
            writer.write(0, memoryview(b"ours"))
            writer.write(4, memoryview(b"ours"))
            assert not others.found()
            scribble(target)
            writer.write(8, memoryview(b"ours"))
            assert others.found() and not others.found()
            scribble(target)
            assert others.found() and not others.found()


def test_several_of_ours_write_at_once_and_are_no_others(target):
    with target.open("r+b") as file, ThreadPoolExecutor(4) as pool:
        others = OtherWriters(file)

        def write(first):
            with Writer(target, file, others, [].append) as writer:
                for start in range(first, first + 1000 * 8, 8):
                    writer.write(start, memoryview(b"%8d" % start))

        list(pool.map(write, range(0, 32_000, 8000)))
        assert not others.found()
    assert target.read_bytes() == b"".join(b"%8d" % start for start in range(0, 32_000, 8))
