"""The border with the file system."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from rede_p2p import disk
from rede_p2p.errors import DiskError


def test_a_stamp_changes_with_every_state_of_a_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 1))
    seen = {disk.stamp(path)}
    os.utime(path, ns=(2, 2))
    seen.add(disk.stamp(path))
    path.write_bytes(b"longer")
    os.utime(path, ns=(2, 2))
    seen.add(disk.stamp(path))
    twin = tmp_path / "b"
    twin.write_bytes(b"longer")
    os.utime(twin, ns=(2, 2))
    twin.replace(path)
    seen.add(disk.stamp(path))
    assert len(seen) == 4
    assert disk.stamp(path) == disk.stamp_of(path.stat())


def test_a_stamp_follows_a_link_to_its_file(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "link").symlink_to("a")
    assert disk.stamp(tmp_path / "link") == disk.stamp(tmp_path / "a")


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
    assert disk.stamp(path) is None
    with pytest.raises(DiskError) as caught:
        disk.open_regular(path)
    assert (caught.value.path, caught.value.kind) == (str(path), kind)


@pytest.mark.parametrize("name", ["a\x00b", "x" * 256, "\ud800"], ids=ascii)
def test_a_path_that_no_file_can_have_has_no_stamp(tmp_path, name):
    assert disk.stamp(f"{tmp_path}/{name}") is None


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
        (errno.ENAMETOOLONG, "name"),
        (errno.EIO, "other"),
        (None, "other"),
    ],
)
def test_an_error_of_the_system_leaves_as_one_of_ours(number, kind):
    with pytest.raises(DiskError) as caught, disk.border("a"):
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
    assert disk.stamp(tmp_path / "link") == disk.stamp(tmp_path / "file") is not None
    assert disk.stamp(tmp_path / "link", links=False) is None


def test_as_many_descriptors_are_taken_as_the_system_grants():
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        disk.allow_descriptors()
        disk.allow_descriptors()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert hard == before[1]
        assert soft == min(disk.DESCRIPTORS, hard if hard > 0 else disk.DESCRIPTORS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
