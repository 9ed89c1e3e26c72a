"""What ``get`` understands by its words, and what it shows."""

from __future__ import annotations

import json
import re

import pytest
from processes import eventually
from sources import hangs_up_at_once

from rede_p2p.cli.error_texts import LOST, USAGE
from rede_p2p.cli.get_command import MAX_LOST_SHOWN, MAX_RESULT_ROWS, get
from rede_p2p.cli.shell import Command
from rede_p2p.cli.texts import MIN_TOLD_BYTES
from rede_p2p.errors import BadUsageError, NoSuchFileError

FILES = {"foto [v2].png": b"png" * 1000, "a.txt": b"a", "pasta/b.txt": b"b"}

pytest_plugins = ["sessions"]


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("get 10.0.0.7", "get", ""),
        ("get 10.0.0.256 a.txt", "ip", "10.0.0.256"),
        ("get 10.0.0.7:5455:1 a.txt", "ip", "10.0.0.7:5455:1"),
        ("get 10.0.0.7:99999 a.txt", "port", "99999"),
        ("get 10.0.0.7 99999 a.txt", "port", "99999"),
    ],
)
def test_an_address_without_a_name_or_a_wrong_one_is_told(rede, line, kind, text):
    result = rede.run(line)
    assert (result.status, result.out) == (2, "")
    assert result.err.splitlines()[-1] == USAGE[kind].format(text)


def test_one_file_is_told_with_its_place_and_then_as_already_there(rede):
    ip = rede.source(FILES).address.ip
    path = rede.downloads / "foto [v2].png"
    result = rede.run(f'get {ip} "foto [v2].png"')
    assert (result.status, result.out) == (
        0, f"foto [v2].png: baixado e verificado, 2,9 KiB: {path}\n",
    )  # fmt: skip
    assert path.read_bytes() == FILES["foto [v2].png"]
    again = rede.run(f'get {ip} "foto [v2].png"')
    assert (again.status, again.out) == (0, f"foto [v2].png: já estava em {path}\n")
    fact = json.loads(rede.run(f'get {ip} "foto [v2].png"', "--json").out)
    assert (fact["size"], fact["path"], fact["already"]) == (3000, str(path), True)


def test_of_a_large_file_the_end_tells_its_time_and_its_rate(rede):
    source = rede.source({"a.bin": bytes(3 * MIN_TOLD_BYTES), "b.txt": b"b"})
    told = r"3,0 MiB em \d+,\d s, [\d,]+ [KM]iB/s"
    result = rede.run(f"get {source.address.ip} a.bin")
    assert re.fullmatch(told, result.err.splitlines()[-1])
    (rede.downloads / "a.bin").unlink()
    result = rede.run(f"get {source.address.ip} a.bin b.txt")
    two = "2 baixados e verificados, 0 já estavam aqui; "
    assert re.fullmatch(two + told, result.err.splitlines()[-1])
    again = rede.run(f"get {source.address.ip} a.bin")
    assert " MiB/s" not in again.err


def test_of_several_files_the_missing_one_is_told_beside_the_others(rede):
    source = rede.source(FILES)
    result = rede.run(f"get {source.address.ip} {source.address.port} a.txt nada.txt pasta/")
    rows = dict(line.split("\t") for line in result.out.splitlines())
    assert rows.keys() == {"Arquivo", "a.txt", "pasta/b.txt", "nada.txt"}
    assert rows["nada.txt"].startswith("ninguém em ")
    assert (rede.downloads / "pasta" / "b.txt").read_bytes() == b"b"
    assert result.status == NoSuchFileError.status
    assert result.err.splitlines()[-2:] == [
        "2 baixados e verificados, 0 já estavam aqui",
        f"1 de 3 não veio: {rows['nada.txt']}",
    ]


def test_of_many_files_only_the_number_is_told_and_who_failed(rede):
    source = rede.source({f"{n}.txt": b"%d" % n for n in range(MAX_RESULT_ROWS + 1)})
    result = rede.run(f"get {source.address.ip} '*'")
    assert (result.status, result.out) == (0, "Arquivo\tResultado\n")
    assert result.err.splitlines()[-1].startswith("51 baixados e verificados")
    result = rede.run(f"get {source.address.ip} '*' nada")
    assert [line.split("\t")[0] for line in result.out.splitlines()] == ["Arquivo", "nada"]


