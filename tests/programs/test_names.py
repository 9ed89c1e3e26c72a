"""Names as people have them, through the whole programs: shared, shown, typed, written."""

from __future__ import annotations

import json
import os
import socket

import pytest
from processes import eventually, network

FILES = {
    ":smile:.dat": b"smile",
    "aula 10:30?.txt": b"aula",
    "con": b"con",
    "fim. ": b"fim",
    "ac\u0327a\u0303o.txt": b"nfd",
    "é.txt": b"one",
    "e\u0301.txt": b"two",
    "Captura às 10\u202fh.png": b"captura",
    "minha\u00a0foto.png": b"foto",
    "👩\u200d👩\u200d👧.png": b"family",
    "b\u200bc.txt": b"zero width",
    "fotos\u00a0da praia/a.png": b"a",
    "fotos\u00a0da praia/b.png": b"b",
}


@pytest.fixture(scope="module")
def rede(tmp_path_factory):
    with network(tmp_path_factory.mktemp("nomes")) as programs:
        programs.tracker()
        programs.peer("--servir", files=FILES)
        eventually(lambda: names_of(programs) == set(FILES))  # all of them are announced
        yield programs


def names_of(programs):
    """Return the names that the whole network has."""
    listed = programs.run("ls", "--json").out.splitlines()
    return {name for line in listed for name in json.loads(line)["names"]}


@pytest.fixture
def standing(rede, tmp_path_factory):
    with network(tmp_path_factory.mktemp("visita")) as programs:
        programs.ip, programs.port = rede.ip, rede.port
        yield programs


def arrived(folder):
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


