"""Many files as one download: one swarm, however many files.

All of them lie one behind the other (``content/piece_layout``), and the pieces of that are
exchanged with whoever has some of the files, or fetches the same. What this brings is verified and
published; what it does not bring is left to the downloads of single files, which know what to say.

``run`` belongs to one thread; ``cancel`` and ``progress`` may be called from any.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from heapq import nlargest
from itertools import chain
from threading import Lock
from time import monotonic

from rede_p2p.content import descriptors, merkle
from rede_p2p.content.merkle import Content
from rede_p2p.content.piece_layout import BundleLayout
from rede_p2p.download.begun_files import BegunFiles
from rede_p2p.download.bundle_writer import BundleWriter
from rede_p2p.download.flush_queue import Written
from rede_p2p.download.inquiry import PARALLEL_QUERIES, ask_all
from rede_p2p.download.publisher import Publisher
from rede_p2p.download.request import DownloadContext, DownloadRequest, Outcome, Report
from rede_p2p.download.source import Source, describe, talking_to
from rede_p2p.download.source_finder import SourceFinder, receive_layer
from rede_p2p.download.swarm import Swarm
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    RedeError,
    RefusedError,
)
from rede_p2p.events import Progress
from rede_p2p.net.connection import Connection, OnPending
from rede_p2p.protocol.codec import encode_request
from rede_p2p.protocol.messages import FileData, Hashes
from rede_p2p.upload.seed_store import as_verified
from rede_p2p.upload.seeded_bundle import SeededBundle

LARGE_FILES_PER_DESCRIPTOR = 8  # one of so many, for each large file stays open while it grows
MAX_FILES_ASKED = 3  # of the tracker, so that who shares some of the same is found
PIPELINED_HASHES = 64  # questions sent before their replies are read


class BundleDownload:
    """The files of one ``get`` on their way together."""

    def __init__(
        self, requests: Sequence[DownloadRequest], context: DownloadContext, report: Report
    ) -> None:
        """Prepare; ``report`` is given the outcome of each file that is here.

        There may be MAX_BUNDLE_FILES requests, of MAX_BUNDLE_CONTENT_BYTES in all.
        """
        self._context = context
        self._report = report
        self._requests = _in_order(requests)
        self._members = list(
            dict.fromkeys(one.content for one in self._requests if one.content.size)
        )
        self._largest = nlargest(MAX_FILES_ASKED, self._members, key=lambda content: content.size)
        self._described = describe(self._members)
        root = sha256(self._described).digest()
        self._layout = BundleLayout(root, self._members)
        self._index = {content: file for file, content in enumerate(self._members)}
        sources = tuple(dict.fromkeys(one for request in requests for one in request.sources))
        content = Content(root, self._layout.size)
        whole = DownloadRequest(self._requests[0].name, content, sources)
        self._finder = SourceFinder(whole, self._who_has, context.timeouts, context.idle)
        self._swarm = Swarm(whole.name, self._layout, self._finder, context.timeouts)
        self.brought = self._swarm.brought
        self._writer: BundleWriter | None = None  # once it has begun
        self._lock = Lock()  # guards both below
        self._here: dict[DownloadRequest, str] = {}  # where each is
        self._published = 0  # bytes, of what was fetched now

    def _who_has(self, bundle: Content) -> "Future[list[Address]]":
        """Ask who fetches the same, and who has one of the largest files; return at once."""
        asked = [self._context.who_has(content) for content in (bundle, *self._largest)]
        everyone: Future[list[Address]] = Future()
        left, lock = [len(asked)], Lock()

        def note(_answered: "Future[list[Address]]") -> None:
            with lock:
                left[0] -= 1
                is_last = not left[0]
            if is_last:
                found = [one.result() for one in asked if not one.exception()]
                everyone.set_result(list(dict.fromkeys(chain.from_iterable(found))))

        for one in asked:
            one.add_done_callback(note)
        return everyone

    def cancel(self) -> None:
        """Make ``run`` end soon; what has arrived whole stays."""
        self._swarm.cancel()

    def progress(self) -> Progress:
        """Return how far it is, beside what it has reported."""
        now = self._swarm.progress()
        with self._lock:
            return replace(now, have=max(0, now.have - self._published))

    def part(self) -> Progress | None:
        """Return how far the file of the moment is, where one is large."""
        return None if self._writer is None else self._writer.part()

    def run(self) -> tuple[list[DownloadRequest], list[DownloadRequest]]:
        """Fetch what comes; return the requests not met: those to be fetched alone, and others.

        The others may come as another bundle. A source that has one file wrong is given up, and
        what it did not get to is no worse than what it gave.
        """
        seeded = self._context.seeds.fetch_bundle(self._layout, self._requests[0].name)

        def close(written: Written) -> None:
            if written.request.content.size:
                seeded.release(written.request.content)

        publisher = Publisher(self._context, self._note, self._swarm.check_cancelled, close)
        with suppress(RedeError), publisher:
            try:
                self._fetch(seeded, publisher, self._wanted(publisher))
            finally:
                seeded.grows = False
        left = [request for request in self._requests if request not in self._here]
        wrong = set[int]() if self._writer is None else self._writer.wrong
        if not (wrong and self.brought):
            return left, []
        again = [one for one in left if self._index.get(one.content) not in wrong]
        return [one for one in left if self._index.get(one.content) in wrong], again

    def _note(self, request: DownloadRequest, outcome: Outcome | RedeError) -> None:
        if isinstance(outcome, Outcome):
            with self._lock:
                self._here[request] = outcome.path
                self._published += 0 if outcome.already else request.content.size
            self._report(request, outcome)

    def _wanted(self, publisher: Publisher) -> dict[int, list[DownloadRequest]]:
        """Return which files are to be fetched, by their index.

        Not those that are here, or that the disk cannot hold.
        """
        wanted: dict[int, list[DownloadRequest]] = {}
        room = publisher.room()
        large = descriptors.limit() // LARGE_FILES_PER_DESCRIPTOR
        for request in publisher.not_here(self._requests):
            file = self._index.get(request.content)
            if request.content.size > room:
                continue
            if file is None:
                self._make_empty(publisher, request)
                continue
            if self._layout.is_cut(file):
                if large <= 0 or file in wanted:
                    continue
                large -= 1
            wanted.setdefault(file, []).append(request)
            room -= request.content.size
        return wanted

    @staticmethod
    def _make_empty(publisher: Publisher, request: DownloadRequest) -> None:
        """Write an empty file, which nobody need be asked for."""
        layer = merkle.layer_of(b"")
        if request.content.size or merkle.root_of(layer, 0) != request.content.root:
            return
        file = publisher.open(request.name)
        file.write_whole(b"")
        publisher.add(Written(request, file, layer), 0)

    def _fetch(
        self,
        seeded: SeededBundle,
        publisher: Publisher,
        wanted: dict[int, list[DownloadRequest]],
    ) -> None:
        """Fetch the wanted files from every source that can be had."""
        self._offer_what_is_here()
        publisher.publish_all()  # those that are empty
        if not wanted:
            return
        layers = self._fetch_layers([file for file in wanted if self._layout.is_cut(file)])
        for file in [one for one in wanted if self._layout.is_cut(one) and one not in layers]:
            del wanted[file]
        swarm = self._swarm
        writer = self._writer = BundleWriter(
            seeded, wanted, layers, publisher, swarm.record, swarm.record_recheck, swarm.fail
        )
        begun = BegunFiles(self._layout, layers)
        for file in layers:
            try:
                if publisher.has_partial(wanted[file][0].name):
                    begun.add(file, writer.go_on(file))
            except RedeError:  # alone, it can tell why
                del wanted[file]
        pieces = {piece for file in wanted for piece in self._layout.pieces_of(file)}
        swarm.begin(seeded, begun.doubtful(), set(range(self._layout.count)) - pieces)
        with writer, begun.rechecking(writer.keep):

            def fetch_from(address: Address) -> None:
                with talking_to(address, self._context.connect, swarm) as connection:
                    Source(
                        address, connection, self._layout, swarm, writer, self._described
                    ).fetch()

            swarm.run(fetch_from)

    def _offer_what_is_here(self) -> None:
        """Offer the files that were here before."""
        cache = self._context.hash_cache
        whole = (
            as_verified(cache, one.name, one.content, path) for one, path in self._here.items()
        )
        self._context.seeds.keep(filter(None, whole), announce=False)

    def _fetch_layers(self, files: list[int]) -> dict[int, bytes]:
        """Return the piece layers of large files, as far as some source gives them soon.

        One source is asked, then two others, then four, and so on. What is left is fetched alone,
        where somebody waits as long as it takes.
        """
        layers: dict[int, bytes] = {}  # each written by whoever brings it first
        useful: set[Address] = set()  # who brought one
        waiting, count, timeouts = self._finder.sources(), 1, self._context.timeouts

        def ask(source: Address, connection: Connection, _report: OnPending) -> None:
            left = [file for file in files if file not in layers]
            for file, layer in self._ask_layers(connection, left, within_s):
                layers.setdefault(file, layer)
                useful.add(source)
            if any(file not in layers for file in left):
                raise ConnectionLostError("lost")

        while waiting and len(layers) < len(files):
            some, waiting = waiting[:count], waiting[count:]
            count = min(2 * count, PARALLEL_QUERIES)
            within_s = timeouts.layer_hurry_s if waiting else timeouts.reply_s
            ask_all(
                some,
                self._context.connect,
                ask,
                lambda _: None,
                self._swarm.check_cancelled,
                timeouts=timeouts,
                grace_s=0.0,
                connect_s=within_s,
            )
            if len(layers) < len(files):
                self._finder.note_idle(source for source in some if source not in useful)
        return layers

    def _ask_layers(
        self, connection: Connection, files: list[int], within_s: float
    ) -> Iterator[tuple[int, bytes]]:
        """Ask one source for layers; yield those that it has right, the next ``within_s``."""
        since = monotonic()

        def check_in_time(_said: object = None) -> None:
            if monotonic() - since > within_s:
                raise ConnectionLostError("silent")

        for at in range(0, len(files), PIPELINED_HASHES):
            some = files[at : at + PIPELINED_HASHES]
            asked = (Hashes(self._members[file].root) for file in some)
            connection.send(b"".join(map(encode_request, asked)))
            for file in some:
                with suppress(RefusedError):
                    head = connection.receive_reply(FileData, within_s, check_in_time)
                    layer = receive_layer(connection, head, self._members[file], within_s)
                    if layer is not None:
                        since = monotonic()
                        yield file, layer
                check_in_time()


def _in_order(requests: Sequence[DownloadRequest]) -> list[DownloadRequest]:
    """Sort requests by name, so that all who fetch the same have one bundle.

    Where no peer has all, the files of each stand together: a piece must be at one of them whole.
    """
    everywhere = set(requests[0].sources).intersection(*(one.sources for one in requests))
    if everywhere:
        return sorted(requests, key=lambda request: request.name)
    return sorted(requests, key=lambda request: (sorted(request.sources), request.name))
