"""What a terminal would obey, and what its encoding lacks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rede_p2p.cli.escapes import (
    clean,
    draws_ascii,
    encodable,
    escape_controls,
    unescape_controls,
)
from rede_p2p.cli.shell import parse
from rede_p2p.content import safe_names

SHOWN_AS_THEY_ARE = [
    "👩\u200d👩\u200d👧.png",
    "👩\U0001f3fd\u200d🚀.png",
    "❤️\u200d🔥",
    "می\u200cخواهم.txt",
    "क्\u200dष.txt",
    "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f.png",
    "a\u00a0b",
    "☀️1️⃣©️✌️.txt",
    "ac\u0327a\u0303o",
]
SHOWN_ESCAPED = [
    ("a\u200db", "a\\u200db"),  # it would look like ab
    ("\u200da", "\\u200da"),
    ("á\u200d", "á\\u200d"),
    ("a\u200bb", "a\\u200bb"),
    ("a\xadb", "a\\xadb"),
    *((f"é{c}b", f"é{ascii(c)[1:-1]}b") for c in "\u034f\u115f\u1160\u3164\ufe0f\uffa0\U000e0100"),
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


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "“ação 日” · 3× … ↓"),
        ("cp850", '"ação \\u65e5" · 3× ... <'),
        ("cp1252", "“ação \\u65e5” · 3× … <"),
        ("latin-1", '"ação \\u65e5" · 3× ... <'),
        ("ascii", '"acao \\u65e5" - 3x ... <'),
    ],
)
def test_what_an_encoding_lacks_is_replaced_by_the_nearest_or_escaped(encoding, shown):
    assert encodable("“ação 日” · 3× … ↓", encoding) == shown


@given(st.text(), st.sampled_from(["ascii", "cp850", "cp1252", "latin-1", "utf-8"]))
def test_whatever_is_shown_can_be_encoded(text, encoding):
    encodable(escape_controls(text), encoding).encode(encoding)


@pytest.mark.parametrize(
    ("encoding", "environment", "is_so"),
    [
        ("utf-8", {"LANG": "pt_BR.UTF-8"}, False),
        ("UTF-8", {}, False),
        ("utf-8", {"LANG": "C.UTF-8", "LC_CTYPE": "C.UTF-8"}, False),
        ("utf-8", {"LC_ALL": "C.UTF-8", "LANG": "C"}, False),
        ("utf-8", {"LC_CTYPE": "pt_BR.UTF-8", "LANG": "C"}, False),
        ("utf-8", {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ("utf-8", {"LANG": "POSIX"}, True),
        ("utf-8", {"LC_ALL": "C", "LANG": "pt_BR.UTF-8"}, True),
        ("cp850", {}, True),
        ("ascii", {"LANG": "pt_BR.UTF-8"}, True),
    ],
)
def test_boxes_are_of_ascii_where_the_terminal_may_lack_others(encoding, environment, is_so):
    assert draws_ascii(encoding, environment) == is_so


def test_a_clean_text_has_neither_what_is_obeyed_nor_what_the_encoding_lacks():
    assert clean("ação\x1b[2J", "ascii") == "acao\\x1b[2J"
    assert clean("ação\n", "utf-8") == "ação\\n"
