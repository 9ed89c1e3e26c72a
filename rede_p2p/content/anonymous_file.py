"""A small file that has no name until it is whole, so that nothing of it outlives a crash.

Linux alone lets a file be written before it has a name (O_TMPFILE, open(2)). That spares two
changes of the folder, a lock, and anything half-written that could be found.
"""

import errno
import os
from collections.abc import Callable, Iterator
from itertools import chain

from rede_p2p.content import disk, inside
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.safe_names import path_of
from rede_p2p.errors import DiskError

_FLAGS = os.O_RDWR | getattr(os, "O_TMPFILE", 0)
_KNOWN = hasattr(os, "O_TMPFILE") and disk.NAMES_OPEN_FILES


class AnonymousFile:
    """An open file that is on a disk but in no folder; used as a new PartialFile is."""

    def __init__(self, path: str, descriptor: int, holder: inside.Holder) -> None:
        """``make`` makes them."""
        self._path, self._holder = path, holder
        self._descriptor = descriptor
        self._status: os.stat_result | None = None  # once it is whole

    @classmethod
    def make(cls, path: str, holder: inside.Holder | None = None) -> "AnonymousFile | None":
        """Open what will be ``path``, making its folder; None where the system has no such files.

        Folders that are made, or in which a name is given, are reached as ``holder`` does, which
        the caller releases; what has no name may be on any disk. Raises DiskError.
        """
        holder = holder or inside.Holder(None)
        if not _KNOWN:
            return None
        folder = os.path.dirname(path)  # noqa: PTH120 - of thousands of files
        with disk.translate_os_errors(path):
            while True:
                try:
                    return cls(path, os.open(folder, _FLAGS, 0o666), holder)
                except FileNotFoundError:
                    with inside.folder(holder.top, folder, make=True):
                        continue
                except OSError as error:
                    if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                        return None
                    raise

    def write_whole(self, data: bytes | bytearray) -> None:
        """Write these bytes, which are all of the content; raise DiskError."""
        with disk.translate_os_errors(self._path):
            written = os.write(self._descriptor, data)
            while written < len(data):
                written += os.write(self._descriptor, data[written:])

    def state(self) -> disk.FileState:
        """Return the state in which it was whole, which a name does not change."""
        return disk.state_of_status(self._whole_status())

    def device(self) -> int:
        """Return the number of the file system that it is on."""
        return self._whole_status().st_dev

    def _whole_status(self) -> os.stat_result:
        if self._status is None:
            self._status = os.fstat(self._descriptor)
        return self._status

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._descriptor

    def flush(self) -> None:
        """Make its content durable; raise DiskError."""
        with disk.translate_os_errors(self._path):
            os.fsync(self._descriptor)

    def publish(self, finals: Iterator[str], is_same: Callable[[str], bool]) -> str:
        """Give it the first final name that is free, as ``PartialFile.publish`` does."""
        for final in finals:
            folder, name = os.path.split(final)
            with disk.translate_os_errors(final):
                try:
                    inside.link_open(self._descriptor, "", self._holder.folder(folder), name)
                    return final
                except FileExistsError:
                    pass
                except (OSError, NotImplementedError) as error:
                    if not inside.has_no_links(error):
                        raise
                    with self._copy() as copy:  # the disk has unnamed files, and no hard links
                        return copy.publish(chain([final], finals), is_same)
            if is_same(final):
                return final
        raise DiskError(self._path, "name")

    def _copy(self) -> PartialFile:
        """Return a partial file with the same content, flushed."""
        copy = PartialFile(path_of(self._path), self._holder.top)
        try:
            with open(self._descriptor, "rb", closefd=False) as file:
                file.seek(0)
                copy.write_whole(file.read())
            copy.flush()
        except DiskError:
            copy.discard()
            copy.close()
            raise
        return copy

    def discard(self) -> None:
        """Do nothing: without a name, it is gone when it is closed."""

    def close(self) -> None:
        """Close it, once."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
