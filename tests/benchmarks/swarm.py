#!/usr/bin/env python3
"""The swarm on a bench of network namespaces: how long until the last peer has the file.

    python3 tests/benchmarks/swarm.py --n 8 --rate 100mbit --size 64M

Every machine is a namespace on one bridge, its cable limited in both directions by ``tbf``. The
real programs are started and joined before the clock starts; the clock stops when the last one has
the file at its final name. The bound is that of Kurose & Ross: F/u_s, F/d_min, N·F/(u_s + Σu_i).
Needs root and iproute2; leaves nothing behind.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread

ROOT = Path(__file__).resolve().parent.parent.parent
NET = "10.77.0"
HEADERS = 1.046  # bytes on an Ethernet cable for each byte in TCP, at 1,500 bytes a packet
BURST = "128kb"  # a 64 KiB sendfile is one packet until the cable cuts it
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


def run(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, check=check, capture_output=True, text=True)


def bytes_of(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1].upper()] if text[-1].upper() in UNITS else int(text)


def bits_of(rate: str) -> float:
    for unit, factor in (("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)):
        if rate.endswith(unit):
            return float(rate[: -len(unit)]) * factor
    raise SystemExit(f"a rate is 100mbit or 1gbit, not {rate}")


@dataclass
class Machine:
    """One namespace: its name, its address, and its cable's rates in bits a second."""

    name: str
    ip: str
    up: str | None
    down: str | None
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *words: str, folder: Path) -> subprocess.Popen[str]:
        environment = dict(os.environ, XDG_CACHE_HOME=str(folder / "cache"))
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, bufsize=1, env=environment,
        )  # fmt: skip
        self.processes.append(process)
        return process

    def sent(self) -> int:
        """Return the bytes that left this machine's cable."""
        path = "/sys/class/net/eth0/statistics/tx_bytes"
        return int(run("ip", "netns", "exec", self.name, "cat", path).stdout)


