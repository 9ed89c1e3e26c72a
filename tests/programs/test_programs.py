"""The whole programs through pipes: every command, every bad input, and what is left after it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from conftest import ROOT
from lies import (
    BIG,
    HASHES,
    LARGE,
    LYING_FILES,
    LYING_LISTS,
    NOISES,
    NOISES_TO_A_PEER,
    NOISES_TO_THE_TRACKER,
    UNSAFE,
    WEB,
    WRONG_COMMANDS,
    half_of_large,
    ok,
    pieces,
    stat,
)
from processes import (
    PATIENCE,
    Liar,
    Machine,
    beside,
    converse,
    eventually,
    machines,
    network,
    private_port,
)

from rede_p2p.cli.listing import name_key
from rede_p2p.content import merkle
from rede_p2p.timeouts import DEFAULT

ODD_NAMES = (
    "com espaço.txt",
    "ação & reação.txt",
    "[b]colchetes[/b].txt",  # one inside a folder
    "[v2] nota.txt",
    "foto 🐍🎉.png",
    "aspas simples 'x'.txt",
    "é" * 127 + "x",  # 255 bytes
)
A = {
    "a.txt": b"conte\xc3\xbado de a\n",
    "vazio": b"",
    "grande.bin": BIG[::-1],  # what the liars tell of, nobody honest has
    "disputado.txt": b"um",
    "igual.txt": b"o mesmo",
    **{name: name.encode() for name in ODD_NAMES},
}
B = {
    "so em b.txt": b"b" * 70_000,
    "maior.bin": LARGE[::-1],
    "disputado.txt": b"dois",
    "igual.txt": b"o mesmo",
}
C = {"c.txt": b"c"}


@pytest.fixture(scope="module")
def rede(tmp_path_factory):
    """A tracker and three peers, two of them on one IP; no test harms them."""
    with network(tmp_path_factory.mktemp("rede")) as programs:
        programs.tracker()
        _, port_a = programs.peer("--servir", files=A)
        _, port_b = programs.peer("--servir", files=B)
        _, port_c = programs.peer("--servir", ip=beside(programs.ip), files=C)
        yield programs, port_a, port_b, port_c


@pytest.fixture(scope="module", autouse=True)
def silence(tmp_path_factory):
    """Those who talk to somebody that says nothing; the last tests see how that ended."""
    with ExitStack() as stack:
        said = {}
        mute, dead, stopped = (
            stack.enter_context(network(tmp_path_factory.mktemp("silencio"))) for _ in range(3)
        )
        mute.tracker()
        liars = [Liar(mute.ip, {}), Liar.listed(mute, {}), Liar.listed(mute, {})]
        for liar in liars:
            stack.enter_context(liar)
        said["tracker"] = joining(mute, liars[0].ip, liars[0].port)
        for name, liar, rest in (("ls", liars[1], ""), ("get", liars[2], "x")):
            script = f"{name} {liar.ip} {liar.port} {rest}"
            said[name] = mute.start(*mute.words("-c", script))
        said["dead"], killed = dead, dead.tracker()
        said["serving"], said["port"] = dead.peer("--servir")
        killed.kill()
        said["stopped"] = stopped.tracker()
        said["member"], _ = stopped.peer()
        said["stopped"].process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{said['stopped'].process.pid}/task")
        eventually(lambda: all(state_of(task) == "T" for task in tasks.iterdir()))
        said["member"].send("peers")
        for liar in liars:
            assert liar.asked.wait(PATIENCE)
        yield said


def state_of(task: Path) -> str:
    """Return the state of a thread of another program, as the system writes it: T is stopped."""
    return (task / "stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture
def standing(rede, tmp_path_factory):
    """What a test starts in the standing network, and ends."""
    with network(tmp_path_factory.mktemp("visita")) as programs:
        programs.ip, programs.port = rede[0].ip, rede[0].port
        programs.ip_c = beside(programs.ip)
        programs.port_a, programs.port_b, programs.port_c = rede[1:]
        yield programs


@pytest.fixture
def net(tmp_path):
    """A network that a test may harm."""
    with network(tmp_path) as programs:
        yield programs


def still_answers(programs):
    """Ask the tracker and the first peer something, as a stranger with a raw socket."""
    assert converse(programs.ip, programs.port, b"peers\n").startswith(b'ok {"bytes": ')
    assert converse(programs.ip, programs.port_a, b"ls\n").startswith(b'ok {"bytes": ')


def one_sentence(result, status, sentence):
    """Check that a program ended with one sentence that says so."""
    assert result.status == status, result
    assert len(result.complaints) == 1, result
    assert re.search(sentence, result.complaints[0]), result


# The four commands.


def test_peers_lists_everyone_and_marks_oneself(standing, tmp_path):
    result = standing.run("peers", ip=standing.ip_c)
    lines = [line.split("\t") for line in result.out.splitlines()]
    assert lines[0][:2] == ["Endereço IP", "Porta"]
    listed = {(line[0], int(line[1])): line[2] for line in lines[1:]}
    for place in (
        (standing.ip, standing.port_a),
        (standing.ip, standing.port_b),
        (standing.ip_c, standing.port_c),
    ):
        assert listed.pop(place) == ""
    ((own_place, mark),) = listed.items()
    assert own_place[0] == standing.ip_c and mark == "este peer"
    assert result.status == 0 and not result.complaints


def test_ls_lists_what_a_peer_shares_with_sizes(standing):
    result = standing.run(f"ls {standing.ip} {standing.port_a}")
    lines = [line.split("\t") for line in result.out.splitlines()]
    assert lines[0][:2] == ["Arquivos compartilhados", "Tamanho"]
    assert [line[0] for line in lines[1:]] == sorted(A, key=name_key)
    assert ["vazio", "0 B"] in [line[:2] for line in lines]
    assert ["grande.bin", "300,0 KiB"] in [line[:2] for line in lines]
    assert result.status == 0 and not result.complaints


def test_get_fetches_every_name_byte_for_byte(standing, tmp_path):
    script = "; ".join(f'get {standing.ip} {standing.port_a} "{name}"' for name in A)
    result = standing.run(script, downloads=tmp_path / "x")
    assert result.status == 0, result
    found = {path for path in (tmp_path / "x").rglob("*") if path.is_file()}
    assert {str(path.relative_to(tmp_path / "x")): path.read_bytes() for path in found} == A
    assert result.out.count("baixado e verificado") == len(A) and not result.complaints


def test_get_by_ip_finds_who_has_the_name_among_the_peers_of_that_ip(standing, tmp_path):
    script = f"get {standing.ip} 'so em b.txt'; get {standing.ip} grande.bin"
    assert standing.run(script, downloads=tmp_path).status == 0
    assert (tmp_path / "so em b.txt").read_bytes() == B["so em b.txt"]
    assert (tmp_path / "grande.bin").read_bytes() == BIG[::-1]


def test_different_contents_under_one_name_on_one_ip_are_told_apart_by_port(standing, tmp_path):
    result = standing.run(f"get {standing.ip} disputado.txt", downloads=tmp_path / "x")
    one_sentence(result, 2, "conteúdos diferentes.*get <IP> <PORTA>")
    assert str(standing.port_a) in result.err and str(standing.port_b) in result.err
    assert not (tmp_path / "x").exists()
    result = standing.run(
        f"get {standing.ip} {standing.port_b} disputado.txt", downloads=tmp_path / "x"
    )
    assert result.status == 0
    assert (tmp_path / "x" / "disputado.txt").read_bytes() == b"dois"


def test_the_same_content_on_two_peers_of_one_ip_is_no_question(standing, tmp_path):
    assert standing.run(f"get {standing.ip} igual.txt", downloads=tmp_path).status == 0
    assert (tmp_path / "igual.txt").read_bytes() == b"o mesmo"


def test_lines_on_stdin_are_commands_and_quit_leaves(standing):
    program, port = standing.peer(ip=standing.ip_c)
    program.send("PARES", f"DIR {standing.ip_c} {standing.port_c}", "?", "tchau", "ls nunca lida")
    result = program.end()
    assert result.status == 0 and not result.complaints
    assert f"{standing.ip}\t{standing.port_a}" in result.out
    assert "c.txt\t1 B" in result.out
    assert "get <IP> <NOME>" in result.out
    with socket.create_server((standing.ip_c, port)):
        pass  # the port is free again


@pytest.mark.parametrize("word", ["quit", "EXIT"])
def test_every_word_for_leaving_leaves(standing, word):
    result = standing.run(f"{word}; ls nunca lida")
    assert result.status == 0 and not result.out and not result.complaints


def test_the_end_of_stdin_leaves(standing):
    program, _ = standing.peer()
    assert program.end().status == 0


def test_a_script_stops_at_its_first_error(standing):
    result = standing.run(f"peers; get {standing.ip} 'não há'; ajuda")
    one_sentence(result, 5, f"ninguém em {standing.ip} compartilha não há")
    assert "Endereço IP" in result.out and "Comando" not in result.out
    program, _ = standing.peer()
    program.send("ajuda", "trés", "ajuda")
    result = program.end()
    assert result.status == 2 and result.out.count("Comando") == 1


def test_json_gives_one_object_a_line(standing, tmp_path):
    script = (
        f"peers; ls {standing.ip} {standing.port_a}; get {standing.ip} {standing.port_a} a.txt;"
        f"get {standing.ip} {standing.port_a} a.txt; ajuda"
    )
    result = standing.run(script, "--json", downloads=tmp_path)
    facts = [json.loads(line) for line in result.out.splitlines()]
    assert result.status == 0 and not result.complaints
    assert {"ip": standing.ip, "port": standing.port_a, "you": False, "name": ""} in facts
    assert [fact["name"] for fact in facts if "root" in fact and "path" not in fact] == sorted(
        A, key=name_key
    )
    first, second = (fact for fact in facts if "path" in fact)
    assert first == {
        "name": "a.txt",
        "path": str(tmp_path / "a.txt"),
        "size": len(A["a.txt"]),
        "root": merkle.layer_of(A["a.txt"]).hex(),
        "already": False,
    }
    assert second == {**first, "already": True}


def test_what_is_not_shared_by_anybody_is_not_found_in_words(standing):
    result = standing.run("buscar zzz")
    assert (result.status, result.out, result.complaints) == (0, "", ["nada encontrado"])


def test_only_who_can_type_is_told_of_the_commands(standing):
    serving, _ = standing.peer("--servir", ip=standing.ip_c)
    serving.says("compartilho o que está na lista até Ctrl-C")
    for result in (serving.close(), standing.run("peers")):
        assert "digite" not in result.err


def test_a_serving_peer_has_no_menu_tells_who_fetched_and_ends_by_ctrl_c(standing, tmp_path):
    program, port = standing.peer("--servir", ip=standing.ip_c, files={"x": b"123"})
    program.send("quit")  # nobody reads it
    assert standing.run(f"get {standing.ip_c} {port} x", downloads=tmp_path).status == 0
    program.says(rf"{standing.ip} baixou x \(3 B\)")
    program.interrupt()
    assert program.end().status == 130


def test_ls_and_get_of_oneself_work(standing, tmp_path):
    program, port = standing.peer(
        ip=beside(standing.ip, 3), files={"meu": b"m"}, downloads=tmp_path
    )
    program.send(f"ls {beside(standing.ip, 3)} {port}", f"get {beside(standing.ip, 3)} meu")
    program.prints(r"meu\t1 B")
    program.prints("meu: baixado e verificado")
    assert program.end().status == 0
    assert (tmp_path / "meu").read_bytes() == b"m"


def test_json_says_foreign_text_without_what_a_terminal_would_obey(standing):
    name = "\x9b31m\u202egpj.exe\x7f"
    body = b"%s\n" % ok({"name": name, "size": 1}).split(b" ", 1)[1].strip()
    with Liar.listed(standing, {"ls": ok({"bytes": len(body), "count": 1}, body)}) as liar:
        result = standing.run(f"ls {liar.ip} {liar.port}", "--json")
    assert json.loads(result.out)["name"] == name
    assert not set("\x9b\u202e\x7f") & set(result.out)


@pytest.mark.parametrize(
    ("program", "option"), [("Peers.py", "--ajuda"), ("Peers.py", "-h"), ("Servidor.py", "--help")]
)
def test_help_is_lines_that_a_person_can_read(standing, program, option):
    result = standing.start(program, option).end()
    assert result.status == 0 and not result.err
    assert result.out.startswith("uso: python3 ") and len(result.out.splitlines()) > 5
    assert "\\n" not in result.out


# Files, and the list of them.


def test_an_existing_file_is_never_overwritten(standing, tmp_path):
    (tmp_path / "c.txt").write_bytes(b"da pessoa")
    script = f"get {standing.ip_c} c.txt"
    first = standing.run(script, downloads=tmp_path)
    second = standing.run(script, downloads=tmp_path)
    assert (first.status, second.status) == (0, 0)
    assert "c (1).txt" in first.out and "baixado e verificado" in first.out
    assert "já estava em" in second.out and "c (1).txt" in second.out
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "c.txt": b"da pessoa",
        "c (1).txt": b"c",
    }


def test_a_changed_list_is_read_again_and_its_bad_lines_are_told_by_number(net):
    net.tracker()
    list_path = net.sharing({"velho": b"v"})
    program, port = net.peer(files=list_path)
    ask = f"ls {net.ip} {port}"
    program.send(ask)
    program.prints(r"velho\t1 B")
    (list_path.parent / "n").write_bytes(b"novo!")
    latin = "maçã 0\n".encode("latin-1")
    bad = [
        b"# um coment\xc3\xa1rio\n",
        b"\n",
        b"novo n\n",
        b"sumido nao/existe\n",  # line 4
        b'"aberto 0\n',  # 5
        latin,  # 6
        b"../fora 0\n",  # 7
        b"novo 0\n",  # 8
        b"ultimo 0",
    ]
    swap = list_path.with_name("outra")
    swap.write_bytes(b"".join(bad))
    swap.replace(list_path)

    def listed():
        body = converse(net.ip, port, b"ls\n").partition(b"\n")[2]
        return [json.loads(line)["name"] for line in body.splitlines()]

    eventually(lambda: listed() == ["novo", "ultimo"])
    program.send("ajuda", f"get {net.ip} novo")
    program.prints("novo: baixado")
    result = program.end()
    told = [line for line in result.complaints if "linha" in line]
    assert [re.search(r"linha (\d+)", line)[1] for line in told] == ["4", "5", "6", "7", "8"]
    for line, word in zip(told, ("existe", "aspas", "UTF-8", "..", "já"), strict=True):
        assert word in line
    assert result.status == 0 and net.folder.joinpath("baixados", "novo").read_bytes() == b"novo!"


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (None, "não existe.*nada está sendo compartilhado"),
        ("folder", "não é um arquivo comum.*nada está sendo compartilhado"),
        (b"\xffbinario\n", "linha 1: .*UTF-8"),
        (b"\x7fELF\0" + b"\xff\n" * 999, "não parece uma lista .*nada está sendo compartilhado"),
        (b"a\n", "linha 1: faltou o caminho"),
        ("fifo", "não é um arquivo comum"),
    ],
)
def test_a_list_that_cannot_be_read_is_one_sentence_and_the_peer_goes_on(
    standing, tmp_path, entry, sentence
):
    list_path = tmp_path / "lista.txt"
    if entry == "folder":
        list_path.mkdir()
    elif entry == "fifo":
        os.mkfifo(list_path)
    elif entry is not None:
        list_path.write_bytes(entry)
    program, port = standing.peer("--servir", ip=standing.ip_c, files=list_path)
    program.says(sentence)
    assert converse(standing.ip_c, port, b"ls\n") == b'ok {"bytes": 0, "count": 0}\n'


def test_a_list_problem_is_told_to_who_runs_one_command(standing, tmp_path):
    list_path = tmp_path / "lista.txt"
    list_path.write_text("sumido nao/existe\n")
    one_sentence(standing.run("peers", files=list_path), 0, "linha 1: não existe o arquivo")


def test_a_download_folder_that_is_a_file_is_one_sentence(standing, tmp_path):
    place = tmp_path / "ocupado"
    place.write_bytes(b"nao sou pasta")
    for folder in (place, place / "dentro"):
        result = standing.run(f"get {standing.ip_c} c.txt", downloads=folder)
        one_sentence(result, 9, "arquivo onde devia haver uma pasta")
    assert place.read_bytes() == b"nao sou pasta"


def test_what_one_peer_computed_another_one_of_the_same_person_knows_at_once(standing, tmp_path):
    home = standing.environment()
    words = standing.words(ip=standing.ip_c, files={"meu": BIG[::-1]}, downloads=tmp_path)
    program = standing.start(*words, environment=home)
    program.send(f"get {standing.ip} {standing.port_b} maior.bin", f"get {standing.ip_c} meu")
    program.prints("maior.bin: baixado")
    program.prints("meu: baixado")
    place = Path(home["XDG_CACHE_HOME"]) / "rede-p2p" / "roots.sqlite3"
    with closing(sqlite3.connect(place, timeout=0)) as other:
        known = {os.fsdecode(path) for (path,) in other.execute("select path from file")}
        assert known >= {str(tmp_path / "maior.bin"), str(tmp_path / "meu")}
        other.execute("delete from file")  # it is not locked either
        other.commit()


@pytest.fixture
def without_privileges(standing):
    """Words that start a program without the rights that root has beyond other users."""
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        return []
    drop = ["setpriv", "--bounding-set", "-net_bind_service,-dac_override,-dac_read_search"]
    if not shutil.which("setpriv") or subprocess.run([*drop, "true"], check=False).returncode:
        pytest.skip("root here cannot give up its rights")
    return drop


def test_a_download_folder_that_may_not_be_written_is_one_sentence(
    standing, tmp_path, without_privileges
):
    tmp_path.chmod(0o555)
    with network(tmp_path.parent / "semdireitos", without_privileges) as programs:
        programs.folder.mkdir()
        programs.ip, programs.port = standing.ip, standing.port
        for folder in (tmp_path, tmp_path / "nova"):
            result = programs.run(f"get {standing.ip_c} c.txt", downloads=folder)
            one_sentence(result, 9, "sem permissão para gravar")
    assert not list(tmp_path.iterdir())


def test_a_port_that_needs_privileges_is_one_sentence(tmp_path, without_privileges):
    allowed = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if allowed.exists() and int(allowed.read_text()) <= 80:
        pytest.skip("this system lets everybody have port 80")
    with network(tmp_path, without_privileges) as programs:
        result = programs.start("Servidor.py", "80", "--ip", programs.ip).end()
        one_sentence(result, 9, "porta 80 pede privilégios")


# What a person may type wrong.


WRONG_LINES = [
    (["Servidor.py", "abc"], "“abc” não é uma porta"),
    (["Servidor.py", "65536"], "“65536” não é uma porta"),
    (["Servidor.py", "-1"], "opção desconhecida"),
    (["Servidor.py", "--ip", "192.0.2.77"], "192.0.2.77 não é um endereço desta máquina"),
    (["Servidor.py", "--primeira-porta", "80"], "primeira porta precisa ser"),
    (["Peers.py", "servidor!"], "“servidor!” não é um endereço IP"),
    (["Peers.py", "127.0.0.1", "70000"], "“70000” não é uma porta"),
    (["Peers.py", "127.0.0.1", "1", "2"], "palavra a mais"),
    (["Peers.py", "--ip", "[b]"], r"“\[b\]” não é um endereço IP"),
    (["Peers.py", "--ip", "192.0.2.77"], "192.0.2.77 não é um endereço desta máquina"),
    (["Peers.py", "127.0.0.1", "1", "--ip", "192.0.2.77"], "192.0.2.77 não é um endereço desta"),
    (["Peers.py", "\x1b[2J"], r"“\\x1b\[2J” não é um endereço IP"),
]


def numbered(table):
    return range(len(table))


def all_at_once(run, table):
    """Run a program for each row of a table, a few at the same time; return their results."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(run, table))


