"""What a peer answers to other peers: its list, its files, their hashes, their pieces.

A file is opened for each answer, checked to be in the state that was announced, and checked again
before its last byte leaves: a file that changes while it is served ends the connection, so that
nobody takes a mix for the whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import BinaryIO

from rede_p2p import disk, merkle, wire
from rede_p2p.catalog import Catalog, Share
from rede_p2p.connection import Connection
from rede_p2p.errors import ConnectionLostError, DiskError, RefusedError
from rede_p2p.events import Event, FilesServed
from rede_p2p.merkle import Content
from rede_p2p.messages import (
    AnyRequest,
    Body,
    Done,
    Found,
    Get,
    Hashes,
    Ls,
    Pieces,
    Shared,
    Stat,
)
from rede_p2p.roots import Roots
from rede_p2p.uploads import Uploads

AT_ONCE = 64 * 1024  # bytes: a body no larger is read, checked and sent with its head
HASH_WAIT = 1.0  # seconds between two tellings of how far the hashing is


class Guest:
    """One remote peer, for as long as its connection lasts."""

    def __init__(
        self,
        connection: Connection,
        catalog: Catalog,
        roots: Roots,
        uploads: Uploads,
        tell: Callable[[Event], None],
    ) -> None:
        self._connection = connection
        self._catalog = catalog
        self._roots = roots
        self._uploads = uploads
        self._tell = tell
        self._sent: dict[bytes, int] = {}  # bytes sent of each content not yet complete
        self._served = FilesServed("", 0, 0, connection.remote.ip)

    def answer(self, request: AnyRequest) -> None:
        """Answer one request; raise RefusedError where the answer is no."""
        if isinstance(request, Ls):
            self._connection.reply_lines([self._line(share) for share in self._catalog.shares()])
        elif isinstance(request, Stat):
            self._connection.reply(self._stat(request.name))
        elif isinstance(request, Get):
            self._send_by_name(request)
        elif isinstance(request, Hashes):
            self._send_hashes(request)
        elif isinstance(request, Pieces):
            self._send_pieces(request)
        else:
            self._connection.reply(Done())

    def leave(self) -> None:
        """Tell what was served, in one event for the whole conversation."""
        if self._served.files:
            self._tell(self._served)

    def _count(self, share: Share) -> None:
        files, size = self._served.files + 1, self._served.size + share.stamp.size
        self._served = FilesServed(share.name, files, size, self._served.to)

    def _line(self, share: Share) -> Shared:
        content = self._catalog.content(share)
        return Shared(share.name, share.stamp.size, content.root if content else None)

    def _find(self, name: str) -> Share:
        share = self._catalog.find(name)
        if share is None:
            raise RefusedError("no-such-file")
        return share

    def _stat(self, name: str) -> Found:
        """Tell the content under a name, which is hashed first if need be."""
        share, root = self._hashed(name)
        return Found(name, share.stamp.size, root)

    def _hashed(self, name: str) -> tuple[Share, bytes]:
        """Return a share and its root; while that is computed, tell how far it is."""
        while True:
            share = self._find(name)
            try:
                root = self._roots.wait(share.path, share.stamp, HASH_WAIT)
            except DiskError as error:
                raise RefusedError("unreadable") from error
            if root is not None:
                return share, root
            done = self._roots.progress(share.path)
            self._connection.reply(wire.Wait(done=done, size=share.stamp.size))

    def _send_by_name(self, request: Get) -> None:
        share = self._find(request.name)
        size = share.stamp.size
        length = size - request.start if request.length is None else request.length
        if length < 0 or request.start + length > size:
            raise RefusedError("bad-range")
        content = self._catalog.content(share)
        body = Body(length, size, content.root if content else None)
        self._send_range(share, body, request.start)
        if length == size:
            self._count(share)

    def _send_hashes(self, request: Hashes) -> None:
        share, content = self._find_content(request.root)
        layer = self._roots.layer(share.path, content)
        if layer is None:  # the database has lost it: compute it again
            self._roots.forget(share.path)
            share, root = self._hashed(share.name)
            layer = self._roots.layer(share.path, Content(root, share.stamp.size))
            if root != content.root or layer is None:
                raise RefusedError("not-here")
        self._connection.send(wire.encode_reply(Body(len(layer), content.size)) + layer)

    def _send_pieces(self, request: Pieces) -> None:
        share, content = self._find_content(request.root)
        if not 1 <= request.count <= merkle.piece_count(content.size) - request.first:
            raise RefusedError("bad-range")
        piece = merkle.piece_length(content.size)
        start = request.first * piece
        length = min(request.count * piece, content.size - start)
        self._send_range(share, Body(length), start)
        sent = self._sent[content.root] = self._sent.get(content.root, 0) + length
        if sent >= content.size:
            del self._sent[content.root]
            self._count(share)

    def _find_content(self, root: bytes) -> tuple[Share, Content]:
        share = self._catalog.find_content(root)
        if share is None:
            raise RefusedError("not-here")
        return share, Content(root, share.stamp.size)

    def _send_range(self, share: Share, body: Body, start: int) -> None:
        try:
            file = disk.open_regular(share.path)
        except DiskError as error:
            raise RefusedError("unreadable") from error
        with file:
            if not _unchanged(file, share):
                raise RefusedError("changed")
            if body.bytes <= AT_ONCE:
                self._send_small(file, share, body, start)
                return
            with self._uploads.slot(
                share.name, self._connection.remote.ip, body.bytes, self._tell_place
            ) as upload:
                self._connection.send(wire.encode_reply(body))
                held_back = min(1, body.bytes)
                for offset, count in self._uploads.chunks(upload, body.bytes - held_back):
                    if self._connection.send_file(file, start + offset, count) != count:
                        raise ConnectionLostError("changed")  # it is shorter now
                if not _unchanged(file, share):
                    raise ConnectionLostError("changed")
                self._connection.send_file(file, start + body.bytes - held_back, held_back)

    def _send_small(self, file: BinaryIO, share: Share, body: Body, start: int) -> None:
        """Send head and body in one packet, where the body is small enough to wait for no slot."""
        try:
            with disk.border(share.path):
                if start:
                    file.seek(start)
                data = file.read(body.bytes)
        except DiskError as error:
            raise RefusedError("unreadable") from error
        if len(data) != body.bytes or not _unchanged(file, share):
            raise RefusedError("changed")
        self._connection.send(wire.encode_reply(body) + data)

    def _tell_place(self, place: int) -> None:
        self._connection.reply(wire.Wait(place=place))


def _unchanged(file: BinaryIO, share: Share) -> bool:
    return disk.stamp_of(os.fstat(file.fileno())) == share.stamp
