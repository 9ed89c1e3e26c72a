"""Names from strangers: which are safe, and what a download is called on the disk.

A name is refused, never repaired, in two steps. ``check`` refuses what is unsafe on any system, at
both ends. ``windows_fault`` finds what Windows and FAT cannot hold; ``check_writable`` refuses that
for a receiver with such a disk.
"""

import difflib
import errno
import hashlib
import os
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from itertools import islice, takewhile
from pathlib import Path
from typing import TypeVar

from rede_p2p.content import disk
from rede_p2p.errors import DiskError, NameFault, UnsafeKind, UnsafeNameError

Place = TypeVar("Place", str, Path)  # for thousands of files, a Path costs more than the disk
MAX_PART_BYTES = 255  # bytes of UTF-8 in one part: what ext4, APFS and NTFS take
MAX_NAME_BYTES = 1024  # bytes of UTF-8 in all, for a name inside a shared folder
MAX_PARTS = 64  # of a name: each folder of it is made on the disk
MAX_PEER_NAME_BYTES = 64
PARTIAL_SUFFIX = ".parte"
MAX_COMPARED_NAMES = 1000  # with what was mistyped, and the characters of each
MAX_COMPARED_CHARS = 60

_DRIVE = re.compile("[a-z]:", re.IGNORECASE)
_NOT_ON_WINDOWS = re.compile('[<>:"|?*]')
_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?", re.IGNORECASE
)
# Embeddings and isolates of the Unicode bidirectional algorithm (UAX 9): they show "exe.jpg" for
# "gpj.exe".
_BIDI = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Letters and marks that show nothing (Default_Ignorable_Code_Point of Unicode, beside what is Cf):
# with one of them, a name looks the same and is another.
UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_JOINERS = re.compile("[\u200c\u200d]")  # which a screen shows as the letters' look alone
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
# What reads like an address, or cannot be typed where one may stand: a colon begins a port, ``-``
# an option, and the others make a mask.
_NO_PEER_NAME = re.compile(r"[:*?]|^-|\d\.\d+\.\d+\.\d|^localhost$")
_NUMBER = re.compile(r"0x[\da-f]*|\d*")


def check(name: str) -> str:
    """Return ``name`` if it may be shared and written; raise UnsafeNameError if not.

    A name is 1 to 255 bytes of UTF-8; one inside a shared folder is several such parts with ``/``
    between them, 64 of them and 1,024 bytes in all. A leading dot is refused because a download
    folder may be a home folder, where ``.bashrc`` would be a program; the ending ``.parte`` because
    partial files have it; ``C:`` because Windows reads the rest as a path on that drive.
    """
    if has_controls(name):
        raise UnsafeNameError(name, "control")
    if len(name.encode()) > MAX_NAME_BYTES or name.count("/") >= MAX_PARTS:
        raise UnsafeNameError(name, "long")
    for part in name.split("/"):
        kind = _fault(part)
        if kind:
            raise UnsafeNameError(name, kind)
    return name


def has_controls(text: str) -> bool:
    """Tell whether a text has control or bidirectional characters, the same on every Python."""
    return not text.isprintable() and any(
        unicodedata.category(c) in _UNPRINTABLE or c in _BIDI for c in text
    )


def _fault(part: str) -> UnsafeKind | None:
    """Return the rule that one part breaks, or None."""
    if not part.strip():
        return "empty"
    if part.startswith("."):
        return "dot"
    if "\\" in part:
        return "separator"
    if _DRIVE.match(part):
        return "drive"
    if part.casefold().endswith(PARTIAL_SUFFIX):
        return "partial"
    return "long" if len(part.encode()) > MAX_PART_BYTES else None


def windows_fault(name: str) -> tuple[NameFault, str] | None:
    """Return what Windows and FAT cannot hold in a safe name, and the text that is it, or None."""
    found = _NOT_ON_WINDOWS.search(name)
    if found:
        return "name-character", found[0]
    for part in name.split("/"):
        if part.endswith((".", " ")):
            return "name-ending", part
        if _RESERVED.fullmatch(part):
            return "name-reserved", part
    return None


def check_writable(name: str, folder: Path, *, windows: bool = os.name == "nt") -> str:
    """Return a safe name that the disk of a download folder holds as it is.

    Raises UnsafeNameError, and DiskError: of the kind that ``windows_fault`` found where the system
    is Windows or the disk refuses such names, as FAT does; ``name`` where the system's encoding has
    no such characters.
    """
    fault = windows_fault(check(name))
    try:
        os.fsencode(name)
    except UnicodeEncodeError as error:
        raise DiskError(name, "name") from error
    if fault and (windows or not _holds(fault[1][:1], _place_of(name, folder))):
        raise DiskError(name, *fault)
    return name


def _place_of(name: str, folder: Path) -> Path:
    """Return the folder that a name leads to, or the nearest; not one that a link leads to."""
    place = disk.nearest((folder / name).parent)
    return folder if place.is_relative_to(folder) and disk.has_link(folder, place) else place


