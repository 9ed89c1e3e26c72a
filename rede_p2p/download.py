"""One file from another peer: resumable, verified piece by piece, never in the way of what exists.

The life of a download: is the content here already? – open ``NAME.parte`` and keep every piece of
it that is right – fetch the missing ones, verify each, write it – flush to the disk – give it a
free final name. The partial file is its own resume state: there is no journal to disagree with it.

``run`` belongs to one thread; ``cancel`` and ``progress`` may be called from any.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
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
from rede_p2p.partial import Partial, finals, path_of
from rede_p2p.roots import Hashed, Roots
from rede_p2p.verifier import Verifier

RUN = 64 * 1024 * 1024  # bytes asked for in one request
CHUNK = 512 * 1024  # bytes received, then written at once
FLUSH_BEHIND = 8 * 1024 * 1024  # bytes; below it one flush at the end is as good
SAMPLES = 16  # pieces of another partial file that are looked at
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


class Download:
    """One file on its way; see the module's docstring."""

    def __init__(self, wanted: Wanted, folder: Path, connect: Connect, roots: Roots) -> None:
        """Prepare; ``connect`` opens a conversation with a peer. Raises UnsafeNameError."""
        self._wanted = wanted
        self._content = wanted.content
        self._target = folder / names.check(wanted.name)
        self._connect = connect
        self._roots = roots
        self._piece = merkle.piece_length(wanted.content.size)
        self._layer = b""
        self._lock = Lock()  # guards the four below
        self._missing: set[int] = set()
        self._have = self._kept = 0  # verified bytes, in all and from an earlier attempt
        self._liar = False  # the source in use sent a piece that is not right
        self._connection: Connection | None = None
        self._cancelled = False
        self.waiting = wire.Wait()  # what the source last said while we wait for our turn

    def progress(self) -> Progress:
        """Tell how far it is."""
        return Progress(self._have, self._content.size, self._kept)

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
        for path in finals(self._target):
            if not os.path.lexists(path):
                break
            if self._is_here(path):
                return Outcome(path, already=True)
        with ExitStack() as stack:
            path = self._fetch(stack).publish(finals(self._target), self._is_here)
        stamp = disk.stamp(path)
        if stamp is not None:
            self._roots.remember([(str(path), Hashed(stamp, self._content, self._layer))])
        return Outcome(path, already=False)

    def _is_here(self, path: Path) -> bool:
        return self._roots.is_content(path, self._content, self._check_cancelled)

    def _fetch(self, stack: ExitStack) -> Partial:
        """Fetch every missing piece, from one source after another, into an open partial file."""
        failure: RedeError = ConnectionLostError("lost")
        partial: Partial | None = None
        try:
            for source in self._wanted.sources:
                try:
                    with self._connect(source) as connection:
                        self._adopt(connection)
                        if partial is None:
                            self._layer = self._fetch_layer(connection, source)
                            partial = stack.enter_context(self._open_partial())
                            self._begin(partial)
                        self._fetch_from(connection, source, partial)
                    return partial
                except (PeerUnreachableError, VerificationError) as error:
                    failure = error
                except (ConnectionLostError, ProtocolError, RefusedError) as error:
                    failure = PeerUnreachableError(source, error)
                finally:
                    self._adopt(None)
                self._check_cancelled()
        except RedeError:
            self._leave_nothing_empty(partial)
            raise
        self._leave_nothing_empty(partial)
        if isinstance(failure, PeerUnreachableError) and self._have:
            raise IncompleteError(self._wanted.name, self._have, self._content.size, failure)
        raise failure

    def _leave_nothing_empty(self, partial: Partial | None) -> None:
        """Remove a partial file that holds nothing right."""
        if partial is not None and not self._have:
            partial.discard()

    def _adopt(self, connection: Connection | None) -> None:
        """Let ``cancel`` know which connection to hang up."""
        with self._lock:
            self._connection = connection
        if connection is not None:
            self._check_cancelled()

    def _check_cancelled(self) -> None:
        if self._cancelled:
            raise InterruptedByUserError

    def _open_partial(self) -> Partial:
        """Open ``NAME.parte``, or take over one of another name that has pieces of this content."""
        path = path_of(self._target)
        partial = Partial(path)
        if not partial.size():
            for other in sorted(path.parent.glob(f"*{names.PARTIAL}")):
                if other != path and self._has_pieces(other):
                    # We hold the lock of both names; the empty file goes, its name stays ours.
                    other.replace(path)
                    partial.close()
                    return Partial(path)
        return partial

    def _has_pieces(self, other: Path) -> bool:
        """Tell whether a partial file that nobody is writing has some piece of this content."""
        size, right = self._content.size, []

        def note(_index: int, is_right: bool) -> None:
            right.append(is_right)

        try:
            with Partial(other) as found:
                whole = min(found.size(), size) // self._piece
                step = max(1, whole // SAMPLES)
                hashes = merkle.split(self._layer)
                with Verifier(found, size, hashes, note) as verifier:
                    verifier.check(range(0, whole, step))
        except DiskError:  # busy, or gone
            return False
        return any(right)

    def _fetch_from(self, connection: Connection, source: Address, partial: Partial) -> None:
        self._liar = False
        hashes = merkle.split(self._layer)
        try:
            with (
                partial.handle("rb+") as file,
                Verifier(partial, self._content.size, hashes, self._judge) as verifier,
            ):
                for pieces in self._runs():
                    self._receive(connection, pieces, file, verifier)
        except RedeError:
            if not self._liar:
                raise
        if self._liar or self._missing:
            raise VerificationError(self._wanted.name, source)

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

    def _begin(self, partial: Partial) -> None:
        """Keep what is right in what an earlier download left, and note what is missing."""
        size, hashes = self._content.size, merkle.split(self._layer)
        partial.cut(size)
        whole = len(hashes) if partial.size() == size else partial.size() // self._piece
        self._missing = set(range(len(hashes)))
        if partial.size():
            with Verifier(partial, size, hashes, self._keep) as verifier:
                verifier.check(range(whole))
        self._kept = self._have
        self._check_cancelled()
        needed = size - partial.allocated()
        if needed > 0 and disk.free_space(self._target.parent) < needed + SPARE:
            raise DiskError(str(self._target), "full")
        if size >= FLUSH_BEHIND:
            partial.flush_behind()

    def _keep(self, index: int, right: bool) -> None:
        """Count a piece that is right."""
        with self._lock:
            if right and index in self._missing:
                self._missing.discard(index)
                self._have += self._bytes_in(index, 1)
        self._check_cancelled()

    def _judge(self, index: int, right: bool) -> None:
        """Count a piece that is right; hang up on the source of one that is not."""
        self._keep(index, right)
        if not right:
            with self._lock:
                self._liar = True
                if self._connection is not None:
                    self._connection.hang_up()

    def _runs(self) -> Iterator[range]:
        """Yield the pieces that are missing now, each range one request's worth."""
        most = max(1, RUN // self._piece)
        missing = sorted(self._missing)
        at = 0
        while at < len(missing):
            end = at + 1
            while end < min(at + most, len(missing)) and missing[end] == missing[end - 1] + 1:
                end += 1
            yield range(missing[at], missing[end - 1] + 1)
            at = end

    def _receive(
        self, connection: Connection, pieces: range, file: BinaryIO, verifier: Verifier
    ) -> None:
        """Ask for a range of pieces, write them as they come, and have them verified."""
        request = Pieces(self._content.root, pieces.start, len(pieces))
        body = connection.ask(request, Body, waiting=self._note_waiting)
        self.waiting = wire.Wait()
        if body.bytes != self._bytes_in(pieces.start, len(pieces)):
            raise ProtocolError("bad-length")
        step = max(1, CHUNK // self._piece)
        buffer = memoryview(bytearray(min(step * self._piece, body.bytes)))
        for first in range(pieces.start, pieces.stop, step):
            some = range(first, min(first + step, pieces.stop))
            view = buffer[: self._bytes_in(first, len(some))]
            connection.receive_all(view)
            self._write(file, first * self._piece, view)
            verifier.check(some)

    def _note_waiting(self, wait: wire.Wait) -> None:
        self.waiting = wait

    def _bytes_in(self, first: int, count: int) -> int:
        start = first * self._piece
        return min(count * self._piece, self._content.size - start)

    def _write(self, file: BinaryIO, offset: int, view: memoryview) -> None:
        with disk.border(self._target):
            file.seek(offset)
            while view:
                view = view[file.write(view) :]
