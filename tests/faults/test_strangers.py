"""Strangers on the wire: escapes for the terminal, addresses of nobody, readers that hold on."""

from __future__ import annotations

import json
import re
import socket
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from time import monotonic

import pytest
from lies import UNSAFE, ok, pieces, stat
from processes import PATIENCE, Liar, beside, converse, eventually, private_address
from rig import Awake, Use, Watch, hurried, settled, typed
from sources import content_of
from terminals import Terminal

pytestmark = pytest.mark.slow

# What would move the cursor, retitle the window, ring, draw over, or write from right to left.
EVIL = {
    "clears": "\x1b[2J\x1b[H",
    "retitles": "\x1b]0;evil\x07",
    "8-bit": "\x9b31m",
    "rings": "\x07\x07",
    "backwards": "a\u202egpj.exe",
    "isolates": "\u2066a\u2069",
    "two lines": "a\r\nrede> quit",
    "answers back": "\x1b[6n\x1b[c",
    "deletes": "a\x7f\x08\x08b",
    "markup": "[/][bold]x",
}
evils = pytest.mark.parametrize("evil", EVIL.values(), ids=EVIL)
DATA = b"0123456789abcdef" * 4096


class Stage:
    """A tracker, and the menu of a person whom strangers want to harm."""

    def __init__(self, folder, stack):
        self.net = Awake(folder)
        stack.callback(self.net.close)
        self.tracker = self.net.tracker()
        words = self.net.words("--nao-semear", files={})
        self.menu = Terminal(hurried(words), self.net.environment(), 200)
        stack.callback(self.menu.close)
        self.menu.prompts()
        self.net.downloads.mkdir()
        self.watch = Watch(folder, self.net.downloads, {}, (self.net.ip, self.net.port))
        self.watch.menu(self.menu)
        self.watch.program(self.tracker)
        self.watch.begin()


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with ExitStack() as stack:
        yield Stage(tmp_path_factory.mktemp("palco"), stack)


@evils
def test_what_a_peer_says_steers_no_terminal(stage, evil):
    line = json.dumps({"name": evil, "size": 5}).encode() + b"\n"
    no = b"erro " + json.dumps({"code": evil[:64], "message": evil}).encode() + b"\n"
    said = {"ls": ok({"bytes": len(line), "count": 1}, line), "stat": no}
    with Liar.listed(stage.net, said) as liar:
        typed(stage.menu, f"ls {liar.ip} {liar.port}")
        typed(stage.menu, f"get {liar.ip} {liar.port} x")
        typed(stage.menu, f"get {liar.ip} {liar.port} '*'")
    stage.watch.check()


@evils
def test_what_is_announced_steers_no_terminal(stage, evil):
    with Liar.listed(stage.net, {}) as liar:
        line = json.dumps({"name": f"achado {evil}", "size": 5, "root": "ab" * 32}).encode() + b"\n"
        liar._stay.membership.sendall(b'announce {"bytes": %d, "count": 1}\n' % len(line) + line)
        eventually(lambda: "achado" in typed(stage.menu, "buscar achado"))
        typed(stage.menu, "ls")
        typed(stage.menu, f"get 'achado {evil[:1] if evil.isprintable() else 'x'}'")
    stage.watch.check()


# Addresses.

NOBODY = ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "127.0.0.1%lo", "10.0.0.1x", "", "localhost"]
places = [*((ip, 5455) for ip in NOBODY), ("192.0.2.7", 22), ("192.0.2.7", 0), ("192.0.2.7", 65536)]


@pytest.mark.parametrize(("ip", "port"), places)
def test_a_tracker_that_lists_the_address_of_nobody_is_not_believed(tmp_path, ip, port):
    line = json.dumps({"ip": ip, "port": port}).encode() + b"\n"
    said = {
        "join": ok({"port": 5455, "ip": "127.0.0.1", "version": 1}),
        "ready": b"ok\n",
        "ping": b"ok\n",
        "quit": b"ok\n",
        "peers": ok({"bytes": len(line), "count": 1}, line),
    }
    net = Awake(tmp_path)
    with Liar(net.ip, said) as liar:
        net.port = liar.port
        result = net.run("peers", ip=beside(net.ip))
        net.close()
    assert result.status in (0, 3), result
    shown = re.findall(r"^(\S*)\t\d+\t", result.out, re.MULTILINE)
    assert set(shown) <= {"127.0.0.1"}, result  # this peer, as it was told when it joined


