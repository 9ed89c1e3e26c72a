"""How a bundle is cut into pieces."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rede_p2p.content import merkle
from rede_p2p.content.merkle import Content, FileLayout
from rede_p2p.content.piece_layout import BundleLayout, Part

PIECE = merkle.MIN_PIECE_BYTES
ROOT = bytes(32)


def bundle(*sizes):
    return BundleLayout(
        ROOT, [Content(bytes([n % 256] * 32), size) for n, size in enumerate(sizes)]
    )


def test_small_neighbours_share_a_piece_and_a_large_file_has_its_own():
    layout = bundle(16384, 16384, 40000, 3 * PIECE + 5, 7)
    assert [layout.parts(piece) for piece in range(layout.count)] == [
        [Part(0, 0, 16384), Part(1, 0, 16384)],
        [Part(2, 0, 40000)],
        *([Part(3, n * PIECE, PIECE)] for n in range(3)),
        [Part(3, 3 * PIECE, 5)],
        [Part(4, 0, 7)],
    ]
    assert layout.pieces_of(1) == range(1)
    assert layout.pieces_of(3) == range(2, 6)
    assert layout.pieces_of(4) == range(6, 7)


def test_a_file_up_to_two_pieces_is_not_cut():
    layout = bundle(2 * PIECE, 2 * PIECE + 1)
    assert [layout.pieces_of(file) for file in (0, 1)] == [range(1), range(1, 4)]


def test_a_large_bundle_has_larger_pieces_so_that_they_are_not_too_many():
    layout = bundle(*[100_000] * 100_000)
    assert layout.count <= merkle.MAX_PIECES
    assert layout.piece_bytes == 4 * PIECE


def test_no_file_is_cut_into_smaller_pieces_than_alone():
    size = 5 * 2**30
    layout = bundle(size, 1)
    assert layout.piece_bytes >= merkle.piece_length(size)


@given(st.lists(st.integers(1, 4 * PIECE), min_size=1, max_size=60))
def test_each_byte_is_in_one_piece(sizes):
    layout = bundle(*sizes)
    covered = dict.fromkeys(range(len(sizes)), 0)
    for piece in range(layout.count):
        parts = layout.parts(piece)
        assert sum(part.length for part in parts) == layout.bytes_in(range(piece, piece + 1))
        assert layout.bytes_in([piece]) <= 2 * layout.piece_bytes
        for part in parts:
            assert part.start == covered[part.file]
            covered[part.file] += part.length
            assert piece in layout.pieces_of(part.file)
    assert list(covered.values()) == sizes
    pieces = sorted(random.Random(1).sample(range(layout.count), layout.count // 2))
    assert layout.bytes_in(pieces) == sum(layout.bytes_in([piece]) for piece in pieces)
    assert layout.bytes_in(range(layout.count)) == layout.size == sum(sizes)
    assert sum(
        len(layout.pieces_of(file)) for file in range(len(sizes)) if layout.is_cut(file)
    ) <= (layout.count)


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, 10 * PIECE])
def test_one_file_is_cut_as_its_content_is(size):
    layout = FileLayout(Content(ROOT, size))
    assert (layout.count, layout.piece_bytes) == (merkle.piece_count(size), PIECE)
    assert layout.bytes_in(range(layout.count)) == size
