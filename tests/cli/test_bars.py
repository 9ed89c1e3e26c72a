"""Bars in the room that a terminal has; those of whole programs are in programs/test_screens."""

from __future__ import annotations

import io

import pyte
import pytest
from rich.console import Console

from rede_p2p.cli import bars
from rede_p2p.cli.bars import Bars, draw_line
from rede_p2p.cli.progress import BarLine


@pytest.mark.parametrize("width", [1, 12, 20, 30, 40, 80, 160, 200])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("name", ["a", "um nome comprido demais " * 9, "日本語" * 30, "\x1b[2J"])
@pytest.mark.parametrize("name_width", [0, 32])
@pytest.mark.parametrize("full", [0.0, 0.4, 0.99, None])
def test_a_bar_fits_its_line_and_is_never_full(width, ascii_only, name, name_width, full):
    figures = ["1,5 MiB de 3,0 MiB", "3/20 arquivos", "9,9 MiB/s", "faltam 2:48:10", "40 %"]
    shown = draw_line(BarLine(name, full, figures), width, name_width, ascii_only=ascii_only)
    assert shown.cell_len <= max(width, 20)  # the first figure is always shown
    assert "\x1b" not in shown.plain
    if ascii_only and name.isascii():
        assert shown.plain.replace("·", "").isascii()
    if ascii_only and "=" in shown.plain:
        assert "-" in shown.plain


class Screen:
    """A console of a given size, and what stands on it."""

    def __init__(self, columns: int, rows: int = 25) -> None:
        self._written = io.StringIO()
        self.console = Console(
            file=self._written,
            force_terminal=True,
            width=columns,
            height=rows,
            _environ={"TERM": "xterm"},  # whoever runs the tests may have one that is dumb
        )
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.Stream(self._screen)
        self._fed = 0

    def lines(self) -> list[str]:
        text = self._written.getvalue()
        self._stream.feed(text[self._fed :].replace("\n", "\r\n"))
        self._fed = len(text)
        return [line.rstrip() for line in self._screen.display if line.strip()]


def some(*names):
    return [BarLine(name, 0.5, ["1,5 MiB de 3,0 MiB"]) for name in names]


def test_bars_are_drawn_in_the_place_of_those_before():
    screen = Screen(60)
    screen.console.print("antes")
    drawn = Bars(screen.console, ascii_only=True)
    for names in (["a", "  b", "  c"], ["a"], ["a", "  b"]):
        drawn.draw(some(*names))
        assert [line.split()[0] for line in screen.lines()] == ["antes", *map(str.strip, names)]
    drawn.erase()
    drawn.erase()
    screen.console.print("depois")
    assert screen.lines() == ["antes", "depois"]


def test_what_ctrl_c_makes_a_terminal_write_does_not_move_them():
    screen = Screen(40)
    drawn = Bars(screen.console, ascii_only=True)
    drawn.draw(some("um nome muito comprido para uma linha só.iso"))
    screen.console.file.write("^C")
    drawn.erase()
    assert screen.lines() == []


def test_a_terminal_that_is_narrower_than_one_thought_cuts_them():
    screen = Screen(40)
    screen.console.width = 80
    drawn = Bars(screen.console, ascii_only=True)
    drawn.draw([BarLine("a" * 30, 0.5, ["1,5 MiB de 3,0 MiB"])])
    assert len(screen.lines()) == 1
    drawn.erase()
    screen.console.print("o que vem depois é dobrado pelo terminal, como sempre")
    assert len(screen.lines()) == 2


def test_a_low_terminal_has_one_line_and_a_wide_one_has_its_bars_below_each_other():
    low, wide = Screen(160, 8), Screen(160)
    for screen in (low, wide):
        Bars(screen.console, ascii_only=True).draw(some("dois arquivos", "  b.iso"))
    assert len(low.lines()) == 1
    first, second = wide.lines()
    assert first.index("=") == second.index("=")


@pytest.mark.parametrize("reflows", [True, False])
def test_where_the_terminal_got_narrower_all_rows_of_the_bars_go(monkeypatch, reflows):
    monkeypatch.setattr(bars, "_REFLOWS", reflows)
    wide = Screen(80)
    drawn = Bars(wide.console, ascii_only=True)
    drawn.draw([BarLine("x" * 70, None, []), BarLine("b", None, [])])
    wide.console.width = 40
    before = len(wide.console.file.getvalue())
    drawn.erase()
    assert wide.console.file.getvalue()[before:].count("\x1b[1A") == (2 if reflows else 1)
