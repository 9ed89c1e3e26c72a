"""Verifying the pieces of a bundle, then writing their files: nothing wrong gets a name.

The thread that receives a run also verifies it. One more thread writes: a small file at once, a
large one piece by piece into its partial file. A file that is whole goes to the Publisher.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import NamedTuple, cast

from rede_p2p.content import disk, merkle
from rede_p2p.content.anonymous_file import AnonymousFile
from rede_p2p.content.merkle import Verdicts
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.piece_layout import BundleLayout, Part
from rede_p2p.download.flush_queue import Written
from rede_p2p.download.publisher import Publisher, drop
from rede_p2p.download.request import DownloadRequest
from rede_p2p.errors import Address, DiskError, RedeError
from rede_p2p.events import Progress
from rede_p2p.upload.seeded_bundle import SeededBundle

# Errors that end no other file.
OF_ONE_FILE = ("busy", "crowded", "link", "link-folder", "name", "name-long", "not-folder")


class _Right(NamedTuple):
    """A part that is right, and its bytes; ``layer`` is the whole file's."""

    part: Part
    data: memoryview
    layer: bytes


class _Verified(NamedTuple):
    """A run for the writing thread; ``done`` is called when its memory is free again."""

    source: Address
    verdicts: Verdicts
    right: list[_Right]
    done: Callable[[], None]


class _Kept(NamedTuple):
    """For the writing thread: which pieces of a file are right that was begun before."""

    file: int
    verdicts: Verdicts

    def done(self) -> None:
        """Do nothing: it holds no memory."""


class _Open:
    """A file that is being written, as other peers are given it."""

    def __init__(self, file: AnonymousFile | PartialFile) -> None:
        self._file = file

    def read_into(self, start: int, view: memoryview) -> int:
        """Fill a view from an offset on; return how many bytes there were. Raises DiskError."""
        if not hasattr(os, "preadv"):  # Windows, where every file here is a partial one
            return disk.read_into(cast(PartialFile, self._file).file, start, view)
        filled = 0
        with disk.translate_os_errors(Path()):
            # It leaves the position alone, which others may use.
            while count := os.preadv(self._file.fileno(), [view[filled:]], start + filled):
                filled += count
        return filled


class _Large:
    """A file that comes in several pieces."""

    def __init__(self, request: DownloadRequest, partial: PartialFile, pieces: range) -> None:
        self.request = request
        self.partial = partial
        self.writer = partial.writer()
        self.left = set(pieces)
        self.have = 0  # bytes


