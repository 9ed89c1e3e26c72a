"""Many small files: one connection a source, requests sent ahead, durable in groups.

Each file is verified by its own root and gets its final name only when its bytes are on the disk;
what is shared among them is the waiting: for the network and for the disk. Two threads: the
caller receives, another flushes and publishes a group while the next one arrives.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
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
GROUP = 128  # files made durable at once, and open for so long

Report = Callable[[Wanted, "Outcome | RedeError"], None]
Fetched = tuple[Wanted, Partial, bytes]  # the last is its layer of piece hashes


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
        """Prepare; ``report`` is told the outcome of each file, from either thread."""
        self._wanted = wanted
        self._folder = folder
        self._connect = connect
        self._roots = roots
        self._report = report
        self._full: Queue[list[Fetched]] = Queue(maxsize=2)  # [] ends it
        self._group: list[Fetched] = []
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
        publisher = Thread(target=self._publish, name="publish")
        publisher.start()
        try:
            left = [wanted for wanted in self._wanted if not self._settle(wanted)]
            if disk.free_space(self._folder) < sum(w.content.size for w in left) + SPARE:
                full = DiskError(str(self._folder), "full")
                while left:
                    self._report(left.pop(), full)
            turn = 0
            while left:
                left = self._take_turn(left, turn)
                turn += 1
            self._hand_over()
        finally:
            self._full.put([])
            publisher.join()

    def _settle(self, wanted: Wanted) -> bool:
        """Report the file at once if it is here already or may not be written."""
        try:
            for path in finals(self._folder / names.check(wanted.name)):
                if not os.path.lexists(path):
                    return False
                if self._roots.is_content(path, wanted.content, self._check_cancelled):
                    self._report(wanted, Outcome(path, already=True))
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
        try:
            partial = Partial(path_of(self._folder / wanted.name))
            try:
                partial.write_whole(data)
            except DiskError:
                partial.discard()
                partial.close()
                raise
        except DiskError as error:
            return error
        self._group.append((wanted, partial, layer))
        if len(self._group) == GROUP:
            self._hand_over()
        return None

    def _hand_over(self) -> None:
        if self._group:
            self._full.put(self._group)
            self._group = []

    def _publish(self) -> None:
        """Make each group durable with one flush, then give its files their names."""
        while group := self._full.get():
            try:
                disk.sync_all([partial.path for _, partial, _ in group])
            except DiskError as error:
                for wanted, partial, _ in group:
                    partial.close()
                    self._report(wanted, error)
                continue
            for wanted, partial, layer in group:
                self._report(wanted, self._name(wanted, partial, layer))
            for folder in {partial.path.parent for _, partial, _ in group}:
                disk.sync_folder(folder)

    def _name(self, wanted: Wanted, partial: Partial, layer: bytes) -> Outcome | RedeError:
        def is_same(path: Path) -> bool:
            return self._roots.is_content(path, wanted.content, self._check_cancelled)

        try:
            path = partial.publish(finals(self._folder / wanted.name), is_same, flushed=True)
        except RedeError as error:
            return error
        finally:
            partial.close()
        stamp = disk.stamp(path)
        if stamp is not None:
            self._roots.remember(str(path), Hashed(stamp, wanted.content, layer))
        return Outcome(path, already=False)

    def _adopt(self, connection: Connection | None) -> None:
        """Let ``cancel`` know which connection to hang up."""
        with self._lock:
            self._connection = connection

    def _check_cancelled(self) -> None:
        if self._cancelled:
            raise InterruptedByUserError
