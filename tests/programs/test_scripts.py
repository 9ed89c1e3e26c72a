"""What a script gets: an object for every failure, and what it began in the background."""

from __future__ import annotations

import json
import re

import pytest
from conftest import ROOT
from lies import half_of_large, ok
from processes import Liar, beside, network
from sources import found_in

FILES = {"a.txt": b"a", "disputado.txt": b"um", "grande.bin": bytes(range(256)) * 8192}


@pytest.fixture(scope="module")
def rede(tmp_path_factory):
    """A tracker and two peers."""
    with network(tmp_path_factory.mktemp("rede")) as programs:
        programs.tracker()
        programs.peer("--servir", files=FILES)
        programs.peer("--servir", files={"disputado.txt": b"dois"})
        yield programs


@pytest.fixture
def net(rede, tmp_path):
    """What a test starts in the standing network, and ends."""
    with network(tmp_path) as programs:
        programs.ip, programs.port = rede.ip, rede.port
        yield programs


def objects(result):
    """Return what was written to stdout: objects, one a line, and each error among them."""
    found = [json.loads(line) for line in result.out.splitlines()]
    return found, [fact for fact in found if "error" in fact]


@pytest.mark.parametrize(
    ("script", "name", "status"),
    [
        ("get {ip} sumido.txt", "sumido.txt", 5),
        ("get sumido.txt", "sumido.txt", 5),
        ("get {ip} disputado.txt", "disputado.txt", 2),
        ("get disputado.txt", "disputado.txt", 2),
        ("get {ip} ../fora.txt", "../fora.txt", 5),
        ("get 192.0.2.7 a.txt", "a.txt", 4),
        ("get {ip} 1 a.txt", "a.txt", 4),
        ("get {ip}:1 a.txt", "a.txt", 4),
        ("get", None, 2),
        ("get {ip}", None, 2),
        ("get {ip} 99999 a.txt", None, 2),
        ("get 10.0.0.256 a.txt", None, 2),
        ("get 'a.txt", None, 2),
        ("gett a.txt", None, 2),
        ("ls 192.0.2.7 1", None, 4),
        ("cancelar 7", None, 2),
    ],
)
def test_a_failure_is_one_object_on_the_standard_output(net, script, name, status):
    result = net.run(script.format(ip=net.ip), "--json", ip=beside(net.ip))
    found, errors = objects(result)
    assert result.status == status and found == errors, result
    (error,) = errors
    assert error.get("name") == name and error["status"] == status
    assert error["error"] == result.complaints[0]


def test_each_of_several_names_that_nobody_gives_is_an_object(net):
    result = net.run("get 192.0.2.7 a.txt b.txt", "--json")
    _, errors = objects(result)
    assert [error["name"] for error in errors] == ["a.txt", "b.txt"]


def test_of_several_names_each_is_told_once(net):
    result = net.run(f"get {net.ip} a.txt sumido.txt", "--json", ip=beside(net.ip))
    found, errors = objects(result)
    assert [fact["name"] for fact in found] == ["a.txt", "sumido.txt"] and result.status == 5
    assert [error["name"] for error in errors] == ["sumido.txt"]


def test_a_source_that_goes_half_way_is_an_object_with_what_is_known(net):
    with Liar.listed(net, {**half_of_large(), "want": b'erro {"code": "not-here"}\n'}) as liar:
        result = net.run(f"get {liar.ip} {liar.port} x", "--json", ip=beside(net.ip))
    (error,) = objects(result)[1]
    assert (error["name"], error["status"]) == ("x", result.status) and error["size"] > 0


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["127.0.0.1", "1", "--json", "-c", "get a.txt"], 3),
        (["--json", "--nada"], 2),
        (["10.0.0.256", "--json"], 2),
    ],
)
def test_a_program_that_does_not_get_so_far_says_so_in_an_object_too(net, words, status):
    result = net.start("Peers.py", *words).end()
    (error,) = objects(result)[1]
    assert result.status == error["status"] == status


# Quiet.


def test_a_quiet_script_says_its_data_and_its_errors_alone(net):
    result = net.run(f"get {net.ip} a.txt; peers", "-q", ip=beside(net.ip))
    assert (result.status, result.err) == (0, "") and "a.txt: baixado" in result.out
    result = net.run(f"status; ls -1; get {net.ip} sumido.txt", "-q", ip=beside(net.ip))
    assert (
        result.status == 5 and result.err.startswith("ninguém em") and result.err.count("\n") == 1
    )


def test_a_quiet_script_tells_of_a_wrong_line_of_its_list_and_of_a_failed_download(net, tmp_path):
    (tmp_path / "lista.txt").write_text("nada ./nada\n", encoding="utf-8")
    result = net.run("meus", "-q", ip=beside(net.ip), files=tmp_path / "lista.txt")
    assert "linha 1: não existe o arquivo" in result.err and "na rede" not in result.err
    result = net.run(f"get {net.ip} sumido.txt a.txt &", "-q", ip=beside(net.ip))
    assert result.status == 5 and "segundo plano" not in result.err and result.err


