"""The requests of each program."""

from __future__ import annotations

from typing import get_args

import pytest

from rede_p2p.protocol.verbs import TO_PEER, TO_TRACKER, PeerRequest, TrackerRequest, assert_never


def test_every_request_is_found_by_its_verb():
    assert {*get_args(TrackerRequest)} == {*TO_TRACKER.values()}
    assert {*get_args(PeerRequest)} == {*TO_PEER.values()}
    assert all(kind.verb == verb for table in (TO_PEER, TO_TRACKER) for verb, kind in table.items())


def test_a_request_that_nobody_thought_of_is_a_bug():
    with pytest.raises(AssertionError):
        assert_never("what")
