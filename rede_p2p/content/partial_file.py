"""The partial file ``NAME.parte``: where a download grows until it may have its final name.

It is locked while it is open, so that no two programs write it. A thread of its own flushes it to
the disk while it grows, so that there is little left to flush at the end.
"""

import errno
import os
from collections.abc import Callable, Iterator
from io import FileIO
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from typing import TypeVar

from rede_p2p.content import disk, safe_names
from rede_p2p.errors import DiskError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ModuleNotFoundError:  # everywhere else
    msvcrt = None  # type: ignore[assignment]

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_LOCKED_OFFSET = 2**43  # bytes: far beyond a content, and within what ext4 and NTFS let one seek
Place = TypeVar("Place", str, Path)  # for thousands of files, a Path costs more than the disk
FLUSH_INTERVAL_S = 0.05  # between two looks at how much there is to flush
MIN_FLUSH_BYTES = 16 * 1024 * 1024


class PartialFile:
    """An open partial file. Used by ``with``, by one thread; each other thread has a ``writer``."""

    def __init__(self, path: Path | str) -> None:
        """Open it, making it and its folder if they are not there.

        Raises DiskError: ``busy`` when another download is writing it, ``link`` when it is a
        symbolic link, which is never followed.
        """
        self._name = os.fspath(path)
        self.file = _open_locked(self._name)
        self._writers: list[disk.Writer] = []
        self._flush_error: OSError | None = None
        self._stop: Event | None = None  # set when the flusher is to end
        self._flusher: Thread | None = None

    def __enter__(self) -> "PartialFile":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self._name)

    def state(self) -> disk.FileState:
        """Return its state, which a new name does not change."""
        return disk.state_of_open(self.file)

    def size(self) -> int:
        """Return its length in bytes."""
        return os.fstat(self.file.fileno()).st_size

    def allocated(self) -> int:
        """Return how many bytes of the disk it has already; holes take none."""
        status = os.fstat(self.file.fileno())
        return min(status.st_size, getattr(status, "st_blocks", 2**62) * 512)

    def others(self) -> list[Path]:
        """List the other partial files in its folder, sorted by name."""
        found = self.path.parent.glob(f"*{safe_names.PARTIAL_SUFFIX}")
        return sorted(path for path in found if path != self.path)

    def cut(self, size: int) -> None:
        """Make it no longer than ``size`` bytes; raise DiskError."""
        with disk.translate_os_errors(self._name):
            if self.size() > size:
                self.file.truncate(size)

    def writer(self) -> disk.Writer:
        """Open it once more, for another thread to write; raise DiskError."""
        writer = disk.Writer(self.path, self.file)
        self._writers.append(writer)
        return writer

    def replaced_by(self, other: Path) -> "PartialFile":
        """Give its name to another partial file that nobody is writing, and return that one.

        Raises DiskError, as opening does; then nothing has changed.
        """
        found = PartialFile(other)
        if os.name == "nt":  # which moves no open file
            found.close()
            self.close()
        with disk.translate_os_errors(other):
            os.replace(other, self.path)
        self.close()
        if os.name == "nt":
            return PartialFile(self.path)
        found._name = self._name
        return found

    def flush_behind(self) -> None:
        """Begin to flush what arrives, in a thread of its own."""
        self._stop = Event()
        self._flusher = Thread(target=self._flush, args=(self._stop,), name="flush")
        self._flusher.start()

    def write_whole(self, data: bytes | bytearray) -> None:
        """Make these bytes all that it holds; raise DiskError."""
        with disk.translate_os_errors(self._name):
            self.file.seek(0)
            view = memoryview(data)
            while view:
                view = view[self.file.write(view) :]
        self.cut(len(data))

    def flush(self) -> None:
        """Make its content durable, after which nothing may be written; raise DiskError."""
        self._stop_flushing()
        with disk.translate_os_errors(self._name):
            if self._flush_error is not None:  # the system reports it only once
                raise self._flush_error
            os.fsync(self.file.fileno())

    def close(self) -> None:
        """Close it, and let other programs have it."""
        self._stop_flushing()
        self.file.close()

    def publish(self, finals: Iterator[Place], is_same: Callable[[Place], bool]) -> Place:
        """Give the flushed file the first final name that is free; return that path.

        The caller makes the name durable, as one of many perhaps. Where a taken name has the same
        content (``is_same``), the partial file goes and that path is returned. No existing entry is
        ever replaced, not even a broken link. Raises DiskError, ``replaced`` when the partial name
        leads to another file by now.
        """
        if not self._has_its_name():
            raise DiskError(self._name, "replaced")
        if os.name == "nt":
            self.file.close()  # Windows renames no open file; elsewhere the lock stays
        for final in finals:
            if self._move(final):
                return final
            if is_same(final):
                self.discard()
                return final
        raise DiskError(str(self.path), "name")

    def discard(self) -> None:
        """Remove it; raise DiskError."""
        ours = self.file.closed or self._has_its_name()
        if os.name == "nt":
            self.file.close()
        if ours:
            with disk.translate_os_errors(self.path):
                self.path.unlink(missing_ok=True)

    def _has_its_name(self) -> bool:
        """Tell whether its name still leads to the file that is open here."""
        with disk.translate_os_errors(self._name):
            there = _lstat(self._name)
            return there is not None and os.path.samestat(os.fstat(self.file.fileno()), there)

    def _move(self, final: Path | str) -> bool:
        """Move it to a name that is free; False if that is taken."""
        with disk.translate_os_errors(final):
            try:
                descriptor = -1 if os.name == "nt" else self.file.fileno()
                disk.link_open(descriptor, self._name, final)  # refuses what exists
            except FileExistsError:
                return False
            except (OSError, NotImplementedError):  # a file system without hard links
                if os.path.lexists(final):
                    return False
                os.rename(self._name, final)
            else:
                os.unlink(self._name)
            return True

    def _flush(self, stop: Event) -> None:
        flushed = 0
        while not stop.wait(FLUSH_INTERVAL_S):
            written = sum(writer.cached for writer in self._writers)
            if written - flushed < MIN_FLUSH_BYTES:
                continue
            flushed = written
            try:
                os.fsync(self.file.fileno())
            except OSError as error:
                self._flush_error = error
                return

    def _stop_flushing(self) -> None:
        if self._flusher is not None and self._stop is not None:
            self._stop.set()
            self._flusher.join()
            self._flusher = None