def test_a_name_alone_is_looked_for_in_the_whole_network(rede):
    def menu(session):
        eventually(lambda: session.client.search("minha foto.png", exact=True))
        with pytest.raises(BadUsageError) as caught:
            get(session, Command("get", ("minha", "foto.png")))
        assert (caught.value.kind, caught.value.text) == ("blanks", "minha foto.png")
        get(session, Command("get", ("minha foto.png", "nada")))

    result = rede.be(menu, files={"minha foto.png": b"png"})
    assert result.status == 5
    assert (rede.downloads / "minha foto.png").read_bytes() == b"png"
    assert rede.run("get nada").status == 5


def test_a_name_without_its_quotes_is_recognised_after_a_peer_too(rede):
    source = rede.source({"minha foto (1).png": b"png"}, "ana")
    for place in ("ana", source.address.ip, f"{source.address.ip} {source.address.port}"):
        result = rede.run(f"get {place} minha foto (1).png")
        assert result.status == 2
        assert 'ponha aspas no nome, que tem espaços: "minha foto (1).png"' in result.err


def test_a_port_without_a_name_after_it_is_told_as_such(rede):
    source = rede.source({"a.txt": b"a", "7": b"seven"})
    result = rede.run(f"get {source.address.ip} {source.address.port}")
    assert result.status == 2 and "use: get <IP> <NOME>" in result.err
    assert rede.run(f"get {source.address.ip} 7").status == 0
    assert rede.run(f"get {source.address.ip} 8").status == 5


def test_a_mistyped_name_is_answered_with_the_one_that_may_be_meant(rede):
    source = rede.source({"Aula 1.pdf": b"1", "aula 22.pdf": b"2", "foto.png": b"3"})
    at = source.address.ip
    for command, near in (
        (f"get {at} 'aula 1.pfd'", "Aula 1.pdf"),
        (f"get {at} {source.address.port} foto", "foto.png"),
        (f"get {at} fotto.png foto.png", "foto.png"),
        (f"ls {at} {source.address.port} aula22.pdf", "aula 22.pdf"),
    ):
        result = rede.run(command)
        assert result.status == 5 and result.err.splitlines()[-1].endswith(
            f"você quis dizer {near}?"
        )
    for name in ("xyzzy", "'f*.jpg'", "pasta/"):
        assert rede.run(f"get {at} {name}").err.endswith("veja os nomes com ls\n")

    def menu(session):
        eventually(lambda: session.client.search("foto"))
        with pytest.raises(NoSuchFileError) as caught:
            get(session, Command("get", ("fotto.png",)))
        assert (caught.value.where, caught.value.near) == ("", "foto.png")

    rede.be(menu, files={"foto.png": b"png"})


def test_who_does_not_answer_beside_others_is_named(rede):
    here, gone = rede.source(FILES), rede.source({})
    gone.lie = hangs_up_at_once
    assert gone.address.ip == here.address.ip
    for wanted in ("a.txt", "*.txt", "pasta"):
        result = rede.run(f"get {here.address.ip} {wanted}")
        assert result.status == 0
        assert [line for line in result.err.splitlines() if str(gone.address) in line] == [
            f"{gone.address}: {LOST['lost']}. Veja quem está na rede com peers"
        ]


def test_of_very_many_that_do_not_answer_the_rest_is_counted(rede):
    here = rede.source(FILES)
    for _ in range(MAX_LOST_SHOWN + 2):
        rede.source({}).lie = hangs_up_at_once
    result = rede.run(f"get {here.address.ip} *.txt")
    assert result.status == 0
    told = [line for line in result.err.splitlines() if LOST["lost"] in line]
    assert len(told) == MAX_LOST_SHOWN
    assert "… e mais 2 que não responderam" in result.err.splitlines()


def test_of_what_a_named_peer_has_not_the_object_names_the_file_and_not_the_peer(rede):
    rede.source({"a.txt": b"a"}, "ana")
    result = rede.run("get ana nada.txt", "--json")
    assert result.status == 5
    assert [json.loads(line)["name"] for line in result.out.splitlines()] == ["nada.txt"]
