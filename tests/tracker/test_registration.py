"""Where a peer is reached, and in what order peers are listed."""

from __future__ import annotations

import pytest

from rede_p2p.protocol.messages import PeerEntry
from rede_p2p.tracker.registration import Reach, Registration, is_loopback, order

AT = "10.0.0.1"  # by which the asker reached the tracker


@pytest.mark.parametrize(
    ("ip", "here", "by_loopback", "beside", "told"),
    [
        ("10.0.0.7", False, False, False, "10.0.0.7"),
        ("127.0.0.1", False, False, False, AT),
        ("127.0.0.1", False, False, True, AT),
        ("127.0.0.1", False, True, True, "127.0.0.1"),
        ("192.168.0.1", True, False, False, AT),
        ("192.168.0.1", True, False, True, "192.168.0.1"),
        ("::1", False, False, False, AT),
    ],
)
def test_a_peer_on_the_trackers_machine_is_told_as_the_asker_reached_that(
    ip, here, by_loopback, beside, told
):
    peer = Registration(ip, here, 5455, listed=True, name="ana")
    entry = Reach(AT, by_loopback, beside).entry(peer, you=True)
    assert entry == PeerEntry(told, 5455, you=True, name="ana")


def test_addresses_are_sorted_as_numbers_ipv4_first():
    ips = ["2001:db8::1", "10.0.0.10", "9.0.0.1", "10.0.0.9"]
    assert sorted(ips, key=order) == ["9.0.0.1", "10.0.0.9", "10.0.0.10", "2001:db8::1"]


@pytest.mark.parametrize(("ip", "told"), [("127.9.9.9", True), ("::1", True), ("10.0.0.1", False)])
def test_every_address_of_loopback_is_known(ip, told):
    assert is_loopback(ip) == told
