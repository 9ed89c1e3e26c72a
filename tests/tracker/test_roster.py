"""Which of the addresses that a tracker tells are of any use here."""

from __future__ import annotations

import pytest

from rede_p2p.protocol.messages import PeerEntry
from rede_p2p.tracker.roster import reachable


@pytest.mark.parametrize(
    ("tracker", "told", "kept"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("10.0.0.1", "127.0.0.1", None),
        ("10.0.0.1", "::1", None),
        ("10.0.0.1", "10.0.0.9", "10.0.0.9"),
        ("10.0.0.1", "fe80::9", "fe80::9"),
        ("fe80::1%eth0", "fe80::9", "fe80::9%eth0"),
        ("fe80::1%eth0", "2001:db8::9", "2001:db8::9"),
        ("fe80::1%eth0", "::1", None),
    ],
)
def test_an_address_is_kept_that_leads_from_here_to_the_peer(tracker, told, kept):
    found = reachable([PeerEntry(told, 5455, name="ana")], tracker)
    assert found == ([PeerEntry(kept, 5455, name="ana")] if kept else [])
