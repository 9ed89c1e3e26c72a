"""The root and the layer of a whole file, from one reading."""

import os
import random

import pytest
from sources import content_of

from rede_p2p.content import disk, merkle
from rede_p2p.content.hashing import READ_BYTES, hash_file
from rede_p2p.content.merkle import MIN_PIECE_BYTES
from rede_p2p.errors import DiskError


@pytest.mark.parametrize(
    "size",
    [
        0,
        1,
        MIN_PIECE_BYTES,
        MIN_PIECE_BYTES + 1,
        READ_BYTES - 1,
        READ_BYTES,
        READ_BYTES + 1,
        3 * READ_BYTES,
    ],
)
def test_a_file_is_hashed_as_its_bytes_are(tmp_path, size):
    data = random.Random(size).randbytes(size)
    path = tmp_path / "a"
    path.write_bytes(data)
    reported = []
    hashed = hash_file(path, reported.append, lambda: False)
    assert (hashed.layer, hashed.content) == (merkle.layer_of(data), content_of(data))
    assert hashed.state == disk.file_state(path)
    assert reported[-1] == size
    assert reported == sorted(reported)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b""),
        lambda path: os.truncate(path, 2 * READ_BYTES - 1),
        lambda path: os.truncate(path, 9 * READ_BYTES),
        lambda path: os.utime(path, ns=(1, 1)),
    ],
    ids=["emptied", "cut", "grown", "touched"],
)
def test_a_file_that_changes_while_it_is_read_is_not_hashed(tmp_path, change):
    path = tmp_path / "a"
    path.write_bytes(bytes(3 * READ_BYTES))
    with pytest.raises(DiskError, match="changed"):
        hash_file(path, lambda done: change(path), lambda: False)


def test_hashing_stops_when_asked(tmp_path):
    path, reported = tmp_path / "a", []
    path.touch()
    os.truncate(path, 2**40)  # sparse: it would take long
    with pytest.raises(DiskError, match="stopped"):
        hash_file(path, reported.append, lambda: len(reported) == 2)
