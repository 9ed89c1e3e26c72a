"""Many small files: one connection for each source, requests sent ahead, flushed by the group.

Each file is verified by its own root, and gets its final name only when its bytes are on the disk;
the waiting, for the network and for the disk, is shared. The calling thread does everything but
wait for the disk: other threads flush a group, several files at once, while the next one arrives.
"""

from collections import Counter, deque
from collections.abc import Sequence
from threading import Lock

from rede_p2p import errors
from rede_p2p.content import merkle
from rede_p2p.download.flush_queue import Written
from rede_p2p.download.publisher import Publisher, drop
from rede_p2p.download.request import DownloadContext, DownloadRequest, Report
from rede_p2p.errors import Address, RedeError
from rede_p2p.events import Progress
from rede_p2p.net.connection import Connection
from rede_p2p.protocol.codec import encode_request
from rede_p2p.protocol.messages import FileData, Pieces

MAX_SMALL_FILE_BYTES = 1024 * 1024  # a larger file is a download of its own
PIPELINED_REQUESTS = 256  # sent before their replies are read


class SmallFiles:
    """The small files of one ``get``. ``cancel`` may be called from any thread."""

    def __init__(
        self, requests: Sequence[DownloadRequest], context: DownloadContext, report: Report
    ) -> None:
        """Prepare; ``report`` is given the outcome of each file, in the thread that runs."""
        self._requests = requests
        self._context = context
        self._report = report
        self._publisher = Publisher(context, report, self._check_cancelled)
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

    def progress(self) -> Progress:
        """Return nothing: what there is to tell was reported."""
        return Progress()

    def run(self) -> None:
        """Fetch them all, each from the first of its sources that gives it."""
        with self._publisher as publisher:
            self._fetch([one for one in self._requests if not publisher.is_settled(one)])
            publisher.publish_all()

    def _fetch(self, left: list[DownloadRequest]) -> None:
        """Ask each file's first source, then its second, and so on, if the disk has room."""
        if (no_room := self._publisher.no_room(left)) is not None:
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
        file = self._publisher.open(request.name)
        try:
            file.write_whole(data)
        except errors.DiskError:
            drop(file)
            raise
        self._publisher.add(Written(request, file, layer), len(data))

    def _switch_to(self, connection: Connection | None) -> None:
        """Let ``cancel`` know which connection to hang up."""
        with self._lock:
            self._connection = connection

    def _check_cancelled(self) -> None:
        if self._cancelled:
            raise errors.InterruptedByUserError
