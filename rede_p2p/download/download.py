"""One file from whoever has it: resumable, verified piece by piece, never over an existing file.

A download is a straight line: find the content here – get its piece layer – recheck what an earlier
attempt left while the swarm fetches the rest – flush – publish under a free final name. The partial
file is its own resume state: there is no journal to disagree with it.

``run`` belongs to one thread; ``cancel`` and ``progress`` may be called from any.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread

from rede_p2p.content import disk, file_systems, merkle, safe_names
from rede_p2p.content.hashing import Hashed
from rede_p2p.content.merkle import FileLayout
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.recheck import Recheck, is_partly
from rede_p2p.content.safe_names import finals, path_of, taken
from rede_p2p.download.piece_writer import PieceWriter
from rede_p2p.download.publisher import SPARE_DISK_BYTES, discard_left
from rede_p2p.download.request import DownloadContext, DownloadRequest, Outcome
from rede_p2p.download.source import Source, talking_to
from rede_p2p.download.source_finder import SourceFinder
from rede_p2p.download.swarm import Swarm
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    DiskError,
    RedeError,
    RefusedError,
    VerificationError,
)
from rede_p2p.events import Progress
from rede_p2p.protocol.messages import FileData, Hashes

MIN_FLUSH_BEHIND_BYTES = 8 * 1024 * 1024  # below it one flush at the end is as good


class Download:
    """One file on its way."""

    def __init__(self, request: DownloadRequest, context: DownloadContext) -> None:
        """Prepare; raise UnsafeNameError, or DiskError where the disk cannot hold the name."""
        self._content = request.content
        self._name = request.name
        self._context = context
        self._target = context.folder / safe_names.check_writable(request.name, context.folder)
        self._finder = SourceFinder(request, context.who_has, context.timeouts, context.idle)
        self._layout = FileLayout(request.content)
        self._swarm = Swarm(request.name, self._layout, self._finder, context.timeouts)
        self.brought = self._swarm.brought  # to be read once ``run`` has returned

    def cancel(self) -> None:
        """Make ``run`` end soon, with InterruptedByUserError; what has arrived stays."""
        self._swarm.cancel()

    def progress(self) -> Progress:
        """Return how far the download is."""
        return self._swarm.progress()

    def run(self) -> Outcome:
        """Fetch the file; return where it is.

        Raises IncompleteError, VerificationError, PeerUnreachableError, DiskError or
        InterruptedByUserError; then ``NAME.parte`` keeps what was verified, and no final name has
        been given.
        """
        self._swarm.check_cancelled()
        path = next(filter(self._is_here, taken(self._target)), None)
        if path is not None:
            discard_left(self._context, self._target, self._content, path)
            return Outcome(str(path), already=True)
        folder = self._target.parent
        if disk.has_link(self._context.folder, folder):
            raise DiskError(str(folder), "link-folder")
        with ExitStack() as stack:
            left = path_of(self._target)
            # Started before the layer is asked for, because a process needs 30 ms to start.
            recheck = self._start_recheck(stack, left) if os.path.lexists(left) else None
            layer = self._finder.find_layer(self._context.connect, self._swarm.check_cancelled)
            partial = stack.enter_context(self._open_partial(left, layer))
            if recheck is None and partial.size():
                recheck = self._start_recheck(stack, left)
            return Outcome(str(self._bring(partial, layer, recheck)), already=False)

    def _is_here(self, path: Path) -> bool:
        check = self._swarm.check_cancelled
        return self._context.hash_cache.is_content(str(path), self._content, check)

    def _start_recheck(self, stack: ExitStack, left: Path) -> Recheck:
        recheck = stack.enter_context(Recheck(left, self._content.size))
        stack.enter_context(self._swarm.hanging_up(recheck, recheck.stop))
        self._swarm.check_cancelled()
        recheck.start()
        return recheck

    def _open_partial(self, left: Path, layer: bytes) -> PartialFile:
        """Open the partial file, or take over one of another name with the same content."""
        partial = PartialFile(left, str(self._context.folder))
        try:
            with disk.translate_os_errors(left.parent):
                others = sorted(left.parent.glob(f"*{safe_names.PARTIAL_SUFFIX}"))
            for other in others:
                if partial.size():
                    break
                if other != left and is_partly(other, self._content.size, layer):
                    partial = partial.replaced_by(other)
        except BaseException:
            partial.close()
            raise
        return partial

    def _bring(self, partial: PartialFile, layer: bytes, recheck: Recheck | None) -> Path:
        """Fetch what is missing, offering what is here; give the whole its final name."""
        partial.cut(self._content.size)
        piece, size = merkle.piece_length(self._content.size), partial.size()
        doubtful = range(min(merkle.piece_count(self._content.size), -(-size // piece)))
        seeds = self._context.seeds
        seeded = seeds.begin(self._name, self._content, layer, partial.path)
        try:
            self._swarm.begin(seeded, doubtful)
            self._check_space(partial)
            with self._rechecking(partial, layer, recheck, len(doubtful)):
                self._fetch(partial, layer)
            self._swarm.check_complete()
            path = self._publish(partial, layer)
        except BaseException as error:
            seeds.end(seeded)
            now = self.progress()
            if isinstance(error, RedeError) and not (now.have or now.rechecking):
                partial.discard()
            raise
        seeds.end(seeded, path, self._context.hash_cache.state_as(self._content, str(path)))
        return path

    def _check_space(self, partial: PartialFile) -> None:
        too_large = self._content.size > file_systems.MAX_FAT_FILE_BYTES
        if too_large and file_systems.is_fat(self._target.parent):
            raise DiskError(str(self._target), "large")
        needed = self._content.size - partial.allocated()
        if needed > 0 and disk.free_space(self._target.parent) < needed + SPARE_DISK_BYTES:
            raise DiskError(str(self._target), "full")
        if self._content.size >= MIN_FLUSH_BEHIND_BYTES:
            partial.flush_behind()

    @contextmanager
    def _rechecking(
        self, partial: PartialFile, layer: bytes, recheck: Recheck | None, count: int
    ) -> Iterator[None]:
        """Recheck the first ``count`` pieces while the block runs, and after it."""
        if recheck is None or not count:
            yield
            return
        work = (recheck, partial, layer, count)
        listener = Thread(target=self._recheck, args=work, name="recheck")
        listener.start()
        try:
            yield
        finally:
            # While it progresses it is waited for, so that what is kept is known.
            while listener.is_alive():
                left_s = self._swarm.stalls_in_s()
                if left_s <= 0:
                    recheck.stop()
                listener.join(max(left_s, self._context.timeouts.max_search_pause_s))

    def _recheck(self, recheck: Recheck, partial: PartialFile, layer: bytes, count: int) -> None:
        try:
            for verdicts in recheck.pieces(layer, count, partial.file):
                if not self._swarm.record_recheck(verdicts):
                    return
        except RedeError as error:
            self._swarm.fail(error)

    def _fetch(self, partial: PartialFile, layer: bytes) -> None:
        """Fetch the missing pieces from every source that can be had."""
        swarm, size = self._swarm, self._content.size
        with PieceWriter(partial, size, layer, swarm.is_here, swarm.record, swarm.fail) as writer:

            def fetch_from(address: Address) -> None:
                try:
                    with talking_to(address, self._context.connect, swarm) as connection:
                        Source(address, connection, self._layout, swarm, writer).fetch()
                finally:
                    self._complain(address)

            swarm.run(fetch_from)

    def _complain(self, address: Address) -> None:
        """Tell a source that sent a wrong piece, so that it hashes its file again."""
        wrong = self._finder.lie_of(address)
        if wrong is None:
            return
        talking = talking_to(address, self._context.connect, self._swarm)
        with suppress(RedeError), talking as connection:
            connection.ask(Hashes(self._content.root, wrong), FileData)

    def _publish(self, partial: PartialFile, layer: bytes) -> Path:
        """Make the content durable, then give it the first final name that is free."""
        partial.flush()
        before = partial.state()
        path = partial.publish(finals(self._target), self._is_here)
        disk.sync_folder(path.parent)
        state = disk.state_once_named(path, before)
        if state is not None:  # else it is another's file, or edited already
            self._context.hash_cache.remember([(str(path), Hashed(state, self._content, layer))])
        return path


def causes(error: RedeError) -> list[RedeError]:
    """List an error, its cause, the cause of that, and so on."""
    found = [error]
    while isinstance(inner := getattr(found[-1], "cause", None), RedeError):
        found.append(inner)
    return found


def may_be_news(outcome: Outcome | RedeError) -> bool:
    """Tell whether a file failed because it is another at its source by now."""
    if isinstance(outcome, Outcome):
        return False
    match causes(outcome)[-1]:
        case VerificationError() | ConnectionLostError("lost"):
            return True
        case RefusedError(code):
            return code in ("changed", "not-here")
    return False
