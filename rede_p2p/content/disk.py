"""Where the program meets the file system: an OSError leaves this module as a DiskError."""

import errno
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO, NamedTuple

from rede_p2p.content import on_windows
from rede_p2p.errors import DiskError, DiskKind

try:
    import mmap
except ModuleNotFoundError:  # not every Python has it
    mmap = None  # type: ignore[assignment]

_pwrite = getattr(os, "pwrite", None)  # Windows has none
OPEN_FILES = "/proc/self/fd"
NAMES_OPEN_FILES = sys.platform == "linux" and Path(OPEN_FILES).is_dir()
_63_BITS = 2**63 - 1
DIRECT_ALIGNMENT_BYTES = 4096  # of the offset, length and memory of a direct write
MIN_DIRECT_BYTES = 512 * 1024  # with less, waiting for the disk costs more than the cache

_KINDS: dict[int, DiskKind] = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "denied"),
    errno.ENOSPC: "full",
    errno.EDQUOT: "full",
    errno.EFBIG: "large",
    errno.ENOENT: "missing",
    errno.ENOTDIR: "not-folder",
    errno.EEXIST: "not-folder",
    errno.ENAMETOOLONG: "name-long",
    errno.EILSEQ: "name",
    errno.ELOOP: "link",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "crowded"),
}
if os.name == "nt":
    _KINDS[errno.EINVAL] = "name"  # what Windows says of ? * | < > and quotes


class FileState(NamedTuple):
    """What tells one state of a file from another without reading it."""

    size: int  # bytes
    mtime_ns: int
    inode: int
    ctime_ns: int  # of the last change of anything, a name included; 0 on Windows, which has none


def state_of_status(status: os.stat_result) -> FileState:
    """Return the state in what stat(2) tells."""
    # Some file systems number, and some clocks count, beyond 63 bits, where SQLite ends.
    ctime_ns = 0 if os.name == "nt" else status.st_ctime_ns & _63_BITS
    mtime_ns, inode = status.st_mtime_ns & _63_BITS, status.st_ino & _63_BITS
    return FileState(status.st_size, mtime_ns, inode, ctime_ns)


def state_of_open(file: BinaryIO) -> FileState:
    """Return the state of an open file."""
    return state_of_status(os.fstat(file.fileno()))


def file_state(path: Path | str, *, links: bool = True) -> FileState | None:
    """Return the state of a regular file, or None where there is none; ``links`` are followed."""
    try:
        status = os.stat(path, follow_symlinks=links)  # noqa: PTH116 - ten thousand in a row
    except (OSError, ValueError):
        return None
    return state_of_status(status) if stat.S_ISREG(status.st_mode) else None


def state_once_named(path: Path | str, before: FileState) -> FileState | None:
    """Return the state of a file that was just named, or None if more than its name changed."""
    state = file_state(path, links=False)
    return state if state and state[:-1] == before[:-1] else None  # all but the ctime


