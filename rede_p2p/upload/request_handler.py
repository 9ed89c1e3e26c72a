"""What a peer answers to other peers: its list, its files, their hashes, their pieces.

Names are looked up in the share list, roots in the seed store. A request that cannot be met raises
RefusedError, which the thread of the connection puts into words.
"""

from hashlib import sha256
from itertools import chain
from threading import Event

from rede_p2p.content import disk, merkle
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.merkle import Content
from rede_p2p.content.piece_layout import BundleLayout
from rede_p2p.errors import DiskError, NoSuchFileError, ProtocolError, RefusedError
from rede_p2p.events import FilesServed, Post
from rede_p2p.net.connection import Connection
from rede_p2p.net.requests import listing, skip_body, with_body
from rede_p2p.net.turns import with_rests
from rede_p2p.protocol import codec, messages, verbs
from rede_p2p.protocol.fields import MAX_BUNDLE_CONTENT_BYTES
from rede_p2p.protocol.messages import FileData
from rede_p2p.protocol.verbs import PeerRequest
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.seeded_bundle import SeededBundle
from rede_p2p.upload.seeded_content import SeededContent
from rede_p2p.upload.share_list import ShareList
from rede_p2p.upload.shared_files import Share
from rede_p2p.upload.upload_session import UploadSession
from rede_p2p.upload.upload_slots import Upload, UploadSlots


