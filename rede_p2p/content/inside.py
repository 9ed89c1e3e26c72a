"""What is in a folder, reached with no link followed on the way, even if it is swapped meanwhile.

A path is looked up anew each time, and a folder in it may be a link by then. Where the system can,
each folder is opened in the one before it, and all that is in it is reached from there.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from stat import S_ISLNK, S_ISREG
from typing import NamedTuple

from rede_p2p.content import disk
from rede_p2p.content.disk import FileState
from rede_p2p.errors import DiskError

_FOLDER = getattr(os, "O_DIRECTORY", 0)
_NO_LINK = _FOLDER | getattr(os, "O_NOFOLLOW", 0)
# What is in a folder may be reached where it may not be listed; Linux alone opens it for that.
_REACHED = getattr(os, "O_PATH", os.O_RDONLY)
_KNOWN = (  # not by Windows
    hasattr(os, "O_NOFOLLOW")
    and {os.open, os.stat, os.mkdir, os.link, os.rename, os.unlink} <= os.supports_dir_fd
    and os.listdir in os.supports_fd
)
_NO_LINKS = (  # how disks say that they have no hard links
    *(errno.EPERM, errno.EACCES, errno.EMLINK, errno.EXDEV, errno.EINVAL),
    *(errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP),
)


_AT_FDCWD, _RENAME_NOREPLACE = -100, 1  # of renameat2(2)


class Place(NamedTuple):
    """A folder that is held; what is in it is reached by ``way(name)`` from ``fd``."""

    path: str
    fd: int | None  # None where the system has none, or the folder need not be held

    def way(self, name: str) -> str:
        """Return by what path a name in it is reached."""
        return os.path.join(self.path, name) if self.fd is None else name  # noqa: PTH118


@contextmanager
def folder(
    top: str | None, path: str, *, make: bool = False, listed: bool = False
) -> Iterator[Place]:
    """Hold a folder that is in ``top``, or ``top`` itself, which alone may be a link.

    ``make``: with those that it is in, it is made where it is missing. ``listed``: its names will
    be asked for. With no ``top`` it is not held, and any link is followed; where the system cannot
    hold it, it was only looked for links. Raises OSError, and DiskError ``link-folder``.
    """
    if top is None or not _KNOWN:
        if top is not None and disk.has_link(top, path):
            raise DiskError(path, "link-folder")
        if make and not os.path.isdir(path):  # noqa: PTH112 - for thousands of files
            os.makedirs(path or os.curdir, exist_ok=True)  # noqa: PTH103
        yield Place(path, None)
        return
    parts = Path(path).relative_to(top).parts
    fd = _open(top, None, _FOLDER | _REACHED, path, make=make)
    try:
        for part in (*parts, os.curdir) if listed else parts:
            how = os.O_RDONLY if part == os.curdir else _REACHED
            inner = _open(part, fd, _NO_LINK | how, path, make=make)
            os.close(fd)
            fd = inner
        yield Place(path, fd)
    finally:
        os.close(fd)


class Holder:
    """Holds one folder in ``top`` after another: of many files in a row, most are in the same."""

    def __init__(self, top: str | None) -> None:
        self.top = top
        self._held = ExitStack()
        self._place: Place | None = None
        self._status: os.stat_result | None = None  # of the folder; None where it is not held

    def folder(self, path: str) -> Place:
        """Return a folder, held until the next one is, or ``release``; raise as ``folder``."""
        if self._place is None or not self._is_still(self._place, path):
            self.release()
            self._place = place = self._held.enter_context(folder(self.top, path))
            self._status = None if place.fd is None else os.fstat(place.fd)
        return self._place

    def _is_still(self, place: Place, path: str) -> bool:
        """Tell whether a path leads to the folder that is held: it may have been moved away."""
        if place.path != path or self._status is None:
            return False
        with suppress(FileNotFoundError, NotADirectoryError):
            return os.path.samestat(os.lstat(path), self._status)
        return False

    def release(self) -> None:
        """Hold none."""
        self._place = None
        self._held.close()


def _open(way: str, fd: int | None, how: int, path: str, *, make: bool) -> int:
    """Open a folder that leads to ``path``, in an open one if there is ``fd``."""
    try:
        return os.open(way, how, dir_fd=fd)
    except FileNotFoundError:
        if not make:
            raise
        if fd is None:
            os.makedirs(way, exist_ok=True)  # noqa: PTH103
        else:
            with suppress(FileExistsError):  # another download has made it, or it is a link now
                os.mkdir(way, dir_fd=fd)
        return _open(way, fd, how, path, make=False)
    except OSError:
        if fd is not None and S_ISLNK(os.stat(way, dir_fd=fd, follow_symlinks=False).st_mode):
            raise DiskError(path, "link-folder") from None
        raise


def entries(top: str, path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is in a folder in ``top``, by name, with what lstat tells; raise as ``folder``."""
    with folder(top, path, listed=True) as place:
        for name in sorted(names(place)):
            with suppress(FileNotFoundError):  # it has just gone
                yield name, lstat(place, name)