class translate_os_errors:  # noqa: N801 - used as a function, many times for each small file
    """Raise the system's errors about ``path`` as DiskError; used by ``with``."""

    def __init__(self, path: Path | str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, _kind: object, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            kind = "in-use" if on_windows.is_busy(error) else _KINDS.get(error.errno or 0, "other")
            raise DiskError(str(self._path), kind, error.strerror or str(error)) from error


def has_link(folder: Path | str, path: Path | str) -> bool:
    """Tell whether a link stands between a folder and a path in it, or is that path."""
    part = Path(folder)
    for name in Path(path).relative_to(folder).parts:
        part /= name
        if is_link(part):
            return True
    return False


def is_link(path: Path | str) -> bool:
    """Tell whether there is a symbolic link, or what Windows has beside it, at a path."""
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return False
    return stat.S_ISLNK(status.st_mode) or on_windows.is_junction(status)


def open_regular(path: Path | str) -> FileIO:
    """Open a file for reading; refuse a named pipe or a device without waiting for it."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with translate_os_errors(path):
        if not hasattr(os, "O_NONBLOCK") and not stat.S_ISREG(Path(path).stat().st_mode):
            raise DiskError(str(path), "not-file")
        descriptor = on_windows.open_shared(path) if os.name == "nt" else os.open(path, flags)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)  # FileIO() would refuse a folder, and leave it open
            raise DiskError(str(path), "not-file")
        return FileIO(descriptor, "rb")


def read_into(file: BinaryIO, start: int, view: memoryview) -> int:
    """Fill a buffer from an open file; return how many bytes, fewer where the file ends."""
    filled = 0
    with translate_os_errors(file.name):
        file.seek(start)
        while filled < len(view) and (count := file.readinto(view[filled:])):  # type: ignore[attr-defined]
            filled += count
    return filled


class OtherWriters:
    """Notices what others have changed of an open file, by its state between our own changes.

    One is missed that comes while we write, or by a memory map until the system takes note of it.
    So is, before Linux 6.13 and on other systems, one within the same tick of the clock as the last
    of ours: 4 ms; 2 s on FAT. Since then, a change after the state was asked for has its own time.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = Lock()  # guards everything below, and held while we write
        self._state = state_of_open(file)
        self._found = False

    @contextmanager
    def kept_apart(self) -> Iterator[None]:
        """Take what is changed in the block for our own; one thread at a time."""
        with self._lock:
            self._look()
            try:
                yield
            finally:
                self._state = state_of_open(self._file)

    def found(self) -> bool:
        """Tell whether others have changed the file since the last call, or the beginning."""
        with self._lock:
            self._look()
            found, self._found = self._found, False
            return found

    def _look(self) -> None:
        state = state_of_open(self._file)
        if state != self._state:
            self._found, self._state = True, state


class Writer:
    """Writes ranges of one file, for one thread. Used by ``with``.

    A long range goes past the page cache (O_DIRECT), where that can be done. What arrives as fast
    as the disk takes it gains nothing by the cache, and pays for it twice: a page for every 4 KiB,
    which can cost more than receiving and hashing what it holds, and a flush at the end.
    """

    def __init__(
        self, path: Path, file: BinaryIO, others: OtherWriters, note_cached: Callable[[int], None]
    ) -> None:
        """Open the ``file`` at ``path`` once more; raise DiskError, also if another is there.

        ``note_cached`` is told of bytes in the cache, which await a flush, while no other writes.
        """
        self._path, self._others, self._note_cached = path, others, note_cached
        with translate_os_errors(path):
            self._file = _same_as(file, FileIO(path, "rb+"))
        self._direct: BinaryIO | None = None  # opened when there is use for it
        self._may_be_direct = True

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()
        if self._direct is not None:
            self._direct.close()

    def write(self, start: int, data: memoryview) -> None:
        """Write all of the data at an offset; raise DiskError."""
        with translate_os_errors(self._path), self._others.kept_apart():
            while data:
                count = self._write_direct(start, data)
                if not count:
                    count = _write_some(self._file, start, data)
                    self._note_cached(count)
                start, data = start + count, data[count:]

    def leave_hole(self, end: int) -> None:
        """Leave zeros that end at an offset unwritten; raise DiskError.

        The file must hold nothing there yet. It becomes long enough, so that they can be read.
        """
        if os.fstat(self._file.fileno()).st_size < end:
            self.write(end - 1, memoryview(b"\0"))

    def _write_direct(self, start: int, data: memoryview) -> int:
        """Write past the cache; return how many bytes went, 0 where that cannot be done."""
        aligned = len(data) % DIRECT_ALIGNMENT_BYTES == start % DIRECT_ALIGNMENT_BYTES == 0
        if not (aligned and len(data) >= MIN_DIRECT_BYTES and self._may_be_direct):
            return 0
        try:
            self._direct = self._direct or self._open_direct()
            return _write_some(self._direct, start, data) if self._direct else 0
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # This file system is all cache, or wants another alignment or kind of memory.
            self._may_be_direct = False
            return 0

    def _open_direct(self) -> BinaryIO | None:
        flag = getattr(os, "O_DIRECT", None)
        if flag is None:
            return None
        return _same_as(self._file, FileIO(os.open(self._path, os.O_WRONLY | flag), "wb"))


def _same_as(file: BinaryIO, opened: FileIO) -> FileIO:
    """Return a file just opened, if it is the one that was opened before at its path."""
    if not os.path.sameopenfile(file.fileno(), opened.fileno()):
        opened.close()
        raise DiskError(str(file.name), "replaced")
    return opened


def _write_some(file: BinaryIO, start: int, data: memoryview) -> int:
    if _pwrite is not None:
        return int(_pwrite(file.fileno(), data, start))
    file.seek(start)
    return file.write(data)


def page_buffer(size: int) -> memoryview:
    """Return a small buffer, or one of pages, as O_DIRECT needs; these take memory once used."""
    if mmap is None or size < mmap.PAGESIZE:
        return memoryview(bytearray(size))
    return memoryview(mmap.mmap(-1, size))


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system lets a folder be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def begin_flush(descriptor: int) -> None:
    """Have the system begin to write an open file, and keep no copy of what is written."""
    with suppress(AttributeError, OSError):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def free_space(folder: Path) -> int:
    """Return how many bytes can still be written in a folder, or in its nearest parent."""
    with translate_os_errors(folder):
        usage = shutil.disk_usage(nearest(folder))
    # Some network shares and FUSE file systems tell nothing, and say so by a disk of no bytes.
    return usage.free if usage.total else _63_BITS


def nearest(folder: Path) -> Path:
    """Return a folder, or its nearest parent that exists."""
    while not os.path.exists(folder) and folder != folder.parent:  # noqa: PTH110 - it never raises
        folder = folder.parent
    return folder
