"""Many small files: one connection a source, requests sent ahead, durable in groups.

Each file is verified by its own root and gets its final name only when its bytes are on the disk;
what is shared among them is the waiting: for the network and for the disk. The caller's thread
does everything but to wait for the disk: a second one flushes a group while the next arrives.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from rede_p2p.content import disk, merkle, safe_names
from rede_p2p.content.anonymous_file import AnonymousFile
from rede_p2p.content.hash_cache import HashCache, Hashed
from rede_p2p.content.partial_file import PartialFile, finals, path_of
from rede_p2p.download.download import SPARE, Connect, DownloadRequest, Outcome
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    DiskError,
    InterruptedByUserError,
    PeerUnreachableError,
    ProtocolError,
    RedeError,
    RefusedError,
    VerificationError,
)
from rede_p2p.net.connection import Connection
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import FileData, Pieces

SMALL = 1024 * 1024  # bytes; a larger file is a download of its own
AHEAD = 256  # requests sent before their replies are read
GROUP = 256  # files made durable with one flush, and open for so long
GROUP_SIZE = 32 * 1024 * 1024  # bytes in a group, which is as much as an interruption has to flush
UNFLUSHED = 2  # groups that may await the disk; more would only be open files

Report = Callable[[DownloadRequest, "Outcome | RedeError"], None]


class Written(NamedTuple):
    """A file that has arrived and is right; it is written, but perhaps not on the disk."""

    wanted: DownloadRequest
    file: AnonymousFile | PartialFile
    layer: bytes


class Batch:
    """The small files of one ``get``; see the module's docstring."""

    def __init__(
        self,
        wanted: Sequence[DownloadRequest],
        folder: Path,
        connect: Connect,
        roots: HashCache,
        report: Report,
    ) -> None:
        """Prepare; ``report`` is told the outcome of each file, in the thread that runs."""
        self._wanted = wanted
        self._folder = folder
        self._top = os.fspath(folder)
        self._prefix = os.path.join(folder, "")  # a name after it is a path
        self._connect = connect
        self._roots = roots
        self._report = report
        self._flusher = ThreadPoolExecutor(1, "flusher")
        self._flushing: deque[tuple[list[Written], Future[None]]] = deque()
        self._group: list[Written] = []
        self._group_size = 0  # bytes
        self._left_in: dict[str, set[str]] = {}  # folder → partial files that were there before
        self._known: set[str] = set()  # what was here already, which ``_roots`` knows
        self._named_in: set[str] = set()  # folders with new names
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
        try:
            with self._flusher:
                self._fetch([wanted for wanted in self._wanted if not self._settle(wanted)])
                self._flush_group()
                self._publish_flushed(but=0)
        finally:
            for written in chain(self._group, *(group for group, _ in self._flushing)):
                written.file.close()
        for folder in self._named_in:
            disk.sync_folder(Path(folder))

    def _fetch(self, left: list[DownloadRequest]) -> None:
        """Fetch what is not here, if the disk has room for it."""
        if disk.free_space(self._folder) < sum(w.content.size for w in left) + SPARE:
            full = DiskError(str(self._folder), "full")
            while left:
                self._report(left.pop(), full)
        turn = 0
        while left:
            left = self._take_turn(left, turn)
            turn += 1

    def _settle(self, wanted: DownloadRequest) -> bool:
        """Report the file at once if it is here already or may not be written."""
        try:
            for path in finals(self._prefix + safe_names.check(wanted.name)):
                if not os.path.lexists(path):
                    return False
                if self._is_content(wanted, path):
                    self._report(wanted, Outcome(Path(path), already=True))
                    return True
        except RedeError as error:
            self._report(wanted, error)
        return True

    def _take_turn(self, left: list[DownloadRequest], turn: int) -> list[DownloadRequest]:
        """Ask each file's source number ``turn``; return those to be asked of the next one."""
        by_source: dict[Address, list[DownloadRequest]] = {}
        for wanted in left:
            by_source.setdefault(wanted.sources[turn], []).append(wanted)
        again: list[DownloadRequest] = []
        for source, asked in by_source.items():
            for wanted, error in self._fetch_from(source, asked):
                if len(wanted.sources) > turn + 1 and not isinstance(error, DiskError):
                    again.append(wanted)
                else:
                    self._report(wanted, error)
        return again

    def _fetch_from(
        self, source: Address, asked: list[DownloadRequest]
    ) -> list[tuple[DownloadRequest, RedeError]]:
        """Fetch files over one connection; return what failed, and why."""
        failed: list[tuple[DownloadRequest, RedeError]] = []
        waiting = deque(asked)  # not asked yet
        ahead: deque[DownloadRequest] = deque()  # asked, not answered
        try:
            self._check_cancelled()
            with self._connect(source) as connection:
                self._adopt(connection)
                self._check_cancelled()  # perhaps while we were dialling
                while waiting or ahead:
                    self._ask_ahead(connection, waiting, ahead)
                    error = self._receive(connection, source, ahead[0])
                    wanted = ahead.popleft()
                    if error is not None:
                        failed.append((wanted, error))
        except RedeError as lost:
            cause: RedeError = lost
            if isinstance(lost, ConnectionLostError | ProtocolError):
                cause = PeerUnreachableError(source, lost)
            if self._cancelled:
                cause = InterruptedByUserError()
            failed += [(wanted, cause) for wanted in (*ahead, *waiting)]
        finally:
            self._adopt(None)
        return failed

    def _ask_ahead(
        self, connection: Connection, waiting: deque[DownloadRequest], ahead: deque[DownloadRequest]
    ) -> None:
        """Send as many requests as may be under way, many in one packet."""
        if len(ahead) > AHEAD // 2:
            return
        lines = []
        while waiting and len(ahead) < AHEAD:
            wanted = waiting.popleft()
            count = merkle.piece_count(wanted.content.size)
            lines.append(codec.encode_request(Pieces(wanted.content.root, 0, count)))
            ahead.append(wanted)
        connection.send(b"".join(lines))

    def _receive(
        self, connection: Connection, source: Address, wanted: DownloadRequest
    ) -> RedeError | None:
        """Take one answer; return what is wrong with this file, raise what ends them all."""
        try:
            body = connection.receive_reply(FileData)
        except RefusedError as no:
            return PeerUnreachableError(source, no)
        if body.bytes != wanted.content.size:
            raise ProtocolError("bad-length")
        data = connection.receive_exactly(body.bytes)
        layer = merkle.layer_of(data)
        if merkle.root_of(layer, len(data)) != wanted.content.root:
            return VerificationError(wanted.name, source)
        return self._write(wanted, data, layer)

    def _write(self, wanted: DownloadRequest, data: bytearray, layer: bytes) -> DiskError | None:
        """Write a file that is right; return why it cannot be."""
        try:
            file = self._begin(wanted.name)
        except DiskError as error:
            return error
        try:
            file.write_whole(data)
        except DiskError as error:
            _drop(file)
            return error
        self._group.append(Written(wanted, file, layer))
        self._group_size += len(data)
        if len(self._group) == GROUP or self._group_size >= GROUP_SIZE:
            self._flush_group()
            self._publish_flushed(but=UNFLUSHED)
        return None

    def _begin(self, name: str) -> AnonymousFile | PartialFile:
        """Open a new file, or the partial one that an earlier ``get`` has left."""
        path = self._prefix + name
        folder, last = os.path.split(path)
        left = self._left_in.get(folder)
        if left is None:
            if folder != self._top and disk.has_link(self._top, folder):
                raise DiskError(folder, "link-folder")
            left = self._left_in[folder] = _partials_in(folder)
        if not left or safe_names.partial(last) not in left:
            unnamed = AnonymousFile.make(path, folder)
            if unnamed is not None:
                return unnamed
        return PartialFile(path_of(path))

    def _flush_group(self) -> None:
        """Begin to make what has been written durable."""
        if self._group:
            files = [written.file for written in self._group]
            self._flushing.append((self._group, self._flusher.submit(_flush_all, files)))
            self._group, self._group_size = [], 0

    def _publish_flushed(self, but: int) -> None:
        """Publish what is on the disk, waiting until no more than ``but`` groups are not."""
        while self._flushing and (self._flushing[0][1].done() or len(self._flushing) > but):
            group, flushed = self._flushing[0]
            try:
                flushed.result()
            except DiskError as error:
                for written in group:
                    _drop(written.file)
                    self._report(written.wanted, error)
            else:
                self._publish(group)
            self._flushing.popleft()

    def _publish(self, group: list[Written]) -> None:
        """Give files whose bytes are on the disk their names, then report them."""
        named: list[tuple[DownloadRequest, str, Hashed]] = []
        for wanted, file, layer in group:
            is_same = functools.partial(self._is_content, wanted)
            try:
                hashed = Hashed(file.stamp(), wanted.content, layer)
                path = file.publish(finals(self._prefix + wanted.name), is_same)
                named.append((wanted, path, hashed))
                self._named_in.add(os.path.dirname(path))
                file.close()
            except RedeError as error:
                _drop(file)
                self._report(wanted, error)
        self._roots.remember((path, one) for _, path, one in named if path not in self._known)
        for wanted, path, _ in named:
            self._report(wanted, Outcome(Path(path), already=False))

    def _is_content(self, wanted: DownloadRequest, path: str) -> bool:
        is_content = self._roots.is_content(Path(path), wanted.content, self._check_cancelled)
        if is_content:
            self._known.add(path)
        return is_content

    def _adopt(self, connection: Connection | None) -> None:
        """Let ``cancel`` know which connection to hang up."""
        with self._lock:
            self._connection = connection

    def _check_cancelled(self) -> None:
        if self._cancelled:
            raise InterruptedByUserError


def _partials_in(folder: str) -> set[str]:
    with suppress(OSError):
        return {name for name in os.listdir(folder) if name.endswith(safe_names.PARTIAL)}
    return set()


def _flush_all(files: Sequence[AnonymousFile | PartialFile]) -> None:
    """Make the content of many small files durable, with one flush where the system has one."""
    if not disk.sync_everything():
        for file in files:
            file.flush()


def _drop(file: AnonymousFile | PartialFile) -> None:
    """Leave nothing of a file that could not be kept: the disk may be full."""
    with suppress(DiskError):
        file.discard()
    file.close()
