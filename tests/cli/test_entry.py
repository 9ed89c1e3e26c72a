"""The tracker that a peer joins: the one it is told, or one that it opens."""

from __future__ import annotations

import socket
from contextlib import ExitStack

import pytest
from listening import names
from processes import beside, eventually, private_port

import Peers
from rede_p2p.cli.manual import ON_WINDOWS
from rede_p2p.cli.peer import Story
from rede_p2p.cli.peer_program import run_peer
from rede_p2p.net import discovery, search
from rede_p2p.net.connection import dial
from rede_p2p.protocol.messages import PROTOCOL_VERSION, Join, Ok, PortOffer, Ready

pytest_plugins = ["sessions"]


def test_a_tracker_that_is_not_there_is_told_and_nothing_stays(rede):
    before, rede.port = names(), private_port()
    result = rede.run("peers")
    assert result.status == 3
    assert result.err.startswith(f"não encontrei o tracker em {rede.host}:{rede.port}: ")
    eventually(lambda: names() <= before)  # the tracker's thread for it ends a moment later


def test_a_wrong_address_of_ones_own_is_told_as_such(rede):
    result = rede.run("peers", "--ip", "192.0.2.1")
    assert (result.status, result.err) == (2, "192.0.2.1 não é um endereço desta máquina\n")


@pytest.fixture
def well_known(monkeypatch):
    """Have no network to search, and all addresses listened on at a port that no test has."""
    monkeypatch.setattr(discovery, "WELL_KNOWN_PORT", private_port())
    monkeypatch.setattr(discovery, "interfaces", list)
    monkeypatch.setattr(search, "interfaces", list)
    return discovery.WELL_KNOWN_PORT


@pytest.mark.parametrize("is_taken", [False, True])
def test_where_no_tracker_is_found_one_is_opened_and_closed_at_the_end(rede, well_known, is_taken):
    before = names()
    with socket.create_server((beside(rede.host), well_known if is_taken else 0)):
        story = Story(
            lambda session, *_: found.append(session.client.tracker) or 0,
            Peers.listening,
            Peers.connect_to_peer,
        )
        found = []
        assert run_peer(rede.words(), story) == 0
        assert found[0].ip == "127.0.0.1" and (found[0].port == well_known) is not is_taken
    err = rede.capsys.readouterr().err
    assert "fechou" not in err
    assert err.startswith("nenhum tracker nesta rede: abri um aqui, que fecha com este programa\n")
    assert f" {found[0].port}\n{ON_WINDOWS}\n" in err and "\nse já há um em outra máquina, " in err
    assert f" python3 Peers.py <IP>\nna rede, pelo tracker {found[0]}\n" in err
    eventually(lambda: names() <= before)  # the tracker's thread for it ends a moment later


@pytest.mark.usefixtures("well_known")
def test_who_takes_the_tracker_away_is_told_who_stays(rede):
    def menu(session, *_):
        other = stack.enter_context(dial(session.client.tracker))
        offer = other.ask(Join(PROTOCOL_VERSION), PortOffer)
        other.ask(Ready(offer.port), Ok)
        return 0

    with ExitStack() as stack:
        assert run_peer(rede.words(), Story(menu, Peers.listening, Peers.connect_to_peer)) == 0
    told = "o tracker desta rede fechou com este programa: 1 peer que ficou entra de novo com "
    assert f"{told}python3 Peers.py\n" in rede.capsys.readouterr().err
