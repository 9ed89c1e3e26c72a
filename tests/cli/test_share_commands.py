"""Sharing from the menu: what is typed, what is shown, what the list says afterwards."""

from __future__ import annotations

import json
import os
from contextlib import closing

import pytest
from processes import eventually
from sources import LONG_AGO

from rede_p2p.cli.commands import COMMANDS
from rede_p2p.cli.error_texts import USAGE, describe_error
from rede_p2p.cli.share_commands import _sent
from rede_p2p.cli.shell import parse
from rede_p2p.errors import RedeError
from rede_p2p.protocol.messages import FileData, Pieces

pytest_plugins = ["sessions"]


def do(session, line):
    for command in parse(line, frozenset(COMMANDS)):
        COMMANDS[command.name](session, command)


def refused(session, line):
    with pytest.raises(RedeError) as caught:
        do(session, line)
    return describe_error(caught.value)


@pytest.fixture
def folder(tmp_path):
    """A folder of things to share, quiet for long."""
    (tmp_path / "dar" / "fotos").mkdir(parents=True)
    for name in ("minha foto.png", "aula.pdf", "fotos/1.png", "fotos/2.png"):
        path = tmp_path / "dar" / name
        path.write_bytes(name.encode())
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
    return tmp_path / "dar"


@pytest.fixture
def lista(tmp_path):
    return tmp_path / "compartilhados" / "lista.txt"


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("compartilhar", "compartilhar", ""),
        ("compartilhar ''", "compartilhar", ""),
        ("compartilhar a &", "compartilhar", ""),
        ("remover", "remover", ""),
        ("remover a b", "remover", "a b"),
        ("meus x", "meus", "x"),
    ],
)
def test_wrong_words_are_told_how_the_command_is_used(rede, line, kind, text):
    result = rede.run(line)
    assert (result.status, result.out) == (2, "")
    assert result.err.splitlines()[-1] == USAGE[kind].format(text)


def test_a_file_and_a_folder_are_shared_shown_and_removed(rede, folder, lista):
    script = f"""compartilhar "{folder}/minha foto.png"; compartilhar {folder}/fotos/ imagens
        compartilhar '{folder}/minha foto.png'; remover imagens; remover a.txt; remover a.txt"""
    result = rede.run(script.replace("\n", ";"), files={"a.txt": b"a"})
    assert result.status == 5
    kept = "não está mais na lista; o que há no disco fica como está"
    assert result.out.splitlines() == [
        f"minha foto.png: compartilhado, 14 B: {folder}/minha foto.png",
        f"imagens: compartilhado, 2 arquivos, 22 B: {folder}/fotos",
        f"minha foto.png: já estava compartilhado, 14 B: {folder}/minha foto.png",
        f"imagens: {kept}",
        f"a.txt: {kept}",
    ]
    assert result.err.splitlines()[-1] == "“a.txt” não está na sua lista: veja os nomes com meus"
    assert lista.read_text(encoding="utf-8") == f'"minha foto.png" {folder}/minha foto.png\n'


def test_what_is_shared_from_the_menu_is_announced_and_can_be_fetched(rede, folder, lista):
    def menu(session):
        do(session, f"compartilhar {folder}/aula.pdf nova.pdf")
        eventually(lambda: session.client.search("nova.pdf", exact=True))
        do(session, "remover nova.pdf")
        eventually(lambda: not session.client.search("nova.pdf", exact=True))

    assert rede.be(menu).status == 0


def test_each_reason_not_to_share_is_one_sentence(rede, folder, lista):
    (folder / ".oculto").touch()

    def menu(session):
        told = [
            refused(session, f"compartilhar {folder}/nada"),
            refused(session, f"compartilhar {folder}/minha foto.png"),
            refused(session, f"compartilhar {folder}/aula.pdf a b"),
            refused(session, f"compartilhar {folder}/aula.pdf a.txt"),
            refused(session, f"compartilhar {folder}/.oculto"),
            refused(session, f"compartilhar {folder}/aula.pdf ../x"),
        ]
        assert told == [
            f"não existe: {folder}/nada",
            f'ponha aspas no nome, que tem espaços: "{folder}/minha foto.png"',
            USAGE["compartilhar"],
            "o nome a.txt já é de outro arquivo: use compartilhar <CAMINHO> <NOME>, "
            "ou antes remover",
            "o nome “.oculto” não é seguro e foi recusado: começa com ponto",
            "o nome “../x” não é seguro e foi recusado: começa com ponto",
        ]
        do(session, f"compartilhar {folder}/fotos")
        told = refused(session, "remover fotos/1.png")
        assert told.startswith("fotos/1.png vem de uma pasta da lista")
        assert "já é de outro" in refused(session, f"compartilhar {folder}/aula.pdf fotos/1.png")
        lista.unlink()
        lista.mkdir()
        assert refused(session, "remover a.txt") == f"não é um arquivo comum: {lista}"
        lista.rmdir()

    assert rede.be(menu, files={"a.txt": b"a"}).status == 0


