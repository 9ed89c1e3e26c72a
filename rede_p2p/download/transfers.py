"""The downloads of this peer: each a number, a thread, and an end that is told.

One transfer is one ``get``: the small files ride together (``batch``), each large one is a
``download``. Owner: the peer, which must ``close`` them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from threading import Event as Signal
from threading import Lock, Thread
from time import monotonic

from rede_p2p.content.hash_cache import HashCache
from rede_p2p.download.download import Connect, Download, DownloadRequest, Outcome
from rede_p2p.download.small_files import SMALL, Batch
from rede_p2p.download.source_finder import WhoHas, nobody_else
from rede_p2p.errors import RedeError
from rede_p2p.events import Event, Progress, TransferEnded
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.share_list import Share

Results = list[tuple[DownloadRequest, "Outcome | RedeError"]]


class Transfer:
    """One ``get`` on its way."""

    def __init__(
        self,
        number: int,
        wanted: Sequence[DownloadRequest],
        folder: Path,
        connect: Connect,
        roots: HashCache,
        who_has: WhoHas,
        holdings: SeedStore,
    ) -> None:
        self.number = number
        self.title = wanted[0].name if len(wanted) == 1 else f"{len(wanted)} arquivos"
        self.began = monotonic()
        self.results: Future[Results] = Future()
        self.told = Signal()  # set when somebody waits for the end, so that no event is needed
        self._wanted = wanted
        self._size = sum(one.content.size for one in wanted)
        self._folder = folder
        self._connect = connect
        self._roots = roots
        self._who_has = who_has
        self._holdings = holdings
        self._lock = Lock()  # guards the six below
        self._done: Results = []
        self._done_bytes = self._kept = self._already = 0
        self._running: Download | Batch | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Make it end soon; what has arrived stays."""
        with self._lock:
            self._cancelled = True
            running = self._running
        if running is not None:
            running.cancel()

    def progress(self) -> Progress:
        """Tell how far it is."""
        with self._lock:
            running, have, done = self._running, self._done_bytes, len(self._done)
            kept, already = self._kept, self._already
        place, sources, looking = 0, 0, False
        if isinstance(running, Download):
            part = running.progress()
            have, kept, sources = have + part.have, kept + part.kept, part.sources
            place, looking = running.waiting.place, part.looking
        have, files = min(have, self._size), len(self._wanted)
        return Progress(have, self._size, kept, done, files, place, sources, already, looking)

    def run(self) -> None:
        """Fetch everything, in the thread of this transfer, set the results, and offer them."""
        try:
            small = [wanted for wanted in self._wanted if wanted.content.size <= SMALL]
            large = [wanted for wanted in self._wanted if wanted.content.size > SMALL]
            if len(small) > 1:
                self._run_batch(small)
            else:
                large += small  # alone, it is worth the resuming that only a download does
            for wanted in large:
                self._report(wanted, self._run_download(wanted))
            self.results.set_result(self._done)
        except BaseException as error:  # noqa: BLE001 - whoever waits for the result must get it
            self.results.set_exception(error)
        self._holdings.keep(self._whole_files())

    def _whole_files(self) -> Iterator[tuple[bytes, Share]]:
        """Yield the root and the place of each file that is here and as it was verified."""
        for wanted, outcome in self._done:
            if isinstance(outcome, Outcome):
                path = str(outcome.path)
                if stamp := self._roots.stamp_as(wanted.content, path):
                    yield wanted.content.root, Share(wanted.name, path, stamp)

    def _run_batch(self, wanted: list[DownloadRequest]) -> None:
        batch = Batch(wanted, self._folder, self._connect, self._roots, self._report)
        self._adopt(batch)
        batch.run()
        self._adopt(None)

    def _run_download(self, wanted: DownloadRequest) -> Outcome | RedeError:
        try:
            download = Download(
                wanted, self._folder, self._connect, self._roots, self._who_has, self._holdings
            )
            self._adopt(download)
            return download.run()
        except RedeError as error:
            return error
        finally:
            self._adopt(None)

    def _adopt(self, running: Download | Batch | None) -> None:
        with self._lock:
            if isinstance(self._running, Download):
                self._kept += self._running.progress().kept
            self._running = running
            cancelled = self._cancelled
        if cancelled and running is not None:
            running.cancel()

    def _report(self, wanted: DownloadRequest, outcome: Outcome | RedeError) -> None:
        with self._lock:
            self._done.append((wanted, outcome))
            if isinstance(outcome, Outcome):
                self._done_bytes += wanted.content.size
                self._already += wanted.content.size if outcome.already else 0


class Transfers:
    """All of them; see the module's docstring."""

    def __init__(
        self,
        folder: Path,
        connect: Connect,
        roots: HashCache,
        tell: Callable[[Event], None],
        who_has: WhoHas = nobody_else,
        holdings: SeedStore | None = None,
    ) -> None:
        self.folder = folder
        self._connect = connect
        self._roots = roots
        self._tell = tell
        self._who_has = who_has
        self._holdings = holdings or SeedStore()
        self._next = 1
        # Both are used by the main thread only.
        self._running: dict[Transfer, Thread] = {}
        self._ended: list[Transfer] = []  # which nobody followed, or waited for since

    def start(self, wanted: Sequence[DownloadRequest], *, followed: bool) -> Transfer:
        """Begin a transfer in a thread of its own, which tells its end if nobody follows it."""
        self._reap()
        transfer = Transfer(
            self._next,
            wanted,
            self.folder,
            self._connect,
            self._roots,
            self._who_has,
            self._holdings,
        )
        if followed:  # said before it begins: it may end at once
            transfer.told.set()
        self._next += 1
        thread = Thread(target=self._run, args=(transfer,), name=f"transfer {transfer.number}")
        self._running[transfer] = thread
        thread.start()
        return transfer

    def running(self) -> list[Transfer]:
        """List those that have not ended."""
        self._reap()
        return list(self._running)

    def take_background(self) -> list[Transfer]:
        """List those that nobody follows, and those of them that ended since the last call."""
        self._reap()
        ended, self._ended = self._ended, []
        return ended + list(self._running)

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
                if not transfer.told.is_set():
                    self._ended.append(transfer)

    def _run(self, transfer: Transfer) -> None:
        transfer.run()
        if not transfer.told.is_set():
            failed = [
                error for _, error in transfer.results.result() if isinstance(error, RedeError)
            ]
            files = transfer.progress().files
            self._tell(TransferEnded(transfer.number, transfer.title, files, tuple(failed)))
