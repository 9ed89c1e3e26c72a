"""The menu in a pseudo-terminal: what a person sees, types and interrupts."""

from __future__ import annotations

import os
import re
import socket
from contextlib import closing

import pytest
from lies import LARGE, LYING_LISTS, WRONG_COMMANDS, half_of_large, ok
from processes import PATIENCE, Liar, beside, network
from terminals import Terminal, port_of, terminal

from rede_p2p.cli import prompt

needs_readline = pytest.mark.skipif(
    prompt.readline is None, reason="without it, events wait for the next prompt"
)
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


@pytest.fixture
def net(tmp_path):
    with network(tmp_path) as programs:
        programs.tracker()
        yield programs


def test_the_four_commands_show_their_tables_and_the_file_arrives(net):
    net.peer("--servir", files={"foto [v2].png": b"png" * 1000, "ação.txt": b"1"})
    with terminal(net, files={"meu.txt": b"m"}) as opened:
        own = port_of(opened)
        table = opened.enter("peers")
        assert "digite ajuda para ver os comandos" in opened.raw.decode()
        assert re.search(r"Endereço IP +┃ +Porta +┃", table)
        assert re.search(rf"│ {net.ip} +│ {net.port + 1} +│ +│ \d +│", table)
        assert re.search(rf"│ {net.ip} +│ {own} +│ este peer", table)
        table = opened.enter(f"ls {net.ip} {net.port + 1}")
        assert re.search(r"┃ Arquivos compartilhados +┃ Tamanho", table)
        assert re.search(r"│ foto \[v2\]\.png +│ 2,9 KiB", table)
        said = opened.enter(f'get {net.ip} "foto [v2].png"')
        assert "foto [v2].png: baixado e verificado, 2,9 KiB: " in said
        assert (net.downloads / "foto [v2].png").read_bytes() == b"png" * 1000
        table = opened.enter("ajuda")
        assert "get <IP> <NOME>" in table
        opened.press("quit\r")
        assert opened.end() == 0
    with socket.create_server((net.ip, own)):
        pass  # the port is free again


@pytest.mark.parametrize(
    ("keys", "status"),
    [("\x03", 130), ("\x04", 0), ("SAIR\r", 0)],
    ids=["Ctrl-C", "Ctrl-D", "sair"],
)
def test_every_way_out_frees_the_port(net, keys, status):
    with terminal(net) as opened:
        port = port_of(opened)
        opened.press(keys)
        assert opened.end() == status
        assert opened.raw.endswith(b"\n")  # what comes next in the terminal has a line of its own
    with socket.create_server((net.ip, port)):
        pass


@needs_readline
def test_no_ctrl_c_is_lost_at_the_moment_the_prompt_appears():
    with closing(Terminal(["tests/asking.py"], {**os.environ, "TERM": "xterm"})) as opened:
        for count in range(1, 41):
            opened.prompts()
            opened.interrupt()
            opened.shows(rf"^(rede> ?)?(\^C)?{count}: interrompido$")  # it may be half drawn
        opened.prompts()
        opened.press("peers\r")
        opened.shows("41: linha peers")
        opened.prompts()
        opened.press("\x04")
        assert opened.end() == 0


@needs_readline
def test_ctrl_c_rubs_out_what_is_typed_and_then_leaves(net):
    with terminal(net) as opened:
        for typed in ("quit", "xyzzy", "peers"):
            opened.press(typed)
            opened.prompts(typed)
            opened.interrupt()
            opened.shows(rf"^rede> {typed}\n(rede> \w+\n)*rede>$")
            opened.prompts()
        assert "este peer" in opened.enter("peers")
        assert "não conheço" not in opened.screen()
        opened.interrupt()
        assert opened.end() == 130


@pytest.mark.slow
@needs_readline
def test_no_ctrl_c_is_lost_after_some_letters():
    words = ["tests/asking.py", "--acordar"]
    with closing(Terminal(words, {**os.environ, "TERM": "xterm"})) as opened:
        for count in range(1, 21):
            opened.prompts()
            opened.press("x" * count)
            opened.prompts("x" * count)
            opened.interrupt()
            opened.shows(rf"^{count}: linha$")  # which is empty
        opened.prompts()
        opened.press("\x04")
        assert opened.end() == 0


