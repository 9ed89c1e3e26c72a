"""The border with the file system: an OSError leaves it as a DiskError."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from contextlib import suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, NamedTuple

from rede_p2p.errors import DiskError

try:
    import resource
except ModuleNotFoundError:  # Windows, which has no such limit
    resource = None  # type: ignore[assignment]

DESCRIPTORS = 4096  # open at once: connections, and files that await one flush together

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
    # Some file systems number beyond 63 bits, where the database ends.
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino & (2**63 - 1))


def stamp_of_open(file: BinaryIO) -> Stamp:
    """Return the stamp of an open file."""
    return stamp_of(os.fstat(file.fileno()))


def stamp(path: Path | str, *, links: bool = True) -> Stamp | None:
    """Return the stamp of a regular file, or None where there is none; ``links`` are followed."""
    try:
        # Ten thousand of these are made in a row.
        status = os.stat(path, follow_symlinks=links)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return stamp_of(status) if stat.S_ISREG(status.st_mode) else None


class border:  # noqa: N801 - it is used as a function, many times for each small file
    """Turn the system's errors about ``path`` into a DiskError; used by ``with``."""

    def __init__(self, path: Path | str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError):
            why = _KINDS.get(error.errno or 0, "other")
            raise DiskError(str(self._path), why, error.strerror or str(error)) from error


def open_regular(path: Path | str) -> BinaryIO:
    """Open a file for reading; a named pipe or a device is refused, and never waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with border(path):
        if not hasattr(os, "O_NONBLOCK") and not stat.S_ISREG(Path(path).stat().st_mode):
            raise DiskError(str(path), "not-file")
        descriptor = os.open(path, flags)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)  # fdopen() would refuse a folder, and leave it open
            raise DiskError(str(path), "not-file")
        return FileIO(descriptor, "rb")


def read_at(file: BinaryIO, start: int, count: int) -> bytes:
    """Read a range of an open file; less of it where the file ends."""
    with border(file.name):
        file.seek(start)
        return file.read(count)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system lets a folder be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_everything() -> bool:
    """Make all that was written durable, where one call does and waits for it."""
    if sys.platform != "linux" or not hasattr(os, "sync"):
        return False
    os.sync()
    return True


def free_space(folder: Path) -> int:
    """Return how many bytes can still be written in a folder, or in its nearest parent."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    with border(folder):
        return shutil.disk_usage(folder).free


def allow_descriptors() -> None:
    """Take as many descriptors as the system grants, up to DESCRIPTORS: macOS begins with 256."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < enough:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
