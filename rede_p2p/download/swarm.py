"""The sources of one download, one thread each, around one PiecePicker.

A source offers pieces; its thread reserves on the board those that nobody else brings, takes them,
has them verified and written, and tells the source what the others got meanwhile. The life of a
piece: missing → reserved by a source → here, or back to missing when its source lies or leaves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Condition, Lock, Thread
from time import monotonic

from rede_p2p.content import merkle
from rede_p2p.content.disk import Writer, pages
from rede_p2p.content.merkle import Content
from rede_p2p.download.piece_picker import PiecePicker
from rede_p2p.download.piece_writer import PieceWriter, Verdicts
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    DiskError,
    PeerUnreachableError,
    ProtocolError,
    RedeError,
    VerificationError,
)
from rede_p2p.net.connection import Connection
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import RANGES_LIMIT, Next, PieceData, PieceOffer, Take, Want

AT_WORK = 32  # sources at once, and as many connections and open files
TRUST = 4 * 1024 * 1024  # bytes that a source may promise before it has brought as many
LONG = 1024 * 1024  # bytes; a run as long is written beside receiving
PART = 512 * 1024  # bytes of a run that are verified and written together, to begin with
LONGEST_PART = 2 * 1024 * 1024  # bytes; where a run goes on, its parts double up to here
BUFFERS = 3  # of one source, each of LONGEST_PART bytes or of one piece
FEW = 4  # sources; with fewer, the next request leaves as soon as a head comes
SHORTEST_HEAD = 8  # bytes of a reply before its body
TRIES = 3  # times that a source may be lost before it is given up
FIRST_REST, LONGEST_REST = 0.001, 0.5  # seconds from an offer of no use to the next question
LOOK_AGAIN = 0.1  # seconds between two looks at who is slow, with nothing else to do


class Swarm:
    """The source threads of one download; see the module's docstring."""

    def __init__(
        self,
        name: str,
        content: Content,
        board: PiecePicker,
        connect: Callable[[Address], Connection],
    ) -> None:
        self._name = name
        self._content = content
        self._piece = merkle.piece_length(content.size)
        self._trust = max(1, TRUST // self._piece)  # pieces
        self._connect = connect
        self.changed = Condition(Lock())  # guards all below, and the board
        self.board = board
        self.failure: RedeError | None = None  # the first one, or a lie
        self.waiting = codec.Pending()  # what a source last said while we wait for our turn
        self.moved_at = monotonic()  # when a piece last came, or a source last told us to wait
        self.at_work: set[Address] = set()
        self._threads: list[Thread] = []
        self._talking: dict[Address, Connection] = {}
        self._losses: dict[Address, int] = {}
        self._liars: set[Address] = set()
        self._closed = False

    def join(self, source: Address, verifier: PieceWriter) -> None:
        """Fetch from one more source, if there is room for it.

        Not if it is at work, has lied, or was lost too often.
        """
        with self.changed:
            if not (self.has_room and self.may_join(source)) or self._closed:
                return
            self.at_work.add(source)
        thread = Thread(target=self._work, args=(source, verifier), name=f"source {source}")
        try:
            thread.start()
        except RuntimeError:  # the system has no thread left
            with self.changed:
                self._leave(source, PeerUnreachableError(source, ConnectionLostError("lost")))
        else:
            self._threads.append(thread)  # by the thread that owns the crew alone

    def may_join(self, source: Address) -> bool:
        """Tell whether a source is not at work, has not lied, and was not lost too often."""
        if source in self.at_work or source in self._liars:
            return False
        return self.losses(source) < TRIES

    def losses(self, source: Address) -> int:
        """Return how often a source was lost."""
        return self._losses.get(source, 0)

    @property
    def has_room(self) -> bool:
        """Whether one more source may be at work."""
        return len(self.at_work) < AT_WORK

    def size(self) -> int:
        """Return how many sources are at work."""
        return len(self.at_work)

    def judge(self, source: Address, found: Verdicts) -> list[int]:
        """Take the verifier's word: list the pieces that are right and new; be rid of a liar."""
        with self.changed:
            self.moved_at = monotonic()
            lied = not all(found.values())
            if lied:
                self._liars.add(source)
                self.failure = VerificationError(self._name, source)
                if source in self._talking:
                    self._talking[source].hang_up()
            new = [i for i, right in found.items() if right and self.board.confirm(i, source)]
            if lied or self.board.complete:
                self.changed.notify_all()
            return new

    def note_left(self, found: Verdicts) -> None:
        """Take it that pieces of an earlier download were looked at."""
        with self.changed:
            self.moved_at = monotonic()
            self.board.settle(found)
            if self.board.complete or not all(found.values()):
                self.changed.notify_all()

    def wake(self) -> None:
        """Let those who wait for a change look again."""
        with self.changed:
            self.changed.notify_all()

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

    def _work(self, source: Address, verifier: PieceWriter) -> None:
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
        except DiskError as error:
            if error.kind == "crowded":  # those at work have their files open
                failure = error
            else:  # no other source can help
                verifier.failure = error
        except RedeError as error:
            failure = PeerUnreachableError(source, error)
        except BaseException:  # unforeseen: the thread tells of it, and nobody may wait for it
            failure = PeerUnreachableError(source, ConnectionLostError("lost"))
            raise
        finally:
            with self.changed:
                self._leave(source, failure)

    def _leave(self, source: Address, failure: RedeError | None) -> None:
        """Have a source at work no more; under the lock."""
        self.board.give_back(source)
        self.at_work.remove(source)
        if failure is not None and source not in self._liars:
            self._losses[source] = self.losses(source) + _weight(failure)
            self.failure = self.failure or failure
        self.changed.notify_all()

    def _enter(self, source: Address, connection: Connection) -> bool:
        with self.changed:
            self._talking[source] = connection
            return not self._closed

    def _converse(self, source: Address, connection: Connection, verifier: PieceWriter) -> None:
        """Take what the source offers until nothing is missing any more.

        Each answer brings the next offer in its head. With few sources the next request leaves
        before the bytes of this one have come, so that the source never waits for us; with many,
        the others fill that gap, and we are woken once for the head and its bytes.
        """
        size = self._content.size
        brought, rest = 0, FIRST_REST  # pieces, seconds
        with self.changed:
            bitmap, told = self.board.wanted()
        offer = connection.ask(Want(self._content.root, bitmap), PieceOffer)
        taken, told = self._take(source, connection, offer, told, brought)
        with verifier.writer() as writer:
            buffers = _Buffers(max(self._piece, LONGEST_PART))
            while True:
                while taken:
                    rest = FIRST_REST
                    if len(self.at_work) >= FEW:
                        connection.await_together(merkle.bytes_in(taken, size) + SHORTEST_HEAD)
                    note = partial(self._note_waiting, source, taken)
                    head = connection.receive_reply(PieceData, waiting=note)
                    self.waiting = codec.Pending()
                    if head.bytes != merkle.bytes_in(taken, size):
                        raise ProtocolError("bad-length")
                    coming = taken
                    offer = PieceOffer(head.first, head.count, head.others)
                    taken, told = self._take(source, connection, offer, told, brought)
                    self._receive(source, connection, coming, verifier, writer, buffers)
                    brought += len(coming)
                late = self._await_work(source)
                if late is None:
                    return
                with self.changed:
                    got, lost, told = self.board.news(told, RANGES_LIMIT - len(late))
                    # Late pieces came from their first source, which is no news to the board.
                    got += self._unwanted(offer, got)[: RANGES_LIMIT - len(got)]
                asked = monotonic()
                offer = connection.ask(Next(tuple(got), (*lost, *late)), PieceOffer)
                taken, told = self._take(source, connection, offer, told, brought)
                if not taken:
                    self._rest(asked + rest - monotonic())
                    rest = min(2 * rest, LONGEST_REST)

    def _take(
        self, source: Address, connection: Connection, offer: PieceOffer, told: int, brought: int
    ) -> tuple[range, int]:
        """Reserve what is of use in an offer, ask for it, and tell the news since ``told``.

        No source may promise much more than it has ``brought``: it might bring nothing, and what
        it keeps from the others is fetched from them at the very end only. An honest one has the
        time that a run takes for its measure, and offers no more than twice what it has sent.
        """
        offered = range(offer.first, offer.first + offer.count)
        if max(offered.stop - 1, *offer.others, -1) >= self.board.count:
            raise ProtocolError("bad-length")
        with self.changed:
            taken = self.board.claim(source, offered, max(self._trust, 2 * brought))
            for other in offer.others:
                taken = taken or self.board.claim(source, range(other, other + 1), 1)
            if not taken:
                return taken, told
            got, lost, told = self.board.news(told, RANGES_LIMIT)
        connection.send(
            codec.encode_request(Take(taken.start, len(taken), tuple(got), tuple(lost)))
        )
        return taken, told

    def _unwanted(self, offer: PieceOffer, told: list[int]) -> list[int]:
        offered = (*range(offer.first, offer.first + offer.count), *offer.others)
        return [i for i in offered if not self.board.is_missing(i) and i not in told]

    def _await_work(self, source: Address) -> list[int] | None:
        """Wait until something is missing, or another source is late; None at the end."""
        with self.changed:
            while not (self._closed or self.board.complete or source in self._liars):
                if not self.board.idle:
                    return []
                if late := self.board.overdue(source)[:RANGES_LIMIT]:
                    return late
                self.changed.wait(LOOK_AGAIN)
            return None

    def _rest(self, seconds: float) -> None:
        """Let some time pass after an offer of no use, unless it took as long to come.

        An honest source with nothing to offer waits itself; who does not would keep us busy.
        """
        with self.changed:
            self.changed.wait_for(lambda: self._closed or self.board.complete, seconds)

    def _receive(
        self,
        source: Address,
        connection: Connection,
        pieces: range,
        verifier: PieceWriter,
        writer: Writer,
        buffers: _Buffers,
    ) -> None:
        """Receive a run and verify it, part by part; a long one is written beside."""
        size = self._content.size
        is_long = merkle.bytes_in(pieces, size) >= LONG
        part = max(1, PART // self._piece)
        while pieces:
            some, pieces = pieces[:part], pieces[part:]
            part = min(2 * part, max(1, LONGEST_PART // self._piece))
            buffer = buffers.take()
            data = buffer[: merkle.bytes_in(some, size)]
            connection.receive_all(data)
            if is_long:
                verifier.settle_beside(source, some, data, partial(buffers.give, buffer))
            else:
                verifier.settle(writer, source, some, data)
                buffers.give(buffer)

    def _note_waiting(self, source: Address, pieces: range, wait: codec.Pending) -> None:
        with self.changed:
            self.waiting = wait
            self.moved_at = monotonic()
            self.board.put_off(source, pieces)


def _weight(failure: RedeError) -> int:
    """Count a lost connection once; silence, a refusal or a broken rule is worth no other try."""
    cause = getattr(failure, "cause", None)
    lost = isinstance(cause, ConnectionLostError) and cause.reason in ("lost", "refused")
    return 1 if lost else TRIES


class _Buffers:
    """The buffers of one source: one fills while the others are written."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._made = 0
        self._free: SimpleQueue[memoryview] = SimpleQueue()

    def take(self) -> memoryview:
        if self._made < BUFFERS and self._free.empty():
            self._made += 1
            return pages(self._size)
        return self._free.get()

    def give(self, buffer: memoryview) -> None:
        self._free.put(buffer)
