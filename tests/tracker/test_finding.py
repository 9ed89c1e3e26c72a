"""Finding the tracker of the network, or opening one, with the network's answers made up."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest
from listening import tracker_at
from processes import private_port

import Servidor
from rede_p2p.cli import texts
from rede_p2p.errors import Address, PortUnavailableError
from rede_p2p.net import discovery
from rede_p2p.net.discovery import LOCAL
from rede_p2p.net.search import Found
from rede_p2p.timeouts import Timeouts
from rede_p2p.tracker import finding
from rede_p2p.tracker.finding import Finder
from rede_p2p.tracker.registry import FIRST_PORT
from rede_p2p.tracker.service import Tracker

QUICK = Timeouts(
    local_discovery_try_s=1.0, search_s=0.05, search_interval_s=0.01, max_opening_s=0.5
)
THERE, BEYOND = Address("10.0.0.1", 9450), Address("10.0.0.2", 9450)
LOWER, HIGHER = "!", "~"  # than any id


@pytest.fixture(autouse=True)
def ports(monkeypatch):
    """Listen on ports that no other test has, and on the network of this machine alone."""
    monkeypatch.setattr(discovery, "WELL_KNOWN_PORT", private_port())
    monkeypatch.setattr(discovery, "interfaces", list)


class Network:
    """What each search finds, the last time and again ever after; and who asked."""

    def __init__(self, *found: list[Found]) -> None:
        self.found, self.askers = list(found), []

    def search(self, _source, own_id, _timeouts):
        self.askers.append(own_id)
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]


@pytest.fixture
def finds(monkeypatch):
    """Give a function that finds or opens while the network answers so."""
    with ExitStack() as stack:

        def run(*found, source=None, avoid=(), open_tracker=None, timeouts=QUICK):
            network = Network(*found)
            monkeypatch.setattr(finding, "search", network.search)
            result = Finder(open_tracker or opened, source, timeouts).run(stack, avoid)
            return [one.address for one in result] if isinstance(result, list) else result, network

        yield run


def opened(port):
    return Tracker(
        None, port, FIRST_PORT, Servidor.start, lambda _: None, texts.refusal, QUICK, opening=True
    )


def is_free():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", discovery.WELL_KNOWN_PORT))
    with socket.create_server(("", discovery.WELL_KNOWN_PORT)):
        return True


def test_where_nobody_answers_one_is_opened_on_the_well_known_port(finds):
    tracker, network = finds([])
    assert tracker.port == discovery.WELL_KNOWN_PORT
    assert network.askers == [tracker.election.id]
    found = discovery.locate(LOCAL, timeouts=QUICK, search=True)
    assert (found.id, found.opening) == (tracker.election.id, False)


@pytest.mark.parametrize("found", [[THERE], [THERE, BEYOND]])
def test_trackers_of_the_network_are_told_and_none_stays_open_here(finds, found):
    assert finds([Found(one, "", False) for one in found])[0] == found
    assert is_free()


def test_the_tracker_of_this_machine_comes_first(finds):
    with tracker_at(None) as tracker:
        found, network = finds([Found(THERE, "a", False)])
        assert found == [Address(LOCAL, tracker.port)]
        assert network.askers == []


def test_one_with_a_lower_id_that_opens_too_is_waited_for_until_it_is_open(finds):
    rival = Found(THERE, LOWER, True)
    found, network = finds([rival], [rival], [Found(THERE, LOWER, False)])
    assert found == [THERE] and network.askers[1:] == ["", ""]
    assert is_free()


def test_one_with_a_higher_id_gives_way_to_this_one(finds):
    tracker, network = finds([Found(THERE, HIGHER, True)], [])
    assert tracker.port == discovery.WELL_KNOWN_PORT
    assert len(network.askers) > 1 and set(network.askers) == {tracker.election.id}


def test_where_the_one_with_the_lower_id_goes_too_this_machine_tries_again(finds):
    rival = Found(THERE, LOWER, True)
    tracker, network = finds([rival], [rival], [])
    assert tracker.port == discovery.WELL_KNOWN_PORT
    assert network.askers[-1] == tracker.election.id != network.askers[0]


def test_a_liar_that_opens_for_ever_is_waited_for_no_longer_than_so(finds):
    tracker, _ = finds([Found(THERE, LOWER, True)])
    assert tracker.port == discovery.WELL_KNOWN_PORT


def test_what_could_not_be_joined_is_not_found_again(finds):
    assert finds([Found(THERE, "a", False), Found(BEYOND, "b", False)], avoid={THERE})[0] == [
        BEYOND
    ]
    assert isinstance(finds([Found(THERE, "a", False)], avoid={THERE})[0], Tracker)


def test_a_peer_of_one_loopback_address_searches_no_network(finds):
    tracker, network = finds([Found(THERE, "a", False)], source="127.0.0.7")
    assert tracker.port == discovery.WELL_KNOWN_PORT and network.askers == []


def test_a_program_that_has_the_port_is_tried_as_a_tracker_and_then_avoided(finds):
    well_known = Address(LOCAL, discovery.WELL_KNOWN_PORT)
    with socket.create_server(("", well_known.port)):
        assert finds([])[0] == [well_known]
        tracker, _ = finds([], avoid={well_known})
        assert tracker.port not in (0, well_known.port)


def test_where_a_program_that_never_answers_has_the_udp_port_one_is_opened_all_the_same(finds):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("", discovery.WELL_KNOWN_PORT))
        quick = QUICK._replace(local_discovery_try_s=0.01)
        assert discovery.locate(LOCAL, timeouts=quick, search=True) is None
        tracker, _ = finds([], timeouts=quick)
        assert tracker.port == discovery.WELL_KNOWN_PORT and not tracker.answers


def test_a_port_that_cannot_be_had_at_all_is_told(finds):
    def refuse(port):
        raise PortUnavailableError(Address("0.0.0.0", port), "denied")

    with pytest.raises(PortUnavailableError):
        finds([], open_tracker=refuse)


def test_one_that_opens_on_this_machine_is_waited_for(finds):
    with opened(0) as other:
        real = discovery.locate

        def locate(ip, **options):
            answer = real(ip, **options)
            other.election.open()
            return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(discovery, "locate", locate)
            assert finds([])[0] == [Address(LOCAL, other.port)]
