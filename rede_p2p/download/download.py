"""One file from whoever has it: resumable, verified piece by piece, never over what exists.

The life of a download: is the content here already? – get its piece hashes from any source – open
``NAME.parte`` – keep every piece of it that is right, while a crew of sources brings the rest and
what is here is offered to others – flush to the disk – give it a free final name. The partial
file is its own resume state: there is no journal to disagree with it.

``run`` belongs to one thread; ``cancel`` and ``progress`` may be called from any.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import NamedTuple

from rede_p2p.content import disk, merkle, safe_names
from rede_p2p.content.hash_cache import HashCache, Hashed
from rede_p2p.content.merkle import Content
from rede_p2p.content.partial_file import PartialFile, finals, path_of
from rede_p2p.content.recheck import Recheck, open_partial
from rede_p2p.download import source_finder
from rede_p2p.download.piece_layer import find_layer
from rede_p2p.download.piece_picker import PiecePicker
from rede_p2p.download.piece_writer import PieceWriter, Verdicts
from rede_p2p.download.source_finder import SourceFinder, WhoHas, nobody_else
from rede_p2p.download.swarm import Swarm
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    DiskError,
    IncompleteError,
    InterruptedByUserError,
    RedeError,
    VerificationError,
)
from rede_p2p.net.connection import Connection
from rede_p2p.protocol import codec
from rede_p2p.upload.seed_store import SeededContent, SeedStore

FLUSH_BEHIND = 8 * 1024 * 1024  # bytes; below it one flush at the end is as good
SPARE = 1024 * 1024  # bytes that a download leaves free on the disk

Connect = Callable[[Address], Connection]


@dataclass(frozen=True)
class DownloadRequest:
    """What to fetch: the name it has there, what it is, and who has it."""

    name: str
    content: Content
    sources: tuple[Address, ...]


class DownloadProgress(NamedTuple):
    """How far a download is; ``kept`` of its bytes were here before it began.

    While ``looking`` at what was here, ``kept`` is still 0.
    """

    have: int
    size: int
    kept: int
    sources: int
    looking: bool


@dataclass(frozen=True)
class Outcome:
    """Where the content is now; ``already`` when it was there before."""

    path: Path
    already: bool


class Download:
    """One file on its way; see the module's docstring."""

    def __init__(
        self,
        wanted: DownloadRequest,
        folder: Path,
        connect: Connect,
        roots: HashCache,
        who_has: WhoHas = nobody_else,
        holdings: SeedStore | None = None,
    ) -> None:
        """Prepare; ``connect`` opens a conversation with a peer. Raises UnsafeNameError."""
        self._wanted = wanted
        self._content = wanted.content
        self._folder = folder
        self._target = folder / safe_names.check(wanted.name)
        self._connect = connect
        self._roots = roots
        self._gathering = SourceFinder(wanted.content, wanted.sources, who_has)
        self._holdings = holdings or SeedStore()
        self._piece = merkle.piece_length(wanted.content.size)
        self._layer = b""
        self._kept: int | None = None  # bytes left by an earlier attempt, once all were looked at
        self._lock = Lock()  # guards the four below
        self._fetched = 0  # verified bytes from sources
        self._look: Recheck | None = None
        self._crew: Swarm | None = None
        self._asking: Connection | None = None
        self._cancelled = False

    def progress(self) -> DownloadProgress:
        """Tell how far it is."""
        sources = self._crew.size() if self._crew else 0
        looking = self._crew is not None and self._kept is None
        return DownloadProgress(self._have, self._content.size, self._kept or 0, sources, looking)

    @property
    def _have(self) -> int:
        return self._fetched + (self._kept or 0)

    @property
    def waiting(self) -> codec.Pending:
        """What a source last said while we wait for our turn."""
        return self._crew.waiting if self._crew else codec.Pending()

    def cancel(self) -> None:
        """Make ``run`` end soon, with InterruptedByUserError; what has arrived stays."""
        self._cancelled = True
        with self._lock:
            crew, asking, look = self._crew, self._asking, self._look
        if look is not None:
            look.stop()
        if asking is not None:
            asking.hang_up()
        if crew is not None:
            crew.stop()

    def run(self) -> Outcome:
        """Fetch the file; return where it is.

        Raises IncompleteError, VerificationError, PeerUnreachableError, DiskError or
        InterruptedByUserError; in each case ``NAME.parte`` keeps what was verified, and no final
        name has been given.
        """
        self._check_cancelled()
        path = self._find_here()
        if path is not None:
            return Outcome(path, already=True)
        if disk.has_link(self._folder, self._target.parent):
            raise DiskError(str(self._target.parent), "link-folder")
        left = path_of(self._target)
        with Recheck(left, self._content.size) as look:
            with self._lock:
                self._look = look
            self._check_cancelled()
            if os.path.lexists(left):
                look.start()
            self._layer = self._find_layer()
            with open_partial(left, self._content.size, self._layer) as partial:
                return Outcome(self._bring(partial, look), already=False)

    def _find_here(self) -> Path | None:
        """Return where the content is, if one of the names that it may get has it."""
        for path in finals(self._target):
            if not os.path.lexists(path):
                break
            if self._is_here(path):
                return path
        return None

    def _bring(self, partial: PartialFile, look: Recheck) -> Path:
        """Fetch what is missing, and give the whole its final name."""
        try:
            holding = self._fetch(partial, look)
        except RedeError:
            if self._kept is not None and not self._have:
                partial.discard()
            raise
        try:
            partial.flush()
            hashed = Hashed(partial.stamp(), self._content, self._layer)
            path = partial.publish(finals(self._target), self._is_here)
            disk.sync_folder(path.parent)
        except BaseException:
            self._holdings.finish(holding)
            raise
        if disk.stamp(path) == hashed.stamp:  # else it is another's, or edited already
            self._roots.remember([(str(path), hashed)])
        self._holdings.finish(holding, path, self._roots.stamp_as(self._content, str(path)))
        return path

    def _is_here(self, path: Path) -> bool:
        return self._roots.is_content(path, self._content, self._check_cancelled)

    def _check_cancelled(self) -> None:
        if self._cancelled:
            raise InterruptedByUserError

    def _find_layer(self) -> bytes:
        """Get the piece hashes from those that we know, or that the tracker knows of."""
        if merkle.piece_count(self._content.size) == 1:
            return self._content.root
        return find_layer(
            self._wanted.name,
            self._content,
            self._gathering.named(),
            lambda: self._gathering.find_others(self._check_cancelled),
            self._connect,
            self._adopt,
        )

    def _adopt(self, asking: Connection | None) -> None:
        """Let ``cancel`` know which connection to hang up."""
        with self._lock:
            self._asking = asking
        self._check_cancelled()

    def _fetch(self, partial: PartialFile, look: Recheck) -> SeededContent:
        """Bring every missing piece, offering to others what is here."""
        partial.cut(self._content.size)
        count = merkle.piece_count(self._content.size)
        left = range(min(count, -(-partial.size() // self._piece)))
        self._kept = None if left else 0
        self._check_space(partial)
        board = PiecePicker(count, monotonic, left)
        holding = self._holdings.begin(
            self._wanted.name, self._content, self._layer, partial.path, ()
        )
        try:
            self._lead(partial, board, holding, left, look)
        except BaseException:
            self._holdings.finish(holding)
            raise
        return holding

    def _look_at_left(
        self,
        left: range,
        look: Recheck,
        partial: PartialFile,
        crew: Swarm,
        holding: SeededContent,
        verifier: PieceWriter,
    ) -> None:
        """Take note of what an earlier download left, beside those that fetch the rest."""
        if not left:
            return
        kept = 0
        try:
            for found in look.pieces(self._layer, len(left), partial.file):
                right = [index for index in found if found[index]]
                kept += merkle.bytes_in(right, self._content.size)
                holding.add(right)
                crew.note_left(found)
                if self._cancelled or verifier.failure:
                    return
            self._kept = kept
        except RedeError as error:
            verifier.failure = error

    def _check_space(self, partial: PartialFile) -> None:
        needed = self._content.size - partial.allocated()
        if needed > 0 and disk.free_space(self._target.parent) < needed + SPARE:
            raise DiskError(str(self._target), "full")
        if self._content.size >= FLUSH_BEHIND:
            partial.flush_behind()

    def _lead(
        self,
        partial: PartialFile,
        board: PiecePicker,
        holding: SeededContent,
        left: range,
        look: Recheck,
    ) -> None:
        """Gather sources until every piece is here, or there is nobody left to ask."""
        crew = Swarm(self._wanted.name, self._content, board, self._connect)
        with self._lock:
            self._crew = crew

        def judge(source: Address, found: Verdicts) -> None:
            holding.add(index for index in found if found[index])
            length = merkle.bytes_in(crew.judge(source, found), self._content.size)
            with self._lock:
                self._fetched += length

        hashes = merkle.split(self._layer)
        with PieceWriter(partial, self._content.size, hashes, board.is_here, judge) as verifier:
            looking = Thread(
                target=self._look_at_left,
                args=(left, look, partial, crew, holding, verifier),
                name="look",
            )
            looking.start()
            try:
                self._gathering.run(crew, verifier, lambda: self._cancelled)
            finally:
                crew.close()
                _await(looking, look, crew)
        self._check_cancelled()
        if verifier.failure is not None:
            raise verifier.failure
        if not board.complete:
            raise self._given_up(crew.failure or ConnectionLostError("silent"))

    def _given_up(self, failure: RedeError) -> RedeError:
        """Return what to raise when no source is left."""
        if isinstance(failure, VerificationError) or not self._have:
            return failure
        return IncompleteError(self._wanted.name, self._have, self._content.size, failure)


def _await(looking: Thread, look: Recheck, crew: Swarm) -> None:
    """Wait until what an earlier download left was looked at; a process that is stuck is ended."""
    while looking.is_alive():
        left = crew.moved_at + source_finder.STUCK - monotonic()
        if left <= 0:
            look.stop()
        looking.join(max(left, source_finder.LAST_LOOK))
