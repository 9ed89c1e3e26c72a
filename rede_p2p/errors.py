"""Every error raised on purpose.

Each carries data, never prose: ``cli.texts`` writes the sentence from these fields. ``status`` is
the exit status of a program that ends because of the error. The kinds are Literals, so that a type
checker finds the misspelt one, and a test the one without a sentence.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple


class Address(NamedTuple):
    """Where a program listens: a literal IP address and a TCP port."""

    ip: str
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class RedeError(Exception):
    """The base of all of them."""

    status: ClassVar[int] = 1


# What the person typed.

UsageKind = Literal[
    "ajuda", "blanks", "buscar", "cancelar", "como", "compartilhar", "diagnostico", "empacotar",
    "encoding", "esperar", "first-port", "get", "ip", "long", "ls", "meus", "no-download", "no-row",
    "nome", "option", "peers", "placar", "port", "quotes", "rate", "rede-tracker", "remover",
    "saida", "status", "too-many", "torrent", "vague",
]  # fmt: skip


@dataclass(eq=False)
class BadUsageError(RedeError):
    """A command or an option has the wrong words; ``kind`` names what is wrong with ``text``."""

    status = 2
    kind: UsageKind
    text: str = ""


@dataclass(eq=False)
class UnknownCommandError(RedeError):
    """A command does not exist; ``suggestion`` is the nearest one, or empty."""

    status = 2
    word: str
    suggestion: str


@dataclass(eq=False)
class AmbiguousNameError(RedeError):
    """Several peers share different contents under one name."""

    status = 2
    name: str
    choices: tuple[Address, ...]


@dataclass(eq=False)
class AmbiguousPeerError(RedeError):
    """Several peers are called so."""

    status = 2
    peer: str
    choices: tuple[Address, ...]


@dataclass(eq=False)
class UnknownPeerError(RedeError):
    """No peer is called so; ``suggestion`` is the nearest name, or empty."""

    status = 2
    peer: str
    suggestion: str


# What the other side did. The first three know no address: whoever dialled adds it.

ProtocolKind = Literal[
    "bad-count", "bad-field", "bad-length", "http", "long-line", "no-field", "noise", "not-json",
    "stranger", "unknown-verb",
]  # fmt: skip
LostReason = Literal["address", "changed", "lost", "no-port", "refused", "silent", "unreachable"]


@dataclass(eq=False)
class ProtocolError(RedeError):
    """The other side broke the protocol; ``kind`` is the code on the wire, ``detail`` a field."""

    status = 4
    kind: ProtocolKind
    detail: str = ""


@dataclass(eq=False)
class ConnectionLostError(RedeError):
    """The connection ended, could not be made, or did not progress; ``reason`` says which."""

    status = 4
    reason: LostReason


@dataclass(eq=False)
class RefusedError(RedeError):
    """The answer is "erro": a stable code, and a sentence that is a stranger's text.

    The code is any text, because a later version of the other side may send a new one.
    """

    code: str
    message: str = ""

    @property
    def status(self) -> int:  # type: ignore[override]
        """A refusal about a file is "no such file"; any other is about the peer."""
        return 5 if self.code in ("no-such-file", "not-here") else 4


UNADDRESSED = (ProtocolError, ConnectionLostError, RefusedError)


@dataclass(eq=False)
class TrackerUnreachableError(RedeError):
    """No tracker answers there; ``cause`` says why."""

    status = 3
    address: Address
    cause: RedeError


MachineReason = Literal["silent", "unknown"]


@dataclass(eq=False)
class UnknownMachineError(RedeError):
    """The system tells no address for the name of a machine; ``reason`` says why."""

    status = 2
    name: str
    reason: MachineReason


@dataclass(eq=False)
class SeveralTrackersError(RedeError):
    """Several trackers answered, and nobody is there to choose one."""

    status = 3
    choices: tuple[Address, ...]


@dataclass(eq=False)
class PeerUnreachableError(RedeError):
    """A peer of the list does not answer as one; ``cause`` says why."""

    address: Address
    cause: RedeError

    @property
    def status(self) -> int:  # type: ignore[override]
        """A missing file stays "no such file"; everything else is "peer unreachable"."""
        return self.cause.status if isinstance(self.cause, RefusedError) else 4


@dataclass(eq=False)
class PeerNotListedError(RedeError):
    """The tracker lists nobody there; ``port`` is None when only the IP address was given."""

    status = 4
    ip: str
    port: int | None


PortReason = Literal["taken", "tracker", "denied", "address", "other"]


@dataclass(eq=False)
class PortUnavailableError(RedeError):
    """This machine cannot listen on that address; ``reason`` says why."""

    address: Address
    reason: PortReason

    @property
    def status(self) -> int:  # type: ignore[override]
        """Missing privileges are 9; an address or port that cannot be had is bad usage."""
        return 9 if self.reason == "denied" else 2


# Files.

UnsafeKind = Literal["control", "dot", "drive", "empty", "long", "partial", "separator"]
NameFault = Literal["name-character", "name-ending", "name-reserved"]  # kinds of a DiskError
DiskKind = Literal[
    "busy", "changed", "crowded", "denied", "full", "in-use", "large", "link", "link-folder",
    "missing", "name", "name-character", "name-ending", "name-long", "name-reserved", "not-file",
    "not-folder", "not-list", "other", "replaced", "stopped",
]  # fmt: skip
ShareKind = Literal["in-folder", "no-line", "taken", "unlisted"]


@dataclass(eq=False)
class NoSuchFileError(RedeError):
    """None of the peers asked shares that name; ``where`` names them, empty for all peers.

    ``near`` is the name of a file that they do share, or of a peer, and that may be meant.
    """

    status = 5
    name: str
    where: str
    near: str = ""
    or_peer: bool = False  # nobody is called so either, where a peer might be meant


@dataclass(eq=False)
class UnsafeNameError(RedeError):
    """A name that no peer may share or write; ``kind`` says which rule it breaks."""

    status = 5
    name: str
    kind: UnsafeKind


@dataclass(eq=False)
class VerificationError(RedeError):
    """A source sent bytes or hashes that are not the content's."""

    status = 6
    name: str
    source: Address


@dataclass(eq=False)
class IncompleteError(RedeError):
    """A download stopped before its end; ``have`` of ``size`` bytes are verified and kept."""

    status = 7
    name: str
    have: int
    size: int
    cause: RedeError | None  # None where who answers has nothing of the rest


@dataclass(eq=False)
class DiskError(RedeError):
    """The file system refused; ``kind`` says why, ``detail`` is the system's own text."""

    status = 9
    path: str
    kind: DiskKind
    detail: str = ""


@dataclass(eq=False)
class ShareListError(RedeError):
    """The share list cannot be changed as asked; ``kind`` says what is wrong with ``text``.

    ``near`` is a name of the list that may be meant.
    """

    kind: ShareKind
    text: str
    near: str = ""

    @property
    def status(self) -> int:  # type: ignore[override]
        """What is not in the list is "no such file"; everything else is bad usage."""
        return 5 if self.kind == "unlisted" else 2


@dataclass(eq=False)
class PartlyFailedError(RedeError):
    """Some of several files failed; ``first`` is the first failure among them."""

    failed: int
    total: int
    first: RedeError

    @property
    def status(self) -> int:  # type: ignore[override]
        """The exit status of the first failure."""
        return self.first.status


class InterruptedByUserError(RedeError):
    """Ctrl-C."""

    status = 130


class StoppedWaitingError(RedeError):
    """Ctrl-C while the program only waited: what it waited for goes on."""

    status = 130
