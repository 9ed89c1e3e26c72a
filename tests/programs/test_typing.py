"""Tab and the arrow keys at the prompt, with the real readline."""

from __future__ import annotations

import re

import pytest
from lies import ok
from processes import Liar, beside, network
from terminals import terminal
from test_in_a_terminal import FOREIGN, HOSTILE, hostile_list

from rede_p2p.cli import prompt

pytestmark = [
    pytest.mark.skipif(prompt.readline is None, reason="there is nothing to complete with"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


@pytest.fixture
def net(tmp_path):
    with network(tmp_path) as programs:
        programs.tracker()
        yield programs


def test_a_get_is_typed_with_few_keys(net):
    there = beside(net.ip)
    net.peer(
        "--servir", ip=there, files={"minha foto.png": b"png", "minha lista; “nova”.txt": b"t"}
    )
    with terminal(net) as opened:
        opened.press("ge\t")
        opened.prompts("get")
        opened.press("\t")
        opened.prompts(f"get {there}")
        opened.press("min\t")
        opened.shows(r"^minha foto\.png +minha lista; “nova”\.txt$")
        opened.prompts(rf"get {there} minha\ ")
        opened.press("f\t\r")
        opened.shows(r"^minha foto\.png: baixado e verificado, 3 B")
        opened.prompts()
        opened.press(f'get {there} "minha l\t')
        opened.prompts(f'get {there} "minha lista; “nova”.txt"')
        opened.press("\r")
        opened.shows("“nova”.txt: baixado e verificado, 1 B")
        opened.prompts()
        assert len([*net.downloads.iterdir()]) == 2


def test_a_list_of_what_may_follow_leaves_what_is_typed_and_the_cursor(net):
    with terminal(net, columns=40) as opened:
        opened.press("p xyz\x1b[D\x1b[D\x1b[D\x1b[D\t")
        opened.shows(r"^peers +placar$")
        opened.prompts("p xyz")
        opened.press("e\t")
        opened.prompts("peers  xyz")
        opened.press("\x05\x15\t")
        opened.shows(r"^ajuda +buscar\ncancelar +compartilhar$")  # in the columns that there are
        opened.prompts()
        opened.press("peers\r")
        opened.shows("este peer")


def test_names_that_a_terminal_obeys_are_not_offered_and_no_list_is_endless(net):
    body = b"".join(b'{"name": "aula %05d.txt", "size": 5}\n' % n for n in range(10_000))
    with terminal(net) as opened, Liar.listed(net, {"ls": hostile_list()}) as liar:
        opened.press(f"get {liar.ip} \t")
        opened.shows(re.escape("[bold]negrito"))
        assert not any(foreign in opened.raw for foreign in FOREIGN)
        unsafe = [shown for shown in HOSTILE.values() if "\\" in shown and "200b" not in shown]
        assert unsafe and not any(shown in opened.screen() for shown in unsafe)
    with (
        terminal(net) as opened,
        Liar.listed(net, {"ls": ok({"bytes": len(body), "count": 10_000}, body)}) as liar,
    ):
        for _ in range(50):  # it may come only for a later Tab
            opened.press(f"\x05\x15get {liar.ip} {liar.port} \t")
            opened.prompts(f"get {liar.ip} {liar.port}")
            if "aula" in opened.screen():
                break
        opened.shows(r"^… e mais 9\.900$")
        opened.prompts(rf"get {liar.ip} {liar.port} aula\ 0")


def test_a_peer_that_says_nothing_keeps_nobody_from_typing(net):
    with terminal(net) as opened, Liar.listed(net, {}) as mute:
        opened.press(f"get {mute.ip} \t")
        assert mute.asked.wait(20)
        opened.press("\t\tx")
        opened.prompts(f"get {mute.ip} x", within=6)
        opened.press("\x15peers\r")
        opened.shows("este peer", within=6)
        opened.press("quit\r")
        opened.until(lambda: opened._ended, within=7)  # its answer would be awaited 8 s


def test_typed_lines_are_there_in_the_next_run_and_a_script_adds_none(net):
    state = net.folder / "estado"
    home = {"XDG_STATE_HOME": str(state)}
    with terminal(net, environment=home) as opened:
        opened.enter("peers")
        opened.enter("ls")
        opened.press("quit\r")
        assert opened.end() == 0
    kept = state / "rede-p2p" / "historico"
    assert kept.read_text(encoding="utf-8") == "peers\nls\nquit\n"
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    environment = {**net.environment(), **home}
    script = net.start(*net.words("-c", "status"), environment=environment)
    piped = net.start(*net.words(), environment=environment)
    piped.send("status")
    assert (script.end().status, piped.end().status) == (0, 0)
    with terminal(net, environment=home) as opened:
        opened.press("\x1b[A\x1b[A\x1b[A")
        opened.prompts("peers")
        opened.press("\r")
        opened.shows("este peer")
    assert kept.read_text(encoding="utf-8") == "peers\nls\nquit\npeers\n"


def test_where_no_line_can_be_kept_all_else_works(net):
    with terminal(net, environment={"XDG_STATE_HOME": "/proc/nada"}) as opened:
        assert "este peer" in opened.enter("peers")
        opened.press("\x1b[A")
        opened.prompts("peers")
