"""What the terminal shows, as far as it needs none: tables, bars, encodings."""

from __future__ import annotations

import io
import re
import sys

import pytest

from rede_p2p.cli.terminal import Terminal
from rede_p2p.errors import StoppedWaitingError


class Console(io.TextIOWrapper):
    """A terminal with an encoding."""

    def isatty(self):
        return True


@pytest.fixture
def console(monkeypatch):
    """Return a function that puts a terminal in place and returns ours, and one that reads it."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    shown = io.BytesIO()

    def read(encoding="utf-8"):
        return shown.getvalue().decode(encoding)

    def opened(encoding="utf-8", term="xterm-256color", columns=80):
        monkeypatch.setenv("TERM", term)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", "25")
        for name in ("stdout", "stderr"):
            monkeypatch.setattr(sys, name, Console(shown, encoding=encoding, write_through=True))
        return Terminal()

    return opened, read


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("cp850", "ação \\u65e5"), ("cp1252", "ação \\u65e5"), ("ascii", "acao \\u65e5")],
)
def test_a_console_shows_what_its_encoding_has_and_draws_in_ascii(console, encoding, shown):
    opened, read = console
    opened(encoding, "dumb").table(("Endereço IP",), [("ação 日",)], [])
    rows = read(encoding).splitlines()
    assert shown in rows[3] and len({len(row) for row in rows}) == 1
    assert {row[0] for row in rows} == {"+", "|"}


def test_a_name_has_the_colour_of_its_tone(console):
    opened, read = console
    tones = ["ready", "hashing", "mine", "gone"]
    opened().table(("Nome", "B"), [(tone, "1") for tone in [*tones, "plain"]], [], tones)
    for tone, code in zip(tones, (32, 33, 36, 31), strict=True):
        assert re.search(rf"\x1b\[{code}m{tone} *\x1b\[0m", read())
    assert " plain " in read()


@pytest.mark.parametrize("how", ["NO_COLOR", "dumb"])
def test_there_is_no_colour_where_it_is_not_wanted(console, monkeypatch, how):
    opened, read = console
    if how == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    terminal = opened(term="dumb" if how == "dumb" else "xterm")
    terminal.table(("Nome",), [("a",)], [], ["mine"])
    terminal.complain(StoppedWaitingError())
    assert not re.search(r"\x1b\[(\d+;)*3\d", read())


def test_of_a_long_table_a_terminal_shows_the_first_rows_and_how_many_more_there_are(console):
    opened, read = console
    opened(columns=40).table(("Nome",), [(f"aula {n}",) for n in range(10_000)], [])
    assert read().splitlines()[-1] == "… e mais 9.900"
    assert read().count("aula ") == 100


def test_a_pipe_gets_every_row(monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    terminal = Terminal()
    rows = [(f"aula {n}",) for n in range(10_000)]
    terminal.table(("Nome",), rows, [])
    assert shown.getvalue().count(b"\n") == 10_001
    terminal.as_json = True
    terminal.table(("Nome",), rows, range(10_000))
    assert shown.getvalue().endswith(b"\n9999\n")


def test_what_comes_through_a_pipe_is_utf_8_whatever_the_system_prefers(monkeypatch):
    typed = io.BytesIO(b"\xef\xbb\xbfget a\xc3\xa7\xc3\xa3o\r\nget \xe7\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(typed, encoding="cp1252"))
    written = {}
    for name in ("stdout", "stderr"):
        written[name] = io.BytesIO()
        monkeypatch.setattr(sys, name, io.TextIOWrapper(written[name], encoding="cp1252"))
    terminal = Terminal()
    terminal.page("日")
    terminal.note("é")
    assert {name: stream.getvalue().decode() for name, stream in written.items()} == {
        "stdout": "日\n",
        "stderr": "é\n",
    }
    assert [terminal.ask(), terminal.ask()] == ["get ação\n", "get \udce7\n"]
