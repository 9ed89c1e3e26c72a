"""Every message of tracker and peers by TCP, one class each (docs/PROTOCOLO.md)."""

from dataclasses import dataclass
from typing import ClassVar

from rede_p2p.protocol import fields

PROTOCOL_VERSION = 1  # a tracker refuses a peer that says another


@dataclass(frozen=True)
class Join:
    """I want in, under this name, with the ``port`` I had; ``web``: it answers browsers, too."""

    verb: ClassVar[str] = "join"
    version: fields.Version
    port: fields.PublicPort | None = None
    name: fields.PeerName = ""
    web: fields.Bool = False


@dataclass(frozen=True)
class PortTaken:
    """The port you offered is taken on my machine: offer another."""

    verb: ClassVar[str] = "busy"
    port: fields.PublicPort


@dataclass(frozen=True)
class Ready:
    """I listen on the port you offered: list me."""

    verb: ClassVar[str] = "ready"
    port: fields.PublicPort


@dataclass(frozen=True)
class Peers:
    """Who is here?"""

    verb: ClassVar[str] = "peers"


@dataclass(frozen=True)
class Ping:
    """I am still here. ``who``: say also which tracker you are. ``ticket``: prove it."""

    verb: ClassVar[str] = "ping"
    who: fields.Bool = False
    ticket: fields.Ticket = ""


@dataclass(frozen=True)
class Reach:
    """Can you connect to the port on which you list me?"""

    verb: ClassVar[str] = "reach"


@dataclass(frozen=True)
class Ls:
    """What do you share? With ``folders``, an empty folder is a line whose name ends with ``/``."""

    verb: ClassVar[str] = "ls"
    folders: fields.Bool = False
    zlib: fields.Bool = False  # whether the lines may come compressed


@dataclass(frozen=True)
class Stat:
    """What is the content under this name?"""

    verb: ClassVar[str] = "stat"
    name: fields.Name


@dataclass(frozen=True)
class Get:
    """Send the bytes under this name, all of them or a range."""

    verb: ClassVar[str] = "get"
    name: fields.Name
    start: fields.Size = 0
    length: fields.Size | None = None


@dataclass(frozen=True)
class Hashes:
    """Send the piece hashes of this content; from piece ``again`` on, what you sent is wrong."""

    verb: ClassVar[str] = "hashes"
    root: fields.Root
    again: fields.PieceIndex | None = None


@dataclass(frozen=True)
class Pieces:
    """Send ``count`` pieces of this content, the first of them at index ``first``."""

    verb: ClassVar[str] = "pieces"
    root: fields.Root
    first: fields.PieceIndex
    count: fields.PieceIndex


@dataclass(frozen=True)
class Bundle:
    """These are one bundle: ``count`` lines of BundleMember follow, whose SHA-256 is its root."""

    verb: ClassVar[str] = "bundle"
    bytes: fields.BundleSize
    count: fields.BundleCount


@dataclass(frozen=True)
class Want:
    """I lack the pieces of this content whose bit is 1, the first bit first: offer me some."""

    verb: ClassVar[str] = "want"
    root: fields.Root
    bitmap: fields.Bitmap


@dataclass(frozen=True)
class Take:
    """Send these pieces of your last offer; ``got`` and ``lost`` are as in Next."""

    verb: ClassVar[str] = "take"
    first: fields.PieceIndex
    count: fields.PieceIndex
    got: fields.News = ()
    lost: fields.News = ()


@dataclass(frozen=True)
class Next:
    """Offer me more. Meanwhile I lack ``got`` no more, and lack ``lost`` again."""

    verb: ClassVar[str] = "next"
    got: fields.News = ()
    lost: fields.News = ()


@dataclass(frozen=True)
class Announce:
    """I have these: ``count`` lines of FileEntry follow; a nameless one is not searched."""

    verb: ClassVar[str] = "announce"
    bytes: fields.AnnouncedSize
    count: fields.Count


@dataclass(frozen=True)
class Withdraw:
    """I have these no more: ``count`` lines of FileEntry follow."""

    verb: ClassVar[str] = "withdraw"
    bytes: fields.AnnouncedSize
    count: fields.Count


@dataclass(frozen=True)
class Find:
    """Who has this content?"""

    verb: ClassVar[str] = "find"
    root: fields.Root


@dataclass(frozen=True)
class Search:
    """Which contents have this text in a name, or are called exactly so?"""

    verb: ClassVar[str] = "search"
    text: fields.Name
    exact: fields.Bool = False


@dataclass(frozen=True)
class Quit:
    """Goodbye. To the tracker it means: list me no more."""

    verb: ClassVar[str] = "quit"


# Replies, and the lines of the bodies that follow some of them.


@dataclass(frozen=True)
class Ok:
    """Yes. Of a tracker, where a ping asks: its id, a key and its ticket; a proof by that key."""

    id: fields.TrackerId = ""
    ticket: fields.Ticket = ""
    key: fields.Key = ""
    proof: fields.Proof = ""


@dataclass(frozen=True)
class Reached:
    """Whether a peer answers on its public port: ``reason`` says why not, "" where it does."""

    reason: fields.Reason = ""


@dataclass(frozen=True)
class PortOffer:
    """The public port to listen on, and the address the tracker observed for the asker."""

    port: fields.PublicPort
    ip: fields.Ip
    version: fields.Version


@dataclass(frozen=True)
class Listing:
    """``count`` JSON lines follow, in ``bytes`` bytes; if they are not all, ``total`` says more."""

    bytes: fields.BodySize
    count: fields.Count
    total: fields.Total = 0
    zlib: fields.Bool = False  # whether they are compressed


@dataclass(frozen=True)
class FileInfo:
    """The content under a name."""

    name: fields.Name
    size: fields.Size
    root: fields.Root


@dataclass(frozen=True)
class PieceOffer:
    """These pieces can be had now, or one of ``others``; at the ``end``, no more are expected."""

    first: fields.PieceIndex
    count: fields.PieceIndex = 0
    others: fields.Others = ()
    end: fields.Bool = False


@dataclass(frozen=True)
class PieceData:
    """``bytes`` raw bytes follow; meanwhile, the next offer, as in PieceOffer."""

    bytes: fields.Size
    first: fields.PieceIndex = 0
    count: fields.PieceIndex = 0
    others: fields.Others = ()


@dataclass(frozen=True)
class SearchResult:
    """A line of ``search``: a content, one of its names, and how many peers have it."""

    most: ClassVar = fields.MAX_TRACKER_LINES
    name: fields.Name
    size: fields.Size
    root: fields.Root
    peers: fields.Count


@dataclass(frozen=True)
class BundleMember:
    """A line of ``bundle``: one content of it, which is not empty."""

    size: fields.MemberSize
    root: fields.Root


@dataclass(frozen=True)
class FileData:
    """``bytes`` raw bytes follow."""

    bytes: fields.Size
    size: fields.Size | None = None
    root: fields.Root | None = None


@dataclass(frozen=True)
class PeerEntry:
    """A line of ``peers``; ``you`` marks the one who asked; ``name`` is as it joined."""

    most: ClassVar = fields.MAX_TRACKER_LINES
    ip: fields.Ip
    port: fields.PublicPort
    you: fields.Bool = False
    name: fields.PeerName = ""


@dataclass(frozen=True)
class FileEntry:
    """A line of ``ls``; no root yet means that it is being hashed."""

    name: fields.Name
    size: fields.Size
    root: fields.Root | None = None
