"""A bundle that this peer offers: the pieces of it whose files are here, whole or arriving.

A whole file is read where it is shared or kept. One that arrives is read from the open file that it
is written to, until it has its final name. Any thread may use a bundle.
"""

from collections.abc import Callable, Collection, Iterable
from math import inf
from threading import Lock
from time import monotonic
from typing import Protocol

from rede_p2p.content import disk
from rede_p2p.content.bitfield import bits_of
from rede_p2p.content.merkle import Content
from rede_p2p.content.piece_layout import BundleLayout, Part
from rede_p2p.errors import DiskError, RefusedError
from rede_p2p.upload.offer_picker import OfferPicker
from rede_p2p.upload.shared_files import Share
from rede_p2p.upload.upload_slots import Upload

GROWS_ON_S = 5.0  # after files came by themselves, more are to be expected

FindWhole = Callable[[bytes], "Share | None"]


class Arriving(Protocol):
    """A file that is written by a download of this peer."""

    def read_into(self, start: int, view: memoryview) -> int:
        """Fill a view from an offset on; return how many bytes there were. Raises DiskError."""


class SeededBundle:
    """One bundle, and which pieces of it are here."""

    def __init__(self, layout: BundleLayout, find_whole: FindWhole, by: str = "") -> None:
        """Offer what ``find_whole`` finds; ``by`` is the IP address that described it first."""
        self.layout = layout
        self.by = by
        self.grows = False  # whether this peer fetches the bundle itself
        self.gone = False
        self._find_root = find_whole
        self._files = {content: file for file, content in enumerate(layout.contents)}
        self._grew_at = -inf  # by a file that came by itself, on the monotonic clock
        self._lock = Lock()  # guards everything below
        self._arriving: dict[int, Arriving] = {}  # by the index of the file
        found = list(map(self._find_whole, layout.contents))
        self.name = next((share.name for share in found if share is not None), "")
        self._whole = {file for file, share in enumerate(found) if share is not None}
        here = bits_of([*filter(self._is_whole, range(layout.count))])
        self._picker = OfferPicker(layout.count, here)

    def picker(self) -> OfferPicker:
        """Return what chooses the offers to requesters."""
        return self._picker

    def add(self, pieces: Collection[int]) -> None:
        """Offer more pieces, which are verified, and whose files are here or are ``receive``d."""
        self._picker.add(pieces)

    def note_whole(self, contents: Iterable[Content]) -> None:
        """Offer more files, which have come to be here by themselves."""
        pieces: set[int] = set()
        with self._lock:
            for content in contents:
                file = self._files.get(content)
                if file is not None and file not in self._whole:
                    self._whole.add(file)
                    pieces.update(self.layout.pieces_of(file))
            ready = [piece for piece in pieces if self._is_whole(piece)]
        if ready and self._picker.add(ready):
            self._grew_at = monotonic()

    def may_grow(self) -> bool:
        """Tell whether more of it is to be expected here: it is fetched, or some came of late."""
        return self.grows or monotonic() < self._grew_at + GROWS_ON_S

    def receive(self, content: Content, arriving: Arriving) -> None:
        """Read a content from where it is written, until ``release``."""
        with self._lock:
            self._arriving[self._files[content]] = arriving

    def release(self, content: Content) -> None:
        """Read a content no more from where it was written: it is about to be closed."""
        with self._lock:
            self._arriving.pop(self._files[content], None)

    def reader(self) -> "BundleReader":
        """Return what one requester reads by."""
        return BundleReader(self)

    def read(self, pieces: range) -> bytearray:
        """Return some pieces; raise RefusedError where one is not here any more."""
        data = bytearray(self.layout.bytes_in(pieces))
        view = memoryview(data)
        for piece in pieces:
            for part in self.layout.parts(piece):
                if not self._read_part(part, view[: part.length]):
                    self._note_gone(part.file)
                    raise RefusedError("not-here")
                view = view[part.length :]
        return data

    def _note_gone(self, file: int) -> None:
        with self._lock:
            if file in self._arriving:  # it gets its name this moment
                return
            self._whole.discard(file)
        self._picker.remove(self.layout.pieces_of(file))

    def _find_whole(self, content: Content) -> Share | None:
        """Return where a content is; who describes a bundle may have its size wrong."""
        share = self._find_root(content.root)
        return share if share is not None and share.state.size == content.size else None

    def _is_whole(self, piece: int) -> bool:
        return all(part.file in self._whole for part in self.layout.parts(piece))

    def _read_part(self, part: Part, view: memoryview) -> bool:
        """Fill a view with a part of a file; tell whether it is here, as it was verified."""
        try:
            with self._lock:  # which keeps the file open
                arriving = self._arriving.get(part.file)
                if arriving is not None:
                    return arriving.read_into(part.start, view) == part.length
            share = self._find_whole(self.layout.contents[part.file])
            if share is None:
                return False
            with disk.open_regular(share.path) as file:
                count = disk.read_into(file, part.start, view)
                return count == part.length and disk.state_of_open(file) == share.state
        except (DiskError, ValueError):  # the latter of a file that is closed, to be renamed
            return False


class BundleReader:
    """The reading of a bundle for one requester."""

    def __init__(self, seeded: SeededBundle) -> None:
        self._seeded = seeded

    def send(self, upload: Upload, head: bytes, pieces: range) -> None:
        """Send the head of a reply and some pieces; raise as ``Upload.send_data`` does."""
        seeded = self._seeded
        length = seeded.layout.bytes_in(pieces)
        upload.send_data(seeded.name, head, length, lambda: seeded.read(pieces))

    def close(self) -> None:
        """Do nothing: no file stays open between two pieces."""
