"""What the commands act on, and how several of them begin."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from rede_p2p.cli import texts
from rede_p2p.cli.shell import Command
from rede_p2p.cli.terminal import Terminal
from rede_p2p.download.request import DownloadContext
from rede_p2p.download.transfers import Transfers
from rede_p2p.errors import (
    Address,
    BadUsageError,
    InterruptedByUserError,
    PeerNotListedError,
    RedeError,
    UsageKind,
)
from rede_p2p.events import InternalError, Preparing
from rede_p2p.net.address import is_loopback
from rede_p2p.net.connection import OnPending
from rede_p2p.protocol.codec import Pending
from rede_p2p.tracker.client import TrackerClient
from rede_p2p.upload.share_list import ShareList
from rede_p2p.upload.upload_slots import UploadSlots


@dataclass(frozen=True)
class Session:
    """What the commands act on. Owner: ``peer_program``, which ends each part."""

    terminal: Terminal
    client: TrackerClient
    context: DownloadContext
    transfers: Transfers
    shares: ShareList
    slots: UploadSlots
    own_ip: str | None = None  # the only address of this machine to use
    rows: list[Address] = field(default_factory=list)  # of the last table of peers


def as_error(found: BaseException) -> RedeError | InternalError:
    """Return what a command has raised as an error that can be told; a bug is one, too."""
    if isinstance(found, KeyboardInterrupt):
        return InterruptedByUserError()
    return found if isinstance(found, RedeError) else InternalError(found)


def expect(command: Command, count: int, kind: UsageKind) -> None:
    """Raise BadUsageError of that kind unless a command has ``count`` words and no ``&``."""
    if len(command.words) != count or command.background:
        raise BadUsageError(kind, " ".join(command.words))


def listed(session: Session, ips: Sequence[str], port: int | None) -> list[list[Address]]:
    """Return where other peers with one of the IPs listen, and where this one does.

    The zone of a link-local IP may be left out. A loopback IP means this machine also where the
    tracker, on another one, lists it by another IP. A ``port`` that is not None selects the peer on
    it. Raises PeerNotListedError where the tracker lists nobody.
    """
    members = session.client.roster().members
    at = [m for m in members if {m.ip, m.ip.partition("%")[0]} & {*ips}]
    if not at and is_loopback(ips[0]):
        here = {m.ip for m in members if m.you}
        at = [m for m in members if m.ip in here]
    found = [m for m in at if port in (None, m.port)]
    if not found:
        raise PeerNotListedError(ips[0], port)
    return [[Address(m.ip, m.port) for m in found if m.you is own] for own in (False, True)]


def reporter(session: Session) -> OnPending:
    """Return a function that shows what a peer is busy with: its list, or each tenth of a hash.

    Nothing is shown twice, whatever a peer says, or several that say different things.
    """
    shown, reading = (-1, False), False

    def report(pending: Pending) -> None:
        nonlocal shown, reading
        done = min(pending.done, pending.size)
        step = (10 * done // max(pending.size, 1), pending.size > 0)
        if pending.files:
            if not reading:
                session.terminal.note(texts.READING)
            reading = True
        elif step > shown:
            shown = step
            session.terminal.post(Preparing(done, pending.size))
            session.terminal.show_events()

    return report
