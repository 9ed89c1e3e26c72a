"""The list that is kept sorted and encoded: the same as one that is made anew."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import PeerEntry
from rede_p2p.tracker.peer_list import PeerList
from rede_p2p.tracker.registration import Reach, Registration, order

REACHES = [Reach("10.0.0.1", False, False), Reach("127.0.0.1", True, True)]
IPS = ["127.0.0.1", "10.0.0.1", "10.0.0.9", "10.0.0.10", "2001:db8::1"]


def anew(reach, peers, asker):
    entries = [reach.entry(peer, you=peer is asker) for peer in peers]
    return sorted(entries, key=lambda entry: (order(entry.ip), entry.port))


@pytest.mark.parametrize("reach", REACHES)
@given(moves=st.lists(st.tuples(st.sampled_from(IPS), st.booleans(), st.integers(0, 9))))
@settings(max_examples=60, deadline=None)
def test_it_is_what_one_made_anew_would_be(reach, moves):
    peers, kept, asker = [], PeerList(reach), Registration("10.0.0.9")
    for number, (ip, here, leaver) in enumerate(moves):
        peer = Registration(ip, here, 5455 + number, listed=True, name=f"pc{number}")
        peers.append(peer)
        kept.add(peer)
        if leaver < len(peers) - 1:
            kept.remove(peers.pop(leaver))
        for one in (asker, peer):
            lines = kept.lines(one)
            found = codec.decode_lines(b"".join(lines), PeerEntry, len(lines))
            assert found == anew(reach, peers, one)
