"""Looking at the other programs of the network: who answers, how soon, how fast.

Every look has its deadline, and what it finds is data: it raises no error of the network.
"""

from collections.abc import Callable
from queue import Empty, Queue
from threading import Thread
from time import monotonic
from typing import NamedTuple, TypeVar

from rede_p2p.errors import UNADDRESSED, Address, ConnectionLostError, RedeError
from rede_p2p.net.connection import Connection, dial
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import FileData, FileEntry, Get, Listing, Ls, Ok
from rede_p2p.timeouts import Timeouts
from rede_p2p.tracker.joining import ask

MAX_LIST_BYTES = 256 * 1024  # of a peer's list, in which a file to measure with is looked for
MIN_MEASURED_BYTES = 512 * 1024  # with less, a rate tells little
MAX_MEASURED_BYTES = 64 * 1024 * 1024
STEP_BYTES = 256 * 1024

Result = TypeVar("Result")


def within(seconds: float, look: Callable[[], Result], otherwise: Result) -> Result:
    """Return what a function of the system returns, or ``otherwise`` if that takes longer.

    A dead network disk keeps whoever looks at it for ever, and so nobody waits for the thread.
    """
    answers: Queue[Result] = Queue()
    Thread(target=lambda: answers.put(look()), name="look", daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except Empty:
        return otherwise


class Probe(NamedTuple):
    """What was found at an address; ``error`` is None where the right program answered."""

    error: RedeError | None
    connected: bool
    seconds: float  # until it was connected, or until that failed


def hurried(timeouts: Timeouts, accept_s: float) -> Timeouts:
    """Return the deadlines of a look, which waits ``accept_s`` for a connection."""
    return timeouts._replace(
        dial_s=accept_s, reply_s=timeouts.probe_peer_s, stall_s=timeouts.rate_s
    )


def probe(
    address: Address, request: codec.Request, source: str | None, timeouts: Timeouts
) -> Probe:
    """Connect, and ask for something to which the answer is ``ok``."""
    began, connected = monotonic(), False
    try:
        with dial(address, source, timeouts) as connection:
            seconds, connected = monotonic() - began, True
            ask(connection, request, Ok)
    except UNADDRESSED as error:
        return Probe(error, connected, seconds if connected else monotonic() - began)
    return Probe(None, True, seconds)


def measure(address: Address, source: str | None, timeouts: Timeouts) -> float | None:
    """Measure at what rate a peer sends, in bytes a second; None where it has nothing large.

    It is asked for a part of its largest file, which nobody keeps.
    """
    try:
        with dial(address, source, timeouts) as connection:
            largest = max(_first_files(connection), key=lambda file: file.size, default=None)
        if largest is None or largest.size < MIN_MEASURED_BYTES:
            return None
        # One byte less than the file, so that the peer does not tell that it was fetched.
        length = min(largest.size - 1, MAX_MEASURED_BYTES)
        with dial(address, source, timeouts) as connection:
            head = ask(connection, Get(largest.name, 0, length), FileData)
            return _rate(connection, head.bytes, timeouts.rate_s)
    except UNADDRESSED:
        return None


def _first_files(connection: Connection) -> list[FileEntry]:
    """Return the files with which a peer's list begins."""
    listing = ask(connection, Ls(), Listing)
    body = connection.receive_exactly(min(listing.bytes, MAX_LIST_BYTES))
    whole = bytes(body[: body.rfind(b"\n") + 1])
    return codec.decode_lines(whole, FileEntry, whole.count(b"\n"))


def _rate(connection: Connection, length: int, seconds: float) -> float | None:
    """Receive for some seconds at most; return how many bytes came in one."""
    buffer, came, began = memoryview(bytearray(STEP_BYTES)), 0, monotonic()
    took = 0.0
    try:
        while came < length and took < seconds:
            came += connection.receive_into(buffer[: length - came], 1)
            took = monotonic() - began
    except ConnectionLostError:
        took = monotonic() - began
    return came / max(took, 1e-6) if came else None
