"""Files: opening what may be served, writing what may be lost, publishing without overwriting.

This is the border with the file system: an OSError leaves it as a DiskError.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rede_p2p import names
from rede_p2p.errors import DiskError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ModuleNotFoundError:  # everywhere else
    msvcrt = None  # type: ignore[assignment]

_KINDS = {
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EROFS: "denied",
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "full",
    errno.ENOENT: "missing",
    errno.ENOTDIR: "not-folder",
    errno.EEXIST: "not-folder",
    errno.ENAMETOOLONG: "name",
    errno.ELOOP: "link",
}


class Stamp(NamedTuple):
    """What tells one state of a file from another, without reading it."""

    size: int  # bytes
    mtime_ns: int
    inode: int


def stamp_of(status: os.stat_result) -> Stamp:
    """Return the stamp in what the system tells of a file."""
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)


def stamp(path: Path | str) -> Stamp | None:
    """Return the stamp of a regular file, or None where there is none."""
    with suppress(OSError, ValueError):
        status = os.stat(path)  # noqa: PTH116 - ten thousand of these are made in a row
        if stat.S_ISREG(status.st_mode):
            return stamp_of(status)
    return None


@contextmanager
def border(path: Path | str) -> Iterator[None]:
    """Turn the system's errors about ``path`` into a DiskError."""
    try:
        yield
    except OSError as error:
        kind = _KINDS.get(error.errno or 0, "other")
        raise DiskError(str(path), kind, error.strerror or str(error)) from error


def open_regular(path: Path | str) -> BinaryIO:
    """Open a file for reading; a named pipe or a device is refused, and never waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with border(path):
        descriptor = os.open(path, flags)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)  # fdopen() would refuse a folder, and leave it open
            raise DiskError(str(path), "not-file")
        return os.fdopen(descriptor, "rb", buffering=0)


def partial_path(folder: Path, name: str) -> Path:
    """Return where ``name`` grows while it is on its way."""
    inside = folder / name
    return inside.with_name(names.partial(inside.name))


@contextmanager
def open_partial(path: Path) -> Iterator[BinaryIO]:
    """Open ``NAME.parte`` for reading and writing, and keep every other program out of it.

    It is made if it is not there, and so is its folder. Raises DiskError: ``busy`` when another
    download is writing it, ``link`` when it is a symbolic link, which is never followed.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with border(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            with os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0) as file:
                _lock(file, path)
                if not _is_at(file, path):
                    continue  # published by another program between our open and our lock
                if os.fstat(file.fileno()).st_nlink > 1 and os.name != "nt":
                    # A program died between the two halves of publish(): these bytes also have
                    # a final name, and nobody may write to them any more.
                    path.unlink()
                    continue
                yield file
                return


def publish(file: BinaryIO, path: Path, target: Path) -> bool:
    """Give an open, finished partial file its final name; False if that name is taken.

    The bytes are flushed first. No existing entry is ever replaced, not even a broken link.
    """
    with border(target):
        os.fsync(file.fileno())
        if os.name == "nt":
            file.close()  # Windows renames no open file; elsewhere the lock must outlive the name
        try:
            os.link(path, target, follow_symlinks=False)
        except FileExistsError:
            return False
        except (OSError, NotImplementedError):  # a file system without hard links
            if os.path.lexists(target):
                return False
            path.rename(target)
        else:
            path.unlink()
        sync_folder(target.parent)
        return True


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system lets a folder be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def free_space(folder: Path) -> int:
    """Return how many bytes can still be written in a folder, or in its nearest parent."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    with border(folder):
        return shutil.disk_usage(folder).free


def _lock(file: BinaryIO, path: Path) -> None:
    """Lock a whole file until it is closed; the system frees it if the program dies."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt is not None:
            # A byte far beyond any content: Windows locks forbid reading what they cover.
            os.lseek(file.fileno(), 2**62, os.SEEK_SET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            os.lseek(file.fileno(), 0, os.SEEK_SET)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK):
            raise DiskError(str(path), "busy") from error
        raise


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Tell whether the open file is still the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False
