"""The identity of contents, against libtorrent, which computes it on its own."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest
from oracle import libtorrent, needs_libtorrent

from rede_p2p.content import merkle
from rede_p2p.content.merkle import BLOCK_BYTES, HASH_BYTES, MAX_PIECES, MIN_PIECE_BYTES

KIB, MIB, GIB = 2**10, 2**20, 2**30


def sizes() -> list[int]:
    """List 100 sizes: one byte around every boundary, and some at random."""
    edges = [BLOCK_BYTES * n for n in (1, 2, 3, 4, 5, 7, 8)]
    edges += [MIN_PIECE_BYTES * n for n in (2, 3, 4, 5, 7, 8, 9, 15, 16, 17)]
    edges += [2**n for n in range(1, 22)]
    found = {edge + by for edge in edges for by in (-1, 0, 1)} - {0}
    chance = random.Random(52)
    while len(found) < 100:
        found.add(chance.randrange(1, 3 * MIB))
    return sorted(found)


def layer_of(data: bytes) -> bytes:
    size = len(data)
    step = merkle.piece_length(size)
    return b"".join(
        merkle.piece_hashes(data[at : at + length], size)[0]
        for at, length in merkle.cut(size, step)
    )


def torrent_of(folder, data):
    """Return the root and the piece layer that libtorrent finds; a single piece has no layer."""
    (folder / "f").write_bytes(data)
    entry = libtorrent.create_file_entry("f", len(data))
    made = libtorrent.create_torrent([entry], MIN_PIECE_BYTES, libtorrent.create_torrent.v2_only)
    libtorrent.set_piece_hashes(made, str(folder))
    found = made.generate()
    root = found[b"info"][b"file tree"][b"f"][b""][b"pieces root"]
    return root, found[b"piece layers"].get(root, root)


def test_a_hundred_sizes_are_tried():
    assert len(sizes()) >= 100


@needs_libtorrent
def test_root_and_layer_are_those_of_libtorrent(tmp_path):
    source = random.Random(1).randbytes(max(sizes()))
    for size in sizes():
        data = source[:size]
        layer = layer_of(data)
        assert (merkle.root_of(layer, size), layer) == torrent_of(tmp_path, data), size


def test_an_empty_content_is_one_empty_block():
    assert merkle.piece_count(0) == 1
    assert list(merkle.cut(0, MIN_PIECE_BYTES)) == [(0, 0)]
    assert merkle.root_of(layer_of(b""), 0) == sha256(b"").digest()


def test_a_piece_is_hashed_from_any_buffer():
    data = bytes(range(256)) * 400
    for kind in (bytes, bytearray, memoryview):
        [found] = merkle.piece_hashes(kind(data[:MIN_PIECE_BYTES]), len(data))
        assert found == layer_of(data)[:HASH_BYTES]


def test_one_wrong_bit_changes_the_piece_and_the_root():
    data = bytearray(5 * MIN_PIECE_BYTES)
    layer = layer_of(data)
    data[3 * MIN_PIECE_BYTES + 7] ^= 1
    wrong = layer_of(data)
    differing = [a != b for a, b in zip(merkle.split(layer), merkle.split(wrong), strict=True)]
    assert differing == [False, False, False, True, False]
    assert merkle.root_of(layer, len(data)) != merkle.root_of(wrong, len(data))


def test_contents_that_differ_in_zeros_at_the_end_have_different_roots():
    lengths = (
        0,
        1,
        BLOCK_BYTES,
        BLOCK_BYTES + 1,
        MIN_PIECE_BYTES,
        MIN_PIECE_BYTES + 1,
        2 * MIN_PIECE_BYTES,
    )
    roots = {merkle.root_of(layer_of(bytes(size)), size) for size in lengths}
    assert len(roots) == len(lengths)


@pytest.mark.parametrize(
    ("size", "piece", "count"),
    [
        (0, 64 * KIB, 1),
        (1, 64 * KIB, 1),
        (64 * KIB, 64 * KIB, 1),
        (64 * KIB + 1, 64 * KIB, 2),
        (4 * GIB - 1, 64 * KIB, MAX_PIECES),
        (4 * GIB, 64 * KIB, MAX_PIECES),
        (4 * GIB + 1, 128 * KIB, MAX_PIECES // 2 + 1),
        (8 * GIB, 128 * KIB, MAX_PIECES),
        (8 * GIB + 1, 256 * KIB, MAX_PIECES // 2 + 1),
        (merkle.MAX_CONTENT_BYTES, 16 * GIB, MAX_PIECES),
    ],
)
def test_a_piece_doubles_until_the_layer_is_small_enough(size, piece, count):
    assert (merkle.piece_length(size), merkle.piece_count(size)) == (piece, count)


def test_the_root_does_not_depend_on_the_size_of_the_piece(monkeypatch):
    data = random.Random(2).randbytes(9 * MIN_PIECE_BYTES + 5)
    root = merkle.root_of(layer_of(data), len(data))
    for most in (1, 2, 4, 8):  # pieces of 1 MiB down to 128 KiB, as a content over 4 GiB has
        monkeypatch.setattr(merkle, "MAX_PIECES", most)
        assert merkle.piece_count(len(data)) <= most
        assert merkle.root_of(layer_of(data), len(data)) == root


@pytest.mark.parametrize(
    "size", [0, 1, MIN_PIECE_BYTES, 3 * MIN_PIECE_BYTES, 3 * MIN_PIECE_BYTES + 1]
)
def test_the_bytes_in_some_pieces_are_those_of_each(size):
    lengths = [length for _, length in merkle.cut(size, MIN_PIECE_BYTES)]
    count = len(lengths)
    assert merkle.piece_count(size) == count
    for pieces in [range(count), range(count - 1), [count - 1], [*range(0, count, 2)], []]:
        assert merkle.bytes_in(pieces, size) == sum(lengths[piece] for piece in pieces)


@pytest.mark.parametrize(("size", "step"), [(0, 5), (1, 5), (4, 5), (5, 5), (6, 5), (11, 5)])
def test_the_parts_of_a_cut_follow_each_other_and_are_the_whole(size, step):
    parts = list(merkle.cut(size, step))
    assert [at for at, _ in parts] == list(range(0, max(size, 1), step))
    assert sum(length for _, length in parts) == size
    assert all(0 < length <= step for _, length in parts[:-1])


@pytest.mark.parametrize("length", [merkle.BLOCK_BYTES, merkle.MIN_PIECE_BYTES, 2**20])
def test_the_hash_of_zeros_is_that_of_any_other_piece(length):
    size = length * (merkle.MAX_PIECES if length > merkle.MIN_PIECE_BYTES else 2)
    hashed = merkle.piece_hashes(bytes(merkle.piece_length(size)), size)
    assert hashed == [merkle.zero_hash(merkle.piece_length(size))]
