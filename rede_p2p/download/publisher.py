"""Files that are whole get their final names, once their bytes are on the disk.

The waiting for the disk is shared: files are flushed by the group, while the next ones arrive.
Owner: one thread, by ``with``.
"""

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from rede_p2p.content import disk, inside, safe_names
from rede_p2p.content.anonymous_file import AnonymousFile
from rede_p2p.content.hashing import Hashed
from rede_p2p.content.merkle import Content
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.recheck import is_partly
from rede_p2p.content.safe_names import finals, path_of, taken
from rede_p2p.download.flush_queue import MAX_UNFLUSHED_GROUPS, FlushQueue, Written
from rede_p2p.download.request import DownloadContext, DownloadRequest, Outcome, Report
from rede_p2p.errors import DiskError, InterruptedByUserError, RedeError
from rede_p2p.upload.shared_files import Share

SPARE_DISK_BYTES = 1024 * 1024  # that a download leaves free on the disk


class Publisher:
    """What is written and not yet published of one ``get``."""

    def __init__(
        self,
        context: DownloadContext,
        report: Report,
        check_cancelled: Callable[[], None],
        closing: Callable[[Written], None] = lambda _: None,
    ) -> None:
        """Publish in the folder of ``context``; ``report`` is given the outcome of each file.

        ``check_cancelled`` may raise InterruptedByUserError; ``closing`` is given each file before
        it is closed.
        """
        self._context = context
        self._top = os.fspath(context.folder)
        self._prefix = os.path.join(context.folder, "")  # a name after it is a path
        self._report = report
        self._check_cancelled = check_cancelled
        self._closing = closing
        self._queue = FlushQueue(self._close)
        self._holder = inside.Holder(self._top)
        self._left_in: dict[str, set[str]] = {}  # folder → partial files that were there before
        self._named_in: set[str] = set()  # folders with new names

    def __enter__(self) -> "Publisher":
        self._queue.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """Close what is not published; make the new names durable."""
        self._queue.__exit__(*error)
        self._holder.release()
        for folder in self._named_in:
            disk.sync_folder(Path(folder))

    def not_here(self, requests: Iterable[DownloadRequest]) -> Iterator[DownloadRequest]:
        """Yield what is to be fetched; report what is here already, or may not be written."""
        folders: dict[str, bool] = {}  # whether each is there, while this looks
        for request in requests:
            self._check_cancelled()
            try:
                name = safe_names.check_writable(request.name, self._context.folder)
                folder = name.rpartition("/")[0]
                if folder not in folders:
                    folders[folder] = os.path.lexists(self._path(folder))
                paths = taken(self._path(name)) if folders[folder] else ()
                is_same = functools.partial(self._is_content, request)
                path = next(filter(is_same, paths), None)
            except RedeError as error:
                self._report(request, error)
                continue
            if path is None:
                yield request
                continue
            if self.has_partial(request.name):
                discard_left(self._context, self._path(request.name), request.content, path)
            self._report(request, Outcome(path, already=True))

    def room(self) -> int:
        """Return how many bytes the disk has for files; raise DiskError."""
        return disk.free_space(self._context.folder) - SPARE_DISK_BYTES

    def open(self, name: str) -> AnonymousFile | PartialFile:
        """Open a file to write; where a file that awaits its name is in the way, publish first.

        On a disk that folds names two of them may lead to one partial file.
        """
        try:
            return self._open_now(name)
        except DiskError as error:
            if error.kind not in ("busy", "crowded"):
                raise
        self.publish_all()
        return self._open_now(name)

    def _open_now(self, name: str) -> AnonymousFile | PartialFile:
        """Open a new file, or the partial one that an earlier ``get`` has left."""
        path = self._path(name)
        if not self.has_partial(name):
            anonymous = AnonymousFile.make(path, self._holder)
            if anonymous is not None:
                return anonymous
        return PartialFile(path_of(path), self._top)

    def open_partial(self, name: str) -> PartialFile:
        """Open a file that comes in pieces; raise DiskError."""
        self.has_partial(name)
        return PartialFile(path_of(self._path(name)), self._top)

    def has_partial(self, name: str) -> bool:
        """Tell whether an earlier ``get`` has left a part of a file; raise DiskError."""
        folder, last = os.path.split(self._path(name))
        left = self._left_in.get(folder)
        if left is None:
            left = self._left_in[folder] = _partials_in(self._top, folder)
        return bool(left) and safe_names.partial(last) in left

    def _path(self, name: str) -> str:
        return self._prefix + name.replace("/", os.sep)  # a long path of Windows takes no "/"

    def add(self, written: Written, length: int) -> None:
        """Take a file of ``length`` bytes that is whole; publish what is on the disk meanwhile."""
        if self._queue.add(written, length):
            self._publish_flushed(but=MAX_UNFLUSHED_GROUPS)

    def publish_all(self) -> None:
        """Publish all that is written, once it is on the disk."""
        self._queue.flush()
        self._publish_flushed(but=0)

    def _publish_flushed(self, but: int) -> None:
        """Publish what is on the disk, waiting until no more than ``but`` groups are not."""
        for group, error in self._queue.take(but):
            if error is None:
                self._publish(group)
                continue
            for written in group:
                self._drop(written, error)

    def _publish(self, group: list[Written]) -> None:
        """Give files whose bytes are on the disk their names, offer them, then report them."""
        named: list[tuple[Written, str]] = []
        known: list[tuple[str, Hashed]] = []
        whole: list[tuple[bytes, Share]] = []
        for written in group:
            request, file, layer = written
            is_same = functools.partial(self._is_content, request)
            try:
                before = file.state()
                path = file.publish(finals(self._path(request.name)), is_same)
                state = disk.state_once_named(path, before)
            except RedeError as error:
                self._drop(written, error)
                continue
            named.append((written, path))
            if state is not None:  # else it is another's file, or edited already
                known.append((path, Hashed(state, request.content, layer)))
                whole.append((request.content.root, Share(request.name, path, state)))
            self._named_in.add(os.path.dirname(path))
        self._holder.release()
        self._context.hash_cache.remember(known)
        self._context.seeds.keep(whole, announce=False)
        for written, path in named:
            self._close(written)
            self._report(written.request, Outcome(path, already=False))

    def _drop(self, written: Written, error: RedeError) -> None:
        """Report why a file has no name; what it holds stays where the next ``get`` can go on."""
        self._closing(written)
        if isinstance(error, InterruptedByUserError) or getattr(error, "kind", "") == "replaced":
            written.file.close()
        else:
            drop(written.file)
        self._report(written.request, error)

    def _close(self, written: Written) -> None:
        self._closing(written)
        written.file.close()

    def _is_content(self, request: DownloadRequest, path: str) -> bool:
        cache, check = self._context.hash_cache, self._check_cancelled
        return cache.is_content(path, request.content, check)


def _partials_in(top: str, folder: str) -> set[str]:
    with suppress(OSError), inside.folder(top, folder, listed=True) as place:
        return {name for name in inside.names(place) if name.endswith(safe_names.PARTIAL_SUFFIX)}
    return set()


def discard_left(
    context: DownloadContext, final: Path | str, content: Content, path: Path | str
) -> None:
    """Remove the partial file of a content that is at ``path``, if it is of that content.

    Another program that fetched the same may have left it. What another one writes now stays.
    """
    left = Path(path_of(os.fspath(final)))
    layer = context.hash_cache.layer(str(path), content)
    state = disk.file_state(left, links=False)
    if layer is None or state is None:
        return
    if state.size == 0 or is_partly(left, content.size, layer):
        with suppress(DiskError), PartialFile(left, os.fspath(context.folder)) as partial:
            partial.discard()


def drop(file: AnonymousFile | PartialFile) -> None:
    """Leave nothing of a file that could not be kept: the disk may be full."""
    with suppress(DiskError):
        file.discard()
    file.close()
