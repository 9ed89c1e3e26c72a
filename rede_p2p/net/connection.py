"""Everything that touches a TCP socket: dial, listen, deadlines, hanging up.

This is the border: above it nobody sees an OSError of a socket, only ConnectionLostError (whose
``reason`` is refused, silent, unreachable, address or lost) and ProtocolError. A Connection is
owned by one thread, which alone closes it; any thread may hang it up, and that wakes the owner.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, TypeVar

from rede_p2p.content import disk
from rede_p2p.errors import Address, ConnectionLostError, ProtocolError, RedeError
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import Listing, Quit

DIAL_TIMEOUT = 4.0  # seconds for a connection to be made
REPLY_TIMEOUT = 8.0  # seconds for one whole line of reply
WAIT_TIMEOUT = 600.0  # seconds in which "not yet" must change, in place or in progress
STALL_TIMEOUT = 15.0  # seconds in which a body or a send must make some progress
TOGETHER = 0.5  # seconds that a head waits for its body to be read with it
BUFFER = codec.LINE_LIMIT + 64 * 1024  # bytes; a line of any length, and a small body behind it
HELD_LIMIT = 64 * 1024  # bytes of small answers that are sent together
BODY_STEP = 256 * 1024  # bytes of a body for which memory is taken before they are here
STALL_SIZE = 64 * 1024  # bytes that are progress: less is a dribble, meant to hold a thread

Message = TypeVar("Message")
RequestType = TypeVar("RequestType")


class Connection:
    """One TCP connection that speaks the wire's grammar."""

    def __init__(self, sock: socket.socket) -> None:
        try:
            self.local = address_of(sock.getsockname())
            self.remote = address_of(sock.getpeername())
            # Requests are small and answered at once: Nagle would only hold them back.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise _lost(error) from error
        self._sock = sock
        # Kept: memory taken anew for each message would cost more than what it holds.
        self._view = disk.pages(BUFFER)
        self._buffer: Any = self._view.obj  # the same, which can be searched
        self._start = self._end = 0  # between them, what was received and not read yet
        self._held = bytearray()  # to be sent with what comes next
        self._low_water = 1  # bytes for which a read waits
        self._timeout: float | None = -1.0  # seconds, that the socket knows of

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, data: bytes | memoryview) -> None:
        """Send all of it; the other side must take some every STALL_TIMEOUT."""
        view = memoryview(data)
        if self._held:
            view, self._held = memoryview(self._held + data), bytearray()
        try:
            self._wait_for(STALL_TIMEOUT)
            while view:
                view = view[self._sock.send(view) :]
        except OSError as error:
            raise _lost(error) from error

    def send_soon(self, data: bytes | memoryview) -> None:
        """Send it, together with the answers to the requests that are here already."""
        if len(self._held) + len(data) >= HELD_LIMIT or self._find_line_end(self._start) < 0:
            self.send(data)
        else:
            self._held += data

    def send_file(self, file: BinaryIO, start: int, count: int) -> int:
        """Hand a range of a file to the kernel; return how many bytes went."""
        if count == 0:
            return 0
        self.send(b"")
        try:
            self._wait_for(STALL_TIMEOUT)
            return self._sock.sendfile(file, start, count)
        except OSError as error:
            raise _lost(error) from error

    def receive_line(self, within: float) -> bytes | None:
        """Return one line with its LF, or None at a clean end.

        ``within`` seconds bound the whole line, so that one dribbled byte by byte holds nobody.
        """
        end, left, looked = time.monotonic() + within, within, self._start
        while (at := self._find_line_end(looked)) < 0:
            if self._end - self._start >= codec.LINE_LIMIT:
                raise ProtocolError("long-line")
            if left <= 0:
                raise ConnectionLostError("silent")
            if self._end == BUFFER:
                self._make_room()
            looked = self._end
            count = self._receive(self._view[self._end :], left)
            if not count:
                if self._start < self._end:
                    raise ConnectionLostError("lost")
                return None
            self._end += count
            left = end - time.monotonic()
        if at - self._start >= codec.LINE_LIMIT:
            raise ProtocolError("long-line")
        line = bytes(self._view[self._start : at + 1])
        self._skip(len(line))
        return line

    def _find_line_end(self, looked: int) -> int:
        """Return where the LF of the next line is, or -1; what comes before ``looked`` is known."""
        return int(self._buffer.find(b"\n", looked, self._end))

    def _make_room(self) -> None:
        """Move what is left to the front of the buffer."""
        left = bytes(self._view[self._start : self._end])
        self._view[: len(left)] = left
        self._start, self._end = 0, len(left)

    def _skip(self, count: int) -> None:
        """Note that so many bytes were read."""
        self._start += count
        if self._start == self._end:
            self._start = self._end = 0

    def receive_into(self, view: memoryview, low_water: int = 1) -> int:
        """Fill some of ``view``, at least one byte, within STALL_TIMEOUT; return how many.

        Where the system can, it waits for ``low_water`` bytes.
        """
        count = min(len(view), self._end - self._start)
        if count:
            view[:count] = self._view[self._start : self._start + count]
            self._skip(count)
            return count
        count = self._receive(view, STALL_TIMEOUT, low_water)
        if not count:
            raise ConnectionLostError("lost")
        return count

    def receive_all(self, view: memoryview) -> None:
        """Fill the whole view; each 64 KiB of it must arrive within STALL_TIMEOUT."""
        end, due = time.monotonic() + STALL_TIMEOUT, len(view) - STALL_SIZE
        while view:
            # Be woken once for 64 KiB, and not for each packet of a slow network.
            view = view[self.receive_into(view, min(len(view), STALL_SIZE)) :]
            if len(view) <= due:
                end, due = time.monotonic() + STALL_TIMEOUT, len(view) - STALL_SIZE
            elif time.monotonic() > end:
                raise ConnectionLostError("silent")

    def await_together(self, count: int) -> None:
        """Wait until ``count`` bytes are here, or for TOGETHER seconds: be woken once for them.

        A head is then read with its body, and a network of many sources wakes us half as often.
        What goes wrong is told to whoever reads next.
        """
        missing = min(count, BUFFER) - (self._end - self._start)
        if missing <= 0:
            return
        if BUFFER - self._end < missing:
            self._make_room()
        with suppress(ConnectionLostError):
            self._end += self._receive(self._view[self._end :], TOGETHER, missing)

    def receive_exactly(self, count: int) -> bytearray:
        """Return ``count`` bytes, which the caller has bounded; memory grows as they arrive."""
        data = bytearray(min(count, BODY_STEP))
        self.receive_all(memoryview(data))
        while len(data) < count:
            data += self.receive_exactly(min(count - len(data), BODY_STEP))
        return data

    def skip_body(self, count: int) -> None:
        """Receive ``count`` bytes and keep none, so that the next request can be read."""
        while count:
            count -= len(self.receive_exactly(min(count, BODY_STEP)))

    def receive_request(
        self, known: dict[str, type[RequestType]], within: float
    ) -> RequestType | None:
        """Return the next request, or None when the other side has left."""
        line = self.receive_line(within)
        return None if line is None else codec.decode_request(line, known)

    def requests(
        self,
        known: dict[str, type[RequestType]],
        within: Callable[[], float],
        explain: Callable[[RedeError], str],
    ) -> Iterator[RequestType]:
        """Yield each request until the other side leaves; refuse the ill-formed ones in words.

        A browser is hung up on without a word; after noise or an endless line there is nothing
        left to understand, so the conversation ends.
        """
        while True:
            try:
                request = self.receive_request(known, within())
            except ProtocolError as error:
                if error.kind == "http":
                    return
                self.refuse(error.kind, explain(error))
                if error.kind in ("noise", "long-line"):
                    return
                continue
            if request is None:
                return
            yield request
            if isinstance(request, Quit):
                return

    def receive_reply(
        self,
        kind: type[Message],
        within: float = REPLY_TIMEOUT,
        waiting: Callable[[codec.Pending], None] = lambda _: None,
    ) -> Message:
        """Return the next reply; raise RefusedError when it is a refusal.

        While the other side says that we must wait, ``waiting`` is told; one that for WAIT_TIMEOUT
        says nothing better than before, no place nearer and no more that is done, is given up.
        """
        place, done, since = 2**31, -1, 0.0
        while True:
            line = self.receive_line(within)
            if line is None:
                raise ConnectionLostError("lost")
            reply = codec.decode_reply(line, kind)
            if not isinstance(reply, codec.Pending):
                return reply
            if reply.place < place or reply.done > done:
                place, done = min(place, reply.place), max(done, reply.done)
                since = time.monotonic()
            elif time.monotonic() - since > WAIT_TIMEOUT:
                raise ConnectionLostError("silent")
            waiting(reply)

    def ask(
        self,
        request: codec.Request,
        kind: type[Message],
        within: float = REPLY_TIMEOUT,
        waiting: Callable[[codec.Pending], None] = lambda _: None,
    ) -> Message:
        """Send a request and return its reply, as ``receive_reply`` does."""
        self.send(codec.encode_request(request))
        return self.receive_reply(kind, within, waiting)

    def send_lines(self, kind: Callable[[int, int], codec.Request], entries: list[Message]) -> None:
        """Send a request whose body is a listing."""
        body = codec.encode_lines(entries)
        self.send(codec.encode_request(kind(len(body), len(entries))) + body)

    def receive_lines(self, length: int, count: int, kind: type[Message]) -> list[Message]:
        """Return the lines of a listing of ``length`` bytes, which its head has bounded."""
        return codec.decode_lines(bytes(self.receive_exactly(length)), kind, count)

    def ask_lines(
        self,
        request: codec.Request,
        kind: type[Message],
        waiting: Callable[[codec.Pending], None] = lambda _: None,
    ) -> list[Message]:
        """Send a request whose reply is a listing, and return its lines."""
        listing = self.ask(request, Listing, waiting=waiting)
        return self.receive_lines(listing.bytes, listing.count, kind)

    def reply(self, message: object) -> None:
        """Send a reply without a body."""
        self.send(codec.encode_reply(message))

    def refuse(self, code: str, sentence: str) -> None:
        """Answer no: a code for programs, a sentence for people."""
        self.reply(codec.Refusal(code, sentence))

    def reply_lines(self, entries: list[Message]) -> None:
        """Send a reply whose body is a listing."""
        body = codec.encode_lines(entries)
        self.send(codec.encode_reply(Listing(len(body), len(entries))) + body)

    def hang_up(self) -> None:
        """End the conversation, from any thread; the owner wakes and closes."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Free the socket; only the owner does it."""
        self._sock.close()

    def _receive(self, view: memoryview, within: float, low_water: int = 1) -> int:
        """Fill some of ``view`` from the socket; return how many bytes, 0 at the end."""
        if self._held:
            self.send(b"")
        if low_water != self._low_water:
            self._low_water = low_water
            with suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, low_water)
        try:
            self._wait_for(within)
            return self._sock.recv_into(view)
        except OSError as error:
            raise _lost(error) from error

    def _wait_for(self, seconds: float) -> None:
        """Bound the next call of the socket; the system is told only of what changes."""
        if seconds != self._timeout:
            self._timeout = seconds
            self._sock.settimeout(seconds)


