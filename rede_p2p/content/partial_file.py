"""The partial file ``NAME.parte``: where a download grows until it may have its final name.

It is locked while it is open, so that no two programs write it, or no two downloads of one where
the disk has no locks. A thread of its own flushes it while it grows, to leave little for the end.
"""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from io import FileIO
from pathlib import Path
from threading import Semaphore, Thread

from rede_p2p.content import disk, inside, on_windows, safe_names
from rede_p2p.content.safe_names import Place
from rede_p2p.errors import DiskError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)  # a disk without flock(2)
_claimed: dict[object, FileIO] = {}  # what this process has open; each change is one call
MAX_READ_AGAIN = 3  # times, where others change the file again and again
MIN_FLUSH_BYTES = 16 * 1024 * 1024


class PartialFile:
    """An open partial file. Used by ``with``, by one thread; each other thread has a ``writer``."""

    def __init__(self, path: Path | str, top: str | None = None) -> None:
        """Open it, making it and its folder if they are not there.

        No link in ``top`` is ever followed, now or later. Raises DiskError: ``busy`` when another
        download is writing it, ``link`` when it is a symbolic link, ``link-folder`` when a folder
        in ``top`` is one.
        """
        self._name, self._top = os.fspath(path), top
        self.file, self._claims = _open_locked(self._name, top)
        self.fileno = self.file.fileno
        self._others = disk.OtherWriters(self.file)
        self._whole: int | None = None  # bytes, once they are known
        self._unflushed = 0  # bytes that writers wrote since the last flush began
        self._flush_error: OSError | None = None
        self._due = Semaphore(0)  # released when the flusher is to flush, or to end
        self._flusher: Thread | None = None  # None, too, when it is to end

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

    def device(self) -> int:
        """Return the number of the file system that it is on."""
        return os.fstat(self.fileno()).st_dev

    def size(self) -> int:
        """Return its length in bytes."""
        return self.state().size

    def allocated(self) -> int:
        """Return how many bytes of the disk it has already; holes take none."""
        status = os.fstat(self.fileno())
        return min(status.st_size, getattr(status, "st_blocks", 2**62) * 512)

    def cut(self, size: int) -> None:
        """Make it no longer than ``size`` bytes, which it has when whole; raise DiskError."""
        self._whole = size
        with disk.translate_os_errors(self._name), self._others.kept_apart():
            if self.size() > size:
                self.file.truncate(size)

    def writer(self) -> disk.Writer:
        """Open it once more, for another thread to write; raise DiskError."""
        return disk.Writer(self.path, self.file, self._others, self._note_cached)

    def replaced_by(self, other: Path) -> "PartialFile":
        """Give its name to another one, where that can be had; return what has the name then.

        Raises DiskError where that cannot be opened.
        """
        with suppress(DiskError), PartialFile(other, self._top) as found:  # nobody writes it
            if os.name == "nt":  # which moves no open file
                found.close()
                self.close()
            with self._folder() as place:
                on_windows.when_free(lambda: inside.replace(place, other.name, self._last))
            self.close()
        return PartialFile(self.path, self._top) if self.file.closed else self

    def flush_behind(self) -> None:
        """Begin to flush what arrives, in a thread of its own, if the system has one left."""
        self._flusher = Thread(target=self._flush, name="flush")
        try:
            self._flusher.start()
        except RuntimeError:
            self._flusher = None

    def write_whole(self, data: bytes | bytearray) -> None:
        """Make these bytes all that it holds; raise DiskError."""
        with disk.translate_os_errors(self._name), self._others.kept_apart():
            self.file.seek(0)
            view = memoryview(data)
            while view:
                view = view[self.file.write(view) :]
        self.cut(len(data))

    def flush(self) -> None:
        """Make its content durable, after which nothing may be written; raise DiskError."""
        self._stop_flushing()
        with disk.translate_os_errors(self._name):
            if self._flush_error is None:
                self._sync()
            if self._flush_error is not None:  # the system reports it only once
                raise self._flush_error

    def close(self) -> None:
        """Close it, and let other programs have it."""
        self._stop_flushing()
        _close(self.file, self._claims)

    def publish(self, finals: Iterator[Place], is_same: Callable[[Place], bool]) -> Place:
        """Give the flushed file the first final name that is free; return it, not yet durable.

        The final names are in the folder of the partial one. Where a taken name has the same
        content (``is_same``), the partial file goes and that path is returned. No entry is ever
        replaced, not even a broken link. Where another program has written into the file, it is
        read again. Raises DiskError, ``replaced`` when another file has the partial name, or this
        one has not its content any more.
        """
        if not self._has_its_name() or self._whole not in (None, self.size()):
            raise DiskError(self._name, "replaced")
        for final in finals:
            if not self.file.closed:
                self._check_untouched(partial(is_same, type(final)(self._name)))
            if os.name == "nt":
                self.file.close()  # Windows renames no open file; elsewhere the lock stays
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
            with self._folder() as place, suppress(FileNotFoundError):
                on_windows.when_free(lambda: inside.unlink(place, self._last))

    @contextmanager
    def _folder(self) -> Iterator[inside.Place]:
        """Hold its folder; raise DiskError, also for an OSError in the block."""
        folder = os.path.dirname(self._name)
        with disk.translate_os_errors(self._name), inside.folder(self._top, folder) as place:
            yield place

    @property
    def _last(self) -> str:
        return os.path.basename(self._name)

    def _check_untouched(self, is_right: Callable[[], bool]) -> None:
        """Read the file again where others have changed it; raise DiskError if it is not right."""
        for _ in range(MAX_READ_AGAIN):
            if not self._others.found():
                return
            if not is_right():
                break
        raise DiskError(self._name, "replaced")

    def _has_its_name(self) -> bool:
        """Tell whether its name still leads to the file that is open here."""
        with self._folder() as place:
            return inside.holds(place, self._last, self.fileno(), self._top)

    def _move(self, final: Path | str) -> bool:
        """Move it to a name that is free; False if that is taken."""
        with self._folder() as place, disk.translate_os_errors(final), suppress(FileExistsError):
            if os.name == "nt":
                return on_windows.rename(self._name, os.fspath(final))
            inside.move(self.fileno(), self._last, place, os.path.basename(final))
            return True
        return False

    def _note_cached(self, count: int) -> None:
        """Let the flusher flush where enough was written."""
        self._unflushed += count
        if self._unflushed >= MIN_FLUSH_BYTES:
            self._unflushed = 0
            self._due.release()

    def _flush(self) -> None:
        while self._flush_error is None and self._due.acquire() and self._flusher is not None:
            self._sync()

    def _sync(self) -> None:
        try:
            os.fsync(self.fileno())
        except OSError as error:
            self._flush_error = error
            # The system keeps what it could not write, as if it were on the disk: it is not.
            disk.begin_flush(self.fileno())

    def _stop_flushing(self) -> None:
        flusher, self._flusher = self._flusher, None
        if flusher is not None:
            self._due.release()
            flusher.join()