@pytest.fixture(scope="module")
def on_wrong_lines(rede):
    return all_at_once(lambda row: rede[0].start(*row[0]).end(), WRONG_LINES)


@pytest.mark.parametrize(
    "row", numbered(WRONG_LINES), ids=[str(row[0])[:40] for row in WRONG_LINES]
)
def test_a_wrong_command_line_is_one_sentence_and_status_2(on_wrong_lines, row):
    one_sentence(on_wrong_lines[row], 2, WRONG_LINES[row][1])


# The others are typed in a terminal, one after another, in test_in_a_terminal.py.
SOME_COMMANDS = WRONG_COMMANDS[::3]
SOME_LISTS = list(LYING_LISTS)[::4]


@pytest.fixture(scope="module")
def on_wrong_commands(rede):
    return all_at_once(lambda row: rede[0].run(row[0].format(ip=rede[0].ip)), SOME_COMMANDS)


@pytest.mark.parametrize("row", numbered(SOME_COMMANDS), ids=[row[0][:40] for row in SOME_COMMANDS])
def test_a_wrong_command_is_one_sentence(rede, on_wrong_commands, row):
    _, status, sentence = SOME_COMMANDS[row]
    one_sentence(on_wrong_commands[row], status, sentence.format(ip=rede[0].ip))


