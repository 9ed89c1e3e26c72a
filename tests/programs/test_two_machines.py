"""Two machines, with a cable between them: addresses, transfers, and a machine that vanishes."""

from __future__ import annotations

import re

import pytest
from processes import Machine, machines, network

pytestmark = pytest.mark.skipif(bool(machines()), reason=f"no network of its own: {machines()}")

FIRST, SECOND = "10.77.0.1", "10.77.0.2"
VANISHED = 15.0  # seconds in which the list becomes true again
DATA = bytes(range(256)) * 9000


@pytest.fixture
def two(tmp_path):
    """Give the programs of two machines that a cable joins, and the second machine."""
    folders = tmp_path / "um", tmp_path / "dois"
    for folder in folders:
        folder.mkdir()
    with Machine() as one, Machine(one) as other:
        one.joined_to(other, FIRST, SECOND)
        with (
            network(folders[0], one.prefix) as here,
            network(folders[1], other.prefix) as there,
        ):
            yield here, there, other


def start_peer(programs, *words, files):
    given = ["--arquivos", str(programs.sharing(files)), "--pasta", str(programs.downloads)]
    peer = programs.start("Peers.py", *words, *given)
    return peer, int(peer.says(r"minha porta pública é (\d+)")[1])


def test_a_peer_on_the_trackers_machine_can_be_reached_from_another_one(two):
    here, there, _ = two
    tracker = here.start("Servidor.py", "9999")
    tracker.says("Ctrl-C encerra")
    first, port = start_peer(here, "127.0.0.1", files={"a.bin": DATA})
    second, other_port = start_peer(there, FIRST, files={"b.bin": DATA[::-1]})  # finds port 9999
    second.send("peers", f"ls {FIRST} {port}", f"get {FIRST} a.bin")
    second.prints(rf"^{FIRST}\t{port}\t$")
    second.prints(rf"^{SECOND}\t{other_port}\teste peer$")
    second.prints(r"^a\.bin\t2,2 MiB")
    second.prints("a.bin: baixado e verificado")
    assert (there.downloads / "a.bin").read_bytes() == DATA
    first.send("peers", f"get {SECOND} b.bin")
    first.prints(rf"^{SECOND}\t{other_port}\t$")
    first.prints("b.bin: baixado e verificado")
    assert (here.downloads / "b.bin").read_bytes() == DATA[::-1]
    assert "127.0.0.1" not in second.end().out
    assert first.end().status == 0


def test_a_machine_that_vanishes_leaves_the_list_and_joins_again_when_it_is_back(two):
    here, there, cable = two
    tracker = here.start("Servidor.py", "9450")
    tracker.says("Ctrl-C encerra")
    first, port = start_peer(here, "127.0.0.1", files={})
    second, other_port = start_peer(there, FIRST, "--servir", files={})
    tracker.says(f"entrou {SECOND}:{other_port}")
    cable.ip("link", "set", "wire0", "down")  # no FIN, no RST: nothing comes any more
    tracker.says(f"saiu {SECOND}:{other_port}", within=VANISHED)
    first.send("peers")
    first.prints(rf"Porta.*\n127\.0\.0\.1\t{port}\teste peer\n")
    second.says("não responde: tento de novo sozinho")
    cable.ip("link", "set", "wire0", "up")
    tracker.says(f"entrou {SECOND}:{other_port}")
    second.says(f"voltou; minha porta é {other_port}")
    result = first.end()
    assert result.status == 0 and not re.search(SECOND, result.out)


def test_the_line_to_type_names_the_address_of_a_network_that_leads_nowhere_else(two):
    here, _, _ = two  # there is a cable and no gateway, as in many a lab
    tracker = here.start("Servidor.py", "9999")
    tracker.says("Ctrl-C encerra")
    tracker.prints(rf"python3 Peers\.py {FIRST} 9999")
