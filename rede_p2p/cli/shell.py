"""A typed line → commands: words, quotes, aliases, the nearest known command. No I/O.

The quoting is that of sh: blanks separate words, quotes and backslashes keep them together, ``;``
ends a command, and ``&`` ends a command that runs in the background. On Windows a backslash is a
part of a path. What the terminal shows as
``\\u200b`` may be typed so.
"""

import difflib
import os
import shlex
from typing import NamedTuple

from rede_p2p.cli.escapes import unescape_controls
from rede_p2p.errors import BadUsageError, UnknownCommandError

MAX_LINE_CHARS = 64 * 1024  # of what is typed: far more would take quadratic time
ALIASES = {
    "help": "ajuda", "?": "ajuda", "h": "ajuda",
    "sair": "quit", "exit": "quit", "bye": "quit", "q": "quit", "tchau": "quit",
    "dir": "ls", "listar": "ls", "list": "ls",
    "baixar": "get", "download": "get",
    "search": "buscar", "procurar": "buscar",
    "pares": "peers",
    "share": "compartilhar", "unshare": "remover",
    "diagnóstico": "diagnostico", "diagnose": "diagnostico", "doctor": "diagnostico",
    "jobs": "status", "cancel": "cancelar", "wait": "esperar",
}  # fmt: skip


class Command(NamedTuple):
    """A command: its name, no alias, and the words that follow."""

    name: str
    words: tuple[str, ...]
    background: bool = False


def parse(line: str, known: frozenset[str], *, windows: bool = os.name == "nt") -> list[Command]:
    """Return the commands of a line; raise BadUsageError, UnknownCommandError if not ``known``."""
    if len(line) > MAX_LINE_CHARS:
        raise BadUsageError("long")
    try:
        line.encode()
    except UnicodeEncodeError:  # Python reads a byte that is not UTF-8 as a lone surrogate
        raise BadUsageError("encoding", line) from None
    lexer = shlex.shlex(unescape_controls(line), posix=True, punctuation_chars=";&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.escape = "" if windows else "\\"
    try:
        words = list(lexer)
    except ValueError:
        raise BadUsageError("quotes", line) from None
    commands: list[Command] = []
    pending: list[str] = []
    for word in [*words, ";"]:
        if word.strip(";&") or not word:  # an empty text in quotes is a word
            pending.append(word)
        elif pending:
            commands.append(_command(pending, known, background="&" in word))
            pending = []
    return commands


def suggestion(word: str, known: frozenset[str], likeness: float = 0.5) -> str:
    """Return the command or alias that a mistyped word is most like, "" where it is like none."""
    return next(iter(difflib.get_close_matches(word, [*known, *ALIASES], 1, likeness)), "")


def _command(words: list[str], known: frozenset[str], *, background: bool) -> Command:
    word = words[0].casefold()
    name = ALIASES.get(word, word)
    if name not in known:
        raise UnknownCommandError(words[0], suggestion(word, known))
    return Command(name, tuple(words[1:]), background)
