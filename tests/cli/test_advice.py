"""What was found → the cause and the advice: the first trouble on the path explains the others."""

from __future__ import annotations

import os
from typing import get_args

import pytest

from rede_p2p.cli import advice
from rede_p2p.cli.advice import Cause, Facts, advise, cause_of, lines_to_open, status_of
from rede_p2p.cli.probe import Probe
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    DiskError,
    ProtocolError,
    RefusedError,
    SeveralTrackersError,
    TrackerUnreachableError,
)
from rede_p2p.net.address import OwnAddress

OWN = [OwnAddress("10.0.0.1", "eth0", ""), OwnAddress("172.17.0.1", "docker0", "container")]
VPN = OwnAddress("10.8.0.2", "wg0", "vpn")
TRACKER = Address("10.0.0.2", 9450)
HERE = Address("10.0.0.1", 9450)
OTHERS = [Address("10.0.0.3", 5455), Address("10.0.0.4", 5455)]
GOOD = Probe(None, True, 0.001)


def lost(reason, *, connected=False, after=0.01):
    return Probe(ConnectionLostError(reason), connected, after)


def told(error):
    return Probe(error, True, 0.01)


def facts(**found):
    """Return what is found where all is well, but for this."""
    usual = {"own": OWN, "way": OWN[0], "tracker": TRACKER, "tracked": GOOD}
    joined = {"listed": Address("10.0.0.1", 5455), "reached": "", "free": 2**40}
    return Facts(**{**usual, **joined, **found})


def away(probe, **found):
    """Return what is found where the tracker does not answer."""
    return facts(tracked=probe, listed=None, reached=None, **found)


CASES: list[tuple[Cause, Facts]] = [
    ("", facts()),
    ("", facts(peers=[(OTHERS[0], GOOD)], others=1)),
    ("", facts(reached=None)),
    ("", facts(reached="a-reason-of-tomorrow")),
    ("", facts(own=[], listed=None)),  # only link-local addresses, on a cable alone
    ("", facts(tracker=HERE, others=1)),
    ("no-network", away(None, own=[], way=None)),
    ("no-network", away(lost("unreachable"), own=[])),
    ("no-network", facts(own=[], tracker=Address("127.0.0.1", 9450))),
    ("no-route", away(None, way=None)),
    ("wrong-port", away(lost("refused"), by_udp=9600)),
    ("wrong-port", away(lost("silent"), by_udp=9600)),
    ("wrong-port", away(told(ProtocolError("stranger")), by_udp=9600)),
    # On a machine without any network, too: the answer by UDP has come.
    ("wrong-port", away(lost("refused"), own=[], tracker=Address("127.0.0.1", 1), by_udp=9450)),
    ("peer", away(told(RefusedError("unknown-verb")))),
    ("join", away(told(RefusedError("full")), error=RefusedError("full"))),
    ("mute", away(lost("silent", connected=True))),
    ("other-program", away(lost("lost", connected=True))),
    ("other-program", away(told(ProtocolError("stranger")))),
    ("here", away(lost("refused"), tracker=HERE)),
    ("here", away(lost("refused"), tracker=Address("127.0.0.1", 9450))),
    ("address", away(lost("address"), source="192.0.2.7")),
    ("tracker-down", away(lost("refused"))),
    ("rejected", away(lost("refused"), by_udp=9450)),
    ("rejected", away(lost("unreachable"))),
    ("rejected", away(lost("unreachable", after=3.1), neighbour=True)),
    ("vpn", away(lost("silent"), way=VPN)),
    ("vpn", away(lost("unreachable"), way=VPN)),
    ("gone", away(lost("unreachable", after=3.1))),
    ("gone", away(lost("unreachable", after=0.2), neighbour=False)),
    ("gone", away(lost("silent", after=3.5), neighbour=False)),
    ("dropped", away(lost("silent"), neighbour=True)),
    ("dropped", away(lost("silent"), by_udp=9450)),
    ("silent", away(lost("silent"))),
    ("silent", away(lost("lost"))),
    ("join", facts(tracker=None, tracked=None, error=SeveralTrackersError((TRACKER, HERE)))),
    ("join", facts(error=TrackerUnreachableError(TRACKER, RefusedError("version")))),
    ("nat", facts(listed=Address("10.0.0.77", 5455), reached="silent")),
    ("port-dropped", facts(reached="silent")),
    ("port-rejected", facts(reached="refused")),
    ("port-rejected", facts(reached="unreachable")),
    ("port-other", facts(reached="stranger")),
    ("peer-blocked", facts(peers=[(OTHERS[0], lost("silent"))], others=1)),
    ("peer-blocked", facts(peers=[(OTHERS[0], GOOD), (OTHERS[1], lost("silent"))], others=2)),
    ("peers-blocked", facts(peers=[(one, lost("silent")) for one in OTHERS], others=2)),
    ("full-disk", facts(free=10)),
    ("full-disk", facts(disk=DiskError("/x", "full"))),
    ("disk", facts(disk=DiskError("/x", "denied"))),
    ("clock", facts(is_late=True)),
    ("alone", facts(tracker=HERE)),
]


def test_every_cause_has_a_case():
    assert {cause for cause, _ in CASES} == {*get_args(Cause)} == {*advice._ADVICE}


@pytest.mark.parametrize(("cause", "found"), CASES, ids=[cause or "well" for cause, _ in CASES])
def test_a_cause_is_named_and_told_in_one_sentence(cause, found):
    assert cause_of(found) == cause
    told = advise(cause, found, "PEERS", "SERVER")
    assert told and "\n" not in told and not {"{", "}", "?:0", "None"} & {*told.split()}
    assert "{" not in told and ". " not in told.replace("(Wi-Fi de visitantes?)", "")
    lines = lines_to_open(cause, found)
    assert ("como acima" in told) == bool(lines)


@pytest.mark.parametrize(
    ("cause", "ports"),
    [("dropped", "9450"), ("peer-blocked", "5455:5555"), ("port-dropped", "5455:5555")],
)
def test_the_line_to_type_opens_the_port_that_is_closed(cause, ports):
    for _, line in lines_to_open(cause, facts(reached="silent")):
        assert ports in line or ports.replace(":", "-") in line


def test_a_port_beyond_the_usual_ones_is_opened_alone():
    found = facts(listed=Address("10.0.0.1", 7001), reached="silent")
    assert [line.split()[-1] for _, line in lines_to_open("port-dropped", found)] == (
        ["localport=7001"] if os.name == "nt" else ["7001/tcp", "--add-port=7001/tcp"]
    )


@pytest.mark.parametrize(
    ("cause", "status"),
    [("", 0), ("alone", 0), ("tracker-down", 3), ("no-route", 3), ("no-network", 1), ("nat", 1),
     ("port-dropped", 1), ("peer-blocked", 4), ("peers-blocked", 4), ("full-disk", 9), ("disk", 9)],
)  # fmt: skip
def test_the_status_is_that_of_the_error_it_would_be(cause, status):
    assert status_of(cause, facts()) == status


def test_of_a_network_that_is_not_joined_it_is_that_of_the_error():
    assert status_of("join", facts(error=SeveralTrackersError(()))) == 3
    assert status_of("join", facts(error=DiskError("/x", "denied"))) == 9