@contextmanager
def bench(rates: list[tuple[str | None, str | None]]) -> Iterator[list[Machine]]:
    """Make one bridge and a machine for each (up, down)."""
    mark = f"r{os.getpid() % 100000}"
    bridge = f"{mark}b"
    machines = [
        Machine(f"{mark}n{number}", f"{NET}.{number + 1}", up, down)
        for number, (up, down) in enumerate(rates)
    ]
    try:
        run("ip", "netns", "add", bridge)
        run("ip", "-n", bridge, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", bridge, "link", "set", "br0", "up")
        for number, machine in enumerate(machines):
            plug = f"p{number}"
            run("ip", "netns", "add", machine.name)
            run("ip", "link", "add", "eth0", "netns", machine.name, "type", "veth",
                "peer", "name", plug, "netns", bridge)  # fmt: skip
            run("ip", "-n", bridge, "link", "set", plug, "master", "br0", "up")
            run("ip", "-n", machine.name, "addr", "add", f"{machine.ip}/24", "dev", "eth0")
            run("ip", "-n", machine.name, "link", "set", "lo", "up")
            run("ip", "-n", machine.name, "link", "set", "eth0", "up")
            run("ip", "-n", machine.name, "route", "replace", f"{NET}.0/24", "dev", "eth0",
                "congctl", "cubic", check=False)  # fmt: skip
            limit(machine.name, "eth0", machine.up)
            limit(bridge, plug, machine.down)
        yield machines
    finally:
        for machine in machines:
            for process in machine.processes:
                process.kill()
                process.wait()
            run("ip", "netns", "del", machine.name, check=False)
        run("ip", "netns", "del", bridge, check=False)


def limit(namespace: str, device: str, rate: str | None) -> None:
    if rate is not None:
        run("tc", "-n", namespace, "qdisc", "replace", "dev", device, "root", "tbf",
            "rate", rate, "burst", BURST, "latency", "50ms")  # fmt: skip


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if words in line:
            return line
    raise SystemExit(f"ended before saying {words!r}")


def cpu_of(process: subprocess.Popen[str]) -> float:
    """Return the seconds of processor that a running process has used."""
    words = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def drain(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    Thread(target=process.stdout.read, daemon=True).start()


@dataclass
class Peer:
    """A running Peers.py on one machine."""

    machine: Machine
    process: subprocess.Popen[str]
    folder: Path

    def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")


def start_network(
    machines: list[Machine], work: Path, shared: Path
) -> tuple[subprocess.Popen[str], list[Peer]]:
    """Start the tracker and the seed on the first machine, a peer on every other."""
    first, *others = machines
    (work / "list.txt").write_text(f"shared.bin {shared}\n")
    tracker = first.start(sys.executable, "Servidor.py", "9450", folder=work / "t")
    read_until(tracker, "9450")
    drain(tracker)
    seed = first.start(
        sys.executable, "Peers.py", first.ip, "9450", "--ip", first.ip,
        "--arquivos", str(work / "list.txt"), folder=work / "seed",
    )  # fmt: skip
    read_until(seed, "minha porta")
    drain(seed)
    peers = []
    for machine in others:
        folder = Path(tempfile.mkdtemp(dir=work))
        process = machine.start(
            sys.executable, "Peers.py", first.ip, "9450", "--ip", machine.ip,
            "--arquivos", str(work / "none.txt"), "--pasta", str(folder), folder=folder,
        )  # fmt: skip
        read_until(process, "minha porta")
        peers.append(Peer(machine, process, folder))
    while True:  # until the seed knows the root
        peers[0].type(f"ls {first.ip} 5455")
        if "calculando" not in read_until(peers[0].process, "shared.bin"):
            return seed, peers


def fetch_all(peers: list[Peer], seed_ip: str) -> list[float]:
    """Let every peer fetch the file at once; return the seconds that each took."""
    began = time.monotonic()
    ends: list[float] = []

    def wait_for(peer: Peer) -> None:
        line = read_until(peer.process, "shared.bin: ")
        ends.append(time.monotonic() - began)
        if "verificado" not in line:
            print(line)

    threads = [Thread(target=wait_for, args=(peer,)) for peer in peers]
    for peer in peers:
        peer.type(f"get {seed_ip} shared.bin")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return ends


def one_run(arguments: argparse.Namespace, work: Path) -> dict[str, float]:
    size = bytes_of(arguments.size)
    shared = work / "shared.bin"
    if not shared.exists():
        shared.write_bytes(os.urandom(size))
    digest = hashlib.sha256(shared.read_bytes()).digest()
    down = arguments.down or arguments.rate
    rates = [(arguments.seed_rate or arguments.rate, down)]
    rates += [(arguments.rate, down)] * arguments.n
    with bench(rates) as machines:
        seed, peers = start_network(machines, work, shared)
        before = [machine.sent() for machine in machines]
        ends = fetch_all(peers, machines[0].ip)
        seconds = [cpu_of(process) for process in (seed, *(peer.process for peer in peers))]
        sent = [m.sent() - was for m, was in zip(machines, before, strict=True)]
        for peer in peers:
            got = hashlib.sha256((peer.folder / "shared.bin").read_bytes()).digest()
            assert got == digest, "a peer has another file"
            shutil.rmtree(peer.folder)
    return {
        "last": max(ends),
        "mean": statistics.mean(ends),
        "seed": sent[0] / size,
        "all": sum(sent) / size / arguments.n,
        "cpu_seed": seconds[0],
        "cpu_peer": statistics.mean(seconds[1:]),
    }


def bound_of(arguments: argparse.Namespace) -> float:
    bits, n = bytes_of(arguments.size) * 8, arguments.n
    up = bits_of(arguments.rate)
    seed = bits_of(arguments.seed_rate or arguments.rate)
    down = bits_of(arguments.down or arguments.rate)
    return max(bits / seed, bits / down, n * bits / (seed + n * up))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=8)
    parser.add_argument("--rate", default="100mbit", help="of every peer's cable")
    parser.add_argument("--seed-rate", help="of the seed's uplink, if it is another")
    parser.add_argument("--down", help="of the downlinks, if it is another")
    parser.add_argument("--size", default="64M")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("tc") is None:
        raise SystemExit("skipped: it needs root and iproute2 to make network namespaces")
    os.chdir(ROOT)
    bound = bound_of(arguments)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.runs):
            result = one_run(arguments, Path(folder))
            results.append(result)
            print(
                f"last {result['last']:.2f} s  mean {result['mean']:.2f} s  "
                f"last/bound {result['last'] / bound:.3f}  of the TCP floor "
                f"{result['last'] / bound / HEADERS:.3f}  seed sent {result['seed']:.2f} F  "
                f"sent for each peer {result['all']:.2f} F  "
                f"processor: seed {result['cpu_seed']:.2f} s, a peer {result['cpu_peer']:.2f} s",
                flush=True,
            )
    last = statistics.median(result["last"] for result in results)
    print(
        f"N = {arguments.n}, bound {bound:.2f} s: median of the last {last:.2f} s = "
        f"{last / bound:.3f} of the bound, {last / bound / HEADERS:.3f} of the TCP floor"
    )


if __name__ == "__main__":
    main()
