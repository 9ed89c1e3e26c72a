"""What the benchmarks have in common: rivals, clocks, CPU, memory, and the table of a run.

A benchmark runs its contenders in rounds, in a random order within each round, and compares them
round by round: the machine's mood changes from minute to minute, the ratio much less. Every run
starts alike: a program that has just started, a folder that never was, a disk with nothing left
to write. Nothing is deleted before the end, for a file system is slow to reuse what was just freed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import perf_counter

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import processes  # noqa: E402
from processes import Program, Programs, network, private_address, private_port  # noqa: E402
from rivals import cpu_of, nginx_words  # noqa: E402

processes.PATIENCE = 900.0  # seconds for any fact: nothing fails on time here
MIB = 1024 * 1024
SAMPLE_EVERY = 0.05  # seconds between two looks at a program's memory
RIVALS = ("nginx", "curl", "sync")

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Run:
    """What one run took: seconds by the clock and of CPU, bytes of memory (0: not looked at)."""

    seconds: float
    sender_cpu: float = 0.0
    receiver_cpu: float = 0.0
    receiver_memory: int = 0  # at its peak, the pages of files apart


@dataclass(frozen=True)
class Ratio:
    """Two contenders to compare round by round, and what is aimed at."""

    over: str
    under: str
    goal: float | None = None


# Where a benchmark happens.


def arguments(about: str, **numbers: int) -> argparse.Namespace:
    """Read the command line: each number has an option of its name."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--pasta", type=Path, help="onde gravar (padrão: /var/tmp)")
    for name, default in {"rodadas": 5, **numbers}.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"padrão: {default}")
    return parser.parse_args()


@contextmanager
def workplace(folder: Path | None) -> Iterator[Programs]:
    """Give a network with a tracker in a folder of its own; all goes at the end."""
    if not Path("/proc/self/stat").exists():
        sys.exit("estas medidas precisam do /proc do Linux")
    base = folder or Path("/var/tmp")  # /tmp may be memory
    made = Path(tempfile.mkdtemp(prefix="rede-p2p-", dir=base))
    try:
        with network(made) as net:
            net.tracker()
            yield net
    finally:
        shutil.rmtree(made)


def random_file(path: Path, size: int) -> Path:
    """Write a file that nothing can compress."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for at in range(0, size, MIB):
            file.write(os.urandom(min(MIB, size - at)))
    return path


# Ours.


def share_list(path: Path, shared: Mapping[str, Path]) -> Path:
    """Write a list of shares; return it."""
    path.write_text("".join(f'"{name}" {at}\n' for name, at in shared.items()))
    return path


def seed(
    net: Programs, shares: Path, count: int, environment: Mapping[str, str] | None = None
) -> tuple[Program, int]:
    """Start a peer that shares ``count`` files; return it and its port, all being hashed."""
    program = net.start(*net.words("--servir", files=shares), environment=environment)
    port = int(program.says(r"minha porta pública é (\d+)")[1])
    pause = Event()
    while len(known := roots_known(net, port)) != count or None in known:
        pause.wait(0.2)
    return program, port


def roots_known(net: Programs, port: int) -> list[str | None]:
    """List the root of each file that a peer shares; None where it has yet to be computed."""
    listing = net.run(f"ls {net.ip} {port}", "--json", ip=processes.beside(net.ip)).out
    return [json.loads(line)["root"] for line in listing.splitlines()]


def timed_get(
    net: Programs,
    sender: tuple[Program, int],
    wanted: str,
    folder: Path,
    wait: Callable[[Program], object],
) -> Run:
    """Type a ``get`` at a peer that has just started; ``wait`` returns when it has ended."""
    server, port = sender
    receiver, _ = net.peer(ip=processes.beside(net.ip), downloads=folder)
    sync()
    cpu = cpu_of(server.pid), cpu_of(receiver.pid)
    with watching_memory(receiver.pid) as memory:
        began = perf_counter()
        receiver.send(f"get {net.ip} {port} {wanted}")
        wait(receiver)
        seconds = perf_counter() - began
    run = Run(seconds, cpu_of(server.pid) - cpu[0], cpu_of(receiver.pid) - cpu[1], memory[0])
    receiver.end()
    return run


# The rivals.


def rivals_missing() -> str:
    """Return a word on the rivals that are not installed, or an empty one."""
    missing = [name for name in RIVALS if shutil.which(name, path=_PATH) is None]
    return f"{', '.join(missing)}: não há aqui; a comparação fica de fora" if missing else ""


_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


@contextmanager
def nginx(folder: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Serve a folder; give the process and the address to put before a name."""
    folder.mkdir()
    ip, port = private_address(), private_port()
    command = shutil.which("nginx", path=_PATH) or "nginx"
    process = subprocess.Popen([command, *nginx_words(folder, root, ip, port)])
    try:
        processes.eventually(lambda: _answers(ip, port))
        yield process.pid, f"http://{ip}:{port}"
    finally:
        process.terminate()
        process.wait()


