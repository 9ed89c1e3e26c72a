"""Who is in the network, as a tracker told this peer. No state."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from rede_p2p.net.address import is_link_local, is_loopback
from rede_p2p.protocol.messages import PeerEntry


class Roster(NamedTuple):
    """Who is in the network, as the tracker said ``age`` seconds ago.

    0: just now; inf: it has not said yet, and only this peer is known.
    """

    members: tuple[PeerEntry, ...]
    age: float


def reachable(entries: Iterable[PeerEntry], tracker_ip: str) -> list[PeerEntry]:
    """Return the peers that this one can reach, of those that the tracker at ``tracker_ip`` told.

    Loopback addresses that another machine tells would lead back here. A link-local address is in
    the zone in which this peer reached the tracker.
    """
    here, zone = is_loopback(tracker_ip), "".join(tracker_ip.partition("%")[1:])
    return [
        replace(peer, ip=peer.ip + zone) if is_link_local(peer.ip) else peer
        for peer in entries
        if here or not is_loopback(peer.ip)
    ]
