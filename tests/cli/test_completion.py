"""What Tab offers, and that the completed line means what was offered."""

from __future__ import annotations

import string
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import eventually

from rede_p2p.cli import manual
from rede_p2p.cli.asking import Asking
from rede_p2p.cli.commands import COMMANDS
from rede_p2p.cli.completion import Completer, _common, form, paths, plain, split
from rede_p2p.cli.shell import parse
from rede_p2p.content import safe_names
from rede_p2p.timeouts import DEFAULT

pytest_plugins = ["sessions"]

PATIENT = DEFAULT._replace(completion_s=20.0)
DELIMITERS = " \t;&"  # readline's, which begins a word after one whether quoted or not
NAMES = {
    "aula1.pdf": b"1",
    "aula10.pdf": b"10",
    "minha foto.png": b"2",
    "d'água fria.txt": b"3",
    "R&B; etc.mp3": b"4",
    "Relatório.doc": b"5",
    "fotos/a b.png": b"6",
    "fotos/c.png": b"7",
    "emoji \u200b invisível.txt": b"8",
}


class Typist:
    """Somebody who types a line and presses Tab."""

    def __init__(self, session, asking):
        self._complete = Completer(session, asking).complete

    def sees(self, line):
        begin = max(line.rfind(mark) for mark in DELIMITERS) + 1
        return [match.shown for match in self._complete(line, begin)]

    def gets(self, line):
        """Return the line that readline makes of this one: what all matches have in common."""
        begin = max(line.rfind(mark) for mark in DELIMITERS) + 1
        found = [match.text for match in self._complete(line, begin)]
        return line[:begin] + _common(found) if found else line


@pytest.fixture
def typing(rede):
    """Return a function that has a typist do something beside a source of NAMES."""
    source = rede.source(NAMES)

    def typing(do, **files):
        def menu(session):
            with closing(Asking(PATIENT)) as asking:
                do(Typist(session, asking), source.address, session)

        assert rede.be(menu, files=files).status == 0

    return typing


def words_of(line):
    return parse(line, frozenset(COMMANDS))[-1].words


def test_commands_are_offered_at_the_beginning_of_each(typing):
    def check(typist, *_):
        every = {usage.split()[0] for usage, _, _ in manual.COMMANDS}
        for line in ("", "peers; ", "peers;", "get a & "):
            assert {*typist.sees(line)} == every
        assert typist.sees("p") == ["peers", "placar"]
        assert typist.gets("pe") == typist.gets("PE") == "peers "
        assert typist.gets("ls;compa") == "ls;compartilhar "
        assert typist.gets("ajuda comp") == "ajuda compartilhar "
        assert typist.gets("get x --") == "get x --como "
        assert typist.sees("get x --como ") == []
        assert typist.sees("ls -") == ["-1", "-l", "-S"]
        assert typist.sees("peers x") == typist.sees("xyzzy ") == []

    typing(check)


def test_peers_their_ports_and_their_files_are_offered(typing):
    def check(typist, at, session):
        assert typist.gets("ls ") == typist.gets(f"ls {at.ip[:5]}") == f"ls {at.ip} "
        assert typist.gets(f"dir {at.ip} ") == f"dir {at.ip} {at.port} "
        assert (
            typist.gets(f"ls {at.ip} {at.port} minha") == f"ls {at.ip} {at.port} minha\\ foto.png "
        )
        assert typist.gets(f"ls -l {at.ip} {str(at.port)[:2]}") == f"ls -l {at.ip} {at.port} "
        shown = ["aula1.pdf", "aula10.pdf", "d'água fria.txt", "emoji \\u200b invisível.txt"]
        shown += ["fotos/", "minha foto.png", "R&B; etc.mp3", "Relatório.doc"]
        for line in (f"get {at.ip} ", f"GET {at.ip} {at.port} ", f"baixar {at.ip}:{at.port} "):
            assert typist.sees(line) == shown
        assert typist.sees(f"get {at.ip} fotos/") == ["a b.png", "c.png"]
        assert typist.gets(f"get {at.ip} fo") == f"get {at.ip} fotos/"
        assert typist.gets(f"get {at.ip} au") == f"get {at.ip} aula1"
        assert typist.gets(f"get {at.ip} aula1.pdf aula10") == f"get {at.ip} aula1.pdf aula10.pdf "
        assert "aula1.pdf" not in typist.sees(f"get {at.ip} aula1.pdf ")
        assert typist.sees("get 192.0.2.1 x") == typist.sees(f"ls {at.ip} {at.port + 1} x") == []

    typing(check)


def test_a_peer_is_offered_by_its_name_and_its_files_by_that_or_by_its_row(rede):
    source = rede.source({"aula 1.pdf": b"1"}, "Sala Ação")
    at = source.address

    def menu(session):
        with closing(Asking(PATIENT)) as asking:
            typist = Typist(session, asking)
            assert typist.sees("ls ") == typist.sees("get ") == [at.ip, "Sala Ação"]
            for typed in ("sa", "SALA", "Sala\\ Ac\u0327a\u0303"):
                assert typist.gets(f"get {typed}") == "get Sala\\ Ação "
            session.rows.append(at)
            for peer in ("Sala\\ Ação", "'sala ação'", f'"Sala Ação:{at.port}"', "1"):
                for command in ("get", "ls"):
                    assert typist.gets(f"{command} {peer} ") == f"{command} {peer} aula\\ 1.pdf "
            assert typist.sees("get 2 ") == typist.sees("ls 0 ") == typist.sees("ls 999999 x") == []

    assert rede.be(menu).status == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("quote", ["", '"', "'"])