def _answers(ip: str, port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex((ip, port)) == 0


def timed_curl(server: int, addresses: Mapping[str, Path], synced: Sequence[str]) -> Run:
    """Fetch addresses with one curl, on one connection, and ``sync`` what is named."""
    folder = next(iter(addresses.values())).parent
    folder.mkdir(parents=True)
    config = folder.with_name(folder.name + ".curl")
    config.write_text("".join(f'url="{url}"\noutput="{to}"\n' for url, to in addresses.items()))
    sync()
    cpu = cpu_of(server), resource.getrusage(resource.RUSAGE_CHILDREN)
    began = perf_counter()
    curl = subprocess.Popen(["curl", "--silent", "--fail", "--config", config])
    with watching_memory(curl.pid) as memory:
        status = curl.wait()
        subprocess.run(["sync", *synced], check=True)
        seconds = perf_counter() - began
    if status:
        sys.exit(f"curl terminou com {status}")
    mine = _spent(resource.getrusage(resource.RUSAGE_CHILDREN)) - _spent(cpu[1])
    return Run(seconds, cpu_of(server) - cpu[0], mine, memory[0])


def timed_discard(path: Path) -> Run:
    """Hand a file to the kernel in one thread, and receive it for nothing in another."""
    sender_cpu: list[float] = []

    def send(sock: socket.socket) -> None:
        with sock, path.open("rb") as file:
            sock.sendfile(file)
        sender_cpu.append(_spent(resource.getrusage(resource.RUSAGE_THREAD)))

    with socket.create_server((private_address(), 0)) as server:
        receiver = socket.create_connection(server.getsockname())
        thread = Thread(target=send, args=(server.accept()[0],))
    buffer = bytearray(512 * 1024)
    sync()
    before = _spent(resource.getrusage(resource.RUSAGE_THREAD))
    began = perf_counter()
    thread.start()
    with receiver:
        while receiver.recv_into(buffer):
            pass
    seconds = perf_counter() - began
    thread.join()
    mine = _spent(resource.getrusage(resource.RUSAGE_THREAD)) - before
    return Run(seconds, sender_cpu[0], mine)


# What a process uses.


def sync() -> None:
    """Leave the disk nothing to write, so that every run starts alike."""
    os.sync()


@contextmanager
def watching_memory(pid: int) -> Iterator[list[int]]:
    """Give a list whose one number becomes the peak of a process's own memory, in bytes."""
    peak, stop = [0], Event()

    def watch() -> None:
        statm = Path(f"/proc/{pid}/statm")
        while not stop.wait(SAMPLE_EVERY):
            try:
                fields = statm.read_text().split()
            except OSError:  # it has ended
                return
            peak[0] = max(peak[0], (int(fields[1]) - int(fields[2])) * _PAGE)

    thread = Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def _spent(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime


# Rounds and tables.


def rounds(count: int, contenders: Mapping[str, Callable[[int], Run]]) -> dict[str, list[Run]]:
    """Run every contender once a round, in a random order; each is given a number of its own."""
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for number in range(count):
        for name in random.sample(list(contenders), len(contenders)):
            runs[name].append(contenders[name](number))
            print(f"  {number + 1}. {name}: {_number(runs[name][-1].seconds)} s", file=sys.stderr)
    return runs


def report(
    title: str,
    runs: Mapping[str, Sequence[Run]],
    ratios: Sequence[Ratio],
    goals: Mapping[str, float] = {},
) -> None:
    """Print the ratios of one benchmark, then what each contender took, and its goal in seconds."""
    print(f"\n{title}: medianas de {max(map(len, runs.values()))}\n")
    rows = [("razão", "mediana", "por rodada", "meta")]
    for ratio in ratios:
        if ratio.over in runs and ratio.under in runs:
            pairs = zip(runs[ratio.over], runs[ratio.under], strict=True)
            each = [over.seconds / under.seconds for over, under in pairs]
            goal = "" if ratio.goal is None else f"≤ {_number(ratio.goal)}"
            among = " ".join(map(_number, each))
            rows.append((f"{ratio.over} / {ratio.under}", _number(median(each)), among, goal))
    _print_table(rows)
    print()
    rows = [("", "tempo", "de … a", "meta", "CPU de quem envia", "de quem recebe", "memória")]
    rows += [(name, *_summary(of, goals.get(name))) for name, of in runs.items()]
    _print_table(rows)


def _summary(runs: Sequence[Run], goal: float | None) -> tuple[str, ...]:
    seconds = [run.seconds for run in runs]
    memory = max(run.receiver_memory for run in runs)
    return (
        f"{_number(median(seconds))} s",
        f"{_number(min(seconds))}–{_number(max(seconds))}",
        "" if goal is None else f"≤ {_number(goal)} s",
        f"{_number(median(run.sender_cpu for run in runs))} s",
        f"{_number(median(run.receiver_cpu for run in runs))} s",
        f"{_number(memory / MIB, 0)} MiB" if memory else "–",
    )


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        print("| " + " | ".join(cells) + " |")
        if row is rows[0]:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def _number(value: float, places: int = 2) -> str:
    return f"{value:.{places}f}".replace(".", ",")
