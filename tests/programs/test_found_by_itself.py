"""``python3 Peers.py`` and no more: it finds the tracker of the network, or opens one."""

from __future__ import annotations

import re
from contextlib import ExitStack, closing, contextmanager

import pytest
from processes import Machine, eventually, machines, network
from rooms import Room
from terminals import Terminal

pytestmark = pytest.mark.skipif(bool(machines()), reason=f"no network of its own: {machines()}")

FIRST, SECOND, THIRD = "10.77.0.1", "10.77.0.2", "10.77.0.3"
OPENED = "nenhum tracker nesta rede: abri um aqui"


class Made:
    """Machines on one switch, 10.77.0.1 and on, and the programs of each."""

    def __init__(self, folder, count, stack):
        room = Room(stack)
        self.machines, self.programs = room.machines, []
        for number in range(1, count + 1):
            machine = room.machine(f"10.77.0.{number}")
            place = folder / str(number)
            place.mkdir()
            self.programs.append(stack.enter_context(network(place, machine.prefix)))
        room.settle()


@pytest.fixture
def room(tmp_path):
    with ExitStack() as stack:
        yield lambda count: Made(tmp_path, count, stack)


def start(programs, *words, files=None):
    given = ["--arquivos", str(programs.sharing(files or {})), "--pasta", str(programs.downloads)]
    return programs.start("Peers.py", *given, *words)


def joined(peer):
    return int(peer.says(r"minha porta pública é (\d+)")[1])


def joins(programs, *words):
    peer = start(programs, *words)
    joined(peer)
    return peer


def test_of_two_that_are_told_nothing_the_second_finds_the_first(room):
    here, there = room(2).programs
    first = start(here, files={"a.txt": b"a"})
    first.says(OPENED)
    first.says(rf"python3 Peers\.py {FIRST} 9450")
    port = joined(first)
    second = start(there)
    second.says(f"na rede, pelo tracker {FIRST}:9450")
    own = joined(second)
    second.send("peers", f"get {FIRST} a.txt", "quit")
    second.prints(rf"^{FIRST}\t{port}\t\t1\n{SECOND}\t{own}\teste peer\t")
    second.prints("a.txt: baixado e verificado")
    result = second.end()
    assert result.status == 0 and "abri" not in result.err


def test_where_no_multicast_passes_the_first_is_found_by_broadcast(room):
    made = room(2)
    for machine in made.machines:
        machine.sets("ipv6/conf/all/disable_ipv6", 1)
        machine.sets("ipv4/igmp_max_memberships", 0)
    here, there = made.programs
    joins(here)
    start(there).says(f"na rede, pelo tracker {FIRST}:9450")


def test_where_nothing_passes_to_all_what_to_type_is_told_and_does(tmp_path):
    folders = tmp_path / "um", tmp_path / "dois"
    for folder in folders:
        folder.mkdir()
    with (
        Machine() as router,
        Machine(router) as one,
        Machine(router) as other,
        ExitStack() as stack,
    ):
        router.joined_to(one, "10.77.0.254", FIRST, "um")
        router.joined_to(other, "10.78.0.254", "10.78.0.2", "dois")
        router.sets("ipv4/ip_forward", 1)
        one.ip("route", "add", "default", "via", "10.77.0.254")
        other.ip("route", "add", "default", "via", "10.78.0.254")
        here = stack.enter_context(network(folders[0], one.prefix))
        there = stack.enter_context(network(folders[1], other.prefix))
        joins(here)
        second = start(there)
        second.says(OPENED)
        second.says(r"já há um em outra máquina, .*: python3 Peers\.py <IP>")
        joined(second)
        second.end()
        start(there, FIRST).says(f"na rede, pelo tracker {FIRST}:9450")


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 10])
def test_all_that_start_at_once_come_to_one_network(room, count):
    programs = room(count).programs
    peers = [start(one) for one in programs]
    ports = {joined(peer) for peer in peers}
    assert len(ports) == count  # given by one tracker
    peers[0].send("peers")
    for _ in range(count):
        peers[0].prints(r"^(10\.77|127)\.[0-9.]+\t\d+\t")
    results = [peer.end() for peer in peers]
    assert [result.status for result in results] == [0] * count
    assert sum(OPENED in result.err for result in results) == 1


