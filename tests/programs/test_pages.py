"""Each command of the README and of docs/ is run, as it stands there, in a room of machines.

In the room the tracker and the peer ``ana`` are at 192.168.0.10, the peer ``bruno`` is at
192.168.0.11, and ``carla``, at 192.168.0.12, types; what names 127.0.0.1 is typed at ana's machine,
and what names no tracker, at a machine where nobody else is. A command that is new in a page and
cannot be run needs a line in NOT_RUN.
"""

from __future__ import annotations

import ast
import io
import os
import re
import signal
import subprocess
import sys
import sysconfig
import tarfile
from contextlib import ExitStack, closing

import pytest
from conftest import ROOT
from oracle import libtorrent, needs_libtorrent
from pages import PAGES, PROMPTS, blocks_of, commands_of
from processes import PATIENCE, UNFORESEEN, eventually
from rooms import Person, Room, no_homes
from terminals import Terminal

from rede_p2p.cli import manual
from rede_p2p.cli.commands import COMMANDS

in_a_room = pytest.mark.skipif(bool(no_homes()), reason=f"nobody has a machine here: {no_homes()}")
WALK = (
    "Da máquina A à máquina B",
    "From machine A to machine B",
)  # sections with a test of their own

# Commands that are not run here, and why. A line that fits none of them is an error.
NOT_RUN = {
    r"git clone https:": "it asks the internet",
    r"sudo (apt|ufw|firewall-cmd) ": "it changes the system",
    r"pip install rich$": "it asks the internet",
    r"\S*python docs/retratos\.py$": "test_retratos.py does",
    r"pipx install \.|pip install \.": "test_installed.py builds the package and installs it",
    r"(sudo )?\S*python3? tests/benchmarks/\w+\.py": "it takes minutes",
    r"\S*python -m pytest -q( --mascarar| -m slow( tests/faults)?)?$": ".ci/run does",
    r"\S*python -m pytest -q -m slow --(longo|segundos=120) ": "it takes minutes, or an hour",
    r"python3 -m venv .* -m pytest -q$": ".ci/run does",
    r"\S*python -m pytest -q -n 0 -k ": "it takes any name of a test",
    r"\.venv/bin/(ruff (format|check) \.|mypy)$": ".ci/run does",
    r"\. \.venv/bin/activate$": "it is of the shell of a person",
    r"python3 -m http\.server": "test_http_server_answers_a_range_with_the_whole_file starts it",
    r"(python3|py|sha256sum) rede\.pyz": "test_one_file.py does",
    r"py -m venv ": "it is of Windows: test_windows.py starts Rede.bat, which does that",
}
# What is in no page of commands: the words of the wire, pictures, forms of a line.
OTHER_LANGUAGES = {
    "tracker": "test_protocolo.py says it to a tracker",
    "peer": "test_protocolo.py says it to a peer",
    "udp": "test_protocolo.py says it by UDP",
    "mermaid": "a picture",
    "text": "no command",
}
SAMPLE_LINES = (ROOT / "meus_arquivos.txt").read_text(encoding="utf-8").splitlines()
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
EVERY = [command for page in PAGES for command in commands_of(page)]
FIRST = {(command.text, command.is_menu): command for command in reversed(EVERY)}
FOUND = list(reversed(FIRST.values()))
REASONS = {command: [r for r in NOT_RUN if re.match(r, command.text)] for command in FOUND}
RUN = [command for command in FOUND if not REASONS[command]]
SESSIONS = [block for block in BLOCKS if block.is_session and block.section not in WALK]


# The pages.


def test_every_block_is_commands_a_session_or_of_a_language_that_is_known():
    others = {block.language for block in BLOCKS if not block.is_session} - {"sh", "powershell", ""}
    assert others == set(OTHER_LANGUAGES)
    for block in BLOCKS:
        if not block.language and not block.is_session:
            assert block.lines == SAMPLE_LINES  # the list that comes with the project


def test_each_line_of_what_is_not_run_is_of_some_command():
    assert {reason for given in REASONS.values() for reason in given} == set(NOT_RUN)
    for command in FOUND:
        for path in re.findall(r"tests/\S+\.py", command.text):
            assert (ROOT / path).is_file(), command