@needs_readline
def test_no_letter_is_lost_on_the_screen_when_the_prompt_is_woken():
    words = ["tests/asking.py", "--acordar"]
    with closing(Terminal(words, {**os.environ, "TERM": "xterm"})) as opened:
        opened.prompts()
        for length in range(1, 61):
            opened.press("x")
            opened.prompts("x" * length)
        opened.press("\r")
        opened.shows("^1: linha x{60}$")
        opened.prompts()
        opened.press("\x04")
        assert opened.end() == 0


def test_what_is_told_during_a_get_stands_above_its_bar(net):
    with (
        terminal(net, files={"meu.txt": b"m"}) as opened,
        Liar.listed(net, half_of_large()) as liar,
    ):
        opened.prompts()
        opened.press(f"get {liar.ip} maior.bin\r")
        opened.shows(r"^maior\.bin.*MiB")
        assert net.run(f"get {net.ip} {port_of(opened)} meu.txt", ip=beside(net.ip)).status == 0
        opened.shows(r"^\S+ baixou meu\.txt \(1 B\)\nmaior\.bin.*MiB")
        opened.interrupt()
        opened.prompts()


def test_ctrl_c_during_a_get_ends_that_download_only(net):
    with terminal(net) as opened, Liar.listed(net, half_of_large()) as liar:
        opened.prompts()
        opened.press(f"get {liar.ip} maior.bin\r")
        opened.shows(r"maior\.bin.*MiB")
        opened.interrupt()
        opened.shows("interrompido: o que chegou está guardado", within=5)
        opened.prompts(within=5)
        assert [path.name for path in net.downloads.iterdir()] == ["maior.bin.parte"]
        assert "este peer" in opened.enter("peers")
        # The same command goes on from there, with whoever has the content.
        net.peer("--servir", files={"maior.bin": LARGE})
        assert "baixado e verificado" in opened.enter(f"get {net.ip} maior.bin")
        assert (net.downloads / "maior.bin").read_bytes() == LARGE
        opened.press("quit\r")
        assert opened.end() == 0


@pytest.mark.parametrize("command", ["ls {0.ip} {0.port}", "get {0.ip} x"])
def test_ctrl_c_while_a_peer_says_nothing_brings_the_prompt_back_at_once(net, command):
    with terminal(net) as opened, Liar.listed(net, {}) as mute:
        opened.press(command.format(mute) + "\r")
        assert mute.asked.wait(PATIENCE)
        opened.interrupt()
        opened.shows("interrompido", within=3)
        opened.prompts(within=3)
        assert "este peer" in opened.enter("peers")


@needs_readline
def test_an_event_leaves_what_is_being_typed_on_the_screen_and_it_still_runs(net, tmp_path):
    with terminal(net, files={"meu.txt": b"12345"}) as opened:
        opened.press("pee")
        opened.prompts("pee")
        script = f"get {net.ip} {port_of(opened)} meu.txt"
        assert net.run(script, ip=beside(net.ip)).status == 0
        opened.shows(rf"^{beside(net.ip)} baixou meu\.txt \(5 B\)$")
        opened.prompts("pee")
        opened.press("rs\r")
        opened.shows("este peer")
        opened.prompts()
        assert "não conheço" not in opened.screen()


def test_an_event_waits_for_the_next_prompt_while_a_long_line_is_being_typed(net):
    typed = "get 127.0.0.1 um-nome-bem-comprido-que-passa-da-primeira-linha.txt"
    with terminal(net, files={"meu.txt": b"12345"}, columns=40) as opened:
        opened.press(typed)
        opened.until(lambda: opened.screen().replace("\n", "").endswith(f"rede> {typed}"))
        script = f"get {net.ip} {port_of(opened)} meu.txt"
        assert net.run(script, ip=beside(net.ip)).status == 0
        opened.press("\x15peers\r")  # Ctrl-U rubs it out
        opened.shows("┃ ?#")
        opened.shows("baixou meu.txt")
        opened.prompts()
        assert "um-nome-bem" not in opened.screen()


