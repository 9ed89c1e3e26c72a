"""The downloads of this peer: each ``get`` is a transfer with a number, a thread and a result.

The small files of a transfer travel together (``small_files``); each large one is a ``download``.
Owner: the peer, which must ``close`` them.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from threading import Event as Flag
from threading import Lock, Thread
from time import monotonic

from rede_p2p.download import resolve
from rede_p2p.download.download import Download, innermost, may_be_news
from rede_p2p.download.request import DownloadContext, DownloadRequest, Outcome
from rede_p2p.download.small_files import MAX_SMALL_FILE_BYTES, SmallFiles
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    InterruptedByUserError,
    RedeError,
    RefusedError,
)
from rede_p2p.events import Event, Progress, Summary, TransferEnded
from rede_p2p.upload.shared_files import Share

MAX_RENEWALS = 3  # of one file, while it changes again and again
MAX_SUMMARIES = 10  # of ended transfers that are kept

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
        self._context = context
        self._named = named  # the peers that the person asked for it; empty where it was anybody
        self._took_s = 0.0
        self._lock = Lock()  # guards everything below
        self._done: Results = []
        self._done_bytes = self._kept = self._already = 0
        self._brought: Counter[Address] = Counter()
        self._running: Download | SmallFiles | None = None
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
        part = running.progress() if isinstance(running, Download) else None
        now = part or Progress()
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
            small = [r for r in self._requests if r.content.size <= MAX_SMALL_FILE_BYTES]
            large = [r for r in self._requests if r.content.size > MAX_SMALL_FILE_BYTES]
            doubtful: Results = []
            if len(small) > 1:
                doubtful = self._run_small(small)
            else:
                large += small  # alone, it is worth the resuming that only a download does
            for request in large:
                self._run_newest(request)
            for request, failure in doubtful:
                self._run_newest(request, failure)
            self._took_s = monotonic() - self.began
            self.results.set_result(self._done)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the result must get it
            self.results.set_exception(error)
        self._context.seeds.keep(self._whole_files())

    def _whole_files(self) -> Iterator[tuple[bytes, Share]]:
        """Yield the root and the place of each file that is here and as it was verified."""
        for request, outcome in self._done:
            if isinstance(outcome, Outcome):
                path = str(outcome.path)
                if state := self._context.hash_cache.state_as(request.content, path):
                    yield request.content.root, Share(request.name, path, state)

    def _run_small(self, requests: list[DownloadRequest]) -> Results:
        """Fetch small files together; return those that may have changed at their source.

        The first that is lost with a connection may have ended it; the others are fetched again.
        """
        changed: Results = []
        lost: Results = []

        def report(request: DownloadRequest, outcome: Outcome | RedeError) -> None:
            cause = innermost(outcome)
            if isinstance(cause, ConnectionLostError) and cause.reason == "lost":
                lost.append((request, outcome))
            elif may_be_news(outcome):
                changed.append((request, outcome))
            else:
                self._report(request, outcome)

        barren = 0  # rounds in which every file was lost
        while requests:
            lost.clear()
            small_files = SmallFiles(requests, self._context, report)
            self._switch_to(small_files)
            small_files.run()
            self._switch_to(None)
            barren += len(lost) == len(requests)
            if barren > MAX_RENEWALS:
                for request, outcome in lost:
                    self._report(request, outcome)
                break
            changed += lost[:1]
            requests = [request for request, _ in lost[1:]]
        return changed

    def _run_newest(
        self, request: DownloadRequest, failure: Outcome | RedeError | None = None
    ) -> None:
        """Fetch one file; where it has changed at its source, fetch what is there now.

        If that fails too, the ``failure`` of an earlier attempt is reported.
        """
        outcome = self._run_download(request)
        for _ in range(MAX_RENEWALS):
            renewed = self._renew(request, outcome)
            if renewed is None:
                break
            with self._lock:
                self._size += renewed.content.size - request.content.size
            request, outcome = renewed, self._run_download(renewed)
        if failure is not None and isinstance(outcome, RedeError) and not self.cancelled:
            outcome = failure
        self._report(request, outcome)

    def _renew(
        self, request: DownloadRequest, outcome: Outcome | RedeError
    ) -> DownloadRequest | None:
        """Ask the sources of a file that failed what it is now; return None if that is no help."""
        if not may_be_news(outcome):
            return None
        sources, connect = request.sources, self._context.connect
        with suppress(RedeError):
            name = request.shared_as or request.name
            renewed = resolve.find(name, sources, connect, lambda _: None, self._check_cancelled)
            renewed = replace(renewed, name=request.name, shared_as=request.shared_as)
            refused = isinstance(innermost(outcome), RefusedError)
            return renewed if refused or renewed.content != request.content else None
        return None

    def _check_cancelled(self) -> None:
        if self.cancelled:
            raise InterruptedByUserError

    def _run_download(self, request: DownloadRequest) -> Outcome | RedeError:
        try:
            download = Download(request, self._context)
            self._switch_to(download)
            return download.run()
        except RedeError as error:
            return error
        finally:
            self._switch_to(None)

    def _switch_to(self, running: Download | SmallFiles | None) -> None:
        """Note what runs now, for ``cancel`` and ``progress``."""
        with self._lock:
            if isinstance(self._running, Download):
                self._kept += self._running.progress().kept
            if self._running is not None:
                self._brought += self._running.brought
            self._running = running
            cancelled = self.cancelled
        if cancelled and running is not None:
            running.cancel()

    def _report(self, request: DownloadRequest, outcome: Outcome | RedeError) -> None:
        with self._lock:
            self._done.append((request, outcome))
            if isinstance(outcome, Outcome):
                self._done_bytes += request.content.size
                self._already += request.content.size if outcome.already else 0


class Transfers:
    """All the transfers of a peer."""

    def __init__(self, context: DownloadContext, post: Callable[[Event], None]) -> None:
        self.context = context
        self._post = post
        self._next = 1
        # All are used by the main thread only.
        self._running: dict[Transfer, Thread] = {}
        self._ended: list[Transfer] = []  # in the background, and not taken since
        self._summaries: deque[Summary] = deque(maxlen=MAX_SUMMARIES)

    def start(
        self,
        requests: Sequence[DownloadRequest],
        failed: Sequence[tuple[str, RedeError]] = (),
        *,
        followed: bool,
        named: bool = False,
    ) -> Transfer:
        """Begin a transfer in a thread of its own, which posts its end if nobody follows it.

        ``named`` tells that the sources of the requests are the peers that the person named.
        """
        self._reap()
        sources = frozenset(source for request in requests for source in request.sources if named)
        transfer = Transfer(self._next, requests, self.context, failed, sources)
        if followed:  # set before it begins, because it may end at once
            transfer.followed.set()
        self._next += 1
        thread = Thread(target=self._run, args=(transfer,), name=f"transfer {transfer.number}")
        self._running[transfer] = thread
        thread.start()
        return transfer

    def running(self) -> list[Transfer]:
        """List those that have not ended."""
        self._reap()
        return list(self._running)

    def summaries(self) -> list[Summary]:
        """Return what the last transfers brought, those that brought something, in their order."""
        self._reap()
        return list(self._summaries)

    def take_ended(self) -> list[Transfer]:
        """List those that ended in the background since the last call, not the cancelled ones."""
        self._reap()
        ended, self._ended = self._ended, []
        return [transfer for transfer in ended if not transfer.cancelled]

    def close(self) -> None:
        """Cancel what runs, and wait for it."""
        for transfer in self._running:
            transfer.cancel()
        for thread in self._running.values():
            thread.join()
        self._running.clear()

    def _reap(self) -> None:
        for transfer, thread in list(self._running.items()):
            if transfer.results.done():
                thread.join()
                del self._running[transfer]
                if (summary := transfer.summary()).brought:
                    self._summaries.append(summary)
                if not transfer.followed.is_set():
                    self._ended.append(transfer)

    def _run(self, transfer: Transfer) -> None:
        transfer.run()
        if not transfer.followed.is_set():
            results = transfer.results.result()
            failures = tuple(error for _, error in results if isinstance(error, RedeError))
            self._post(TransferEnded(transfer.number, transfer.names, failures, transfer.summary()))
