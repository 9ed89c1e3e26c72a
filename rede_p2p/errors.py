"""Every error raised on purpose.

Each one carries data, never prose: what a person reads is written by ``screens`` from these fields.
``status`` is the exit status of the program that ends because of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple


class Address(NamedTuple):
    """Where somebody listens: a literal IP address and a TCP port."""

    ip: str
    port: int

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class RedeError(Exception):
    """The root of all of them."""

    status: ClassVar[int] = 1


# What the person typed.


@dataclass(eq=False)
class BadUsageError(RedeError):
    """A command or an option with the wrong words; ``kind`` names what is wrong with ``text``."""

    status = 2
    kind: str
    text: str = ""


@dataclass(eq=False)
class UnknownCommandError(RedeError):
    """A command that does not exist; ``suggestion`` is the nearest one, or empty."""

    status = 2
    word: str
    suggestion: str


@dataclass(eq=False)
class AmbiguousNameError(RedeError):
    """Several peers share different contents under one name."""

    status = 2
    name: str
    choices: tuple[Address, ...]


# What the other side did. The first group knows no address: whoever dialled adds it.


@dataclass(eq=False)
class ProtocolError(RedeError):
    """The other side broke the rules of the wire; ``kind`` is a stable word, ``detail`` a field."""

    status = 4
    kind: str
    detail: str = ""


@dataclass(eq=False)
class ConnectionLostError(RedeError):
    """The connection ended, could not be made, or made no progress; ``reason`` says which."""

    status = 4
    reason: str


@dataclass(eq=False)
class RefusedError(RedeError):
    """The other side answered ``erro``: a stable code, and a sentence that is foreign text."""

    code: str
    message: str = ""

    @property
    def status(self) -> int:  # type: ignore[override]
        """A refusal about a file is 'no such file'; any other is about the peer."""
        return 5 if self.code in ("no-such-file", "not-here") else 4


@dataclass(eq=False)
class TrackerUnreachableError(RedeError):
    """No tracker answers there; ``cause`` is the error that said so."""

    status = 3
    address: Address
    cause: RedeError


@dataclass(eq=False)
class PeerUnreachableError(RedeError):
    """A peer of the list does not answer as one; ``cause`` is the error that said so."""

    address: Address
    cause: RedeError

    @property
    def status(self) -> int:  # type: ignore[override]
        """A missing file stays one; everything else is 'peer unreachable'."""
        return self.cause.status if isinstance(self.cause, RefusedError) else 4


@dataclass(eq=False)
class PeerNotListedError(RedeError):
    """The tracker lists nobody under that address; ``port`` is None when only the IP was given."""

    status = 4
    ip: str
    port: int | None


@dataclass(eq=False)
class PortUnavailableError(RedeError):
    """This machine cannot listen on that address; ``reason`` is taken, denied, address or other."""

    address: Address
    reason: str

    @property
    def status(self) -> int:  # type: ignore[override]
        """Privileges are status 9; an address or a port that cannot be had is bad usage."""
        return 9 if self.reason == "denied" else 2


# Files.


@dataclass(eq=False)
class NoSuchFileError(RedeError):
    """None of the peers asked shares that name."""

    status = 5
    name: str
    where: str


@dataclass(eq=False)
class UnsafeNameError(RedeError):
    """A name that no peer may share or write; ``kind`` says which rule it breaks."""

    status = 5
    name: str
    kind: str


@dataclass(eq=False)
class VerificationError(RedeError):
    """A source sent bytes or hashes that are not the content's."""

    status = 6
    name: str
    source: Address


@dataclass(eq=False)
class IncompleteError(RedeError):
    """A download ended before its end; ``have`` of ``size`` bytes are verified and kept."""

    status = 7
    name: str
    have: int
    size: int
    cause: RedeError


@dataclass(eq=False)
class DiskError(RedeError):
    """The disk refused; ``kind`` is denied, full, busy or other; ``detail`` the OS's word."""

    status = 9
    path: str
    kind: str
    detail: str = ""


@dataclass(eq=False)
class PartlyFailedError(RedeError):
    """Some of several files could not be had; ``first`` is the first failure among them."""

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
    """Ctrl-C while somebody only waited: what was waited for goes on."""

    status = 130