def test_a_byte_that_is_no_utf_8_is_one_sentence(rede):
    one_sentence(rede[0].run("buscar \udcff"), 2, "há bytes que não são UTF-8")  # the byte FF


def test_a_port_that_is_taken_is_one_sentence(standing):
    result = standing.start("Servidor.py", str(standing.port), "--ip", standing.ip).end()
    one_sentence(result, 2, f"já há um tracker nesta máquina, na porta {standing.port}")
    still_answers(standing)


def test_a_second_tracker_says_which_one_is_found_without_a_port(net):
    net.tracker()
    second = net.start("Servidor.py", str(net.port + 40), "--ip", net.ip)
    second.says(f"há outro tracker nesta máquina, na porta {net.port}: é a ele que chega")


def test_a_public_port_that_is_taken_on_the_peers_machine_is_passed_over(net):
    first = private_port()
    net.tracker(first_port=first)
    with socket.create_server((net.ip, first)), socket.create_server((net.ip, first + 1)):
        program, port = net.peer()
        assert port == first + 2
        program.send("peers")
        program.prints(rf"{net.ip}\t{port}\teste peer")


# Trackers that are none.


def joining(programs, ip, port, *words):
    """Start a peer that asks the tracker at an address who is here."""
    return programs.start("Peers.py", ip, str(port), "--ip", ip, "-c", "peers", *words)


