"""Questions that nobody may wait for: each in a thread of its own, its answer kept for a while.

Owner: ``peer_program``, which closes it. The threads own nothing but a connection, which ``close``
hangs up; what cannot be had is no answer.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

from rede_p2p.errors import ConnectionLostError, RedeError
from rede_p2p.net.connection import Connection
from rede_p2p.timeouts import DEFAULT, Timeouts

MAX_QUESTIONS = 8  # at once; what else there is to ask is not asked
MAX_ANSWERS = 64  # kept; then all are forgotten

Question = Callable[[], Sequence[Any]]


@dataclass
class _Asked:
    """A question, and its last answer."""

    at: float = 0.0  # when it was asked, on the monotonic clock
    answered: Event = field(default_factory=Event)
    answer: Sequence[Any] = ()


class Asking:
    """The questions of one program. Used by the main thread; ``check`` and ``over`` by theirs."""

    def __init__(self, timeouts: Timeouts = DEFAULT) -> None:
        self._timeouts = timeouts
        self._asked: dict[object, _Asked] = {}  # only the main thread uses it
        self._threads: list[Thread] = []  # likewise
        self._until = 0.0  # when nobody waits any more, on the monotonic clock
        self._lock = Lock()  # guards both below
        self._closed = False
        self._connections: set[Connection] = set()

    def begin(self) -> None:
        """Let the next questions be waited for, together."""
        self._until = monotonic() + self._timeouts.completion_s

    def ask(self, key: object, question: Question) -> Sequence[Any]:
        """Return what a question of that key was answered last, or nothing yet.

        After ``completion_cache_s`` it is asked anew. All questions since ``begin`` are waited for
        ``completion_s``.
        """
        if len(self._asked) > MAX_ANSWERS:
            self._asked.clear()
        asked = self._asked.setdefault(key, _Asked())
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        is_old = not asked.at or monotonic() - asked.at > self._timeouts.completion_cache_s
        if is_old and (asked.answered.is_set() or not asked.at):
            if self._closed or len(self._threads) >= MAX_QUESTIONS:
                return asked.answer
            asked.at = monotonic()
            asked.answered.clear()
            # Nobody waits for a dead disk or for a peer that is no more: it owns nothing.
            thread = Thread(target=_answer, args=(asked, question), name="completion", daemon=True)
            self._threads.append(thread)
            thread.start()
        asked.answered.wait(max(self._until - monotonic(), 0.0))
        return asked.answer

    def check(self) -> None:
        """Raise ConnectionLostError once the questions are closed: what is asked is given up."""
        if self._closed:
            raise ConnectionLostError("lost")

    @contextmanager
    def over(self, connection: Connection) -> Iterator[None]:
        """Have ``close`` hang up on a connection while the block runs."""
        with self._lock:
            self._connections.add(connection)
            closed = self._closed
        if closed:
            connection.hang_up()
        try:
            yield
        finally:
            with self._lock:
                self._connections.discard(connection)

    def close(self) -> None:
        """Give up every question, and wait a moment for the threads."""
        with self._lock:
            self._closed = True
            connections = list(self._connections)
        for connection in connections:
            connection.hang_up()
        end = monotonic() + self._timeouts.leave_s
        for thread in self._threads:
            thread.join(max(end - monotonic(), 0.0))


def _answer(asked: _Asked, question: Question) -> None:
    try:
        asked.answer = question()
    except (RedeError, OSError, ValueError):  # ValueError: a NUL in a path
        asked.answer = ()
    finally:
        asked.answered.set()
