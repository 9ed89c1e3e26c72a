"""What a peer answers to other peers: its list, its files, their hashes, their pieces.

Names are looked up in the catalog, contents among the holdings; ``sending`` and ``offering`` do the
rest. A request that cannot be met raises RefusedError, which the peer's thread says in words.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rede_p2p.content import disk, merkle
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.merkle import Content
from rede_p2p.errors import DiskError, RefusedError
from rede_p2p.events import Event, FilesServed
from rede_p2p.net.connection import Connection
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import (
    AnyRequest,
    FileData,
    FileEntry,
    FileInfo,
    Get,
    Hashes,
    Ls,
    Next,
    Ok,
    Pieces,
    Stat,
    Take,
    Want,
)
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.sending import Sender
from rede_p2p.upload.share_list import Share, ShareList
from rede_p2p.upload.upload_session import UploadSession
from rede_p2p.upload.upload_slots import UploadSlots

HASH_WAIT = 1.0  # seconds between two tellings of how far the hashing is


class RequestHandler:
    """One remote peer, for as long as its connection lasts."""

    def __init__(
        self,
        connection: Connection,
        catalog: ShareList,
        roots: HashCache,
        holdings: SeedStore,
        uploads: UploadSlots,
        tell: Callable[[Event], None],
    ) -> None:
        self._connection = connection
        self._catalog = catalog
        self._roots = roots
        self._holdings = holdings
        self._sender = Sender(connection, uploads)
        self._offering: UploadSession | None = None
        self._tell = tell
        self._sent: dict[bytes, int] = {}  # bytes sent of each content not yet complete
        self._served = FilesServed("", 0, 0, connection.remote.ip)
        self._answers: dict[type, Callable[[Any], None]] = {
            Ls: self._list,
            Stat: self._stat,
            Get: self._send_by_name,
            Hashes: self._send_hashes,
            Pieces: self._send_pieces,
            Want: self._begin_offering,
            Take: self._give,
            Next: self._offer_more,
        }

    def answer(self, request: AnyRequest) -> None:
        """Answer one request; raise RefusedError where the answer is no."""
        answer = self._answers.get(type(request))
        if answer is None:
            self._connection.reply(Ok())
        else:
            answer(request)

    def _list(self, _request: Ls) -> None:
        self._connection.reply_lines([self._line(share) for share in self._catalog.shares()])

    def leave(self) -> None:
        """End the conversation, and tell in one event what was served in it."""
        self._end_offering()
        if self._served.files:
            self._tell(self._served)

    def _note_sent(self, name: str, content: Content, length: int) -> None:
        """Count a content as served once all its bytes, or as many, have gone."""
        sent = self._sent[content.root] = self._sent.get(content.root, 0) + length
        if sent >= content.size:
            del self._sent[content.root]
            self._count(name, content.size)

    def _count(self, name: str, size: int) -> None:
        files, size = self._served.files + 1, self._served.size + size
        self._served = FilesServed(name, files, size, self._served.to)

    def _line(self, share: Share) -> FileEntry:
        content = self._catalog.content(share)
        return FileEntry(share.name, share.stamp.size, content.root if content else None)

    def _find(self, name: str) -> Share:
        share = self._catalog.find(name)
        if share is None:
            raise RefusedError("no-such-file")
        return share

    def _stat(self, request: Stat) -> None:
        share, root = self._hashed(request.name)
        self._connection.reply(FileInfo(request.name, share.stamp.size, root))

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
            self._connection.reply(codec.Pending(done=done, size=share.stamp.size))

    def _send_by_name(self, request: Get) -> None:
        share = self._find(request.name)
        size = share.stamp.size
        length = size - request.start if request.length is None else request.length
        if length < 0 or request.start + length > size:
            raise RefusedError("bad-range")
        content = self._catalog.content(share)
        body = FileData(length, size, content.root if content else None)
        self._send_range(share, body, request.start)
        if length == size:
            self._count(share.name, size)

    def _send_hashes(self, request: Hashes) -> None:
        holding = self._holdings.find(request.root)
        if holding is not None and holding.layer is not None:  # a download: they are in memory
            head = codec.encode_reply(FileData(len(holding.layer), holding.content.size))
            self._connection.send(head + holding.layer)
            return
        share, content = self._find_content(request.root)
        layer = self._roots.layer(share.path, content)
        if layer is None:  # the database has lost it: compute it again
            self._roots.forget(share.path)
            share, root = self._hashed(share.name)
            layer = self._roots.layer(share.path, Content(root, share.stamp.size))
            if root != content.root or layer is None:
                raise RefusedError("not-here")
        self._connection.send(codec.encode_reply(FileData(len(layer), content.size)) + layer)

    def _send_pieces(self, request: Pieces) -> None:
        share, content = self._find_content(request.root)
        if not 1 <= request.count <= merkle.piece_count(content.size) - request.first:
            raise RefusedError("bad-range")
        start = request.first * merkle.piece_length(content.size)
        length = merkle.bytes_in(range(request.first, request.first + request.count), content.size)
        self._send_range(share, FileData(length), start)
        self._note_sent(share.name, content, length)

    def _find_content(self, root: bytes) -> tuple[Share, Content]:
        share = self._holdings.find_whole(root)
        if share is None:
            raise RefusedError("not-here")
        return share, Content(root, share.stamp.size)

    def _send_range(self, share: Share, body: FileData, start: int) -> None:
        try:
            file = disk.open_regular(share.path)
        except DiskError as error:
            raise RefusedError("unreadable") from error
        with file:
            self._sender.send(file, share.name, share.stamp, body, start)

    def _begin_offering(self, request: Want) -> None:
        """Begin a conversation about one content; the one before it ends."""
        self._end_offering()
        holding = self._holdings.find(request.root)
        if holding is None:
            raise RefusedError("not-here")
        try:
            file = holding.open()
        except DiskError as error:
            raise RefusedError("not-here") from error
        self._offering = UploadSession(holding, file, request.bitmap, self._sender)
        self._connection.reply(self._offering.choose(Next()))

    def _offer_more(self, request: Next) -> None:
        self._connection.reply(self._offered().choose(request))

    def _offered(self) -> UploadSession:
        if self._offering is None:
            raise RefusedError("not-offered")
        return self._offering

    def _give(self, request: Take) -> None:
        offering = self._offered()
        sent = offering.give(request)
        self._note_sent(offering.holding.name, offering.holding.content, sent)

    def _end_offering(self) -> None:
        if self._offering is not None:
            self._offering.close()
            self._offering = None