def test_a_tracker_that_is_not_there_is_one_sentence(standing):
    result = joining(standing, standing.ip, 1).end()
    one_sentence(result, 3, f"não encontrei o tracker em {standing.ip}:1: não há ninguém")


def test_a_peer_in_place_of_the_tracker_is_one_sentence(standing):
    result = joining(standing, standing.ip, standing.port_a).end()
    one_sentence(result, 3, "há um peer, não o tracker")


JOINED = {
    "join": b'ok {"port": PORT, "ip": "1.2.3.4", "version": 1}\n',
    "ready": b"ok\n",
}
FALSE_TRACKERS = [
    ({"join": WEB}, "não é o tracker da Rede P2P"),
    ({"join": b"\x00\xff\x1b[2J\n"}, "não é o tracker da Rede P2P"),
    ({"join": b"ok " + b"[" * 60_000 + b"\n"}, "não é o tracker da Rede P2P"),
    ({"join": b"x" * 2**20}, "não é o tracker da Rede P2P"),
    ({"join": b'ok {"port": 22, "ip": "1.2.3.4", "version": 1}\n'}, "porta|campo port"),
    ({"join": b'ok {"port": true, "ip": "1.2.3.4", "version": 1}\n'}, "campo port"),
    ({"join": b'erro {"code": "version"}\n'}, "outra versão do protocolo"),
    ({"join": b'erro {"code": "\\u001b[2J", "message": "\\u001b[31mola"}\n'}, "não aceitou"),
    ({"join": b""}, "a conexão caiu"),
    (JOINED | {"ready": b""}, "a conexão caiu"),
    (JOINED | {"ready": WEB}, "não é o tracker da Rede P2P"),
]


