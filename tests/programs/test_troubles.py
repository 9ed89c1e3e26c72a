"""``diagnostico`` names the cause of each trouble that was planted, in networks made for that."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack

import pytest
from processes import Machine, machines, network

pytestmark = pytest.mark.skipif(bool(machines()), reason=f"no network of its own: {machines()}")

PEER, TRACKER, OTHER = "10.77.0.1", "10.77.0.2", "10.77.0.3"
FAR = "10.78.0.2"  # behind a router
HASTE = {"discovery_try_s": 0.15, "probe_s": 0.8, "probe_peer_s": 0.5, "call_back_s": 0.4}
OLD_TRACKER = """
import sys
import Servidor
from rede_p2p.cli.tracker_program import run_tracker
from rede_p2p.protocol.verbs import TO_TRACKER
del TO_TRACKER["reach"]
sys.exit(run_tracker([], Servidor.start))
"""


class Room:
    """Two machines on a cable, or more, and the programs of each."""

    def __init__(self, folder, stack):
        self._folder, self._stack = folder, stack
        self.machines, self.programs = [], []

    def machine(self):
        machine = self._stack.enter_context(Machine())
        place = self._folder / str(len(self.machines))
        place.mkdir()
        self.machines.append(machine)
        programs = self._stack.enter_context(network(place, machine.prefix))
        programs.hurry(**HASTE)
        self.programs.append(programs)
        return machine

    def two(self):
        here, there = self.machine(), self.machine()
        here.joined_to(there, PEER, TRACKER)
        return here, there

    def tracker(self, number=1, *words):
        tracker = self.programs[number].start("Servidor.py", *words)
        tracker.says("Ctrl-C encerra")
        return tracker

    def peer(self, number, *words, script=None, files=None, downloads=None):
        programs = self.programs[number]
        given = ["--arquivos", str(programs.sharing(files or {}))]
        given += ["--pasta", str(downloads or programs.downloads)]
        given += ["-c", script] if script else []
        return programs.start("Peers.py", *words, *given)

    def serving(self, number, *words, files=None):
        peer = self.peer(number, *words, "--servir", files=files)
        return int(peer.says(r"minha porta pública é (\d+)")[1])

    def diagnosis(self, *words, number=0, **more):
        """Run it, and return its cause, its advice, its status and all of its objects."""
        result = self.peer(number, *words, "--json", script="diagnostico", **more).end()
        facts = [json.loads(line) for line in result.out.splitlines()]
        assert result.status == facts[-1]["status"], result
        return facts[-1]["cause"], facts[-1]["advice"], facts[-1]["status"], facts[:-1]


@pytest.fixture
def room(tmp_path):
    with ExitStack() as stack:
        yield Room(tmp_path, stack)


def look(facts, name):
    """Return the line of a name."""
    (found,) = [fact for fact in facts if fact.get("look", "").startswith(name)]
    return found


def closes(machine, *rule):
    machine.ip("rule", "add", "pref", "1", *rule)


# Where all is well.


def test_where_all_is_well_it_says_so_with_the_delay_and_the_rate_of_a_peer(room):
    room.two()
    room.tracker()
    port = room.serving(1, TRACKER, files={"grande.bin": bytes(4_000_000)})
    cause, advice, status, facts = room.diagnosis(TRACKER)
    assert (cause, status) == ("", 0) and "tudo certo" in advice
    assert all(fact["ok"] for fact in facts)
    assert "responde em" in look(facts, "tracker")["text"]
    assert f"em {PEER}:" in look(facts, "minha porta")["text"]
    assert "iB/s" in look(facts, f"peer {TRACKER}:{port}")["text"]


def test_by_ipv6_too(room):
    here, there = room.two()
    here.has("fd00::1")
    there.has("fd00::2")
    room.tracker()
    assert room.diagnosis("fd00::2")[:3:2] == ("", 0)
    closes(here, "ipproto", "tcp", "sport", "5455-5555", "blackhole")
    here.ip("-6", "rule", "add", "pref", "1", "ipproto", "tcp", "sport", "5455-5555", "blackhole")
    closes(there, "ipproto", "tcp", "sport", "9450", "blackhole")
    assert room.diagnosis("fd00::2", "9451")[0] == "wrong-port"


def test_it_is_a_command_of_the_menu_too(room):
    room.two()
    room.tracker()
    peer = room.peer(0, TRACKER)
    peer.send("diagnóstico", "quit")
    result = peer.end()
    assert result.status == 0
    assert result.out.splitlines()[-1].startswith("conselho: daqui está tudo certo")


def test_the_peer_that_it_measured_tells_of_no_download(room):
    room.two()
    room.tracker()
    server = room.peer(1, TRACKER, "--servir", files={"grande.bin": bytes(4_000_000)})
    server.says("minha porta")
    room.diagnosis(TRACKER)
    assert "baixou" not in server.close().err


# Where there is no tracker.


def test_a_tracker_that_is_not_running(room):
    room.two()
    cause, advice, status, facts = room.diagnosis(TRACKER)
    assert (cause, status) == ("tracker-down", 3)
    assert f"a máquina {TRACKER} responde, mas não há programa na porta 9450" in advice
    commands = [fact["command"] for fact in facts if "command" in fact]
    assert [command.split()[0] for command in commands] == ["netsh", "sudo", "sudo"]


def test_a_failure_to_join_tells_how_to_find_the_cause(room):
    room.two()
    result = room.peer(0, TRACKER, script="peers").end()
    assert result.status == 3
    assert result.err.endswith(
        f"para saber a causa: python3 Peers.py {TRACKER} 9450 -c diagnostico\n"
    )


def test_a_tracker_on_another_port(room):
    room.two()
    room.tracker(1, "9600")
    cause, advice, _, _ = room.diagnosis(TRACKER, "9450")
    assert cause == "wrong-port"
    assert advice.endswith(f"digite python3 Peers.py {TRACKER} 9600")


@pytest.mark.parametrize("all_of_it", [False, True])
def test_a_firewall_that_drops_what_comes_to_the_tracker(room, all_of_it):
    _, there = room.two()
    room.tracker()
    for protocol in ("tcp", "udp") if all_of_it else ("tcp",):
        closes(there, "ipproto", protocol, "sport", "9450", "blackhole")
    cause, advice, status, facts = room.diagnosis(TRACKER)
    assert (cause, status) == ("dropped", 3)
    assert f"a máquina {TRACKER} existe, e um firewall nela cala" in advice
    assert any("firewall-cmd" in fact.get("command", "") for fact in facts)


def routed(room):
    """Make a router between two machines."""
    here, router, there = room.machine(), room.machine(), room.machine()
    here.joined_to(router, PEER, TRACKER)
    router.ip("link", "set", "wire0", "name", "wire1")
    router.ip("link", "set", "wire1", "up")
    router.joined_to(there, "10.78.0.1", FAR)
    router.sets("ipv4/ip_forward", 1)
    here.ip("route", "add", "default", "via", TRACKER)
    there.ip("route", "add", "default", "via", "10.78.0.1")
    return router


def test_a_firewall_that_rejects_what_comes_to_the_tracker(room):
    router = routed(room)
    room.tracker(2)
    closes(router, "ipproto", "tcp", "dport", "9450", "prohibit")
    closes(router, "ipproto", "udp", "dport", "9450", "prohibit")
    cause, advice, _, _ = room.diagnosis(FAR)
    assert cause == "rejected"
    assert f"um firewall em {FAR}, ou no caminho, recusa" in advice


def test_a_machine_that_a_router_does_not_let_answer_is_silent(room):
    router = routed(room)
    room.tracker(2)
    closes(router, "from", FAR, "blackhole")
    cause, advice, _, _ = room.diagnosis(FAR)
    assert cause == "silent" and "nada responde" in advice


@pytest.mark.parametrize(
    ("said", "cause"),
    [(b"SSH-2.0-OpenSSH_9.2\r\n", "other-program"), (None, "other-program"), (b"", "mute")],
    ids=["banner", "http", "silent"],
)
def test_another_program_in_the_place_of_the_tracker(room, said, cause):
    room.two()
    script = f"""
