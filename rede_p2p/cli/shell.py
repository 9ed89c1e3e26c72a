"""A line that somebody typed → commands: words, quotes, aliases, and a guess at what was meant.

No I/O. The quoting is the shell's: blanks separate words, quotes and backslashes keep them
together, ``;`` ends a command, and ``&`` ends one that goes to the background.
"""

from __future__ import annotations

import difflib
import shlex
from dataclasses import dataclass

from rede_p2p.errors import BadUsageError, UnknownCommandError

ALIASES = {
    "help": "ajuda", "?": "ajuda", "h": "ajuda",
    "sair": "quit", "exit": "quit", "bye": "quit", "q": "quit", "tchau": "quit",
    "dir": "ls", "listar": "ls",
    "baixar": "get",
    "search": "buscar", "procurar": "buscar",
    "pares": "peers",
    "jobs": "status", "cancel": "cancelar", "wait": "esperar",
}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command by its own name, and its words."""

    name: str
    words: tuple[str, ...]
    background: bool = False


def parse(line: str, known: frozenset[str]) -> list[Command]:
    """Cut a line into commands; raise BadUsageError or UnknownCommandError."""
    try:
        line.encode()
    except UnicodeEncodeError:  # a byte that is no UTF-8 came in as a lone surrogate
        raise BadUsageError("encoding", line) from None
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        raise BadUsageError("quotes", line) from None
    commands: list[Command] = []
    pending: list[str] = []
    for word in [*words, ";"]:
        if word.strip(";&") or not word:  # an empty word in quotes is a word
            pending.append(word)
        elif pending:
            commands.append(_command(pending, known, background="&" in word))
            pending = []
    return commands


def _command(words: list[str], known: frozenset[str], *, background: bool) -> Command:
    word = words[0].casefold()
    name = ALIASES.get(word, word)
    if name not in known:
        near = difflib.get_close_matches(word, [*known, *ALIASES], n=1, cutoff=0.5)
        raise UnknownCommandError(words[0], near[0] if near else "")
    return Command(name, tuple(words[1:]), background)