@pytest.fixture(scope="module")
def on_false_trackers(rede):
    def run(row):
        port = str(private_port()).encode()
        answers = {verb: answer.replace(b"PORT", port) for verb, answer in row[0].items()}
        with Liar(beside(rede[0].ip, 3), answers, list(answers)[-1:]) as liar:
            return joining(rede[0], liar.ip, liar.port).end()

    return all_at_once(run, FALSE_TRACKERS)


@pytest.mark.parametrize("row", numbered(FALSE_TRACKERS))
def test_what_is_not_a_tracker_is_one_sentence(on_false_trackers, row):
    result = on_false_trackers[row]
    one_sentence(result, 3, FALSE_TRACKERS[row][1])
    assert "\x1b" not in result.out + result.err


@pytest.mark.parametrize(
    "answer", [b'ok {"bytes": 3, "count": 1}\n{}', b'ok {"bytes": 999999999999, "count": 1}\n']
)
@pytest.mark.slow  # it is noticed after a deadline
def test_a_tracker_whose_list_is_ill_formed_is_lost_and_one_sees_oneself(net, answer):
    port = str(private_port()).encode()
    joined = {verb: said.replace(b"PORT", port) for verb, said in JOINED.items()}
    with Liar(net.ip, joined | {"ping": b"ok\n", "peers": answer}, ["peers"]) as liar:
        result = joining(net, liar.ip, liar.port).end()
    assert result.status == 0
    assert result.out.splitlines()[1:] == [f"1.2.3.4\t{port.decode()}\teste peer\t1"]
    assert "não responde" in result.err


