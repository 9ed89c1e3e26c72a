"""How the program starts from ``rede.pyz``, whose ``__main__`` calls ``enter``, then ``run``.

Python compiles the modules of such a file at each start, which takes longer than all the rest. So
the first start compiles them once into a copy in this user's cache, and the program runs from that.
The copy is one file, used only if nobody else can write it and its digest is right; where it cannot
be made, the program runs from ``rede.pyz`` itself.
"""

import hashlib
import importlib
import importlib.util
import io
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rede_p2p.content.cache_folder import cache_folder

TRACKER = "servidor"  # the first word, where the tracker is meant
_DIGEST_CHARS = 64  # at the end of a copy, where a zip has its comment
_HEADER = importlib.util.MAGIC_NUMBER + bytes(12)  # of compiled code that no source is beside


class Archive(NamedTuple):
    """The file that the program was started from: an absolute path, and its SHA-256 then."""

    path: str
    sha256: str


def enter(archive: str) -> Archive:
    """Have all modules come from the compiled copy of an archive, where there may be one."""
    data = Path(archive).read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    with suppress(OSError):
        copy = _copy_of(data, digest)
        if copy is not None:
            sys.path[0] = str(copy)
            for name in [name for name in sys.modules if name.partition(".")[0] == "rede_p2p"]:
                del sys.modules[name]  # this one, too: what comes now is the copy's
    return Archive(str(Path(archive).absolute()), digest)


def run() -> int:
    """Run the program that the first word says, with the others; return its exit status."""
    program = "Peers"
    if sys.argv[1:2] == [TRACKER]:
        program = "Servidor"
        del sys.argv[1]
    status: int = importlib.import_module(program).main()
    return status


def _copy_of(data: bytes, digest: str) -> Path | None:
    """Return the compiled copy of an archive for this Python, made if need be; raise OSError."""
    folder, kind = _private_folder(), sys.implementation.cache_tag
    if folder is None or kind is None:
        return None
    code = f"{kind}-{importlib.util.MAGIC_NUMBER.hex()}-{sys.flags.optimize}"
    path = folder / f"{digest[:32]}-{code}.zip"
    if not _is_whole(path):
        if sys.dont_write_bytecode:
            return None
        _make(data, path)
    return path if _is_whole(path) else None


def _private_folder() -> Path | None:
    """Return a folder that nobody else can write; None where there is none. Raises OSError."""
    base = cache_folder()
    if base is None:
        return None
    folder = base / "programa"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    return folder if stat.S_ISDIR(status.st_mode) and _is_private(status) else None


def _is_private(status: os.stat_result) -> bool:
    if os.name == "nt":  # where a user's own folders are closed to others
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _is_whole(path: Path) -> bool:
    """Tell whether there is a copy at a path, with all its bytes, that is ours alone."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or not _is_private(status):
            return False
        data = path.read_bytes()
    except OSError:
        return False
    digest = hashlib.sha256(data[:-_DIGEST_CHARS]).hexdigest()
    return digest.encode() == data[-_DIGEST_CHARS:]


def _make(data: bytes, path: Path) -> None:
    """Write the copy; raise OSError. A copy that another start makes meanwhile stays."""
    import tempfile

    path.unlink(missing_ok=True)  # it is not whole
    file, name = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(file, "wb") as target:
            target.write(_compiled(data))
        with suppress(FileExistsError):
            os.link(name, path)  # and not replaced: modules of that one may be imported yet
    finally:
        Path(name).unlink()


def _compiled(data: bytes) -> bytes:
    """Return an archive with the compiled code of each source, and its digest at the end."""
    import marshal
    import warnings
    import zipfile

    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as archive,
        zipfile.ZipFile(target, "w") as copy,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # of code that nobody may import
        copy.comment = b"0" * _DIGEST_CHARS
        for name in archive.namelist():
            folder, slash, module = name.rpartition("/")
            if module.endswith(".py") and module != "__main__.py":
                code = compile(archive.read(name), name, "exec", dont_inherit=True)
                copy.writestr(f"{folder}{slash}{module}c", _HEADER + marshal.dumps(code))
    whole = target.getvalue()[:-_DIGEST_CHARS]
    return whole + hashlib.sha256(whole).hexdigest().encode()
