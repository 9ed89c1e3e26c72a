"""Compressed bodies, right ones and those of strangers."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rede_p2p.errors import ProtocolError
from rede_p2p.protocol.codec import encode_lines
from rede_p2p.protocol.compression import compress, plain
from rede_p2p.protocol.fields import MAX_LISTING_BYTES
from rede_p2p.protocol.messages import FileEntry

LIST = encode_lines(FileEntry(f"turma/{n}.pdf", n, n.to_bytes(32, "big")) for n in range(1000))


@given(st.binary())
def test_a_body_comes_out_as_it_went_in(body):
    assert plain(compress(body), True) == body
    assert plain(bytearray(body), False) == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}\n",
        LIST,
        compress(LIST)[:-1],
        compress(LIST) + b"x",
        compress(LIST) + compress(LIST),
        zlib.compress(LIST, wbits=-15),  # without its head and its checksum
        compress(LIST)[:-1] + bytes([compress(LIST)[-1] ^ 1]),
    ],
    ids=["nothing", "a line", "lines", "cut", "more", "two", "raw", "checksum"],
)
def test_what_nobody_compressed_is_an_error_of_ours(body):
    with pytest.raises(ProtocolError, match="bad-length"):
        plain(body, True)


def test_a_small_body_never_gets_longer_than_the_longest():
    assert len(plain(compress(bytes(MAX_LISTING_BYTES)), True)) == MAX_LISTING_BYTES
    bomb = compress(bytes(MAX_LISTING_BYTES + 1))
    assert len(bomb) < 1024 * 1024
    with pytest.raises(ProtocolError, match="bad-length"):
        plain(bomb, True)