class RequestHandler:
    """The answers to one other peer; used by the thread of its connection."""

    def __init__(
        self,
        connection: Connection,
        shares: ShareList,
        hash_cache: HashCache,
        seeds: SeedStore,
        slots: UploadSlots,
        post: Post,
        timeouts: Timeouts = DEFAULT,
    ) -> None:
        self._connection = connection
        self._shares = shares
        self._hash_cache = hash_cache
        self._seeds = seeds
        self._upload = Upload(
            connection, slots, lambda place: connection.reply(codec.Pending(place=place))
        )
        self._tally, self._turns = slots.tally, slots.turns
        self._session: UploadSession | None = None
        self._bundle: SeededBundle | None = None  # which the requester has described
        self._undescribed: bytes | None = None  # the root of one that it may describe now
        self._post = post
        self._timeouts = timeouts
        self._sent: dict[bytes | str, int] = {}  # bytes, of each file that is not yet complete
        self._served = FilesServed("", 0, 0, connection.remote.ip)

    def answer(self, request: PeerRequest) -> None:
        """Answer one request; raise RefusedError where the answer is no, or ConnectionLostError."""
        undescribed, self._undescribed = self._undescribed, None
        try:
            self._dispatch(request)
        except NoSuchFileError as error:
            raise RefusedError("no-such-file") from error
        except DiskError as error:
            if error.kind == "changed":
                raise RefusedError("changed") from error
            raise RefusedError("unreadable") from error
        finally:
            if undescribed != self._undescribed:
                self._end_description(undescribed)

    def leave(self) -> None:
        """End the conversation, and post one event for all that was served in it."""
        self._end_session()
        self._end_description(self._undescribed)
        if self._served.files:
            self._post(self._served)

    def _dispatch(self, request: PeerRequest) -> None:  # noqa: C901 - one branch a request
        match request:
            case messages.Ls():
                self._send_list(request)
            case messages.Stat():
                share, root = self._shares.wait_hashed(request.name, self._connection.reply)
                self._connection.reply(messages.FileInfo(request.name, share.state.size, root))
            case messages.Get():
                self._send_by_name(request)
            case messages.Hashes():
                with self._turns.turn(self._connection.remote.ip) as end:
                    self._send_hashes(request, end)
            case messages.Pieces():
                self._send_pieces(request)
            case messages.Bundle():
                self._receive_bundle(request)
            case messages.Want():
                self._begin_session(request)
            case messages.Take() | messages.Next():
                self._go_on(request)
            case messages.Quit():
                self._connection.reply(messages.Ok())
            case _:
                verbs.assert_never(request)

    def _send_list(self, request: messages.Ls) -> None:
        shares, folders, version = self._shares.listed(self._connection.reply)
        total = len(shares) + len(folders) * request.folders

        def make() -> bytes:
            empty = (messages.FileEntry(name, 0) for name in folders if request.folders)
            lines = with_rests(chain(map(self._shares.entry, shares), empty))
            return with_body(*listing(lines, total), zlib=request.zlib)

        def report() -> None:
            self._connection.reply(codec.Pending(files=total))

        with self._turns.turn(self._connection.remote.ip):
            reply = self._shares.reply.get(request, version, make, report)
            self._connection.send(reply)

    def _send_by_name(self, request: messages.Get) -> None:
        share = self._shares.find(request.name, self._connection.reply)
        if share is None:
            raise RefusedError("no-such-file")
        size = share.state.size
        length = size - request.start if request.length is None else request.length
        if length < 0 or request.start + length > size:
            raise RefusedError("bad-range")
        root = self._shares.entry(share).root
        self._send_range(share, root, FileData(length, size, root), request.start)
        if length == size:
            self._count_sent(share.name, share.name, size, size)

    def _send_hashes(self, request: messages.Hashes, end: float) -> None:
        seeded = self._find_seeded(request.root)
        content, path = seeded.content, str(seeded.path)
        layer = seeded.layer or self._hash_cache.layer(path, content)
        if layer is not None and request.again is not None and seeded.state is not None:
            if merkle.root_of(layer, content.size) != content.root:
                layer = None
            elif not self._still_holds(seeded, layer, request.again, end):
                self._seeds.doubt(seeded)
                self._hash_cache.forget(path)
                self._hash_cache.want(path, content.size, soon=True)
                raise RefusedError("not-here")
        if layer is None:  # the database has lost it: compute it again
            self._hash_cache.forget(path)
            share, root = self._shares.wait_hashed(seeded.name, self._connection.reply)
            layer = self._hash_cache.layer(share.path, content)
            if root != content.root or layer is None:
                raise RefusedError("not-here")
        self._connection.send(codec.encode_reply(FileData(len(layer), content.size)) + layer)

    def _still_holds(self, seeded: SeededContent, layer: bytes, first: int, end: float) -> bool:
        """Read what is complained of, one complaint at a time; a false one takes a while."""
        with self._turns.alone(self._connection.remote.ip, end):
            holds = seeded.holds(layer, first)
            if holds:
                Event().wait(self._timeouts.again_pause_s)
            return holds

    def _send_pieces(self, request: messages.Pieces) -> None:
        share = self._seeds.find_whole(request.root)
        if share is None:
            raise RefusedError("not-here")
        size = share.state.size
        if not 1 <= request.count <= merkle.piece_count(size) - request.first:
            raise RefusedError("bad-range")
        length = merkle.bytes_in(range(request.first, request.first + request.count), size)
        start = request.first * merkle.piece_length(size)
        self._send_range(share, request.root, FileData(length), start)
        self._count_sent(share.name, request.root, size, length)

    def _send_range(self, share: Share, root: bytes | None, head: FileData, start: int) -> None:
        line = codec.encode_reply(head)
        with disk.open_regular(share.path) as file:
            self._upload.send(file, share.name, share.state, line, start, head.bytes)
        self._tally.add(root, self._connection.remote.ip, head.bytes)

    def _find_seeded(self, root: bytes) -> SeededContent:
        seeded = self._seeds.find(root)
        if not isinstance(seeded, SeededContent):
            raise RefusedError("not-here")
        return seeded

    def _receive_bundle(self, request: messages.Bundle) -> None:
        """Take note of a bundle, which this requester may want from now on."""
        try:
            with self._turns.turn(self._connection.remote.ip):
                body = bytes(self._connection.receive_exactly(request.bytes))
        except RefusedError:
            skip_body(self._connection, request.bytes)
            raise
        root = sha256(body).digest()
        bundle = self._seeds.find_bundle(root)  # one that is known is not read again
        if bundle is None or len(bundle.layout.contents) != request.count:
            ip = self._connection.remote.ip
            self._seeds.admit(ip, request.count)
            members = codec.decode_lines(body, messages.BundleMember, request.count)
            contents = [Content(member.root, member.size) for member in members]
            if sum(content.size for content in contents) > MAX_BUNDLE_CONTENT_BYTES:
                raise ProtocolError("bad-field", "size")
            bundle = self._seeds.bundle(BundleLayout(root, contents), ip)
        self._bundle = bundle
        self._connection.reply(messages.Ok())

    def _begin_session(self, request: messages.Want) -> None:
        """Begin to offer one content; the session about another ends."""
        self._end_session()
        root, times = request.root, self._timeouts
        seeded = self._seeds.find(root)
        if seeded is None:
            seeded = self._seeds.wait_described(root, self, times.description_wait_s)
        if seeded is None:
            self._undescribed = root
            raise RefusedError("not-here")
        try:
            self._session = UploadSession(seeded, request.bitmap, self._upload, times.offer_wait_s)
        except DiskError as error:
            raise RefusedError("not-here") from error
        self._connection.reply(self._session.choose(messages.Next()))

    def _go_on(self, request: messages.Take | messages.Next) -> None:
        session = self._session
        if session is None:
            raise RefusedError("not-offered")
        if isinstance(request, messages.Next):
            self._connection.reply(session.choose(request))
        else:
            sent, layout, name = session.give(request), session.seeded.layout, session.seeded.name
            bundle = layout if isinstance(layout, BundleLayout) else None
            # Who describes bundles may make up as many roots as it likes: none is kept.
            root = layout.root if bundle is None else None
            self._tally.add(root, self._connection.remote.ip, sent)
            files = 1 if bundle is None else len(bundle.contents)
            self._count_sent(name, layout.root, layout.size, sent, files)

    def _end_description(self, root: bytes | None) -> None:
        if root is not None:
            self._seeds.end_description(root, self)

    def _end_session(self) -> None:
        if self._session is not None:
            self._session.close()
            self._sent.pop(self._session.seeded.layout.root, None)
            self._session = None

    def _count_sent(
        self, name: str, key: bytes | str, size: int, length: int, files: int = 1
    ) -> None:
        """Count a file, or a bundle, as served once all its bytes, or as many, have gone."""
        sent = self._sent.pop(key, 0) + length
        if sent < size:
            self._sent[key] = sent
        else:
            self._served = self._served.with_file(name, size, files)
