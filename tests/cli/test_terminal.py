"""What the terminal shows, as far as it needs none: rates, encodings, and what it would obey."""

from __future__ import annotations

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rede_p2p.cli.shell import parse
from rede_p2p.cli.terminal import (
    RATE_WINDOW_S,
    Pace,
    Terminal,
    escape_controls,
    unescape_controls,
)
from rede_p2p.content import safe_names


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


SHOWN_AS_THEY_ARE = [
    "👩\u200d👩\u200d👧.png",
    "👩\U0001f3fd\u200d🚀.png",
    "❤️\u200d🔥",
    "می\u200cخواهم.txt",
    "क्\u200dष.txt",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f.png",
    "a\u00a0b",
    "ac\u0327a\u0303o",
]
SHOWN_ESCAPED = [
    ("a\u200db", "a\\u200db"),  # it would look like ab
    ("\u200da", "\\u200da"),
    ("á\u200d", "á\\u200d"),
    ("a\u200bb", "a\\u200bb"),
    ("a\xadb", "a\\xadb"),
    ("\ufeffa", "\\ufeffa"),
    ("a\ue000", "a\\ue000"),
    ("a\U000e0067", "a\\U000e0067"),
    ("é\u202egpj.exe", "é\\u202egpj.exe"),
    ("é\u2066é\u200eé", "é\\u2066é\\u200eé"),
    ("é\u200d\u202eé", "é\u200d\\u202eé"),
    ("é\x1b[2J\x9b\n", "é\\x1b[2J\\x9b\\n"),
]


@pytest.mark.parametrize("name", SHOWN_AS_THEY_ARE, ids=ascii)
def test_what_joins_letters_is_shown_as_it_is(name):
    assert escape_controls(name) == name


@pytest.mark.parametrize(("name", "shown"), SHOWN_ESCAPED, ids=ascii)
def test_what_is_not_seen_or_turns_the_text_is_shown_as_an_escape(name, shown):
    assert escape_controls(name) == shown


@pytest.mark.parametrize("name", [*SHOWN_AS_THEY_ARE, *(name for name, _ in SHOWN_ESCAPED)])
@pytest.mark.parametrize("quotes", ["{}", '"{}"', "'{}'"])
def test_a_safe_name_can_be_typed_as_it_is_shown(name, quotes):
    if safe_names.is_safe(name):
        (command,) = parse("get " + quotes.format(escape_controls(name)), frozenset({"get"}))
        assert command.words == (name,)


@given(st.text(st.characters() | st.sampled_from("\u200d\u200c👩\U000e0067\xad\u200b")))
def test_every_safe_name_comes_back_from_the_screen(name):
    if safe_names.is_safe(name):
        assert unescape_controls(escape_controls(name)) == name


@pytest.mark.parametrize(
    "typed", ["\\x1b[2J", "\\ud800", "\\u000a", "a\\x41", "\\Uffffffff", "\\xa0", "\\u20", "a\\ b"]
)
def test_no_other_backslash_is_read_as_an_escape(typed):
    assert unescape_controls(typed) == typed


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
