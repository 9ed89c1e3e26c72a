"""How a peer begins and ends: its public port, its tracker, its threads."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from queue import Queue

import pytest
from listening import SOON
from processes import beside, eventually, private_port

import Peers
from rede_p2p.cli.manual import ON_WINDOWS
from rede_p2p.cli.options import PeerOptions
from rede_p2p.cli.peer_program import Peer, Story, run_peer
from rede_p2p.errors import Address, ConnectionLostError, PortUnavailableError
from rede_p2p.net import discovery, search
from rede_p2p.net.connection import dial
from rede_p2p.protocol.messages import Listing, Ls

pytest_plugins = ["sessions"]
STORY = Story(Peers.menu, Peers.listening, Peers.connect_to_peer)


@pytest.fixture
def peer(tmp_path, host):
    (tmp_path / "lista.txt").touch()
    chosen = PeerOptions(own_ip=host, share_list=tmp_path / "lista.txt", folder=tmp_path)
    with closing(Peer(chosen, STORY, Queue().put)) as made:
        yield made


def names():
    return {thread.name for thread in threading.enumerate()}


def answers(host, port):
    try:
        with dial(Address(host, port)) as connection:
            return connection.ask(Ls(), Listing) == Listing(0, 0)
    except ConnectionLostError:
        return False


def test_a_port_is_listened_on_once_however_often_it_is_opened(peer, host):
    port = private_port()
    assert peer.open_port(port) and answers(host, port)
    with dial(Address(host, port)) as connection:
        assert peer.open_port(port)
        assert connection.ask(Ls(), Listing) == Listing(0, 0)  # nobody was hung up on
    assert [t.name for t in threading.enumerate()].count("listening") == 1


def test_another_port_takes_the_place_of_the_one_before(peer, host):
    port = private_port()
    assert peer.open_port(port) and peer.open_port(port + 1)
    assert answers(host, port + 1) and not answers(host, port)


def test_a_taken_port_changes_nothing(peer, host):
    port = private_port()
    assert peer.open_port(port)
    with socket.create_server((host, 0)) as taken:
        assert not peer.open_port(taken.getsockname()[1])
    assert answers(host, port)


def test_an_address_of_another_machine_is_told(tmp_path):
    chosen = PeerOptions(own_ip="192.0.2.1", share_list=tmp_path / "lista.txt")
    with (
        closing(Peer(chosen, STORY, Queue().put)) as peer,
        pytest.raises(PortUnavailableError) as caught,
    ):
        peer.open_port(private_port())
    assert caught.value.reason == "address"


def test_closing_hangs_up_on_everyone_and_frees_the_port(peer, host):
    before, port = names(), private_port()
    assert peer.open_port(port)
    with dial(Address(host, port)) as connection:
        assert connection.ask(Ls(), Listing) == Listing(0, 0)
        own = {"listening", str(connection.local)}
        eventually(lambda: names() - before == own)  # who has made the list ends a moment later
        peer.close()
        assert connection.receive_line(SOON) is None
    assert not names() & own
    with socket.create_server((host, port)):
        pass


def test_a_peer_joins_and_leaves_no_thread_behind(rede):
    before = names()

    def menu(session):
        assert session.client.tracker == Address(rede.host, rede.port)
        assert {"tracker client", "listening"} <= names() - before
        assert answers(rede.host, session.client.port)

    assert rede.be(menu).status == 0
    eventually(lambda: names() <= before)  # the tracker's thread for it ends a moment later
    assert not answers(rede.host, 5455)


def test_a_tracker_that_is_not_there_is_told_and_nothing_stays(rede):
    before, rede.port = names(), private_port()
    result = rede.run("peers")
    assert result.status == 3
    assert result.err.startswith(f"não encontrei o tracker em {rede.host}:{rede.port}: ")
    eventually(lambda: names() <= before)  # the tracker's thread for it ends a moment later


def test_a_wrong_address_of_ones_own_is_told_as_such(rede):
    result = rede.run("peers", "--ip", "192.0.2.1")
    assert (result.status, result.err) == (2, "192.0.2.1 não é um endereço desta máquina\n")


@pytest.mark.parametrize("is_taken", [False, True])
def test_where_no_tracker_is_found_one_is_opened_and_closed_at_the_end(rede, monkeypatch, is_taken):
    before = names()
    # All addresses of the machine are listened on: at ports that no other test has.
    monkeypatch.setattr(discovery, "WELL_KNOWN_PORT", private_port())
    monkeypatch.setattr(discovery, "interfaces", list)
    monkeypatch.setattr(search, "interfaces", list)
    well_known = discovery.WELL_KNOWN_PORT
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
    assert err.startswith("nenhum tracker nesta rede: abri um aqui, que fecha com este programa\n")
    assert f" {found[0].port}\n{ON_WINDOWS}\n" in err and "\nse já há um em outra máquina, " in err
    assert f" python3 Peers.py <IP>\nna rede, pelo tracker {found[0]}\n" in err
    eventually(lambda: names() <= before)  # the tracker's thread for it ends a moment later
