"""The contents that this peer can offer, whole or in part, and to whom which piece was offered.

A download is a holding from its first piece on. What is here whole, be it shared, or kept because
a ``get`` brought or found it, becomes one when somebody first wants it. What is kept is offered for
as long as the program runs and the file stays as it was. Owner: the peer, whose threads share it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Condition, Lock
from typing import BinaryIO

from rede_p2p.content import disk, merkle
from rede_p2p.content.disk import FileState
from rede_p2p.content.merkle import Content
from rede_p2p.upload.offer_picker import Bitfield, OfferPicker, Requester
from rede_p2p.upload.share_list import Share, ShareList

OTHERS = 3  # pieces named beside the one that is offered


class SeededContent:
    """One content, and the pieces of it that are here."""

    def __init__(
        self,
        name: str,
        content: Content,
        layer: bytes | None,
        path: Path,
        stamp: FileState | None,
        pieces: Iterable[int],
    ) -> None:
        """``stamp`` is the state that the file must keep; None while it still grows."""
        self.name = name
        self.content = content
        self.layer = layer
        self.path = path
        self.stamp = stamp
        self.gone = False  # a download that ended incomplete: another may grow in its file
        self._lock = Lock()  # guards the two below, and the wishes of the shelf
        self._shelf = OfferPicker(merkle.piece_count(content.size), pieces)
        self._waiting: list[tuple[Requester, Condition]] = []  # those who wait for a piece

    def open(self) -> BinaryIO:
        """Open the file for one reader; raise DiskError."""
        return disk.open_regular(self.path)

    def add(self, pieces: Iterable[int]) -> None:
        """Offer more pieces, which are verified and written."""
        with self._lock:
            for index in pieces:
                self._shelf.add(index)
                for wish, arrival in self._waiting:
                    if index in wish.here:
                        arrival.notify()

    def enter(self, machine: str, lacking: Bitfield) -> Requester:
        """Begin to serve a requester on a machine, who lacks these pieces."""
        with self._lock:
            return self._shelf.enter(machine, lacking)

    def leave(self, wish: Requester) -> None:
        """Serve a requester no more."""
        with self._lock:
            self._shelf.leave(wish)

    def note(self, wish: Requester, got: Iterable[int], lost: Iterable[int]) -> None:
        """Take it that a requester lacks some pieces no more, and others again."""
        with self._lock:
            self._shelf.note(wish, got, lost)

    def handicap(self, wish: Requester) -> float:
        """Tell how long a requester should wait (``OfferPicker.handicap``)."""
        with self._lock:
            return self._shelf.handicap(wish)

    def offer(
        self, wish: Requester, after: int, most: int, within: float
    ) -> tuple[range, list[int]]:
        """Choose pieces that are wished, waiting some seconds for one to come; maybe none.

        Where a run would be of one piece, name others too: while it is on its way, another source
        may have promised that one.
        """
        others = OTHERS if most == 1 else 0
        with self._lock:
            chosen, beside = self._shelf.pick(wish, after, most, others)
            if not chosen and within:
                waiting = (wish, Condition(self._lock))
                self._waiting.append(waiting)
                if waiting[1].wait(within):
                    chosen, beside = self._shelf.pick(wish, after, most, others)
                self._waiting.remove(waiting)
            return chosen, beside

    def count(self, piece: int) -> None:
        """Count as offered what was taken from among the others."""
        with self._lock:
            self._shelf.count(piece)

    def take_back(self, pieces: range) -> None:
        """Count as not offered what was not taken."""
        with self._lock:
            self._shelf.take_back(pieces)


class SeedStore:
    """All of them; see the module's docstring."""

    def __init__(self, catalog: ShareList | None = None, *, seeds: bool = True) -> None:
        """Offer what the catalog shares, and (``seeds``) what was downloaded."""
        self.changed: Callable[[], None] = lambda: None  # called when a download begins or goes
        self._catalog = catalog
        self._seeds = seeds
        self._lock = Lock()  # guards all below
        self.version = 0  # counts what changes ``downloads``
        self._downloads: dict[bytes, SeededContent] = {}  # those on their way
        self._kept: dict[bytes, Share] = {}  # files that are here whole, by their root
        self._whole: dict[
            bytes, SeededContent
        ] = {}  # of what is shared or kept, once it was wanted

    def begin(
        self, name: str, content: Content, layer: bytes, path: Path, here: Iterable[int]
    ) -> SeededContent:
        """Offer the pieces of a download that are ``here``, and those that it will ``add``."""
        holding = SeededContent(name, content, layer, path, None, here)
        if self._seeds:
            with self._lock:
                self._downloads[content.root] = holding
                self.version += 1
            self.changed()
        return holding

    def finish(
        self, holding: SeededContent, path: Path | None = None, stamp: FileState | None = None
    ) -> None:
        """Go on offering a download at its final path, in that state; without one, no more."""
        root = holding.content.root
        with self._lock:
            if self._downloads.get(root) is holding:
                del self._downloads[root]
            if path is not None and stamp is not None:
                holding.path, holding.stamp = path, stamp
                if self._seeds:
                    self._kept[root] = Share(holding.name, str(path), stamp)
                    self._whole[root] = holding
            else:
                holding.gone = True
            self.version += 1
        self.changed()

    def keep(self, files: Iterable[tuple[bytes, Share]]) -> None:
        """Offer files that are whole, each after its root.

        The tracker is not told at once: there may be thousands, and they have just arrived.
        """
        if self._seeds:
            kept = dict(files)  # which may look at the disk
            with self._lock:
                self._kept.update(kept)
                self.version += 1

    def find_whole(self, root: bytes) -> Share | None:
        """Return where a complete content is, in its state of this moment: shared, or kept."""
        share = self._catalog.find_content(root) if self._catalog is not None else None
        if share is not None:
            return share
        with self._lock:
            share = self._kept.get(root)
        if share is None or disk.stamp(share.path) == share.stamp:
            return share
        with self._lock:
            if self._kept.get(root) is share:  # it was changed or removed
                del self._kept[root]
                self.version += 1
        return None

    def find(self, root: bytes) -> SeededContent | None:
        """Return the holding of a content: what is here whole, else what is being fetched."""
        share = self.find_whole(root)
        with self._lock:
            if share is None:
                return self._downloads.get(root)
            holding = self._whole.get(root)
            path = Path(share.path)
            if holding is None or (holding.path, holding.stamp) != (path, share.stamp):
                content = Content(root, share.stamp.size)
                pieces = range(merkle.piece_count(content.size))
                holding = SeededContent(share.name, content, None, path, share.stamp, pieces)
                self._whole[root] = holding
            return holding

    def downloads(self) -> dict[Content, str]:
        """Return what is offered beside the shares, and the name that it has here."""
        with self._lock:
            kept = {Content(root, one.stamp.size): one.name for root, one in self._kept.items()}
            return kept | {holding.content: holding.name for holding in self._downloads.values()}
