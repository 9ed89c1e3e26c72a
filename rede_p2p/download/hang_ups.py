"""How the threads of one download are woken that wait for another program. Any thread may call."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Lock


class HangUps:
    """What ends the waiting of each thread, by a key of its own."""

    def __init__(self) -> None:
        self._lock = Lock()  # guards the next
        self._by_key: dict[object, Callable[[], None]] = {}

    @contextmanager
    def during(
        self, key: object, hang_up: Callable[[], None], is_over: Callable[[], bool]
    ) -> Iterator[None]:
        """In this block, ``call`` calls ``hang_up``; so does its begin, if all ``is_over`` then."""
        with self._lock:
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
