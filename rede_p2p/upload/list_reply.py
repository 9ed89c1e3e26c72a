"""The reply to ``ls``: made once for all who ask, until what it tells may be something else.

A class of thirty asks for one list in the same moment. A thread makes it, for no peer in
particular, so that none that does not read keeps the others waiting. Any thread may use a
ListReply. Owner: the ShareList, which must ``close`` it.
"""

from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from threading import Lock, Thread, current_thread

from rede_p2p.errors import RefusedError
from rede_p2p.timeouts import DEFAULT, Timeouts

MAX_KEPT_BYTES = 8 * 1024 * 1024  # a longer reply is made anew for those who ask later


class ListReply:
    """The last reply to each request that there may be."""

    def __init__(self, timeouts: Timeouts = DEFAULT) -> None:
        self._report_s = timeouts.hash_report_s
        self._lock = Lock()  # guards both below
        self._made: dict[Hashable, tuple[Hashable, Future[bytes]]] = {}  # request → version, reply
        self._threads: set[Thread] = set()  # that make one

    def close(self) -> None:
        """Wait for the threads; nothing may be asked any more."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    def get(
        self,
        request: Hashable,
        version: Hashable,
        make: Callable[[], bytes],
        report: Callable[[], None],
    ) -> bytes:
        """Return what ``make`` returns, or has returned for the same request and version.

        Meanwhile ``report`` is called every ``hash_report_s``, and may raise. Raises RefusedError
        where the system has no thread left.
        """
        with self._lock:
            known, made = self._made.get(request, (None, None))
            if made is None or known != version:
                made = Future()
                words = (request, make, made)
                thread = Thread(target=self._make, args=words, name="list reply")
                try:
                    thread.start()
                except RuntimeError as error:
                    raise RefusedError("full") from error
                self._threads.add(thread)
                self._made[request] = version, made
        while not wait([made], self._report_s).done:
            report()
        return made.result()

    def _make(self, request: Hashable, make: Callable[[], bytes], made: "Future[bytes]") -> None:
        reply, failure = b"", None
        try:
            reply = make()
        except BaseException as error:  # noqa: BLE001 - whoever waits for it must get it
            failure = error
        with self._lock:
            self._threads.remove(current_thread())
            _, last = self._made.get(request, (None, None))  # another may have taken its place
            if last is made and (failure or len(reply) > MAX_KEPT_BYTES):
                del self._made[request]
        if failure is None:
            made.set_result(reply)
        else:
            made.set_exception(failure)