@needs_readline
def test_what_was_typed_can_be_moved_in_after_an_event(net):
    with terminal(net, files={"meu.txt": b"12345"}) as opened:
        opened.press("pers\x1b[D\x1b[D")
        opened.prompts("pers")
        assert net.run(f"get {net.ip} {port_of(opened)} meu.txt", ip=beside(net.ip)).status == 0
        opened.shows("baixou meu.txt")
        opened.press("e")
        opened.prompts("peers", within=3)
        opened.press("\r")
        opened.shows("este peer")


HOSTILE = {
    "\x1b[2J\x1b[31;5mola": r"\x1b[2J\x1b[31;5mola",
    "\x1b]0;dono\x07": r"\x1b]0;dono\x07",
    "[/b]": "[/b]",
    "[bold]negrito": "[bold]negrito",
    ":smile:": ":smile:",
    "\u202egpj.exe": r"\u202egpj.exe",
    "\x9b31mc1": r"\x9b31mc1",
    "linha\nnova\rvolta": r"linha\nnova\rvolta",
    "zero\u200bwidth": r"zero\u200bwidth",
}
FOREIGN = (b"\x1b[2J", b"\x1b[31;5m", b"\x1b]0;", "\x9b".encode(), "\u202e".encode())


def hostile_list():
    lines = [b"%s\n" % ok({"name": name, "size": 1}).split(b" ", 1)[1].strip() for name in HOSTILE]
    body = b"".join(lines)
    return ok({"bytes": len(body), "count": len(lines)}, body)


def test_hostile_names_are_shown_and_not_obeyed(net):
    answers = {
        "ls": hostile_list(),
        "stat": b'erro {"code": "\\u001b[2J", "message": "\\u001b[31;5m[/b]"}\n',
    }
    with terminal(net) as opened, Liar.listed(net, answers) as liar:
        table = opened.enter(f"ls {liar.ip} {liar.port}")
        for shown in HOSTILE.values():
            assert f"│ {shown} " in table
        said = opened.enter(f"get {liar.ip} x")
        assert r"\x1b[31;5m[/b]" in said
        said = opened.enter(f"get {liar.ip} \x16\x1b[2J")  # Ctrl-V takes the next key as it is
        assert not any(foreign in opened.raw for foreign in FOREIGN)
        assert "este peer" in opened.enter("peers")


def test_after_every_mistake_there_is_one_sentence_and_the_menu_answers(net):
    net.peer("--servir", files={"a": b"a"})
    with terminal(net) as opened:
        for command, _, sentence in WRONG_COMMANDS:
            if len(command) > 100:
                continue
            said = opened.enter(command.format(ip=net.ip)).strip()
            assert len(said.splitlines()) == 1, said
            assert re.search(sentence.format(ip=net.ip), said), said
        assert "este peer" in opened.enter("peers")


def test_after_every_lie_there_is_one_sentence_and_the_menu_answers(net):
    with terminal(net) as opened, Liar.listed(net, {}, ["ls"]) as liar:
        for name, lie in LYING_LISTS.items():
            liar.answers["ls"] = lie
            said = opened.enter(f"ls {liar.ip} {liar.port}").strip()
            assert said.startswith(f"{liar.ip}:{liar.port}: "), name
            assert len(said.splitlines()) == 1, name
        assert not any(foreign in opened.raw for foreign in FOREIGN)
        assert "este peer" in opened.enter("peers")


def test_a_mistyped_command_gets_a_suggestion(net):
    with terminal(net) as opened:
        assert "você quis dizer peers?" in opened.enter("pers")
        assert "você quis dizer get?" in opened.enter("gett 127.0.0.1 x")
        assert opened.enter("") == ""


def test_colours_only_where_they_are_wanted(net):
    colour = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38;)[\d;]*m")
    with terminal(net) as opened:
        opened.enter("xyzzy")
        assert colour.search(opened.raw)
    with terminal(net, environment={"NO_COLOR": "1"}) as opened:
        opened.enter("xyzzy")
        opened.enter("peers")
        assert not colour.search(opened.raw)


