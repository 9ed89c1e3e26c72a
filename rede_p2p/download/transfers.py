"""The downloads of this peer: each ``get`` is a transfer with a number, a thread and a result.

Owner: the peer, which must ``close`` them.
"""

from collections import deque
from collections.abc import Callable, Sequence
from threading import Thread

from rede_p2p.download.request import DownloadContext, DownloadRequest
from rede_p2p.download.transfer import Transfer
from rede_p2p.errors import RedeError
from rede_p2p.events import Event, Summary, TransferEnded

MAX_SUMMARIES = 10  # of ended transfers that are kept


class Transfers:
    """All the transfers of a peer."""

    def __init__(self, context: DownloadContext, post: Callable[[Event], None]) -> None:
        self.context = context
        self._post = post
        self._next = 1
        # All are changed by the main thread only.
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
        thread.start()
        self._running[transfer] = thread
        return transfer

    def running(self) -> list[Transfer]:
        """List those that have not ended."""
        self._reap()
        return list(self._running)

    def any_running(self) -> bool:
        """Tell whether one has not ended; any thread may ask."""
        return not all(transfer.results.done() for transfer in list(self._running))

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