class BundleWriter:
    """Verifies and writes the pieces of one bundle. Used by ``with``, which waits for the end."""

    def __init__(
        self,
        seeded: SeededBundle,
        wanted: Mapping[int, Sequence[DownloadRequest]],
        layers: Mapping[int, bytes],
        publisher: Publisher,
        report: Callable[[Address, Verdicts], None],
        report_kept: Callable[[Verdicts], object],
        fail: Callable[[RedeError], None],
    ) -> None:
        """Write the files ``wanted``, by their index; ``layers`` has that of each large one.

        The writing thread calls ``report`` once a run is written, ``report_kept`` once it knows
        what is kept, and ``fail`` where it ends.
        """
        self._seeded = seeded
        self._layout: BundleLayout = seeded.layout
        self._wanted = wanted
        self._hashes = {file: merkle.split(layer) for file, layer in layers.items()}
        self._layers = layers
        self._publisher = publisher
        self._report = report
        self._report_kept = report_kept
        self._fail = fail
        self._large: dict[int, _Large] = {}
        self._done: set[int] = set()  # files that are written, or cannot be; they may come again
        self.wrong: set[int] = set()  # files of which a source has sent something else
        self._verified: Queue[_Verified | _Kept | None] = Queue()
        self._thread = Thread(target=self._write_all, name="writer")

    def __enter__(self) -> "BundleWriter":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._verified.put(None)
        self._thread.join()
        for large in self._large.values():  # they stay for another time
            self._seeded.release(large.request.content)
            large.writer.__exit__()
            large.partial.close()

    def part(self) -> Progress | None:
        """Return how far one of the large files is that come now; any thread may call this."""
        coming = sorted(self._large.copy().items())
        if not coming:
            return None
        _, large = coming[0]
        return Progress(large.have, large.request.content.size, name=large.request.name)

    def open(self) -> nullcontext[None]:
        """Open nothing: the writing thread has the files."""
        return nullcontext()

    def write_behind(
        self, source: Address, pieces: range, data: memoryview, done: Callable[[], None]
    ) -> None:
        """Verify pieces and hand them to the writing thread; ``done`` when ``data`` is free."""
        verdicts: Verdicts = {}
        right: list[_Right] = []
        for piece in pieces:
            verdicts[piece] = True
            for part in self._layout.parts(piece):
                layer = self._verify(part, data[: part.length])
                if layer is None:
                    verdicts[piece] = False
                    self.wrong.add(part.file)
                else:
                    right.append(_Right(part, data[: part.length], layer))
                data = data[part.length :]
        self._verified.put(_Verified(source, verdicts, right, done))

    def go_on(self, file: int) -> PartialFile:
        """Open a large file that was begun before; only before this is entered. Raises DiskError.

        It will be closed at the end.
        """
        return self._open_large(file, self._wanted[file][0]).partial

    def keep(self, file: int, verdicts: Verdicts) -> None:
        """Keep the pieces that are right in a file that was begun before."""
        self._verified.put(_Kept(file, verdicts))

    def _verify(self, part: Part, data: memoryview) -> bytes | None:
        """Return the layer of the file of which this is a part; None if the bytes are wrong."""
        content = self._layout.contents[part.file]
        if not self._layout.is_cut(part.file):
            layer = merkle.layer_of(data)
            return layer if merkle.root_of(layer, content.size) == content.root else None
        piece = merkle.piece_length(content.size)
        first = part.start // piece
        pieces = range(first, first + -(-part.length // piece))
        right = merkle.compare(data, content.size, pieces, self._hashes[part.file])
        return self._layers[part.file] if all(right) else None

    def _write_all(self) -> None:
        handed: Iterator[_Verified | _Kept] = iter(self._verified.get, None)
        try:
            for run in handed:
                if isinstance(run, _Kept):
                    self._keep(run)
                    continue
                try:
                    for right in run.right:
                        self._write(right)
                finally:
                    run.done()
                self._report(run.source, run.verdicts)
            self._publisher.publish_all()
        except RedeError as error:
            self._fail(error)
        except BaseException:  # a bug, or no memory: Python tells it, and nobody may wait
            self._fail(DiskError(self._seeded.name, "stopped"))
            raise
        finally:
            for run in handed:  # a source that waits for a buffer must get it
                run.done()

    def _write(self, right: _Right) -> None:
        """Write a part where it is wanted; raise DiskError where no file can be written."""
        if right.part.file in self._done:
            return
        is_cut = self._layout.is_cut(right.part.file)
        write = self._write_large if is_cut else self._write_small
        for request in self._wanted.get(right.part.file, ()):
            try:
                write(request, right)
            except DiskError as error:
                if error.kind not in OF_ONE_FILE:
                    raise
                self._done.add(right.part.file)  # not half of it in a file that is free later
        if not is_cut:
            self._done.add(right.part.file)

    def _write_small(self, request: DownloadRequest, right: _Right) -> None:
        file = self._publisher.open(request.name)
        try:
            file.write_whole(bytes(right.data))
        except DiskError:
            drop(file)
            raise
        self._hand_on(Written(request, file, right.layer))

    def _write_large(self, request: DownloadRequest, right: _Right) -> None:
        part = right.part
        large = self._large.get(part.file)
        if large is None:
            large = self._open_large(part.file, request)
        large.writer.write(part.start, right.data)
        first = self._layout.pieces_of(part.file).start
        self._note_here(part.file, {first + part.start // self._layout.piece_bytes})

    def _open_large(self, file: int, request: DownloadRequest) -> _Large:
        partial = self._publisher.open_partial(request.name)
        try:
            partial.cut(request.content.size)
            large = self._large[file] = _Large(request, partial, self._layout.pieces_of(file))
        except DiskError:
            partial.close()
            raise
        self._seeded.receive(request.content, _Open(partial))
        return large

    def _keep(self, kept: _Kept) -> None:
        self._note_here(kept.file, {piece for piece, right in kept.verdicts.items() if right})
        self._report_kept(kept.verdicts)

    def _note_here(self, file: int, pieces: set[int]) -> None:
        """Take note of pieces of a large file; hand it on when it is whole."""
        large = self._large[file]
        large.have += self._layout.bytes_in(large.left & pieces)
        large.left -= pieces
        if not large.left:
            large.writer.__exit__()
            del self._large[file]
            self._done.add(file)
            self._hand_on(Written(large.request, large.partial, self._layers[file]))

    def _hand_on(self, written: Written) -> None:
        self._seeded.receive(written.request.content, _Open(written.file))
        self._publisher.add(written, written.request.content.size)