# What is typed, and the names that are meant.
TYPED = [
    (":smile:.dat", [":smile:.dat"]),
    ("aula 10:30?.txt", ["aula 10:30?.txt"]),
    ("con", ["con"]),
    ("fim.", ["fim. "]),
    ("ação.txt", ["ac\u0327a\u0303o.txt"]),
    ("é.txt", ["é.txt"]),
    ("e\u0301.txt", ["e\u0301.txt"]),
    ("Captura a\u0300s 10 h.png", ["Captura às 10\u202fh.png"]),
    ("minha foto.png", ["minha\u00a0foto.png"]),
    ("minha\u00a0foto.png", ["minha\u00a0foto.png"]),
    ("👩\u200d👩\u200d👧.png", ["👩\u200d👩\u200d👧.png"]),
    ("b\\u200bc.txt", ["b\u200bc.txt"]),
]
OF_A_PEER = [
    ("fotos da praia/", ["fotos\u00a0da praia/a.png", "fotos\u00a0da praia/b.png"]),
    ("fotos da praia/*.png", ["fotos\u00a0da praia/a.png", "fotos\u00a0da praia/b.png"]),
    ("aç?o*", ["ac\u0327a\u0303o.txt"]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("typed", "names"), [*TYPED, *OF_A_PEER], ids=ascii)
def test_what_a_person_types_is_the_shared_name_that_looks_the_same(standing, typed, names):
    result = standing.run(f'get {standing.ip} "{typed}"')
    assert result.status == 0, result
    assert arrived(standing.downloads) == {name: FILES[name] for name in names}


@pytest.mark.parametrize(("typed", "names"), TYPED, ids=ascii)
def test_so_it_is_where_the_whole_network_is_asked(standing, typed, names):
    result = standing.run(f'get "{typed}"')
    assert result.status == 0, result
    assert arrived(standing.downloads) == {name: FILES[name] for name in names}


def test_names_with_colons_are_no_addresses(standing):
    assert standing.run("get :smile:.dat con").status == 0
    assert set(arrived(standing.downloads)) == {":smile:.dat", "con"}


def test_what_ls_shows_is_copied_back_letter_by_letter(standing):
    assert names_of(standing) == set(FILES)
    shown = [line.split("\t")[0] for line in standing.run("ls").out.splitlines()[1:]]
    assert len(shown) == len(FILES)
    script = "; ".join(f'get "{name}"' for name in shown)
    assert standing.run(script).status == 0
    assert arrived(standing.downloads) == FILES


@pytest.mark.parametrize("typed", ["MINHA FOTO", "AÇÃO", "ac\u0327a\u0303o", "às 10 h"], ids=ascii)
def test_a_search_finds_what_looks_the_same(standing, typed):
    result = standing.run(f'buscar "{typed}"')
    assert len(result.out.splitlines()) == 2, result


def test_blanks_without_quotes_are_recognised_though_they_are_no_break_spaces(standing):
    for words in ("get minha foto.png", f"get {standing.ip} minha foto.png"):
        result = standing.run(words)
        assert result.status == 2
        assert "ponha aspas no nome" in result.err


def test_the_torrent_of_an_own_file_is_asked_for_by_what_looks_the_same(standing):
    assert (
        standing.run('torrent "ação 1.txt"', files={"ac\u0327a\u0303o\u00a01.txt": b"x"}).status
        == 0
    )
    assert list(arrived(standing.downloads)) == ["ac\u0327a\u0303o\u00a01.txt.torrent"]


# Names of peers.


def listed(programs, *words, name=None):
    """Return the names that a peer of that REDE_NOME sees, its own among them."""
    environment = programs.environment()
    environment.pop("REDE_NOME")
    environment |= {} if name is None else {"REDE_NOME": name}
    words = programs.words(*words, "--json", "-c", "peers")
    result = programs.start(*words, environment=environment).end()
    assert result.status == 0, result
    facts = map(json.loads, result.out.splitlines())
    return {fact["name"] for fact in facts if fact["you"]}


def test_a_peer_is_called_as_its_machine_or_as_was_chosen(standing):
    machine = socket.gethostname().partition(".")[0]
    assert listed(standing) == {machine}
    assert listed(standing, name="bia") == {"bia"}
    assert listed(standing, name="") == {""}
    assert listed(standing, "--nome", "ana maria", name="bia") == {"ana maria"}


def test_a_name_that_no_peer_may_have_is_one_sentence(standing):
    for name in ("7", "10.0.0.7", "\u202eana", "x" * 65, "ana:5455"):
        result = standing.run("peers", "--nome", name)
        assert result.status == 2
        assert len(result.complaints) == 1
        assert "não serve de nome" in result.complaints[0]


def test_no_file_is_hidden_by_a_peer_of_its_name(standing):
    standing.peer("--servir", "--nome", "con", files={"meu.txt": b"m"})
    assert standing.run("get con").status == 0
    assert standing.run("get con é.txt").status == 0
    assert set(arrived(standing.downloads)) == {"con", "é.txt"}
    assert standing.run("ls con").out.splitlines()[1].startswith("meu.txt\t")


# Under another name.


@pytest.mark.parametrize(
    "words",
    [
        "{ip} 'aula 10:30?.txt' --como 'aula 10h30.txt'",
        "--como='aula 10h30.txt' {ip} 'aula 10:30?.txt'",
        "'aula 10:30?.txt' --como 'aula 10h30.txt'",
        "{ip} 'aula*' --como 'aula 10h30.txt'",
    ],
)
def test_a_file_is_written_under_the_name_that_was_given(standing, words):
    result = standing.run(f"get {words.format(ip=standing.ip)}", "--json")
    assert result.status == 0, result
    assert arrived(standing.downloads) == {"aula 10h30.txt": b"aula"}
    fact = json.loads(result.out)
    assert fact["path"] == str(standing.downloads / "aula 10h30.txt")


def test_a_given_name_is_free_or_gets_a_number_and_is_known_the_second_time(standing):
    standing.downloads.mkdir()
    (standing.downloads / "novo.txt").write_bytes(b"mine")
    for _ in range(2):
        assert standing.run(f"get {standing.ip} con --como novo.txt").status == 0
        assert arrived(standing.downloads) == {"novo.txt": b"mine", "novo (1).txt": b"con"}


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("{ip} con --como ../fora", 5, "“../fora” não é seguro"),
        ("{ip} con --como C:fora", 5, "“C:fora” não é seguro"),
        ("{ip} con --como .bashrc", 5, "começa com ponto"),
        ("{ip} con --como", 2, "--como dá outro nome a um só arquivo"),
        ("{ip} con --como ''", 2, "--como dá outro nome a um só arquivo"),
        ("{ip} con é.txt --como x", 2, "--como dá outro nome a um só arquivo"),
        ("{ip} '*.png' --como x", 2, "--como dá outro nome a um só arquivo"),
        ("con é.txt --como x", 2, "--como dá outro nome a um só arquivo"),
        ("--como x", 2, "use: get"),
    ],
)
def test_a_name_that_cannot_be_given_is_one_sentence(standing, words, status, sentence):
    result = standing.run(f"get {words.format(ip=standing.ip)}")
    assert result.status == status, result
    assert len(result.complaints) == 1
    assert sentence in result.complaints[0]
    assert not arrived(standing.downloads)
    assert not (standing.downloads.parent / "fora").exists()


