"""The vocabulary: every message of tracker and peers, one class each (docs/PROTOCOLO.md).

The limits on what comes from outside stand here, on the fields; none is taken from the wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from rede_p2p.content import merkle
from rede_p2p.protocol.codec import Boolean, Digest, Hexadecimal, Indexes, Integer, IpAddress, Text

VERSION = 1  # of this protocol; a tracker refuses a peer that says another
LISTING_LIMIT = 64 * 1024 * 1024  # bytes in a body of JSON lines
ANNOUNCE_LIMIT = 5 * 1024 * 1024  # bytes in that of an announcement: 2,000 of the longest lines
COUNT_LIMIT = 500_000  # lines in such a body
RANGES_LIMIT = 4096  # indexes told in one ``next``; what is over waits for the one after
OTHERS_LIMIT = 8  # indexes offered beside the first choice
MAX_OFFERS = 512  # ports that a peer may find taken: neither side keeps the other busy for ever
FIRST_PUBLIC_PORT = 1024  # a tracker may not send its peers to a machine's system services

Port = Annotated[int, Integer(1, 65535)]
PublicPort = Annotated[int, Integer(FIRST_PUBLIC_PORT, 65535)]
Size = Annotated[int, Integer(0, merkle.MAX_SIZE)]
Count = Annotated[int, Integer(0, COUNT_LIMIT)]
PieceIndex = Annotated[int, Integer(0, merkle.MAX_PIECES)]
Version = Annotated[int, Integer(1, 2**31)]
Name = Annotated[str, Text(1024)]
Nonce = Annotated[str, Text(32)]
Root = Annotated[bytes, Digest()]
Ip = Annotated[str, IpAddress()]
Bool = Annotated[bool, Boolean()]
Bitmap = Annotated[bytes, Hexadecimal(merkle.MAX_PIECES // 8)]
Ranges = Annotated[tuple[int, ...], Indexes(merkle.MAX_PIECES, RANGES_LIMIT)]
Others = Annotated[tuple[int, ...], Indexes(merkle.MAX_PIECES, OTHERS_LIMIT)]
BodySize = Annotated[int, Integer(0, LISTING_LIMIT)]
AnnouncedSize = Annotated[int, Integer(0, ANNOUNCE_LIMIT)]


# Requests to the tracker.


@dataclass(frozen=True)
class Join:
    """I want in. ``port`` is the one I had before, if I can have it again."""

    verb: ClassVar[str] = "join"
    version: Version
    port: PublicPort | None = None


@dataclass(frozen=True)
class PortTaken:
    """The port you offered is taken on my machine: offer another."""

    verb: ClassVar[str] = "busy"
    port: PublicPort


@dataclass(frozen=True)
class Ready:
    """I listen on the port you offered: list me."""

    verb: ClassVar[str] = "ready"
    port: PublicPort


@dataclass(frozen=True)
class Peers:
    """Who is here?"""

    verb: ClassVar[str] = "peers"


@dataclass(frozen=True)
class Ping:
    """I am still here."""

    verb: ClassVar[str] = "ping"


@dataclass(frozen=True)
class LocateTracker:
    """By UDP, to port 9450: on which TCP port is this machine's tracker?"""

    verb: ClassVar[str] = "where"
    nonce: Nonce


# Requests to a peer.


@dataclass(frozen=True)
class Ls:
    """What do you share?"""

    verb: ClassVar[str] = "ls"


@dataclass(frozen=True)
class Stat:
    """What is the content under this name?"""

    verb: ClassVar[str] = "stat"
    name: Name


@dataclass(frozen=True)
class Get:
    """Send the bytes under this name, all of them or a range."""

    verb: ClassVar[str] = "get"
    name: Name
    start: Size = 0
    length: Size | None = None


@dataclass(frozen=True)
class Hashes:
    """Send the piece hashes of this content."""

    verb: ClassVar[str] = "hashes"
    root: Root


@dataclass(frozen=True)
class Pieces:
    """Send ``count`` pieces of this content, the first of them at index ``first``."""

    verb: ClassVar[str] = "pieces"
    root: Root
    first: PieceIndex
    count: PieceIndex


@dataclass(frozen=True)
class Want:
    """I lack the pieces of this content whose bit is 1, the first bit first: offer me some."""

    verb: ClassVar[str] = "want"
    root: Root
    bitmap: Bitmap


