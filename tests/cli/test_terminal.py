"""What the terminal shows, as far as it needs none: rates, encodings, and what it would obey."""

from __future__ import annotations

import io
import sys

from rede_p2p.cli.terminal import RATE_WINDOW_S, Pace, Terminal


def test_a_rate_is_that_of_the_last_seconds_alone():
    pace = Pace(0, 100.0)
    assert pace.rate(0, 100.0) == 0
    assert pace.rate(500, 101.0) == 500
    assert pace.rate(500, 102.0) == 250
    for second in range(1, 11):
        last = pace.rate(500 + 10 * second, 102.0 + second)
    assert RATE_WINDOW_S < 10 and last == 10


def test_a_rate_begins_with_what_came_since_one_looks():
    assert Pace(10**9, 7.0).rate(10**9 + 4, 9.0) == 2


class Console(io.TextIOWrapper):
    """A terminal whose encoding lacks what is drawn."""

    def isatty(self):
        return True


def test_a_console_shows_what_its_encoding_has_and_draws_in_ascii(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", Console(shown, encoding="cp850", write_through=True))
    Terminal().table(("Endereço IP",), [("ação 日",)], [])
    text = shown.getvalue().decode("cp850")
    assert "| Endereço IP" in text
    assert "ação \\u65e5" in text
    assert "+-" in text


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
