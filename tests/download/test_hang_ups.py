"""Waking the threads that wait for another program."""

from __future__ import annotations

from rede_p2p.download.hang_ups import HangUps


def test_those_inside_their_block_are_hung_up():
    hang_ups, called = HangUps(), []
    with hang_ups.during("a", lambda: called.append("a"), bool):
        with hang_ups.during("b", lambda: called.append("b"), bool):
            hang_ups.call(["b", "c"])
            assert called == ["b"]
            hang_ups.call()
            assert called == ["b", "a", "b"]
        hang_ups.call()
    hang_ups.call()
    assert called == ["b", "a", "b", "a"]


def test_who_comes_after_the_end_is_hung_up_at_once():
    called = []
    with HangUps().during("a", lambda: called.append("a"), lambda: True):
        assert called == ["a"]
