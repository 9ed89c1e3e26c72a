"""Whole screens, narrow and wide, while peers come, files are served and downloads end."""

from __future__ import annotations

import os
import re
from contextlib import closing
from itertools import groupby

import pytest
from lies import half_of_large
from processes import Liar, Machine, beside, eventually, machines, network
from rich.cells import cell_len
from terminals import Terminal, port_of, terminal

from rede_p2p.cli import prompt

needs_readline = pytest.mark.skipif(
    prompt.readline is None, reason="without it, events wait for the next prompt"
)
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
every_width = pytest.mark.parametrize("columns", [40, 80, 160])
LONG = "um nome comprido demais para uma linha de quarenta colunas, e com 日本語 também.txt"
FILES = {LONG: b"1" * 5000, "aula2.pdf": b"2", "aula10.pdf": b"10", "ação.txt": b"a"}
BOX = "┏┃┡│└|+"


@pytest.fixture
def net(tmp_path):
    with network(tmp_path) as programs:
        programs.tracker()
        yield programs


def tables_in(text):
    """Return the tables of a text, each a list of lines; check that they are rectangles."""
    is_row = ((bool(line) and line[0] in BOX, line) for line in text.splitlines())
    tables = [
        [line for _, line in rows] for inside, rows in groupby(is_row, lambda r: r[0]) if inside
    ]
    for rows in tables:
        assert len({cell_len(row) for row in rows}) == 1, "\n".join(rows)
    return tables


@every_width
def test_every_table_fits_and_is_a_rectangle(net, columns):
    _, port = net.peer("--servir", ip=beside(net.ip), files=FILES)
    at = f"{beside(net.ip)} {port}"
    with terminal(net, files={"meu.txt": b"m", LONG: b"m"}, columns=columns) as opened:
        commands = ["peers", f"ls {at}", f"ls -l {at}", "ls", "meus", "ajuda", "placar"]
        commands += [f"get {beside(net.ip)} aula2.pdf aula10.pdf nada"]
        for command in commands:
            shown = opened.enter(command)
            (table,) = tables_in(shown)
            assert cell_len(table[0]) <= columns, shown
        rows = opened.enter(f"ls {at}").splitlines()
        names = [row.split("│")[1].strip() for row in rows if row.startswith("│")]
        order = [next(n for n, row in enumerate(names) if row.startswith(k)) for k in ("aç", "au")]
        assert order == sorted(order)
        opened.prompts()


@needs_readline
@every_width
@pytest.mark.skipif(bool(machines()), reason=f"no network of its own: {machines()}")
@pytest.mark.slow
def test_what_is_typed_stays_while_peers_come_fetch_and_leave_and_downloads_end(tmp_path, columns):
    with Machine() as machine, network(tmp_path, machine.prefix) as net:
        net.ip, net.port = "127.0.0.1", 9450
        own = ["--arquivos", str(net.sharing({"meu.txt": b"m"})), "--pasta", str(net.downloads)]
        words = ["Peers.py", *own]
        with closing(Terminal(words, net.environment(), columns, machine.prefix)) as opened:
            opened.prompts()
            port = port_of(opened)
            opened.press("pee")
            opened.prompts("pee")
            files = {"grande.bin": b"g" * 3_000_000}
            source, _ = net.peer("--limite", "3M", ip="127.0.0.2", files=files)
            opened.shows(r"^entrou 127\.0\.0\.2:\d+$")
            opened.prompts("pee")
            opened.press("x\x7f\x1b[D")  # a letter, and away with it; then one to the left
            opened.prompts("pee")
            assert net.run(f"get 127.0.0.1 {port} meu.txt", ip="127.0.0.3").status == 0
            opened.shows(r"^127\.0\.0\.3 baixou meu\.txt \(1 B\)$")
            opened.shows(r"^saiu 127\.0\.0\.3:\d+$")
            opened.prompts("pee")
            opened.press("\x05\x15get 127.0.0.2 grande.bin &\r")
            opened.shows(r"^\[1\] grande\.bin em segundo plano")
            opened.prompts()
            opened.press("placar")
            opened.shows(r"^\[1\] grande\.bin: baixado e verificado")
            opened.prompts("placar")
            source.send("quit")
            opened.shows(r"^saiu 127\.0\.0\.2:\d+$")
            opened.prompts("placar")
            opened.press("\r")
            opened.shows("grande")
            opened.prompts()
            tables_in(opened.screen())
            assert opened.screen().count("rede>") == 3


@needs_readline
def test_what_is_typed_stays_while_the_terminal_gets_narrower_and_wider(net):
    with terminal(net, files={"meu.txt": b"m"}, columns=80) as opened:
        port = port_of(opened)
        opened.press("pee")
        opened.prompts("pee")
        for columns in (40, 160, 80):
            opened.resize(columns)
            script = f"get {net.ip} {port} meu.txt --como {columns}"
            assert net.run(script, ip=beside(net.ip)).status == 0
            opened.shows("baixou meu.txt")
            opened.prompts("pee")
            opened.press("rs\r")
            opened.shows("este peer")
            opened.prompts()
            (*_, table) = tables_in(opened.screen())
            assert cell_len(table[0]) <= columns
            opened.press("\x0cpee")  # Ctrl-L: an empty screen
            opened.until(lambda: opened.screen() == "rede> pee")


