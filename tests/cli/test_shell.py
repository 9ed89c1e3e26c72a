"""What somebody typed: words, quotes, aliases, guesses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rede_p2p.cli import manual
from rede_p2p.cli.commands import COMMANDS
from rede_p2p.cli.shell import ALIASES, MAX_LINE_CHARS, Command, parse
from rede_p2p.errors import BadUsageError, UnknownCommandError

KNOWN = frozenset({"peers", "ls", "get", "quit", "ajuda"})

LINES = [
    ("", []),
    ("   \t \n", []),
    (";", []),
    (" ;; ; ", []),
    ("peers", [Command("peers", ())]),
    ("  peers\r\n", [Command("peers", ())]),
    ("PEERS", [Command("peers", ())]),
    ("Ls 10.0.0.7 5455", [Command("ls", ("10.0.0.7", "5455"))]),
    ("get 10.0.0.7 a.txt", [Command("get", ("10.0.0.7", "a.txt"))]),
    ("get 10.0.0.7 A.TXT", [Command("get", ("10.0.0.7", "A.TXT"))]),
    ('get 10.0.0.7 "a b.txt"', [Command("get", ("10.0.0.7", "a b.txt"))]),
    ("get 10.0.0.7 'a b.txt'", [Command("get", ("10.0.0.7", "a b.txt"))]),
    (r"get 10.0.0.7 a\ b.txt", [Command("get", ("10.0.0.7", "a b.txt"))]),
    ('get 10.0.0.7 a" "b.txt', [Command("get", ("10.0.0.7", "a b.txt"))]),
    ('get 10.0.0.7 "a;b.txt"', [Command("get", ("10.0.0.7", "a;b.txt"))]),
    ('get 10.0.0.7 "it\'s.txt"', [Command("get", ("10.0.0.7", "it's.txt"))]),
    ("get 10.0.0.7 a#b.txt", [Command("get", ("10.0.0.7", "a#b.txt"))]),
    ("get 10.0.0.7 #a", [Command("get", ("10.0.0.7", "#a"))]),
    ("get ::1 ação[v2](1)*.txt", [Command("get", ("::1", "ação[v2](1)*.txt"))]),
    ("get 10.0.0.7 p/q-r_s~t=u.txt", [Command("get", ("10.0.0.7", "p/q-r_s~t=u.txt"))]),
    ("get 10.0.0.7 $(a)|b>c", [Command("get", ("10.0.0.7", "$(a)|b>c"))]),
    ('get 10.0.0.7 "a&b"', [Command("get", ("10.0.0.7", "a&b"))]),
    ("get 1 a &", [Command("get", ("1", "a"), background=True)]),
    ("get 1 a& peers", [Command("get", ("1", "a"), background=True), Command("peers", ())]),
    ("get 1 a;peers&", [Command("get", ("1", "a")), Command("peers", (), background=True)]),
    ("&", []),
    ("get 10.0.0.7 ''", [Command("get", ("10.0.0.7", ""))]),
    ("peers; ls 1 2;quit", [Command("peers", ()), Command("ls", ("1", "2")), Command("quit", ())]),
    ("peers;", [Command("peers", ())]),
    (";peers;;peers", [Command("peers", ()), Command("peers", ())]),
    ("help", [Command("ajuda", ())]),
    ("? get", [Command("ajuda", ("get",))]),
    ("SAIR", [Command("quit", ())]),
    ("exit", [Command("quit", ())]),
    ("baixar 1 2", [Command("get", ("1", "2"))]),
]


def shown(value):
    return ascii(value)[:50]


@pytest.mark.parametrize(("line", "commands"), LINES, ids=shown)
def test_a_line_is_these_commands(line, commands):
    assert parse(line, KNOWN) == commands


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (r"ls C:\Users\ana\a.txt", r"C:\Users\ana\a.txt"),
        (r'ls "C:\x y\z"', r"C:\x y\z"),
        (r'ls "\\servidor\x y"', r"\\servidor\x y"),
        ("ls 'com \" aspas'", 'com " aspas'),
    ],
)
def test_on_windows_a_backslash_is_a_part_of_a_path(line, word):
    assert parse(line, KNOWN, windows=True) == [Command("ls", (word,))]


@pytest.mark.parametrize(
    "line", ['get 1 "a', "get 1 'a", "get 1 a\\", "peers; get it's"], ids=shown
)
def test_a_quote_that_is_not_closed_is_said(line):
    with pytest.raises(BadUsageError) as caught:
        parse(line, KNOWN)
    assert (caught.value.kind, caught.value.text) == ("quotes", line)


@pytest.mark.parametrize(
    "line", ["\ud800", "buscar \udcff", "peers; get 10.0.0.7 'a\udce7'"], ids=shown
)
def test_a_byte_that_is_no_utf_8_is_said(line):
    with pytest.raises(BadUsageError) as caught:
        parse(line, KNOWN)
    assert (caught.value.kind, caught.value.text) == ("encoding", line)


@pytest.mark.parametrize(
    ("line", "word", "suggestion"),
    [
        ("per", "per", "peers"),
        ("pers", "pers", "peers"),
        ("peeers", "peeers", "peers"),
        ("PEARS", "PEARS", "peers"),
        ("gt 1 2", "gt", "get"),
        ("qiut", "qiut", "quit"),
        ("ajudda", "ajudda", "ajuda"),
        ("xyzzy", "xyzzy", ""),
        ("10.0.0.7", "10.0.0.7", ""),
        ("\x1b[A", "\x1b[A", ""),
        ("peers; xyzzy", "xyzzy", ""),
    ],
    ids=shown,
)
def test_an_unknown_command_is_named_with_the_nearest_one(line, word, suggestion):
    with pytest.raises(UnknownCommandError) as caught:
        parse(line, KNOWN)
    assert (caught.value.word, caught.value.suggestion) == (word, suggestion)


def test_nothing_of_a_line_is_a_command_when_a_part_is_wrong():
    with pytest.raises(UnknownCommandError):
        parse("quit; xyzzy", KNOWN)


def test_every_alias_and_every_line_of_the_manual_is_a_command():
    known = frozenset({*COMMANDS, "quit"})  # menu() itself leaves
    assert set(ALIASES.values()) <= known
    assert not ALIASES.keys() & known
    for usage, _, example in manual.COMMANDS:
        (command,) = parse(example, known)
        assert command.name == usage.split()[0]
        assert command.background == usage.endswith("&")
    assert {usage.split()[0] for usage, _, _ in manual.COMMANDS} == known


@settings(max_examples=200)
@given(st.text(st.characters() | st.sampled_from("peers ls;'\"\\?")))
def test_any_line_is_commands_or_an_error_of_ours(line):
    try:
        commands = parse(line, KNOWN)
    except (BadUsageError, UnknownCommandError):
        return
    assert all(command.name in KNOWN for command in commands)


def test_a_line_without_an_end_is_refused_before_it_is_read():
    with pytest.raises(BadUsageError) as caught:
        parse("x" * (MAX_LINE_CHARS + 1), frozenset())
    assert caught.value.kind == "long"
    with pytest.raises(UnknownCommandError):
        parse("x" * MAX_LINE_CHARS, frozenset({"ls"}))
