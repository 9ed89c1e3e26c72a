"""Many at once, and very large: every byte exact, and nothing left behind."""

from __future__ import annotations

import json
import os
import random
import shutil
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from processes import Program, beside, eventually, network

from rede_p2p.content import merkle

pytestmark = pytest.mark.slow

PEERS, GETS = 8, 200
LARGEST = 2 * 2**20  # bytes
ENORMOUS = 2**32 + 70_001  # bytes
LETTERS = "abcxyz çãéñß[]()'&=,!@#+-_~ 漢字🐍"


def random_name(rng, number):
    middle = "".join(rng.choices(LETTERS, k=rng.randrange(1, 40)))
    return f"{number}{middle}{rng.choice(['', '.txt', '.tar.gz', '.é'])}x"


def shell_quoted(name):
    return "'" + name.replace("'", "'\\''") + "'"


def held(pid):
    """List the threads and descriptors of a process."""
    descriptors = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            descriptors.append(os.readlink(entry))  # noqa: PTH115
        except FileNotFoundError:
            continue
    return len(list(Path(f"/proc/{pid}/task").iterdir())), len(descriptors)


@dataclass
class CrowdPeer:
    """One peer of the crowd: what it shares, what it is to get, and the lines that say so."""

    program: Program
    ip: str
    port: int
    downloads: Path
    files: dict[str, bytes]
    lines: list[str] = field(default_factory=list)
    wanted: dict[str, bytes] = field(default_factory=dict)

    def is_to_get(self, name, other):
        self.wanted[name] = sha256(other.files[name]).digest()
        self.lines.append(f"get {other.ip} {other.port} {shell_quoted(name)}")

    def got(self):
        return {p.name: sha256(p.read_bytes()).digest() for p in self.downloads.iterdir()}


def crowd(programs, rng):
    """Start peers on a few addresses, and give each a part of everybody else's files to get."""
    sizes = [0, 1, LARGEST, 2**16, 2**16 + 1, *(rng.randrange(LARGEST) for _ in range(GETS))]
    members = []
    for number in range(PEERS):
        files = {random_name(rng, i): rng.randbytes(sizes[i]) for i in range(number, GETS, PEERS)}
        ip, downloads = beside(programs.ip, number % 4), programs.folder / f"baixados{number}"
        program, port = programs.peer(ip=ip, files=files, downloads=downloads)
        members.append(CrowdPeer(program, ip, port, downloads, files))
    for number, member in enumerate(members):
        for i, name in enumerate(member.files):
            members[(number + 1 + i % (PEERS - 1)) % PEERS].is_to_get(name, member)
    return members


def answers(members, *lines):
    """Have every member do what it is told, and wait until the last has."""
    for member in members:
        member.program.send(*lines, "ajuda quit")
    for member in members:
        member.program.prints("sair da rede")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc here")
def test_200_gets_by_8_peers_at_once_are_exact_and_leave_nothing_behind(tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - pytest shows it when the test fails
    with network(tmp_path) as programs:
        programs.hurry(awake_interval_s=0.5, awake_idle_s=0.5)  # whose pipe is a descriptor
        programs.tracker()
        members = crowd(programs, random.Random(seed))
        answers(members, "peers")
        before = {member.port: held(member.program.pid) for member in members}
        for member in members:
            member.program.send(*member.lines)
        answers(members)
        for member in members:
            eventually(lambda m=member: held(m.program.pid) == before[m.port])
            result = member.program.end()
            assert result.status == 0, result
            assert result.out.count("baixado e verificado") == len(member.wanted)
            assert member.got() == member.wanted  # so there is no .parte either
    assert sum(len(member.wanted) for member in members) == GETS


@pytest.fixture
def spacious(tmp_path):
    """Return a folder for a few GiB: in memory where there is plenty, for it is quicker."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > 2 * ENORMOUS
    with TemporaryDirectory(dir=memory if roomy else tmp_path) as folder:
        yield Path(folder)


def test_a_sparse_file_over_4_gib_arrives_whole(spacious):
    marks = {0: b"begin", 2**31 - 2: b"middle", 2**32 - 3: b"beyond", ENORMOUS - 3: b"end"}
    with (spacious / "enorme").open("wb") as file:
        file.truncate(ENORMOUS)
        for at, mark in marks.items():
            file.seek(at)
            file.write(mark)
    list_path = spacious / "lista.txt"
    list_path.write_text("enorme.bin enorme\n")
    with network(spacious) as programs:
        programs.tracker()
        server, port = programs.peer("--servir", files=list_path)
        script = f"get {programs.ip} {port} enorme.bin; ls {programs.ip} {port}"
        getter = programs.start(*programs.words("--json", "-c", script))
        result = getter.end(within=120)
        assert result.status == 0, result
        server.says(r"baixou enorme.bin \(4,0 GiB\)")
        got = programs.downloads / "enorme.bin"
    assert [path.name for path in got.parent.iterdir()] == ["enorme.bin"]
    assert got.stat().st_size == ENORMOUS
    with got.open("rb") as file:
        for at, mark in marks.items():
            file.seek(at)
            assert file.read(len(mark)) == mark
    root = root_of_sparse(ENORMOUS, marks)
    assert [json.loads(line)["root"] for line in result.out.splitlines()] == [root, root]


def root_of_sparse(size, marks):
    """Return the root of a file of zeros but for some marks, as it is written in JSON."""
    piece = merkle.piece_length(size)
    [blank] = merkle.piece_hashes(bytes(piece), size)
    hashes = []
    for at, length in merkle.cut(size, piece):
        within = {m: mark for m, mark in marks.items() if at - len(mark) < m < at + length}
        if length == piece and not within:
            hashes.append(blank)
            continue
        data = bytearray(length)
        for m, mark in within.items():
            for offset, byte in enumerate(mark, start=m - at):
                if 0 <= offset < length:
                    data[offset] = byte
        hashes += merkle.piece_hashes(data, size)
    return merkle.root_of(b"".join(hashes), size).hex()
