"""One TCP connection that speaks the grammar of docs/PROTOCOLO.md, with a deadline on every wait.

Above this module nobody sees an OSError of a socket, only ConnectionLostError and ProtocolError.
One thread owns a Connection and alone closes it; any thread may hang it up, which wakes the owner.
"""

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, TypeVar

from rede_p2p.content import disk
from rede_p2p.errors import Address, ConnectionLostError, ProtocolError
from rede_p2p.net import sending
from rede_p2p.net.address import address_of, raw_of
from rede_p2p.net.losses import loss_of
from rede_p2p.net.patience import Patience, is_flood
from rede_p2p.protocol import codec
from rede_p2p.protocol.compression import decompress
from rede_p2p.protocol.messages import Listing
from rede_p2p.timeouts import DEFAULT, Timeouts

BUFFER_BYTES = codec.MAX_LINE_BYTES + 64 * 1024  # a line of any length, and a small body behind it
MIN_PROGRESS_BYTES = 64 * 1024  # that go or come within ``stall_s``: less is a dribble
MAX_HELD_BYTES = 64 * 1024  # of small answers that are sent together
BODY_STEP_BYTES = 256 * 1024  # of a body, for which memory is taken before they are here

Message = TypeVar("Message")
OnPending = Callable[[codec.Pending], None]


