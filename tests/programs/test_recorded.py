"""Whole conversations that were recorded, said again to the programs: no byte may have changed.

To record anew what the programs say (minutes):
``RECORD=1 pytest -n 0 tests/programs/test_recorded.py``

What is said to them is kept then; a new conversation needs no more than that. ``recorded/*.txt``
are read so: ``#`` and a title; after ``>`` what is said, after ``<`` what is answered (a bare ``<``
in a new one: wait for it), a word before them where there are several connections; after ``$`` a
command of ours, then what is typed. Text is as on the wire, but for ``\\n \\r \\t \\\\``; ``\\x00``
for a byte; ``{end}`` where a side says no more; ``{5 * x}``; ``{grande.bin 0:64}``, a part of that
file; ``{after find}`` before an answer that is given only when the tracker was asked that.

What varies from run to run is not recorded: its addresses and ports ({IP1}, {P1}, …), the nonce of
a question by UDP, what a peer asks of its tracker once more as time passes (``ping``, a ``find``
that was answered already), and when it announces what it has: that is a voice of its own.
Where pieces are offered they are so few that chance decides nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby, pairwise, takewhile
from pathlib import Path
from threading import Condition, Thread
from typing import BinaryIO

import pytest
from processes import PATIENCE, Programs, beside, converse, eventually, network, private_address

FOLDER = Path(__file__).resolve().parent / "recorded"
RECORDING = "RECORD" in os.environ
QUIET = 1.0  # seconds without a word, after which a recording takes it that all was said
WELL_KNOWN_PORT = 9450
END = "{end}"  # of what one side says: it closes the connection, or its half of it

TRACKER, PEER, UDP, CLIENT = "tracker", "peer", "udp", "client"
NETWORK, ONE_PORT = "tracker-of-a-network", "tracker-of-one-port"


def noise(name: str, size: int) -> bytes:
    """Return the same bytes always, none of them like the others."""
    blocks = range(-(-size // 32))
    return b"".join(hashlib.sha256(b"%s %d" % (name.encode(), i)).digest() for i in blocks)[:size]


BINARY = {
    "grande.bin": noise("grande.bin", 300_000),  # five pieces
    "dois.bin": noise("dois.bin", 100_000),  # two
    "um.bin": noise("um.bin", 65_536),  # one, the largest that there is
}
SAMPLES = {
    "a.txt": "O conteúdo de a.\nSão duas linhas.\n".encode(),
    "vazio": b"",
    **BINARY,
    "com espaço & acentuação.txt": b"um nome e tanto\n",
    "pasta/um.txt": b"um\n",
    "pasta/funda/dois.txt": b"dois\n",
    "igual.txt": "O conteúdo de a.\nSão duas linhas.\n".encode(),
}
SHARED = {"nota.txt": b"uma nota\n"}  # what a client shares, if it shares


# How a recording is written.


@dataclass
class Turn:
    """Lines that one side says in a row: ``>`` in its request, ``<`` in its answer."""

    voice: str
    way: str
    lines: list[str]

    @property
    def ends(self) -> bool:
        return self.lines[-1:] == [END]

    def said(self, names: dict[str, str]) -> bytes:
        return b"".join(spoken(line, names) for line in self.lines if line != END)


@dataclass
class Conversation:
    """One recording: its title, the command and what is typed, the turns."""

    title: str
    typed: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [f"# {self.title}", *(f"$ {line}" for line in self.typed)]
        for turn in self.turns:
            rows += [f"{turn.voice}{turn.way}{line and ' '}{line}" for line in turn.lines]
        return "\n".join(rows) + "\n"

    def of(self, voice: str) -> list[Turn]:
        """Return what is said on one connection."""
        return in_turns(
            (t.voice, t.way, line) for t in self.turns if t.voice == voice for line in t.lines
        )


def in_turns(rows: Iterator[tuple[str, str, str]]) -> list[Turn]:
    return [
        Turn(*key, [row[2] for row in same]) for key, same in groupby(rows, lambda row: row[:2])
    ]


def read(name: str) -> tuple[str, list[Conversation]]:
    """Return what a file of recordings says of itself, and its conversations."""
    about, *parts = re.split(r"^# ", (FOLDER / f"{name}.txt").read_text("utf-8"), flags=re.M)
    return about, [parsed(part) for part in parts]


def parsed(part: str) -> Conversation:
    title, *rows = part.rstrip("\n").split("\n")
    found = [re.fullmatch(r"(\w*)([<>$]) ?(.*)", row) for row in rows if row]
    assert all(found), (title, rows)
    said = [match.groups() for match in found if match]
    typed = [line for _, way, line in said if way == "$"]
    return Conversation(title, typed, in_turns(row for row in said if row[1] != "$"))


def write(name: str, told: Conversation) -> None:
    """Put a conversation in the place of the one of that title."""
    about, all_of_them = read(name)
    rows = [str(told if one.title == told.title else one) for one in all_of_them]
    (FOLDER / f"{name}.txt").write_text(about + "\n".join(rows), "utf-8")


SHORT = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
LONG = {written[1]: char.encode() for char, written in SHORT.items()}
SPECIAL = re.compile(
    r"\\x(?P<byte>[0-9a-f]{2})|\\(?P<char>[\\nrt])|\{(?P<name>[A-Z]+\d?)\}"
    r"|\{(?P<times>\d+) \* (?P<unit>[^}]+)\}|\{(?P<file>[\w.]+) (?P<start>\d+):(?P<stop>\d+)\}"
)


def spoken(line: str, names: dict[str, str]) -> bytes:
    """Return the bytes that a line of a recording stands for."""
    data, end = b"", 0
    for match in SPECIAL.finditer(line):
        data += line[end : match.start()].encode() + meant(match, names)
        end = match.end()
    return data + line[end:].encode()


def meant(match: re.Match[str], names: dict[str, str]) -> bytes:
    kind, value = next((k, v) for k, v in match.groupdict().items() if v is not None)
    if kind == "byte":
        return bytes.fromhex(value)
    if kind == "char":
        return LONG[value]
    if kind == "name":
        return names[value].encode()
    if kind == "times":
        return int(value) * spoken(match["unit"], names)
    return BINARY[value][int(match["start"]) : int(match["stop"])]


END_OF_LINE = re.compile(rb"\n|.(?=ok \{|ok\n|erro \{|espera \{)", re.DOTALL)  # or of a body


def written(data: bytes, names: dict[str, str]) -> list[str]:
    """Write bytes as the lines of a recording: the other way round, and for each only one way."""
    lines = []
    while data:
        line, length = part_of_a_file(data)
        if not line:
            found = END_OF_LINE.search(data)
            length = found.end() if found else len(data)
            line = masked(escaped(data[:length]), names)
        lines.append(line)
        data = data[length:]
    return lines


def part_of_a_file(data: bytes) -> tuple[str, int]:
    """Return how to write the bytes of a binary file that come first, and how many there are."""
    for name, whole in BINARY.items():
        start = whole.find(data[:64]) if len(data) >= 64 else -1
        if start >= 0:
            same = takewhile(
                lambda pair: pair[0] == pair[1], zip(data, whole[start:], strict=False)
            )
            length = sum(1 for _ in same)
            return f"{{{name} {start}:{start + length}}}", length
    return "", 0


def escaped(data: bytes) -> str:
    return "".join(map(escaped_char, data.decode("utf-8", "surrogateescape")))


def escaped_char(char: str) -> str:
    if char in SHORT or (char.isprintable() and char < "\u0180"):  # as every Python has it
        return SHORT.get(char, char)
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def masked(line: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        line = re.sub(rf"(?<![\w.]){re.escape(value)}(?![\w.])", f"{{{name}}}", line)
    return line


def names_of(programs: Programs) -> dict[str, str]:
    """Return what differs from run to run; an address and a port always have the same length."""
    ips = {f"IP{n + 1}": beside(programs.ip, n) for n in range(3)}
    ports = {f"P{n}": str(programs.port + n) for n in range(1, 5)}
    return {**ips, "TRACKER": str(programs.port), **ports}


@contextmanager
def stage(folder: Path) -> Iterator[Programs]:
    """Give a private address of the greatest length, so that lists of them have all one length."""
    with network(folder) as programs:
        while len(programs.ip) != len("127.255.255.255"):
            programs.ip = private_address()
        yield programs


def recorded(name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a test each conversation of a file."""
    _, all_of_them = read(name)
    return pytest.mark.parametrize("told", all_of_them, ids=lambda told: told.title)


