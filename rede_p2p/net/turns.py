"""How many lists one address is sent, or sends, at once: each is in memory until it is over.

An address may have thousands of connections, and a list has megabytes. Who must wait is woken by
whoever of the same address is done, and by nobody else. Who makes a list of very many keeps all
others from computing: it rests now and then, and the longest are made one at a time, for which one
of each address waits. Any thread may use it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Lock, Semaphore
from time import monotonic
from typing import TypeVar

from rede_p2p.errors import RefusedError
from rede_p2p.timeouts import DEFAULT, Timeouts

MAX_LISTS_PER_ADDRESS = 16  # at once
WORK_S = 0.005  # of making lists, before a rest in which all others may compute
REST_S = 0.0005
ITEMS_A_LOOK = 32  # between two looks at the clock

Item = TypeVar("Item")
EVERYBODY = ""  # in place of an IP address: of all together
_Key = tuple[str, int]  # an IP address, and how many turns of that kind it has


class Turns:
    """The turns of every address."""

    def __init__(self, timeouts: Timeouts = DEFAULT) -> None:
        self._timeouts = timeouts
        self._lock = Lock()  # guards both below
        self._turns: dict[_Key, Semaphore] = {}  # of those that have or await one
        self._users: dict[_Key, int] = {}  # how many those are
        self._worked_s = 0.0  # by those who were alone, since the last rest

    @contextmanager
    def turn(self, ip: str) -> Iterator[float]:
        """Wait for a turn, and keep it while the block runs; yield until when ``alone`` may wait.

        Raises RefusedError ``full`` after ``reply_s``, when nobody waits for an answer any more.
        """
        end = monotonic() + self._timeouts.reply_s
        with self._one_of(MAX_LISTS_PER_ADDRESS, ip, end):
            yield end

    @contextmanager
    def _one_of(self, count: int, ip: str, end: float) -> Iterator[None]:
        key = ip, count
        with self._lock:
            turns = self._turns.setdefault(key, Semaphore(count))
            self._users[key] = self._users.get(key, 0) + 1
        try:
            if not turns.acquire(timeout=end - monotonic()):
                raise RefusedError("full")
            try:
                yield
            finally:
                turns.release()
        finally:
            with self._lock:
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key], self._turns[key]

    @contextmanager
    def alone(self, ip: str, end: float | None = None) -> Iterator[None]:
        """Wait until nobody else searches or makes a page, and be the one while the block runs.

        Of an address one waits among the others. Raises RefusedError as ``turn`` does, at the
        ``end`` of the turn in which it is asked for: both together wait no longer than one.
        """
        end = end or monotonic() + self._timeouts.reply_s
        with self._one_of(1, ip, end), self._one_of(1, EVERYBODY, end):
            began = monotonic()
            try:
                yield
            finally:
                self._worked_s += monotonic() - began
                if self._worked_s > WORK_S:
                    self._worked_s = 0.0
                    Event().wait(REST_S)


def with_rests(items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items; whoever computes with very many lets all others compute now and then.

    That it sends and receives is not enough: it is back before they have woken.
    """
    began = monotonic()
    for number, item in enumerate(items):
        if not number % ITEMS_A_LOOK and monotonic() - began > WORK_S:
            Event().wait(REST_S)
            began = monotonic()
        yield item
