"""The contents that this peer offers, whole or in part.

A download is offered from its first piece on. A whole file is offered if it is shared, or if a
``get`` brought or found it; the latter for as long as the program runs and the file does not
change. Owner: the peer, whose threads share the store.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from rede_p2p.content import disk, merkle
from rede_p2p.content.disk import FileState
from rede_p2p.content.merkle import Content
from rede_p2p.protocol.messages import FileEntry
from rede_p2p.upload.offer_picker import OfferPicker
from rede_p2p.upload.share_list import ShareList
from rede_p2p.upload.shared_files import Share

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
        self._count = merkle.piece_count(self.content.size)
        self._lock = Lock()  # guards the two below
        self._here = (1 << self._count) - 1 if self.state is not None else 0  # a bitfield
        self._picker: OfferPicker | None = None  # once there is a requester; it knows what is here

    def open(self) -> BinaryIO:
        """Open the file for one reader; raise DiskError."""
        return disk.open_regular(self.path)

    def holds(self, layer: bytes, first: int) -> bool:
        """Read some pieces from ``first`` on; tell whether they are right, or raise DiskError."""
        piece, size = merkle.piece_length(self.content.size), self.content.size
        pieces = range(self._count)[first : first + max(1, MAX_CHECKED_BYTES // piece)]
        data = memoryview(bytearray(merkle.bytes_in(pieces, size)))
        with self.open() as file:
            data = data[: disk.read_into(file, first * piece, data)]
        return all(merkle.compare(data, size, pieces, merkle.split(layer)))

    def add(self, pieces: Iterable[int]) -> None:
        """Offer more pieces, which are verified and written; from any thread."""
        with self._lock:
            picker = self._picker
            if picker is None:
                for piece in pieces:
                    self._here |= 1 << piece
        if picker is not None:
            picker.add(pieces)

    def picker(self) -> OfferPicker:
        """Return what chooses the offers to requesters; from any thread."""
        with self._lock:
            self._picker = self._picker or OfferPicker(self._count, self._here)
            return self._picker


class SeedStore:
    """The contents that one peer offers."""

    def __init__(self, shares: ShareList | None = None, *, keeps: bool = True) -> None:
        """Offer what is shared, and what was downloaded unless ``keeps`` is False."""
        self._shares = shares
        self._keeps = keeps
        self._changed: Callable[[], None] = lambda: None
        self._lock = Lock()  # guards everything below
        self._downloads: dict[bytes, SeededContent] = {}  # by root, as all of these
        self._kept: dict[bytes, Share] = {}  # whole files that a ``get`` brought or found
        self._whole: dict[bytes, SeededContent] = {}  # shared or kept, and asked for

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` now and, in any thread, whenever ``entries`` may have changed."""
        self._changed = changed
        if self._shares is not None:
            self._shares.watch(changed)
        changed()  # for what was hashed before this call

    def entries(self) -> set[FileEntry]:
        """Return what this peer has, as far as it is hashed; what is not shared has no name."""
        kept = {FileEntry("", content.size, content.root) for content in self.offered()}
        return kept | (self._shares.entries() if self._shares is not None else set())

    def begin(
        self, name: str, content: Content, layer: bytes, path: Path, here: Iterable[int] = ()
    ) -> SeededContent:
        """Offer the pieces of a download that are ``here``, and those that it will ``add``."""
        seeded = SeededContent(name, content, path, layer=layer)
        seeded.add(here)
        if self._keeps:
            with self._lock:
                self._downloads[content.root] = seeded
            self._changed()
        return seeded

    def end(
        self, seeded: SeededContent, path: Path | None = None, state: FileState | None = None
    ) -> None:
        """Go on offering a complete download at its final path, in that state.

        Without path and state, as after a download that failed, offer it no more.
        """
        root = seeded.content.root
        with self._lock:
            if self._downloads.get(root) is seeded:
                del self._downloads[root]
            if path is None or state is None:
                seeded.gone = True
            else:
                seeded.path, seeded.state = path, state
                if self._keeps:
                    self._kept[root] = Share(seeded.name, str(path), state)
                    self._whole[root] = seeded
        self._changed()

    def doubt(self, seeded: SeededContent) -> None:
        """Offer a file no more of which a receiver found that it holds other bytes by now."""
        root = seeded.content.root
        with self._lock:
            seeded.gone = True
            self._whole.pop(root, None)
            self._kept.pop(root, None)

    def keep(self, files: Iterable[tuple[bytes, Share]]) -> None:
        """Offer whole files, each given after its root."""
        if self._keeps:
            kept = dict(files)  # before the lock, because it may look at the disk
            with self._lock:
                self._kept.update(kept)
            self._changed()

    def find_whole(self, root: bytes) -> Share | None:
        """Return where a complete content is, shared or kept, in its present state."""
        share = self._shares.find_content(root) if self._shares is not None else None
        if share is not None:
            return share
        with self._lock:
            share = self._kept.get(root)
        if share is None or disk.file_state(share.path) == share.state:
            return share
        with self._lock:
            if self._kept.get(root) is share:  # it was changed or removed
                del self._kept[root]
        self._changed()
        return None

    def find(self, root: bytes) -> SeededContent | None:
        """Return an offered content: the whole file if there is one, else a download."""
        share = self.find_whole(root)
        with self._lock:
            if share is None:
                return self._downloads.get(root)
            seeded, path = self._whole.get(root), Path(share.path)
            if seeded is None or (seeded.path, seeded.state) != (path, share.state):
                content = Content(root, share.state.size)
                seeded = SeededContent(share.name, content, path, share.state)
                self._whole[root] = seeded
            return seeded

    def offered(self) -> dict[Content, str]:
        """Return the names of the contents that are offered beside the shares."""
        with self._lock:
            kept = {Content(root, one.state.size): one.name for root, one in self._kept.items()}
            return kept | {seeded.content: seeded.name for seeded in self._downloads.values()}