def columns_of(table):
    """Return what stands in each column of a table, from its head down, in one line."""
    rows = [re.split("[│┃]", line)[1:-1] for line in table.splitlines() if re.match("[│┃]", line)]
    return [" ".join(" ".join(column).split()) for column in zip(*rows, strict=True)]


def test_a_narrow_terminal_still_shows_whole_names(net):
    name = "um nome comprido demais para uma linha de quarenta colunas.txt"
    _, port = net.peer("--servir", files={name: b"1"})
    with terminal(net, columns=40) as opened:
        table = opened.enter("peers")
        assert "Endereço IP" in table and "Porta" in table
        table = opened.enter(f"ls {net.ip} {port}")
        cells = [line.split("│")[1].strip() for line in table.splitlines() if "│" in line]
        assert "".join(cells).replace(" ", "") == name.replace(" ", "")
        assert all(len(line) <= 40 for line in table.splitlines())


def test_a_narrow_terminal_shows_whole_addresses_and_folds_the_names(net):
    _, port = net.peer("--servir", "--nome", "laboratório de redes 3")
    with terminal(net, "--nome", "ana", columns=40) as opened:
        shown = columns_of(opened.enter("peers"))
        assert shown[:2] == [f"Endereço IP {net.ip} {net.ip}", f"Porta {port} {port + 1}"]
        assert shown[2].replace(" ", "") == "Nomelaboratórioderedes3estepeer(ana)"
        assert shown[3] == "# 1 2"
        assert opened.enter("ls 2").count("\n") > 3  # the row is whom it showed
        assert "não tem a linha 3" in opened.enter("ls 3").replace("\n", "")


def test_a_narrow_terminal_keeps_every_column_and_cuts_no_header_inside_a_word(net):
    _, port = net.peer("--servir", files={"a.txt": b"1"})
    with terminal(net, columns=40) as opened:
        shown = columns_of(opened.enter(f"ls {net.ip} {port}"))
        assert [column.split() for column in shown[:1]] == [["Arquivos", "compartilhados", "a.txt"]]
        assert shown[1] == "Tamanho 1 B"
        assert re.fullmatch("Raiz [0-9a-f ]+", shown[2])
        shown = columns_of(opened.enter("ajuda get"))
        assert [column.split(maxsplit=1)[0] for column in shown] == ["Comando", "O", "Exemplo"]
        assert shown[1].startswith("O que faz ")


def test_how_a_download_ended_is_shown_however_long_its_path_is(net):
    net.peer("--servir", files={"a.txt": b"a", "b.txt": b"b"})
    folder = net.folder / ("pasta-" * 20) / ("outra-" * 20)
    with terminal(net, "--pasta", str(folder), columns=80) as opened:
        names, results = columns_of(opened.enter(f"get {net.ip} a.txt b.txt"))
        assert names == "Arquivo a.txt b.txt"
        assert results.startswith("Resultado baixado e verificado, 1 B: ")
        assert f"{folder}/b.txt".replace(" ", "") in results.replace(" ", "")


@pytest.mark.parametrize("columns", [30, 40, 80])
def test_a_narrow_terminal_shows_the_figures_of_a_bar_and_leaves_out_the_rest(net, columns):
    with terminal(net, columns=columns) as opened, Liar.listed(net, half_of_large()) as liar:
        opened.press(f"get {liar.ip} maior.bin\r")
        opened.shows(r"^maior\S+ .*1,5 MiB de 3,0 MiB( ·|$)")
        assert ("━" in opened.screen()) == (columns > 30)
        opened.interrupt()
        opened.shows("interrompido")


def test_pasted_lines_run_one_after_another(net):
    with terminal(net) as opened:
        opened.press("ajuda\rpeers\rquit\r")
        assert opened.end() == 0
        assert "Comando" in opened.raw.decode() and "este peer" in opened.raw.decode()


def test_a_dumb_terminal_is_no_reason_to_fail(net):
    with terminal(net, environment={"TERM": "dumb", "LC_ALL": "C"}) as opened:
        assert "este peer" in opened.enter("peers")
        opened.press("quit\r")
        assert opened.end() == 0
