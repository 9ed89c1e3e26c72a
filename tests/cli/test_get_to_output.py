"""``get … -``: the verified bytes of one file and nothing else, or an error and not a byte."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT
from processes import PATIENCE, beside, eventually, network
from sources import found_in

from rede_p2p.cli.error_texts import USAGE
from rede_p2p.cli.get_to_output import STEP_BYTES, _verified, get
from rede_p2p.cli.shell import Command
from rede_p2p.content import disk
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.merkle import Content
from rede_p2p.errors import DiskError

pytest_plugins = ["sessions"]

LARGE = random.Random(16).randbytes(3 * STEP_BYTES + 7)
FILES = {"a.txt": b"uma linha\n", "vazio": b"", "grande.bin": LARGE, "pasta/b.txt": b"b"}


@pytest.fixture
def cache():
    with closing(HashCache(None)) as made:
        yield made


@pytest.fixture
def known(tmp_path, cache):
    """Write a file that the cache knows; return a session, its path and its content."""
    path = tmp_path / "x"
    path.write_bytes(LARGE)
    os.utime(path, (1_500_000_000,) * 2)
    root = cache.wait(str(path), disk.file_state(path), PATIENCE)
    session = SimpleNamespace(context=SimpleNamespace(hash_cache=cache))
    return session, path, Content(root, len(LARGE))


def test_every_byte_is_read_in_its_order(known):
    assert b"".join(bytes(data) for data in _verified(*known)) == LARGE


@pytest.mark.parametrize("at", [0, STEP_BYTES + 5, len(LARGE) - 1])
def test_of_a_file_that_was_changed_nothing_wrong_is_given(known, at):
    with known[1].open("r+b") as file:
        file.seek(at)
        file.write(bytes([LARGE[at] ^ 1]))
    given = b""
    with pytest.raises(DiskError) as caught:
        for data in _verified(*known):
            given += data
    assert caught.value.kind == "changed" and LARGE.startswith(given) and len(given) <= at


@pytest.mark.parametrize("length", [0, STEP_BYTES, len(LARGE) - 1])
def test_of_a_file_that_was_cut_nothing_wrong_is_given(known, length):
    os.truncate(known[1], length)
    given = b""
    with pytest.raises(DiskError):
        for data in _verified(*known):
            given += data
    assert LARGE.startswith(given)


def test_without_the_hashes_of_its_pieces_nothing_is_given(known, cache):
    cache.forget(str(known[1]))
    with pytest.raises(DiskError):
        next(_verified(*known))


@pytest.mark.parametrize(
    "script",
    [
        "get {ip} a.txt vazio -",
        "get {ip} *.txt grande.bin -",
        "get {ip} pasta/ a.txt -",
        "get {ip} a.txt - &",
    ],
)
def test_it_is_of_one_file_that_is_waited_for(rede, script):
    source = rede.source(FILES)
    result = rede.run(script.format(ip=source.address.ip))
    assert (result.status, result.out) == (2, "")
    assert result.err.splitlines()[-1] == USAGE["saida"]
    assert not rede.downloads.exists()


def test_with_json_it_is_an_error_that_is_an_object(rede):
    source = rede.source(FILES)
    result = rede.run(f"get {source.address.ip} a.txt -", "--json")
    assert result.status == 2 and '"status": 2' in result.out and "uma linha" not in result.out


def test_a_dash_alone_is_a_name(rede):
    def menu(session):
        eventually(lambda: session.client.search("-", exact=True))
        get(session, Command("get", ("-",)))

    assert rede.be(menu, files={"-": b"um"}).status == 0
    assert found_in(rede.downloads) == {"-": b"um"}


# In whole programs, whose output is bytes.


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    with network(tmp_path_factory.mktemp("rede")) as programs:
        programs.tracker()
        programs.peer("--servir", files=FILES)
        yield programs


def run(net, script, *words, downloads=None, **streams):
    """Start a peer that does what the script says."""
    given = net.words(*words, "-c", script, ip=beside(net.ip), downloads=downloads)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    streams["stdin"] = subprocess.DEVNULL
    command = [sys.executable, *given]
    return subprocess.Popen(command, cwd=ROOT, env=net.environment(), **streams)


@pytest.mark.parametrize("name", ["a.txt", "vazio", "grande.bin", "pasta/"])
def test_the_bytes_of_the_file_and_nothing_else_are_written(net, tmp_path, name):
    for times in range(2):  # fetched, and then already here
        with run(net, f"get {net.ip} {name} -", "-q", downloads=tmp_path) as peer:
            out, err = peer.communicate(timeout=PATIENCE)
        asked = "pasta/b.txt" if name == "pasta/" else name
        assert (peer.returncode, out, err) == (0, FILES[asked], b""), times
    assert found_in(tmp_path) == {asked: FILES[asked]}


def test_where_the_file_stays_is_told_beside_it(net, tmp_path):
    with run(net, f"get {net.ip} a.txt -", "--nao-semear", downloads=tmp_path) as peer:
        out, err = peer.communicate(timeout=PATIENCE)
    assert out == FILES["a.txt"]
    told = f"a.txt: 10 B, baixado e verificado; fica também em {tmp_path / 'a.txt'}"
    assert err.decode().splitlines()[-1] == told


def test_who_reads_no_more_ends_it_with_that_status(net, tmp_path):
    with run(net, f"get {net.ip} grande.bin -; peers", "-q", downloads=tmp_path) as peer:
        assert peer.stdout.read(10) == LARGE[:10]
        peer.stdout.close()
        assert peer.wait(PATIENCE) == 141
        assert peer.stderr.read() == b""
    assert found_in(tmp_path) == {"grande.bin": LARGE}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk that is always full")
def test_an_output_that_takes_nothing_is_an_error(net, tmp_path):
    with (
        Path("/dev/full").open("wb") as full,
        run(net, f"get {net.ip} a.txt -", downloads=tmp_path, stdout=full) as peer,
    ):
        _, err = peer.communicate(timeout=PATIENCE)
    assert peer.returncode == 9 and "não há espaço no disco para a saída padrão" in err.decode()


def test_what_does_not_come_writes_nothing(net):
    with run(net, f"get {net.ip} sumido.txt -", "-q") as peer:
        out, err = peer.communicate(timeout=PATIENCE)
    assert (peer.returncode, out) == (5, b"") and err.decode().count("\n") == 1
