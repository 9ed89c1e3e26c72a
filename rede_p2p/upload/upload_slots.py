"""Sending parts of files to other peers: how many at once, in what order, and how fast in all.

A large body needs a slot. Requesters that find every slot taken wait in a queue, in the order of
their requests, and are sent their place in it. One address gets at most half of the slots. When all
are taken, what it has beyond its share does not count, so that slow readers leave the others theirs
however often they ask. With a limit, each chunk has its moment on one common clock, so that the
uploads share the limit evenly. Beyond the slots an address then has a first upload, but no second:
there are never twice as many as slots, each with at least half of MIN_RATE_BYTES_PER_S.
"""

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import Condition, Event, Lock
from time import monotonic
from typing import BinaryIO

from rede_p2p.content import disk, merkle
from rede_p2p.content.disk import FileState
from rede_p2p.errors import ConnectionLostError, DiskError, RefusedError
from rede_p2p.net.connection import Connection
from rede_p2p.net.turns import Turns
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.upload.upload_tally import UploadTally

MAX_UPLOADS = 32  # at once
UNLIMITED_CHUNK_BYTES = 4 * 1024 * 1024  # handed to the kernel at once where there is no limit
MIN_RATE_BYTES_PER_S = 8 * 1024  # of one upload; a receiver gives up below about 4 KiB/s
MIN_LIMIT_BYTES_PER_S = 2 * MIN_RATE_BYTES_PER_S  # so that there are slots for two addresses
MIN_PACED_CHUNK_BYTES = 16 * 1024
MIN_CHUNK_TIME_S = 0.005  # that a chunk should last: the system sleeps no shorter with precision
MAX_SMALL_BODY_BYTES = 64 * 1024  # of a body that needs no slot, and is sent with its head
MAX_REPLY_HEAD_BYTES = 4096  # more than any head takes


