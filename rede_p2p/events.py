"""Events and progress: data that other threads hand to the main thread, which shows them.

``cli.texts`` has the sentence for each event.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from rede_p2p.errors import Address, RedeError


@dataclass(frozen=True)
class Progress:
    """How far a download is, or a transfer with all of its files."""

    have: int = 0  # bytes verified, ``kept`` and ``already`` included
    size: int = 0  # bytes
    kept: int = 0  # bytes of an earlier attempt
    files_done: int = 0
    files: int = 1
    place: int = 0  # in the queue of the source, 0 when it is our turn
    sources: int = 0  # that send now
    already: int = 0  # bytes of files that were whole before
    rechecking: bool = False  # the bytes of an earlier attempt; ``kept`` is not known yet
    name: str = field(default="", compare=False)  # of the file that comes now
    part: "Progress | None" = field(default=None, compare=False)  # that file
    by_source: tuple[tuple[Address, int], ...] = field(default=(), compare=False)  # bytes

    @property
    def came(self) -> int:
        """How many bytes were received since the transfer began."""
        return max(self.have - self.kept - self.already, 0)


@dataclass(frozen=True)
class Summary:
    """What a transfer brought, and from whom."""

    names: tuple[str, ...]
    brought: Mapping[Address, int]  # verified bytes, by source
    named: frozenset[Address]  # the sources that the person named; empty where it was anybody
    seconds: float  # to the last final name

    @property
    def size(self) -> int:
        """How many bytes came in all."""
        return sum(self.brought.values())

    @property
    def from_others(self) -> dict[Address, int]:
        """What came from peers that the person did not name; nothing where nobody was named."""
        return {s: n for s, n in self.brought.items() if self.named and s not in self.named}


@dataclass(frozen=True)
class PeerJoined:
    """Tracker: a peer is listed, under its own name for itself."""

    peer: Address
    name: str = ""


@dataclass(frozen=True)
class PeerLeft:
    """Tracker: a peer is no longer listed."""

    peer: Address
    name: str = ""


@dataclass(frozen=True)
class TrackerLost:
    """Peer: the tracker does not answer; this peer tries to join again until it does."""

    tracker: Address


@dataclass(frozen=True)
class TrackerBack:
    """Peer: the tracker answers again, and gave this peer the public ``port``."""

    tracker: Address
    port: int


@dataclass(frozen=True)
class TrackerMoved:
    """Peer: the tracker is gone from where it was; the one here gave this peer the ``port``."""

    tracker: Address
    port: int


@dataclass(frozen=True)
class NamesRefused:
    """Peer: the tracker keeps no more names of this peer; the rest of its files is not found."""

    tracker: Address


@dataclass(frozen=True)
class ProgramPacked:
    """Tracker: the file with the whole program is made, which it hands out under ``file``."""

    file: str
    sha256: str  # in hexadecimal


@dataclass(frozen=True)
class FilesServed:
    """Peer: another peer, or a browser, hung up after it fetched ``files`` files.

    ``name`` is the last one.
    """

    name: str
    files: int
    size: int  # bytes of all the files
    to: str  # IP address
    peer: str = ""  # what the only peer there calls itself

    def with_file(self, name: str, size: int, files: int = 1) -> "FilesServed":
        """Return the same with one more file, or with a bundle of so many."""
        return replace(self, name=name, files=self.files + files, size=self.size + size)


@dataclass(frozen=True)
class Preparing:
    """Peer: the source hashes the file, whose root it needs before it can send.

    Both are 0 while it waits for the file to be quiet.
    """

    done: int  # bytes hashed
    size: int  # bytes of the file


@dataclass(frozen=True)
class TransferEnded:
    """Peer: a transfer in the background ended; ``failures`` has the error of each failed file."""

    number: int
    names: tuple[str, ...]
    failures: tuple[RedeError, ...]
    summary: Summary


@dataclass(frozen=True)
class ListProblem:
    """Peer: a line of the share list is wrong, or the whole list where ``line`` is 0.

    ``kind`` says what is wrong with ``text``: the kind of a DiskError, ``name-`` and the kind of an
    UnsafeNameError, or one of its own.
    """

    path: str
    line: int
    kind: str
    text: str


@dataclass(frozen=True)
class MoreListProblems:
    """Peer: that many more ``lines`` of the share list are wrong."""

    path: str
    lines: int


@dataclass(frozen=True)
class InternalError:
    """A thread raised an exception that nobody catches: a bug, or the system gives no more."""

    status: ClassVar[int] = 1  # the exit status of a script that it ends
    error: BaseException


Event = (
    PeerJoined
    | PeerLeft
    | TrackerLost
    | TrackerBack
    | TrackerMoved
    | NamesRefused
    | ProgramPacked
    | FilesServed
    | TransferEnded
    | Preparing
    | ListProblem
    | MoreListProblems
    | InternalError
)
Post = Callable[[Event], None]  # queues an event; any thread may call it
