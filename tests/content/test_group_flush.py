"""One flush for many files: when it is used, and when each file has to be flushed by itself."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

import pytest

from rede_p2p.content import file_systems, group_flush

MIB = 2**20


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """Return a function that makes the system tell how many KiB await the disk."""
    monkeypatch.setattr(group_flush, "_syncfs", lambda: lambda descriptor: 0)
    monkeypatch.setattr(group_flush, "_MEMORY", tmp_path / "meminfo")
    return (tmp_path / "meminfo").write_text


@pytest.fixture
def opened(tmp_path):
    with ExitStack() as stack:
        files = [stack.enter_context((tmp_path / name).open("wb")) for name in "ab"]
        yield [file.fileno() for file in files]


def said(dirty, writeback):
    return (
        f"MemFree: 9 kB\nDirty: {dirty} kB\nWriteback: {writeback} kB\nWritebackTmp: 9999999 kB\n"
    )


@pytest.mark.parametrize(
    ("dirty", "writeback", "ours", "worth"),
    [
        (0, 0, 0, True),
        (16 * 1024, 0, 0, True),
        (8 * 1024, 8 * 1024 + 1, 0, False),
        (2 * 1024 * 1024, 0, 32 * MIB, False),
        (32 * 1024, 16 * 1024, 32 * MIB, True),
    ],
)
def test_it_is_worth_it_while_little_of_others_awaits_the_disk(
    memory, dirty, writeback, ours, worth
):
    memory(said(dirty, writeback))
    assert group_flush.is_worth_it(ours) == worth


@pytest.mark.parametrize("text", ["", "Dirty: 0 kB\n", "Dirty:\nWriteback:\n", "Dirty: x kB\n"])
def test_where_the_system_does_not_tell_it_is_not(memory, text):
    memory(text)
    assert not group_flush.is_worth_it(0)


def with_devices(descriptors):
    return [(one, os.fstat(one).st_dev) for one in descriptors]


def test_without_the_function_it_is_not(memory, monkeypatch):
    memory(said(0, 0))
    monkeypatch.setattr(group_flush, "_syncfs", lambda: None)
    assert not group_flush.is_worth_it(0)
    assert not group_flush.flush([])


@pytest.mark.parametrize(
    ("kind", "result", "flushed"),
    [("ext4", 0, True), ("ext4", -1, False), ("fuseblk", 0, False), ("", 0, False)],
)
def test_only_a_known_file_system_that_tells_of_no_error_has_flushed(
    opened, monkeypatch, kind, result, flushed
):
    asked = []
    monkeypatch.setattr(group_flush, "_kind_of", lambda _: kind)
    monkeypatch.setattr(group_flush, "_syncfs", lambda: lambda file: asked.append(file) or result)
    assert group_flush.flush(with_devices(opened)) == flushed
    assert asked == (opened[:1] if kind == "ext4" else [])


def test_each_file_system_is_flushed(opened, monkeypatch):
    asked = []
    monkeypatch.setattr(group_flush, "_kind_of", lambda _: "xfs")
    monkeypatch.setattr(group_flush, "_syncfs", lambda: lambda file: asked.append(file) or 0)
    assert group_flush.flush(zip([*opened, 2**30], (1, 2, 1), strict=True))
    assert asked == opened


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
def test_the_real_one_flushes_what_is_open_and_refuses_what_is_not(opened, tmp_path):
    if file_systems.kind_of(tmp_path.stat().st_dev) not in group_flush._DURABLE:
        pytest.skip("not on this file system")
    if group_flush._syncfs() is None:
        pytest.skip("an old kernel")
    assert group_flush.flush(with_devices(opened))
    assert not group_flush.flush([(2**30, tmp_path.stat().st_dev)])
