"""What the commands act on, and what several of them begin with."""

from __future__ import annotations

from dataclasses import dataclass

from rede_p2p.cli.shell import Command
from rede_p2p.cli.terminal import Terminal
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.download.download import Connect
from rede_p2p.download.transfers import Transfers
from rede_p2p.errors import BadUsageError, PeerNotListedError
from rede_p2p.protocol.messages import PeerEntry
from rede_p2p.tracker.client import TrackerClient
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.share_list import ShareList
from rede_p2p.upload.upload_slots import UploadSlots


@dataclass(frozen=True)
class Session:
    """What the commands act on."""

    screen: Terminal
    membership: TrackerClient
    connect: Connect
    transfers: Transfers
    uploads: UploadSlots
    roots: HashCache
    catalog: ShareList
    holdings: SeedStore


def expect(command: Command, count: int) -> None:
    """Raise BadUsageError unless a command has so many words, and no ``&``."""
    if len(command.words) != count or command.background:
        raise BadUsageError(command.name, " ".join(command.words))


def listed(session: Session, ip: str, port: int | None) -> list[PeerEntry]:
    """Find in the tracker's list who has that IP, and that port if one is given."""
    members = session.membership.roster().members
    found = [m for m in members if m.ip == ip and port in (None, m.port)]
    if not found:
        raise PeerNotListedError(ip, port)
    return found
