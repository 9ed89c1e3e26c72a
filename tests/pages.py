"""What README.md, README.en.md and docs/*.md have to type: blocks, tables, words in sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from conftest import ROOT

from rede_p2p.cli import shell
from rede_p2p.cli.commands import COMMANDS

PAGES = [ROOT / "README.md", ROOT / "README.en.md", *sorted((ROOT / "docs").glob("*.md"))]
PROMPTS = "rede>", "$"
MENU = frozenset({*COMMANDS, *shell.ALIASES, "quit"})
# What cannot be typed as it stands: there is an argument to think of.
TEMPLATE = re.compile(r"[<…\[]|\b[A-ZÇÃÉ]{2,}\b")
PROGRAM = re.compile(
    r"(sudo|git|pipx?|py|printf|nc|head|sha256sum|python[\d.]*|rede-(peers|servidor)|netsh"
    r"|[A-Z_]+=\S+|\S*\.venv/bin/\S+)(?= )|\. "
)


@dataclass
class Block:
    """What stands between two fences."""

    page: str
    line: int
    language: str
    lines: list[str]
    section: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_session(self) -> bool:
        """Whether it is what somebody types at a prompt, with or without what comes of it."""
        return any(line.partition(" ")[0] in PROMPTS for line in self.lines)


class Command(NamedTuple):
    """A line of a shell; or what is typed in the menu, of a row of a table all of it."""

    page: str
    line: int
    text: str
    is_menu: bool

    def __str__(self) -> str:
        return f"{self.page}:{self.line} {self.text}"


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [part for part in _parts(page) if isinstance(part, Block)]


def commands_of(page: Path) -> Iterator[Command]:
    """Yield each command of a page, but for those of sessions."""
    of_commands = False
    for part in _parts(page):
        if isinstance(part, Block):
            if part.language in ("sh", "powershell"):
                for line in part.lines:
                    yield Command(page.name, part.line, re.sub(r"\s+# .*", "", line), False)
            continue
        number, text = part
        if not text.startswith("|"):
            of_commands = False
        elif re.match(r"\| (comando|command) \|", text):
            of_commands = True
        elif of_commands and not text.startswith("|---"):
            first, text = re.findall(r"(?<=\|)(?:\\\||[^|])*", text)[:2]
            yield Command(page.name, number, "; ".join(_spans(first)), True)
        yield from _in_words(page, number, text)


def _parts(page: Path) -> Iterator[Block | tuple[int, str]]:
    """Yield the blocks, the rows of tables, and the paragraphs, with their lines' numbers."""
    section = ""
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
    for kind, group in groupby(lines, _kind_of_line()):
        numbers, texts = zip(*group, strict=True)
        if kind == "title":
            section = texts[-1].lstrip("# ")
        elif kind == "row":
            yield from zip(numbers, texts, strict=True)
        elif kind == "words":
            yield numbers[0], " ".join(texts)
        elif kind:  # the number of a block
            assert texts[-1].startswith("```"), f"{page.name}: a fence stays open"
            language = texts[0][3:].strip()
            yield Block(page.name, numbers[0], language, list(texts[1:-1]), section)


def _kind_of_line() -> Callable[[tuple[int, str]], str]:
    """Return what tells the kind of one line after another; those of one block have its number."""
    inside = ""

    def kind(numbered: tuple[int, str]) -> str:
        nonlocal inside
        number, line = numbered
        if line.startswith("```"):
            now, inside = inside or str(number), "" if inside else str(number)
            return now
        if inside:
            return inside
        return {"": "", "|": "row", "#": "title"}.get(line[:1], "words")

    return kind


def _spans(text: str) -> list[str]:
    return [span.replace("\\|", "|") for span in re.findall("`([^`]+)`", text)]


def _in_words(page: Path, number: int, text: str) -> Iterator[Command]:
    """Yield the commands with arguments among other words."""
    of_users = page.name.startswith(("README", "COMANDOS"))  # others name requests alike
    for span in _spans(text):
        is_menu = of_users and span.partition(" ")[0] in MENU and " " in span
        if PROGRAM.match(span) or (is_menu and not TEMPLATE.search(span)):
            yield Command(page.name, number, span, is_menu)
