"""Many small files: one connection for each source, requests sent ahead, flushed by the group.

Each file is verified by its own root, and gets its final name only when its bytes are on the disk;
the waiting, for the network and for the disk, is shared. The calling thread does everything but
wait for the disk: other threads flush a group, several files at once, while the next one arrives.
"""

import functools
import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

from rede_p2p import errors
from rede_p2p.content import disk, merkle, safe_names
from rede_p2p.content.anonymous_file import AnonymousFile
from rede_p2p.content.hashing import Hashed
from rede_p2p.content.partial_file import PartialFile, finals, path_of
from rede_p2p.download.download import SPARE_DISK_BYTES
from rede_p2p.download.flush_queue import MAX_UNFLUSHED_GROUPS, FlushQueue, Written
from rede_p2p.download.request import DownloadContext, DownloadRequest, Outcome
from rede_p2p.errors import Address, RedeError
from rede_p2p.net.connection import Connection
from rede_p2p.protocol.codec import encode_request
from rede_p2p.protocol.messages import FileData, Pieces

MAX_SMALL_FILE_BYTES = 1024 * 1024  # a larger file is a download of its own
PIPELINED_REQUESTS = 256  # sent before their replies are read

Report = Callable[[DownloadRequest, "Outcome | RedeError"], None]


