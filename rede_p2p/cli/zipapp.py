"""The whole program in one file, ``rede.pyz``: the zipapp that the tracker hands out.

Python runs such a file; it has our sources, and rich's. The bytes are the same wherever the same
sources run: times, order and permissions are fixed, and nothing is compressed, because two versions
of zlib may compress differently. They are made at the first use, and kept.
"""

import hashlib
import importlib.util
import io
import sys
import zipfile
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from rede_p2p.cli import installation
from rede_p2p.cli.installation import ZIPAPP
from rede_p2p.cli.zipapp_main import Archive
from rede_p2p.content import disk
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.safe_names import path_of
from rede_p2p.errors import BadUsageError, DiskError
from rede_p2p.events import Post, ProgramPacked

_MAIN = b'''"""Starts the program that is in this file; any Python 3 reads this much."""
import sys

import rede_p2p  # which ends with a sentence where it cannot run
from rede_p2p.cli import zipapp_main

REDE_PYZ = zipapp_main.enter(__spec__.loader.archive)
sys.exit(zipapp_main.run())
'''
LICENSE = """MIT License

Copyright (c) 2026 os autores da Rede P2P (rede_p2p, Peers.py, Servidor.py)
Copyright (c) 2020 Will McGugan (rich)

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


class Packed(NamedTuple):
    """The bytes of the file, and their SHA-256 in hexadecimal."""

    data: bytes
    sha256: str


_lock = Lock()  # guards _packed
_packed: Packed | None = None


def packed(post: Post) -> Packed:
    """Return this program in one file; any thread may call this. Raises DiskError.

    The first call makes it, in some 0.1 s, and posts its digest.
    """
    global _packed
    with _lock:  # who comes meanwhile waits for the same bytes
        if _packed is None:
            _packed = _handed_on() if installation.is_in_one_file() else make(_sources())
            post(ProgramPacked(ZIPAPP, _packed.sha256))
        return _packed


def write(wanted: Path, made: Packed) -> Path:
    """Write it to a path, or into a folder; return where it is. No other file is replaced.

    Raises BadUsageError where another file has that name, and DiskError.
    """
    path = wanted / ZIPAPP if wanted.is_dir() else wanted

    def is_same(place: Path) -> bool:
        with disk.translate_os_errors(place), disk.open_regular(place) as file:
            if file.read(len(made.data) + 1) == made.data:
                return True
        raise BadUsageError("empacotar", str(place))

    if path.exists() and is_same(path):
        return path
    with PartialFile(path_of(path)) as partial:
        try:
            partial.write_whole(made.data)
            partial.flush()
            return partial.publish(iter([path]), is_same)
        except (BadUsageError, DiskError):
            partial.discard()
            raise


def make(sources: dict[str, bytes]) -> Packed:
    """Put files, by their names in it, into one archive that Python runs."""
    files = {"__main__.py": _MAIN, "LICENSE.txt": LICENSE.encode(), **sources}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name)  # of 1980, the first time that there is
            info.create_system, info.external_attr = 3, 0o100644 << 16  # as on Unix, everywhere
            archive.writestr(info, files[name])
    return _with_digest(target.getvalue())


def _sources() -> dict[str, bytes]:
    """Read the files of this installation; raise DiskError."""
    place = installation.PLACE
    files = {name: place / name for name in ("Peers.py", "Servidor.py")}
    rich = importlib.util.find_spec("rich")
    assert rich is not None and rich.origin is not None
    for name, folder in (("rede_p2p", place / "rede_p2p"), ("rich", Path(rich.origin).parent)):
        for path in folder.rglob("*.py"):
            files[f"{name}/{path.relative_to(folder).as_posix()}"] = path
    sources = {}
    for name, path in files.items():
        with disk.translate_os_errors(path):  # git may write other line ends on Windows
            sources[name] = path.read_bytes().replace(b"\r\n", b"\n")
    return sources


def _handed_on() -> Packed:
    """Return the file that this program was started from, if it is still the same."""
    started: Archive | None = getattr(sys.modules["__main__"], "REDE_PYZ", None)
    if started is None:  # another program imports ours from there
        raise DiskError(str(installation.PLACE), "missing")
    path = Path(started.path)
    with disk.translate_os_errors(path):
        found = _with_digest(path.read_bytes())
    if found.sha256 != started.sha256:
        raise DiskError(str(path), "changed")
    return found


def _with_digest(data: bytes) -> Packed:
    return Packed(data, hashlib.sha256(data).hexdigest())
