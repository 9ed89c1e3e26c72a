"""One ``get`` on its way: what it fetches together, what it fetches alone, and what came of it.

Several files come as one bundle (``bundle_download``). What that does not bring is fetched by
itself, one file after the other (``download``).
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from threading import Event as Flag
from threading import Lock
from time import monotonic

from rede_p2p.download import resolve
from rede_p2p.download.bundle_download import BundleDownload
from rede_p2p.download.download import Download, causes, may_be_news
from rede_p2p.download.request import DownloadContext, DownloadRequest, Outcome
from rede_p2p.download.source_finder import MAX_LOSSES, reason_of
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    InterruptedByUserError,
    PeerUnreachableError,
    RedeError,
    RefusedError,
)
from rede_p2p.events import Progress, Summary
from rede_p2p.net.connection import Connection
from rede_p2p.protocol.fields import MAX_BUNDLE_CONTENT_BYTES, MAX_BUNDLE_FILES
from rede_p2p.upload.seed_store import as_verified
from rede_p2p.upload.shared_files import Share

MIN_HASH_BYTES_PER_S = 16 * 1024 * 1024  # of a source that reads a file again
MAX_RENEWALS = 3  # of one file, while it changes again and again
MAX_IN_VAIN = 16  # files in a row, of sources that do not answer: then no more of these
MAX_BUNDLES = 4  # of the same files, while a source is given up for one that it has wrong

Results = list[tuple[DownloadRequest, "Outcome | RedeError"]]


class Transfer:
    """One ``get`` on its way."""

    def __init__(
        self,
        number: int,
        requests: Sequence[DownloadRequest],
        context: DownloadContext,
        failed: Sequence[tuple[str, RedeError]] = (),
        named: frozenset[Address] = frozenset(),
    ) -> None:
        self.number = number
        self.names = tuple(request.name for request in requests)
        self.failed = failed  # the names asked for beside that cannot be had, and why
        self.began = monotonic()
        self.results: Future[Results] = Future()
        self.followed = Flag()  # set while somebody waits for the end, who needs no event
        self._requests = requests
        self._size = sum(request.content.size for request in requests)
        self._dial = context.connect
        self._context = context._replace(connect=self._connect, idle=Counter())
        self._unanswered: dict[Address, deque[ConnectionLostError]] = {}  # for some file
        self._named = named  # the peers that the person asked for it; empty where it was anybody
        self._slow: Counter[Address] = Counter()  # how often each was asked for news in vain
        self._took_s = 0.0
        self._lock = Lock()  # guards everything below
        self._done: Results = []
        self._done_bytes = self._kept = self._already = 0
        self._brought: Counter[Address] = Counter()
        self._running: Download | BundleDownload | None = None
        self.cancelled = False

    def cancel(self) -> None:
        """Make it end soon; what has arrived stays."""
        with self._lock:
            self.cancelled = True
            running = self._running
        if running is not None:
            running.cancel()

    def progress(self) -> Progress:
        """Return how far it is."""
        with self._lock:
            running, done_bytes, done = self._running, self._done_bytes, len(self._done)
            kept, already, brought = self._kept, self._already, self._brought.copy()
        now = Progress() if running is None else running.progress()
        part = now if isinstance(running, Download) else None
        if isinstance(running, BundleDownload):
            part = running.part()
        brought.update(dict(now.by_source))
        return replace(
            now,
            have=min(done_bytes + now.have, self._size),
            size=self._size,
            kept=kept + now.kept,
            files_done=done,
            files=len(self._requests),
            already=already,
            part=part,
            by_source=tuple(brought.items()),
        )

    def summary(self) -> Summary:
        """Return what came and from whom, once it has ended."""
        return Summary(self.names, dict(self._brought), self._named, self._took_s)

    def run(self) -> None:
        """Fetch everything in this transfer's thread, set the results, and offer the files."""
        try:
            left = list(self._requests)
            if len(left) > 1:
                left = self._run_bundles(sorted(left, key=lambda one: one.name))
            self._run_alone(left)
            self._took_s = monotonic() - self.began
            order = {request.name: number for number, request in enumerate(self._requests)}
            self._done.sort(key=lambda one: order[one[0].name])
            self.results.set_result(self._done)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the result must get it
            self.results.set_exception(error)
        self._context.seeds.keep(self._whole_files())

    def _whole_files(self) -> Iterator[tuple[bytes, Share]]:
        """Yield the root and the place of each file that is here and as it was verified."""
        for request, outcome in self._done:
            if isinstance(outcome, Outcome):
                place = request.name, request.content, outcome.path
                if kept := as_verified(self._context.hash_cache, *place):
                    yield kept
                else:
                    self._context.seeds.find_whole(request.content.root)  # forgets it if need be

    def _run_bundles(self, requests: list[DownloadRequest]) -> list[DownloadRequest]:
        """Fetch many files as one download, or as a few; return those that did not come."""
        left: list[DownloadRequest] = []
        for some in _bundles(requests):
            for _ in range(MAX_BUNDLES if len(some) > 1 else 0):
                bundle = BundleDownload(some, self._context, self._report)
                self._switch_to(bundle)
                alone, some = bundle.run()
                self._switch_to(None)
                left += alone
                if not some:
                    break
            left += some
        return left

    def _run_alone(self, requests: Iterable[DownloadRequest]) -> None:
        """Fetch files one after the other, or report why not."""
        in_vain = 0  # of the last ones, in a row
        for request in requests:
            error = self._why_not(request, in_vain)
            if error is not None:
                self._report(request, error)
            else:
                in_vain = 0 if self._run_newest(request) else in_vain + 1

    def _why_not(self, request: DownloadRequest, in_vain: int) -> RedeError | None:
        """Return why a file is not to be tried: none is any more, or its sources do not answer.

        While only a few were tried in vain, somebody else may turn out to have it.
        """
        if self.cancelled:
            return InterruptedByUserError()
        given_up = [self._why_given_up(source) for source in request.sources]
        return given_up[0] if in_vain >= MAX_IN_VAIN and given_up and all(given_up) else None

    def _run_newest(self, request: DownloadRequest) -> bool:
        """Fetch one file; where it has changed at its source, fetch what is there now.

        Return whether it is here.
        """
        outcome = self._run_download(request)
        for _ in range(MAX_RENEWALS):
            renewed = self._renew(request, outcome)
            if renewed is None:
                break
            with self._lock:
                self._size += renewed.content.size - request.content.size
            request, outcome = renewed, self._run_download(renewed)
        self._report(request, outcome)
        return isinstance(outcome, Outcome)

    def _renew(
        self, request: DownloadRequest, outcome: Outcome | RedeError
    ) -> DownloadRequest | None:
        """Ask the sources of a file that failed what it is now; return None if that is no help.

        They have as long as a file needs to be quiet and hashed, or ``reply_s`` once one of them
        has answered. Who does not answer in all that time, or too often, is asked about no other
        file: a liar would hold each one up.
        """
        sources = [one for one in request.sources if self._slow[one] < MAX_LOSSES]
        if not (may_be_news(outcome) and sources):
            return None

        def note(failure: PeerUnreachableError) -> None:
            if reason_of(failure) == "silent":
                self._slow[failure.address] += 1 if monotonic() < end else MAX_LOSSES

        timeouts = self._context.timeouts
        hash_s = request.content.size / MIN_HASH_BYTES_PER_S
        end = monotonic() + timeouts.max_quiet_wait_s + timeouts.reply_s + hash_s
        try:
            renewed = resolve.find(
                request.shared_as or request.name,
                sources,
                self._context.connect,
                lambda _: None,
                self._check_cancelled,
                end - monotonic(),
                timeouts,
                note,
            )
        except RedeError:
            return None
        renewed = renewed._replace(name=request.name, shared_as=request.shared_as)
        refused = isinstance(outcome, RedeError) and isinstance(causes(outcome)[-1], RefusedError)
        return renewed if refused or renewed.content != request.content else None

    def _connect(self, address: Address) -> Connection:
        """Connect to a peer, unless it is given up."""
        if (error := self._why_given_up(address)) is not None:
            raise error
        return self._dial(address)

    def _why_given_up(self, address: Address) -> PeerUnreachableError | None:
        """Return the last loss of a peer that did not answer for several files; None for others."""
        lost = self._unanswered.get(address, deque())
        return PeerUnreachableError(address, lost[-1]) if len(lost) >= MAX_LOSSES else None

    def _note_unanswered(self, error: RedeError) -> None:
        """Take note of a peer that does not answer: the next thousand files shall not wait."""
        for cause in causes(error):
            if isinstance(cause, PeerUnreachableError):
                lost = cause.cause
                if isinstance(lost, ConnectionLostError) and lost.reason != "lost":
                    known = self._unanswered.setdefault(cause.address, deque(maxlen=MAX_LOSSES))
                    known.append(lost)

    def _check_cancelled(self) -> None:
        if self.cancelled:
            raise InterruptedByUserError

    def _run_download(self, request: DownloadRequest) -> Outcome | RedeError:
        try:
            download = Download(request, self._context)
            self._switch_to(download)
            return download.run()
        except RedeError as error:
            self._note_unanswered(error)
            return error
        finally:
            self._switch_to(None)

    def _switch_to(self, running: Download | BundleDownload | None) -> None:
        """Note what runs now, for ``cancel`` and ``progress``."""
        with self._lock:
            if self._running is not None:
                self._kept += self._running.progress().kept
                self._brought += self._running.brought
            self._running = running
            cancelled = self.cancelled
        if cancelled and running is not None:
            running.cancel()

    def _report(self, request: DownloadRequest, outcome: Outcome | RedeError) -> None:
        if isinstance(outcome, RedeError):
            for error in causes(outcome):  # of thousands, each would keep its Download in memory
                error.__traceback__ = error.__context__ = error.__cause__ = None
        with self._lock:
            self._done.append((request, outcome))
            if isinstance(outcome, Outcome):
                self._done_bytes += request.content.size
                self._already += request.content.size if outcome.already else 0


def _bundles(requests: Iterable[DownloadRequest]) -> Iterator[list[DownloadRequest]]:
    """Cut requests into as many as are one bundle each; a file may be too large for any."""
    some: list[DownloadRequest] = []
    size = 0
    for request in requests:
        size += request.content.size
        if some and (len(some) == MAX_BUNDLE_FILES or size > MAX_BUNDLE_CONTENT_BYTES):
            yield some
            some, size = [], request.content.size
        some.append(request)
    yield some