import http.server, socketserver, sys, threading
class Says(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall({said!r})
        threading.Event().wait(20)
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("", 9450), Quiet if {said is None} else Says)
print("up", flush=True)
server.serve_forever()
"""
    room.programs[1].start_script(script).prints("up")
    found, advice, status, _ = room.diagnosis(TRACKER)
    assert (found, status) == (cause, 3)
    assert f"{TRACKER}:9450" in advice


def test_a_peer_in_the_place_of_the_tracker(room):
    room.two()
    room.tracker()
    port = room.serving(1, TRACKER)
    cause, advice, _, _ = room.diagnosis(TRACKER, str(port))
    assert cause == "wrong-port" and advice.endswith(f"{TRACKER} 9450")


def test_a_machine_that_is_gone(room):
    here, _ = room.two()
    here.sets("ipv4/neigh/wire0/retrans_time_ms", 100)
    cause, advice, _, _ = room.diagnosis("10.77.0.9")
    assert cause == "gone" and "não há uma máquina ligada em 10.77.0.9" in advice


def test_a_machine_without_a_network(room):
    room.machine()
    for words in ([TRACKER], ["127.0.0.1"]):
        cause, advice, status, _ = room.diagnosis(*words)
        assert (cause, status) == ("no-network", 1)
        assert advice == "esta máquina não está em rede nenhuma: ligue o cabo ou o Wi-Fi"


@pytest.mark.parametrize("route", [(), ("unreachable",), ("blackhole",), ("prohibit",)])
def test_no_way_to_the_tracker(room, route):
    here, _ = room.two()
    if route:
        here.ip("route", "add", *route, FAR)
    cause, advice, _, _ = room.diagnosis(FAR)
    assert cause == "no-route" and f"não tem caminho até {FAR}" in advice


def test_a_vpn_that_has_the_way(room):
    here, _ = room.two()
    here.ip("link", "set", "wire0", "name", "wg0")
    here.ip("link", "set", "wg0", "up")
    here.ip("route", "add", "default", "via", TRACKER)
    cause, advice, _, _ = room.diagnosis(FAR)
    assert cause == "vpn" and "passa por wg0" in advice


def test_no_tracker_on_the_own_machine(room):
    room.two()
    for own in ("127.0.0.1", PEER):
        cause, advice, _, _ = room.diagnosis(own)
        assert cause == "here" and "python3 Servidor.py" in advice


def test_an_address_that_is_not_of_this_machine(room):
    room.two()
    room.tracker()
    cause, advice, _, _ = room.diagnosis(TRACKER, "--ip", "10.77.0.200")
    assert cause == "address" and "--ip 10.77.0.200" in advice


# Where there is one.


def test_an_own_port_that_a_firewall_keeps_silent(room):
    here, _ = room.two()
    room.tracker()
    closes(here, "ipproto", "tcp", "sport", "5455-5555", "blackhole")
    cause, advice, status, facts = room.diagnosis(TRACKER)
    assert (cause, status) == ("port-dropped", 1)
    assert "um firewall nesta máquina cala quem vem à porta 5455" in advice
    assert [fact["command"].split()[1] for fact in facts if "command" in fact] == [
        "ufw", "firewall-cmd",
    ]  # fmt: skip


def test_an_own_port_that_a_firewall_refuses(room):
    router = routed(room)
    room.tracker(2)
    closes(router, "ipproto", "tcp", "dport", "5455-5555", "prohibit")
    cause, advice, _, _ = room.diagnosis(FAR)
    assert cause == "port-rejected" and "recusa quem vem à porta 5455" in advice


def test_another_peer_that_a_firewall_closes(room):
    _, there = room.two()
    room.tracker()
    room.serving(1, TRACKER)
    closes(there, "ipproto", "tcp", "sport", "5455-5555", "blackhole")
    cause, advice, status, _ = room.diagnosis(TRACKER)
    assert (cause, status) == ("peer-blocked", 4) and f"um firewall em {TRACKER}" in advice


def test_an_older_tracker_is_told_as_not_known(room):
    room.two()
    room.programs[1].start_script(OLD_TRACKER).says("Ctrl-C encerra")
    cause, _, status, facts = room.diagnosis(TRACKER)
    assert (cause, status) == ("", 0)
    port = look(facts, "minha porta")
    assert port["ok"] is None and "versão que não responde" in port["text"]


def test_twice_in_a_row_is_told_as_not_known(room):
    room.two()
    room.tracker()
    room.diagnosis(TRACKER)
    port = look(room.diagnosis(TRACKER)[3], "minha porta")
    assert port["ok"] is None and "segundos" in port["text"]


def test_a_tracker_that_went_while_the_menu_was_open(room):
    room.two()
    tracker = room.tracker()
    peer = room.peer(0, TRACKER)
    peer.says("minha porta")
    tracker.kill()
    peer.send("diagnostico", "quit")
    result = peer.end()
    assert "mas não há programa na porta 9450" in result.out.splitlines()[-1]


def test_a_tracker_that_stands_still(room):
    room.two()
    tracker = room.tracker()
    tracker.process.send_signal(19)
    try:
        assert room.diagnosis(TRACKER)[0] == "mute"
    finally:
        tracker.process.send_signal(18)


def test_nobody_else_in_the_network_that_this_machine_opened(room):
    room.two()
    cause, advice, status, _ = room.diagnosis()
    assert (cause, status) == ("alone", 0) and f"digite python3 Peers.py {PEER} 9450" in advice


def test_several_trackers(room):
    asking, *others = room.machine(), room.machine(), room.machine()
    for number, machine in enumerate(others, start=1):
        own, ip = f"10.77.{number}.9", f"10.77.{number}.2"
        asking.joined_to(machine, own, ip, f"cabo{number}")
        room.tracker(number)
    cause, advice, status, _ = room.diagnosis()
    assert (cause, status) == ("join", 3) and "há mais de um tracker" in advice


def test_a_tracker_that_speaks_another_version(room):
    room.two()
    liar = """