# Names and paths that do not fit.


@pytest.mark.parametrize("size", [5, 2**21], ids=["small", "large"])
@pytest.mark.parametrize("words", ["{ip} {name}", "{ip} {name} b"], ids=["one", "two"])
def test_the_longest_name_has_room_for_its_partial_file(standing, size, words):
    name, data = "n" * 251 + ".txt", os.urandom(size)
    _, port = standing.peer("--servir", files={name: data, "b": b"b"})
    result = standing.run(f"get {words.format(ip=f'{standing.ip} {port}', name=name)}")
    assert result.status == 0, result
    assert arrived(standing.downloads)[name] == data


@pytest.mark.parametrize("words", ["con", "con é.txt", "fotos*"])
def test_a_path_that_is_too_long_is_one_sentence(standing, words):
    long = standing.folder.joinpath(*["x" * 250] * 20)
    result = standing.run(f"get {standing.ip} {words}", downloads=long)
    assert result.status == 9, result
    assert "comprido demais para este disco" in result.out + result.err
    assert not [line for line in result.complaints if "erro interno" in line]


def test_the_home_folder_is_meant_by_a_tilde_after_an_equals_sign(standing):
    """The shell leaves the ``~`` of ``--pasta=~/x`` as it is."""
    home = standing.folder / "casa"
    home.mkdir()
    (home / "l.txt").write_text("meu.txt ~/l.txt\n", encoding="utf-8")
    words = ["Peers.py", standing.ip, str(standing.port), "--ip", standing.ip]
    words += ["--arquivos=~/l.txt", "--pasta=~/baixados", "-c"]
    words.append(f"get {standing.ip} con; get {standing.ip} meu.txt")
    environment = {**standing.environment(), "HOME": str(home)}
    assert standing.start(*words, environment=environment).end().status == 0
    assert set(arrived(home / "baixados")) == {"con", "meu.txt"}


def test_an_empty_folder_inside_a_shared_one_arrives(tmp_path):
    for folder in ("turma/vazia/dentro", "turma/cheia", "nada"):
        (tmp_path / "fonte" / folder).mkdir(parents=True)
    (tmp_path / "fonte" / "turma" / "cheia" / "a.txt").write_bytes(b"a")
    (tmp_path / "fonte" / "lista.txt").write_text("turma turma\nnada nada\n")
    with network(tmp_path) as net:
        net.tracker()
        net.peer("--servir", files=tmp_path / "fonte" / "lista.txt")
        result = net.run(f"get {net.ip} turma nada")
        assert result.status == 0, result
        assert "2 pastas vazias" in result.err
        assert (net.downloads / "turma" / "cheia" / "a.txt").read_bytes() == b"a"
        assert (net.downloads / "turma" / "vazia" / "dentro").is_dir()
        assert (net.downloads / "nada").is_dir()
        alone = net.run(f"get {net.ip} nada")
        assert (alone.status, alone.out) == (0, "")


def test_where_the_system_is_ascii_what_it_can_hold_arrives_and_each_other_name_is_told(standing):
    ascii_only = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = standing.words("-c", f"get {standing.ip} '*'")
    environment = {**standing.environment(), **ascii_only}
    result = standing.start(*words, environment=environment).end()
    assert arrived(standing.downloads) == {
        name: data for name, data in FILES.items() if name.isascii()
    }
    assert result.status == 9 and "o nome não serve neste disco" in result.out, result
