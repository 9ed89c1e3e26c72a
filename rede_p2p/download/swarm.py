"""One download: its sources, its pieces, its error and its end.

``run`` starts a thread for each source; the thread asks the swarm what to fetch and reports what
came. One lock guards the piece picker and all other shared state; nothing blocks under it. The
thread that calls ``run`` owns the swarm; any thread may ``cancel`` it.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from threading import Condition, Lock, Thread
from time import monotonic

from rede_p2p import errors
from rede_p2p.content.merkle import Verdicts, right_pieces
from rede_p2p.content.piece_layout import Layout
from rede_p2p.download.hang_ups import HangUps
from rede_p2p.download.piece_picker import PiecePicker
from rede_p2p.download.seats import Seats
from rede_p2p.download.source_finder import SourceFinder, reason_of
from rede_p2p.errors import Address, ConnectionLostError, DiskError, PeerUnreachableError, RedeError
from rede_p2p.events import Progress
from rede_p2p.net.patience import Patience
from rede_p2p.protocol.codec import Pending
from rede_p2p.protocol.messages import Next, PieceOffer, Take
from rede_p2p.timeouts import Timeouts
from rede_p2p.upload.seed_store import Seeded

IN_FLIGHT_WINDOW_BYTES = 4 * 1024 * 1024  # most per request, until a source has sent half of it
ENDGAME_POLL_S = 0.1  # between two checks for late pieces

FetchFrom = Callable[[Address], None]  # what a source's thread runs; raises RedeError


class Swarm:
    """The state that the threads of one download share."""

    def __init__(self, name: str, layout: Layout, finder: SourceFinder, timeouts: Timeouts) -> None:
        self._name, self._layout = name, layout
        self._seeded: Seeded  # set by ``begin``, before a piece arrives
        self._timeouts = timeouts
        self._window = max(1, IN_FLIGHT_WINDOW_BYTES // layout.piece_bytes)  # pieces
        self._hang_ups = HangUps()
        self._changed = Condition(Lock())  # guards all below; of the finder, losses and liars
        self._finder = finder
        self._picker = PiecePicker(layout.count, monotonic, timeouts.min_endgame_wait_s)
        self._seats = Seats(layout.size, monotonic)
        self._error: RedeError | None = None  # a disk error, else a bad hash, else the first one
        self._disk_failed = False  # no other source can help
        self._cancelled = self._closed = False
        self._progress_at = monotonic()  # when a verdict last came, or an "espera" worth waiting
        self._patience: Patience | None = None  # with the queues that we are in since a verdict
        self._queue_place = 0  # ours, at the source that reported last
        self.brought: Counter[Address] = Counter()  # verified bytes fetched now, by source
        self._kept = 0  # verified bytes kept from before

    def cancel(self) -> None:
        """Cancel the download; any thread may call this."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()
        self._hang_ups.call()

    def progress(self) -> Progress:
        """Return the progress so far; any thread may call this."""
        size, sources, place = self._layout.size, len(self._seats), self._queue_place
        with self._changed:
            rechecking, by = self._picker.any_doubtful, tuple(self.brought.items())
            kept = 0 if rechecking else self._kept  # unknown until rechecked
            have = self.brought.total() + kept
        return Progress(have, size, kept, 0, 1, place, sources, 0, rechecking, self._name, None, by)

    def check_cancelled(self) -> None:
        """Raise InterruptedByUserError once the download is cancelled."""
        if self._cancelled:
            raise errors.InterruptedByUserError

    def hanging_up(self, key: object, hang_up: Callable[[], None]) -> AbstractContextManager[None]:
        """In this block, ``cancel`` and, for a source, the end of ``run`` call ``hang_up``."""
        return self._hang_ups.during(key, hang_up, lambda: self._closed or self._cancelled)

    def run(self, fetch_from: FetchFrom) -> None:
        """Run ``fetch_from`` in a thread for each source, to the end of the download."""
        self._progress_at = monotonic()
        try:
            self._find_and_start(fetch_from)
        finally:
            with self._changed:
                self._closed = True
                self._changed.notify_all()
                self._hang_ups.call(self._seats)  # which takes no other lock
            self._hang_ups.join()

    def check_complete(self) -> None:
        """Return if every piece is here; else raise why not, as ``Download.run`` does."""
        self.check_cancelled()
        if self._picker.complete and not self._disk_failed:
            return
        error, have = self._error, self.progress().have
        tells_all = self._disk_failed or isinstance(error, errors.VerificationError) or not have
        if error is not None and tells_all:
            raise error
        raise errors.IncompleteError(self._name, have, self._layout.size, error)

    def begin(self, seeded: Seeded, doubtful: Collection[int], skip: Iterable[int] = ()) -> None:
        """Offer through ``seeded``; ask for ``doubtful`` pieces once rechecked, for some never."""
        with self._changed:
            self._seeded = seeded
            self._picker.doubt(doubtful)
            self._picker.skip(skip)

    def record_recheck(self, verdicts: Verdicts) -> bool:
        """Record and offer doubtful pieces; return whether to continue the recheck."""
        self._seeded.add(right := right_pieces(verdicts))
        with self._changed:
            self._kept += self._layout.bytes_in(right)
            self._progress_at, self._patience = monotonic(), None
            self._picker.recheck(verdicts)
            self._changed.notify_all()
            return not (self._cancelled or self._disk_failed)

    def stalls_in_s(self) -> float:
        """Return the seconds until the download stalls; 0 once it failed or was cancelled."""
        if self._cancelled or self._disk_failed:
            return 0.0
        return self._progress_at + self._timeouts.download_stall_s - monotonic()

    def first_want(self, source: Address) -> tuple[bytes, int]:
        """Return the bitmap of missing pieces, and the position from which to read the news."""
        with self._changed:
            self._seats.note_asked(source)
            return self._picker.wanted()

    def take(
        self, source: Address, offer: PieceOffer, brought: int, since: int
    ) -> tuple[Take | None, int]:
        """Reserve useful pieces of an offer; return the request or None, and ``since``."""
        with self._changed:
            if self._seats.is_dismissed(source):
                return None, since
            return self._picker.take(source, offer, max(self._window, 2 * brought), since)

    def ask_next(self, source: Address, offer: PieceOffer, since: int) -> tuple[Next | None, int]:
        """Wait until a piece is missing or, in the endgame, late; return what to ask, or None."""
        with self._changed:
            while not (self._closed or self._picker.complete or self._seats.is_dismissed(source)):
                request, since = self._picker.ask_next(source, offer, since)
                if request is not None:
                    self._seats.note_asked(source)
                    return request, since
                self._changed.wait(ENDGAME_POLL_S)
            return None, since

    def note_answer(self, source: Address, since: int, *, ended: bool) -> None:
        """Record whether a source that knew the news until ``since`` has nothing more for us."""
        with self._changed:
            self._seats.note_answer(source, since if ended else -1)
            if ended:  # it may be over
                self._changed.notify_all()

    def give_back(self, source: Address) -> None:
        """Let others bring what was asked of a source, which has refused it."""
        with self._changed:
            self._picker.release(source)
            self._changed.notify_all()

    def rest(self, seconds: float) -> None:
        """Wait some seconds, or until the download ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._is_over(), seconds)

    def count_sources(self) -> int:
        """Return how many sources are at work."""
        return len(self._seats)

    def is_here(self, index: int) -> bool:
        """Tell whether a piece is verified and written."""
        return self._picker.is_here(index)

    def note_pending(self, source: Address, pieces: range, pending: Pending) -> None:
        """Record that a source has queued our request for these pieces."""
        with self._changed:
            self._queue_place = pending.place
            self._patience = self._patience or Patience(self._timeouts)
            if not self._patience.is_over(pending, source):
                self._progress_at = monotonic()
            self._picker.postpone(source, pieces)
            self._seats.note_queued(source)
            if self._seats.is_dismissed(source):
                self._hang_ups.call([source])

    def record(self, source: Address, verdicts: Verdicts) -> None:
        """Record a source's pieces, and offer the right ones; hang up if one is wrong."""
        self._seeded.add(right := right_pieces(verdicts))
        with self._changed:
            self._queue_place, self._progress_at, self._patience = 0, monotonic(), None
            new = [index for index in right if self._picker.confirm(index, source)]
            self.brought[source] += (brought := self._layout.bytes_in(new))
            self._seats.note(source, brought)
            if len(right) < len(verdicts):
                self._finder.note_liar(source, min(verdicts.keys() - right))
                self._seats.dismiss(source)
                if not self._disk_failed:
                    self._error = errors.VerificationError(self._name, source)
                self._hang_ups.call([source])
            elif not (self._picker.complete or self._seats.is_due):
                return
            self._changed.notify_all()

    def fail(self, error: RedeError) -> None:
        """End the download with this disk error; an earlier disk error stays."""
        with self._changed:
            self._error = self._error if self._disk_failed else error
            self._disk_failed = True
            self._changed.notify_all()

    def _find_and_start(self, fetch_from: FetchFrom) -> None:
        """Start sources as they are found, until it is over, has stalled, or has no source."""
        seats, finder = self._seats, self._finder

        def should_wake() -> bool:
            if self._is_over() or seats.is_due:
                return True
            return finder.is_answered(unless_asked=not seats)

        while True:
            self._start_sources(fetch_from)
            with self._changed:
                self._changed.wait_for(should_wake, min(finder.pause_s(), seats.round_left_s()))
                if self._is_over() or self.stalls_in_s() < 0:
                    return
                if seats.round_left_s() <= 0:
                    finder.note_idle(seats.end_round())
                    self._hang_ups.call(seats.dismissed_and_asked())
                    self._changed.notify_all()
            answered = finder.update(self._wake, at_once=not seats)
            if answered and not (seats or self._waiting()):
                return

    def _start_sources(self, fetch_from: FetchFrom) -> None:
        """Start sources while there are seats, and note whether others wait."""
        for source in self._waiting():
            with self._changed:
                if self._closed or not self._seats.enter(source):
                    return
            # One that still dials must not keep the program from ending.
            thread = Thread(
                target=self._run_source, args=(source, fetch_from), name=source.ip, daemon=True
            )
            try:
                self._hang_ups.start(thread)
            except RuntimeError:  # the system has no thread left
                self._leave(source, PeerUnreachableError(source, ConnectionLostError("lost")))
        self._seats.any_waits = False

    def _waiting(self) -> list[Address]:
        """List the sources that have no seat."""
        with self._changed:
            return [source for source in self._finder.sources() if source not in self._seats]

    def _run_source(self, source: Address, fetch_from: FetchFrom) -> None:
        failure: RedeError | None = None
        try:
            fetch_from(source)
        except RedeError as error:
            if isinstance(error, DiskError) and error.kind != "crowded":
                self.fail(error)
            else:  # a lost source, or too many open files: other sources can go on
                failure = error
        except BaseException:  # a bug: Python prints it, and the source counts as lost
            failure = PeerUnreachableError(source, ConnectionLostError("lost"))
            raise
        finally:
            self._leave(source, failure)

    def _leave(self, source: Address, failure: RedeError | None) -> None:
        with self._changed:
            if self._seats.is_dismissed(source) and reason_of(failure) == "lost":
                failure = None  # we have hung up
            self._seats.leave(source)
            owed = self._picker.release(source)
            if failure is not None and self._closed:  # we have hung up: only who owes is late
                late = ConnectionLostError("silent")
                failure = PeerUnreachableError(source, late) if owed else None
            if failure is not None:
                self._seats.forget_end(source)
                if self._finder.note_loss(source, failure):
                    self._error = self._error or failure
            self._changed.notify_all()

    def _is_over(self) -> bool:
        if self._picker.complete or self._cancelled or self._disk_failed:
            return True
        if not self._finder.has_found or self._picker.any_under_way:
            return False
        return self._seats.have_ended(self._picker.lost_at, self._finder.sources())  # of a bundle

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()