def test_q_of_a_wrong_command_line_hides_nothing(net):
    result = net.start("Peers.py", "-q", "--nada").end()
    assert result.status == 2 and "uso: " in result.err


# In the background.


def test_a_script_waits_at_its_end_for_what_it_began_in_the_background(net):
    result = net.run(f"get {net.ip} grande.bin &", ip=beside(net.ip))
    assert result.status == 0, result
    assert found_in(net.downloads) == {"grande.bin": FILES["grande.bin"]}
    assert "[1] grande.bin: baixado e verificado" in result.err


def test_so_does_one_that_comes_by_the_standard_input(net):
    peer, _ = net.peer(ip=beside(net.ip))
    peer.send(f"get {net.ip} grande.bin &", f"get {net.ip} a.txt &")
    result = peer.end()
    assert result.status == 0, result
    assert found_in(net.downloads).keys() == {"grande.bin", "a.txt"}


def test_its_objects_come_at_the_end(net):
    result = net.run(f"get {net.ip} a.txt sumido.txt &; get {net.ip} grande.bin &", "--json",
                     ip=beside(net.ip))  # fmt: skip
    found, errors = objects(result)
    assert {fact["name"] for fact in found if "path" in fact} == {"a.txt", "grande.bin"}
    assert [error["name"] for error in errors] == ["sumido.txt"] and result.status == 5


def test_what_does_not_come_is_its_status(net):
    lost = {"stat": ok({"name": "x", "size": 5, "root": "0" * 64}), "want": b'erro {"code": "not-here"}\n'}  # fmt: skip # noqa: E501
    with Liar.listed(net, lost) as liar:
        result = net.run(f"get {liar.ip} {liar.port} x &; peers", ip=beside(net.ip))
    assert result.status == 5, result
    assert "1 de 1 não veio" in result.err and "Endereço IP" in result.out


def test_what_it_cancelled_it_does_not_wait_for(net):
    _, port = net.peer("--servir", "--limite", "16K", files={"lento.bin": FILES["grande.bin"]})
    script = f"get {net.ip} {port} lento.bin &; cancelar 1; peers"
    assert net.run(script, ip=beside(net.ip)).status == 0


def test_the_environment_says_the_tracker_and_what_is_typed_wins(net):
    def run(told, *words):
        environment = net.environment() | {"REDE_TRACKER": told}
        return net.start(*words, "-c", "peers", environment=environment).end()

    bare = ["Peers.py", *net.words()[3:]]
    for told in (f"{net.ip} {net.port}", f"{net.ip}:{net.port}"):
        result = run(told, *bare)
        assert result.status == 0 and f"pelo tracker {net.ip}:{net.port}" in result.err
    nonsense = "isto não é um tracker"
    assert run(nonsense, *net.words()).status == 0
    assert run(nonsense, *bare, "--ajuda").status == 0
    result = run(nonsense, *bare)
    assert result.status == 2
    assert result.complaints == [
        f"REDE_TRACKER precisa ser <IP> ou <IP> <PORTA>, e não “{nonsense}”"
    ]


def fields_on_the_page():
    """Return the fields of the objects of each command, as COMANDOS tells them."""
    page = (ROOT / "docs" / "COMANDOS.md").read_text(encoding="utf-8")
    table = page.partition("### JSON")[2].partition("Todo erro")[0]
    told, commands = {}, []
    for head, cells in re.findall(r"^\| (`.*?`)? ?\| (.*) \|$", table, re.MULTILINE):
        commands = re.findall(r"`(\w+)", head) or commands
        for command in commands:
            told.setdefault(command, set()).update(re.findall(r"`(\w+)`", cells))
    return told


@pytest.mark.parametrize(
    "script",
    [
        *("peers", "ls", "ls {ip} {peer}", "buscar a", "meus", "torrent meu.txt", "placar"),
        *("get {ip} a.txt", "get {ip} a.txt sumido.txt", "get {ip} grande.bin &; status"),
        *("compartilhar '{path}' outro.txt", "remover meu.txt", "diagnostico", "ajuda peers"),
    ],
)
def test_an_object_has_the_fields_that_the_page_tells_of_its_command(net, tmp_path, script):
    path = tmp_path / "outro.txt"
    path.write_bytes(b"outro")
    line = script.format(ip=net.ip, peer=net.port + 1, path=path)
    result = net.run(line, "--json", ip=beside(net.ip), files={"meu.txt": b"meu"})
    page, found = fields_on_the_page(), [json.loads(line) for line in result.out.splitlines()]
    assert found, result
    command = script.split()[0]
    told = page[command] | (page["status"] if "status" in script else set())
    for fact in found:
        assert set(fact) <= told, (fact, told)