# Readers.


@pytest.fixture
def seed(tmp_path):
    """A peer with a single slot, and short deadlines for who asks nothing or takes nothing."""
    net = Awake(tmp_path)
    try:
        net.tracker()
        net.hurry(peer_silence_s=1.0, stall_s=1.0)
        program, port = net.peer("--servir", "--limite", "16K", files={"a.bin": DATA})
        eventually(lambda: b"a.bin" in converse(net.ip, net.port, b'search {"text": ""}\nquit\n'))
        yield net, program, port
    finally:
        net.close()


@contextmanager
def asking(net, port, said):
    """Ask something of a peer, from an address of its own; give the socket, and what it says."""
    source = (private_address(), 0)
    with (
        socket.create_connection((net.ip, port), PATIENCE, source_address=source) as sock,
        sock.makefile("rb") as talk,
    ):
        sock.sendall(said)
        yield sock, talk


WHOLE = b'get {"name": "a.bin"}\n'
LITTLE = b'get {"name": "a.bin", "length": 100}\n'


def heard(talk):
    """Read a line, and the body that it announces."""
    line = talk.readline()
    found = re.search(rb'"bytes": (\d+)', line)
    return line, talk.read(int(found[1])) if found else b""


def test_who_leaves_in_the_middle_gives_its_slot_to_the_next(seed):
    net, program, port = seed
    before = settled(program.pid)
    for _ in range(3):
        with asking(net, port, WHOLE) as (holder, first), asking(net, port, WHOLE) as (_, other):
            for talk in (first, other):  # both slots that there are
                assert talk.readline().startswith(b"ok ")
            with asking(net, port, LITTLE) as (_, second):
                assert second.readline().startswith(b"espera ")
                holder.shutdown(socket.SHUT_RDWR)
                left = monotonic()
                while (answer := heard(second))[0].startswith(b"espera"):
                    assert monotonic() - left < 6.0
                assert answer[1] == DATA[:100]
    eventually(lambda: Use.of(program.pid).within(before))


def test_one_who_says_nothing_or_dribbles_is_hung_up_on(seed):
    net, program, port = seed
    before = settled(program.pid)
    with asking(net, port, b"") as (_, silent), asking(net, port, b"l") as (sock, _):
        began, ended = monotonic(), Event()
        while not ended.wait(0.1) and monotonic() - began < 10:
            try:
                sock.sendall(b"s")
            except OSError:
                ended.set()
        assert monotonic() - began < 5
        assert silent.read() == b""
    eventually(lambda: Use.of(program.pid).within(before))


def test_one_who_reads_nothing_keeps_nobody_from_small_answers(seed):
    net, _, port = seed
    with asking(net, port, WHOLE) as (_, first):
        assert first.readline().startswith(b"ok ")
        for said in (b"ls\n", b'stat {"name": "a.bin"}\n'):
            began = monotonic()
            with asking(net, port, said) as (_, other):
                assert other.readline().startswith(b"ok ")
            assert monotonic() - began < 1.0


# Names.


@pytest.mark.parametrize("name", [*UNSAFE, "..", ".bashrc", "a\\b", "a.parte", "p/../../c"])
def test_an_unsafe_name_leads_nowhere(stage, name):
    data = b"of a stranger"
    root = content_of(data).root
    line = json.dumps({"name": name, "size": len(data), "root": root.hex()}).encode() + b"\n"
    said = {
        "ls": ok({"bytes": len(line), "count": 1}, line),
        "stat": stat(len(data), root, name),
        **pieces(data, ok({"bytes": len(data)}, data)),
    }
    before = Path("/tmp/fora.txt").exists()
    with Liar.listed(stage.net, said) as liar:
        for asked in ("*", name):
            typed(stage.menu, f"get {liar.ip} {liar.port} '{asked}'")
    stage.watch.check()
    assert Path("/tmp/fora.txt").exists() == before
