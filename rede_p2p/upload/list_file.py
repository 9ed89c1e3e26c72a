"""The file ``meus_arquivos.txt``: its lines ``name path``, and the path that a line means.

Written by hand, in any editor: a line that is wrong is a ListProblem, and the rest still works.
"""

import os
import re
from binascii import unhexlify
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rede_p2p.content import disk
from rede_p2p.errors import DiskError
from rede_p2p.events import ListProblem

MAX_LIST_BYTES = 8 * 1024 * 1024  # a larger file is no list that somebody wrote
# A name and a path, each of them quoted or not. ``\\ `` is a blank in a name, as in a shell.
_LINE = re.compile(r'(?:"([^"]*)"|([^"\s](?:(?<=\\) |\S)*))\s*(?:"(.*)"|(.*))')
_PERCENT = re.compile(b"%([0-9a-fA-F]{2})")
_QUOTED = re.compile("'(.*)'")
_FILE_URL = re.compile(r"file:(?://(?:localhost)?)?(?=/)(?:/(?=[a-z]:))?(.*)", re.IGNORECASE)


class Line(NamedTuple):
    """One line of the list."""

    line: int  # its number, from 1
    name: str
    path: str


def read(list_path: Path) -> tuple[Line | ListProblem, ...]:
    """Read the list at a path; a list that cannot be read is one problem, of line 0."""
    try:
        data = load(list_path)
    except DiskError as error:
        return (ListProblem(str(list_path), 0, error.kind, str(list_path)),)
    return tuple(parse(str(list_path), data))


def load(list_path: Path) -> bytes:
    """Return the bytes of the list, as they are; raise DiskError, ``not-list`` if it is none."""
    with disk.open_regular(list_path) as file, disk.translate_os_errors(list_path):
        data = file.read(MAX_LIST_BYTES + 1)
    if len(data) > MAX_LIST_BYTES or b"\0" in _utf8(data):
        raise DiskError(str(list_path), "not-list")
    return data


def _utf8(data: bytes) -> bytes:
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return data.decode("utf-16", "replace").encode()  # as Windows' Notepad writes
    return data.removeprefix(BOM_UTF8)


def parse(list_path: str, data: bytes) -> Iterator[Line | ListProblem]:
    """Read a list: ``name path`` a line, the name quoted if it has blanks, ``#`` for comments."""
    for number, raw in enumerate(_utf8(data).splitlines(), start=1):
        try:
            text = raw.decode().strip()
        except UnicodeDecodeError:
            yield ListProblem(list_path, number, "encoding", raw.decode("latin-1").strip())
            continue
        if text and not text.startswith("#"):
            yield _parse_line(list_path, number, text)


def _parse_line(list_path: str, number: int, text: str) -> Line | ListProblem:
    match = _LINE.fullmatch(text)
    if match is None:
        return ListProblem(list_path, number, "quote", text)
    name, path = match[1] or (match[2] or "").replace("\\ ", " "), match[3] or match[4]
    if name and path:
        return Line(number, name, path)
    return ListProblem(list_path, number, "no-path", text)


def find(folder: Path, text: str) -> str:
    """Return the path that a line means: the text itself if it is there, else what it escapes.

    That is a ``file:`` URL, or a path as a shell takes it, in single quotes or with backslashes.
    """
    paths = (
        os.path.join(folder, expand_user(way(text)))  # noqa: PTH118
        for way in (str, _read_url, _unquote)
    )
    first = next(paths)
    if os.path.lexists(first):
        return first
    return next(filter(os.path.lexists, paths), first)


def expand_user(text: str) -> str:
    """Return a path with the ``~`` of a user as a folder, or as it is where there is no such user.

    No name that the system's encoding cannot hold is one of a user.
    """
    try:
        return os.path.expanduser(text)  # noqa: PTH111 - of one of 10,000 lines
    except ValueError:
        return text


def _read_url(text: str) -> str:
    url = _FILE_URL.fullmatch(text)
    if url is None:
        return text
    # Not by urllib.parse: importing it takes longer than reading a list.
    plain = _PERCENT.sub(lambda found: unhexlify(found[1]), url[1].encode())
    return plain.decode(errors="surrogateescape")


def _unquote(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    return quoted[1] if quoted else re.sub(r"\\(.)", r"\1", text)
