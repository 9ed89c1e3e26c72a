"""The sources of one download, one thread each, around one Board.

A source offers pieces; its thread reserves on the board those that nobody else brings, takes them,
and hands them to the verifier. Then it tells the source what the others got meanwhile. The life of
a piece: missing → reserved by a source → here, or back to missing when its source lies or leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Condition, Lock, Thread
from time import monotonic

from rede_p2p import merkle, wire
from rede_p2p.connection import Connection
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    PeerUnreachableError,
    ProtocolError,
    RedeError,
    VerificationError,
)
from rede_p2p.merkle import Content
from rede_p2p.messages import RANGES_LIMIT, Body, Choice, Next, Take, Want
from rede_p2p.swarm import Board
from rede_p2p.verifier import Verifier

CHUNK = 512 * 1024  # bytes received before they are handed on
TRIES = 3  # times that a source may be lost before it is given up
LOOK_AGAIN = 0.1  # seconds between two looks at who is slow, with nothing else to do


class Crew:
    """The source threads of one download; see the module's docstring."""

    def __init__(
        self, name: str, content: Content, board: Board, connect: Callable[[Address], Connection]
    ) -> None:
        self._name = name
        self._content = content
        self._piece = merkle.piece_length(content.size)
        self._connect = connect
        self.changed = Condition(Lock())  # guards all below, and the board
        self.board = board
        self.failure: RedeError = ConnectionLostError("lost")  # the last one
        self.waiting = wire.Wait()  # what a source last said while we wait for our turn
        self.moved_at = monotonic()  # when a piece last came, or a source last told us to wait
        self.at_work: set[Address] = set()
        self._threads: list[Thread] = []
        self._talking: dict[Address, Connection] = {}
        self._losses: dict[Address, int] = {}
        self._liars: set[Address] = set()
        self._closed = False

    def join(self, source: Address, verifier: Verifier) -> None:
        """Fetch from one more source, unless it is at work, has lied, or was lost too often."""
        with self.changed:
            if source in self.at_work or not self.may_join(source) or self._closed:
                return
            self.at_work.add(source)
        thread = Thread(target=self._work, args=(source, verifier), name=f"source {source}")
        self._threads.append(thread)  # by the thread that owns the crew alone
        thread.start()

    def may_join(self, source: Address) -> bool:
        """Tell whether a source has neither lied nor been lost too often."""
        return source not in self._liars and self._losses.get(source, 0) < TRIES

    def size(self) -> int:
        """Return how many sources are at work."""
        return len(self.at_work)

    def judge(self, index: int, source: Address, right: bool) -> None:
        """Take the verifier's word: count the piece, or be rid of who sent it."""
        with self.changed:
            if right:
                self.board.confirm(index, source)
                self.moved_at = monotonic()
                if self.board.complete:
                    self.changed.notify_all()
            else:
                self._liars.add(source)
                self.failure = VerificationError(self._name, source)
                if source in self._talking:
                    self._talking[source].hang_up()

    def stop(self) -> None:
        """Hang up on every source, from any thread."""
        with self.changed:
            self._closed = True
            for connection in self._talking.values():
                connection.hang_up()
            self.changed.notify_all()

    def close(self) -> None:
        """Stop, and wait for every thread."""
        self.stop()
        for thread in self._threads:
            thread.join()

    def _work(self, source: Address, verifier: Verifier) -> None:
        failure: RedeError | None = None
        try:
            with self._connect(source) as connection:
                try:
                    if self._enter(source, connection):
                        self._converse(source, connection, verifier)
                finally:
                    with self.changed:
                        self._talking.pop(source, None)
        except (PeerUnreachableError, VerificationError) as error:
            failure = error
        except RedeError as error:
            failure = PeerUnreachableError(source, error)
        with self.changed:
            self.board.give_back(source)
            self.at_work.remove(source)
            if failure is not None and source not in self._liars:
                self._losses[source] = self._losses.get(source, 0) + 1
                self.failure = failure
            self.changed.notify_all()

    def _enter(self, source: Address, connection: Connection) -> bool:
        with self.changed:
            self._talking[source] = connection
            return not self._closed

    def _converse(self, source: Address, connection: Connection, verifier: Verifier) -> None:
        """Take what the source offers until nothing is missing any more."""
        free: SimpleQueue[memoryview] = SimpleQueue()  # two buffers: one fills, one is verified
        step = max(self._piece, CHUNK // self._piece * self._piece)
        for _ in range(2):
            free.put(memoryview(bytearray(min(step, max(self._content.size, 1)))))
        with self.changed:
            bitmap, told = self.board.wanted()
        choice = connection.ask(Want(self._content.root, bitmap), Choice)
        while True:
            with self.changed:
                taken = self.board.claim(source, range(choice.first, choice.first + choice.count))
            more: list[int] = []
            if not taken:
                work = self._await_work(source)
                if work is None:
                    return
                more = work
            with self.changed:
                got, lost, told = self.board.news(told, RANGES_LIMIT - len(more))
            line = wire.encode_request(Next(tuple(got), (*lost, *more)))
            if taken:
                line = wire.encode_request(Take(taken.start, len(taken))) + line
            connection.send(line)
            if taken:
                self._receive(source, connection, taken, verifier, free)
            choice = connection.receive_reply(Choice)
            if choice.first + choice.count > self.board.count:
                raise ProtocolError("bad-length")

    def _await_work(self, source: Address) -> list[int] | None:
        """Wait until something is missing, or another source is late; None at the end."""
        with self.changed:
            while not (self._closed or self.board.complete):
                if not self.board.idle:
                    return []
                if late := self.board.overdue(source)[:RANGES_LIMIT]:
                    return late
                self.changed.wait(LOOK_AGAIN)
            return None

    def _receive(
        self,
        source: Address,
        connection: Connection,
        pieces: range,
        verifier: Verifier,
        free: SimpleQueue[memoryview],
    ) -> None:
        body = connection.receive_reply(Body, waiting=self._note_waiting)
        self.waiting = wire.Wait()
        start = pieces.start * self._piece
        if body.bytes != min(len(pieces) * self._piece, self._content.size - start):
            raise ProtocolError("bad-length")
        step = max(1, CHUNK // self._piece)
        for first in range(pieces.start, pieces.stop, step):
            some = range(first, min(first + step, pieces.stop))
            length = min(len(some) * self._piece, self._content.size - first * self._piece)
            buffer = free.get()
            connection.receive_all(buffer[:length])
            verifier.take(source, some, buffer[:length], partial(free.put, buffer))

    def _note_waiting(self, wait: wire.Wait) -> None:
        self.waiting = wait
        self.moved_at = monotonic()
