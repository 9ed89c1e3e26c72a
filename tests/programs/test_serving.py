"""Programs that serve: nothing to write to, nobody who reads, and the signals that end them."""

from __future__ import annotations

import os
import pty
import re
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic

import pytest
from conftest import ROOT
from processes import (
    PATIENCE,
    RUNNER,
    UNFORESEEN,
    Machine,
    Program,
    beside,
    converse,
    eventually,
    machines,
    network,
)
from terminals import port_of, terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell and its signals")

LEAVES_S = 2.0  # from a signal to the end
SLACK_S = 3.0  # on a machine that does much else
ENDINGS = [(signal.SIGTERM, 143), (signal.SIGHUP, 129)]
LARGE = bytes(range(256)) * 8192  # 2 MiB

REDIRECTIONS = {
    "the input is closed": "<&-",
    "the output is closed": ">&-",
    "the errors are closed": "2>&-",
    "all is closed": "<&- >&- 2>&-",
    "the disk of the log is full": ">/dev/full 2>&1",
    "the log may only be read": "1</dev/null 2>&1",
    "nobody reads the pipe any more": "",  # the test closes the other end
    "the window was closed after nohup": "",  # the test closes the terminal's other side
}


@pytest.fixture
def net(tmp_path):
    with network(tmp_path) as programs:
        yield programs


class Muted:
    """A program whose standard streams are bad in one of the ways of REDIRECTIONS."""

    def __init__(self, how, words, environment):
        first = second = None
        if how.startswith("nobody"):
            first, second = os.pipe()
        if how.startswith("the window"):
            first, second = pty.openpty()
        command = f'trap "" HUP; exec "$@" {REDIRECTIONS[how]}'
        self.process = subprocess.Popen(
            ["sh", "-c", command, "sh", sys.executable, *RUNNER, *words],
            stdin=second if how.startswith("the window") else subprocess.DEVNULL,
            stdout=second, stderr=second, cwd=ROOT, env=environment,
        )  # fmt: skip
        if first is not None:
            os.close(first)
            os.close(second)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self, number=signal.SIGTERM):
        return end(self.process, number)


def end(process, number):
    """Signal a program, and return its exit status."""
    began = monotonic()
    process.send_signal(number)
    status = process.wait(PATIENCE)
    assert monotonic() - began < LEAVES_S + SLACK_S
    return status


def listed(net):
    """Return how many peers the tracker lists, or None while there is none."""
    with suppress(OSError):
        answer = converse(net.ip, net.port, b"peers\nquit\n")
        return answer.count(b'"port"')
    return None


def in_the_network(net, count=1):
    eventually(lambda: listed(net) == count)


def has_some(partial):
    """Tell whether a piece has arrived."""
    return partial.exists() and any(partial.read_bytes())


# Nothing to write to.


@pytest.mark.slow
@pytest.mark.parametrize("how", REDIRECTIONS)
def test_a_tracker_serves_on_though_nothing_can_be_written(net, how):
    words = ["Servidor.py", str(net.port), "--ip", net.ip, "--primeira-porta", str(net.port + 1)]
    with Muted(how, words, net.environment()) as tracker:
        in_the_network(net, 0)
        for _ in range(3):  # each comes and goes, and the tracker would write of it
            result = net.run("peers")
            assert result.status == 0, result
        in_the_network(net, 0)
        assert tracker.process.poll() is None
        assert tracker.end() == 143


@pytest.mark.slow
@pytest.mark.parametrize("how", REDIRECTIONS)
def test_a_peer_that_only_serves_does_so_though_nothing_can_be_written(net, how):
    net.tracker()
    words = net.words("--servir", files={"a.txt": b"o que importa"})
    with Muted(how, words, net.environment()) as peer:
        in_the_network(net)
        for number in range(3):  # each is an event, of which the peer would write
            folder = net.folder / str(number)
            result = net.run(f"get {net.ip} a.txt", ip=beside(net.ip), downloads=folder)
            assert result.status == 0, result
            assert (folder / "a.txt").read_bytes() == b"o que importa"
        assert peer.process.poll() is None
        assert peer.end() == 143
    in_the_network(net, 0)


