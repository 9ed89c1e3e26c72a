"""The .torrent of a shared file, as an engine that is not ours reads it."""

from __future__ import annotations

import random
from pathlib import Path
from threading import Event
from time import monotonic

import pytest
from oracle import libtorrent, needs_libtorrent
from processes import eventually

from rede_p2p.content import merkle, torrent
from rede_p2p.content.merkle import BLOCK_BYTES, MIN_PIECE_BYTES, Content
from rede_p2p.content.torrent import bencode

DATA = random.Random(8).randbytes(9 * MIN_PIECE_BYTES + 5)
LOOPBACK = "127.0.0.1"
LONG_PATIENCE = 60.0  # seconds for an engine that does things in its own time
ALONE = {"enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False}
SIZES = (
    1,
    BLOCK_BYTES,
    BLOCK_BYTES + 1,
    MIN_PIECE_BYTES - 1,
    MIN_PIECE_BYTES,
    MIN_PIECE_BYTES + 1,
    len(DATA),
)


def described(name: str, data: bytes) -> bytes:
    layer = merkle.layer_of(data)
    return torrent.torrent_of(name, Content(merkle.root_of(layer, len(data)), len(data)), layer)


@needs_libtorrent
@pytest.mark.parametrize("size", SIZES)
def test_libtorrent_loads_it_and_agrees_on_the_root(size):
    data = DATA[:size]
    found = libtorrent.load_torrent_buffer(described("dados.bin", data)).ti
    layer = merkle.layer_of(data)
    assert found.is_valid() and found.info_hashes().has_v2() and not found.info_hashes().has_v1()
    files = found.layout()
    padding = [i for i in range(1, files.num_files()) if files.file_flags(i) & files.flag_pad_file]
    assert files.num_files() == 1 + len(padding) and files.file_path(0) == "dados.bin"
    assert files.file_size(0) == size
    assert files.root(0).to_bytes() == merkle.root_of(layer, size)
    assert found.piece_length() == merkle.piece_length(size)


@needs_libtorrent
@pytest.mark.parametrize(
    ("name", "plain"), [("pasta/de/fotos.zip", "fotos.zip"), ("ação 🐍.txt", "ação 🐍.txt")]
)
def test_a_name_in_a_folder_loses_the_folder_and_any_letter_is_kept(name, plain):
    found = libtorrent.load_torrent_buffer(described(name, DATA)).ti
    assert found.name() == plain


def test_an_empty_file_has_no_root_as_the_standard_wants():
    written = described("vazio", b"")
    assert b"pieces root" not in written
    assert written.startswith(b"d4:infod9:file treed5:vaziod0:d6:lengthi0eee")


@needs_libtorrent
@pytest.mark.parametrize("size", SIZES)
def test_libtorrent_finds_every_piece_of_the_file_right(tmp_path, host, size):
    (tmp_path / "dados.bin").write_bytes(DATA[:size])
    session = session_at(host)
    handle = session.add_torrent(saved_in(tmp_path, DATA[:size]))
    assert complete(handle).total_done == size
    session.remove_torrent(handle)


@needs_libtorrent
def test_one_libtorrent_seeds_the_shared_file_and_another_fetches_the_same_bytes(tmp_path):
    shared, fetched = tmp_path / "shared" / "dados.bin", tmp_path / "fetched" / "dados.bin"
    shared.parent.mkdir()
    shared.write_bytes(DATA)
    seeder, fetcher = session_at(LOOPBACK), session_at(LOOPBACK)
    seed = seeder.add_torrent(saved_in(shared.parent, DATA))
    assert complete(seed).total_done == len(DATA)
    wanted = fetcher.add_torrent(saved_in(fetched.parent, DATA))
    wanted.connect_peer((LOOPBACK, seeder.listen_port()))
    assert complete(wanted).total_payload_download >= len(DATA)
    # It is complete before all is written, or even before there is a file.
    eventually(lambda: fetched.exists() and fetched.read_bytes() == DATA)
    assert shared.read_bytes() == DATA
    seeder.remove_torrent(seed)
    fetcher.remove_torrent(wanted)


def session_at(ip: str) -> libtorrent.session:
    """Start an engine that looks for nobody by itself, and is not found."""
    return libtorrent.session({**ALONE, "listen_interfaces": f"{ip}:0"})


def saved_in(folder: Path, data: bytes) -> libtorrent.add_torrent_params:
    """Describe data as dados.bin, to be found, or saved, in a folder."""
    chosen = libtorrent.load_torrent_buffer(described("dados.bin", data))
    chosen.save_path = str(folder)
    return chosen


def complete(handle: libtorrent.torrent_handle) -> libtorrent.torrent_status:
    """Wait until every piece is there and right; return what is told of it then."""
    never, end = Event(), monotonic() + LONG_PATIENCE
    while not (status := handle.status()).is_seeding:
        assert not status.errc.value(), status.errc.message()
        assert monotonic() < end, f"{status.state}, {status.total_done} bytes"
        never.wait(0.02)
    return status


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, b"i0e"),
        (-7, b"i-7e"),
        ("ação", b"6:a\xc3\xa7\xc3\xa3o"),
        (b"\x00\xff", b"2:\x00\xff"),
        ([1, [b""]], b"li1el0:ee"),
        ({}, b"de"),
        ({"b": 1, b"a": 2, "Z": 3, b"\xff": 4}, b"d1:Zi3e1:ai2e1:bi1e1:\xffi4ee"),
    ],
)
def test_values_are_written_as_bep_3_says(value, written):
    assert bencode(value) == written
