"""Looking at what is in a folder with no link followed on the way, even if it is swapped meanwhile.

A path is looked up anew each time, and a folder in it may be a link by then. Where the system can,
each folder is opened in the one before it, and what is in it is looked at from there.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from rede_p2p.content import disk
from rede_p2p.content.disk import FileState

_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_NO_LINK = _FOLDER | getattr(os, "O_NOFOLLOW", 0)
_KNOWN = (  # not by Windows
    hasattr(os, "O_NOFOLLOW")
    and {os.open, os.stat} <= os.supports_dir_fd
    and os.listdir in os.supports_fd
)


@contextmanager
def folder(top: str, path: str) -> Iterator[int | None]:
    """Hold a folder open that is in ``top``, or ``top`` itself, which alone may be a link.

    Yields its descriptor; None where the system has none, and it was only looked for links. Raises
    OSError.
    """
    parts = Path(path).relative_to(top).parts
    if not _KNOWN:
        if disk.has_link(top, path):
            raise NotADirectoryError(path)
        yield None
        return
    place = os.open(top, _FOLDER)
    try:
        for part in parts:
            inner = os.open(part, _NO_LINK, dir_fd=place)
            os.close(place)
            place = inner
        yield place
    finally:
        os.close(place)


def entries(top: str, path: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what is in a folder in ``top``, by name, with what lstat tells; raise OSError."""
    with folder(top, path) as place:
        for name in sorted(os.listdir(path if place is None else place)):  # noqa: PTH208
            with suppress(FileNotFoundError):  # it has just gone
                yield name, lstat(place, path, name)


def file_state(top: str, path: str) -> FileState | None:
    """Return the state of a regular file in ``top``, or None where there is none."""
    parent, name = os.path.split(path)
    with suppress(OSError, ValueError), folder(top, parent) as place:
        status = lstat(place, parent, name)
        return disk.state_of_status(status) if S_ISREG(status.st_mode) else None
    return None


def is_at(top: str, path: str, file: BinaryIO) -> bool:
    """Tell whether an open file is at that path in ``top``, with no link on the way."""
    parent, name = os.path.split(path)
    with suppress(OSError, ValueError), folder(top, parent) as place:
        return os.path.samestat(lstat(place, parent, name), os.fstat(file.fileno()))
    return False


def link_open(descriptor: int, path: str, final: Path | str, top: str | None) -> None:
    """Give an open file one more name, which must be free; raise OSError, NotImplementedError.

    Linux links the file that is open, be it at ``path``, moved, or without a name (open(2)). The
    name is given in the folder ``top``, if there is one, or not at all: then it raises DiskError.
    """
    parent, name = os.path.split(final)
    with ExitStack() as stack:
        place = None
        if top is not None:
            with disk.translate_os_errors(parent):
                place = stack.enter_context(folder(top, parent))
        there = final if place is None else name
        if disk.NAMES_OPEN_FILES:
            # Python has the link followed only where a folder is given; the system ignores the
            # folder, because the path is absolute.
            itself = f"{disk.OPEN_FILES}/{descriptor}"
            os.link(itself, there, src_dir_fd=descriptor, dst_dir_fd=place, follow_symlinks=True)
        else:
            os.link(path, there, dst_dir_fd=place, follow_symlinks=False)


def lstat(place: int | None, parent: str, name: str) -> os.stat_result:
    """Tell of what is in a folder that ``folder`` holds; raise OSError."""
    if place is None:
        return os.lstat(os.path.join(parent, name))  # noqa: PTH118 - one of 100,000
    return os.stat(name, dir_fd=place, follow_symlinks=False)