import socket, threading
with socket.create_server(("", 9450)) as server:
    print("up", flush=True)
    while True:
        peer, _ = server.accept()
        with peer, peer.makefile("rb") as lines:
            for line in lines:
                answer = b'ok {"port": 5455, "ip": "10.77.0.1", "version": 9}'
                peer.sendall((b"ok" if line.startswith(b"ping") else answer) + b"\\n")
"""
    room.programs[1].start_script(liar.replace("\\\\n", "\\n")).prints("up")
    cause, advice, status, _ = room.diagnosis(TRACKER)
    assert (cause, status) == ("join", 3) and "outra versão" in advice


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may mount a disk")
def test_a_disk_that_is_full(room, tmp_path):
    room.two()
    room.tracker()
    full = tmp_path / "cheio"
    full.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "cheio", str(full)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no tmpfs may be mounted here")
    try:
        cause, advice, status, _ = room.diagnosis(TRACKER, downloads=full / "baixados")
    finally:
        subprocess.run(["umount", "--lazy", str(full)], check=True)
    assert (cause, status) == ("full-disk", 9) and "--pasta" in advice


def test_a_folder_of_downloads_that_cannot_be_written(room, tmp_path):
    room.two()
    room.tracker()
    (tmp_path / "arquivo").touch()
    cause, advice, status, _ = room.diagnosis(TRACKER, downloads=tmp_path / "arquivo" / "baixados")
    assert (cause, status) == ("disk", 9) and "há um arquivo onde devia haver uma pasta" in advice
