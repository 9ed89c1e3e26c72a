"""The empty folders of a download."""

from __future__ import annotations

import pytest

from rede_p2p.download import folders
from rede_p2p.errors import DiskError, UnsafeNameError


def test_it_is_made_with_those_it_is_in_and_again_is_no_error(tmp_path):
    for _ in range(2):
        folders.make(tmp_path / "baixados", "p/vazia/")
    assert list((tmp_path / "baixados" / "p" / "vazia").iterdir()) == []


@pytest.mark.parametrize("name", ["../x/", "/x/", "a/../../x/", ".a/", "C:x/", "a\\b/"])
def test_an_unsafe_name_makes_nothing(tmp_path, name):
    with pytest.raises(UnsafeNameError):
        folders.make(tmp_path / "baixados", name)
    assert not (tmp_path / "baixados").exists()


def test_a_link_in_its_way_is_not_followed(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "baixados").mkdir()
    (tmp_path / "baixados" / "p").symlink_to(tmp_path / "outside")
    with pytest.raises(DiskError, match="link-folder"):
        folders.make(tmp_path / "baixados", "p/vazia/")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_file_in_its_way_is_left_as_it_is(tmp_path):
    (tmp_path / "p").write_bytes(b"mine")
    with pytest.raises(DiskError, match="not-folder"):
        folders.make(tmp_path, "p/vazia/")
    with pytest.raises(DiskError, match="not-folder"):
        folders.make(tmp_path, "p/")
    assert (tmp_path / "p").read_bytes() == b"mine"
