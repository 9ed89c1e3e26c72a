"""Looking at what is in a folder: no link on the way is followed, with or without descriptors."""

from __future__ import annotations

import os

import pytest

from rede_p2p.content import disk, inside
from rede_p2p.errors import DiskError


@pytest.fixture(params=["by descriptors", "by paths"])
def top(request, tmp_path, monkeypatch):
    """Return a folder with files, folders, and links to a folder outside."""
    if request.param == "by paths":  # as on Windows
        monkeypatch.setattr(inside, "_KNOWN", False)
    for folder in ("top/a/b", "outside/b"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").write_bytes(b"x")
    (tmp_path / "top" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "top" / "a" / "file").symlink_to(tmp_path / "outside" / "b" / "file")
    return tmp_path / "top"


def test_what_is_in_a_folder_comes_by_name(top):
    found = list(inside.entries(str(top), str(top / "a")))
    assert [name for name, _ in found] == ["b", "file"]
    assert [status.st_ino for _, status in found] == [
        os.lstat(top / "a" / name).st_ino for name in ("b", "file")
    ]


@pytest.mark.parametrize("path", ["link", "link/b", "none", "a/b/file"])
def test_behind_a_link_and_where_no_folder_is_nothing_is_listed(top, path):
    with pytest.raises((OSError, DiskError)):
        list(inside.entries(str(top), str(top / path)))


def test_a_file_in_a_folder_has_a_state(top):
    path = top / "a" / "b" / "file"
    assert inside.file_state(str(top), str(path)) == disk.file_state(path) is not None


@pytest.mark.parametrize("path", ["link/b/file", "a/file", "a/b", "none", "a/none", "a/\0"])
def test_a_link_what_is_behind_one_and_what_is_no_file_have_none(top, path):
    assert inside.file_state(str(top), str(top / path)) is None


def reach(top, path, **how):
    with inside.folder(str(top), str(path), **how) as place:
        return place.way("x")


def test_a_folder_is_made_with_those_it_is_in(top):
    for _ in range(2):
        reach(top, top / "new" / "inner", make=True)
    assert not list((top / "new" / "inner").iterdir())
    reach(top / "c", top / "c", make=True)
    assert (top / "c").is_dir()


@pytest.mark.parametrize("path", ["link", "link/new", "link/b/new"])
def test_behind_a_link_none_is_made_and_the_link_is_said(top, path):
    with pytest.raises(DiskError) as caught:
        reach(top, top / path, make=True)
    assert (caught.value.path, caught.value.kind) == (str(top / path), "link-folder")
    assert os.listdir(top.parent / "outside") == ["b"]  # noqa: PTH208


@pytest.mark.parametrize("act", ["mkdir", "open"])
def test_a_folder_swapped_for_a_link_on_the_way_leads_nowhere(top, monkeypatch, act):
    if not inside._KNOWN:
        pytest.skip("where no folder is held, it is only looked for links")
    real = getattr(os, act)

    def late(name, *words, **options):
        if name == "new" and not (top / "moved").exists():
            (top / "a").rename(top / "moved")
            (top / "a").symlink_to(top.parent / "outside")
        return real(name, *words, **options)

    monkeypatch.setattr(os, act, late)
    reach(top, top / "a" / "new", make=True)
    assert (top / "moved" / "new").is_dir()
    assert os.listdir(top.parent / "outside") == ["b"]  # noqa: PTH208


def test_what_is_in_a_folder_is_reached_where_it_may_not_be_listed(tmp_path, monkeypatch):
    if inside._REACHED == os.O_RDONLY:
        pytest.skip("only Linux opens such a folder")
    own = os.geteuid()
    other = own or 65534  # root may list any
    for name in ("a", "b"):
        (tmp_path / "top" / name).mkdir(parents=True)
    for path, mode in (("top/a", 0o300), ("top/b", 0o700), ("top", 0o311), (".", 0o755)):
        os.chown(tmp_path / path, other, -1)
        (tmp_path / path).chmod(mode)
    monkeypatch.chdir(tmp_path)
    os.seteuid(other)
    try:
        reach("top", "top/a/new", make=True)
        reach("top", "top/b", listed=True)
        with pytest.raises(PermissionError):
            reach("top", "top/a", listed=True)
    finally:
        os.seteuid(own)
        (tmp_path / "top" / "a").chmod(0o700)
    assert (tmp_path / "top" / "a" / "new").is_dir()


def test_the_top_itself_may_be_a_link(top):
    way = top.parent / "way"
    way.symlink_to(top)
    assert inside.file_state(str(way), str(way / "a" / "b" / "file")) is not None
