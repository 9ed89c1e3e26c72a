"""The files behind a line of the list: a file, a folder, and what is in it that is none of them."""

from __future__ import annotations

import os

import pytest

from rede_p2p.events import ListProblem
from rede_p2p.upload import shared_files
from rede_p2p.upload.list_file import Line


@pytest.fixture
def found(tmp_path):
    """Return a function that yields what a line finds: names, or (kind, text) of a problem."""

    def find(path, name="p"):
        for one in shared_files.find(tmp_path / "lista.txt", Line(1, name, str(path))):
            if isinstance(one, ListProblem):
                yield one.kind, one.text
            else:
                yield one if isinstance(one, str) else one.name

    return find


def test_an_empty_folder_is_told_by_its_name_and_a_slash(tmp_path, found):
    for folder in ("a/empty", "a/full", "hidden/.only"):
        (tmp_path / "top" / folder).mkdir(parents=True)
    (tmp_path / "top" / "a" / "full" / "file").write_bytes(b"x")
    assert sorted(found(tmp_path / "top")) == ["p/a/empty/", "p/a/full/file", "p/hidden/"]


def test_a_shared_folder_that_is_empty_is_told_too(tmp_path, found):
    (tmp_path / "top").mkdir()
    assert list(found(tmp_path / "top")) == ["p/"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO on this system")
def test_what_is_neither_a_file_nor_a_folder_is_said_in_a_line_and_left_out_of_a_folder(
    tmp_path, found
):
    os.mkfifo(tmp_path / "fifo")
    assert list(found(tmp_path / "fifo")) == [("not-file", str(tmp_path / "fifo"))]
    (tmp_path / "top").mkdir()
    os.mkfifo(tmp_path / "top" / "fifo")
    (tmp_path / "top" / "file").write_bytes(b"x")
    assert list(found(tmp_path / "top")) == ["p/file"]


def test_a_folder_that_cannot_be_read_is_said_and_the_others_are_found(
    tmp_path, found, monkeypatch
):
    for folder in ("closed", "open"):
        (tmp_path / "top" / folder).mkdir(parents=True)
        (tmp_path / "top" / folder / "file").write_bytes(b"x")
    real, closed = os.scandir, str(tmp_path / "top" / "closed")

    def scandir(path):
        if os.fspath(path) == closed:  # as the system does for who is not root
            raise PermissionError(13, "Permission denied", closed)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert list(found(tmp_path / "top")) == ["p/open/file", ("denied", closed)]


def test_a_path_where_nothing_is_is_missing(tmp_path, found):
    assert list(found(tmp_path / "none")) == [("missing", str(tmp_path / "none"))]