# Peers that lie.


@pytest.fixture(scope="module")
def on_lying_lists(rede):
    def run(lie):
        with Liar.listed(rede[0], {"ls": LYING_LISTS[lie]}, ["ls"]) as liar:
            return rede[0].run(f"ls {liar.ip} {liar.port}")

    return dict(zip(SOME_LISTS, all_at_once(run, SOME_LISTS), strict=True))


@pytest.mark.parametrize("lie", SOME_LISTS)
def test_a_peer_that_lies_in_its_list_is_one_sentence(rede, on_lying_lists, lie):
    result = on_lying_lists[lie]
    one_sentence(result, 4, rf"^{beside(rede[0].ip, 2)}:\d+: ")
    assert "\x1b" not in result.out + result.err and not result.out


@pytest.fixture(scope="module")
def on_lying_files(rede, tmp_path_factory):
    def run(lie):
        answers, fatal, _, _ = lie
        folder = tmp_path_factory.mktemp("mentira")
        with Liar.listed(rede[0], answers, [fatal]) as liar:
            script = f"get {liar.ip} {liar.port} x.bin"
            # They all want one content, and would wait for a piece from each other.
            said = rede[0].run(script, "--nao-semear", downloads=folder)
            return said, list(folder.iterdir())

    return dict(zip(LYING_FILES, all_at_once(run, LYING_FILES.values()), strict=True))


@pytest.mark.parametrize("lie", LYING_FILES)
def test_a_peer_that_lies_about_a_file_leaves_no_file(on_lying_files, lie):
    result, left = on_lying_files[lie]
    one_sentence(result, *LYING_FILES[lie][2:])
    assert not left


def test_a_peer_that_hangs_up_half_way_leaves_what_was_right_to_be_continued(standing, tmp_path):
    with Liar.listed(standing, half_of_large(), ["take"]) as liar:
        script = f"get {liar.ip} {liar.port} maior.bin"
        result = standing.run(script, downloads=tmp_path)
    one_sentence(result, 7, r"parou em \d\d %.*repita o get")
    assert [path.name for path in tmp_path.iterdir()] == ["maior.bin.parte"]
    _, port = standing.peer("--servir", files={"maior.bin": LARGE})
    script = f"get {standing.ip} {port} maior.bin"
    assert standing.run(script, downloads=tmp_path).status == 0
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("maior.bin", LARGE)]


def test_more_bytes_than_announced_are_not_taken(standing, tmp_path):
    more = ok({"bytes": len(BIG)}, BIG + b"mais e mais")
    answers = {"stat": stat(), "hashes": HASHES, **pieces(BIG, more)}
    with Liar.listed(standing, answers, ["take"]) as liar:
        assert standing.run(f"get {liar.ip} x.bin", downloads=tmp_path).status == 0
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x.bin", BIG)]