def check(name: str, told: Conversation, heard: Conversation) -> None:
    """Compare what was recorded with what was heard, or record that."""
    if RECORDING:
        write(name, heard)
    else:
        assert str(heard) == str(told)


# Saying it to a server.


class Voice:
    """A connection to a program that answers."""

    def __init__(self, ip: str, port: int, source: str) -> None:
        self.sock = socket.create_connection((ip, port), PATIENCE, source_address=(source, 0))
        self.ended = False

    def say(self, turn: Turn, names: dict[str, str]) -> None:
        with suppress(OSError):  # it may hang up on us before
            self.sock.sendall(turn.said(names))
            if turn.ends:
                self.sock.shutdown(socket.SHUT_WR)

    def hear(self, expected: bytes, *, ends: bool) -> bytes:
        """Return what is said: as much as is expected, or up to the first byte that is not."""
        heard = b""
        while heard == expected[: len(heard)] and (ends or len(heard) < len(expected)):
            chunk = self._receive(PATIENCE)
            if not chunk:
                break
            heard += chunk
        return heard

    def hear_until_quiet(self) -> bytes:
        """Return what is said, when nobody knows what it will be."""
        heard = b""
        while chunk := self._receive(QUIET):
            heard += chunk
        return heard

    def _receive(self, within: float) -> bytes:
        self.sock.settimeout(within)
        try:
            chunk = self.sock.recv(2**20)
        except TimeoutError:
            return b""
        except ConnectionError:
            chunk = b""
        self.ended = self.ended or not chunk
        return chunk


