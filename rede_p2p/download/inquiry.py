"""One question to many peers at once, until enough of them have answered.

Once one has given an answer, the others have a little longer, whatever they say. Where more wait
than can be asked at once, one has ``layer_hurry_s``, twice as long each time, until its turn comes
again: so that none who says "espera" for ever hides another. Owner: the thread that asks.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from math import inf
from queue import Queue
from threading import Event, Thread
from time import monotonic
from typing import Generic, TypeVar

from rede_p2p.download.request import Connect
from rede_p2p.errors import Address, ConnectionLostError, PeerUnreachableError, RedeError
from rede_p2p.net.connection import Connection, OnPending
from rede_p2p.protocol.codec import Pending
from rede_p2p.timeouts import DEFAULT, Timeouts

PARALLEL_QUERIES = 16  # peers asked at the same time
POLL_INTERVAL_S = 0.2  # between two looks at what was said by those that have not answered

Answer = TypeVar("Answer")
Ask = Callable[[Address, Connection, OnPending], Answer]


def ask_all(
    peers: Sequence[Address],
    connect: Connect,
    ask: Ask[Answer],
    on_pending: OnPending,
    check: Callable[[], None] = lambda: None,
    within_s: float = inf,
    timeouts: Timeouts = DEFAULT,
    grace_s: float | None = None,
    connect_s: float = inf,
) -> list[tuple[Address, Answer | PeerUnreachableError]]:
    """Return what each peer has answered ``within_s``; who has not, is silent.

    Once one has given an answer, the others have ``grace_s`` more, or ``reply_s``. Who is not even
    connected after ``connect_s`` is waited for no longer.

    ``on_pending`` hears, in this thread, what each says meanwhile; ``check`` is called now and
    then, and may raise to give up. At the end, those that have not answered are hung up on; a dial
    that is under way is left behind, asks nothing, and ends within ``dial_s``.
    """
    inquiry = _Inquiry(peers, connect, ask, timeouts.layer_hurry_s, connect_s)
    end = monotonic() + within_s
    grace_s = timeouts.reply_s if grace_s is None else grace_s
    pool = _Pool(PARALLEL_QUERIES)
    try:
        inquiry.begin(pool)
        while inquiry.asked and monotonic() < end:
            done = wait(inquiry.asked, POLL_INTERVAL_S, FIRST_COMPLETED).done
            check()
            inquiry.pass_on(on_pending)
            if inquiry.take(pool, done):
                end = min(end, monotonic() + grace_s)
            inquiry.end_turns()
            inquiry.leave_dials()
        inquiry.pass_on(on_pending)
    finally:
        pool.end()
        inquiry.hang_up()
    silent = ConnectionLostError("silent")
    return [(peer, inquiry.answers.get(peer, _of_peer(peer, silent))) for peer in peers]


class _Pool:
    """Threads that do one job after another.

    A ThreadPoolExecutor keeps the program from ending until all have ended, and one may be dialing.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._jobs: Queue[Callable[[], None] | None] = Queue()

    def submit(self, work: Callable[[Address], Answer], peer: Address) -> "Future[Answer]":
        """Do this work in one of the threads; raise RuntimeError where the system has none left."""
        future: Future[Answer] = Future()

        def job() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(peer))
                except BaseException as error:  # noqa: BLE001 - whoever waits must get it
                    future.set_exception(error)

        if self._count < self._most:
            try:
                Thread(target=self._run, name="inquiry", daemon=True).start()
                self._count += 1
            except RuntimeError:
                if not self._count:
                    raise
        self._jobs.put(job)
        return future

    def end(self) -> None:
        """Have each thread end after what was submitted before."""
        for _ in range(self._count):
            self._jobs.put(None)

    def _run(self) -> None:
        for job in iter(self._jobs.get, None):
            job()


class _Inquiry(Generic[Answer]):
    """Who is being asked, and what they have answered."""

    def __init__(
        self,
        peers: Sequence[Address],
        connect: Connect,
        ask: Ask[Answer],
        turn_s: float,
        connect_s: float,
    ) -> None:
        self.asked: dict[Future[Answer | PeerUnreachableError], Address] = {}
        self.answers: dict[Address, Answer | PeerUnreachableError] = {}
        self._connect = connect
        self._ask = ask
        self._connected_by = monotonic() + connect_s
        self._turns_s = dict.fromkeys(peers, turn_s)  # seconds that each has, where others wait
        self._passed: set[Address] = set()  # whose turn is over, to be asked again
        self._heard: Queue[Pending] = Queue()
        # Written by any of the threads, by one assignment each; and when it was opened.
        self._opened: dict[Address, tuple[Connection, float]] = {}
        self._ended = Event()  # set before hanging up: who is connected later is asked nothing

    def begin(self, pool: _Pool) -> None:
        """Ask each peer, once."""
        for peer in self._turns_s:
            self.asked[pool.submit(self._ask_one, peer)] = peer

    def _ask_one(self, peer: Address) -> Answer | PeerUnreachableError:
        try:
            with self._connect(peer) as connection:
                self._opened[peer] = connection, monotonic()
                if self._ended.is_set():
                    raise ConnectionLostError("silent")
                return self._ask(peer, connection, self._heard.put)
        except RedeError as error:
            return _of_peer(peer, error)

    def pass_on(self, on_pending: OnPending) -> None:
        """Tell what was said by those that have not answered."""
        while not self._heard.empty():
            on_pending(self._heard.get())

    def take(self, pool: _Pool, done: set[Future[Answer | PeerUnreachableError]]) -> bool:
        """Take what has come; tell whether it has an answer. Whose turn was over waits again."""
        has_answer = False
        for future in done:
            peer, answer = self.asked.pop(future), future.result()
            is_answer = not isinstance(answer, RedeError)
            has_answer = has_answer or is_answer
            self._opened.pop(peer, None)
            if peer in self._passed and not is_answer:
                self._passed.remove(peer)
                self.asked[pool.submit(self._ask_one, peer)] = peer
            else:
                self.answers[peer] = answer
        return has_answer

    def end_turns(self) -> None:
        """Where others wait to be asked, hang up on those whose turn is over."""
        if len(self.asked) <= PARALLEL_QUERIES:
            return
        for peer, (connection, since) in self._opened.copy().items():
            if monotonic() - since > self._turns_s[peer] and peer not in self._passed:
                self._passed.add(peer)
                self._turns_s[peer] *= 2
                connection.hang_up()

    def leave_dials(self) -> None:
        """Wait no longer for those that should be connected by now, and are not."""
        if monotonic() > self._connected_by:
            for future in [one for one, peer in self.asked.items() if peer not in self._opened]:
                future.cancel()
                del self.asked[future]

    def hang_up(self) -> None:
        """Ask nobody else, hang up on those that have not answered, and wait for these to end."""
        self._ended.set()
        for future in self.asked:
            future.cancel()
        opened = self._opened.copy()
        for connection, _ in opened.values():
            connection.hang_up()
        wait(future for future, peer in self.asked.items() if peer in opened)


def _of_peer(peer: Address, error: RedeError) -> PeerUnreachableError:
    return error if isinstance(error, PeerUnreachableError) else PeerUnreachableError(peer, error)
