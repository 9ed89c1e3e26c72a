"""Who is asked for a content: those that the user named, and those that the tracker tells of.

Nobody waits for the tracker but those who have no source at all: it is asked for a Future, which is
looked at when it is there. Owner: the thread of a download.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from operator import itemgetter
from time import monotonic

from rede_p2p.content.merkle import Content
from rede_p2p.download.piece_writer import PieceWriter
from rede_p2p.download.swarm import AT_WORK, Swarm
from rede_p2p.errors import Address, RedeError

FIRST_LOOK, LAST_LOOK = 0.1, 2.0  # seconds between two questions who else has it
STUCK = 15.0  # seconds without one piece, after which a download gives up

WhoHas = Callable[[Content], "Future[list[Address]]"]


def nobody_else(_content: Content) -> Future[list[Address]]:
    """Know of no other source: for a download that asks no tracker."""
    answered: Future[list[Address]] = Future()
    answered.set_result([])
    return answered


class SourceFinder:
    """The sources of one content, known and found, and which of them are set to work."""

    def __init__(self, content: Content, named: Sequence[Address], who_has: WhoHas) -> None:
        """Begin with those that the user ``named``, or that were found by their list."""
        self._content = content
        self._named = named
        self._who_has = who_has
        self._others: list[Address] = []  # whom the tracker has told of, beside those

    def named(self) -> list[Address]:
        """Return those to be asked first, in the order in which to ask them."""
        return _drawn(self._named)

    def find_others(self, checkpoint: Callable[[], None]) -> list[Address]:
        """Ask the tracker who else has the content; nobody, where it does not answer.

        ``checkpoint`` is called now and then while that takes, and may raise to give up.
        """
        asked, end = self._who_has(self._content), monotonic() + STUCK
        while not asked.done() and monotonic() < end:
            wait([asked], FIRST_LOOK)
            checkpoint()
        self._others = [peer for peer in _told(asked) if peer not in self._named]
        return _drawn(self._others)

    def run(self, crew: Swarm, verifier: PieceWriter, is_cancelled: Callable[[], bool]) -> None:
        """Set sources to work, also those told of later, until all is here or nobody is left."""

        def is_over() -> bool:
            return crew.board.complete or is_cancelled() or verifier.failure is not None

        sources = [*self._named, *self._others]
        pause, due = 0.0, monotonic()  # those that are known are at work before it is asked
        asked: Future[list[Address]] | None = None
        while True:
            others = self._set_to_work(crew, verifier, sources)
            left = LAST_LOOK if asked else max(0.0, due - monotonic())
            with crew.changed:
                crew.changed.wait_for(
                    lambda others=others, asked=asked: (  # type: ignore[misc]
                        is_over()
                        or (others and crew.has_room)
                        or (asked.done() if asked else not crew.at_work)
                    ),
                    left,
                )
                ended = is_over()
            if ended or monotonic() - crew.moved_at > STUCK:
                return
            if asked is None and (monotonic() >= due or not crew.at_work):
                asked = self._who_has(self._content)
                asked.add_done_callback(lambda _: crew.wake())
            elif asked is not None and asked.done():
                sources, asked = [*self._named, *_told(asked)], None
                if not crew.at_work and not any(map(crew.may_join, sources)):
                    return
                pause = min(max(FIRST_LOOK, pause * 2), LAST_LOOK)
                due = monotonic() + pause

    def _set_to_work(self, crew: Swarm, verifier: PieceWriter, sources: Sequence[Address]) -> bool:
        """Set as many to work as may be; tell whether others would come when one leaves."""
        told = [source for source in sources if source not in self._named]
        for source in sorted((*self.named(), *_drawn(told)), key=crew.losses):
            crew.join(source, verifier)
        return not crew.has_room and any(map(crew.may_join, sources))


def _drawn(sources: Sequence[Address]) -> list[Address]:
    """Put sources in the order in which to try them: by lot, where they are too many for all.

    One of each machine comes first, so that nobody hides the others by being there many times.
    """
    if len(sources) > AT_WORK:
        sources = random.sample(sources, len(sources))
    times: Counter[str] = Counter()
    turns = []
    for source in sources:
        turns.append((times[source.ip], source))
        times[source.ip] += 1
    return [source for _, source in sorted(turns, key=itemgetter(0))]


def _told(asked: Future[list[Address]]) -> list[Address]:
    """Return what the tracker has answered; nobody, if it has not."""
    with suppress(RedeError, FutureTimeoutError):  # which Python 3.10 has apart
        return asked.result(timeout=0)
    return []
