"""The root and the layer of a whole file, from one reading."""

import os
import random

import pytest
from sources import content_of

from rede_p2p.content import disk, merkle
from rede_p2p.content.hashing import READ_BYTES, hash_file, hash_together
from rede_p2p.content.merkle import MIN_PIECE_BYTES
from rede_p2p.content.v1_pieces import V1Hasher, pieces
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


def test_the_pieces_of_v1_come_of_the_same_reading(tmp_path):
    path = tmp_path / "a"
    data = bytes(range(256)) * 5000
    path.write_bytes(data)
    hasher = V1Hasher(2**16)
    hasher.add(memoryview(data))
    plain = hash_file(path, lambda _: None, lambda: False)
    both = hash_file(path, lambda _: None, lambda: False, 2**16)
    assert (plain.v1_piece, plain.digests) == (0, b"")
    assert (both.v1_piece, both.digests) == (2**16, hasher.digests())
    assert (both.content, both.layer) == (plain.content, plain.layer)


def test_files_are_hashed_as_one_text_of_bytes(tmp_path):
    datas = [bytes(range(256)) * n for n in (0, 1, 1000, 5000)]
    files = []
    for number, data in enumerate(datas):
        path = tmp_path / str(number)
        path.write_bytes(data)
        files.append((str(path), disk.file_state(path)))
    hasher = V1Hasher(2**16)
    hasher.add(memoryview(b"".join(datas)))
    assert hash_together(files, 2**16, lambda: None) == pieces(hasher.digests())
    with pytest.raises(DiskError, match="changed"):
        hash_together(files, 2**16, lambda: os.truncate(files[2][0], 9))
    with pytest.raises(DiskError):
        hash_together([(str(tmp_path / "none"), files[0][1])], 2**16, lambda: None)
