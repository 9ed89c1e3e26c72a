"""One content that is offered: of a download, only what is in the file that grows."""

from __future__ import annotations

import pytest
from sources import content_of

from rede_p2p.content.merkle import MIN_PIECE_BYTES
from rede_p2p.errors import DiskError
from rede_p2p.upload.seeded_content import SeededContent

DATA = b"whole" * MIN_PIECE_BYTES
CONTENT = content_of(DATA)


@pytest.fixture
def growing(tmp_path):
    path = tmp_path / "downloads" / "a.bin.parte"
    path.parent.mkdir()
    path.write_bytes(DATA)
    return path


def test_the_file_that_grows_is_read(growing):
    seeded = SeededContent("a.bin", CONTENT, growing)
    with seeded.open() as file:
        assert file.read() == DATA


@pytest.mark.parametrize("how", ["a link", "another file", "a link in its folder"])
def test_of_a_download_nothing_is_read_but_the_file_that_grows(growing, how):
    private = growing.parent.parent / "private"
    private.mkdir()
    (private / growing.name).write_bytes(b"private")
    seeded = SeededContent("a.bin", CONTENT, growing)
    if how == "a link in its folder":
        growing.parent.rename(growing.parent.parent / "moved")
        growing.parent.symlink_to(private)
    elif how == "a link":
        growing.rename(growing.parent / "moved")
        growing.symlink_to(private / growing.name)
    else:
        (private / growing.name).replace(growing)
    for opened in (seeded.open, seeded.reader):
        with pytest.raises(DiskError, match="replaced"):
            opened()