def test_all_that_start_at_once_on_one_machine_come_to_one_network(room):
    (programs,) = room(1).programs
    peers = [start(programs) for _ in range(5)]
    assert sorted(joined(peer) for peer in peers) == list(range(5455, 5460))
    results = [peer.end() for peer in peers]
    assert sum(OPENED in result.err for result in results) == 1


@contextmanager
def in_a_terminal(programs):
    words = ["Peers.py", "--arquivos", str(programs.sharing({}))]
    with closing(Terminal(words, programs.environment(), prefix=programs.prefix)) as opened:
        yield opened


def test_of_several_a_person_chooses_and_a_script_takes_none(room):
    here, there, elsewhere = room(3).programs
    here.start("Servidor.py", "9450").says("Ctrl-C encerra")
    named = there.environment() | {"REDE_NOME": "prof-pc"}
    there.start("Servidor.py", "9999", environment=named).says("Ctrl-C encerra")
    script = start(elsewhere, "-c", "peers").end()
    assert script.status == 3 and script.out == ""
    places = rf"\({FIRST}:9450, {SECOND}:9999\)"
    assert re.fullmatch(rf"há mais de um tracker nesta rede {places}, .*Peers.py .*\n", script.err)
    with in_a_terminal(elsewhere) as opened:
        opened.shows(rf"há mais de um tracker.*\n +1  {FIRST}:9450\n +2  {SECOND}:9999 \(prof-pc\)")
        for wrong in ("", "0", "3", "x"):
            opened.enter(wrong)
        opened.shows("digite um número de 1 a 2")
        opened.press("2\r")
        opened.shows(f"na rede, pelo tracker {SECOND}:9999")
        opened.prompts()
        opened.press("\x04")
        assert opened.end() == 0
    with in_a_terminal(elsewhere) as opened:
        opened.prompts()
        opened.press("\x04")
        assert opened.end() == 3


def test_with_an_address_of_its_own_a_peer_searches_there_alone(room):
    made = room(2)
    here, there = made.programs
    here.start("Servidor.py", "9450").says("Ctrl-C encerra")
    made.machines[1].ip("link", "add", "outra", "type", "veth", "peer", "name", "ponta")
    made.machines[1].has("10.78.0.2", "outra")
    peer = start(there, "--ip", SECOND)
    peer.says(f"na rede, pelo tracker {FIRST}:9450")
    peer.end()
    start(there, "--ip", "10.78.0.2").says(OPENED)


def test_a_tracker_whose_machine_got_another_address_is_found_by_those_that_lost_it(room):
    made = room(3)
    here, there, elsewhere = made.programs
    for programs in made.programs:
        programs.hurry(heartbeat_s=0.5, reply_s=2.0, member_silence_s=3.0)
    here.start("Servidor.py", "9450").says("Ctrl-C encerra")
    by_itself = start(there, "--servir", files={"a.txt": b"a"})
    typed = start(elsewhere, FIRST, "9450", "--servir", files={"b.txt": b"b"})
    ports = [joined(by_itself), joined(typed)]
    for name in ("a.txt", "b.txt"):  # when it is announced, the peer knows who the tracker is
        asks = ("Peers.py", "--json", "-c", f"buscar {name}")
        eventually(lambda asks=asks: here.start(*asks).end().out)
    made.machines[0].ip("addr", "flush", "dev", "wire0")
    made.machines[0].has("10.77.0.9")
    for peer, port in zip((by_itself, typed), ports, strict=True):
        peer.says(f"mudei para o tracker 10.77.0.9:9450; minha porta é {port}")
    listed = start(here, "-c", "peers").end().out
    for ip, port in zip((SECOND, THIRD), ports, strict=True):
        assert f"\n{ip}\t{port}\t\t" in listed


