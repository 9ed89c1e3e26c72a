"""The .torrent of a shared file or folder, as an engine that is not ours reads it."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path
from threading import Event
from time import monotonic

import pytest
from oracle import libtorrent, needs_libtorrent
from processes import eventually

from rede_p2p.content import merkle, torrent, v1_pieces
from rede_p2p.content.merkle import BLOCK_BYTES, MIN_PIECE_BYTES, Content
from rede_p2p.content.torrent import TorrentFile, bencode
from rede_p2p.content.v1_pieces import V1Hasher
from rede_p2p.errors import DiskError

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


FOLDERS = {
    "plain": {"a.bin": DATA, "b/c ç.txt": b"x", "b/d/e.bin": DATA[:MIN_PIECE_BYTES]},
    "empty ones": {"0": b"", "a": DATA[:MIN_PIECE_BYTES], "b": b"", "c": b"hello", "z/z": b""},
    "an empty end": {"a": b"1", "z": b""},
    "multiples of a piece": {"a": b"1", "b": DATA[: 2 * MIN_PIECE_BYTES], "c": b"3"},
    "the same padding": {"a": b"1", "b": b"2", "c": b"3", "d": b"4"},
    "the same content": {"a": DATA, "b": DATA, "c/a": DATA},
    "one": {"a": DATA},
    "one byte": {"a": b"1"},
    "names": {
        "it's": b"1",
        '"q".txt': b"2",
        "🎉/🐍.zip": b"3",
        "%2e": b"4",
        "#?;&": b"5",
        "a b": b"6",
    },
    "order": {"a.b": b"1", "a/b": b"2", "a-b": b"3", "B": b"4", "é": b"5"},
}
LARGEST = {"large": DATA, "small": DATA[: MIN_PIECE_BYTES + 1]}


def hashed(path: str, data: bytes, piece: int) -> TorrentFile:
    layer, hasher = merkle.layer_of(data), V1Hasher(piece)
    hasher.add(memoryview(data))
    content = Content(merkle.root_of(layer, len(data)), len(data))
    return TorrentFile(tuple(path.split("/")), content, layer, hasher.digests())


def described(name: str, data: bytes, *, v1: bool = False) -> torrent.Torrent:
    file = hashed(name, data, torrent.piece_length([len(data)]))
    plain = v1_pieces.pieces(file.digests) if v1 else None
    return torrent.make(name, [file], ["http://10.0.0.2:5455/x"], folder=False, v1_pieces=plain)


def folder_of(files: dict[str, bytes], *, v1: bool = False) -> torrent.Torrent:
    piece = torrent.piece_length(map(len, files.values()))
    every = torrent.in_order(hashed(path, data, piece) for path, data in files.items())
    hasher = V1Hasher(piece)
    for file in every:
        hasher.add(memoryview(files["/".join(file.path)]))
    plain = v1_pieces.pieces(hasher.digests()) if v1 else None
    return torrent.make("p", every, ["http://10.0.0.2:5455/pasta/"], folder=True, v1_pieces=plain)


def write_all(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def agrees(made: torrent.Torrent, *, v1: bool = False) -> libtorrent.torrent_info:
    """Let libtorrent load it; compare the hashes by which both call it."""
    found = libtorrent.load_torrent_buffer(made.data).ti
    hashes = found.info_hashes()
    assert found.is_valid() and hashes.v1.to_bytes() == made.v1_hash
    assert hashes.has_v2() is not v1
    assert made.v2_hash == (b"" if v1 else hashes.v2.to_bytes())
    return found


@needs_libtorrent
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("v1", [False, True])
def test_libtorrent_loads_a_file_and_agrees_on_the_hashes(size, v1):
    data = DATA[:size]
    made = described("dados.bin", data, v1=v1)
    found = agrees(made, v1=v1)
    layer = merkle.layer_of(data)
    files = found.layout()
    padding = [i for i in range(1, files.num_files()) if files.file_flags(i) & files.flag_pad_file]
    assert files.num_files() == 1 + len(padding) and files.file_path(0) == "dados.bin"
    assert files.file_size(0) == size == made.size
    if not v1:
        assert files.root(0).to_bytes() == merkle.root_of(layer, size)
    assert found.piece_length() == merkle.piece_length(size)


@needs_libtorrent
@pytest.mark.parametrize("files", FOLDERS.values(), ids=FOLDERS)
@pytest.mark.parametrize("v1", [False, True])
def test_libtorrent_loads_a_folder_and_finds_every_piece_of_it_right(tmp_path, host, files, v1):
    made = folder_of(files, v1=v1)
    layout = agrees(made, v1=v1).layout()
    shown = range(layout.num_files())
    real = [i for i in shown if not layout.file_flags(i) & layout.flag_pad_file]
    assert {layout.file_path(i): layout.file_size(i) for i in real} == {
        f"p/{path}": len(data) for path, data in files.items()
    }
    assert not v1 or len(real) == layout.num_files()
    write_all(tmp_path / "p", files)
    session = session_at(host)
    handle = session.add_torrent(saved_in(tmp_path, made))
    assert complete(handle)
    session.remove_torrent(handle)


@needs_libtorrent
def test_a_folder_of_many_bytes_has_longer_pieces_and_each_file_the_layer_above(
    tmp_path, host, monkeypatch
):
    monkeypatch.setattr(merkle, "MAX_PIECES", 4)  # of 128 KiB for the large one, which are 5
    monkeypatch.setattr(torrent, "piece_length", lambda _: 4 * MIN_PIECE_BYTES)
    made = folder_of(LARGEST)
    assert agrees(made).piece_length() == 4 * MIN_PIECE_BYTES
    write_all(tmp_path / "p", LARGEST)
    session = session_at(host)
    handle = session.add_torrent(saved_in(tmp_path, made))
    assert complete(handle)
    session.remove_torrent(handle)


@pytest.mark.parametrize(
    ("sizes", "piece"),
    [
        ([0], MIN_PIECE_BYTES),
        ([1, 2**32 - 1], MIN_PIECE_BYTES),
        ([1, 2**32], 2 * MIN_PIECE_BYTES),
        ([2**32, 2**32], 2 * MIN_PIECE_BYTES),
        ([2**32 + 1], 2 * MIN_PIECE_BYTES),
        ([2**30] * 100, 32 * MIN_PIECE_BYTES),
    ],
)
def test_a_piece_is_as_long_as_the_largest_file_and_all_together_want_it(sizes, piece):
    assert torrent.piece_length(sizes) == piece


@needs_libtorrent
def test_any_letter_of_a_name_is_kept():
    assert agrees(described("ação 🐍.txt", DATA)).name() == "ação 🐍.txt"


def test_an_empty_file_has_no_root_as_the_standard_wants():
    written = described("vazio", b"").data
    assert b"pieces root" not in written
    assert b"9:file treed5:vaziod0:d6:lengthi0eee" in written


def test_no_path_is_there_twice_because_transmission_refuses_it():
    written = folder_of(FOLDERS["the same padding"]).data
    for number in (1, 2, 3):
        assert written.count(b"l4:.pad7:65535-%de" % number) == 1
    assert b".pad" not in folder_of(FOLDERS["the same padding"], v1=True).data


def test_a_name_cannot_be_a_file_and_a_folder():
    with pytest.raises(DiskError):
        folder_of({"a": b"1", "a/b": b"2"})


def test_the_same_content_gives_the_same_bytes():
    files = FOLDERS["plain"]
    assert folder_of(files) == folder_of(dict(reversed(files.items())))


@needs_libtorrent
def test_a_magnet_has_both_hashes_and_the_web_seeds():
    made = described("ação &=1.txt", DATA)
    seeds = ["http://10.0.0.2:5455/arquivo/aa/x%20y", "http://[2001:db8::1]:5455/z"]
    found = libtorrent.parse_magnet_uri(made.magnet(seeds))
    assert found.info_hashes.v1.to_bytes() == made.v1_hash
    assert found.info_hashes.v2.to_bytes() == made.v2_hash
    assert found.name == "ação &=1.txt" and found.url_seeds == seeds
    assert "btmh" not in described("a", DATA, v1=True).magnet([])


@pytest.mark.parametrize("command", [["aria2c", "-S"], ["transmission-show"]], ids=lambda c: c[0])
@pytest.mark.parametrize("v1", [False, True])
def test_other_clients_find_nothing_wrong(tmp_path, command, v1):
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    if not v1 and command[0] == "transmission-show" and transmission() < 4:
        pytest.skip("Transmission 3 reads no hybrid torrent")
    made = {name: folder_of(files, v1=v1) for name, files in FOLDERS.items()}
    made |= {f"file {size}": described("a", DATA[:size], v1=v1) for size in SIZES}
    for name, one in made.items():
        path = tmp_path / f"{name}.torrent"
        path.write_bytes(one.data)
        done = subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (name, done)
        # aria2 leaves an empty key out, as a file tree (BEP 52) has, and so computes another hash.
        if v1 or command[0] != "aria2c":
            assert one.v1_hash.hex() in done.stdout.lower()


def transmission() -> int:
    """Return the first number of the version that is here."""
    done = subprocess.run(
        ["transmission-show", "--version"], capture_output=True, text=True, check=False
    )
    return int((done.stdout + done.stderr).split()[1].partition(".")[0])


@needs_libtorrent
@pytest.mark.parametrize("size", SIZES)
def test_libtorrent_finds_every_piece_of_the_file_right(tmp_path, host, size):
    (tmp_path / "dados.bin").write_bytes(DATA[:size])
    session = session_at(host)
    handle = session.add_torrent(saved_in(tmp_path, described("dados.bin", DATA[:size])))
    assert complete(handle).total_done == size
    session.remove_torrent(handle)


@needs_libtorrent
def test_one_libtorrent_seeds_the_shared_file_and_another_fetches_the_same_bytes(tmp_path):
    shared, fetched = tmp_path / "shared" / "dados.bin", tmp_path / "fetched" / "dados.bin"
    shared.parent.mkdir()
    shared.write_bytes(DATA)
    seeder, fetcher = session_at(LOOPBACK), session_at(LOOPBACK)
    made = described("dados.bin", DATA)
    seed = seeder.add_torrent(saved_in(shared.parent, made))
    assert complete(seed).total_done == len(DATA)
    wanted = fetcher.add_torrent(saved_in(fetched.parent, made))
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


def saved_in(folder: Path, made: torrent.Torrent) -> libtorrent.add_torrent_params:
    """Describe what is to be found, or saved, in a folder, and asked of no web seed."""
    chosen = libtorrent.load_torrent_buffer(made.data)
    chosen.save_path, chosen.url_seeds = str(folder), []
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