def talk(told: Conversation, programs: Programs, port: int) -> Conversation:
    """Say to a program what was said, and return what it answers."""
    names = names_of(programs)
    heard = Conversation(told.title)
    with ExitStack() as stack:
        voices: dict[str, Voice] = {}
        for turn, answer in (*exchanges(told), *endings(told)):
            if turn.voice not in voices:  # the second comes from an address of its own
                source = beside(programs.ip, len(voices))
                voices[turn.voice] = Voice(programs.ip, port, source)
                stack.enter_context(voices[turn.voice].sock)
            voice = voices[turn.voice]
            if voice.ended:
                continue
            voice.say(turn, names)
            if RECORDING:
                data = voice.hear_until_quiet()
            else:
                data = voice.hear(answer.said(names), ends=answer.ends)
            lines = written(data, names) + [END] * voice.ended
            heard.turns += [turn, Turn(turn.voice, "<", lines or [""])]
    return heard


def exchanges(told: Conversation) -> Iterator[tuple[Turn, Turn]]:
    """Yield what is said and what is answered."""
    silence = Turn("", "<", [])
    for turn, after in pairwise((*told.turns, silence)):
        if turn.way == ">":
            yield turn, after if (after.voice, after.way) == (turn.voice, "<") else silence


def endings(told: Conversation) -> list[tuple[Turn, Turn]]:
    """Return what is said last of all on each connection, when it is recorded."""
    voices = dict.fromkeys(turn.voice for turn in told.turns)
    return [(Turn(voice, ">", [END]), Turn(voice, "<", [])) for voice in voices] * RECORDING


