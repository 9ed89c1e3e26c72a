"""What each command shows, and what it says of wrong words."""

from __future__ import annotations

import json
import random
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from listening import SOON
from processes import eventually
from sources import Gate

from rede_p2p.cli.commands import COMMANDS
from rede_p2p.cli.error_texts import USAGE
from rede_p2p.cli.shell import parse

LARGE = random.Random(4).randbytes(2 * 1024 * 1024)

pytest_plugins = ["sessions"]


def do(session, line):
    for command in parse(line, frozenset(COMMANDS)):
        COMMANDS[command.name](session, command)


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("peers x", "peers", "x"),
        ("peers &", "peers", ""),
        ("ls 127.0.0.1", "ls", ""),
        ("ls 127.0.0.1 0", "port", "0"),
        ("get", "get", ""),
        ("buscar", "buscar", ""),
        ("torrent", "torrent", ""),
        ("torrent --v1", "torrent", ""),
        ("torrent --v2 a", "torrent", ""),
        ("torrent a &", "torrent", ""),
        ("status x", "status", ""),
        ("placar x", "placar", "x"),
        ("cancelar", "cancelar", ""),
        ("cancelar 7", "no-download", "7"),
        ("esperar x", "esperar", ""),
        ("diagnostico x", "diagnostico", "x"),
        ("ajuda xyz", "ajuda", "xyz"),
    ],
)
def test_wrong_words_are_told_how_the_command_is_used(rede, line, kind, text):
    result = rede.run(line)
    assert result.status == 2
    assert result.err.splitlines()[-1] == USAGE[kind].format(text)
    assert result.out == ""


def test_everyone_is_listed_and_oneself_marked(rede):
    source = rede.source({})
    head, *rows = rede.run("peers").out.splitlines()
    assert head == "Endereço IP\tPorta\tNome\t#"
    assert rows == [f"{rede.host}\t5456\teste peer\t1", f"{source.address.ip}\t5455\t\t2"]


def test_the_list_has_names_and_so_has_its_json(rede):
    rede.source({}, "ana")
    _, own, other = rede.run("peers", "--nome", "João da Silva").out.splitlines()
    assert own.split("\t")[2:] == ["este peer (João da Silva)", "1"]
    assert other.split("\t")[2:] == ["ana", "2"]
    facts = map(json.loads, rede.run("peers", "--json").out.splitlines())
    assert [fact["name"] for fact in facts] == ["", "ana"]


def test_a_peer_that_the_tracker_does_not_list_is_not_connected_to(rede):
    source = rede.source({"a.txt": b"a"})
    result = rede.run(f"ls {source.address.ip} {source.address.port + 7}")
    assert (result.status, result.out) == (4, "")
    result = rede.run(f"ls {source.address.ip} {source.address.port}")
    assert [line.split("\t")[:2] for line in result.out.splitlines()[1:]] == [["a.txt", "1 B"]]


def test_of_a_list_is_shown_what_is_asked_for_in_that_order(rede):
    source = rede.source({"a.pdf": b"a" * 9, "b.txt": b"b", "c.pdf": b"c" * 2000})
    at = f"{source.address.ip} {source.address.port}"

    def shown(words):
        result = rede.run(f"ls {words}")
        return [line.split("\t")[:2] for line in result.out.splitlines()[1:]]

    assert shown(f"{at} '*.pdf'") == [["a.pdf", "9 B"], ["c.pdf", "2,0 KiB"]]
    assert shown(f"{at} -S") == [["c.pdf", "2,0 KiB"], ["a.pdf", "9 B"], ["b.txt", "1 B"]]
    assert shown(f"-l {at} c.pdf") == [["c.pdf", "2000"]]
    assert shown(f"{source.address.ip}:{source.address.port} b*") == [["b.txt", "1 B"]]
    missing = rede.run(f"ls {at} '*.zip'")
    assert (missing.status, missing.out) == (5, "")


def test_the_whole_network_is_shown_by_mask_and_size_too(rede, capsys):
    def look(session):
        eventually(lambda: len(session.client.search("")) == 3)
        do(session, "ls '*.pdf' -S -l")

    result = rede.be(look, files={"a.pdf": b"a", "b.pdf": b"bb", "c.txt": b"ccc"})
    assert [line.split("\t")[:2] for line in result.out.splitlines()[1:]] == [
        ["b.pdf", "2"], ["a.pdf", "1"],
    ]  # fmt: skip


