"""Looking at what is in a folder with no link followed on the way, even if it is swapped meanwhile.

A path is looked up anew each time, and a folder in it may be a link by then. Where the system can,
each folder is opened in the one before it, and what is in it is looked at from there.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG

from rede_p2p.content import disk
from rede_p2p.content.disk import FileState

_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0)
_NO_LINK = _FOLDER | getattr(os, "O_NOFOLLOW", 0)
_KNOWN = {os.open, os.stat} <= os.supports_dir_fd and os.listdir in os.supports_fd  # no Windows


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


def lstat(place: int | None, parent: str, name: str) -> os.stat_result:
    """Tell of what is in a folder that ``folder`` holds; raise OSError."""
    if place is None:
        return os.lstat(os.path.join(parent, name))  # noqa: PTH118 - one of 100,000
    return os.stat(name, dir_fd=place, follow_symlinks=False)
