"""What travels by UDP fits a datagram, and its question has a verb that no request by TCP has."""

from __future__ import annotations

from rede_p2p.net.discovery import MAX_DATAGRAM_BYTES
from rede_p2p.protocol import codec
from rede_p2p.protocol.datagrams import BY_UDP, LocateTracker, TrackerLocation
from rede_p2p.protocol.verbs import TO_PEER, TO_TRACKER

LONGEST = "x" * 32


def test_the_longest_question_and_answer_fit_a_datagram():
    question = LocateTracker(LONGEST, True, LONGEST)
    answer = TrackerLocation(LONGEST, 65535, 2**31, LONGEST, True)
    for line in (codec.encode_request(question), codec.encode_reply(answer)):
        assert len(line) <= MAX_DATAGRAM_BYTES


def test_its_verb_is_of_no_request_by_tcp():
    assert {verb: kind.verb for verb, kind in BY_UDP.items()} == {"where": "where"}
    assert not {*BY_UDP} & ({*TO_TRACKER} | {*TO_PEER})
