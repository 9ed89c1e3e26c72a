"""Who is asked for a content: the peers that the user named, and those that the tracker names.

Nobody waits for the tracker but a download without any source: the question is a Future, which is
read when it is done. Owner: the thread that runs the download; what is kept of the sources'
behaviour is guarded by the lock of the swarm.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from math import inf
from operator import itemgetter
from time import monotonic

from rede_p2p import errors
from rede_p2p.content import merkle
from rede_p2p.content.merkle import Content
from rede_p2p.download.inquiry import PARALLEL_QUERIES, ask_all
from rede_p2p.download.request import Connect, DownloadRequest, WhoHas
from rede_p2p.errors import Address, RedeError
from rede_p2p.net.connection import Connection, OnPending
from rede_p2p.protocol.codec import Pending
from rede_p2p.protocol.messages import FileData, Hashes
from rede_p2p.timeouts import Timeouts

MAX_LOSSES = 3  # of one source before it is given up


class SourceFinder:
    """The sources of one content: known, found, lost and lying."""

    def __init__(
        self,
        request: DownloadRequest,
        who_has: WhoHas,
        timeouts: Timeouts,
        idle: Counter[Address] | None = None,
    ) -> None:
        """Begin with the sources of the request; ``idle`` is kept for the next download."""
        self._request = request
        self._who_has = who_has
        self._timeouts = timeouts
        self.has_found = False  # whether the tracker has answered
        self._found: list[Address] = []  # by the tracker, beside those of the request
        self._asked: Future[list[Address]] | None = None
        self._pause_s, self._due = 0.0, monotonic()  # the tracker is asked at once, then less often
        self._losses: Counter[Address] = Counter()
        # How often each brought nothing in a round, or no hashes.
        self._idle: Counter[Address] = Counter() if idle is None else idle
        self._liars: dict[Address, int] = {}  # with a piece that was wrong

    def sources(self) -> list[Address]:
        """Return all that may be asked, the least often lost or idle first; lots are drawn.

        Else all who fetch the same would ask the same few.
        """
        known = dict.fromkeys((*self._request.sources, *self._found))  # each once
        everyone = [source for source in known if self.may_ask(source)]
        random.shuffle(everyone)
        return self._least_idle(everyone)

    def may_ask(self, source: Address) -> bool:
        """Tell whether a source has not lied, and was not lost too often."""
        return source not in self._liars and self._losses[source] < MAX_LOSSES

    def note_liar(self, source: Address, piece: int) -> None:
        """Never ask this source again: it sent bytes for a piece that are not the content's."""
        self._liars.setdefault(source, piece)

    def lie_of(self, source: Address) -> int | None:
        """Return a piece that this source sent wrong; None if there is none."""
        return self._liars.get(source)

    def note_loss(self, source: Address, failure: RedeError) -> bool:
        """Count a failure against a source; tell whether it is one, which a liar's is not."""
        if source in self._liars:
            return False
        # After silence, a refusal or a broken rule another attempt is worth nothing.
        self._losses[source] += 1 if reason_of(failure) in ("lost", "refused") else MAX_LOSSES
        return True

    def note_idle(self, sources: Iterable[Address]) -> None:
        """Note that sources had nothing for us: others come first now."""
        self._idle.update(sources)

    def pause_s(self) -> float:
        """Return how many seconds may pass until ``update`` has something to do."""
        if self._asked is not None:
            return self._timeouts.max_search_pause_s
        return max(0.0, self._due - monotonic())

    def is_answered(self, *, unless_asked: bool) -> bool:
        """Tell whether the tracker has answered; return ``unless_asked`` when it was not asked."""
        return unless_asked if self._asked is None else self._asked.done()

    def update(self, wake: Callable[[], None], *, at_once: bool) -> bool:
        """Ask the tracker when it is time to; tell whether its answer has been taken now.

        ``wake`` is called, in another thread, when the answer is there.
        """
        if self._asked is None and (at_once or monotonic() >= self._due):
            self._asked = self._who_has(self._request.content)
            self._asked.add_done_callback(lambda _: wake())
        elif self._asked is not None and self._asked.done():
            self._found, self._asked = self._answer(self._asked), None
            self.has_found = True
            pause = max(self._timeouts.first_search_pause_s, self._pause_s * 2)
            self._pause_s = min(pause, self._timeouts.max_search_pause_s)
            self._due = monotonic() + self._pause_s
            return True
        return False

    def _answer(self, asked: Future[list[Address]]) -> list[Address]:
        """Return whom the tracker named beside the request; nobody, if it has not answered."""
        with suppress(RedeError, FutureTimeoutError):  # on Python 3.10 that is no TimeoutError
            found = asked.result(timeout=0)
            return [peer for peer in found if peer not in self._request.sources]
        return []

    def _find_others(self, check: Callable[[], None]) -> list[Address]:
        """Wait for the tracker to say who else has the content; ``check`` may raise meanwhile."""
        asked = self._who_has(self._request.content)
        end = monotonic() + self._timeouts.download_stall_s
        while not asked.done() and monotonic() < end:
            wait([asked], self._timeouts.first_search_pause_s)
            check()
        self._found = self._answer(asked)
        return self._found

    def find_layer(self, connect: Connect, check: Callable[[], None]) -> bytes:
        """Return the piece layer (BEP 52) from the first source that gives one with the right root.

        One source is asked, and after ``layer_hurry_s`` of silence two others, then four, and so
        on. Who was silent is asked again at the end; and who says "espera", or sends slowly, for
        twice as long each time. The tracker's come after the named ones. Raises
        InterruptedByUserError by ``check``, or PeerUnreachableError or VerificationError of the
        source asked last.
        """
        content, hurry = self._request.content, self._timeouts.layer_hurry_s
        if merkle.piece_count(content.size) == 1:
            return content.root
        waiting = [(source, hurry) for source in self._least_idle(self._request.sources)]
        found_others = False
        patience: dict[Address, float] = {}  # seconds, with those who have said something
        failure: RedeError = errors.ConnectionLostError("lost")
        count = 1
        while True:
            if not found_others and not (waiting and waiting[0][1] == hurry):
                found_others = True
                others = self._least_idle(self._find_others(check))
                waiting = [(source, hurry) for source in others] + waiting
            if not waiting:
                raise failure
            timeout = waiting[0][1]
            some = [source for source, their in waiting if their == timeout][:count]
            waiting = waiting[len(some) :]
            count = min(2 * count, PARALLEL_QUERIES)
            limit = timeout if waiting or len(some) > 1 or not found_others else None
            for source, answer in self._ask_for_layer(some, connect, check, limit, patience):
                if isinstance(answer, bytes):
                    return answer
                self.note_idle([source])
                is_wrong = isinstance(answer.cause, errors.VerificationError)
                failure = answer.cause if is_wrong else answer
                again = timeout < patience.get(source, self._timeouts.reply_s)
                if limit is not None and again and reason_of(answer) == "silent":
                    waiting.append((source, max(self._timeouts.reply_s, 2 * timeout)))

    def _least_idle(self, sources: Iterable[Address]) -> list[Address]:
        """Order sources in turns, the least often lost or idle first."""
        return sorted(in_turns(sources), key=lambda one: self._losses[one] + self._idle[one])

    def _ask_for_layer(
        self,
        sources: list[Address],
        connect: Connect,
        check: Callable[[], None],
        limit: float | None,
        patience: dict[Address, float],
    ) -> list[tuple[Address, bytes | errors.PeerUnreachableError]]:
        """Ask some sources at once; the first that has the layer right ends it."""

        def ask(source: Address, connection: Connection, _report: OnPending) -> bytes:
            return self._ask_layer(connection, source, limit, patience)

        return ask_all(
            sources,
            connect,
            ask,
            lambda _: None,
            check,
            timeouts=self._timeouts,
            grace_s=0.0,
            connect_s=inf if limit is None else limit,
        )

    def _ask_layer(
        self,
        connection: Connection,
        source: Address,
        limit: float | None,
        patience: dict[Address, float],
    ) -> bytes:
        """Ask one source for the layer; with a ``limit``, "espera" buys it no more seconds.

        Then a dribble buys none either: that long it may take for each 64 KiB.
        """
        began = monotonic()

        def note_pending(_pending: Pending) -> None:
            patience[source] = self._timeouts.pending_s
            if limit is not None and monotonic() - began > limit:
                raise errors.ConnectionLostError("silent")

        content = self._request.content
        for again in (None, 0):  # the second time, it looks whether it has them right
            head = connection.ask(Hashes(content.root, again), FileData, limit, note_pending)
            patience.setdefault(source, self._timeouts.stall_s)
            layer = receive_layer(connection, head, content, limit)
            if layer is not None:
                return layer
        raise errors.VerificationError(self._request.name, source)


def receive_layer(
    connection: Connection, head: FileData, content: Content, stall_s: float | None = None
) -> bytes | None:
    """Receive the piece layer that follows a head; return None if it is not the content's.

    Raises ProtocolError for one of another length, and ConnectionLostError.
    """
    if head.bytes != merkle.piece_count(content.size) * merkle.HASH_BYTES:
        raise errors.ProtocolError("bad-length")
    layer = bytes(connection.receive_exactly(head.bytes, stall_s))
    return layer if merkle.root_of(layer, content.size) == content.root else None


def in_turns(sources: Iterable[Address]) -> list[Address]:
    """Order sources, each machine's first before any second, so that none hides the others."""
    times: Counter[str] = Counter()
    turns = []
    for source in sources:
        turns.append((times[source.ip], source))
        times[source.ip] += 1
    return [source for _, source in sorted(turns, key=itemgetter(0))]


def reason_of(error: RedeError | None) -> errors.LostReason | None:
    """Return why a connection ended, or None where something else went wrong."""
    cause = getattr(error, "cause", error)
    return cause.reason if isinstance(cause, errors.ConnectionLostError) else None
