"""The contents that this peer offers, whole or in part.

A download is offered from its first piece on. A whole file is offered if it is shared, or if a
``get`` brought or found it; the latter for as long as the program runs and the file does not
change. Owner: the peer, whose threads share the store.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from threading import Condition, Lock
from time import monotonic
from weakref import WeakValueDictionary

from rede_p2p.content import disk
from rede_p2p.content.disk import FileState
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.merkle import Content
from rede_p2p.content.piece_layout import BundleLayout
from rede_p2p.errors import RefusedError
from rede_p2p.protocol.fields import MAX_BUNDLE_FILES
from rede_p2p.protocol.messages import FileEntry
from rede_p2p.upload.seeded_bundle import SeededBundle
from rede_p2p.upload.seeded_content import SeededContent
from rede_p2p.upload.share_list import ShareList
from rede_p2p.upload.shared_files import Share

MAX_KEPT_BUNDLES = 8  # of this peer's own, which it goes on offering
MAX_BUNDLED_FILES = 8 * MAX_BUNDLE_FILES  # described by requesters; half by an address
# Of new bundles, by one address in the long run: to read so many takes a twelfth of a processor. At
# once, as many as there may be in all.
MAX_DESCRIBED_PER_S = 20_000

Seeded = SeededContent | SeededBundle  # what pieces are offered of


class SeedStore:
    """The contents that one peer offers."""

    def __init__(
        self,
        shares: ShareList | None = None,
        *,
        keeps: bool = True,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Offer what is shared, and what was downloaded unless ``keeps`` is False."""
        self._shares = shares
        self._keeps = keeps
        self._clock = clock  # seconds
        self._changed: Callable[[], None] = lambda: None
        self._lock = Condition(Lock())  # guards everything below; notified of descriptions
        self._downloads: dict[bytes, SeededContent] = {}  # by root, as all of these
        self._kept: dict[bytes, Share] = {}  # whole files that a ``get`` brought or found
        self._come: dict[bytes, Share] = {}  # such ones of a ``get`` that goes on
        self._whole: dict[bytes, SeededContent] = {}  # shared or kept, and asked for
        # Those that a requester or a download has; this peer's own are kept for longer.
        self._bundles: WeakValueDictionary[bytes, SeededBundle] = WeakValueDictionary()
        self._own_bundles: dict[bytes, SeededBundle] = {}
        self._described_until: dict[str, float] = {}  # by IP: when its descriptions are paid for
        self._describers: dict[bytes, object] = {}  # who is to describe a bundle, by its root

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed`` now and, in any thread, whenever ``entries`` may have changed."""
        self._changed = changed
        if self._shares is not None:
            self._shares.watch(changed)
        changed()  # for what was hashed before this call

    def entries(self) -> set[FileEntry]:
        """Return what this peer has, as far as it is hashed; what is not shared has no name."""
        kept = {FileEntry("", content.size, content.root) for content in self.offered()}
        with self._lock:
            bundles = list(self._own_bundles.values())
        kept |= {FileEntry("", one.layout.size, one.layout.root) for one in bundles}
        return kept | (self._shares.entries() if self._shares is not None else set())

    def begin(
        self, name: str, content: Content, layer: bytes, path: Path, here: Collection[int] = ()
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
        self._note_whole([seeded.content])
        self._changed()

    def doubt(self, seeded: SeededContent) -> None:
        """Offer a file no more of which a receiver found that it holds other bytes by now."""
        root = seeded.content.root
        with self._lock:
            seeded.gone = True
            self._whole.pop(root, None)
            self._kept.pop(root, None)

    def keep(self, files: Iterable[tuple[bytes, Share]], *, announce: bool = True) -> None:
        """Offer whole files, each given after its root.

        Without ``announce``, as in the middle of a ``get``, they are given, and not told of yet.
        """
        if self._keeps:
            kept = dict(files)  # before the lock, because it may look at the disk
            with self._lock:
                for root in kept:
                    self._come.pop(root, None)
                (self._kept if announce else self._come).update(kept)
            self._note_whole([Content(root, one.state.size) for root, one in kept.items()])
            if announce:
                self._changed()

    def find_whole(self, root: bytes) -> Share | None:
        """Return where a complete content is, shared or kept, in its present state."""
        share = self._shares.find_content(root) if self._shares is not None else None
        if share is not None:
            return share
        with self._lock:
            share = self._kept.get(root) or self._come.get(root)
        if share is None or disk.file_state(share.path) == share.state:
            return share
        with self._lock:
            for files in (self._kept, self._come):
                if files.get(root) is share:  # it was changed or removed
                    del files[root]
        self._changed()
        return None

    def admit(self, ip: str, files: int) -> None:
        """Let an address describe one more bundle, of so many files, which is to be read now.

        Raises RefusedError where it has described too many of late.
        """
        with self._lock:
            now = self._clock()
            due = {one: until for one, until in self._described_until.items() if until > now}
            until = due.get(ip, now) + files / MAX_DESCRIBED_PER_S
            if until - now > MAX_BUNDLED_FILES / MAX_DESCRIBED_PER_S:
                raise RefusedError("full")
            self._described_until = due | {ip: until}

    def wait_described(self, root: bytes, asker: object, within_s: float) -> SeededBundle | None:
        """Return a bundle that another asker describes; None where this one is to do so.

        Thirty who fetch the same folder need not each tell what is in it. Who is to describe it
        must ``end_description``; the next one is not kept waiting for longer than ``within_s``.
        """
        with self._lock:
            self._lock.wait_for(
                lambda: root in self._bundles or self._describers.get(root, asker) is asker,
                within_s,
            )
            bundle = self._bundles.get(root)
            if bundle is None:
                self._describers[root] = asker
            return bundle

    def end_description(self, root: bytes, asker: object) -> None:
        """Take note that who was to describe a bundle has done so, or will not."""
        with self._lock:
            if self._describers.get(root) is asker:
                del self._describers[root]
            self._lock.notify_all()

    def find_bundle(self, root: bytes) -> SeededBundle | None:
        """Return a bundle that somebody has described already, or that this peer fetches."""
        return self._bundles.get(root)

    def bundle(self, layout: BundleLayout, ip: str) -> SeededBundle:
        """Return a bundle that an address has described, offered for as long as the caller has it.

        Raises RefusedError where there are too many, or half of that by this address.
        """
        if layout.root not in self._bundles:
            held = [(one.by, len(one.layout.contents)) for one in self._all_bundles()]
            most, mine = MAX_BUNDLED_FILES, sum(files for by, files in held if by == ip)
            room = min(most - sum(files for _, files in held), most // 2 - mine)
            if len(layout.contents) > room:
                raise RefusedError("full")
        return self._offered(layout, ip)

    def _offered(self, layout: BundleLayout, ip: str = "") -> SeededBundle:
        """Return a bundle, the same to all who have it."""
        made = self._bundles.get(layout.root) or SeededBundle(layout, self.find_whole, ip)
        with self._lock:  # another thread may have made it, too
            return self._bundles.setdefault(layout.root, made)

    def fetch_bundle(self, layout: BundleLayout, name: str) -> SeededBundle:
        """Return a bundle that this peer fetches; offer it, and say so to the tracker."""
        # One of empty files alone has nothing to offer, and the root of an empty file.
        keeps = self._keeps and bool(layout.contents)
        seeded = self._offered(layout) if keeps else SeededBundle(layout, self.find_whole)
        seeded.name, seeded.grows = name, True
        if keeps:
            with self._lock:
                self._own_bundles[layout.root] = seeded
                while len(self._own_bundles) > MAX_KEPT_BUNDLES:
                    del self._own_bundles[next(iter(self._own_bundles))]
            self._changed()
        return seeded

    def _note_whole(self, contents: Sequence[Content]) -> None:
        for bundle in self._all_bundles():
            bundle.note_whole(contents)

    def _all_bundles(self) -> list[SeededBundle]:
        with self._lock:
            return list(self._bundles.values())

    def find(self, root: bytes) -> Seeded | None:
        """Return what is offered: the whole file if there is one, else a bundle or a download.

        A file may hold what describes a bundle, and then has its root.
        """
        share = self.find_whole(root)
        with self._lock:
            if share is None:
                return self._bundles.get(root) or self._downloads.get(root)
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


def as_verified(
    cache: HashCache, name: str, content: Content, path: str
) -> tuple[bytes, Share] | None:
    """Return a file as ``keep`` takes it; None if it is not as it was verified any more."""
    state = cache.state_as(content, path)
    return (content.root, Share(name, path, state)) if state else None