class UploadSlots:
    """The slots and the clock of one peer, shared by the threads that serve."""

    def __init__(
        self, limit: int | None = None, slots: int = MAX_UPLOADS, timeouts: Timeouts = DEFAULT
    ) -> None:
        """Send at most ``limit`` bytes per second in all; None means no limit.

        With a limit there are only as many slots as get MIN_RATE_BYTES_PER_S each.
        """
        self.limit = limit
        if limit is not None:
            slots = max(1, min(slots, limit // MIN_RATE_BYTES_PER_S))
        self._place_report_s = timeouts.place_report_s
        self._slots = slots
        self.tally = UploadTally()
        self.turns = Turns(timeouts)  # of lists, which need no slot
        self._closed = Event()
        self._lock = Condition(Lock())  # guards everything below
        self._queue: deque[Upload] = deque()
        self._active: list[Upload] = []  # those that have a slot
        self._due = 0.0  # when the next chunk may leave, on the monotonic clock

    def close(self) -> None:
        """End every wait, now and later, with ConnectionLostError; from any thread."""
        self._closed.set()
        with self._lock:
            self._lock.notify_all()

    def active(self) -> list["Upload"]:
        """List the uploads that have a slot; from any thread."""
        with self._lock:
            return list(self._active)

    @contextmanager
    def slot(self, upload: "Upload", report_place: Callable[[int], None]) -> Iterator[None]:
        """Wait for a slot, and keep it while the block runs.

        ``report_place`` is called every ``place_report_s`` with the place in the queue, from 1; it
        may raise to give up. Raises ConnectionLostError once the slots are closed.
        """
        with self._lock:
            self._queue.append(upload)
            self._admit()
        try:
            while place := self._wait_for_slot(upload):
                report_place(place)
            yield
        finally:
            with self._lock:
                (self._active if upload in self._active else self._queue).remove(upload)
                self._admit()

    def chunks(self, length: int) -> Iterator[tuple[int, int]]:
        """Yield (offset, length) of each chunk of ``length`` bytes when its moment has come."""
        step = UNLIMITED_CHUNK_BYTES
        if self.limit:
            step = min(step, max(MIN_PACED_CHUNK_BYTES, int(self.limit * MIN_CHUNK_TIME_S)))
        for offset, count in merkle.cut(length, step):
            if self.limit:
                self._pace(count / self.limit)
            yield offset, count

    def pause(self, seconds: float) -> None:
        """Wait some seconds; raise ConnectionLostError once the slots are closed."""
        if self._closed.wait(seconds):
            raise ConnectionLostError("lost")

    def _wait_for_slot(self, upload: "Upload") -> int:
        """Wait ``place_report_s`` for a slot; return 0 with one, else the place in the queue."""
        with self._lock:
            has_slot = self._lock.wait_for(
                lambda: self._closed.is_set() or upload in self._active, self._place_report_s
            )
            if self._closed.is_set():
                raise ConnectionLostError("lost")
            return 0 if has_slot else self._queue.index(upload) + 1

    def _admit(self) -> None:
        """Give slots to those who wait, as long as there are any for them."""
        while (upload := self._next()) is not None:
            self._queue.remove(upload)
            self._active.append(upload)
            self._lock.notify_all()

    def _next(self) -> "Upload | None":
        """Return the first in the queue that may have a slot, if there is one for it."""
        if not self._queue:
            return None
        held = Counter(one.to for one in self._active)
        most = max(1, self._slots // 2)
        if len(self._active) >= self._slots:
            addresses = held.keys() | {one.to for one in self._queue}
            # Its share; with a limit no more than needed, for each is so much slower.
            most = 1 if self.limit else max(1, self._slots // len(addresses))
            if sum(min(count, most) for count in held.values()) >= self._slots:
                return None
        return next((one for one in self._queue if held[one.to] < most), None)

    def _pace(self, seconds: float) -> None:
        """Wait for the moment of a chunk that takes so many seconds."""
        with self._lock:
            now = monotonic()
            due = max(now, self._due)
            self._due = due + seconds
        self.pause(due - now)


class Upload:
    """What one connection is sent; used by the connection's thread, read by any."""

    def __init__(
        self, connection: Connection, slots: UploadSlots, report_place: Callable[[int], None]
    ) -> None:
        """Send to a connection; ``report_place`` is called as by ``slots.slot``."""
        self.to = connection.remote.ip
        self.name = ""  # of the file
        self.began = 0.0  # when its first part was to be sent, on the monotonic clock
        self.sent = 0  # bytes of it in large bodies
        self._connection = connection
        self._slots = slots
        self._report_place = report_place
        self._small = disk.page_buffer(MAX_REPLY_HEAD_BYTES + MAX_SMALL_BODY_BYTES)
        self.pause = slots.pause  # seconds

    def send(
        self,
        file: BinaryIO,
        name: str,
        state: FileState | None,
        head: bytes,
        start: int,
        length: int,
    ) -> None:
        """Send the head of a reply and its body, ``length`` bytes of ``file`` from ``start`` on.

        The file must be in ``state`` from the first byte to the last, unless that is None: the last
        byte leaves only after a second look, so that no receiver takes a mix of two contents for a
        whole. It may be removed or replaced meanwhile. Raises RefusedError or DiskError before the
        head has left, ConnectionLostError after.
        """
        if not _is_in(state, file):
            raise RefusedError("not-here" if _is_removed(file) else "changed")
        if length <= MAX_SMALL_BODY_BYTES and self._slots.limit is None:
            self._send_small(file, state, head, start, length)
            return
        with self._slot(name):
            self._connection.send(head)
            last = max(length - 1, 0)
            for offset, count in self._slots.chunks(last):
                self._send_part(file, start + offset, count)
            if not _is_in(state, file, removed=True):
                raise ConnectionLostError("changed")
            self._send_part(file, start + last, length - last)

    def send_data(self, name: str, head: bytes, length: int, read: Callable[[], bytearray]) -> None:
        """Send the head of a reply and its body, the ``length`` bytes that ``read`` returns.

        They take memory only once it is their turn. ``read`` may raise RefusedError, before the
        head has left. Raises ConnectionLostError, too.
        """
        if length <= MAX_SMALL_BODY_BYTES and self._slots.limit is None:
            self._connection.send_soon(head + read())
            return
        with self._slot(name), memoryview(read()) as view:
            self._connection.send(head)
            for offset, count in self._slots.chunks(length):
                self._connection.send(view[offset : offset + count])
                self.sent += count

    def _slot(self, name: str) -> AbstractContextManager[None]:
        """Return a slot in which to send of the file ``name``, as ``slots.slot`` does."""
        if name != self.name:
            self.name, self.began, self.sent = name, monotonic(), 0
        return self._slots.slot(self, self._report_place)

    def _send_part(self, file: BinaryIO, start: int, count: int) -> None:
        """Send a part of a body, of which the head has left: no other answer may follow it."""
        try:
            sent = self._connection.send_file(file, start, count)
        except DiskError as error:
            raise ConnectionLostError("changed") from error
        if sent != count:
            raise ConnectionLostError("changed")  # the file is shorter now
        self.sent += count

    def _send_small(
        self, file: BinaryIO, state: FileState | None, head: bytes, start: int, length: int
    ) -> None:
        """Send head and body in one packet, with the replies to requests sent ahead."""
        reply = self._small[: len(head) + length]
        reply[: len(head)] = head
        count = disk.read_into(file, start, reply[len(head) :])
        if count != length or not _is_in(state, file, removed=True):
            raise RefusedError("changed")
        self._connection.send_soon(reply)


def _is_in(state: FileState | None, file: BinaryIO, *, removed: bool = False) -> bool:
    """Tell whether an open file is in that state, or would be had it not been ``removed`` since.

    Of an edit that puts the time of the last one back, only the ctime tells. No edit but the loss
    of the last name may therefore have changed it.
    """
    if state is None:
        return True
    status = _status(file)
    if status is None:
        return False
    now = disk.state_of_status(status)
    if removed and not status.st_nlink:
        now = now._replace(ctime_ns=state.ctime_ns)
    return now == state


def _is_removed(file: BinaryIO) -> bool:
    """Tell whether an open file has no name any more, or its disk has been taken away."""
    status = _status(file)
    return status is None or not status.st_nlink


def _status(file: BinaryIO) -> os.stat_result | None:
    """Return the status of an open file, None where the share that it is on has been taken away."""
    try:
        return os.fstat(file.fileno())
    except OSError:
        return None