@pytest.fixture(scope="module")
def on_unsafe_names(rede, tmp_path_factory):
    def run(name):
        data = b"mal"
        answers = {
            "stat": stat(len(data), merkle.layer_of(data), name),
            **pieces(data, ok({"bytes": len(data)}, data)),
        }
        folder = tmp_path_factory.mktemp("inseguro")
        with Liar.listed(rede[0], answers) as liar:
            script = f"get {liar.ip} {liar.port} '{name}'"
            return rede[0].run(script, downloads=folder / "x" / "y"), list(folder.rglob("*"))

    return dict(zip(UNSAFE, all_at_once(run, UNSAFE), strict=True))


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_name_is_refused_by_who_would_write_it(on_unsafe_names, name):
    result, left = on_unsafe_names[name]
    one_sentence(result, 5, "não é seguro e foi recusado")
    assert not [path for path in left if path.is_file()]


# Strangers with raw sockets.


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
@pytest.mark.parametrize("where", ["port", "port_a"])
def test_noise_gets_a_refusal_or_a_hang_up_and_the_programs_still_answer(standing, noise, where):
    said, heard = noise
    answer = converse(standing.ip, getattr(standing, where), said)
    if answer or len(said) < 2**16:  # an answer to who has not stopped talking may be lost
        if not answer.startswith(b"HTTP/1.1 4"):  # which only a browser may be answered
            assert answer.startswith(heard) and (heard or not answer)
        else:
            assert said.startswith(b"GET ")
    still_answers(standing)


@pytest.mark.parametrize(
    ("where", "noise"),
    [
        *(("port_a", noise) for noise in NOISES_TO_A_PEER.values()),
        *(("port", noise) for noise in NOISES_TO_THE_TRACKER.values()),
    ],
    ids=[*NOISES_TO_A_PEER, *NOISES_TO_THE_TRACKER],
)
def test_a_wrong_request_is_refused_and_the_conversation_goes_on(standing, where, noise):
    said, heard = noise
    answer = converse(standing.ip, getattr(standing, where), said + b"quit\n")
    assert answer.startswith(heard) and answer.endswith(b"\nok\n")
    still_answers(standing)


def test_a_listing_asked_for_by_hand_can_be_read_by_a_person(standing):
    answer = converse(standing.ip, standing.port_a, b"ls\nquit\n", until_end=False)
    for name in ("a.txt", "com espaço.txt", "ação & reação.txt", "foto 🐍🎉.png"):
        assert f'{{"name": "{name}", "size": '.encode() in answer


@pytest.mark.skipif(shutil.which("nc") is None, reason="no nc here")
def test_nc_is_enough_to_talk_to_a_peer(standing):
    heard = subprocess.run(
        ["nc", standing.ip, str(standing.port_a)],
        input=b'ls\nget {"name": "a.txt"}\nquit\n',
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    ).stdout
    assert '{"name": "com espaço.txt", "size": 15'.encode() in heard
    assert A["a.txt"] + b"ok\n" in heard


# Coming and going.


def test_a_killed_peer_leaves_the_list_at_once(net):
    tracker = net.tracker()
    victim, port = net.peer("--servir")
    watcher, own = net.peer()
    watcher.send("peers")
    watcher.prints(rf"{net.ip}\t{port}\t\t1\n{net.ip}\t{own}\teste peer\t2")
    victim.kill()
    tracker.says(f"saiu {net.ip}:{port}")
    watcher.send("peers")
    watcher.prints(rf"Porta.*\n{net.ip}\t{own}\teste peer")
    assert f"\t{port}\t" not in watcher.end().out.rpartition("Endereço")[2]
    _, again = net.peer("--servir")
    assert again == port  # it is given to the next one


def test_the_tracker_tells_who_joins_and_who_leaves(net):
    tracker = net.tracker()
    tracker_line = f"python3 Peers.py {net.ip} {net.port}"
    peer, port = net.peer()
    tracker.says(f"^entrou {net.ip}:{port}$")
    peer.send("quit")
    tracker.says(f"^saiu {net.ip}:{port}$")
    tracker.interrupt()
    result = tracker.end()
    assert result.status == 130 and tracker_line in result.out


def test_while_the_tracker_is_away_the_network_works_and_then_joins_again(net):
    tracker = net.tracker()
    server, port = net.peer(files={"x": b"123", "y": b"45"})
    peer, own = net.peer()
    peer.send("peers")
    peer.prints(f"{own}\teste peer")
    tracker.kill()
    server.send("peers")  # so that it need not wait for its next sign of life
    server.says("o tracker não responde, e ainda não tinha dito quem está na rede")
    peer.send("peers", f"ls {net.ip} {port}", f"get {net.ip} x")
    peer.says(r"o tracker não responde: esta lista tem \d+ s")
    peer.prints(rf"{net.ip}\t{port}\t\t")
    peer.prints(r"x\t3 B")
    peer.prints("x: baixado e verificado")
    tracker = net.tracker()
    tracker.says("entrou")
    tracker.says("entrou")
    members = converse(net.ip, net.port, b"peers\n").splitlines()[1:]
    assert {json.loads(line)["port"] for line in members} == {port, own}  # as before
    peer.send(f"get {net.ip} y")
    peer.prints("y: baixado e verificado")
    result = peer.end()
    assert result.status == 0
    assert (net.downloads / "x").read_bytes() == b"123"
    assert (net.downloads / "y").read_bytes() == b"45"