def dial(address: Address, source: str | None = None, within: float = DIAL_TIMEOUT) -> Connection:
    """Connect to an address, from this machine's address ``source`` if one is given."""
    try:
        sock = socket.create_connection(
            address, within, source_address=(source, 0) if source else None
        )
    except OSError as error:
        raise _lost(error) from error
    try:
        connection = Connection(sock)
        if connection.local == connection.remote:
            # A port in the kernel's own range with nobody on it can connect to itself.
            raise ConnectionLostError("refused")
        return connection
    except ConnectionLostError:
        sock.close()
        raise


def address_of(raw: tuple[object, ...]) -> Address:
    """Make an Address of what the system tells; IPv4 inside IPv6 is told as IPv4."""
    ip = ipaddress.ip_address(str(raw[0]).partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return Address(str(mapped or ip), int(str(raw[1])))


_REASONS = {
    errno.ECONNREFUSED: "refused",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTDOWN: "unreachable",
    errno.EADDRNOTAVAIL: "address",
    errno.EINVAL: "address",
    errno.EAFNOSUPPORT: "address",
}


def _lost(error: OSError) -> ConnectionLostError:
    """Turn an error of the system into ours."""
    if isinstance(error, TimeoutError):
        return ConnectionLostError("silent")
    return ConnectionLostError(_REASONS.get(error.errno or 0, "lost"))