def path_of(final: Place) -> Place:
    """Return where the file that will be ``final`` grows."""
    folder, name = os.path.split(final)
    return type(final)(os.path.join(folder, safe_names.partial(name)))


def finals(wanted: Place) -> Iterator[Place]:
    """Yield the names that a download may get, the wanted one first."""
    yield wanted
    folder, name = os.path.split(wanted)
    for other in islice(safe_names.alternatives(name), 1, None):
        yield type(wanted)(os.path.join(folder, other))


def _open_locked(path: str) -> FileIO:
    with disk.translate_os_errors(path):
        while True:
            file = _open(path)
            try:
                _lock(file, path)
                ours, there = os.fstat(file.fileno()), _lstat(path)
                if there is None or not os.path.samestat(ours, there):
                    file.close()  # another program published it between our open and our lock
                elif ours.st_nlink > 1 and os.name != "nt":
                    # A program died between the two halves of _move(): these bytes also have a
                    # final name, and nobody may write to them any more.
                    os.unlink(path)
                    file.close()
                else:
                    return file
            except BaseException:
                file.close()
                raise


def _open(path: str) -> FileIO:
    if not hasattr(os, "O_NOFOLLOW") and os.path.islink(path):
        raise DiskError(path, "link")
    try:
        descriptor = os.open(path, _FLAGS, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # another download may make it too
        descriptor = os.open(path, _FLAGS, 0o666)
    return FileIO(descriptor, "rb+")


def _lock(file: FileIO, path: str) -> None:
    """Lock a whole file until it is closed; the system frees it if the program dies."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt is not None:
            # A byte far beyond any content: Windows locks forbid reading what they cover.
            os.lseek(file.fileno(), _LOCKED_OFFSET, os.SEEK_SET)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            except OSError as error:  # whatever its errno: Wine leaves an older one there
                raise DiskError(path, "busy") from error
            os.lseek(file.fileno(), 0, os.SEEK_SET)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK):
            raise DiskError(path, "busy") from error
        raise


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