def test_ones_own_shares_are_shown_with_what_others_took_of_them(rede, capsys):
    def menu(session):
        do(session, "meus")
        assert capsys.readouterr().err.endswith(
            "a sua lista está vazia: use compartilhar <CAMINHO>\n"
        )

    rede.be(menu)
    files = {"a.txt": b"abcd", "b.txt": b"abcd", "vazio": b""}

    def serve(session):
        eventually(lambda: len(session.client.search("")) == 3)
        (own,) = (m for m in session.client.roster().members if m.you)
        root = session.client.search("a.txt")[0].root
        with closing(session.context.connect((own.ip, own.port))) as connection:
            for _ in range(3):
                assert connection.ask(Pieces(root, 0, 1), FileData).bytes == 4
                assert connection.receive_exactly(4) == b"abcd"
            connection.hang_up()
        eventually(lambda: session.slots.tally.given().sent == 12)
        capsys.readouterr()
        do(session, "meus")
        session.terminal.as_json = True
        do(session, "meus")

    head, *lines = rede.be(serve, files=files).out.splitlines()
    assert (head, lines[:3]) == (
        "Nome\tTamanho\tSituação\tEnviado",
        ["a.txt\t4 B\tpronto\t3×", "b.txt\t4 B\tpronto\t3×", "vazio\t0 B\tpronto\t"],
    )
    assert json.loads(lines[3]) == {"name": "a.txt", "size": 4, "ready": True, "sent": 12}


def test_a_mistyped_name_of_ones_own_is_answered_with_the_one_that_may_be_meant(rede):
    files = {"minha foto.png": b"a"}
    assert rede.run("remover 'minha fotos.png'", files=files).err.splitlines()[-1] == (
        "“minha fotos.png” não está na sua lista: você quis dizer minha foto.png?"
    )
    assert "você quis dizer minha foto.png?" in rede.run("torrent foto.png", files=files).err


def test_a_line_whose_file_is_gone_is_shown_after_the_others_until_it_is_removed(rede, capsys):
    files = {"aula10.txt": b"a", "Aula2.txt": b"b", "sumiu.txt": b"c"}

    def menu(session):
        (rede.folder / "compartilhados" / "2").unlink()
        eventually(lambda: session.shares.shares() and session.shares.gone() == ["sumiu.txt"])
        capsys.readouterr()
        do(session, "meus")
        rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()[1:]]
        assert [row[0] for row in rows] == ["Aula2.txt", "aula10.txt", "sumiu.txt"]
        assert rows[2] == ["sumiu.txt", "", "não existe", ""]
        do(session, "remover sumiu.txt")
        assert session.shares.gone() == []

    assert rede.be(menu, files=files).status == 0


def test_a_file_that_is_still_being_hashed_is_shown_as_such(rede, folder, capsys):
    def menu(session):
        (folder / "novo").write_bytes(b"n")  # not quiet yet
        do(session, f"compartilhar {folder}/novo")
        capsys.readouterr()
        do(session, "meus")
        assert capsys.readouterr().out.splitlines()[1] == "novo\t1 B\tcalculando…\t"

    assert rede.be(menu).status == 0


@pytest.mark.parametrize(
    ("sent", "shown"), [(0, ""), (1, "< 0,1×"), (160, "0,2×"), (1000, "1×"), (2449, "2,4×")]
)
def test_how_often_a_file_was_sent_is_told_in_tenths(sent, shown):
    assert _sent(sent, 1000) == shown
