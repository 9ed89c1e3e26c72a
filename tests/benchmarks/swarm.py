#!/usr/bin/env python3
"""The swarm on a bench of network namespaces: how long until the last peer has the file.

    python3 tests/benchmarks/swarm.py --n 8 --rate 100mbit --size 64M
    python3 tests/benchmarks/swarm.py --n 8 --seed-rate 400mbit --down 200mbit    # goal: 1.15
    python3 tests/benchmarks/swarm.py --n 8 --killed 1 --liars 1 --slow 1         # goal: 1.25
    python3 tests/benchmarks/swarm.py --n 8 --seed-rate 400mbit --seed-leaves
    python3 tests/benchmarks/swarm.py --sources 3 --down 1gbit                    # goal: 2.8 times
    python3 tests/benchmarks/swarm.py --n 4 --rate none --curls --size 1G         # goal: 1
    python3 tests/benchmarks/swarm.py --n 8 --rate 1gbit --libtorrent 1M          # goal: 0.6
    python3 tests/benchmarks/swarm.py --n 8 --files 656x100K                      # goal: 1.2
    python3 tests/benchmarks/swarm.py --n 8 --files 1x40M+2000x12K                # goal: 1.2

Every machine is a namespace on one bridge, its cable limited in both directions by ``tbf``. The
real programs are started and joined before the clock starts; the clock stops when the last one has
the file at its final name. The bound is that of Kurose & Ross: F/u_s, F/d_min, N·F/(u_s + Σu_i).
Needs root and iproute2; leaves nothing behind.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import os
import shutil
import signal
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from netbench import (
    RIVALS,
    ROOT,
    STOPPERS,
    Network,
    Peer,
    bench,
    fetch_with_curls,
    fetch_with_libtorrent,
    no_bench,
    read_until,
    rival,
    sent_from,
    start_network,
    start_nginx,
)
from rivals import cpu_of

HEADERS = 1.046  # bytes on an Ethernet cable for each byte in TCP, at 1,500 bytes a packet
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
RATES = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
LOOK_EVERY = 0.02  # seconds between two looks at whether it is time for a mishap
SLOWER = 10  # times that a slow peer's cable is slower


def bytes_of(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1].upper()] if text[-1].upper() in UNITS else int(text)


def files_of(text: str) -> list[int]:
    """Read the sizes of the files of a folder: 656x100K, or 1x40M+2000x12K."""
    sizes: list[int] = []
    for some in text.split("+"):
        count, _, size = some.partition("x")
        sizes += [bytes_of(size)] * int(count)
    return sizes


def bits_of(rate: str) -> float:
    """Read bits a second; ``none`` is a cable without a limit."""
    if rate == "none":
        return math.inf
    if rate[-4:] in RATES:
        return float(rate[:-4]) * RATES[rate[-4:]]
    raise argparse.ArgumentTypeError(f"a rate is 100mbit, 1gbit or none, not {rate}")


# Who takes part.


@dataclass(frozen=True)
class Scene:
    """A file or a folder, and the role and cable (up, down) of each machine: the sources first."""

    files: list[int]  # bytes; one is a file, several are a folder
    roles: list[str]  # source, honest, slow, liar, killed
    rates: list[tuple[float, float]]

    @property
    def size(self) -> int:
        """How many bytes there are in all."""
        return sum(self.files)

    def bound(self) -> float:
        """Return the seconds that the last honest peer needs at least; 0 without any limit.

        Counted are the sources and the honest alone. What the others take from them is part of what
        is measured; what they give may, where N·F/(u_s + Σu_i) decides, even beat the bound.
        """
        bits = self.size * 8
        up = sum(rates[0] for role, rates in self._all if role == "source")
        honest = [rates for role, rates in self._all if role == "honest"]
        slowest = min(down for _, down in honest)
        return max(
            bits / up, bits / slowest, len(honest) * bits / (up + sum(up for up, _ in honest))
        )

    @property
    def _all(self) -> list[tuple[str, tuple[float, float]]]:
        return list(zip(self.roles, self.rates, strict=True))


def scene_of(arguments: argparse.Namespace, sources: int, peers: int) -> Scene:
    up, down = arguments.rate, arguments.down or arguments.rate
    odd = {"slow": arguments.slow, "liar": arguments.liars, "killed": arguments.killed}
    counts = {"source": sources, "honest": peers - sum(odd.values()), **odd}
    rates = dict.fromkeys(counts, (up, down))
    rates["source"] = (arguments.seed_rate or up, down)
    rates["slow"] = (up / SLOWER, down / SLOWER)
    roles = [role for role, count in counts.items() for _ in range(count)]
    return Scene(arguments.files or [arguments.size], roles, [rates[role] for role in roles])


# What befalls them.


@dataclass
class Mishap:
    """The death of a peer, at a moment that is told by the seconds since the start."""

    peer: Peer
    due: Callable[[float], bool]
    at: float | None = None

    def look(self, now: float) -> None:
        if self.at is None and self.due(now):
            self.peer.process.kill()
            self.at = now

    def __str__(self) -> str:
        when = "never: too late" if self.at is None else f"at {self.at:.2f} s"
        return f"{'seed' if self.peer.role == 'source' else 'peer'} killed {when}"


def mishaps_of(arguments: argparse.Namespace, scene: Scene, network: Network) -> list[Mishap]:
    half = scene.bound() / 2
    mishaps = [
        Mishap(peer, lambda now: now >= half) for peer in network.peers if peer.role == "killed"
    ]
    if arguments.seed_leaves:
        enough = sent_from(network.tracker) + arguments.seed_leaves * scene.size
        mishaps.append(Mishap(network.seed, lambda _now: sent_from(network.tracker) >= enough))
    return mishaps


# What is measured.


@dataclass
class Result:
    """What one run took: seconds until each honest peer had the file; what was sent, in files."""

    ends: list[float]
    seed: float
    each: float
    cpu: tuple[float, float]  # seconds of the seed's, and of an honest peer's
    notes: list[str] = field(default_factory=list)
    rival: float = 0.0  # seconds until the last curl, or the last libtorrent, had it

    @property
    def last(self) -> float:
        return max(self.ends)

    def describe(self, bound: float) -> str:
        words = [f"last {self.last:.2f} s", f"mean {statistics.mean(self.ends):.2f} s"]
        if bound:
            ratio = self.last / bound
            words += [f"last/bound {ratio:.3f}", f"of the TCP floor {ratio / HEADERS:.3f}"]
        words += [f"seed sent {self.seed:.2f} F", f"sent for each peer {self.each:.2f} F"]
        words += [f"processor: seed {self.cpu[0]:.2f} s, a peer {self.cpu[1]:.2f} s"]
        if self.rival:
            words += [f"last rival {self.rival:.2f} s, ratio {self.last / self.rival:.2f}"]
        return "  ".join(words + self.notes)


def fetch(arguments: argparse.Namespace, scene: Scene, network: Network) -> Result:
    """Let every peer fetch the file at once, until the honest have it."""
    everyone = network.sources + network.peers
    before = [peer.machine.sent() for peer in everyone]
    started = {peer.process.pid: cpu_of(peer.process.pid) for peer in everyone}
    mishaps = mishaps_of(arguments, scene, network)
    ends = fetch_all(scene, network, mishaps)
    sent = [peer.machine.sent() - was for peer, was in zip(everyone, before, strict=True)]
    notes = [str(mishap) for mishap in mishaps]

    def cpu(peer: Peer) -> float:
        return cpu_of(peer.process.pid) - started[peer.process.pid]

    if lies := [peer.lies for peer in network.peers if peer.role == "liar"]:
        notes.append(f"lies told: {sum(lies)}")
    return Result(
        ends,
        sum(sent[: len(network.sources)]) / scene.size,
        sum(sent) / scene.size / len(network.peers),
        (cpu(network.seed), statistics.mean(map(cpu, network.honest))),
        notes,
    )


def fetch_all(scene: Scene, network: Network, mishaps: list[Mishap]) -> list[float]:
    """Type the ``get`` at every peer; return the seconds that each of the honest took."""
    ends: list[float] = []
    failures: list[str] = []
    wanted, came = "shared.bin", "shared.bin: baixado e verificado"
    if len(scene.files) > 1:
        wanted, came = "turma/", f"{len(scene.files)} baixados e verificados"
    began = monotonic()

    def wait_for(peer: Peer) -> None:
        try:
            read_until(peer.process, came)
            ends.append(monotonic() - began)
        except SystemExit as end:
            failures.append(f"{peer.machine.ip} {end}")

    for peer in network.peers:
        peer.type(f"get {network.seed.machine.ip} {wanted}")
    threads = [Thread(target=wait_for, args=(peer,)) for peer in network.honest]
    for thread in threads:
        thread.start()
    await_mishaps(mishaps, began, threads)
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit("; ".join(failures))
    return ends


def await_mishaps(mishaps: list[Mishap], began: float, threads: list[Thread]) -> None:
    """Let happen what is due, until all has happened or nobody is left to see it."""
    pause = Event()
    while any(mishap.at is None for mishap in mishaps) and any(t.is_alive() for t in threads):
        for mishap in mishaps:
            mishap.look(monotonic() - began)
        pause.wait(LOOK_EVERY)


def race(
    arguments: argparse.Namespace, scene: Scene, network: Network, work: Path, turn: int
) -> Result:
    """Let the peers and as many rivals fetch the file, in turn: every other time the rivals first.

    The rivals are curls that ask nginx, or libtorrents.
    """
    shared, machines = work / "shared.bin", [peer.machine for peer in network.honest]
    if arguments.libtorrent:
        seed, piece = network.seed.machine, arguments.libtorrent
        rivals = partial(fetch_with_libtorrent, shared, piece, seed, machines, work)
    else:
        url = start_nginx(network.seed.machine, shared, work)
        rivals = partial(fetch_with_curls, url, machines, work)
    os.sync()  # so that neither writes what others left
    seconds = rivals() if turn % 2 else 0.0
    os.sync()
    result = fetch(arguments, scene, network)
    os.sync()
    result.rival = seconds or rivals()
    return result


def one_run(arguments: argparse.Namespace, scene: Scene, work: Path, turn: int = 0) -> Result:
    """Set up a bench, fetch the file on it, and see that the honest have that very file."""
    shared = make_shared(scene, work)
    with bench(scene.rates) as machines:
        network = start_network(machines, scene.roles, work, shared)
        if arguments.curls or arguments.libtorrent:
            result = race(arguments, scene, network, work, turn)
        else:
            result = fetch(arguments, scene, network)
        for peer in network.honest:
            for path in [*shared.iterdir()] if shared.is_dir() else [shared]:
                if digest_of(peer.folder / path.relative_to(work)) != digest_of(path):
                    raise SystemExit(f"{peer.machine.ip} has another {path.name}")
    for peer in network.sources + network.peers:
        shutil.rmtree(peer.folder)
    print(result.describe(scene.bound()), flush=True)
    return result


def make_shared(scene: Scene, work: Path) -> Path:
    """Return what the seed shares, made at the first run."""
    shared = work / ("shared.bin" if len(scene.files) == 1 else "turma")
    if not shared.exists() and len(scene.files) == 1:
        shared.write_bytes(os.urandom(scene.size))
    elif not shared.exists():
        shared.mkdir()
        for number, size in enumerate(scene.files):
            (shared / f"{number:06}.bin").write_bytes(os.urandom(size))
    return shared


def digest_of(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


# The command line.


def measure_swarm(arguments: argparse.Namespace, work: Path) -> None:
    """Measure N peers around one seed."""
    scene = scene_of(arguments, 1, arguments.n)
    results = [one_run(arguments, scene, work, turn) for turn in range(arguments.runs)]
    last, bound = statistics.median(result.last for result in results), scene.bound()
    who = f"N = {arguments.n}"
    if (honest := scene.roles.count("honest")) < arguments.n:
        who += f", of whom {honest} count"
    words = f"{who}, bound {bound:.2f} s: median of the last {last:.2f} s"
    if bound:
        ratio = last / bound
        words += f" = {ratio:.3f} of the bound, {ratio / HEADERS:.3f} of the TCP floor"
    print(words)
    if arguments.curls or arguments.libtorrent:
        last_rival = statistics.median(result.rival for result in results)
        ratio = statistics.median(result.last / result.rival for result in results)
        print(f"median of the last rival {last_rival:.2f} s; median of the ratios {ratio:.2f}")


def measure_sources(arguments: argparse.Namespace, work: Path) -> None:
    """Measure one receiver, from one source and from several, in turn."""
    one, many = (scene_of(arguments, count, 1) for count in (1, arguments.sources))
    ratios = [
        one_run(arguments, one, work).last / one_run(arguments, many, work).last
        for _ in range(arguments.runs)
    ]
    words = f"from 1 source / from {arguments.sources}: {statistics.median(ratios):.2f} (median)"
    if many.bound():
        words += f", at most {one.bound() / many.bound():.2f}"
    print(words)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=8, help="peers that fetch")
    parser.add_argument(
        "--rate", type=bits_of, default="100mbit", help="of every peer's cable, or none"
    )
    parser.add_argument("--seed-rate", type=bits_of, help="of the seed's uplink, if it is another")
    parser.add_argument("--down", type=bits_of, help="of the downlinks, if it is another")
    parser.add_argument("--size", type=bytes_of, default="64M")
    parser.add_argument("--files", type=files_of, help="a folder, as 656x100K or 1x40M+2000x12K")
    parser.add_argument("--runs", type=int, default=3)
    odd = parser.add_argument_group("some of the N, who do not count for the last")
    odd.add_argument("--killed", type=int, default=0, help="die after half of the bound")
    odd.add_argument("--liars", type=int, default=0, help="send a wrong byte in every tenth piece")
    odd.add_argument("--slow", type=int, default=0, help="have a tenth of the rate")
    parser.add_argument(
        "--seed-leaves", type=float, nargs="?", const=1.05, metavar="FILES",
        help="the seed dies when so many times the file has left its cable (1.05)",
    )  # fmt: skip
    parser.add_argument(
        "--sources", type=int, default=1, help="compare as many with one; N is then one receiver"
    )
    parser.add_argument("--curls", action="store_true", help="compare with N curls and nginx")
    parser.add_argument(
        "--libtorrent", type=bytes_of, metavar="PIECE", help="compare with N libtorrents, for a LAN"
    )
    arguments = parser.parse_args()
    odd_ones = arguments.killed + arguments.liars + arguments.slow
    if odd_ones >= arguments.n:
        parser.error("somebody must be left to count")
    if arguments.sources > 1 and (
        odd_ones or arguments.seed_leaves or arguments.curls or arguments.libtorrent
    ):
        parser.error("--sources is measured alone")
    return arguments


def stop(number: int, _frame: object) -> None:
    """End on a signal as on an error, cleaning up, which no other signal may interrupt."""
    for one in STOPPERS:
        signal.signal(one, signal.SIG_IGN)
    raise SystemExit(f"ended by {signal.Signals(number).name}")


def main() -> None:
    arguments = parse()
    if reason := no_bench():
        raise SystemExit(f"skipped: {reason}")
    if arguments.curls and (missing := [name for name in RIVALS if not rival(name)]):
        print(f"{', '.join(missing)}: not here; the comparison is left out")
        arguments.curls = False
    os.chdir(ROOT)
    for number in STOPPERS:
        signal.signal(number, stop)
    measure = measure_sources if arguments.sources > 1 else measure_swarm
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, Path(folder))


if __name__ == "__main__":
    main()
