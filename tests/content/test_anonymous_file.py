"""A file without a name: it gets one that is free, over nothing, or leaves nothing."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest

from rede_p2p.content import disk
from rede_p2p.content.anonymous_file import AnonymousFile
from rede_p2p.content.safe_names import finals
from rede_p2p.errors import DiskError


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "a.txt"


@pytest.fixture
def made(path):
    file = AnonymousFile.make(str(path))
    if file is None:
        pytest.skip("this system has no unnamed files")
    yield file
    file.close()


def test_it_has_no_name_until_it_is_published(made, path):
    made.write_whole(b"whole")
    assert names_in(path.parent) == []
    state = made.state()
    assert made.publish(finals(str(path)), lambda final: False) == str(path)
    assert names_in(path.parent) == ["a.txt"]
    assert disk.state_once_named(path, state) == disk.file_state(path)
    assert path.read_bytes() == b"whole"


@pytest.mark.parametrize("taken", ["file", "folder", "broken link"])
def test_nothing_that_exists_is_replaced(made, path, taken):
    if taken == "file":
        path.touch()
    elif taken == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    given = made.publish(finals(str(path)), lambda final: False)
    assert given != str(path)
    assert names_in(path.parent) == sorted([path.name, Path(given).name])
    assert not Path(given).is_symlink()


def test_a_taken_name_of_the_same_content_is_as_good(made, path):
    path.touch()
    assert made.publish(finals(str(path)), lambda final: final == str(path)) == str(path)
    assert names_in(path.parent) == ["a.txt"]


def test_a_disk_without_hard_links_gets_a_copy_over_nothing(made, path, monkeypatch):
    def refuse(*words, **options):
        raise PermissionError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    made.write_whole(b"whole")
    path.write_bytes(b"mine")
    given = Path(made.publish(finals(str(path)), lambda final: False))
    assert (given.name, given.read_bytes(), path.read_bytes()) == ("a (1).txt", b"whole", b"mine")
    assert names_in(path.parent) == ["a (1).txt", "a.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_where_a_link_fails_for_another_reason_no_copy_is_made(made, path, monkeypatch, number):
    def fail(*words, **options):
        raise OSError(number, "no")

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(DiskError) as caught:
        made.publish(finals(str(path)), lambda final: False)
    assert caught.value.__cause__.errno == number
    assert names_in(path.parent) == []


def test_without_a_name_nothing_is_left(made, path):
    made.write_whole(b"whole")
    made.discard()
    assert names_in(path.parent) == []


def test_when_no_name_is_free_it_is_said(made, path):
    with pytest.raises(DiskError) as caught:
        made.publish(iter([]), lambda final: False)
    assert caught.value.kind == "name"


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DiskError) as caught:
        AnonymousFile.make(str(tmp_path / "file" / "a"))
    assert caught.value.kind == "not-folder"


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
def test_a_disk_that_does_not_know_them_is_no_error(path, monkeypatch, number):
    def refuse(*words):
        raise OSError(number, "no")

    monkeypatch.setattr(os, "open", refuse)
    assert AnonymousFile.make(str(path)) is None


def test_a_disk_that_takes_no_such_size_is_said(made, path):
    resource = pytest.importorskip("resource")
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(DiskError) as caught:
            made.write_whole(bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert caught.value.kind == "large"
