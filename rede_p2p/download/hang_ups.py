"""The threads of one download that wait for another program: how they are woken, and end.

Any thread may call, but one owner starts them and joins them.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread, current_thread

from rede_p2p.errors import ConnectionLostError


class HangUps:
    """The threads, and what ends the waiting of each, by a key of its own."""

    def __init__(self) -> None:
        self._threads: list[Thread] = []  # only the owner uses the list
        self._lock = Lock()  # guards everything below
        self._by_key: dict[object, Callable[[], None]] = {}
        self._dialing: set[Thread] = set()  # which nothing wakes before they are connected
        self._joined = False

    def start(self, thread: Thread) -> None:
        """Start a thread that dials first; raise RuntimeError where the system has none left."""
        with self._lock:
            thread.start()
            self._threads.append(thread)
            self._dialing.add(thread)

    def join(self) -> None:
        """Wait for the threads to end, but not for those that still dial.

        They end at ``during``: to wait for a machine that sleeps would be to wait for seconds.
        """
        with self._lock:
            self._joined = True
            connected = [thread for thread in self._threads if thread not in self._dialing]
        for thread in connected:
            thread.join()

    @contextmanager
    def during(
        self, key: object, hang_up: Callable[[], None], is_over: Callable[[], bool]
    ) -> Iterator[None]:
        """In this block, ``call`` calls ``hang_up``; so does its begin, if all ``is_over`` then.

        Raises ConnectionLostError where nobody waits for this thread any more, which has dialed.
        """
        with self._lock:
            if self._joined and current_thread() in self._dialing:
                raise ConnectionLostError("silent")
            self._dialing.discard(current_thread())
            self._by_key[key] = hang_up
        if is_over():
            hang_up()
        try:
            yield
        finally:
            with self._lock:
                del self._by_key[key]

    def call(self, keys: Iterable[object] | None = None) -> None:
        """Hang up for these keys, or for all."""
        with self._lock:
            some = self._by_key if keys is None else self._by_key.keys() & set(keys)
            hang_ups = [self._by_key[key] for key in some]
        for hang_up in hang_ups:
            hang_up()
