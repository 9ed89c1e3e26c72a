"""The command ``torrent``: what is typed, what is written, what is shown."""

from __future__ import annotations

import json
import random

import pytest
from oracle import libtorrent, needs_libtorrent

from rede_p2p.content.merkle import MIN_PIECE_BYTES

pytest_plugins = ["sessions"]

DATA = random.Random(2).randbytes(2 * MIN_PIECE_BYTES + 9)
FILES = {
    "aula.txt": b"aula",
    "fotos/praia/1.png": DATA,
    "fotos/2 ç🎉.png": b"2",
    "fotos/vazio": b"",
    "fotos novas/3.png": b"3",
    "ac\u0327a\u0303o.txt": b"NFD",
}


def written(rede):
    return sorted(path.name for path in rede.downloads.iterdir())


def loaded(rede, name):
    return libtorrent.load_torrent_file(str(rede.downloads / name))


@needs_libtorrent
def test_each_name_gets_a_torrent_of_its_own(rede):
    result = rede.run("torrent aula.txt fotos", files=FILES)
    paths = [str(rede.downloads / name) for name in ("aula.txt.torrent", "fotos.torrent")]
    assert (result.status, result.out.splitlines()) == (0, paths)
    magnets = [line for line in result.err.splitlines() if line.startswith("magnet:?xt=urn:btih:")]
    assert len(magnets) == 2 and all("&xt=urn:btmh:1220" in line for line in magnets)
    one, folder = loaded(rede, "aula.txt.torrent"), loaded(rede, "fotos.torrent")
    (seed,) = one.url_seeds
    assert seed.startswith(f"http://{rede.host}:") and seed.endswith("/aula.txt")
    assert seed in libtorrent.parse_magnet_uri(magnets[0]).url_seeds
    (base,) = folder.url_seeds
    assert base.startswith(f"http://{rede.host}:") and base.endswith("/pasta/")
    layout = folder.ti.layout()
    real = [i for i in range(layout.num_files()) if not layout.file_flags(i) & layout.flag_pad_file]
    assert [layout.file_path(i) for i in real] == [
        "fotos/2 ç🎉.png", "fotos/praia/1.png", "fotos/vazio",
    ]  # fmt: skip
    for found in (one, folder):
        assert found.ti.info_hashes().has_v1() and found.ti.info_hashes().has_v2()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("fotos/", ["fotos.torrent"]),
        ("fotos/praia", ["praia.torrent"]),
        ("'fotos novas'", ["fotos novas.torrent"]),
        ("fotos/2*", ["2 ç🎉.png.torrent"]),
        ("'fotos/*'", ["1.png.torrent", "2 ç🎉.png.torrent", "vazio.torrent"]),
        ("ação.txt", ["ac\u0327a\u0303o.txt.torrent"]),
        ("--v1 fotos aula.txt", ["aula.txt.torrent", "fotos.torrent"]),
        ("aula.txt --v1", ["aula.txt.torrent"]),
    ],
)
def test_a_file_a_folder_or_a_pattern_is_meant(rede, words, names):
    assert rede.run(f"torrent {words}", files=FILES).status == 0
    assert written(rede) == names


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("aulas.txt", "você quis dizer aula.txt?"),
        ("foto", ""),
        ("fotos novas/3.png", 'ponha aspas no nome, que tem espaços: "fotos novas/3.png"'),
        ("'*.iso'", ""),
    ],
)
def test_what_is_not_there_is_told(rede, words, said):
    result = rede.run(f"torrent {words}", files=FILES)
    assert result.status in (2, 5) and said in result.err and not result.out


@needs_libtorrent
def test_without_v2_a_folder_has_no_padding(rede):
    result = rede.run("torrent --v1 fotos", "--json", files=FILES)
    (fact,) = (json.loads(line) for line in result.out.splitlines())
    found = loaded(rede, "fotos.torrent").ti
    assert not found.info_hashes().has_v2() and b".pad" not in found.info_section()
    assert fact["path"] == str(rede.downloads / "fotos.torrent")
    assert fact["magnet"].startswith(f"magnet:?xt=urn:btih:{found.info_hashes().v1}&dn=fotos&xl=")


def test_who_answers_no_browser_names_nobody(rede):
    assert rede.run("torrent aula.txt", "--sem-pagina", files=FILES).status == 0
    assert b"url-list" not in (rede.downloads / "aula.txt.torrent").read_bytes()


def test_a_name_that_is_a_file_and_a_folder_is_an_error(rede):
    result = rede.run("torrent p", files={"p/a": b"1", "p/a/b": b"2"})
    assert result.status == 9 and not result.out


def test_what_only_others_share_is_not_on_the_own_list(rede):
    rede.announced({"aula.txt": b"aula"})
    result = rede.run("torrent aula.txt", files={"aulas.txt": b"x"})
    assert result.status == 5
    assert result.err.endswith("“aula.txt” não está na sua lista: você quis dizer aulas.txt?\n")
