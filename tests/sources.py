"""Peers in the test's own process: an honest one, and what liars do in its place.

A Source is a real Listener with real RequestHandlers, and a log of what was asked. A lie
is a function that answers some requests instead of it. The words of the wire that move a
file stand here alone, so that the tests of downloads know nothing of them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from queue import Queue
from types import SimpleNamespace

from listening import SOON, listen, running

from Peers import connect_to_peer
from rede_p2p.cli import texts
from rede_p2p.content import disk, merkle
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.hashing import Hashed
from rede_p2p.content.merkle import Content
from rede_p2p.content.piece_layout import BundleLayout
from rede_p2p.download.request import (
    Connect,
    DownloadContext,
    DownloadRequest,
    Outcome,
    WhoHas,
)
from rede_p2p.download.transfer import Transfer
from rede_p2p.errors import Address, RedeError, RefusedError
from rede_p2p.net.connection import Connection
from rede_p2p.net.requests import refuse, requests
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import (
    Bundle,
    Hashes,
    Next,
    PieceData,
    PieceOffer,
    Pieces,
    Take,
    Want,
)
from rede_p2p.protocol.verbs import TO_PEER, PeerRequest
from rede_p2p.timeouts import Timeouts
from rede_p2p.tracker.client import TrackerClient
from rede_p2p.upload.request_handler import RequestHandler
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.share_list import ShareList
from rede_p2p.upload.upload_slots import MIN_PACED_CHUNK_BYTES, UploadSlots

LONG_AGO = 1_500_000_000_000_000_000  # nanoseconds; a file this old need not settle

Lie = Callable[["Source", Connection, PeerRequest], bool]  # whether it has answered


def connecting(**timeouts: float) -> Connect:
    """Return how to reach a peer; ``timeouts`` are those that are not the usual ones."""
    return partial(connect_to_peer, SimpleNamespace(own_ip=None, timeouts=Timeouts(**timeouts)))


connect = connecting()


def nobody_else(_content: Content) -> Future[list[Address]]:
    """Know of no other source: for a download that asks no tracker."""
    answered: Future[list[Address]] = Future()
    answered.set_result([])
    return answered


def context_of(
    folder: Path,
    hash_cache: HashCache,
    connect: Connect | None = None,
    who_has: WhoHas = nobody_else,
    seeds: SeedStore | None = None,
    **timeouts: float,
) -> DownloadContext:
    """Return what a download needs; ``timeouts`` are those that are not the usual ones."""
    connect, seeds = connect or connecting(**timeouts), seeds or SeedStore()
    return DownloadContext(folder, connect, hash_cache, who_has, seeds, Timeouts(**timeouts))


def content_of(data: bytes) -> Content:
    return Content(merkle.root_of(merkle.layer_of(data), len(data)), len(data))


def pieces_of(data: bytes) -> list[bytes]:
    piece = merkle.piece_length(len(data))
    return [data[start : start + length] for start, length in merkle.cut(len(data), piece)]


def found_in(folder: Path) -> dict[str, bytes]:
    """Return the files in a folder, by their names in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def right_pieces(path: Path, data: bytes) -> set[int]:
    """Return which pieces of a content a partial file holds."""
    held = path.read_bytes() if path.exists() else b""
    piece = merkle.piece_length(len(data))
    return {
        index
        for index, right in enumerate(pieces_of(data))
        if right and held[index * piece : index * piece + len(right)] == right
    }