@every_width
def test_the_bars_fit_keep_their_place_and_leave_nothing(net, columns):
    with terminal(net, columns=columns) as opened, Liar.listed(net, half_of_large()) as liar:
        before = opened.screen().splitlines()
        opened.press(f"get {liar.ip} maior.bin\r")
        opened.shows(r"^maior\.bin .*1,5 MiB de 3,0 MiB")
        for width in (columns, 40, 160):
            opened.resize(width)
            opened.shows(r"^maior\.bin ━+─+ 1,5 MiB de 3,0 MiB( ·|$)")
            if width == 160:
                opened.shows("maior.bin .* 49 %$")
            lines = opened.screen().splitlines()
            assert len(lines) == len(before) + 1 and cell_len(lines[-1]) <= width
        opened.interrupt()
        opened.shows("interrompido")
        opened.prompts()
        assert "maior.bin ━" not in opened.screen() and "^C" not in opened.screen()


def test_each_file_and_each_source_has_a_line_and_none_is_left(net):
    data = os.urandom(12_000_000)
    for steps in (1, 2):
        net.peer(
            *("--servir", "--limite", "2M"),
            ip=beside(net.ip, steps),
            files={"a.bin": data, "b.bin": data[:5_000_000]},
        )
    with terminal(net, columns=120) as opened:
        opened.press(f"get {beside(net.ip)} a.bin b.bin\r")
        opened.shows(r"^2 arquivos +━*─+ .* de 16,2 MiB · 0/2 arquivos · .*/s · faltam 0:0\d")
        opened.shows(r"^  a\.bin +━*─+ .* de 11,4 MiB")
        opened.shows(rf"^  {re.escape(beside(net.ip, 2))}:\d+ +[\d,]+ \wiB/s · \d+ % do que veio$")
        opened.interrupt()
        opened.shows("interrompido")
        opened.prompts()
        assert "━─" not in opened.screen() and "do que veio" not in opened.screen()


def test_of_many_files_that_came_the_sum_alone_is_shown(net):
    net.peer("--servir", ip=beside(net.ip), files={f"{n}.txt": b"%d" % n for n in range(60)})
    with terminal(net, columns=120) as opened:
        opened.press(f"get {beside(net.ip)} '*'\r")
        opened.shows("^60 baixados e verificados")
        assert "Resultado" not in opened.screen()


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp850"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "", "LANG": "C"},
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TERM": "dumb"},
        {"TERM": "dumb", "LC_ALL": "C", "NO_COLOR": "1"},
    ],
    ids=str,
)
def test_a_terminal_without_utf_8_or_without_a_cursor_shows_all_in_its_way(net, environment):
    _, port = net.peer("--servir", ip=beside(net.ip), files={**FILES, "“日本”.txt": b"1"})
    with (
        terminal(net, files={"meu.txt": b"m"}, environment=environment, columns=80) as opened,
        Liar.listed(net, half_of_large()) as liar,
    ):
        for command in (f"ls {beside(net.ip)} {port}", "peers", "meus", "placar", "ajuda", "xyzzy"):
            opened.enter(command)
        if "LC_ALL" in environment or "PYTHONIOENCODING" in environment:
            assert not re.search("[┏┃│└━─]", opened.raw.decode(errors="replace"))
            assert b"+-" in opened.raw and b"| " in opened.raw
        if "TERM" in environment:
            assert b"\x1b" not in opened.raw.replace(b"\x1b[?2004", b"")
        opened.press(f"get {liar.ip} maior.bin\r")
        if "TERM" not in environment:
            opened.shows("maior.bin [=━]+[-─]+ 1,5 MiB de 3,0 MiB")
        eventually(lambda: [*net.downloads.glob("*.parte")])
        opened.interrupt()
        opened.shows("interrompido")
        opened.prompts()
        opened.press("quit\r")
        assert opened.end() == 0


@needs_readline
def test_many_that_fetch_at_once_are_told_in_few_lines(net):
    with terminal(net, files={"meu.txt": b"12345"}) as opened:
        port = port_of(opened)
        opened.press("pee")
        opened.prompts("pee")
        script = "; ".join(f"get {net.ip} {port} meu.txt --como {n}.txt" for n in range(12))
        assert net.run(script, ip=beside(net.ip)).status == 0
        taken = re.compile(r"baixou meu\.txt(?:, (\d+) vezes)?")

        def told():
            return sum(int(found[1] or 1) for found in taken.finditer(opened.screen()))

        opened.until(lambda: told() == 12)
        assert len(taken.findall(opened.screen())) <= 5
        opened.prompts("pee")
