"""How many lists one address is sent, or sends, at once: each is in memory until it is over.

An address may have thousands of connections, and a list has megabytes. Who must wait is woken by
whoever of the same address is done, and by nobody else. Any thread may use it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, Semaphore

from rede_p2p.errors import RefusedError
from rede_p2p.timeouts import DEFAULT, Timeouts

MAX_LISTS_PER_ADDRESS = 16  # at once


class Turns:
    """The turns of every address."""

    def __init__(self, timeouts: Timeouts = DEFAULT) -> None:
        self._timeouts = timeouts
        self._lock = Lock()  # guards both below
        self._turns: dict[str, Semaphore] = {}  # by IP address: of those that have or await one
        self._users: dict[str, int] = {}  # how many those are

    @contextmanager
    def turn(self, ip: str) -> Iterator[None]:
        """Wait for a turn, and keep it while the block runs.

        Raises RefusedError ``full`` after ``reply_s``, when nobody waits for an answer any more.
        """
        with self._lock:
            turns = self._turns.setdefault(ip, Semaphore(MAX_LISTS_PER_ADDRESS))
            self._users[ip] = self._users.get(ip, 0) + 1
        try:
            if not turns.acquire(timeout=self._timeouts.reply_s):
                raise RefusedError("full")
            try:
                yield
            finally:
                turns.release()
        finally:
            with self._lock:
                self._users[ip] -= 1
                if not self._users[ip]:
                    del self._users[ip], self._turns[ip]