class Source:
    """A peer that shares what it is told to, and notes what it is asked."""

    def __init__(
        self,
        folder: Path,
        host: str,
        stack: ExitStack,
        lie: Lie | None = None,
        slots: UploadSlots | None = None,
    ) -> None:
        self.folder = folder
        self.lie = lie
        self.seeds: SeedStore | None = None  # what it offers, in place of all that it shares
        self.data: dict[bytes, bytes] = {}  # by root
        self.paths: dict[str, Path] = {}  # by name
        self.asked: list[PeerRequest] = []  # by any of the threads: one append is atomic
        self._wanted: dict[Connection, bytes] = {}  # the root of each conversation
        self._bundles: dict[bytes, BundleLayout] = {}  # that were described, by root
        self._numbers = count()
        folder.mkdir(parents=True, exist_ok=True)
        self._list = folder / "lista.txt"
        self._list.write_bytes(b"")
        self._posted: Queue[object] = Queue()
        self._hash_cache = stack.enter_context(closing(HashCache(None)))
        self._shares = stack.enter_context(
            closing(ShareList(self._list, self._hash_cache, self._posted.put))
        )
        self._slots = slots or UploadSlots()
        self._stack = stack
        self.address = Address(host, 0)
        if host:
            self._listen(host, 0)

    def join(
        self, ip: str, port: int, own_ip: str, name: str = "", *, announces: bool = False
    ) -> None:
        """Be listed by a real tracker, under a name; announce what is shared so far, or nothing."""
        if announces:
            self._shares.shares()  # a look at the list, of which the entries are
        client = TrackerClient(
            *(ip, port, own_ip, lambda offered: self._listen(own_ip, offered), self._posted.put),
            self._shares.entries if announces else set,
            name=name,
        )
        self._stack.enter_context(closing(client))

    def _listen(self, host: str, port: int) -> bool:
        listener = listen(host, port, 500)
        self.address = listener.address
        self._stack.enter_context(running(listener, self._serve))
        self._stack.callback(self._slots.close)
        return True

    def share(self, files: Mapping[str, bytes]) -> list[DownloadRequest]:
        """Share these files from now on; return what a download needs to know of them."""
        known = []
        for name, data in files.items():
            path, content = self._file(name, data), content_of(data)
            known.append((str(path), Hashed(disk.file_state(path), content, merkle.layer_of(data))))
            self.data[content.root] = data
        self._hash_cache.remember(known)
        self._write_list()
        return [
            DownloadRequest(name, content_of(data), (self.address,)) for name, data in files.items()
        ]

    def edit_unseen(self, name: str, data: bytes) -> None:
        """Write other bytes as through a map of the file: it stays in the state that was hashed."""
        path = str(self.paths[name])
        old = self._hash_cache.known(path, disk.file_state(path))
        self._file_at(self.paths[name], data)
        seen = Hashed(
            disk.file_state(path), Content(old, len(data)), merkle.layer_of(self.data[old])
        )
        self._hash_cache.remember([(path, seen)])

    def share_unhashed(self, name: str, data: bytes) -> None:
        """Share a file of which nothing is known yet."""
        self._file(name, data)
        self._write_list()

    def _file(self, name: str, data: bytes) -> Path:
        path = self.paths[name] = self.folder / str(next(self._numbers))
        self._file_at(path, data)
        return path

    def _file_at(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        os.utime(path, ns=(LONG_AGO, LONG_AGO))

    def _write_list(self) -> None:
        new = self._list.with_suffix(".new")
        lines = (f'"{name}" {path.name}\n' for name, path in self.paths.items())
        new.write_text("".join(lines), encoding="utf-8")
        new.replace(self._list)

    def asked_pieces(self) -> list[int]:
        """List the indices of the pieces it was asked for, in order, since the last call."""
        asked, self.asked[:] = list(self.asked), []
        return _pieces_in(asked)

    def _serve(self, connection: Connection) -> None:
        seeds = self.seeds or SeedStore(self._shares)
        handler = RequestHandler(
            connection, self._shares, self._hash_cache, seeds, self._slots, self._posted.put
        )
        try:
            for request in requests(connection, TO_PEER, lambda: SOON, texts.refusal):
                self.asked.append(request)
                if isinstance(request, Want):
                    self._wanted[connection] = request.root
                try:
                    if self.lie is None or not self.lie(self, connection, request):
                        handler.answer(request)
                    if isinstance(request, Bundle) and (bundle := handler._bundle):
                        self._bundles[bundle.layout.root] = bundle.layout
                except RefusedError as no:
                    refuse(connection, no, texts.refusal)
        finally:
            handler.leave()

    def offer_all(self, connection: Connection, request: PeerRequest) -> bool:
        """Offer the whole content at once, and again after that: the rest is asked for in runs."""
        if isinstance(request, Want | Next):
            root = self._wanted[connection]
            if root in self._bundles:
                connection.reply(PieceOffer(0, self._bundles[root].count))
            elif root in self.data:
                connection.reply(PieceOffer(0, merkle.piece_count(len(self.data[root]))))
            else:  # a bundle that was not described yet
                raise RefusedError("not-here")
            return True
        return False

    def bundle_of(self, connection: Connection) -> BundleLayout | None:
        """Return the bundle that the conversation is about."""
        return self._bundles.get(self._wanted[connection])

    def body(self, connection: Connection, request: Take | Pieces) -> bytes:
        """Return the right answer."""
        root = request.root if isinstance(request, Pieces) else self._wanted[connection]
        if root in self._bundles:
            return self._body_of_bundle(self._bundles[root], request)
        data = self.data[root]
        piece = merkle.piece_length(len(data))
        return data[request.first * piece : (request.first + request.count) * piece]

    def _body_of_bundle(self, layout: BundleLayout, request: Take | Pieces) -> bytes:
        pieces = range(request.first, request.first + request.count)
        parts = [part for piece in pieces for part in layout.parts(piece)]
        return b"".join(
            self.data[layout.contents[part.file].root][part.start : part.start + part.length]
            for part in parts
        )


def _pieces_in(asked: Iterable[PeerRequest]) -> list[int]:
    return [
        index
        for request in asked
        if isinstance(request, Pieces | Take)
        for index in range(request.first, request.first + request.count)
    ]


class Noting:
    """Connects, and notes what is asked: for when the source is a program of its own."""

    def __init__(self) -> None:
        self._sent = b""

    def connect(self, address: Address) -> Connection:
        connection = connect(address)
        send = connection.send

        def note(data: bytes) -> None:
            self._sent += data
            send(data)

        connection.send = note  # type: ignore[method-assign]
        return connection

    def asked_pieces(self) -> list[int]:
        """List the indices of the pieces asked for, in order, since the last call."""
        sent, self._sent = self._sent, b""
        return _pieces_in(
            codec.decode_request(line, TO_PEER) for line in sent.splitlines(keepends=True)
        )


@contextmanager
def source(
    folder: Path, host: str, lie: Lie | None = None, slots: UploadSlots | None = None
) -> Iterator[Source]:
    with ExitStack() as stack:
        yield Source(folder, host, stack, lie, slots)


# Lies.


def send_pieces(connection: Connection, body: bytes, announced: int | None = None) -> bool:
    count = len(body) if announced is None else announced
    connection.send(codec.encode_reply(PieceData(count)) + body)
    return True


def about_pieces(answer: Callable[[Connection, bytes], object]) -> Lie:
    """Lie where bytes are asked for; ``answer`` is given the right ones."""

    def lie(source: Source, connection: Connection, request: PeerRequest) -> bool:
        if isinstance(request, Take | Pieces):
            answer(connection, source.body(connection, request))
            return True
        return source.offer_all(connection, request)

    return lie


def about_hashes(answer: Callable[[Connection, bytes], object]) -> Lie:
    """Lie where the piece hashes are asked for; ``answer`` is given the right ones."""

    def lie(source: Source, connection: Connection, request: PeerRequest) -> bool:
        if isinstance(request, Hashes):
            answer(connection, merkle.layer_of(source.data[request.root]))
            return True
        return False

    return lie


def refuses(code: str) -> Lie:
    def lie(source: Source, connection: Connection, request: PeerRequest) -> bool:
        if isinstance(request, Want | Hashes):
            raise RefusedError(code)
        return False

    return lie


class Silent:
    """Says nothing where piece hashes are asked for; notes how many are so at the same time."""

    def __init__(self) -> None:
        self.asked = 0
        self.most = self._now = 0  # waiting for an answer
        self._lock = threading.Lock()

    def __call__(self, _source: Source, connection: Connection, request: PeerRequest) -> bool:
        if not isinstance(request, Hashes):
            return False
        with self._lock:
            self.asked += 1
            self._now += 1
            self.most = max(self.most, self._now)
        with suppress(RedeError):
            while connection.receive_line(SOON):  # until we are hung up on
                pass
        with self._lock:
            self._now -= 1
        connection.hang_up()
        return True


def hangs_up_at_once(source: Source, connection: Connection, request: PeerRequest) -> bool:
    connection.send(b"")  # with what it has answered before
    connection.hang_up()
    return True


def sends(share: float) -> Callable[[Connection, bytes], object]:
    """Send a share of what is right, then hang up."""

    def answer(connection: Connection, body: bytes) -> None:
        send_pieces(connection, body[: int(len(body) * share)], len(body))
        connection.hang_up()

    return answer


def sends_and_is_silent(share: float) -> Callable[[Connection, bytes], object]:
    def answer(connection: Connection, body: bytes) -> None:
        send_pieces(connection, body[: int(len(body) * share)], len(body))

    return answer


def flips(where: float) -> Callable[[Connection, bytes], object]:
    """Send all, one bit of it wrong."""

    def answer(connection: Connection, body: bytes) -> None:
        wrong = bytearray(body)
        wrong[int(len(body) * where)] ^= 1
        send_pieces(connection, bytes(wrong))

    return answer


def sends_zeros(connection: Connection, body: bytes) -> None:
    send_pieces(connection, bytes(len(body)))


def announces(more: int) -> Callable[[Connection, bytes], object]:
    """Announce and send some bytes more, or less, than were asked for."""
    return lambda connection, body: send_pieces(
        connection, (body + bytes(max(more, 0)))[: len(body) + more]
    )


def sends_more(connection: Connection, body: bytes) -> None:
    """Announce what is right, and go on after it."""
    send_pieces(connection, body + b"more\n" * 1000, len(body))


def sends_noise(connection: Connection, body: bytes) -> None:
    connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def waits_for_ever(connection: Connection, body: bytes) -> None:
    """Say once that its turn has not come."""
    connection.reply(codec.Pending(place=3))


class Gate:
    """Sends half of what is asked, and the rest when it is opened."""

    def __init__(self, share: float = 0.5) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self._share = share

    def __call__(self, source: Source, connection: Connection, request: PeerRequest) -> bool:
        if not isinstance(request, Take):
            return source.offer_all(connection, request)
        body = source.body(connection, request)
        if self.open.is_set():
            return send_pieces(connection, body)
        half = int(len(body) * self._share)
        send_pieces(connection, body[:half], len(body))
        self.reached.set()
        assert self.open.wait(SOON)
        connection.send(body[half:])
        return True


class Changing(UploadSlots):
    """Changes the file when its first bytes have left."""

    def __init__(self, change: Callable[[], object]) -> None:
        super().__init__(limit=2**40)  # any limit: then nothing is small enough to be sent at once
        self._change = change
        self._sent = 0  # chunks

    def chunks(self, length):
        for chunk in merkle.cut(length, MIN_PACED_CHUNK_BYTES):
            self._sent += 1
            if self._sent == 50:
                self._change()
            yield chunk


def outcomes(transfer: Transfer) -> dict[str, Outcome | RedeError]:
    """Wait for the end, and return what came of each name."""
    return {wanted.name: outcome for wanted, outcome in transfer.results.result(SOON)}
