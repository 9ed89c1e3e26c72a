"""Other people's BitTorrent clients take what is shared here, from our programs alone."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from contextlib import contextmanager
from http.client import HTTPConnection

import pytest
from oracle import libtorrent, needs_libtorrent
from processes import PATIENCE, beside, converse, eventually, network

from rede_p2p.content.merkle import MIN_PIECE_BYTES

ALONE = {"enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False}
ARIA2 = (
    "aria2c --quiet --no-conf --enable-dht=false --enable-dht6=false --bt-enable-lpd=false "
    "--seed-time=0 --file-allocation=none --listen-port={port} "
    "--timeout=5 --connect-timeout=5 --max-tries=2"  # else a dead one may hold it for a minute
)
SLOW = "3M"  # so that half way is a while
RANDOM = random.Random(17)
ODD = "it's ç (1) 🎉 &+;@=,!#?%2e.bin"
FILES = {
    ODD: RANDOM.randbytes(8 * 2**20 + 5),
    "pasta/a.bin": RANDOM.randbytes(3 * MIN_PIECE_BYTES + 5),
    f"pasta/b/{ODD}": b"x",
    "pasta/b/c/d/multiple.bin": RANDOM.randbytes(2 * MIN_PIECE_BYTES),
    "pasta/empty": b"",
    "pasta/large.iso": RANDOM.randbytes(8 * 2**20 + 1),
    "pasta/z empty": b"",
}
FOLDER = {name: data for name, data in FILES.items() if name.startswith("pasta/")}
TARGETS = {"file": (f'"{ODD}"', ODD, {ODD: FILES[ODD]}), "folder": ("pasta", "pasta", FOLDER)}


def known(net):
    """Return what the tracker knows, a row for each name."""
    said = converse(net.ip, net.port, b'search {"text": ""}\n')
    return [json.loads(line) for line in said.splitlines()[1:]]


@contextmanager
def served(tmp_path, *words):
    """Yield a network with two peers that share all FILES, and these."""
    with network(tmp_path) as net:
        net.tracker()
        peers = [
            net.peer(
                "--servir", *words, ip=beside(net.ip, n), files=FILES, downloads=tmp_path / f"d{n}"
            )[0]
            for n in (1, 2)
        ]
        eventually(lambda: [row["peers"] for row in known(net)] == [2] * len(FILES))
        yield net, peers


def torrent_of(net, typed, name, *, v1=False):
    """Have a third peer write a torrent and leave; return its path."""
    script = f"torrent {'--v1 ' * v1}{typed}"
    result = net.run(script, "--sem-pagina", files=FILES, ip=beside(net.ip, 3))
    assert result.status == 0, result
    return net.downloads / f"{name}.torrent"


def arrived(folder, files):
    """Tell whether exactly these files are there, beside padding."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".pad" not in path.parts
    }
    return found == files


@contextmanager
def fetching(path, folder, ip):
    """Yield a libtorrent that fetches a torrent to a folder."""
    session = libtorrent.session({**ALONE, "listen_interfaces": f"{ip}:0"})
    chosen = libtorrent.load_torrent_file(str(path))
    assert len(chosen.url_seeds) == 2
    chosen.save_path = str(folder)
    handle = session.add_torrent(chosen)
    try:
        yield handle
    finally:
        session.remove_torrent(handle)


@pytest.mark.slow
@needs_libtorrent
@pytest.mark.parametrize("typed, name, files", TARGETS.values(), ids=TARGETS)
def test_libtorrent_takes_it_though_one_of_two_dies_half_way(tmp_path, typed, name, files):
    with served(tmp_path, "--limite", SLOW) as (net, peers):
        path = torrent_of(net, typed, name)
        with fetching(path, tmp_path / "got", net.ip) as handle:
            eventually(lambda: handle.status().progress > 0.3)
            assert handle.status().progress < 1
            peers[0].kill()
            eventually(lambda: arrived(tmp_path / "got", files))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("aria2c") is None, reason="no aria2c here")
@pytest.mark.parametrize("v1", [False, True])
@pytest.mark.parametrize("typed, name, files", TARGETS.values(), ids=TARGETS)
def test_aria2_takes_it_though_one_of_two_dies_half_way(tmp_path, typed, name, files, v1):
    got = tmp_path / "got"
    with served(tmp_path, "--limite", SLOW) as (net, peers):
        path = torrent_of(net, typed, name, v1=v1)
        command = ARIA2.format(port=net.port + 4).split()
        client = subprocess.Popen([*command, "-d", str(got), "-T", str(path)])
        try:
            eventually(lambda: sum(p.stat().st_blocks for p in got.rglob("*")) * 512 > 2 * 2**20)
            assert client.poll() is None
            peers[0].kill()
            assert client.wait(PATIENCE) == 0
        finally:
            client.kill()
            client.wait()
        assert arrived(got, files)
        assert not v1 or not list(got.rglob(".pad"))


@needs_libtorrent
def test_the_torrent_of_the_page_is_taken_as_well(tmp_path):
    with served(tmp_path) as (net, _):
        web = HTTPConnection(net.ip, net.port, PATIENCE)
        web.request("GET", "/")
        page = web.getresponse().read().decode()
        web.close()
        link = next(part for part in page.split('"') if "/torrent/" in part and "large" in part)
        host, _, path = link.replace("&amp;", "&").removeprefix("http://").partition("/")

        def take():
            peer = HTTPConnection(host, timeout=PATIENCE)
            peer.request("GET", f"/{path}")
            answer = peer.getresponse()
            (tmp_path / "page.torrent").write_bytes(answer.read())
            peer.close()
            assert answer.status in (200, 503)
            return answer.status == 200

        eventually(take)
        with fetching(tmp_path / "page.torrent", tmp_path / "got", net.ip):
            wanted = {"large.iso": FILES["pasta/large.iso"]}
            eventually(lambda: arrived(tmp_path / "got", wanted))
