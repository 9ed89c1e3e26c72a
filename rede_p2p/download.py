"""One file from another peer: resumable, verified piece by piece, never in the way of what exists.

The life of a download: is the content here already? – open ``NAME.parte`` and keep every piece of
it that is right – fetch the missing ones, verify each, write it – flush to the disk – give it a
free final name. The partial file is its own resume state: there is no journal to disagree with it.

``run`` belongs to one thread; ``cancel`` and ``progress`` may be called from any.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO, NamedTuple

from rede_p2p import disk, merkle, names, wire
from rede_p2p.connection import Connection
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    DiskError,
    IncompleteError,
    InterruptedByUserError,
    PeerUnreachableError,
    ProtocolError,
    RedeError,
    RefusedError,
    VerificationError,
)
from rede_p2p.merkle import Content
from rede_p2p.messages import Body, Hashes, Pieces
from rede_p2p.roots import Hashed, Roots

RUN = 64 * 1024 * 1024  # bytes asked for in one request
SPARE = 1024 * 1024  # bytes that a download leaves free on the disk

Connect = Callable[[Address], Connection]


@dataclass(frozen=True)
class Wanted:
    """What to fetch: the name it has there, what it is, and who has it."""

    name: str
    content: Content
    sources: tuple[Address, ...]


class Progress(NamedTuple):
    """How far a download is; ``kept`` of its bytes were here before it began."""

    have: int
    size: int
    kept: int


@dataclass(frozen=True)
class Outcome:
    """Where the content is now; ``already`` when it was there before."""

    path: Path
    already: bool
    source: Address | None


class Download:
    """One file on its way; see the module's docstring."""

    def __init__(self, wanted: Wanted, folder: Path, connect: Connect, roots: Roots) -> None:
        """Prepare; ``connect`` opens a conversation with a peer. Raises UnsafeNameError."""
        names.check(wanted.name)
        self._wanted = wanted
        self._content = wanted.content
        self._folder = folder
        self._connect = connect
        self._roots = roots
        self._piece = merkle.piece_length(wanted.content.size)
        self._partial = disk.partial_path(folder, wanted.name)
        self._lock = Lock()  # guards _connection and _cancelled
        self._connection: Connection | None = None
        self._cancelled = False
        self._progress = Progress(0, wanted.content.size, 0)
        self._layer = b""
        self._missing: list[int] = []  # indexes of pieces, in order

    def progress(self) -> Progress:
        """Tell how far it is."""
        return self._progress

    def cancel(self) -> None:
        """Make ``run`` end soon, with InterruptedByUserError; what has arrived stays."""
        with self._lock:
            self._cancelled = True
            if self._connection is not None:
                self._connection.hang_up()

    def run(self) -> Outcome:
        """Fetch the file; return where it is.

        Raises IncompleteError, VerificationError, PeerUnreachableError, DiskError or
        InterruptedByUserError; in each case ``NAME.parte`` keeps what was verified, and no final
        name has been given.
        """
        for path in self._finals():
            if not os.path.lexists(path):
                break
            if self._holds_content(path):
                return Outcome(path, already=True, source=None)
        with disk.open_partial(self._partial) as file:
            source = self._fetch(file)
            return self._publish(file, source)

    def _finals(self) -> Iterator[Path]:
        """Yield the names that the file may get, the best first."""
        inside = self._folder / self._wanted.name
        return (inside.with_name(name) for name in names.alternatives(inside.name))

    def _holds_content(self, path: Path) -> bool:
        """Tell whether a file of the download folder is the wanted content already."""
        stamp = disk.stamp(path)
        if stamp is None or stamp.size != self._content.size:
            return False
        root = None
        while root is None:
            root = self._roots.wait(str(path), stamp, within=0.5)
            self._check_cancelled()
        return root == self._content.root

    def _publish(self, file: BinaryIO, source: Address | None) -> Outcome:
        for path in self._finals():
            if disk.publish(file, self._partial, path):
                stamp = disk.stamp(path)
                if stamp is not None:
                    self._roots.remember(str(path), Hashed(stamp, self._content, self._layer))
                return Outcome(path, already=False, source=source)
            if self._holds_content(path):
                self._partial.unlink()
                return Outcome(path, already=True, source=None)
        raise DiskError(self._wanted.name, "name")

    def _fetch(self, file: BinaryIO) -> Address | None:
        """Fetch every missing piece, from one source after another; return the last one used."""
        failure: RedeError | None = None
        for source in self._wanted.sources:
            try:
                with self._connect(source) as connection:
                    self._adopt(connection)
                    self._fetch_from(connection, source, file)
                return source
            except (PeerUnreachableError, VerificationError) as error:
                failure = error
            except (ConnectionLostError, ProtocolError, RefusedError) as error:
                failure = PeerUnreachableError(source, error)
            finally:
                self._adopt(None)
            self._check_cancelled()
        raise self._failed(failure)

    def _failed(self, failure: RedeError | None) -> RedeError:
        """Return what to raise when no source is left."""
        progress = self._progress
        if not progress.have:
            self._partial.unlink()
        if failure is None:
            return DiskError(self._wanted.name, "missing")
        if isinstance(failure, PeerUnreachableError) and progress.have:
            return IncompleteError(self._wanted.name, progress.have, progress.size, failure)
        return failure

    def _adopt(self, connection: Connection | None) -> None:
        """Let ``cancel`` know which connection to hang up."""
        with self._lock:
            self._connection = connection
        self._check_cancelled()

    def _check_cancelled(self) -> None:
        if self._cancelled:
            raise InterruptedByUserError

    def _fetch_from(self, connection: Connection, source: Address, file: BinaryIO) -> None:
        if not self._layer:
            self._layer = self._fetch_layer(connection, source)
            self._keep_what_is_right(file)
        hashes = merkle.split(self._layer)
        buffer = memoryview(bytearray(min(self._piece, self._content.size)))
        for first, count in self._runs():
            connection.send(wire.encode_request(Pieces(self._content.root, first, count)))
            body = connection.receive_reply(Body)
            if body.bytes != self._bytes_in(first, count):
                raise ProtocolError("bad-length")
            for index in range(first, first + count):
                view = buffer[: self._bytes_in(index, 1)]
                connection.receive_all(view)
                if merkle.piece_hash(view, self._content.size) != hashes[index]:
                    raise VerificationError(self._wanted.name, source)
                self._write(file, index, view)

    def _fetch_layer(self, connection: Connection, source: Address) -> bytes:
        """Return the piece hashes, proved by the root; a content of one piece needs none."""
        if merkle.piece_count(self._content.size) == 1:
            return self._content.root
        body = connection.ask(Hashes(self._content.root), Body)
        if body.bytes != merkle.piece_count(self._content.size) * merkle.HASH:
            raise ProtocolError("bad-length")
        layer = bytes(connection.receive_exactly(body.bytes))
        if merkle.root_of(layer, self._content.size) != self._content.root:
            raise VerificationError(self._wanted.name, source)
        return layer

    def _keep_what_is_right(self, file: BinaryIO) -> None:
        """Hash what an earlier download left, keep what is right, and note what is missing."""
        size, kept = self._content.size, 0
        hashes = merkle.split(self._layer)
        with disk.border(self._partial):
            status = os.fstat(file.fileno())
            present = status.st_size
            self._check_space(size - min(present, getattr(status, "st_blocks", 2**62) * 512))
            buffer = memoryview(bytearray(min(self._piece, size)))
            for index, (offset, length) in enumerate(merkle.cut(size, self._piece)):
                view = buffer[:length]
                right = offset + length <= present and _read_at(file, offset, view)
                if right and merkle.piece_hash(view, size) == hashes[index]:
                    kept += length
                    self._progress = Progress(kept, size, 0)
                    self._check_cancelled()
                else:
                    self._missing.append(index)
            if present > size:
                file.truncate(size)
        self._progress = Progress(kept, size, kept)

    def _check_space(self, needed: int) -> None:
        if needed > 0 and disk.free_space(self._folder) < needed + SPARE:
            raise DiskError(str(self._folder), "full")

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Yield the missing pieces as (first, count), each a request's worth."""
        most = max(1, RUN // self._piece)
        while self._missing:
            first, count = self._missing[0], 1
            while count < min(most, len(self._missing)) and self._missing[count] == first + count:
                count += 1
            yield first, count

    def _bytes_in(self, first: int, count: int) -> int:
        start = first * self._piece
        return min(count * self._piece, self._content.size - start)

    def _write(self, file: BinaryIO, index: int, view: memoryview) -> None:
        with disk.border(self._partial):
            file.seek(index * self._piece)
            while view:
                view = view[file.write(view) :]
        self._missing.remove(index)
        have, kept = self._progress.have + self._bytes_in(index, 1), self._progress.kept
        self._progress = Progress(have, self._content.size, kept)


def _read_at(file: BinaryIO, offset: int, view: memoryview) -> bool:
    """Fill the view from the file; False when the file ends before."""
    file.seek(offset)
    while view and (count := file.readinto(view)):  # type: ignore[attr-defined]
        view = view[count:]
    return not view