def test_names_alone_go_one_a_line_as_they_are(rede, capsys):
    names = ["a b.txt", "\u200d\ufeffzwj.txt", "ç.pdf"]
    source = rede.source(dict.fromkeys(names, b"mesmo"))
    at = f"{source.address.ip} {source.address.port}"
    assert sorted(rede.run(f"ls {at} -1").out.splitlines()) == sorted(names)
    assert rede.run(f"ls {at} -1 '*.pdf'").out == "ç.pdf\n"
    assert '"size": 5' in rede.run(f"ls {at} -1 ç.pdf", "--json").out

    def look(session):
        eventually(lambda: len(session.client.search("")) == 3)
        do(session, "ls -1")
        session.terminal.draws = True
        do(session, f"ls {at} -1 *zwj*")

    # A name is one line, also where it is of two contents.
    *bare, shown = rede.be(look, files=dict.fromkeys(names, b"outro")).out.splitlines()
    assert sorted(bare) == sorted(names) and shown == "\\u200d\\ufeffzwj.txt"


def test_the_names_of_one_content_are_one_row(rede):
    def look(session):
        session.terminal.as_json = True
        eventually(lambda: len(session.client.search("")) == 3)
        do(session, "ls; buscar texto; buscar nada")

    result = rede.be(look, files={"b.txt": b"mesmo", "a texto": b"mesmo", "outro": b""})
    found = [json.loads(line) for line in result.out.splitlines()]
    assert sorted((fact["names"], fact["size"]) for fact in found) == [
        (["a texto"], 5), (["a texto", "b.txt"], 5), (["outro"], 0),
    ]  # fmt: skip
    assert result.err.splitlines()[-1] == "nada encontrado"


def test_a_torrent_is_written_beside_the_downloads(rede):
    result = rede.run("torrent aula.txt", files={"aula.txt": b"aula"})
    path = rede.downloads / "aula.txt.torrent"
    assert (result.status, result.out) == (0, f"{path}\n")
    assert b"8:aula.txt" in path.read_bytes()


def test_a_download_in_the_background_is_shown_cancelled_and_awaited(rede, capsys):
    source = rede.source({"grande.bin": LARGE})
    source.lie = gate = Gate()

    def menu(session):
        capsys.readouterr()
        do(session, "status; esperar")
        assert capsys.readouterr().err == "nada em andamento\n"
        do(session, f"get {source.address.ip} grande.bin &")
        assert gate.reached.wait(SOON)
        do(session, "status")
        shown = capsys.readouterr().out.splitlines()[1].split("\t")
        assert [shown[0], shown[1], shown[4]] == ["[1] ↓", "grande.bin", "1 fonte"]
        do(session, "cancelar [1]")
        do(session, "esperar")  # whoever cancelled it is not told that it failed
        do(session, "status")
        assert capsys.readouterr().err.splitlines()[-1] == "nada em andamento"

    try:
        assert rede.be(menu).status == 0
    finally:
        gate.open.set()


def test_several_connections_of_one_machine_are_one_row(rede):
    to = [("10.0.0.2", "a.iso"), ("10.0.0.3", "a.iso"), ("10.0.0.2", "a.iso"), ("10.0.0.2", "b")]

    def menu(session):
        with ExitStack() as stack:
            for ip, name in to:
                upload = SimpleNamespace(to=ip, name=name, sent=1024, began=0.0)
                stack.enter_context(session.slots.slot(upload, pytest.fail))
            do(session, "status")

    rows = [line.split("\t") for line in rede.be(menu).out.splitlines()[1:]]
    assert [(row[1], row[2], row[4]) for row in rows] == [
        ("a.iso", "2,0 KiB enviados", "10.0.0.2"),
        ("a.iso", "1,0 KiB enviados", "10.0.0.3"),
        ("b", "1,0 KiB enviados", "10.0.0.2"),
    ]


def test_what_came_and_what_was_given_is_shown(rede):
    source = rede.source({"a.txt": b"abcd"})

    def menu(session):
        do(session, "placar")
        do(session, f"get {source.address.ip} a.txt")
        session.slots.tally.add(b"r", source.address.ip, 2048)
        session.terminal.as_json = True
        do(session, "placar")

    _, given, _, brought, sent = rede.be(menu).out.splitlines()
    assert given == "↑ enviado\t0 B\t\t\t"
    fact = json.loads(brought)
    assert fact.pop("seconds") >= 0
    assert fact == {"title": "a.txt", "received": 4, "sources": 1, "from_others": 0}
    assert json.loads(sent) == {"sent": 2048, "to": 1}


def test_help_is_of_every_command_or_of_one(rede):
    every = rede.run("ajuda").out.splitlines()[1:]
    assert {line.split()[0] for line in every} == {*COMMANDS, "quit"}
    one = rede.run("ajuda get").out.splitlines()[1:]
    assert one == [line for line in every if line.startswith("get ")]
    assert rede.run("ajuda BAIXAR").out.splitlines()[1:] == one
    assert rede.run("ajuda gett").err.splitlines()[-1] == (
        "não conheço o comando “gett”: você quis dizer get?"
    )