def test_what_ci_does_it_does_in_these_words():
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for tool in (".venv/bin/ruff format --check .", ".venv/bin/ruff check .", ".venv/bin/mypy"):
        assert tool in ci
    for page in PAGES[:2]:
        (line,) = re.findall("^python3 -m venv .*pytest.*$", page.read_text("utf-8"), re.MULTILINE)
        assert line.startswith("python3 -m venv .venv && ") and "grep -m 1 -E '^python3" in ci


def test_every_command_and_every_option_has_its_line_in_the_page_of_commands():
    page = (ROOT / "docs" / "COMANDOS.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert re.search(rf"`{name}[ `]", page), name
    helps = "".join(manual.HELP.values())
    for option in set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", helps)):
        assert f"`{option}" in page or f" {option} " in page, option
    for number in re.findall(r"(\d+) [a-zC(S]", manual.HELP["Peers.py"].partition("saída:")[2]):
        assert re.search(rf"(\| |· ){number} [|·]", page), number


def test_each_sentence_of_the_table_of_troubles_is_one_that_the_programs_say():
    said = "\n".join(
        node.value
        for path in (ROOT / "rede_p2p").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    known = re.sub(r"\{[^}]*\}", "…", said)
    rows = re.findall(r"^\| (“.*?) \| ", PAGES[0].read_text(encoding="utf-8"), re.MULTILINE)
    sentences = [sentence for row in rows for sentence in re.findall("“([^”]+)”", row)]
    assert len(sentences) > 10
    for sentence in sentences:
        for part in re.split(r"…|\d+", sentence):
            assert part.strip(" :;") in known, sentence


def test_each_link_leads_somewhere():
    for page in PAGES:
        for name, target in re.findall(r"\[([^\]]*)\]\(([^)]+)\)", page.read_text("utf-8")):
            path, _, anchor = target.partition("#")
            if path.startswith("http"):
                continue
            found = page.parent / path if path else page
            assert found.exists(), (page.name, name, target)
            if anchor:
                titles = re.findall(r"^#+ (.*)$", found.read_text("utf-8"), re.MULTILINE)
                anchors = {
                    re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles
                }
                assert anchor in anchors, (page.name, target)


# The room.


def archive():
    served = io.BytesIO()
    with tarfile.open(fileobj=served, mode="w") as made:
        for name in ("aula/slides.pdf", "aula/exemplo.py"):
            made.addfile(tarfile.TarInfo(name))
    return served.getvalue()


AULA = {"aula1.pdf": b"aula 1"}
BRUNO = {
    **AULA,
    "aula.iso": bytes(range(256)) * 5000,
    "aula.tar": archive(),
    "aula2.pdf": b"aula 2",
    "foto.png": b"png",
    "fotos/praia.jpg": b"praia",
    "fotos/serra.jpg": b"serra",
    "por quê?.txt": b"sim",
    "grande.bin": bytes(2**26),
}
BEFORE = {  # what a command needs to have happened
    "cancelar 1": "get bruno grande.bin &; ",
    "ls 2": "peers; ",
    "get 2": "peers; ",
    "torrent int.png fotos/": "compartilhar ~/fotos; ",
}


def gives(person, files):
    """Have somebody share the sample, and files of their home."""
    for name, data in files.items():
        person.has(name, data)
    tops = dict.fromkeys(name.partition("/")[0] for name in files)
    person.shares(*SAMPLE_LINES, *(f'"{name}" "~/{name}"' for name in tops))


class Standing:
    """The room of the pages, in which the programs run until it is left."""

    def __init__(self, folder, stack):
        room = Room(stack, "eth0")
        self.ana, self.bruno, self.carla = (
            Person(folder, room.machine(f"192.168.0.{number}"), name)
            for number, name in ((10, "ana"), (11, "bruno"), (12, "carla"))
        )
        other = Room(stack, "eth0").machine("192.168.0.10")
        other.ip("link", "add", "docker0", "type", "veth", "peer", "name", "c0")
        other.has("172.17.0.1", "docker0")
        self.alone = Person(folder, other, "dora")
        lend_packages(self.alone)
        for person, files in ((self.ana, AULA), (self.bruno, BRUNO)):
            gives(person, files)
        self.enter(stack, self.ana, "Servidor.py", "9450").says("Ctrl-C encerra")
        for person, tracker in ((self.ana, "127.0.0.1"), (self.bruno, "192.168.0.10")):
            peer = self.enter(stack, person, "Peers.py", tracker, "--servir")
            peer.says("minha porta")
        asks = ("python3", "Peers.py", "192.168.0.10", "-c", "ls")
        wanted = {*BRUNO, *AULA}

        def all_announced():
            with closing(self.carla.start(*asks)) as asking:
                return all(name in asking.end().out for name in wanted)

        eventually(all_announced)

    @staticmethod
    def enter(stack, person, *words):
        return stack.enter_context(closing(person.start("python3", *words)))

    def reader(self, text):
        """Return who types a command, with nothing left of the commands before."""
        is_start = re.search(r"(Peers|Servidor)\.py|\.venv/", text)
        if is_start and not re.search(r"\d\.\d|REDE_TRACKER", text):
            person = self.alone
        else:
            person = self.ana if "127.0.0.1" in text else self.carla
        if person is not self.ana:
            person.shares(*SAMPLE_LINES)
            person.has("fotos/praia.jpg", b"da praia")
            person.has("lista.txt", b"")
            subprocess.run(["rm", "-rf", person.project / "arquivos_baixados"], check=True)
        return person


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    with ExitStack() as stack:
        yield Standing(tmp_path_factory.mktemp("sala"), stack)


def lend_packages(person):
    """Give somebody the environment of the tests as theirs, so that pip has nothing to fetch."""
    place = person.project / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    (packages,) = place.rglob("site-packages")
    (packages / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    (place / "bin" / "pip").write_text('#!/bin/sh\nexec .venv/bin/python -m pip "$@"\n')
    (place / "bin" / "pip").chmod(0o755)


def typed_in_a_shell(person, line):
    """Run a line; one that serves for ever is interrupted when it says so."""
    serves = "--servir" in line or ("Servidor.py" in line and "--empacotar" not in line)
    with subprocess.Popen(
        [*person.prefix, "sh", "-c", line], env={**person.environment, "PIP_NO_INDEX": "1"},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as program:  # fmt: skip
        if serves:
            until = re.compile("Ctrl-C")
            assert any(until.search(said) for said in program.stderr)
            os.killpg(program.pid, signal.SIGINT)
        out, err = program.communicate("quit\n", timeout=PATIENCE)
    if ".venv/bin/pip " in line and "No matching distribution" in err:
        pytest.skip("the tests run with other versions than tests/requirements.txt says")
    assert program.returncode in ((130, -signal.SIGINT) if serves else (0,)), err
    return out, err


def marked(command):
    """Mark what takes a newcomer's time: environments, and the many commands of docs/."""
    is_slow = ".venv/" in command.text or not command.page.startswith("README")
    return pytest.param(command, marks=[pytest.mark.slow] if is_slow else [], id=str(command))


@in_a_room
@pytest.mark.parametrize("command", [marked(command) for command in RUN])
def test_a_command_does_what_it_says(room, command):
    line = command.text
    if command.is_menu:
        before = "".join(done for name, done in BEFORE.items() if name in line)
        line = f"python3 Peers.py {tracker_for([line])} -c {quoted(before + line)}"
    person = room.reader(line)
    out, err = typed_in_a_shell(person, line)
    assert not UNFORESEEN.search(out + err)
    assert not re.search(r"^(uso: |erro)|nenhum resultado", err, re.MULTILINE), err
    assert out or err or "get" not in line


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


@in_a_room
@pytest.mark.parametrize("block", SESSIONS, ids=str)
def test_a_session_shows_what_stands_there(room, block):
    typed = [line for line in block.lines if line.partition(" ")[0] in PROMPTS]
    person = room.reader("\n".join(typed))
    with closing(Terminal(["sh"], person.environment, 100, person.prefix)) as opened:
        opened.shows(r"^\$")
        if typed[0].startswith("rede> "):
            opened.press(f"python3 Peers.py {tracker_for(block.lines)}\r")
        for line in typed:
            prompt, _, command = line.partition(" ")
            opened.until(lambda prompt=prompt: opened.last_line() == prompt)
            start = len(opened.screen())
            opened.press(f"{command}\r")
            opened.until(lambda start=start: "\n" in opened.screen()[start:])
            if "Servidor.py" in command:
                opened.shows("^Ctrl-C encerra")
                opened.interrupt()
        opened.until(lambda: opened.last_line() in PROMPTS)
        shown = opened.screen()
    assert "não conheço" not in shown and "use: " not in shown
    if typed != block.lines:
        assert "\n".join(block.lines) in shown


def tracker_for(lines):
    return "127.0.0.1" if any("127.0.0.1" in line for line in lines) else "192.168.0.10"


def what_is_typed(block):
    return [line.partition(" ")[2] for line in block.lines]


@in_a_room
@pytest.mark.parametrize("page", PAGES[:2], ids=lambda page: page.name)
def test_with_three_commands_a_side_a_folder_goes_from_one_machine_to_another(tmp_path, page):
    walk = [block for block in blocks_of(page) if block.section in WALK and block.is_session]
    one, other = map(what_is_typed, walk)
    assert len(one) <= 3 and len(other) <= 3
    with ExitStack() as stack:
        place = Room(stack, "eth0")
        ana, bruno = (
            Person(tmp_path, place.machine(f"192.168.0.{number}"), name)
            for number, name in ((10, "ana"), (11, "bruno"))
        )
        files = {f"fotos/dia {day}/{n}.jpg": os.urandom(50_000) for day in (1, 2) for n in range(3)}
        for name, data in files.items():
            ana.has(name, data)
        for person, lines in ((ana, one), (bruno, other)):
            opened = Terminal(["sh"], person.environment, 100, person.prefix)
            stack.enter_context(closing(opened))
            opened.shows(r"^\$")
            opened.press(f"{lines[0]}\r")
            for line in lines[1:]:
                said = opened.enter(line)
            opened.prompts()
    assert "6 baixados e verificados" in said
    got = bruno.project / "arquivos_baixados"
    assert {str(p.relative_to(got)): p.read_bytes() for p in got.rglob("*.jpg")} == files


# What is said of others.


def test_http_server_answers_a_range_with_the_whole_file(tmp_path, host):
    (tmp_path / "a.bin").write_bytes(b"0123456789")
    words = [sys.executable, "-u", "-m", "http.server", "0", "--bind", host]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            port = int(re.search(r"port (\d+)", server.stdout.readline())[1])
            from http.client import HTTPConnection

            with closing(HTTPConnection(host, port, PATIENCE)) as client:
                client.request("GET", "/a.bin", headers={"Range": "bytes=5-"})
                reply = client.getresponse()
                assert (reply.status, reply.read()) == (200, b"0123456789")
        finally:
            server.terminate()


# Beyond the network.

ALONE = {"enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False}


@in_a_room
@needs_libtorrent
def test_the_steps_beyond_the_network_bring_the_file_to_another_client(room, tmp_path):
    page = PAGES[0].read_text(encoding="utf-8").partition("## Além da rede local")[2]
    first = re.search(
        r"^1\. .*?`(torrent [^`]+)`.*?`arquivos_baixados/([^`]+)`", page, re.MULTILINE
    )
    person = room.reader(first[1])
    typed_in_a_shell(person, f"python3 Peers.py 192.168.0.10 -c {quoted(first[1])}")
    torrent = person.project / "arquivos_baixados" / first[2]
    sessions = [libtorrent.session({**ALONE, "listen_interfaces": "127.0.0.1:0"}) for _ in range(2)]
    shared, fetched = person.project / "arquivos_compartilhaveis", tmp_path / "longe"
    handles = []
    for session, folder in zip(sessions, (shared, fetched), strict=True):
        chosen = libtorrent.load_torrent_file(str(torrent))
        assert not chosen.trackers
        chosen.url_seeds = []  # which are far away
        chosen.save_path = str(folder)
        handles.append(session.add_torrent(chosen))
    eventually(lambda: handles[0].status().is_seeding)  # 2: it checked the file that is there
    handles[1].connect_peer(("127.0.0.1", sessions[0].listen_port()))  # 4
    name = first[1].partition(" ")[2]
    wanted = (shared / name).read_bytes()
    eventually(lambda: (fetched / name).exists() and (fetched / name).read_bytes() == wanted)
    for session, handle in zip(sessions, handles, strict=True):
        session.remove_torrent(handle)
