"""The machine is kept awake while something moves, by a program that never outlives its use."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest
from processes import eventually, network

from rede_p2p.cli import awake
from rede_p2p.cli.awake import Awake, command_of, moves
from rede_p2p.timeouts import Timeouts

pytestmark = pytest.mark.skipif(os.name == "nt", reason="what holds the sleep off is a sh script")

QUICK = Timeouts(awake_interval_s=0.01, awake_idle_s=0.05, awake_end_s=0.3)
LIVES = """#!/bin/sh
echo "$$ $*" >> {log}
exec cat
"""
REFUSES = """#!/bin/sh
echo "$$ $*" >> {log}
exit 1
"""
STUBBORN = """#!/bin/sh
trap '' TERM
echo "$$ $*" >> {log}
while :; do sleep 0.05; done
"""


@pytest.fixture
def lives(tmp_path, monkeypatch):
    """Put a fake on PATH, and return a function that tells of each of its lives."""
    log = tmp_path / "vidas"

    def install(text, *names):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name in names or ("systemd-inhibit", "caffeinate"):
            (folder / name).write_text(text.format(log=log), encoding="utf-8")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return read

    def read():
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        return [(int(line.split()[0]), line.split()[1:]) for line in lines]

    return install


def runs(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Work:
    """What is busy as a test says."""

    def __init__(self, *, busy=False):
        self.busy, self.asked = busy, 0

    def __call__(self):
        self.asked += 1
        return self.busy


def test_nothing_is_started_while_nothing_moves(lives):
    read, work = lives(LIVES), Work()
    with closing(Awake(work, QUICK)):
        eventually(lambda: work.asked > 5)
    assert read() == []


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_it_lives_from_the_first_move_to_a_while_after_the_last(lives, platform):
    read, work = lives(LIVES), Work(busy=True)
    with closing(Awake(work, QUICK, platform)):
        eventually(read)
        ((pid, words),) = read()
        eventually(lambda: work.asked > 20)
        assert runs(pid) and len(read()) == 1
        work.busy = False
        eventually(lambda: not runs(pid))
        work.busy = True
        eventually(lambda: len(read()) == 2)
    assert not runs(read()[1][0])
    assert words == " ".join(command_of(platform, os.getpid())[1:]).split()


def test_it_ends_with_the_program_though_it_will_not(lives):
    read = lives(STUBBORN)
    with closing(Awake(Work(busy=True), QUICK, "darwin")):
        eventually(read)
    assert not runs(read()[0][0])


def test_where_it_is_refused_it_is_asked_for_once(lives):
    read, work = lives(REFUSES), Work(busy=True)
    with closing(Awake(work, QUICK, "linux")):
        eventually(read)
        before = work.asked
        eventually(lambda: work.asked > before + 10)
    assert len(read()) == 1


@pytest.mark.parametrize("platform", ["linux", "darwin", "freebsd14", "win32"])
def test_where_there_is_no_way_nothing_is_done(monkeypatch, tmp_path, platform):
    monkeypatch.setenv("PATH", str(tmp_path))
    work = Work(busy=True)
    with closing(Awake(work, QUICK, platform)) as keeping:
        eventually(lambda: work.asked > 5)
        assert keeping._holder is None


def test_what_cannot_be_run_is_no_way(lives):
    read = lives("#!/nada\n", "systemd-inhibit")
    work = Work(busy=True)
    with closing(Awake(work, QUICK, "linux")):
        eventually(lambda: work.asked > 5)
    assert read() == []


def test_windows_is_told_by_the_thread_that_looks(monkeypatch):
    told, work = [], Work(busy=True)
    monkeypatch.setattr(awake, "_tell_windows", lambda state: told.append(hex(state)) or True)
    with closing(Awake(work, QUICK, "win32")):
        eventually(lambda: work.asked > 5)
        assert told == ["0x80000001"]
        work.busy = False
        eventually(lambda: len(told) == 2)
    assert told == ["0x80000001", "0x80000000"]


def test_what_moves_is_what_is_sent_or_comes():
    sent, active, running = [0], [], []
    tally = SimpleNamespace(given=lambda: SimpleNamespace(sent=sent[0]))
    slots = SimpleNamespace(tally=tally, active=lambda: active)
    is_busy = moves(SimpleNamespace(any_running=lambda: bool(running)), slots)
    assert not is_busy()
    sent[0] = 7  # a small file, that needed no slot
    assert is_busy() and not is_busy()
    active.append("upload")
    assert is_busy()
    active.clear()
    running.append("transfer")
    assert is_busy()


# In whole programs.


@pytest.mark.skipif(sys.platform != "linux", reason="the fake stands for what Linux has")
@pytest.mark.parametrize("end", ["quit", "SIGTERM", "kill -9"])
def test_it_never_outlives_the_program(tmp_path, lives, end):
    read = lives(LIVES)
    with network(tmp_path) as net:
        net.tracker()
        _, port = net.peer("--servir", "--limite", "16K", files={"lento.bin": bytes(2_000_000)})
        net.hurry(awake_interval_s=0.02)
        peer, _ = net.peer()
        peer.send(f"get {net.ip} {port} lento.bin &")
        eventually(read)
        ((pid, _),) = read()
        assert runs(pid)
        if end == "quit":
            peer.send("quit")
            assert peer.end().status == 0
        elif end == "SIGTERM":
            peer.process.terminate()
            assert peer.end().status == 143
        else:
            peer.kill()
        eventually(lambda: not runs(pid))
