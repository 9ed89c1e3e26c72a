"""A content that this peer offers: a whole file, or the pieces of a download that are here.

Any thread may use it; each requester reads by a reader of its own.
"""

import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from rede_p2p.content import disk, merkle
from rede_p2p.content.disk import FileState
from rede_p2p.content.merkle import Content, FileLayout
from rede_p2p.errors import DiskError
from rede_p2p.upload.offer_picker import OfferPicker
from rede_p2p.upload.upload_slots import Upload

MAX_CHECKED_BYTES = 1024 * 1024  # read for one complaint, which costs no more than it does to serve


@dataclass(eq=False)
class SeededContent:
    """One content, and the pieces of it that are here: all of a whole file, some of a download."""

    name: str
    content: Content
    path: Path
    state: FileState | None = None  # that the file must keep; None while it grows
    layer: bytes | None = None  # the piece layer (BEP 52), of a download
    gone: bool = False  # a download that failed, or a file that holds other bytes by now

    def __post_init__(self) -> None:
        self.layout = FileLayout(self.content)
        self._count = self.layout.count
        self._lock = Lock()  # guards the two below
        self._here = (1 << self._count) - 1 if self.state is not None else 0  # a bitfield
        self._picker: OfferPicker | None = None  # once there is a requester; it knows what is here
        self._growing: os.stat_result | None = None  # of the file that grows
        if self.state is None:
            with suppress(OSError):
                self._growing = self.path.lstat()

    def open(self) -> BinaryIO:
        """Open the file for one reader; raise DiskError.

        While it grows no state tells it from another that took its place, a link perhaps to what
        nobody shares: it must be the same file.
        """
        file = disk.open_regular(self.path)
        now, growing = os.fstat(file.fileno()), self._growing
        if self.state is None and not (growing and os.path.samestat(now, growing)):
            file.close()
            raise DiskError(str(self.path), "replaced")
        return file

    def reader(self) -> "ContentReader":
        """Open the file for one requester; raise DiskError."""
        return ContentReader(self)

    def holds(self, layer: bytes, first: int) -> bool:
        """Read some pieces from ``first`` on; tell whether they are right, or raise DiskError."""
        piece, size = merkle.piece_length(self.content.size), self.content.size
        pieces = range(self._count)[first : first + max(1, MAX_CHECKED_BYTES // piece)]
        data = memoryview(bytearray(merkle.bytes_in(pieces, size)))
        with self.open() as file:
            data = data[: disk.read_into(file, first * piece, data)]
        return all(merkle.compare(data, size, pieces, merkle.split(layer)))

    def add(self, pieces: Collection[int]) -> None:
        """Offer more pieces, which are verified and written; from any thread."""
        with self._lock:
            picker = self._picker
            if picker is None:
                for piece in pieces:
                    self._here |= 1 << piece
        if picker is not None:
            picker.add(pieces)

    def may_grow(self) -> bool:
        """Return True: who asks for more waits for it, until the content is ``gone``."""
        return True

    def picker(self) -> OfferPicker:
        """Return what chooses the offers to requesters; from any thread."""
        with self._lock:
            self._picker = self._picker or OfferPicker(self._count, self._here)
            return self._picker


class ContentReader:
    """The reading of one content for one requester."""

    def __init__(self, seeded: SeededContent) -> None:
        """Open the file; raise DiskError."""
        self._seeded = seeded
        self._file = seeded.open()

    def send(self, upload: Upload, head: bytes, pieces: range) -> None:
        """Send the head of a reply and some pieces; raise as ``Upload.send`` does."""
        seeded, layout = self._seeded, self._seeded.layout
        start, length = pieces.start * layout.piece_bytes, layout.bytes_in(pieces)
        upload.send(self._file, seeded.name, seeded.state, head, start, length)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
