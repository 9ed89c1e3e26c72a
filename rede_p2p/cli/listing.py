"""What the words of ``ls`` choose and how it is shown: masks, ``-l``, ``-S``, ``-1``. No I/O."""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from rede_p2p.cli import texts
from rede_p2p.content.safe_names import nearest
from rede_p2p.download import resolve
from rede_p2p.errors import BadUsageError, NoSuchFileError

Row = TypeVar("Row")


@dataclass(frozen=True)
class View:
    """How a list is shown: ``exact`` with all digits, ``largest_first`` or by name.

    ``bare``: the names alone.
    """

    exact: bool = False
    largest_first: bool = False
    bare: bool = False

    def size(self, length: int) -> str:
        """Return a number of bytes, with its unit or exactly."""
        return str(length) if self.exact else texts.size(length)

    def root(self, digest: bytes | None) -> str:
        """Return a root, short or whole."""
        return digest.hex() if self.exact and digest else texts.root(digest)

    def order(
        self, rows: Iterable[Row], name: Callable[[Row], str], size: Callable[[Row], int]
    ) -> list[Row]:
        """Return the rows in the order in which they are shown."""
        by_name = sorted(rows, key=lambda row: name_key(name(row)))
        return sorted(by_name, key=lambda row: -size(row)) if self.largest_first else by_name


def name_key(name: str) -> list[str | int]:
    """Return what names are sorted by: the letters without their case, numbers by their value."""
    parts = re.split("([0-9]+)", unicodedata.normalize("NFD", name.casefold()))
    return [int(part) if at % 2 else part for at, part in enumerate(parts)]


def read(words: Sequence[str]) -> tuple[list[str], View]:
    """Split the words of an ``ls`` from its options; raise BadUsageError."""
    options = [word for word in words if word.startswith("-")]
    letters = {letter for word in options for letter in word[1:] or "-"}
    if not letters <= {"l", "S", "1"}:
        raise BadUsageError("ls", " ".join(options))
    rest = [word for word in words if not word.startswith("-")]
    return rest, View("l" in letters, "S" in letters, "1" in letters)


def is_mask(word: str) -> bool:
    """Tell whether a word means names of files, and no peer."""
    return any(mark in word for mark in "*?")


def chosen(masks: Sequence[str], names: Collection[str], where: str) -> set[str]:
    """Return the names that the masks mean, as in ``get``: all of them where there is no mask.

    Raises NoSuchFileError for a mask that means none.
    """
    if not masks:
        return set(names)
    found = {mask: resolve.names_meant(mask, names) for mask in masks}
    for mask, meant in found.items():
        if not meant:
            near = "" if is_mask(mask) else nearest(mask, names)
            raise NoSuchFileError(mask, where, near)
    return {name for meant in found.values() for name in meant}