class Connection:
    """A connected TCP socket, and what was received from it and not read yet."""

    def __init__(
        self, sock: socket.socket, timeouts: Timeouts = DEFAULT, buffer_bytes: int = BUFFER_BYTES
    ) -> None:
        """Take over a socket, with a buffer that grows at need; raise ConnectionLostError."""
        try:
            self.local = address_of(sock.getsockname())
            self.remote = address_of(sock.getpeername())
            # Requests are small and answered at once: Nagle's algorithm (RFC 896) would delay them.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise loss_of(error) from error
        self._sock, self._timeouts = sock, timeouts
        self.idle_since = float("inf")  # monotonic; set while a request is awaited here
        self._made, self._pendings = time.monotonic(), 0  # how often it has said "espera"
        self._taken_bytes, self._waited_s = 0, 0.0  # since MIN_PROGRESS_BYTES were last taken
        # One buffer for the whole life: taking memory for each message costs more than copying.
        self._use(disk.page_buffer(buffer_bytes))
        self._start = self._end = 0  # between them: received and not read
        self._held = bytearray()  # small answers, sent with what comes next
        self._low_water = 1  # the socket's SO_RCVLOWAT, bytes
        self._timeout: float | None = -1.0  # the socket's, seconds

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def send(self, data: bytes | memoryview) -> None:
        """Send all of it; the other side must take MIN_PROGRESS_BYTES every ``stall_s``."""
        view = memoryview(data)
        if self._held:
            view, self._held = memoryview(self._held + data), bytearray()
        try:
            self._set_timeout(self._timeouts.stall_s)
            while view:
                began = time.monotonic()
                view = view[(taken := self._sock.send(view)) :]
                self._note_taken(taken, time.monotonic() - began)
        except OSError as error:
            raise loss_of(error) from error

    def send_soon(self, data: bytes | memoryview) -> None:
        """Send it together with the answers to requests that have already arrived."""
        has_request = self._find(b"\n", self._start, self._end) >= 0
        if has_request and len(self._held) + len(data) < MAX_HELD_BYTES:
            self._held += data
        else:
            self.send(data)

    def send_file(self, file: BinaryIO, start: int, count: int) -> int:
        """Send a range of a file by sendfile(2); return how many bytes went."""
        if count == 0:
            return 0
        self.send(b"")
        try:
            self._set_timeout(self._timeouts.stall_s)
            return sending.send_file(self._sock, file, start, count, self._note_taken)
        except OSError as error:
            raise loss_of(error) from error

    def receive_line(self, timeout: float) -> bytes | None:
        """Return a line with its LF within ``timeout``, ``line_s`` once begun; None at the end."""
        left = min(timeout, self._timeouts.line_s) if self._start < self._end else timeout
        deadline, searched = time.monotonic() + left, self._start
        while (at := self._find(b"\n", searched, self._end)) < 0:
            if self._end - self._start >= codec.MAX_LINE_BYTES:
                raise ProtocolError("long-line")
            if left <= 0:
                raise ConnectionLostError("silent")
            if self._end == len(self._view):
                self._make_room()
            searched, begins = self._end, self._start == self._end
            if not (count := self._receive(self._view[self._end :], left)):
                if not begins:
                    raise ConnectionLostError("lost")
                return None
            self._end += count
            now = time.monotonic()
            deadline = min(deadline, now + self._timeouts.line_s) if begins else deadline
            left = deadline - now
        if at - self._start >= codec.MAX_LINE_BYTES:
            raise ProtocolError("long-line")
        line = bytes(self._view[self._start : at + 1])
        self._advance(len(line))
        return line

    def receive_into(self, view: memoryview, low_water: int, stall_s: float | None = None) -> int:
        """Fill at least one byte of ``view``, waiting for ``low_water`` bytes where possible."""
        if count := min(len(view), self._end - self._start):
            view[:count] = self._view[self._start : self._start + count]
            self._advance(count)
        elif not (count := self._receive(view, stall_s or self._timeouts.stall_s, low_water)):
            raise ConnectionLostError("lost")
        return count

    def receive_all(self, view: memoryview, stall_s: float | None = None) -> None:
        """Fill the whole view; each MIN_PROGRESS_BYTES of it must arrive within ``stall_s``."""
        stall_s = stall_s or self._timeouts.stall_s
        deadline, due = time.monotonic() + stall_s, len(view) - MIN_PROGRESS_BYTES
        while view:
            # One wake-up for 64 KiB, and not one for each packet of a slow network.
            view = view[self.receive_into(view, min(len(view), MIN_PROGRESS_BYTES), stall_s) :]
            if len(view) <= due:
                deadline, due = time.monotonic() + stall_s, len(view) - MIN_PROGRESS_BYTES
            elif time.monotonic() > deadline:
                raise ConnectionLostError("silent")

    def await_together(self, count: int) -> None:
        """Wait for ``count`` bytes at most ``head_body_wait_s``, so that one wake-up serves all."""
        missing = min(count, len(self._view)) - (self._end - self._start)
        if missing <= 0:
            return
        if len(self._view) - self._end < missing:
            self._make_room()
        with suppress(ConnectionLostError):  # the next read raises it
            wait_s = self._timeouts.head_body_wait_s
            self._end += self._receive(self._view[self._end :], wait_s, missing)

    def check_here(self) -> None:
        """Raise ConnectionLostError if the other side has left; keep what it says meanwhile."""
        self._make_room()
        try:
            count = self._receive(self._view[self._end :], 0)
        except ConnectionLostError as error:
            if isinstance(error.__cause__, BlockingIOError):
                return
            raise
        if not count:  # nor does anybody have so much to say before an answer
            raise ConnectionLostError("lost")
        self._end += count

    def receive_exactly(self, count: int, stall_s: float | None = None) -> bytearray:
        """Return ``count`` bytes, which the caller has bounded; memory grows as they arrive."""
        data = bytearray(min(count, BODY_STEP_BYTES))
        self.receive_all(memoryview(data), stall_s)
        while len(data) < count:
            data += self.receive_exactly(min(count - len(data), BODY_STEP_BYTES), stall_s)
        return data

    def receive_reply(
        self, kind: type[Message], timeout: float | None = None, on_pending: OnPending | None = None
    ) -> Message:
        """Return the next reply, a line within ``timeout`` or ``reply_s``; raise RefusedError.

        ``on_pending`` is given each "espera"; who says nothing better for ``pending_s`` is lost.
        """
        patience: Patience | None = None
        while True:
            line = self.receive_line(timeout or self._timeouts.reply_s)
            if line is None:
                raise ConnectionLostError("lost")
            reply = codec.decode_reply(line, kind)
            if not isinstance(reply, codec.Pending):
                return reply
            self._pendings += 1
            patience = patience or Patience(self._timeouts)
            flood = is_flood(self._pendings, time.monotonic() - self._made)
            if patience.is_over(reply) or flood:
                raise ConnectionLostError("silent")
            if on_pending is not None:
                on_pending(reply)

    def ask(
        self,
        request: codec.Request,
        kind: type[Message],
        timeout: float | None = None,
        on_pending: OnPending | None = None,
    ) -> Message:
        """Send a request and return its reply, as ``receive_reply`` does."""
        self.send(codec.encode_request(request))
        return self.receive_reply(kind, timeout, on_pending)

    def ask_lines(
        self, request: codec.Request, kind: type[Message], on_pending: OnPending | None = None
    ) -> codec.Lines[Message]:
        """Send a request whose reply is a listing, and return its lines."""
        listing = self.ask(request, Listing, on_pending=on_pending)
        body = bytes(self.receive_exactly(listing.bytes))  # which the head has bounded
        if listing.zlib:
            body = decompress(body)
        return codec.Lines(codec.decode_lines(body, kind, listing.count), listing.total)

    def reply(self, message: object) -> None:
        """Send a reply without a body."""
        self.send(codec.encode_reply(message))

    def hang_up(self) -> None:
        """Shut the connection down, from any thread; the owner wakes, and closes it."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Free the socket; only the owner may."""
        self._sock.close()

    def _note_taken(self, count: int, waited_s: float) -> None:
        """Record what the other side took, and how long it made this one wait for that."""
        self._taken_bytes += count
        self._waited_s += waited_s
        if self._taken_bytes >= MIN_PROGRESS_BYTES:
            self._taken_bytes, self._waited_s = 0, 0.0
        elif self._waited_s > self._timeouts.stall_s:
            raise TimeoutError

    def _use(self, view: memoryview) -> None:
        """Receive into this buffer from now on."""
        self._view = view
        self._find: Callable[[bytes, int, int], int] = view.obj.find  # type: ignore[attr-defined]

    def _make_room(self) -> None:
        """Move what is unread to the front of the buffer, or of a larger one if that is full."""
        left = bytes(self._view[self._start : self._end])
        if len(left) == len(self._view) < BUFFER_BYTES:
            self._use(disk.page_buffer(BUFFER_BYTES))
        self._view[: len(left)] = left
        self._start, self._end = 0, len(left)

    def _advance(self, count: int) -> None:
        self._start += count
        if self._start == self._end:
            self._start = self._end = 0

    def _receive(self, view: memoryview, timeout: float, low_water: int = 1) -> int:
        """Fill some of ``view`` from the socket; return how many bytes, 0 at the end."""
        if self._held:
            self.send(b"")
        if low_water != self._low_water:
            self._low_water = low_water
            with suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, low_water)
        try:
            self._set_timeout(timeout)
            return self._sock.recv_into(view)
        except OSError as error:
            raise loss_of(error) from error

    def _set_timeout(self, seconds: float) -> None:
        if seconds != self._timeout:  # a system call, where Python's socket makes one
            self._timeout = seconds
            self._sock.settimeout(seconds)


def dial(
    address: Address,
    source: str | None = None,
    timeouts: Timeouts = DEFAULT,
    timeout: float | None = None,
) -> Connection:
    """Connect from ``source`` within ``timeout`` s, or ``dial_s``; raise ConnectionLostError."""
    try:
        local = source and (raw_of(source, 0, address.ip) if "%" in source else (source, 0))
        sock = socket.create_connection(address, timeout or timeouts.dial_s, local or None)
    except OSError as error:
        raise loss_of(error) from error
    try:
        connection = Connection(sock, timeouts)
        if connection.local == connection.remote:
            # TCP's simultaneous open: an unused port of the ephemeral range connects to itself.
            raise ConnectionLostError("refused")
        return connection
    except ConnectionLostError:
        sock.close()
        raise
