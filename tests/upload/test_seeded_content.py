"""One content that is offered: of a download, only what is in the file that grows."""

from __future__ import annotations

import pytest
from sources import content_of

from rede_p2p.content.merkle import MIN_PIECE_BYTES
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