def _open_locked(path: str, top: str | None) -> tuple[FileIO, list[object]]:
    parent, name = os.path.split(path)
    with disk.translate_os_errors(path):
        # Before it is opened, because some such disks (FUSE) give each spelling its own inode.
        if safe_names.fold(path) in _claimed and _is_folded(path):
            raise DiskError(path, "busy")
        while True:
            with inside.folder(top, parent, make=True) as place:
                file, claims = _open(path, place, name), list[object]()
                try:
                    _lock(file, path)
                    claims = _claim(file, path)
                    # Another program may have published it between our open and our lock.
                    if inside.holds(place, name, file.fileno(), top):
                        if os.fstat(file.fileno()).st_nlink <= 1:
                            return file, claims
                        # A program died between the two halves of _move(): these bytes also have a
                        # final name, and nobody may write to them any more.
                        if os.name == "nt":  # which removes no open file
                            file.close()
                        inside.unlink(place, name)
                except BaseException:
                    _close(file, claims)
                    raise
                _close(file, claims)


def _open(path: str, place: inside.Place, name: str) -> FileIO:
    if not hasattr(os, "O_NOFOLLOW") and disk.is_link(path):
        raise DiskError(path, "link")
    return FileIO(os.open(place.way(name), _FLAGS, 0o666, dir_fd=place.fd), "rb+")


def _lock(file: FileIO, path: str) -> None:
    """Lock a whole file, where the disk can, until it is closed or the program dies."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            on_windows.lock(file.fileno())
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise DiskError(path, "busy") from error
        if error.errno not in _NO_LOCKS:
            raise


def _claim(file: FileIO, path: str) -> list[object]:
    """Keep out other downloads of this process, under any name that leads here."""
    status = os.fstat(file.fileno())
    claims: list[object] = []
    for claim in ((status.st_dev, status.st_ino), safe_names.fold(path)):
        if _claimed.setdefault(claim, file) is file:
            claims.append(claim)
        elif not claims or _is_folded(path):
            _close(file, claims)
            raise DiskError(path, "busy")
    return claims


def _is_folded(path: str) -> bool:
    """Tell whether the disk takes a name in other letters for that of this partial file."""
    return os.path.lexists(path.removesuffix(safe_names.PARTIAL_SUFFIX) + ".PARTE")


def _close(file: FileIO, claims: Sequence[object] = ()) -> None:
    """Let other downloads claim it, then close it: its number may be another file's at once."""
    for claim in claims:
        if _claimed.get(claim) is file:
            del _claimed[claim]
    file.close()