def test_leaving_works_while_the_tracker_is_away(net):
    tracker = net.tracker()
    peer, port = net.peer()
    other, _ = net.peer()
    tracker.kill()
    other.send("peers")  # this one knows that it is away, the other one does not
    other.says("o tracker não responde")
    for program in (peer, other):
        program.send("quit")
        assert program.end().status == 0
    with socket.create_server((net.ip, port)):
        pass


def test_leaving_waits_for_nothing_that_a_tracker_does_not_say(net):
    port = net.port + 1
    answers = {
        "join": ok({"port": port, "ip": net.ip, "version": 1}),
        "ready": b"ok\n",
        "peers": ok({"bytes": 0, "count": 0}),
    }
    with Liar(net.ip, answers, port=net.port) as tracker:
        peer, _ = net.peer(files={"a.txt": b"a"})
        assert tracker.asked.wait(PATIENCE)  # to note what is shared here, in vain
        peer.send("quit")
        assert peer.end(within=DEFAULT.reply_s - 2).status == 0


# Finding the tracker.

alone = pytest.mark.skipif(bool(machines()), reason=f"no network of its own: {machines()}")


@alone
def test_with_no_tracker_to_be_found_a_peer_opens_one_and_shares_the_samples(tmp_path):
    with Machine() as machine, network(tmp_path, machine.prefix) as programs:
        first = programs.start("Peers.py", "--pasta", str(tmp_path / "x"))
        first.says("nenhum tracker nesta rede: abri um aqui")
        first.says(r"python3 Peers\.py .* 9450")
        port = int(first.says(r"minha porta pública é (\d+)")[1])
        assert port == 5455
        second = programs.start("Peers.py", "--pasta", str(tmp_path / "y"))
        assert int(second.says(r"minha porta pública é (\d+)")[1]) == 5456
        second.send("peers", "ls 127.0.0.1 5455", "get 127.0.0.1 int.png", "quit")
        second.prints(r"127\.0\.0\.1\t5455")
        second.prints(r"b\.txt")
        second.prints("int.png: baixado e verificado")
        result = second.end()
        assert result.status == 0 and "abri um aqui" not in result.err
        sample = ROOT / "arquivos_compartilhaveis" / "int.png"
        assert (tmp_path / "y" / "int.png").read_bytes() == sample.read_bytes()
        first.send("quit")
        assert first.end().status == 0


@alone
def test_a_tracker_on_any_port_of_a_machine_is_found_by_its_ip_alone(tmp_path):
    with Machine() as machine, network(tmp_path, machine.prefix) as programs:
        tracker = programs.start("Servidor.py", "31337")
        tracker.says("Ctrl-C encerra")
        for ip in ("127.0.0.1", "127.9.9.9", "::1", "localhost"):
            result = programs.start("Peers.py", ip, "-c", "peers").end()
            assert result.status == 0, result
            assert ":31337" in result.err and "este peer" in result.out
        nobody = programs.start("Peers.py", "127.0.0.1", "9450", "-c", "peers").end()
        one_sentence(nobody, 3, "não encontrei o tracker em 127.0.0.1:9450")


# How it ended with those who say nothing.


@pytest.mark.parametrize(
    ("who", "status", "sentence"),
    [
        ("tracker", 3, "não encontrei o tracker.*não respondeu a tempo"),
        ("ls", 4, "não respondeu a tempo"),
        ("get", 4, "não respondeu a tempo"),
    ],
)
def test_who_accepts_and_says_nothing_is_one_sentence(standing, silence, who, status, sentence):
    one_sentence(silence[who].end(), status, sentence)
    still_answers(standing)


def test_a_tracker_that_stops_answering_is_not_waited_for_for_ever(silence):
    silence["member"].says("o tracker não responde, e ainda não tinha dito")
    silence["member"].prints("este peer")
    silence["stopped"].process.send_signal(signal.SIGCONT)
    silence["member"].send("quit")
    assert silence["member"].end().status == 0


def test_who_only_serves_notices_a_lost_tracker_and_comes_back_by_itself(silence):
    silence["serving"].says("não responde: tento de novo sozinho")
    again = silence["dead"].tracker()
    silence["serving"].says(f"voltou; minha porta é {silence['port']}")
    again.close()