@pytest.mark.parametrize("typed", [0, 1, 3, -1])
def test_a_name_with_blanks_and_quotes_is_completed_as_it_is_read(name, quote, typed):
    if quote == "'" and "'" in name:
        return  # nothing can be typed for it between such quotes
    whole = form(name, quote)
    assert words_of(f"get {whole}") == (name,)
    part = whole.rstrip()[: typed if typed > 0 else len(whole.rstrip()) + typed]
    if part:
        assert name.startswith(plain(part)) or part.endswith("\\")


def test_whatever_is_typed_of_a_name_the_completed_line_means_it(typing):
    def check(typist, at, _):
        for name in NAMES:
            for quote in ("", '"', "'"):
                whole = f"get {at.ip} {form(name, quote).rstrip()}"
                least = len(f"get {at.ip} ") + len(quote)
                for length in range(least, len(whole) + 1):
                    done = typist.gets(whole[:length])
                    assert done.startswith(whole[:length]), (done, whole[:length])
                    if done.endswith(" ") and done != whole[:length]:
                        assert words_of(done)[1] in NAMES, done
                if quote == "" or quote not in name or quote == '"':
                    assert words_of(typist.gets(whole[:-1]))[1] == name

    typing(check)


def test_another_case_or_another_form_of_an_accent_is_taken_for_the_same(typing):
    def check(typist, at, _):
        for typed in ("relat", "RELATÓ", "Relato\u0301"):
            assert typist.gets(f"get {at.ip} {typed}") == f"get {at.ip} Relatório.doc "
        assert typist.gets(f"get {at.ip} AULA1") == f"get {at.ip} aula1"  # and no letter is lost
        assert typist.gets(f"get {at.ip} r") == f"get {at.ip} R"
        assert typist.sees(f"get {at.ip} R") == ["R&B; etc.mp3", "Relatório.doc"]

    typing(check)


def test_names_of_the_whole_network_and_ones_own_are_offered(typing):
    def check(typist, _, session):
        eventually(lambda: session.client.search("meu"))
        assert typist.gets("get meu") == "get meu\\ texto.txt "
        assert typist.gets("remover ") == "remover meu\\ texto.txt "
        assert typist.gets("torrent m") == "torrent meu\\ texto.txt "
        assert typist.sees("remover meu x") == typist.sees("cancelar ") == []

    typing(check, **{"meu texto.txt": b"m"})


def test_local_paths_are_offered_to_be_shared(typing, tmp_path, monkeypatch):
    folder = tmp_path / "dar a todos"
    (folder / "pasta").mkdir(parents=True)
    for name in ("aula.pdf", ".oculto", "mal\x1b[2J"):
        (folder / name).write_bytes(b"x")
    monkeypatch.setenv("HOME", str(tmp_path))

    def check(typist, *_):
        start = f"compartilhar {tmp_path}/dar"
        assert typist.gets(start) == f"compartilhar {tmp_path}/dar\\ a\\ todos/"
        assert typist.sees(typist.gets(start)) == ["aula.pdf", "pasta/"]
        assert typist.gets("share ~/dar") == "share ~/dar\\ a\\ todos/"
        assert typist.gets('share "~/dar a todos/au') == 'share "~/dar a todos/aula.pdf" '
        assert typist.sees(f"{start}\\ a\\ todos/.") == [".oculto"]
        assert typist.sees(f"{start}\\ a\\ todos/aula.pdf ") == []
        assert typist.sees("compartilhar /não/há") == typist.sees("share 'a\0") == []

    typing(check)


@pytest.mark.parametrize(
    ("line", "words", "start"),
    [
        ("", [], 0),
        ("get", [], 0),
        ("get ", ["get"], 4),
        ("get 'a b' c", ["get", "a b"], 10),
        ("get 'a b", ["get"], 4),
        ('get "a \\', ["get"], 4),
        ("get a\\ b", ["get"], 4),
        ("get a\\ ", ["get"], 4),
        ("ls; get a &", [], 11),
        ("ls;get x", ["get"], 7),
        ('get "a;b" c', ["get", "a;b"], 10),
    ],
)
def test_a_line_is_split_as_it_is_read(line, words, start):
    assert split(line) == (words, start)


@given(st.text(string.printable + "çã“\u200b"), st.sampled_from(["", '"', "'"]))
def test_every_safe_name_is_read_back_as_it_was_offered(name, quote):
    # A name of these signs alone cannot be typed.
    if safe_names.is_safe(name) and name.strip(";&") and not (quote == "'" and "'" in name):
        line = form(name, quote)
        assert words_of(f"get {line}") == (name,)
        assert line.isprintable()


@given(st.text(string.printable + "ç\\\"'"))
def test_any_text_can_be_split(line):
    words, start = split(line)
    assert 0 <= start <= len(line) and all(isinstance(word, str) for word in words)
    plain(line[start:])


def test_a_name_that_a_terminal_obeys_is_never_offered_raw():
    assert not any(c in form("a\u202eb", "") for c in "\u202e")
    with pytest.raises(OSError):
        paths("/não há isto/x")
