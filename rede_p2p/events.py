"""What happens while somebody types: facts that a thread tells and ``screens`` puts in words."""

from __future__ import annotations

from dataclasses import dataclass

from rede_p2p.errors import Address, RedeError


@dataclass(frozen=True)
class Progress:
    """How far a transfer is, in bytes and in files; ``kept`` bytes were here from before."""

    have: int
    size: int
    kept: int
    files_done: int
    files: int
    place: int  # in the queue of the source, 0 when it is our turn
    sources: int  # at work now
    already: int = 0  # bytes, of files that were here whole
    looking: bool = False  # at what an earlier attempt left, of which ``kept`` does not tell yet

    @property
    def came(self) -> int:
        """How many bytes came since it began."""
        return max(self.have - self.kept - self.already, 0)


@dataclass(frozen=True)
class PeerJoined:
    """Tracker: a peer is listed."""

    peer: Address


@dataclass(frozen=True)
class PeerLeft:
    """Tracker: a peer is listed no more."""

    peer: Address


@dataclass(frozen=True)
class TrackerLost:
    """Peer: the tracker does not answer; it is tried again and again."""

    tracker: Address


@dataclass(frozen=True)
class TrackerBack:
    """Peer: the tracker answers again; ``port`` is the public port that it gave now."""

    tracker: Address
    port: int


@dataclass(frozen=True)
class TrackerMoved:
    """Peer: the tracker is gone, and another on its machine has us now, on the public ``port``."""

    tracker: Address
    port: int


@dataclass(frozen=True)
class FilesServed:
    """Peer: somebody left after fetching from here; ``name`` is the last of the ``files``."""

    name: str
    files: int
    size: int  # bytes, in all
    to: str  # IP address


@dataclass(frozen=True)
class Preparing:
    """Peer: the one who has the file hashes it before it can say what it is."""

    done: int  # bytes
    size: int  # bytes


@dataclass(frozen=True)
class TransferEnded:
    """Peer: a download in the background has ended, with these failures among its ``files``."""

    number: int
    title: str
    files: int
    failures: tuple[RedeError, ...]


@dataclass(frozen=True)
class ListProblem:
    """Peer: a line of the list of shared files is not as it should be.

    ``line`` is 0 for the list itself; ``kind`` says what is wrong with ``text``.
    """

    path: str
    line: int
    kind: str
    text: str


@dataclass(frozen=True)
class MoreListProblems:
    """Peer: so many more lines of the list are not as they should be."""

    path: str
    lines: int


@dataclass(frozen=True)
class InternalError:
    """A thread met an error that nobody foresaw: a bug, told in one line."""

    error: BaseException


Event = (
    PeerJoined
    | PeerLeft
    | TrackerLost
    | TrackerBack
    | TrackerMoved
    | FilesServed
    | TransferEnded
    | Preparing
    | ListProblem
    | MoreListProblems
    | InternalError
)