def test_a_peer_with_a_menu_serves_on_though_its_answers_are_lost(net):
    net.tracker()
    ours, its = pty.openpty()
    words = net.words(files={"a.txt": b"o que importa"})
    with Path("/dev/full").open("wb") as full:
        peer = subprocess.Popen(
            [sys.executable, *RUNNER, *words],
            stdin=its, stdout=full, stderr=full, cwd=ROOT, env=net.environment(),
        )  # fmt: skip
    os.close(its)
    try:
        in_the_network(net)
        os.write(ours, b"peers\nls\n")
        result = net.run(f"get {net.ip} a.txt", ip=beside(net.ip))
        assert result.status == 0, result
        os.write(ours, b"peers\nquit\n")
        assert peer.wait(PATIENCE) == 0
    finally:
        peer.kill()
        peer.wait(PATIENCE)
        os.close(ours)


def test_a_full_pipe_that_nobody_reads_holds_nobody_up_at_the_end(net):
    ours, its = os.pipe()
    os.set_blocking(its, False)
    with suppress(BlockingIOError):
        while os.write(its, b"x" * 65536):
            pass
    os.set_blocking(its, True)
    net.tracker()
    words = net.words("--servir", files={"a.txt": b"a"})
    peer = subprocess.Popen(
        [sys.executable, *RUNNER, *words], stdin=subprocess.DEVNULL, stdout=its, stderr=its,
        cwd=ROOT, env=net.environment(),
    )  # fmt: skip
    try:
        in_the_network(net)
        assert end(peer, signal.SIGTERM) == 143
    finally:
        peer.kill()
        peer.wait(PATIENCE)
        os.close(ours)
        os.close(its)
    in_the_network(net, 0)


# What was asked for and cannot be told.


def test_a_reader_who_has_enough_ends_a_script_without_a_word(net):
    net.tracker()
    words = net.words("-c", "ls; peers; peers; peers", files={"a.txt": b"a"})
    ours, its = os.pipe()
    os.close(ours)
    done = subprocess.run(
        [sys.executable, *RUNNER, *words], stdin=subprocess.DEVNULL, stdout=its, check=False,
        stderr=subprocess.PIPE, cwd=ROOT, env=net.environment(), timeout=PATIENCE,
    )  # fmt: skip
    os.close(its)
    assert done.returncode == 128 + signal.SIGPIPE
    said = done.stderr.decode().splitlines()
    assert all(re.match("na rede|minha porta|nada encontrado", line) for line in said), said
    in_the_network(net, 0)


def test_an_answer_that_does_not_fit_on_the_disk_is_an_error_of_a_script(net):
    net.tracker()
    words = net.words("-c", "peers")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, *RUNNER, *words], stdin=subprocess.DEVNULL, stdout=full, check=False,
            stderr=subprocess.PIPE, cwd=ROOT, env=net.environment(), timeout=PATIENCE,
        )  # fmt: skip
    assert done.returncode == 9
    said = done.stderr.decode().splitlines()
    assert said[-1] == "não há espaço no disco para a saída padrão"
    assert not UNFORESEEN.search(done.stderr.decode())


def test_the_help_may_be_cut_short(tmp_path):
    ours, its = os.pipe()
    os.close(ours)
    for program in ("Servidor.py", "Peers.py"):
        done = subprocess.run(
            [sys.executable, program, "--ajuda"], stdout=its, stderr=subprocess.PIPE, cwd=ROOT,
            check=False, timeout=PATIENCE,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (141, b"")
    os.close(its)


# Signals.


@pytest.mark.parametrize(("number", "status"), ENDINGS)
def test_a_tracker_ends_at_a_signal(net, number, status):
    tracker = net.tracker()
    peer, _ = net.peer("--servir")
    tracker.says("entrou")
    assert end(tracker.process, number) == status
    peer.says("não responde")
    assert "tracker encerrado" in tracker.end().err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), ENDINGS)