@pytest.fixture(scope="module")
def lone(tmp_path_factory):
    """A tracker and nobody else."""
    with stage(tmp_path_factory.mktemp("lone")) as programs:
        programs.tracker()
        yield programs


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A tracker that has one port to give."""
    with stage(tmp_path_factory.mktemp("full")) as programs:
        programs.tracker(first_port=65535)
        yield programs


@pytest.fixture(scope="module")
def serving(tmp_path_factory):
    """A tracker and a peer that knows the roots of all that it shares."""
    with stage(tmp_path_factory.mktemp("serving")) as programs:
        programs.tracker()
        _, port = programs.peer("--servir", files=SAMPLES)
        assert port == programs.port + 1
        eventually(lambda: knows_all(programs.ip, port, b"ls\n"))
        eventually(lambda: knows_all(programs.ip, programs.port, b'search {"text": ""}\n'))
        yield programs


def knows_all(ip: str, port: int, question: bytes) -> bool:
    return converse(ip, port, question).count(b'"root"') == len(SAMPLES)


@recorded(TRACKER)
def test_the_tracker_answers_as_it_did(told, lone):
    check(TRACKER, told, talk(told, lone, lone.port))


@recorded(ONE_PORT)
def test_a_tracker_without_ports_answers_as_it_did(told, full):
    check(ONE_PORT, told, talk(told, full, full.port))


@recorded(NETWORK)
def test_a_tracker_tells_of_a_peer_what_it_did(told, serving):
    check(NETWORK, told, talk(told, serving, serving.port))


@recorded(PEER)
def test_a_peer_answers_as_it_did(told, serving):
    check(PEER, told, talk(told, serving, serving.port + 1))


@recorded(UDP)
def test_the_question_by_udp_is_answered_as_it_was(told, lone):
    names, heard = names_of(lone), Conversation(told.title)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(QUIET if RECORDING else PATIENCE)
        sock.bind((lone.ip, 0))
        sock.connect((lone.ip, WELL_KNOWN_PORT))
        for turn, answer in exchanges(told):
            for line in turn.lines:
                sock.send(spoken(line, names))
            found = datagrams(sock, len(answer.lines))
            lines = [line for data in found for line in written(data, names)]
            heard.turns += [turn, Turn("", "<", lines)]
    check(UDP, told, heard)


def datagrams(sock: socket.socket, count: int) -> list[bytes]:
    """Return so many that come, or all of them when nobody knows how many."""
    heard: list[bytes] = []
    with suppress(TimeoutError):
        while RECORDING or len(heard) < count:
            heard.append(sock.recv(2**16))
    return heard


# Hearing what a client says.


ANNOUNCER = "announcer"  # what a tracker is told of what is here, whenever that is known
ANNOUNCEMENTS = ("announce", "withdraw")
AFTER = re.compile(r"\{after (\w+)\}")  # an answer that waits until the tracker is asked that


class Fakes:
    """A tracker and a peer that answer from a recording, and note what they are asked."""

    def __init__(self, told: Conversation, programs: Programs) -> None:
        self.names = names_of(programs)
        self._told = told
        self._changed = Condition()  # guards the three below
        self._heard: dict[str, list[str]] = {}  # by voice, in the order in which they came
        self._asked: set[str] = set()  # verbs
        self._count = 0  # requests, each once
        self._socks: list[socket.socket] = []
        self._attendants: list[Thread] = []
        self._others: list[Thread] = []
        self._servers = [
            self._open(programs.ip, programs.port, "tracker"),
            self._open(beside(programs.ip), programs.port + 2, "peer"),
            self._open(beside(programs.ip, 2), programs.port + 3, "taken"),  # on its own machine
        ]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind((programs.ip, WELL_KNOWN_PORT))
        self._start(self._others, self._attend_udp)

    def __enter__(self) -> Fakes:
        return self

    def __exit__(self, *_: object) -> None:
        self._udp.sendto(b"", self._udp.getsockname())
        for sock in self._servers:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._others:
            thread.join(PATIENCE)
        for sock in self._socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._attendants:
            thread.join(PATIENCE)
        for sock in (*self._servers, *self._socks, self._udp):
            sock.close()

    def hear_all_before_quit(self) -> None:
        """Wait until all was heard that was recorded; when it is recorded, until there is quiet."""
        with self._changed:
            if not RECORDING:
                self._changed.wait_for(self._is_all_heard, PATIENCE)
                return
            count = -1
            while count != self._count:
                count = self._count
                self._changed.wait_for(lambda: False, QUIET)

    def heard(self) -> Conversation:
        """Return what was heard, and what was answered, up to the end of the program."""
        for thread in self._attendants:
            thread.join(PATIENCE)
        told = Conversation(self._told.title, self._told.typed)
        for voice in dict.fromkeys((*(t.voice for t in self._told.turns), *self._heard)):
            answers = self._answers(voice)
            for count, line in enumerate(self._heard.get(voice, []), start=1):
                told.turns.append(Turn(voice, ">", line.split("\0")))
                told.turns.append(answers.get(count, Turn(voice, "<", [])))
        return told

    def _is_all_heard(self) -> bool:
        for voice in {turn.voice for turn in self._told.turns}:
            lines = [ln for t in self._told.of(voice) if t.way == ">" for ln in t.lines]
            if voice == ANNOUNCER:
                lines = [line for line in lines if line.startswith(ANNOUNCEMENTS)]
            count = lines.index("quit\\n") if "quit\\n" in lines else len(lines)
            if len(self._heard.get(voice, [])) < count:
                return False
        return True

    def _answers(self, voice: str) -> dict[int, Turn]:
        """Return the answers, each by how many requests come before it."""
        answers, count = {}, 0
        for turn in self._told.of(voice):
            if turn.way == ">":
                count += len(turn.lines)
            else:
                answers[count] = turn
        return answers

    def _open(self, ip: str, port: int, name: str) -> socket.socket:
        server = socket.create_server((ip, port))
        self._start(self._others, self._accept, server, name)
        return server

    def _start(self, threads: list[Thread], run: Callable[..., None], *words: object) -> None:
        threads.append(Thread(target=run, args=words))
        threads[-1].start()

    def _accept(self, server: socket.socket, name: str) -> None:
        """Give each connection a voice: the first ``peer1``, the next ``peer2``."""
        with suppress(OSError):
            for number in range(1, 100):
                sock, _ = server.accept()
                self._socks.append(sock)
                self._start(self._attendants, self._attend, sock, f"{name}{number}")

    def _attend(self, sock: socket.socket, voice: str) -> None:
        answers, count = self._answers(voice), 0
        with suppress(OSError), sock.makefile("rb") as lines:
            for request in self._requests(sock, voice, lines):
                self._note(voice, request)
                count += 1
                if count in answers and not self._answer(sock, answers[count]):
                    return
            self._note(voice, b"")

    def _requests(self, sock: socket.socket, voice: str, lines: BinaryIO) -> Iterator[bytes]:
        """Yield requests; a tracker answers at once what it does not hear in that order."""
        known: dict[bytes, Turn] = {}
        answers = self._answers(voice)
        for line in lines:
            verb = line.split()[0].decode() if line.strip() else ""
            if not voice.startswith("tracker"):
                yield line
            elif verb in ANNOUNCEMENTS:
                head = json.loads(line[len(verb) :])
                self._note(ANNOUNCER, line + lines.read(head["bytes"]))
                sock.sendall(b"ok\n")
            elif verb == "ping":
                sock.sendall(b"ok\n")
            elif line in known:
                self._answer(sock, known[line])
            else:
                yield line
                if verb == "find":
                    known[line] = answers.get(len(self._heard[voice]), Turn(voice, "<", [END]))

    def _note(self, voice: str, request: bytes) -> None:
        with self._changed:
            lines = written(request, self.names) or [END]
            self._heard.setdefault(voice, []).append("\0".join(lines))
            self._asked.add(lines[0].partition(" ")[0])
            self._count += 1
            self._changed.notify_all()

    def _answer(self, sock: socket.socket, turn: Turn) -> bool:
        """Say what was recorded; tell whether the conversation goes on."""
        if after := AFTER.match(turn.lines[0]):
            with self._changed:
                self._changed.wait_for(lambda: after[1] in self._asked, PATIENCE)
        lines = [AFTER.sub("", line) for line in turn.lines]
        sock.sendall(Turn(turn.voice, "<", lines).said(self.names))
        if turn.ends:
            sock.shutdown(socket.SHUT_RDWR)
        return not turn.ends

    def _attend_udp(self) -> None:
        """Answer the question of each nonce, which is asked again where the answer is late."""
        answers = self._answers("udp")
        with suppress(OSError, ValueError):
            while True:
                question, asker = self._udp.recvfrom(2**16)
                nonce = re.search(rb'"nonce": "([0-9a-f]{16})"', question)
                if not nonce:  # the word to stop
                    return
                if "NONCE" not in self.names:
                    self.names["NONCE"] = nonce[1].decode()
                    self._note("udp", question)
                self._udp.sendto(answers[1].said(self.names), asker)


@pytest.mark.slow
@recorded(CLIENT)
def test_a_peer_says_to_others_what_it_said(told, tmp_path):
    with stage(tmp_path) as programs, Fakes(told, programs) as fakes:
        files = {"LIST": programs.sharing(SHARED), "NONE": programs.sharing({})}
        places = {**files, "FOLDER": programs.downloads}
        names = {**fakes.names, **{name: str(path) for name, path in places.items()}}
        command, *typed = (spoken(line, names).decode() for line in told.typed)
        program = programs.start(*shlex.split(command), "--sem-pagina")  # which peers did not have
        program.send(*(line for line in typed if line != "quit"))
        fakes.hear_all_before_quit()
        with suppress(BrokenPipeError):  # it has left already, as it should not have
            program.send(*(line for line in typed if line == "quit"))
        program.end()
        check(CLIENT, told, fakes.heard())
