"""The files behind a line of the list: a file, a folder, and what is in it that is none of them."""

from __future__ import annotations

import os

import pytest

from rede_p2p.events import ListProblem
from rede_p2p.upload import shared_files
from rede_p2p.upload.list_file import Line


def status(folder):
    """Return what the system tells of a folder, open or at a path."""
    return os.stat(folder)  # noqa: PTH116


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
    real, closed = os.listdir, str(tmp_path / "top" / "closed")

    def listdir(folder):
        if os.path.samestat(status(folder), status(closed)):  # for who is not root
            raise PermissionError(13, "Permission denied", folder)
        return real(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    assert list(found(tmp_path / "top")) == ["p/open/file", ("denied", closed)]


def test_a_path_where_nothing_is_is_missing(tmp_path, found):
    assert list(found(tmp_path / "none")) == [("missing", str(tmp_path / "none"))]


def test_folders_come_in_the_order_of_their_names_behind_the_files_beside_them(tmp_path, found):
    for path in ("b/2", "b/1/x", "a/x", "c", "a/b/x"):
        (tmp_path / "top" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "top" / path).write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "top")  # the person's own line may be one
    assert list(found(tmp_path / "link")) == ["p/c", "p/a/x", "p/a/b/x", "p/b/2", "p/b/1/x"]


@pytest.fixture
def swapped(tmp_path):
    """Return the folder ``top``, and what swaps ``top/in`` for a link to a folder outside."""
    top = tmp_path / "top"
    for folder, data in ((top / "in", b"x"), (tmp_path / "outside", b"private")):
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(data)

    def swap():
        (top / "in").rename(tmp_path / "away")
        (top / "in").symlink_to(tmp_path / "outside")

    return top, swap


@pytest.mark.parametrize("by", ["listdir", "open"])
def test_of_a_folder_swapped_for_a_link_while_it_is_listed_nothing_outside_is_found(
    tmp_path, swapped, monkeypatch, by
):
    top, swap = swapped
    real, at = getattr(os, by), status(top / "in" if by == "listdir" else top)

    def swapping(path, *more, **fields):
        found = real(path, *more, **fields)
        if os.path.samestat(status(path if by == "listdir" else found), at):
            monkeypatch.undo()
            swap()
        return found

    monkeypatch.setattr(os, by, swapping)
    line = Line(1, "p", str(top))
    shares = [one for one in shared_files.find(tmp_path / "l", line) if hasattr(one, "state")]
    assert [share.state.size for share in shares] == [1] * (by == "listdir")
    assert (top / "in").is_symlink()
    assert [one for one in map(shared_files.look_again, shares) if one is not None] == []


def test_what_is_behind_a_link_when_it_is_looked_at_again_is_not_shared(tmp_path, swapped):
    top, swap = swapped
    (share,) = shared_files.find(tmp_path / "l", Line(1, "p", str(top)))
    assert shared_files.look_again(share) == share
    (top / "in" / "file").write_bytes(b"edited")
    assert shared_files.look_again(share).state.size == 6
    swap()
    assert shared_files.look_again(share) is None


def test_a_file_longer_than_any_content_is_a_problem_of_its_own(tmp_path, found, monkeypatch):
    monkeypatch.setattr(shared_files, "MAX_CONTENT_BYTES", 3)
    (tmp_path / "top").mkdir()
    for name, data in (("long", b"1234"), ("short", b"123")):
        (tmp_path / "top" / name).write_bytes(data)
    assert sorted(found(tmp_path / "top"), key=str) == [("too-large", "p/long"), "p/short"]
    assert list(found(tmp_path / "top" / "long")) == [("too-large", str(tmp_path / "top" / "long"))]
