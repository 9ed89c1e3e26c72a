"""Finding the tracker of a machine by one datagram."""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing
from functools import partial
from threading import Thread

import pytest
from processes import beside

from rede_p2p.net import discovery
from rede_p2p.net.discovery import (
    MAX_ANSWERS_PER_ADDRESS_PER_S,
    MAX_ANSWERS_PER_S,
    WELL_KNOWN_PORT,
    AnswerRate,
    Responder,
    find,
)
from rede_p2p.protocol import codec
from rede_p2p.protocol.datagrams import BY_UDP, LocateTracker, TrackerLocation
from rede_p2p.protocol.messages import PROTOCOL_VERSION
from rede_p2p.timeouts import Timeouts

SOON = 10.0  # seconds; a bound on what takes milliseconds
PATIENT = Timeouts(local_discovery_try_s=SOON)  # waits for an answer though this machine be busy

NOISE = [
    b"",
    b"\n",
    b"\x00" * 100,
    b"where\n",
    b"where {}\n",
    b'where {"nonce": 7}\n',
    b'where {"nonce": "' + b"x" * 33 + b'"}\n',
    b'where {"nonce": "' + b"x" * 600 + b'"}\n',
    b"where " + b"[" * 500,
    b"where " + b"[" * 60_000,
    b"peers\n",
    b"ok\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x00\x00\x01\x00\x01",
    b"\xff" * 512,
]


@pytest.fixture
def responder(host):
    with closing(Responder(host, 7001)) as responder:
        yield responder


