"""The SHA-1 pieces of BitTorrent v1."""

from __future__ import annotations

import random
from hashlib import sha1

import pytest

from rede_p2p.content import v1_pieces
from rede_p2p.content.v1_pieces import V1Hasher

PIECE = 64 * 1024
DATA = random.Random(5).randbytes(3 * PIECE + 1)


def right(data):
    return b"".join(sha1(data[at : at + PIECE]).digest() for at in range(0, len(data), PIECE))


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 1])
@pytest.mark.parametrize("step", [1000, PIECE, PIECE + 7, 2**20])
def test_pieces_are_hashed_whatever_parts_they_come_in(size, step):
    data, hasher = DATA[:size], V1Hasher(PIECE)
    for at in range(0, size, step):
        hasher.add(memoryview(data)[at : at + step])
    digests = hasher.digests()
    assert v1_pieces.pieces(digests, padded=False) == right(data)
    assert v1_pieces.pieces(digests, padded=True) == right(data + bytes(-size % PIECE))
