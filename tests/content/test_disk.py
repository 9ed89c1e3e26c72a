"""The border with the file system."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys

import pytest
from lies import NOT_ON_WINDOWS

from rede_p2p.content import disk
from rede_p2p.content.disk import MIN_DIRECT_BYTES, Writer
from rede_p2p.errors import DiskError, UnsafeNameError

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
    twin = tmp_path / "b"
    twin.write_bytes(b"longer")
    os.utime(twin, ns=(2, 2))
    twin.replace(path)
    seen.add(disk.file_state(path))
    assert len(seen) == 4
    assert disk.file_state(path) == disk.state_of_status(path.stat())


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


def test_free_space_is_that_of_the_nearest_folder_that_exists(tmp_path):
    assert disk.free_space(tmp_path / "not" / "yet") > 0


def test_syncing_a_folder_that_is_gone_is_no_error(tmp_path):
    disk.sync_folder(tmp_path / "gone")
    disk.sync_folder(tmp_path)


def test_all_is_made_durable_at_once_where_the_system_waits_for_it(monkeypatch):
    assert disk.sync_everything() == (sys.platform == "linux" and hasattr(disk.os, "sync"))
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not disk.sync_everything()


def test_the_stamp_of_a_link_is_that_of_its_file_or_none(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "link").symlink_to("file")
    assert disk.file_state(tmp_path / "link") == disk.file_state(tmp_path / "file") is not None
    assert disk.file_state(tmp_path / "link", links=False) is None


def test_as_many_descriptors_are_taken_as_the_system_grants():
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        disk.raise_descriptor_limit()
        disk.raise_descriptor_limit()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert hard == before[1]
        assert soft == min(disk.MAX_DESCRIPTORS, hard if hard > 0 else disk.MAX_DESCRIPTORS)
        assert disk.descriptor_limit() == soft
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_system_that_grants_less_than_it_says_is_asked_for_less(monkeypatch):
    resource = pytest.importorskip("resource")
    granted = []

    def grant(_, limits):
        if limits[0] > 10_240:
            raise ValueError("current limit exceeds maximum limit")
        granted.append(limits)

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", grant)
    disk.raise_descriptor_limit()
    assert granted == [(8192, resource.RLIM_INFINITY)]


# Writing ranges.


def written(path, *ranges):
    """Write (offset, data) one after the other; return how many bytes went through the cache."""
    with path.open("rb") as file, Writer(path, file) as writer:
        for start, data in ranges:
            writer.write(start, data)
        return writer.cached


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


# Names that a disk cannot hold.


@pytest.mark.parametrize(("name", "kind", "text"), NOT_ON_WINDOWS, ids=ascii)
def test_windows_refuses_what_it_cannot_write_and_says_what(tmp_path, name, kind, text):
    with pytest.raises(DiskError) as caught:
        disk.check_writable(name, tmp_path / "baixados", windows=True)
    assert (caught.value.path, caught.value.kind, caught.value.detail) == (name, kind, text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "kind", "text"), NOT_ON_WINDOWS, ids=ascii)
def test_a_disk_that_holds_any_name_takes_it_and_keeps_nothing_of_the_trial(
    tmp_path, name, kind, text
):
    assert disk.check_writable(name, tmp_path / "baixados", windows=False) == name
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("windows", [True, False])
def test_an_unsafe_name_is_refused_on_every_disk(tmp_path, windows):
    for name in ("../a", "C:a", "p/c:x", "a\\b", ".a", "a.parte"):
        with pytest.raises(UnsafeNameError):
            disk.check_writable(name, tmp_path, windows=windows)


@pytest.mark.parametrize(("name", "kind", "text"), NOT_ON_WINDOWS, ids=ascii)
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOENT, errno.EILSEQ])
def test_a_disk_that_refuses_a_name_is_told_by_the_trial(
    tmp_path, monkeypatch, name, kind, text, number
):
    """As FAT does: EINVAL for a character; a last dot is dropped without a word."""
    real = os.open

    def as_on_fat(path, *rest):
        if set('<>:"|?*').intersection(os.path.basename(path)):  # noqa: PTH119
            raise OSError(number, "Invalid argument")
        return real(path, *rest)

    monkeypatch.setattr(os, "open", as_on_fat)
    with pytest.raises(DiskError) as caught:
        disk.check_writable(name, tmp_path, windows=False)
    assert (caught.value.kind, caught.value.detail) == (kind, text)


def test_a_disk_that_cannot_be_tried_is_left_to_who_writes(tmp_path):
    """A folder that may not be written has a sentence of its own."""
    (tmp_path / "file").write_bytes(b"")
    assert disk.check_writable("a?", tmp_path / "file", windows=False) == "a?"


def test_the_free_space_is_that_of_the_nearest_folder_even_for_a_path_too_long(tmp_path):
    long = tmp_path.joinpath(*["x" * 250] * 20)
    assert disk.free_space(long) > 0


@pytest.fixture
def fat(tmp_path):
    """A real FAT disk, where this system has it and may mount it."""
    image, folder = tmp_path / "fat.img", tmp_path / "fat"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(16 * MIB)
    for words in (["mkfs.vfat", str(image)], ["mount", "-o", "loop,utf8", str(image), str(folder)]):
        if shutil.which(words[0]) is None:
            pytest.skip(f"there is no {words[0]}")
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"FAT cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_real_fat_disk_refuses_the_names_that_windows_refuses(fat):
    for name, kind, text in NOT_ON_WINDOWS:
        with pytest.raises(DiskError) as caught:
            disk.check_writable(name, fat)
        assert (caught.value.kind, caught.value.detail) == (kind, text)
    assert disk.check_writable("ação.txt", fat) == "ação.txt"
    assert list(fat.iterdir()) == []
