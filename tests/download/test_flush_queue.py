"""Files that await the disk: flushed by the group, taken in order, closed whatever happens."""

from __future__ import annotations

import os

import pytest

from rede_p2p.content import descriptors, disk, group_flush
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.download import flush_queue
from rede_p2p.download.flush_queue import FlushQueue, Written
from rede_p2p.errors import DiskError


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Return how to write one more file, of groups of three."""
    monkeypatch.setattr(flush_queue, "FILES_PER_FLUSH", 3)
    monkeypatch.setattr(group_flush, "is_worth_it", lambda _: False)

    def write(name):
        return Written(None, PartialFile(tmp_path / name), b"")

    return write


def names(group):
    return [one.file.path.name for one in group]


def close_one(written):
    written.file.close()


def close(group):
    for one in group:
        close_one(one)


def test_a_full_group_is_flushed_and_the_groups_are_taken_in_order(written):
    with FlushQueue(close_one) as queue:
        full = [queue.add(written(f"{number}"), 1) for number in range(7)]
        assert full == [False, False, True] * 2 + [False]
        queue.flush()
        found = []
        for group, error in queue.take(0):
            found.append(names(group))
            close(group)
            assert error is None
    assert found == [["0", "1", "2"], ["3", "4", "5"], ["6"]]


def test_many_bytes_are_a_full_group(written):
    with FlushQueue(close_one) as queue:
        assert queue.add(written("a"), flush_queue.BYTES_PER_FLUSH)


def test_an_error_of_one_file_is_given_with_its_group_alone(written, monkeypatch):
    fsync = os.fsync

    def fail(descriptor):
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith("/1"):  # noqa: PTH115
            raise OSError(28, "no space")
        fsync(descriptor)

    if not disk.NAMES_OPEN_FILES:
        pytest.skip("this system does not name open files")
    monkeypatch.setattr(os, "fsync", fail)
    with FlushQueue(close_one) as queue:
        for number in range(6):
            queue.add(written(f"{number}"), 1)
        errors = []
        for group, error in queue.take(0):
            errors.append(error and error.kind)
            close(group)
    assert errors == ["full", None]


def test_what_nobody_took_is_closed_in_the_end(written, tmp_path):
    with pytest.raises(DiskError), FlushQueue(close_one) as queue:
        for number in range(4):
            queue.add(written(f"{number}"), 1)
        raise DiskError("", "other")
    for number in range(4):
        PartialFile(tmp_path / f"{number}").close()


def test_with_few_descriptors_a_group_is_small(written, monkeypatch):
    monkeypatch.setattr(descriptors, "limit", lambda: 32)
    with FlushQueue(close_one) as queue:
        assert [queue.add(written(name), 1) for name in "abc"] == [False, True, False]


@pytest.mark.parametrize("flushed", [True, False])
def test_a_group_is_flushed_at_one_go_or_else_each_of_its_files(written, monkeypatch, flushed):
    together, alone = [], []
    monkeypatch.setattr(group_flush, "is_worth_it", lambda _: True)
    monkeypatch.setattr(group_flush, "flush", lambda files: together.append(list(files)) or flushed)
    monkeypatch.setattr(os, "fsync", alone.append)
    files = [written(name) for name in "abc"]
    with FlushQueue(close_one) as queue:
        numbers = [one.file.fileno() for one in files]
        device = os.fstat(numbers[0]).st_dev
        for one in files:
            queue.add(one, 1)
        assert [error for _, error in queue.take(0)] == [None]
        close(files)
    assert together == [[(number, device) for number in numbers]]
    assert alone == ([] if flushed else numbers)
