"""Looks at others: each ends within its deadline, whoever is there and whatever it says."""

from __future__ import annotations

from threading import Event
from time import monotonic

import pytest
from lies import ok
from listening import SOON, listen, tracker_at
from processes import Liar

from rede_p2p.cli.probe import MIN_MEASURED_BYTES, hurried, measure, probe, within
from rede_p2p.errors import Address, ConnectionLostError, ProtocolError, RefusedError
from rede_p2p.protocol.messages import Ping, Quit
from rede_p2p.timeouts import Timeouts

QUICK = hurried(Timeouts(probe_peer_s=0.2, rate_s=0.2), 0.5)
ROOT = "0" * 64


def listing(*lines):
    body = b"".join(lines)
    return ok({"bytes": len(body), "count": len(lines)}) + body


def entry(size, name="x"):
    return ok({"name": name, "size": size, "root": ROOT}).removeprefix(b"ok ")


def test_who_answers_is_told_with_its_delay(host):
    with tracker_at(host) as tracker:
        found = probe(tracker.listener.address, Ping(), host, QUICK)
    assert found.error is None and found.connected and 0 < found.seconds < 0.5


def test_why_nobody_does_is_told(host):
    with listen(host) as listener:
        address = listener.address
    found = probe(address, Ping(), None, QUICK)
    assert isinstance(found.error, ConnectionLostError) and found.error.reason == "refused"
    assert not found.connected


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.0 400\r\n", ProtocolError),
        (b"espera\n" * 50, ProtocolError),
        (b'erro {"code": "unknown-verb"}\n', RefusedError),
        (b"x" * 70_000, ProtocolError),
        (b"ok", ConnectionLostError),
    ],
)
def test_another_program_is_told_as_such(host, answer, kind):
    began = monotonic()
    with Liar(host, {"quit": answer}) as liar:
        found = probe(Address(host, liar.port), Quit(), host, QUICK)
    assert found.connected and isinstance(found.error, kind)
    assert monotonic() - began < 5


def test_a_rate_is_measured_with_a_part_of_the_largest_file(host):
    large = 2 * MIN_MEASURED_BYTES
    data = bytes(large - 1)
    answers = {
        "ls": listing(entry(9, "a"), entry(large, "b")),
        "get": ok({"bytes": len(data)}) + data,
    }
    with Liar(host, answers) as liar:
        rate = measure(Address(host, liar.port), host, QUICK)
    assert rate is not None and rate > len(data)


@pytest.mark.parametrize(
    "answers",
    [
        {"ls": listing()},
        {"ls": listing(entry(MIN_MEASURED_BYTES - 1))},
        {"ls": b"espera\n"},
        {"ls": ok({"bytes": 9, "count": 1}) + b"{{{{{{{{\n"},
        {"ls": ok({"bytes": 2**26, "count": 1}) + b"[" * 200_000},
        {"ls": listing(entry(2**40)), "get": b'erro {"code": "unreadable"}\n'},
        {"ls": listing(entry(2**40)), "get": b'espera {"place": 1}\n'},
        {"ls": listing(entry(2**40)), "get": ok({"bytes": 2**40})},
    ],
    ids=lambda answers: str(answers)[:60],
)
def test_no_rate_is_told_where_none_can_be_measured(host, answers):
    began = monotonic()
    with Liar(host, answers) as liar:
        assert measure(Address(host, liar.port), host, QUICK) is None
    assert monotonic() - began < 5


def test_who_sends_without_end_is_measured_for_a_moment(host):
    began = monotonic()
    answers = {"ls": listing(entry(2**40)), "get": ok({"bytes": 2**40}) + bytes(3_000_000)}
    with Liar(host, answers) as liar:
        assert measure(Address(host, liar.port), host, QUICK) > 0
    assert monotonic() - began < 5


def test_a_look_that_never_ends_is_left():
    gate = Event()
    assert within(0.05, lambda: gate.wait(SOON), False) is False
    gate.set()
    assert within(SOON, lambda: "found", "") == "found"