def _holds(mark: str, folder: Path) -> bool:
    """Tell whether a folder takes a name with that character, by a file that is made and removed.

    For a blank, a dot or a letter it is tried with ``?``: FAT drops a last dot without a word.
    """
    mark = mark if mark in '<>:"|*' else "?"
    probe = folder / f"~{os.urandom(8).hex()}{mark}{PARTIAL_SUFFIX}"
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        probe.unlink()
    except OSError as error:  # another reason will be told by whoever writes the file
        return error.errno not in (errno.EINVAL, errno.EILSEQ, errno.ENOENT)
    return True


def normal_form(text: str) -> str:
    """Return what all texts have in common that look and are typed the same.

    Accents are composed (NFC of UAX 15; macOS decomposes them), and every run of blanks, no-break
    ones too, is one space; there is none at the ends, where nobody sees it.
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def matching(typed: str, names: Collection[str]) -> list[str]:
    """List which of the names is meant: the one that is typed, else those that look the same."""
    if typed in names:
        return [typed]
    form = normal_form(typed)
    return [name for name in names if normal_form(name) == form]


def peer_name(text: str) -> str:
    """Return what a peer or a tracker is called, or "" for what cannot be the name of one.

    The name has one form for all that look the same. It has a letter, so that none reads like an
    address, a port or the number of a row, in whatever digits.
    """
    seen = "" if len(text) > MAX_NAME_BYTES else _JOINERS.sub("", UNSEEN.sub("", text))
    name = "" if has_controls(seen) else normal_form(seen)
    if len(name.encode()) > MAX_PEER_NAME_BYTES or not any(map(str.isalpha, name)):
        return ""
    plain = unicodedata.normalize("NFKC", name).casefold()
    numbers = all(map(_NUMBER.fullmatch, plain.split(".")))
    return "" if numbers or _NO_PEER_NAME.search(plain) else name


def nearest(typed: str, names: Iterable[str]) -> str:
    """Return the name, or the outermost folder of one, that a mistyped one is most like, or "".

    Of very many names, those that begin otherwise are left out: strangers may have given them.
    """

    def form(name: str) -> str:
        return normal_form(name[:MAX_COMPARED_CHARS]).casefold()

    word = form(typed)
    names = set(names)
    folders = {name.partition("/")[0] for name in names if "/" in name}
    forms = {form(name): name for name in names | folders}
    compared = sorted(forms, key=lambda other: other[:2] != word[:2])[:MAX_COMPARED_NAMES]
    return next((forms[near] for near in difflib.get_close_matches(word, compared, 1)), "")


def is_safe(name: str) -> bool:
    """Tell whether ``check`` lets the name pass."""
    try:
        check(name)
    except UnsafeNameError:
        return False
    return True


def partial(name: str) -> str:
    """Return the name of a partial file: ``NAME.parte``, at most 255 bytes.

    A name too long for the ending is cut, and a digest of the whole keeps two such names apart.
    """
    if len(name.encode()) + len(PARTIAL_SUFFIX) <= MAX_PART_BYTES:
        return name + PARTIAL_SUFFIX
    mark = "~" + hashlib.sha256(name.encode()).hexdigest()[:8] + PARTIAL_SUFFIX
    return _cut(name, MAX_PART_BYTES - len(mark)) + mark


def fold(name: str) -> str:
    """Return what is the same for all names that some disk takes for one (Unicode 3.13, D146)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def alternatives(name: str) -> Iterator[str]:
    """Yield the name, then ``stem (1).ext``, ``stem (2).ext`` … for when it is taken."""
    yield name
    dot = name.rfind(".")
    stem, ending = (name[:dot], name[dot:]) if dot > 0 else (name, "")
    for number in range(1, 10_000):
        tail = f" ({number}){ending}"
        if len(tail.encode()) >= MAX_PART_BYTES:
            tail, stem = f" ({number})", name
        yield _cut(stem, MAX_PART_BYTES - len(tail.encode())) + tail


def path_of(final: Place) -> Place:
    """Return where the file that will be ``final`` grows."""
    folder, name = os.path.split(final)
    return type(final)(os.path.join(folder, partial(name)))  # noqa: PTH118


def finals(wanted: Place) -> Iterator[Place]:
    """Yield the names that a download may get, the wanted one first."""
    yield wanted
    folder, name = os.path.split(wanted)
    for other in islice(alternatives(name), 1, None):
        yield type(wanted)(os.path.join(folder, other))  # noqa: PTH118


def taken(wanted: Place) -> Iterator[Place]:
    """Yield those names, up to the first that is free."""
    return takewhile(os.path.lexists, finals(wanted))


def _cut(text: str, limit: int) -> str:
    """Cut to at most ``limit`` bytes of UTF-8, never inside a character."""
    return text.encode()[:limit].decode(errors="ignore")