def test_who_says_the_id_of_a_tracker_that_is_gone_gets_none_of_its_peers(room):
    here, there = room(2).programs
    for programs in (here, there):
        programs.hurry(heartbeat_s=0.5, max_rejoin_pause_s=0.5)
    tracker = here.start("Servidor.py", "9450")
    tracker.says("Ctrl-C encerra")
    peer = start(there, FIRST, "9450", "--servir", files={"a.txt": b"a"})
    joined(peer)
    eventually(lambda: here.start("Peers.py", "--json", "-c", "buscar a.txt").end().out)
    thief = here.start_script(THIEF)
    thief.prints("knows")
    tracker.kill()
    thief.prints("asked to prove it\\n(?s:.)*asked to prove it\\n")
    assert "JOINED" not in thief.close().out
    here.start("Servidor.py", "9450").says("Ctrl-C encerra")
    peer.says("voltou; minha porta")


THIEF = """
import json, socket, sys, threading
ask = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ask.sendto(b'where {"nonce": "n", "search": true}\\n', ("10.77.0.1", 9450))
tracker_id = json.loads(ask.recv(600)[3:])["id"]
answers = {b"join": b'ok {"port": 5700, "ip": "10.77.0.2", "version": 1}\\n'}
answers[b"ping"] = ("ok " + json.dumps({"id": tracker_id, "proof": "0" * 32}) + "\\n").encode()

def serve(sock):
    with sock, sock.makefile("rb") as lines:
        for line in lines:
            verb = line.split()[0]
            print("asked to prove it" if verb == b"ping" else "JOINED" if verb == b"join" else "")
            sys.stdout.flush()
            sock.sendall(answers.get(verb, b"ok\\n"))

def listen():
    while True:
        threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

listening = socket.create_server(("", 9700))
threading.Thread(target=listen, daemon=True).start()
print("knows", flush=True)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    while True:
        try:
            sock.bind(("", 9450))
            break
        except OSError:
            threading.Event().wait(0.01)
    while True:
        question, asker = sock.recvfrom(1000)
        nonce = json.loads(question[6:])["nonce"]
        said = {"nonce": nonce, "port": 9700, "version": 1, "id": tracker_id}
        sock.sendto(b"ok " + json.dumps(said).encode() + b"\\n", asker)
"""


def test_who_answers_and_is_no_tracker_is_told_and_one_is_opened(room):
    made = room(2)
    here, there = made.programs
    liar = here.start_script(LIAR)
    liar.prints("listening")
    peer = start(there)
    peer.says(rf"não encontrei o tracker em {FIRST}:7: não há ninguém nessa porta")
    peer.says(OPENED)
    joined(peer)


def test_those_who_answer_and_are_no_trackers_keep_no_script_from_the_one_that_is(room):
    here, there, elsewhere, last = room(4).programs
    for liar in (there.start_script(LIAR), elsewhere.start_script(LIAR)):
        liar.prints("listening")
    alone = start(last, "-c", "peers")
    alone.says(OPENED)
    assert alone.end().status == 0
    here.start("Servidor.py", "9450").says("Ctrl-C encerra")
    peer = start(last, "-c", "peers")
    peer.says(f"na rede, pelo tracker {FIRST}:9450")
    assert peer.end().status == 0


LIAR = """
import json, socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.bind(("", 9450))
    print("listening", flush=True)
    while True:
        question, asker = sock.recvfrom(1000)
        nonce = json.loads(question[6:])["nonce"]
        said = {"nonce": nonce, "port": 7, "version": 1, "id": sys.argv[0][-30:]}
        sock.sendto(b"ok " + json.dumps(said).encode() + b"\\n", asker)
"""