@pytest.mark.parametrize("words", [["--servir"], [], ["-c", "get {ip} {port} lento.bin"]])
def test_a_peer_leaves_the_network_at_a_signal_and_keeps_what_came(net, words, number, status):
    net.tracker()
    slow = ["--servir", "--limite", "300K"]
    _, port = net.peer(*slow, ip=beside(net.ip), files={"lento.bin": LARGE})
    given = [word.format(ip=beside(net.ip), port=port) for word in words]
    peer, _ = net.peer(*given, files={"a.txt": b"a"})
    in_the_network(net, 2)
    partial = net.downloads / "lento.bin.parte"
    if "-c" in words:
        eventually(lambda: has_some(partial))
    assert end(peer.process, number) == status
    in_the_network(net, 1)
    assert partial.exists() is ("-c" in words)
    assert peer.end().complaints == []


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), ENDINGS)
@pytest.mark.parametrize("doing", ["nothing", "typing", "get", "esperar"])
def test_the_menu_ends_at_a_signal_and_keeps_what_came(net, doing, number, status):
    net.tracker()
    slow = ["--servir", "--limite", "300K"]
    _, port = net.peer(*slow, ip=beside(net.ip), files={"lento.bin": LARGE})
    partial = net.downloads / "lento.bin.parte"
    with terminal(net) as opened:
        assert port_of(opened)
        get = f"get {beside(net.ip)} {port} lento.bin"
        if doing == "typing":
            opened.press("peers nada mais")
            opened.prompts("peers nada mais")
        elif doing == "get":
            opened.press(f"{get}\r")
        elif doing == "esperar":
            opened.enter(f"{get} &")
            opened.press("esperar\r")
        if doing in ("get", "esperar"):
            opened.shows("lento.bin.*MiB")
            eventually(lambda: has_some(partial))
        began = monotonic()
        opened.signal(number)
        assert opened.end() == status
        assert monotonic() - began < LEAVES_S + SLACK_S
    assert partial.exists() is (doing in ("get", "esperar"))
    in_the_network(net, 1)


def test_a_tracker_that_does_not_answer_delays_the_end_by_no_more_than_two_seconds(net):
    tracker = net.tracker()
    peer, _ = net.peer("--servir")
    tracker.process.send_signal(signal.SIGSTOP)
    assert end(peer.process, signal.SIGTERM) == 143
    tracker.process.send_signal(signal.SIGCONT)


def test_a_peer_started_by_nohup_outlives_its_window(net):
    net.tracker()
    ignoring = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"]
    net.prefix = ignoring
    peer, _ = net.peer("--servir")
    peer.process.send_signal(signal.SIGHUP)
    in_the_network(net)
    assert end(peer.process, signal.SIGTERM) == 143


# The services of the documentation.


UNITS = sorted((ROOT / "docs" / "systemd").glob("*.service"))


@pytest.mark.skipif(bool(machines()), reason=f"no network of its own: {machines()}")
def test_the_services_of_the_documentation_run_as_they_are_written(tmp_path):
    home = tmp_path / "casa"
    (home / "rede-p2p").mkdir(parents=True)
    for name in ("Servidor.py", "Peers.py", "rede_p2p", "meus_arquivos.txt",
                 "arquivos_compartilhaveis"):  # fmt: skip
        (home / "rede-p2p" / name).symlink_to(ROOT / name)
    (home / "rede-p2p" / ".venv").symlink_to(Path(sys.prefix))
    lines = {unit.stem: settings(unit)["ExecStart"].replace("%h", str(home)) for unit in UNITS}
    assert lines.keys() == {"rede-p2p-tracker", "rede-p2p-peer"}
    assert {settings(unit)["SuccessExitStatus"] for unit in UNITS} == {"143"}
    with Machine() as machine:
        tracker = Program(
            [*machine.prefix, *shlex.split(lines["rede-p2p-tracker"])], {"HOME": str(home)}
        )
        tracker.says("Ctrl-C encerra")
        peer = Program([*machine.prefix, *shlex.split(lines["rede-p2p-peer"])], {"HOME": str(home)})
        try:
            tracker.says("entrou")
            assert end(peer.process, signal.SIGTERM) == 143
            tracker.says("saiu")
            assert end(tracker.process, signal.SIGTERM) == 143
        finally:
            peer.close()
            tracker.close()


def settings(unit):
    lines = unit.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and line[0] != "#")
