"""Names from strangers: which are safe, and what a download is called on the disk.

A name is refused, never repaired, and by one function at both ends: what the serving side would
not list, the receiving side would not write. The rules are those of the strictest system of the
network, so that one list means the same on Linux, macOS and Windows. No I/O.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator

from rede_p2p.errors import UnsafeNameError

MAX_NAME = 255  # bytes of UTF-8 in one part: what ext4, APFS and NTFS take
MAX_PATH = 1024  # bytes of UTF-8 in all, for a name inside a shared folder
PARTIAL = ".parte"

_RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(\..*)?", re.IGNORECASE
)
# Embeddings and isolates turn "gpj.exe" around on the screen.
_BIDI = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})


def check(name: str) -> str:
    """Return ``name`` if it may be shared and written; raise UnsafeNameError if not.

    A name is 1 to 255 bytes of UTF-8; one inside a shared folder is several such parts with ``/``
    between them, 1,024 bytes in all. A leading dot is refused because a download folder may be a
    home folder, where ``.bashrc`` would be a program; the ending ``.parte`` because a download on
    its way has it; a colon because Windows reads ``a:b`` as a hidden stream of ``a``.
    """
    plain = name.isascii() and name.isprintable()
    if not plain and any(unicodedata.category(c) in _UNPRINTABLE or c in _BIDI for c in name):
        raise UnsafeNameError(name, "control")
    if len(name.encode()) > MAX_PATH:
        raise UnsafeNameError(name, "long")
    for part in name.split("/"):
        kind = _fault(part)
        if kind:
            raise UnsafeNameError(name, kind)
    return name


def _fault(part: str) -> str:
    """Name the rule that one part breaks, or return an empty word."""
    faults = {
        "empty": not part.strip(),
        "dot": part.startswith("."),
        "separator": "\\" in part or ":" in part,
        "ending": part.endswith((".", " ")),
        "partial": part.casefold().endswith(PARTIAL),
        "reserved": _RESERVED.fullmatch(part) is not None,
        "long": len(part.encode()) > MAX_NAME,
    }
    return next((kind for kind, broken in faults.items() if broken), "")


def is_safe(name: str) -> bool:
    """Tell whether ``check`` lets the name pass."""
    try:
        check(name)
    except UnsafeNameError:
        return False
    return True


def partial(name: str) -> str:
    """Return the name of a download on its way: ``NAME.parte``, at most 255 bytes.

    A name too long for the ending is cut, and a digest of the whole keeps two such names apart.
    """
    if len(name.encode()) + len(PARTIAL) <= MAX_NAME:
        return name + PARTIAL
    mark = "~" + hashlib.sha256(name.encode()).hexdigest()[:8] + PARTIAL
    return _cut(name, MAX_NAME - len(mark)) + mark


def alternatives(name: str) -> Iterator[str]:
    """Yield the name, then ``stem (1).ext``, ``stem (2).ext`` … for when it is taken."""
    yield name
    dot = name.rfind(".")
    stem, ending = (name[:dot], name[dot:]) if dot > 0 else (name, "")
    for number in range(1, 10_000):
        tail = f" ({number}){ending}"
        if len(tail.encode()) >= MAX_NAME:
            tail, stem = f" ({number})", name
        yield _cut(stem, MAX_NAME - len(tail.encode())) + tail


def _cut(text: str, limit: int) -> str:
    """Cut to at most ``limit`` bytes of UTF-8, never inside a character."""
    return text.encode()[:limit].decode(errors="ignore")
