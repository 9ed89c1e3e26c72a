"""Compressed bodies, right ones and those of strangers."""

from __future__ import annotations

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rede_p2p.content import merkle
from rede_p2p.errors import ProtocolError
from rede_p2p.protocol import compression
from rede_p2p.protocol.codec import encode_lines
from rede_p2p.protocol.compression import FREE_BYTES, compress, decompress
from rede_p2p.protocol.fields import MAX_LISTING_BYTES
from rede_p2p.protocol.messages import FileEntry

LIST = encode_lines(FileEntry(f"turma/{n}.pdf", n, n.to_bytes(32, "big")) for n in range(1000))


@given(st.binary())
def test_a_body_comes_out_as_it_went_in(body):
    assert decompress(compress(body)) == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}\n",
        LIST,
        compress(LIST)[:-1],
        compress(LIST) + b"x",
        compress(LIST) + compress(LIST),
        compress(LIST)[2:-4],  # without its head and its checksum
        compress(LIST)[:-1] + bytes([compress(LIST)[-1] ^ 1]),
    ],
    ids=["nothing", "a line", "lines", "cut", "more", "two", "raw", "checksum"],
)
def test_what_nobody_compressed_is_an_error_of_ours(body):
    with pytest.raises(ProtocolError, match="bad-length"):
        decompress(body)


@pytest.mark.slow
def test_no_body_gets_longer_than_the_longest():
    body = random.Random(3).randbytes(MAX_LISTING_BYTES + 1)
    assert decompress(compress(body[:-1])) == body[:-1]
    with pytest.raises(ProtocolError, match="bad-length"):
        decompress(zlib.compress(body, 1))


def test_few_bytes_do_not_become_very_many():
    bomb = zlib.compress(bytes(MAX_LISTING_BYTES))
    assert compress(bytes(MAX_LISTING_BYTES)) is None
    with pytest.raises(ProtocolError, match="bad-length"):
        decompress(bomb)
    assert decompress(compress(bytes(FREE_BYTES))) == bytes(FREE_BYTES)


def test_what_nobody_would_take_is_not_compressed():
    for root, is_compressed in ((None, True), (merkle.layer_of(b""), False)):
        lines = encode_lines(FileEntry(f"turma/aula {n:05}", 0, root) for n in range(20_000))
        packed = compress(lines)
        assert (packed is not None) is is_compressed
        assert packed is None or decompress(packed) == lines


def test_without_zlib_nothing_is_compressed(monkeypatch):
    monkeypatch.setattr(compression, "zlib", None)
    monkeypatch.setattr(compression, "KNOWN", False)
    assert compress(LIST) is None
    with pytest.raises(ProtocolError, match="bad-length"):
        decompress(zlib.compress(LIST))
