"""Two machines, with a cable between them: addresses, transfers, and a machine that vanishes."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from processes import Machine, eventually, machines, network

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
            here.machine = one
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
    second.prints(rf"^{FIRST}\t{port}\t\t")
    second.prints(rf"^{SECOND}\t{other_port}\teste peer\t")
    second.prints(r"^a\.bin\t2,2 MiB")
    second.prints("a.bin: baixado e verificado")
    assert (there.downloads / "a.bin").read_bytes() == DATA
    first.send("peers", f"get {SECOND} b.bin")
    first.prints(rf"^{SECOND}\t{other_port}\t\t")
    first.prints("b.bin: baixado e verificado")
    assert (here.downloads / "b.bin").read_bytes() == DATA[::-1]
    assert "127.0.0.1" not in second.end().out
    assert first.end().status == 0


@pytest.mark.slow
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
    first.prints(rf"Porta.*\n127\.0\.0\.1\t{port}\teste peer\t1\n")
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


@pytest.mark.parametrize("way_out", [None, "wg0", "docker0"])
def test_the_address_of_the_cable_is_told_first_and_the_others_with_what_they_seem(two, way_out):
    here, _, _ = two
    machine = here.machine
    for name, ip in (("docker0", "172.17.0.1"), ("wg0", "10.9.0.2"), ("enp9s0", "10.78.0.1")):
        machine.ip("link", "add", name, "type", "veth", "peer", "name", f"{name}x")
        machine.has(ip, name)
    if way_out:
        machine.ip("route", "add", "default", "dev", way_out)
    tracker = here.start("Servidor.py", "9999")
    tracker.says("Ctrl-C encerra")
    tracker.prints(rf"^    python3 Peers\.py ({FIRST}|10\.78\.0\.1) 9999\n")
    tracker.prints(r"9999   \((wire0|enp9s0)\)$")
    docker = "    python3 Peers.py 172.17.0.1 9999   (docker0, parece ser do docker)"
    vpn = "    python3 Peers.py 10.9.0.2 9999   (wg0, parece ser de uma VPN)"
    assert set(tracker.prints(r"\n(.*\n.*)\n")[1].split("\n")) == {docker, vpn}


# IPv6, and a machine on two networks.


@pytest.fixture
def apart(tmp_path):
    """Give the programs of three machines: the first has a cable to each of the others."""
    folders = [tmp_path / name for name in ("um", "dois", "tres")]
    for folder in folders:
        folder.mkdir()
    with Machine() as one, Machine(one) as two, Machine(one) as three:
        one.joined_to(two, FIRST, SECOND)
        one.joined_to(three, "10.78.0.1", "10.78.0.3", "wire1")
        with (
            network(folders[0], one.prefix) as here,
            network(folders[1], two.prefix) as there,
            network(folders[2], three.prefix) as elsewhere,
        ):
            yield here, there, elsewhere


BROWSE = "import sys, urllib.request as u; sys.stdout.buffer.write(u.urlopen(sys.argv[1]).read())"


def browse(programs, url):
    """Return what a browser of that machine gets."""
    command = [*programs.prefix, sys.executable, "-c", BROWSE, url]
    return subprocess.run(command, env={}, check=True, capture_output=True).stdout


@pytest.mark.parametrize("by", ["127.0.0.1", FIRST])
def test_a_browser_is_sent_to_where_it_can_reach_a_peer_of_the_trackers_machine(apart, by):
    here, there, elsewhere = apart
    here.start("Servidor.py", "9999").says("Ctrl-C encerra")
    _, port = start_peer(here, by, "9999", files={"ç 1.bin": DATA})
    for programs, at in ((there, FIRST), (elsewhere, "10.78.0.1"), (here, FIRST)):
        place = f"http://{at}:9999/"
        eventually(lambda place=place, on=programs: b"1.bin" in browse(on, place))
        page = browse(programs, place).decode()
        (link,) = re.findall(r'href="(http:[^"]+/%C3%A7%201\.bin)"', page)
        assert link.startswith(f"http://{at}:{port}/")
        assert browse(programs, link) == DATA
        assert f"python3 Peers.py {at} 9999" in page


@pytest.mark.slow
@pytest.mark.parametrize("by", ["127.0.0.1", FIRST, "10.78.0.1"])
def test_a_peer_on_the_trackers_machine_is_reached_from_each_of_its_two_networks(apart, by):
    here, there, elsewhere = apart
    tracker = here.start("Servidor.py", "9999")
    tracker.says("Ctrl-C encerra")
    own, port = start_peer(here, by, "9999", files={"a.bin": DATA})
    asks = ("Peers.py", by, "9999", "--json", "-c", "buscar a.bin")
    eventually(lambda: here.start(*asks).end().out)  # it is announced
    for programs, reached_at in ((there, FIRST), (elsewhere, "10.78.0.1")):
        peer, _ = start_peer(programs, reached_at, "9999", files={})
        peer.send("peers", f"ls {reached_at} {port}", f"get {reached_at} a.bin", "get a.bin")
        peer.prints(rf"^{reached_at}\t{port}\t\t")
        peer.prints(r"^a\.bin\t2,2 MiB")
        peer.prints("a.bin: baixado e verificado")
        assert (programs.downloads / "a.bin").read_bytes() == DATA
        assert peer.end().status == 0
    beside, _ = start_peer(here, "127.0.0.1", "9999", files={})
    beside.send(f"get {by} {port} a.bin")
    beside.prints("a.bin: baixado e verificado")
    own.send("peers")
    own.prints(rf"{port}\teste peer")


def test_a_link_local_address_of_the_tracker_has_its_zone_wherever_it_is_typed(tmp_path):
    first, second = "fe80::77:1", "fe80::77:2"
    folders = tmp_path / "um", tmp_path / "dois"
    for folder in folders:
        folder.mkdir()
    with Machine() as one, Machine(one) as other:
        one.joined_to(other, first, second)
        with (
            network(folders[0], one.prefix) as here,
            network(folders[1], other.prefix) as there,
        ):
            tracker = here.start("Servidor.py", "9600")
            tracker.says("Ctrl-C encerra")
            _, port = start_peer(here, "[::1]:9600", files={"a.bin": DATA})
            zoned = f"{first}%wire0"
            asks = ("Peers.py", "[::1]:9600", "--json", "-c", "buscar a.bin")
            eventually(lambda: here.start(*asks).end().out)  # it is announced
            for typed in (zoned, f"[{zoned}]:9600"):  # the first asks for the port by UDP
                peer, own = start_peer(there, typed, files={"b.bin": DATA[::-1]})
                peer.send(
                    "peers", f"ls {zoned} {port}", f"ls [{zoned}]:{port}", f"ls {first} {port}"
                )
                # The system may prefer the address that it gave to the cable by itself.
                peer.prints(rf"^{zoned}\t{port}\t\t1\nfe80::[0-9a-f:]+%wire0\t{own}\teste peer\t")
                for _ in range(3):
                    peer.prints(r"^a\.bin\t2,2 MiB")
                peer.send(f"get {zoned} a.bin", f"get [{zoned}]:{port} a.bin", "get a.bin")
                peer.prints("a.bin: baixado e verificado|já estava")
                for _ in range(2):
                    peer.prints("já estava")
                assert (there.downloads / "a.bin").read_bytes() == DATA
                assert peer.end().status == 0
            start_peer(there, zoned, "--ip", f"{second}%wire0", files={"c": b"c"})
            third, _ = start_peer(there, zoned, files={})
            third.send(f"get {second} c")
            third.prints("c: baixado e verificado")
            words = ["Peers.py", f"{first}%nada", "9600", "-c", "peers"]
            nowhere = there.start(*words).end()
            assert nowhere.status == 3
            assert "o endereço não serve a partir desta máquina" in nowhere.err


needs_root = pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() != 0, reason="only root may give a machine its own hosts"
)


@needs_root
def test_the_name_of_a_machine_stands_wherever_its_ip_does(two, tmp_path):
    here, there, other = two
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{FIRST} prof-pc prof-pc.local\n{SECOND} aluno\n")
    inside = ["unshare", "-m", "sh", "-c", f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"]
    there.prefix = [*other.prefix, *inside]
    tracker = here.start("Servidor.py", "9999")
    tracker.says("Ctrl-C encerra")
    shared = {"a.bin": DATA, "aluno": b"a file, and a machine", "b": b"b"}
    _, port = start_peer(here, FIRST, files=shared)
    asks = ("Peers.py", FIRST, "9999", "--json", "-c", "buscar aluno")
    eventually(lambda: here.start(*asks).end().out)  # it is announced
    peer, _ = start_peer(there, "prof-pc", "--ip", "aluno", files={})
    peer.send(f"ls prof-pc {port}", f"ls prof-pc.local:{port}", f"get PROF-PC {port} a.bin b")
    for _ in range(2):
        peer.prints(r"^a\.bin\t2,2 MiB")
    peer.prints("a.bin\tbaixado e verificado.*\nb\tbaixado e verificado")
    peer.send("get prof-pc a.bin", f"get prof-pc:{port} b", "get aluno b", "get b nada")
    peer.prints("a.bin: já estava")
    peer.prints("b: já estava")
    peer.prints("aluno\tbaixado e verificado.*\nb\tjá estava")  # a file comes before a machine
    peer.prints("b\tjá estava.*\nnada\tninguém em toda a rede compartilha nada")
    assert peer.end().status == 5
    for words in (["prof-pd"], [FIRST, "--ip", "prof-pd"], [FIRST, "-c", "ls prof-pd 5455"]):
        unknown = there.start("Peers.py", *words).end()
        assert unknown.status == 2
        assert "não há uma máquina com o nome “prof-pd” nesta rede" in unknown.err


def test_ipv6_is_typed_as_one_word_or_two(tmp_path):
    with Machine() as machine, network(tmp_path, machine.prefix) as here:
        tracker = here.start("Servidor.py", "9600", "--ip", "[::1]")
        tracker.says("Ctrl-C encerra")
        _, port = start_peer(here, "::1", files={"a.bin": DATA})
        for words in (["::1"], ["[::1]"], ["[::1]:9600"], ["::1", "9600"]):
            peer, _ = start_peer(here, *words, files={})
            peer.send(f"ls ::1 {port}", f"ls [::1] {port}", f"ls [::1]:{port}")
            for _ in range(3):
                peer.prints(r"^a\.bin\t2,2 MiB")
            peer.send("get ::1 a.bin", f"get ::1 {port} a.bin", f"get [::1]:{port} a.bin")
            for _ in range(3):
                peer.prints("a.bin: (baixado e verificado|já estava)")
            assert peer.end().status == 0
