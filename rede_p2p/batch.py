"""Many small files: one connection a source, requests sent ahead, durable in groups.

Each file is verified by its own root and gets its final name only when its bytes are on the disk;
what is shared among them is the waiting: for the network and for the disk. The caller's thread
receives and verifies; two others write, flush and publish a group while the next ones arrive.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from threading import Lock, Thread

from rede_p2p import disk, merkle, names, wire
from rede_p2p.connection import Connection
from rede_p2p.download import SPARE, Connect, Outcome, Wanted
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
from rede_p2p.messages import Body, Pieces
from rede_p2p.partial import Partial, finals, path_of
from rede_p2p.roots import Hashed, Roots

SMALL = 1024 * 1024  # bytes; a larger file is a download of its own
AHEAD = 64  # requests sent before their replies are read
GROUP = 256  # files made durable with one flush, and open for so long
GROUP_SIZE = 8 * 1024 * 1024  # bytes, in memory until they are written
WRITERS = 2  # one writes while another waits for the disk

Report = Callable[[Wanted, "Outcome | RedeError"], None]


@dataclass(frozen=True)
class Fetched:
    """A file that has arrived and is right; its bytes are in memory."""

    wanted: Wanted
    data: bytearray
    layer: bytes


class Batch:
    """The small files of one ``get``; see the module's docstring."""

    def __init__(
        self,
        wanted: Sequence[Wanted],
        folder: Path,
        connect: Connect,
        roots: Roots,
        report: Report,
    ) -> None:
        """Prepare; ``report`` is told the outcome of each file, from any of the threads."""
        self._wanted = wanted
        self._folder = folder
        self._prefix = os.path.join(folder, "")  # a name after it is a path
        self._connect = connect
        self._roots = roots
        self._report = report
        self._full: Queue[list[Fetched]] = Queue(maxsize=WRITERS)  # [] ends a writer
        self._group: list[Fetched] = []
        self._group_size = 0  # bytes
        self._bug: BaseException | None = None  # what nobody foresaw, in a writer
        self._named_in: set[str] = set()  # folders with new names; one add() is atomic
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
        writers = [Thread(target=self._write, name="writer") for _ in range(WRITERS)]
        for writer in writers:
            writer.start()
        try:
            self._fetch([wanted for wanted in self._wanted if not self._settle(wanted)])
        finally:
            for _ in writers:
                self._full.put([])
            for writer in writers:
                writer.join()
            for folder in self._named_in:
                disk.sync_folder(Path(folder))
        if self._bug is not None:
            raise self._bug

    def _fetch(self, left: list[Wanted]) -> None:
        """Fetch what is not here, if the disk has room for it."""
        if disk.free_space(self._folder) < sum(w.content.size for w in left) + SPARE:
            full = DiskError(str(self._folder), "full")
            while left:
                self._report(left.pop(), full)
        turn = 0
        while left:
            left = self._take_turn(left, turn)
            turn += 1
        self._hand_over()

    def _settle(self, wanted: Wanted) -> bool:
        """Report the file at once if it is here already or may not be written."""
        try:
            for path in finals(self._prefix + names.check(wanted.name)):
                if not os.path.lexists(path):
                    return False
                if self._is_content(wanted, path):
                    self._report(wanted, Outcome(Path(path), already=True))
                    return True
        except RedeError as error:
            self._report(wanted, error)
        return True

    def _take_turn(self, left: list[Wanted], turn: int) -> list[Wanted]:
        """Ask each file's source number ``turn``; return those to be asked of the next one."""
        by_source: dict[Address, list[Wanted]] = {}
        for wanted in left:
            by_source.setdefault(wanted.sources[turn], []).append(wanted)
        again: list[Wanted] = []
        for source, asked in by_source.items():
            for wanted, error in self._fetch_from(source, asked):
                if len(wanted.sources) > turn + 1 and not isinstance(error, DiskError):
                    again.append(wanted)
                else:
                    self._report(wanted, error)
        return again

    def _fetch_from(self, source: Address, asked: list[Wanted]) -> list[tuple[Wanted, RedeError]]:
        """Fetch files over one connection; return what failed, and why."""
        failed: list[tuple[Wanted, RedeError]] = []
        waiting = deque(asked)  # not asked yet
        ahead: deque[Wanted] = deque()  # asked, not answered
        try:
            self._check_cancelled()
            with self._connect(source) as connection:
                self._adopt(connection)
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
        self, connection: Connection, waiting: deque[Wanted], ahead: deque[Wanted]
    ) -> None:
        """Send as many requests as may be under way, many in one packet."""
        if len(ahead) > AHEAD // 2:
            return
        lines = []
        while waiting and len(ahead) < AHEAD:
            wanted = waiting.popleft()
            count = merkle.piece_count(wanted.content.size)
            lines.append(wire.encode_request(Pieces(wanted.content.root, 0, count)))
            ahead.append(wanted)
        connection.send(b"".join(lines))

    def _receive(self, connection: Connection, source: Address, wanted: Wanted) -> RedeError | None:
        """Take one answer; return what is wrong with this file, raise what ends them all."""
        try:
            body = connection.receive_reply(Body)
        except RefusedError as no:
            return PeerUnreachableError(source, no)
        if body.bytes != wanted.content.size:
            raise ProtocolError("bad-length")
        data = connection.receive_exactly(body.bytes)
        layer = merkle.layer_of(data)
        if merkle.root_of(layer, len(data)) != wanted.content.root:
            return VerificationError(wanted.name, source)
        self._group.append(Fetched(wanted, data, layer))
        self._group_size += len(data)
        if len(self._group) == GROUP or self._group_size >= GROUP_SIZE:
            self._hand_over()
        return None

    def _hand_over(self) -> None:
        if self._group:
            self._full.put(self._group)
            self._group, self._group_size = [], 0

    def _write(self) -> None:
        """Write each group until the last; an error never leaves the main thread waiting."""
        while group := self._full.get():
            try:
                self._write_group(group)
            except BaseException as error:  # noqa: BLE001 - run() raises it
                self._bug = error

    def _write_group(self, group: list[Fetched]) -> None:
        """Write files, make them durable with one flush, then give them their names."""
        with ExitStack() as stack:
            written = []
            for fetched in group:
                try:
                    partial = Partial(path_of(self._prefix + fetched.wanted.name))
                except DiskError as error:
                    self._report(fetched.wanted, error)
                    continue
                stack.enter_context(partial)
                try:
                    partial.write_whole(fetched.data)
                    written.append((fetched, partial))
                except DiskError as error:
                    self._give_up(fetched, partial, error)
            try:
                disk.sync_all([partial.path for _, partial in written])
            except DiskError as error:
                for fetched, partial in written:
                    self._give_up(fetched, partial, error)
            else:
                self._publish(written)

    def _give_up(self, fetched: Fetched, partial: Partial, error: RedeError) -> None:
        """Report a file that could not be kept, and leave nothing of it: the disk may be full."""
        with suppress(DiskError):
            partial.discard()
        self._report(fetched.wanted, error)

    def _publish(self, written: list[tuple[Fetched, Partial]]) -> None:
        """Give files whose bytes are on the disk their names, then report them."""
        named: list[tuple[Wanted, str, bytes]] = []
        for fetched, partial in written:
            wanted = fetched.wanted
            is_same = functools.partial(self._is_content, wanted)
            try:
                path = partial.publish(finals(self._prefix + wanted.name), is_same, flushed=True)
                named.append((wanted, path, fetched.layer))
                self._named_in.add(os.path.dirname(path))
            except RedeError as error:
                self._give_up(fetched, partial, error)
        self._roots.remember(
            (path, Hashed(stamp, wanted.content, layer))
            for wanted, path, layer in named
            if (stamp := disk.stamp(path)) is not None
        )
        for wanted, path, _ in named:
            self._report(wanted, Outcome(Path(path), already=False))

    def _is_content(self, wanted: Wanted, path: str) -> bool:
        return self._roots.is_content(Path(path), wanted.content, self._check_cancelled)

    def _adopt(self, connection: Connection | None) -> None:
        """Let ``cancel`` know which connection to hang up."""
        with self._lock:
            self._connection = connection

    def _check_cancelled(self) -> None:
        if self._cancelled:
            raise InterruptedByUserError
