"""The reply to ``ls``: made once for all who ask, until what it tells may be something else.

A class of thirty asks for one list in the same moment. One thread makes it, for no peer in
particular, so that none that does not read keeps the others waiting. Any thread may use a
ListReply. Owner: the ShareList, which must ``close`` it.
"""

from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from threading import Lock

from rede_p2p.timeouts import DEFAULT, Timeouts

MAX_KEPT_BYTES = 8 * 1024 * 1024  # a longer reply is made anew for those who ask later


class ListReply:
    """The last reply to each request that there may be."""

    def __init__(self, timeouts: Timeouts = DEFAULT) -> None:
        self._report_s = timeouts.hash_report_s
        self._maker = ThreadPoolExecutor(1, "list reply")
        self._lock = Lock()  # guards _made
        self._made: dict[Hashable, tuple[Hashable, Future[bytes]]] = {}  # request → version, reply

    def close(self) -> None:
        """Wait for the thread; nothing may be asked any more."""
        self._maker.shutdown()

    def get(
        self,
        request: Hashable,
        version: Hashable,
        make: Callable[[], bytes],
        report: Callable[[], None],
    ) -> bytes:
        """Return what ``make`` returns, or has returned for the same request and version.

        Meanwhile ``report`` is called every ``hash_report_s``, and may raise.
        """
        with self._lock:
            known, made = self._made.get(request, (None, None))
            if made is None or known != version:
                made = self._maker.submit(self._make, request, version, make)
                self._made[request] = version, made
        while not wait([made], self._report_s).done:
            report()
        return made.result()

    def _make(self, request: Hashable, version: Hashable, make: Callable[[], bytes]) -> bytes:
        is_kept = False
        try:
            reply = make()
            is_kept = len(reply) <= MAX_KEPT_BYTES
        finally:
            with self._lock:
                known, _ = self._made.get(request, (None, None))
                if not is_kept and known == version:  # else another one has taken its place
                    del self._made[request]
        return reply
