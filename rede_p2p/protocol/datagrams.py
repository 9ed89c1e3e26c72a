"""The two messages that travel by UDP (docs/PROTOCOLO.md)."""

from dataclasses import dataclass
from typing import ClassVar

from rede_p2p.protocol import fields


@dataclass(frozen=True)
class LocateTracker:
    """Your TCP port? ``search``: and your id? ``id`` is of the asker's own tracker."""

    verb: ClassVar[str] = "where"
    nonce: fields.Nonce
    search: fields.Bool = False
    id: fields.TrackerId = ""


@dataclass(frozen=True)
class TrackerLocation:
    """Here is a tracker. A search is told the last three: ``opening``, it may give way yet."""

    nonce: fields.Nonce
    port: fields.Port
    version: fields.Version
    id: fields.TrackerId = ""
    opening: fields.Bool = False
    name: fields.PeerName = ""


BY_UDP: dict[str, type[LocateTracker]] = {LocateTracker.verb: LocateTracker}