class SmallFiles:
    """The small files of one ``get``. ``cancel`` may be called from any thread."""

    def __init__(
        self, requests: Sequence[DownloadRequest], context: DownloadContext, report: Report
    ) -> None:
        """Prepare; ``report`` is given the outcome of each file, in the thread that runs."""
        self._requests = requests
        self._context = context
        self._top = os.fspath(context.folder)
        self._prefix = os.path.join(context.folder, "")  # a name after it is a path
        self._report = report
        self._queue = FlushQueue()
        self._left_in: dict[str, set[str]] = {}  # folder → partial files that were there before
        self._named_in: set[str] = set()  # folders with new names
        self.brought: Counter[Address] = (
            Counter()
        )  # bytes of right files, by source; ``run`` writes it
        self._lock = Lock()  # guards _connection and _cancelled
        self._connection: Connection | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Make ``run`` end soon; what was not fetched is reported as interrupted."""
        with self._lock:
            self._cancelled = True
            if self._connection is not None:
                self._connection.hang_up()

    def run(self) -> None:
        """Fetch them all, each from the first of its sources that gives it."""
        with self._queue:
            self._fetch([request for request in self._requests if not self._is_settled(request)])
            self._publish_all()
        for folder in self._named_in:
            disk.sync_folder(Path(folder))

    def _is_settled(self, request: DownloadRequest) -> bool:
        """Report a file that is here already, or may not be written; tell whether it was."""
        try:
            name = safe_names.check_writable(request.name, self._context.folder)
            for path in finals(self._path(name)):
                if not os.path.lexists(path):
                    return False
                if self._is_content(request, path):
                    self._report(request, Outcome(Path(path), already=True))
                    return True
        except RedeError as error:
            self._report(request, error)
        return True

    def _no_room(self, wanted: list[DownloadRequest]) -> errors.DiskError | None:
        """Return why the disk has no room for these files, or None where it has."""
        needed = sum(request.content.size for request in wanted) + SPARE_DISK_BYTES
        try:
            if disk.free_space(self._context.folder) >= needed:
                return None
        except errors.DiskError as error:
            return error
        return errors.DiskError(str(self._context.folder), "full")

    def _fetch(self, left: list[DownloadRequest]) -> None:
        """Ask each file's first source, then its second, and so on, if the disk has room."""
        if (no_room := self._no_room(left)) is not None:
            while left:
                self._report(left.pop(), no_room)
        turn = 0
        while left:
            by_source: dict[Address, list[DownloadRequest]] = {}
            for request in left:
                by_source.setdefault(request.sources[turn], []).append(request)
            left, turn = [], turn + 1
            for source, asked in by_source.items():
                for request, error in self._fetch_from(source, asked):
                    if len(request.sources) > turn and not isinstance(error, errors.DiskError):
                        left.append(request)
                    else:
                        self._report(request, error)

    def _fetch_from(
        self, source: Address, asked: list[DownloadRequest]
    ) -> list[tuple[DownloadRequest, RedeError]]:
        """Fetch files over one connection; return what failed, and why."""
        failed: list[tuple[DownloadRequest, RedeError]] = []
        waiting = deque(asked)  # not asked yet
        ahead: deque[DownloadRequest] = deque()  # asked, not answered
        try:
            self._check_cancelled()
            with self._context.connect(source) as connection:
                self._switch_to(connection)
                self._check_cancelled()  # it may have come while we were dialling
                while waiting or ahead:
                    self._ask_ahead(connection, waiting, ahead)
                    error = self._receive(connection, source, ahead[0])
                    request = ahead.popleft()
                    if error is not None:
                        failed.append((request, error))
                    else:
                        self.brought[source] += request.content.size
        except RedeError as lost:
            cause: RedeError = lost
            if isinstance(lost, errors.ConnectionLostError | errors.ProtocolError):
                cause = errors.PeerUnreachableError(source, lost)
            if self._cancelled:
                cause = errors.InterruptedByUserError()
            failed += [(request, cause) for request in (*ahead, *waiting)]
        finally:
            self._switch_to(None)
        return failed

    def _ask_ahead(
        self,
        connection: Connection,
        waiting: deque[DownloadRequest],
        ahead: deque[DownloadRequest],
    ) -> None:
        """Send as many requests as may be under way, many in one packet."""
        if len(ahead) > PIPELINED_REQUESTS // 2:
            return
        lines = []
        while waiting and len(ahead) < PIPELINED_REQUESTS:
            request = waiting.popleft()
            count = merkle.piece_count(request.content.size)
            lines.append(encode_request(Pieces(request.content.root, 0, count)))
            ahead.append(request)
        connection.send(b"".join(lines))

    def _receive(
        self, connection: Connection, source: Address, request: DownloadRequest
    ) -> RedeError | None:
        """Take one answer; return what is wrong with this file, raise what ends them all."""
        try:
            head = connection.receive_reply(FileData)
        except errors.RefusedError as no:
            return errors.PeerUnreachableError(source, no)
        if head.bytes != request.content.size:
            raise errors.ProtocolError("bad-length")
        data = connection.receive_exactly(head.bytes)
        layer = merkle.layer_of(data)
        if merkle.root_of(layer, len(data)) != request.content.root:
            return errors.VerificationError(request.name, source)
        try:
            self._write(request, data, layer)
        except errors.DiskError as error:
            return error
        return None

    def _write(self, request: DownloadRequest, data: bytearray, layer: bytes) -> None:
        """Write a file that is right; flush a group that is full."""
        file = self._open(request.name)
        try:
            file.write_whole(data)
        except errors.DiskError:
            _drop(file)
            raise
        if self._queue.add(Written(request, file, layer), len(data)):
            self._publish_flushed(but=MAX_UNFLUSHED_GROUPS)

    def _open(self, name: str) -> AnonymousFile | PartialFile:
        """Open a file to write; where a file that awaits its name is in the way, publish first.

        On a disk that folds names two of them may lead to one partial file.
        """
        try:
            return self._open_now(name)
        except errors.DiskError as error:
            if error.kind not in ("busy", "crowded"):
                raise
        self._publish_all()
        return self._open_now(name)

    def _open_now(self, name: str) -> AnonymousFile | PartialFile:
        """Open a new file, or the partial one that an earlier ``get`` has left."""
        path = self._path(name)
        folder, last = os.path.split(path)
        left = self._left_in.get(folder)
        if left is None:
            if folder != self._top and disk.has_link(self._top, folder):
                raise errors.DiskError(folder, "link-folder")
            left = self._left_in[folder] = _partials_in(folder)
        if not left or safe_names.partial(last) not in left:
            anonymous = AnonymousFile.make(path, folder)
            if anonymous is not None:
                return anonymous
        return PartialFile(path_of(path))

    def _path(self, name: str) -> str:
        return self._prefix + name.replace("/", os.sep)  # a long path of Windows takes no "/"

    def _publish_all(self) -> None:
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
                _drop(written.file)
                self._report(written.request, error)

    def _publish(self, group: list[Written]) -> None:
        """Give files whose bytes are on the disk their names, then report them."""
        named: list[tuple[DownloadRequest, str]] = []
        known: list[tuple[str, Hashed]] = []
        for request, file, layer in group:
            is_same = functools.partial(self._is_content, request)
            try:
                before = file.state()
                path = file.publish(finals(self._path(request.name)), is_same)
                named.append((request, path))
                state = disk.state_once_named(path, before)
                if state is not None:  # else it is another's file, or edited already
                    known.append((path, Hashed(state, request.content, layer)))
                self._named_in.add(os.path.dirname(path))
                file.close()
            except RedeError as error:
                _drop(file)
                self._report(request, error)
        self._context.hash_cache.remember(known)
        for request, path in named:
            self._report(request, Outcome(Path(path), already=False))

    def _is_content(self, request: DownloadRequest, path: str) -> bool:
        cache, check = self._context.hash_cache, self._check_cancelled
        return cache.is_content(Path(path), request.content, check)

    def _switch_to(self, connection: Connection | None) -> None:
        """Let ``cancel`` know which connection to hang up."""
        with self._lock:
            self._connection = connection

    def _check_cancelled(self) -> None:
        if self._cancelled:
            raise errors.InterruptedByUserError


def _partials_in(folder: str) -> set[str]:
    with suppress(OSError):
        return {name for name in os.listdir(folder) if name.endswith(safe_names.PARTIAL_SUFFIX)}
    return set()


def _drop(file: AnonymousFile | PartialFile) -> None:
    """Leave nothing of a file that could not be kept: the disk may be full."""
    with suppress(errors.DiskError):
        file.discard()
    file.close()