@dataclass(frozen=True)
class Take:
    """Send these pieces of your last offer; ``got`` and ``lost`` are as in Next."""

    verb: ClassVar[str] = "take"
    first: PieceIndex
    count: PieceIndex
    got: Ranges = ()
    lost: Ranges = ()


@dataclass(frozen=True)
class Next:
    """Offer me more. Meanwhile I lack ``got`` no more, and lack ``lost`` again."""

    verb: ClassVar[str] = "next"
    got: Ranges = ()
    lost: Ranges = ()


@dataclass(frozen=True)
class Announce:
    """I have these contents: ``count`` lines of Shared follow; a nameless one is not searched."""

    verb: ClassVar[str] = "announce"
    bytes: AnnouncedSize
    count: Count


@dataclass(frozen=True)
class Withdraw:
    """I have these no more: ``count`` lines of Shared follow."""

    verb: ClassVar[str] = "withdraw"
    bytes: AnnouncedSize
    count: Count


@dataclass(frozen=True)
class Find:
    """Who has this content?"""

    verb: ClassVar[str] = "find"
    root: Root


@dataclass(frozen=True)
class Search:
    """Which contents have this text in a name, or are called exactly so?"""

    verb: ClassVar[str] = "search"
    text: Name
    exact: Bool = False


@dataclass(frozen=True)
class Quit:
    """Goodbye. To the tracker it means: list me no more."""

    verb: ClassVar[str] = "quit"


AnyRequest = (
    Join
    | PortTaken
    | Ready
    | Peers
    | Ping
    | Announce
    | Withdraw
    | Find
    | Search
    | LocateTracker
    | Ls
    | Stat
    | Get
    | Hashes
    | Pieces
    | Want
    | Take
    | Next
    | Quit
)

TO_TRACKER: dict[str, type[AnyRequest]] = {
    kind.verb: kind
    for kind in (Join, PortTaken, Ready, Peers, Ping, Announce, Withdraw, Find, Search, Quit)
}
TO_PEER: dict[str, type[AnyRequest]] = {
    kind.verb: kind for kind in (Ls, Stat, Get, Hashes, Pieces, Want, Take, Next, Quit)
}
BY_UDP: dict[str, type[LocateTracker]] = {LocateTracker.verb: LocateTracker}


# Replies, and the lines of the bodies that follow some of them.


@dataclass(frozen=True)
class Ok:
    """Yes."""


@dataclass(frozen=True)
class PortOffer:
    """The public port to listen on, and the address the tracker observed for the asker."""

    port: PublicPort
    ip: Ip
    version: Version


@dataclass(frozen=True)
class Listing:
    """``count`` JSON lines follow, in ``bytes`` bytes."""

    bytes: BodySize
    count: Count


@dataclass(frozen=True)
class FileInfo:
    """The content under a name."""

    name: Name
    size: Size
    root: Root


@dataclass(frozen=True)
class PieceOffer:
    """These pieces can be had now; none, after a moment, when there is nothing new to offer.

    ``others`` can be had in their place, one of them, where these are of no use any more.
    """

    first: PieceIndex
    count: PieceIndex = 0
    others: Others = ()


@dataclass(frozen=True)
class PieceData:
    """``bytes`` raw bytes follow; meanwhile, the next offer, as in Choice."""

    bytes: Size
    first: PieceIndex = 0
    count: PieceIndex = 0
    others: Others = ()


@dataclass(frozen=True)
class SearchResult:
    """A line of ``search``: a content, one of its names, and how many peers have it."""

    name: Name
    size: Size
    root: Root
    peers: Count


@dataclass(frozen=True)
class FileData:
    """``bytes`` raw bytes follow."""

    bytes: Size
    size: Size | None = None
    root: Root | None = None


@dataclass(frozen=True)
class TrackerLocation:
    """By UDP: the tracker of this machine listens on TCP ``port``."""

    nonce: Nonce
    port: Port
    version: Version


@dataclass(frozen=True)
class PeerEntry:
    """A line of ``peers``; ``you`` marks the one who asked."""

    ip: Ip
    port: PublicPort
    you: Bool = False


@dataclass(frozen=True)
class FileEntry:
    """A line of ``ls``; no root yet means that it is being hashed."""

    name: Name
    size: Size
    root: Root | None = None
