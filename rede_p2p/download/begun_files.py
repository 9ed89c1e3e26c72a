"""The large files of a bundle that an earlier ``get`` has begun: what is right in them is kept.

They are rechecked one after the other, in a thread of its own, while others are fetched.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Thread

from rede_p2p.content import merkle
from rede_p2p.content.merkle import Verdicts
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.piece_layout import BundleLayout
from rede_p2p.content.recheck import Recheck
from rede_p2p.errors import DiskError

Keep = Callable[[int, Verdicts], None]  # is given a file, and which pieces of the bundle are right


class BegunFiles:
    """Partial files that are open, by the index of the file in the bundle."""

    def __init__(self, layout: BundleLayout, layers: Mapping[int, bytes]) -> None:
        """There is none yet; ``layers`` has that of each large file."""
        self._layout = layout
        self._layers = layers
        self._partials: dict[int, PartialFile] = {}
        self._held: dict[int, int] = {}  # bytes, right or wrong

    def add(self, file: int, partial: PartialFile) -> None:
        """Add a file, open for as long as this is used, and not longer than it will be."""
        if size := partial.size():
            self._partials[file], self._held[file] = partial, size

    def doubtful(self) -> set[int]:
        """Return the pieces of the bundle that may be here."""
        return {piece for file in self._partials for piece in self._begun(file)}

    def _begun(self, file: int) -> range:
        return self._layout.pieces_of(file)[: -(-self._held[file] // self._layout.piece_bytes)]

    @contextmanager
    def rechecking(self, keep: Keep) -> Iterator[None]:
        """Recheck them while the block runs; ``keep`` is called in another thread."""
        contents, partials = self._layout.contents, self._partials
        rechecks = {file: Recheck(one.path, contents[file].size) for file, one in partials.items()}
        thread = Thread(target=self._recheck_all, args=(rechecks, keep), name="recheck")
        if rechecks:
            thread.start()
        try:
            yield
        finally:
            for one in rechecks.values():
                one.stop()
            if rechecks:
                thread.join()

    def _recheck_all(self, rechecks: Mapping[int, Recheck], keep: Keep) -> None:
        for file, recheck in rechecks.items():
            with recheck:
                for verdicts in filter(None, self._recheck(file, recheck)):
                    keep(file, verdicts)

    def _recheck(self, file: int, recheck: Recheck) -> Iterator[Verdicts]:
        """Yield verdicts on each begun piece of a file; what cannot be read is wrong."""
        own = merkle.piece_length(self._layout.contents[file].size)  # a piece of the file, alone
        each = self._layout.piece_bytes // own  # of which a piece of the bundle has so many
        count, begun = -(-self._held[file] // own), self._begun(file)
        rights: list[bool] = []
        told = 0
        try:
            for found in recheck.pieces(self._layers[file], count, self._partials[file].file):
                rights += found.values()
                whole = len(rights) // each
                yield {begun[n]: all(rights[n * each : (n + 1) * each]) for n in range(told, whole)}
                told = whole
        except DiskError:
            rights.clear()
        last = rights[told * each :]  # of a piece that is shorter, or was not written whole
        is_end = len(rights) == merkle.piece_count(self._layout.contents[file].size)
        yield {piece: is_end and all(last) for piece in begun[told:]}