@pytest.fixture
def asker(host):
    """Return a socket that asks from an address that is not the responder's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(SOON)
        yield sock


def ask(asker, host, nonce):
    asker.sendto(codec.encode_request(LocateTracker(nonce)), (host, WELL_KNOWN_PORT))
    return codec.decode_reply(asker.recv(1000), TrackerLocation)


def test_the_tracker_of_a_machine_is_found(host, responder):
    assert find(host, timeouts=PATIENT) == 7001
    assert find(host, host, PATIENT) == 7001


def test_nobody_answers_for_a_machine_without_a_tracker(host):
    assert find(host) is None


def test_an_address_that_cannot_be_asked_has_no_tracker(host, responder):
    assert find(host, "192.0.2.1", PATIENT) is None
    assert find("::1", host, PATIENT) is None


@pytest.mark.parametrize("noise", NOISE, ids=lambda noise: repr(noise)[:20])
def test_noise_is_not_answered_and_does_no_harm(host, responder, asker, noise):
    asker.sendto(noise, (host, WELL_KNOWN_PORT))
    # Datagrams on one machine stay in order: the first answer is to the question.
    assert ask(asker, host, "n") == TrackerLocation("n", 7001, PROTOCOL_VERSION)


def test_a_question_without_an_address_to_answer_does_no_harm(host, responder, asker):
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    except PermissionError:
        pytest.skip("only an administrator may forge a datagram")
    question = codec.encode_request(LocateTracker("forged"))
    header = (0).to_bytes(2, "big") + WELL_KNOWN_PORT.to_bytes(2, "big")
    header += (8 + len(question)).to_bytes(2, "big") + bytes(2)
    with raw:
        raw.sendto(header + question, (host, 0))  # from port 0, where nobody can be
    assert ask(asker, host, "n") == TrackerLocation("n", 7001, PROTOCOL_VERSION)


def test_each_second_has_so_many_answers_and_one_address_few_of_them():
    now = [0.5]
    rate = AnswerRate(lambda: now[0])
    for _ in range(2):
        now[0] += 1
        asked = [rate.allows("10.0.0.1") for _ in range(1000)]
        assert asked == [number < MAX_ANSWERS_PER_ADDRESS_PER_S for number in range(1000)]
        assert rate.allows("10.0.0.2")
        others = [rate.allows(f"10.1.{n >> 8}.{n & 255}") for n in range(2 * MAX_ANSWERS_PER_S)]
        assert sum(others) == MAX_ANSWERS_PER_S - MAX_ANSWERS_PER_ADDRESS_PER_S - 1


def test_one_that_asks_without_end_is_answered_so_often_and_others_are_too(
    host, asker, monkeypatch
):
    monkeypatch.setattr(discovery, "AnswerRate", partial(AnswerRate, lambda: 7.5))
    with (
        closing(Responder(host, 7001)),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        other.bind((beside(host), 0))
        other.settimeout(SOON)
        for _ in range(MAX_ANSWERS_PER_ADDRESS_PER_S):
            assert ask(asker, host, "n") == TrackerLocation("n", 7001, PROTOCOL_VERSION)
        asker.sendto(codec.encode_request(LocateTracker("n")), (host, WELL_KNOWN_PORT))
        assert ask(other, host, "n") == TrackerLocation("n", 7001, PROTOCOL_VERSION)
    asker.setblocking(False)
    with pytest.raises(BlockingIOError):  # what it asked before the other has been read
        asker.recv(1000)


def test_an_answer_is_no_longer_than_a_few_questions(host, responder, asker):
    nonce = "\x01" * 32  # as long as JSON can make it
    asker.sendto(codec.encode_request(LocateTracker(nonce)), (host, WELL_KNOWN_PORT))
    assert len(asker.recv(1000)) < 2 * len(codec.encode_request(LocateTracker(nonce)))


def test_of_two_trackers_of_one_machine_one_answers_and_when_it_goes_the_other(host):
    hasty = Timeouts(take_over_interval_s=0.01)
    with ExitStack() as stack:
        with closing(Responder(host, 7001, hasty)):
            stack.enter_context(closing(Responder(host, 7002, hasty)))
            while (found := find(host)) is None:  # this machine may be busy
                continue
            assert found == 7001
        while find(host) != 7002:  # it has yet to see that the place is free
            continue


def test_one_that_never_had_its_turn_ends_as_any_other(host, responder):
    with closing(Responder(host, 7002)):
        assert find(host, timeouts=PATIENT) == 7001


def test_who_searches_is_told_which_tracker_this_is_and_that_it_opens(host, asker):
    heard = []

    def opening(tracker_id):
        heard.append(tracker_id)
        return tracker_id == "rival"

    told = {"tracker_id": "me", "opening": opening, "name": "prof-pc"}
    with closing(Responder(host, 7001, **told)) as responder:
        assert responder.answers
        for tracker_id in ("", "rival"):
            question = LocateTracker("n", search=True, id=tracker_id)
            asker.sendto(codec.encode_request(question), (host, WELL_KNOWN_PORT))
            answer = codec.decode_reply(asker.recv(1000), TrackerLocation)
            assert answer == TrackerLocation(
                "n", 7001, PROTOCOL_VERSION, "me", bool(tracker_id), "prof-pc"
            )
        assert ask(asker, host, "n") == TrackerLocation("n", 7001, PROTOCOL_VERSION)
    assert heard == ["", "rival"]


def test_a_closed_one_answers_no_more_and_its_place_is_free(host):
    for port in (7001, 7002):
        with closing(Responder(host, port)):
            assert find(host, timeouts=PATIENT) == port
    assert find(host) is None


def test_a_responder_of_all_addresses_answers_on_each(host, monkeypatch):
    monkeypatch.setattr(discovery, "WELL_KNOWN_PORT", free_udp_port())
    with closing(Responder(None, 7001)):
        assert find(host, timeouts=PATIENT) == 7001
        assert find("127.0.0.1", timeouts=PATIENT) == 7001
        if socket.has_dualstack_ipv6():
            assert find("::1", timeouts=PATIENT) == 7001


def free_udp_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


LIES = [
    lambda nonce: b"",
    lambda nonce: b"\xff" * 100,
    lambda nonce: codec.encode_reply(TrackerLocation("another", 1, PROTOCOL_VERSION)),
    lambda nonce: codec.encode_reply(codec.Refusal("no")),
    lambda nonce: codec.encode_reply(codec.Pending(place=1)),
    lambda nonce: b'ok {"nonce": "%b", "port": 0, "version": 1}\n' % nonce.encode(),
    lambda nonce: b'ok {"nonce": "%b", "port": true, "version": 1}\n' % nonce.encode(),
    lambda nonce: b"ok " + b"[" * 60_000,
]


def test_an_answer_is_known_by_its_nonce_among_lies(host, asker):
    """The answer may come from another address of that machine; lies may come from anywhere."""

    def answer():
        datagram, whom = listening.recvfrom(1000)
        nonce = codec.decode_request(datagram, BY_UDP).nonce
        for lie in LIES:
            listening.sendto(lie(nonce), whom)
        asker.sendto(codec.encode_reply(TrackerLocation(nonce, 7001, PROTOCOL_VERSION)), whom)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind((host, WELL_KNOWN_PORT))
        answering = Thread(target=answer)
        answering.start()
        assert find(host, timeouts=PATIENT) == 7001
        answering.join()


def test_lies_that_never_stop_are_given_up(host):
    def lie():
        while (found := listening.recvfrom(1000))[0] != b"stop":
            for _ in range(200):
                listening.sendto(
                    codec.encode_reply(TrackerLocation("lie", 1, PROTOCOL_VERSION)), found[1]
                )

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind((host, WELL_KNOWN_PORT))
        lying = Thread(target=lie)
        lying.start()
        assert find(host, timeouts=Timeouts(local_discovery_try_s=0.05)) is None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"stop", (host, WELL_KNOWN_PORT))
        lying.join()
