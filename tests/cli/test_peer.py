"""What the threads of a peer share: its public port, and who is heard on it."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from queue import Queue

import pytest
from listening import SOON, answers, names
from processes import eventually, private_port

import Peers
from rede_p2p.cli.options import PeerOptions
from rede_p2p.cli.peer import Peer, Story
from rede_p2p.errors import Address, PortUnavailableError
from rede_p2p.net.connection import dial
from rede_p2p.protocol.messages import Listing, Ls

STORY = Story(Peers.menu, Peers.listening, Peers.connect_to_peer)


@pytest.fixture
def peer(tmp_path, host):
    (tmp_path / "lista.txt").touch()
    chosen = PeerOptions(own_ip=host, share_list=tmp_path / "lista.txt", folder=tmp_path)
    with closing(Peer(chosen, STORY, Queue().put)) as made:
        yield made


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