def names(place: Place) -> list[str]:
    """List what is in a folder that is held ``listed``; raise OSError."""
    return os.listdir(place.path if place.fd is None else place.fd)  # noqa: PTH208


def lstat(place: Place, name: str) -> os.stat_result:
    """Tell of what is in a folder that is held; raise OSError."""
    return os.stat(place.way(name), dir_fd=place.fd, follow_symlinks=False)


def file_state(top: str, path: str) -> FileState | None:
    """Return the state of a regular file in ``top``, or None where there is none."""
    parent, name = os.path.split(path)
    with suppress(OSError, ValueError, DiskError), folder(top, parent) as place:
        status = lstat(place, name)
        return disk.state_of_status(status) if S_ISREG(status.st_mode) else None
    return None


def holds(place: Place, name: str, descriptor: int, top: str | None) -> bool:
    """Tell whether a name in a folder that is held, in ``top``, leads to an open file."""
    if place.fd is None and top is not None and disk.has_link(top, place.path):
        return False
    with suppress(FileNotFoundError):
        return os.path.samestat(lstat(place, name), os.fstat(descriptor))
    return False


def unlink(place: Place, name: str) -> None:
    """Remove a file of a folder that is held; raise OSError."""
    os.unlink(place.way(name), dir_fd=place.fd)


def replace(place: Place, old: str, new: str) -> None:
    """Give a file of a folder that is held the name of another; raise OSError."""
    os.replace(place.way(old), place.way(new), src_dir_fd=place.fd, dst_dir_fd=place.fd)


def link_open(descriptor: int, old: str, place: Place, name: str) -> None:
    """Give an open file one more name, which must be free; raise OSError, NotImplementedError.

    Linux links the file that is open, be it called ``old`` in that folder, moved, or without a name
    (open(2)).
    """
    if disk.NAMES_OPEN_FILES:
        # Python has the link followed only where a folder is given; the system ignores the
        # folder, because the path is absolute.
        itself = f"{disk.OPEN_FILES}/{descriptor}"
        way = place.way(name)
        os.link(itself, way, src_dir_fd=descriptor, dst_dir_fd=place.fd, follow_symlinks=True)
    else:
        both = place.way(old), place.way(name)
        os.link(*both, src_dir_fd=place.fd, dst_dir_fd=place.fd, follow_symlinks=False)


def move(descriptor: int, old: str, place: Place, name: str) -> None:
    """Give an open file of that folder another name, which must be free; raise OSError."""
    try:
        link_open(descriptor, old, place, name)
    except (OSError, NotImplementedError) as error:
        if not has_no_links(error):
            raise
        _rename_to_free(place.way(old), place.way(name), place.fd)
    else:
        unlink(place, old)


def has_no_links(error: Exception) -> bool:
    """Tell whether ``link_open`` failed because the disk has no hard links."""
    return isinstance(error, NotImplementedError) or (
        isinstance(error, OSError) and error.errno in _NO_LINKS
    )


def _rename_to_free(old: str, new: str, folder: int | None) -> None:
    """Rename a file to a name that must be free, where there are no hard links; raise OSError.

    The two are names in an open ``folder``, if there is one.

    renameat2(2) refuses a taken name. On a disk that does not know it, an empty file, which is
    made only where there is none, holds the name for the rename.
    """
    with suppress(ImportError, AttributeError):  # a Python or a C library without them
        import ctypes  # takes long, and few disks need it

        place = _AT_FDCWD if folder is None else folder
        names = (place, os.fsencode(old), place, os.fsencode(new))
        if ctypes.CDLL(None, use_errno=True).renameat2(*names, _RENAME_NOREPLACE) == 0:
            return
        error = ctypes.get_errno()
        if error not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(error, os.strerror(error))
    os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, dir_fd=folder))
    try:
        os.rename(old, new, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(new, dir_fd=folder)
        raise
