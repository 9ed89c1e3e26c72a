"""Sending part of a file to another peer: its turn, its pace, and its last byte.

The last byte leaves only when the file is seen to be as it was announced: a file that changes while
it is sent ends the connection, so that nobody takes a mix for the whole.
"""

from __future__ import annotations

from typing import BinaryIO

from rede_p2p.content import disk
from rede_p2p.content.disk import FileState
from rede_p2p.errors import ConnectionLostError, DiskError, RefusedError
from rede_p2p.net.connection import Connection
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import FileData, PieceData
from rede_p2p.upload.upload_slots import Upload, UploadSlots

AT_ONCE = 64 * 1024  # bytes: a body no larger is read, checked and sent with its head
HEAD_ROOM = 512  # bytes, more than any head takes


class Sender:
    """Sends to one connection; small answers to requests sent ahead leave together."""

    def __init__(self, connection: Connection, uploads: UploadSlots) -> None:
        self._connection = connection
        self._uploads = uploads
        self._small: memoryview | None = None  # kept, as most answers fit in it
        self._last: Upload | None = None
        self.machine = connection.remote.ip  # the one it sends to

    def send(
        self,
        file: BinaryIO,
        name: str,
        stamp: FileState | None,
        head: FileData | PieceData,
        start: int,
    ) -> None:
        """Send a reply's head and its body, the bytes of ``file`` from ``start``.

        ``stamp`` is the state that the file must be in; None while it may grow. Raises RefusedError
        before the head has left, ConnectionLostError after.
        """
        if not _is_as(file, stamp):
            raise RefusedError("changed")
        if head.bytes <= AT_ONCE and not self._uploads.limited:
            self._send_small(file, stamp, head, start)
            return
        with self._uploads.slot(name, self.machine, self._tell_place) as upload:
            self._go_on_counting(upload)
            self._connection.send(codec.encode_reply(head))
            held_back = min(1, head.bytes)
            for offset, count in self._uploads.chunks(upload, head.bytes - held_back):
                if self._connection.send_file(file, start + offset, count) != count:
                    raise ConnectionLostError("changed")  # it is shorter now
            if not _is_as(file, stamp):
                raise ConnectionLostError("changed")
            last = start + head.bytes - held_back
            if self._connection.send_file(file, last, held_back) != held_back:
                raise ConnectionLostError("changed")

    def _go_on_counting(self, upload: Upload) -> None:
        """Let an answer know of those before it that were parts of the same file."""
        last = self._last
        if last is not None and last.name == upload.name:
            upload.began, upload.earlier = last.began, last.earlier + last.sent
        self._last = upload

    def pause(self, seconds: float) -> None:
        """Send nothing for a while; raise ConnectionLostError if this peer leaves meanwhile."""
        self._uploads.pause(seconds)

    def _send_small(
        self, file: BinaryIO, stamp: FileState | None, head: FileData | PieceData, start: int
    ) -> None:
        """Send head and body in one packet, where the body is too small to wait for a slot."""
        line = codec.encode_reply(head)
        self._small = self._small or disk.pages(HEAD_ROOM + AT_ONCE)
        answer = self._small[: len(line) + head.bytes]
        answer[: len(line)] = line
        try:
            count = disk.read_into(file, start, answer[len(line) :])
        except DiskError as error:
            raise RefusedError("unreadable") from error
        if count != head.bytes or not _is_as(file, stamp):
            raise RefusedError("changed")
        self._connection.send_soon(answer)

    def _tell_place(self, place: int) -> None:
        self._connection.reply(codec.Pending(place=place))


def _is_as(file: BinaryIO, stamp: FileState | None) -> bool:
    return stamp is None or disk.stamp_of_open(file) == stamp
