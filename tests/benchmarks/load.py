#!/usr/bin/env python3
"""Crowds: 500 strangers that dribble to a tracker of 2,000 peers, and 64 downloads from one peer.

    python3 tests/benchmarks/load.py --peers 2000 --dribblers 500 --downloads 64 --mib 8

The tracker and the peer are the real programs, on loopback. The peers of the tracker live in
another process, as in tracker.py; each dribbler sends a byte now and then of a line that never
ends, while one asker wants the list of peers again and again. The downloads are those of the
programs, in this process, each from an address of its own; none goes on before all are connected.
What must be true is looked at: the exit status is 1 if a dribbler stays, a list is not whole, or a
file is not exact. How long an answer takes, and what a connection costs in memory, is only told.
Needs Linux.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from functools import partial
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from threading import Barrier, Event, Thread
from time import perf_counter
from types import SimpleNamespace

from bench import MIB, network, seed, share_list
from processes import Programs, private_address
from sources import content_of, context_of
from tracker import Asker, Crowd, of_status, percentile, raise_descriptor_limit, run_crowd

from Peers import connect_to_peer
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.download.download import Download
from rede_p2p.download.request import DownloadRequest
from rede_p2p.errors import Address
from rede_p2p.net.connection import Connection
from rede_p2p.timeouts import DEFAULT

GOAL_S = 0.02  # in which 99 of 100 lists of peers are here, meanwhile
GONE_S = DEFAULT.line_s + 1.0  # after their first bytes, no dribbler is connected any more
PATIENCE_S = 3 * GONE_S  # on a busy machine; who says nothing may stay for longer
BETWEEN_BYTES_S = 0.5
OF_ONE_ADDRESS = 50  # dribblers
BETWEEN_LISTS_S = 0.02


# Strangers that dribble.


class Dribblers:
    """Connections that send a byte now and then, until each is hung up on."""

    def __init__(self, ip: str, port: int, number: int) -> None:
        self._polled = selectors.DefaultSelector()
        self._open: set[socket.socket] = set()
        self.gone_after_s: list[float] = []  # since all were there, of each that was hung up on
        sources = [private_address() for _ in range(-(-number // OF_ONE_ADDRESS))]
        for place in range(number):
            source = (sources[place // OF_ONE_ADDRESS], 0)
            sock = socket.create_connection((ip, port), source_address=source)
            sock.setblocking(False)
            sock.send(b"p")
            self._polled.register(sock, selectors.EVENT_READ)
            self._open.add(sock)
        self.began, self._left = perf_counter(), Event()
        self._thread = Thread(target=self._dribble)
        self._thread.start()

    @property
    def connected(self) -> int:
        """How many are not hung up on yet."""
        return len(self._open)

    def close(self) -> None:
        """Leave."""
        self._left.set()
        self._thread.join()
        for sock in self._open:
            sock.close()
        self._polled.close()

    def _dribble(self) -> None:
        while self._open and not self._left.is_set():
            due = perf_counter() + BETWEEN_BYTES_S
            for sock in self._open:
                with suppress(OSError):
                    sock.send(b"e")
            while self._open and (left := due - perf_counter()) > 0:
                for ready, _ in self._polled.select(left):
                    self._look(ready.fileobj)  # type: ignore[arg-type]

    def _look(self, sock: socket.socket) -> None:
        with suppress(OSError):
            if sock.recv(4096):
                return
        self.gone_after_s.append(perf_counter() - self.began)
        self._polled.unregister(sock)
        self._open.discard(sock)
        sock.close()


def dribble(net: Programs, peers: int, dribblers: int) -> bool:
    """Bring peers and dribblers; tell how long a list takes; return whether all is right."""
    tracker = net.tracker()
    crowd = Crowd(net.ip, net.port, peers, 1, 200)
    processes = get_context("spawn")
    boss, theirs = processes.Pipe()
    process = processes.Process(target=run_crowd, args=(crowd, theirs))
    process.start()
    theirs.close()
    with ExitStack() as stack:
        stack.callback(process.join)
        stack.callback(process.terminate)
        boss.recv()  # that all have come
        boss.recv()  # that each has pinged
        asker = stack.enter_context(closing(Asker(net.ip, net.port)))
        alone = asker.times([b"peers\n"] * 200, BETWEEN_LISTS_S)
        before = of_status(tracker.pid, "VmRSS")
        crowding = stack.enter_context(closing(Dribblers(net.ip, net.port, dribblers)))
        beside, whole = [], True
        while crowding.connected and perf_counter() - crowding.began < PATIENCE_S:
            beside += asker.times([b"peers\n"], BETWEEN_LISTS_S)
            whole = whole and asker.last["count"] == peers
        memory = of_status(tracker.pid, "VmHWM") - before
        last = max(crowding.gone_after_s, default=0.0)
        print(
            f"{peers} peers, {dribblers} conexões que pingam: {len(crowding.gone_after_s)} "
            f"fechadas, a última em {last:.1f} s (meta: {GONE_S:.0f} s)"
        )
        tell("peers, antes", alone)
        tell("peers, entretanto", beside)
        print(f"meta: p99 de até {GOAL_S * 1000:.0f} ms; memória a mais: {memory // 1024} MiB")
        asker.times([b"peers\n"], 0)
        stayed = asker.last["count"] == peers
        print(f"listas inteiras: {whole}; peers que ficaram: {asker.last['count']}", flush=True)
        return whole and stayed and not crowding.connected


def tell(what: str, seconds: list[float]) -> None:
    """Print a line of times."""
    of_ms = [1000 * one for one in (median(seconds), percentile(seconds, 99), max(seconds))]
    print(f"{what}: {len(seconds)} vezes, mediana · p99 · máximo: ", end="")
    print(" · ".join(f"{one:.1f}" for one in of_ms), "ms", flush=True)


# Downloads at once.


def connecting(all_here: Barrier) -> Callable[[Address], Connection]:
    """Return how one download connects: from its own address, and the second time with all."""
    peer, times = SimpleNamespace(own_ip=private_address(), timeouts=DEFAULT), count()

    def connect(address: Address) -> Connection:
        connection = connect_to_peer(peer, address)  # type: ignore[arg-type]
        if next(times) == 1:  # the first time it asks for the hashes
            all_here.wait(60)
        return connection

    return connect


def download(net: Programs, downloads: int, mib: int) -> bool:
    """Fetch one file many times at once; tell the memory; return whether each is exact."""
    data = os.urandom(mib * MIB)
    file = net.folder / "aula.iso"
    file.write_bytes(data)
    program, port = seed(net, share_list(net.folder / "lista.txt", {"aula.iso": file}), 1)
    before, connected = of_status(program.pid, "VmRSS"), [0]
    Path(f"/proc/{program.pid}/clear_refs").write_text("5")  # the peak begins anew

    def look() -> None:
        connected[0] = of_status(program.pid, "VmRSS")

    all_here = Barrier(downloads, look)
    wanted = DownloadRequest("aula.iso", content_of(data), (Address(net.ip, port),))
    with ExitStack() as stack:
        caches = [stack.enter_context(closing(HashCache(None))) for _ in range(downloads)]
        pool = stack.enter_context(ThreadPoolExecutor(downloads))
        began = perf_counter()
        running = [
            pool.submit(
                Download(wanted, context_of(net.folder / str(n), cache, connecting(all_here))).run
            )
            for n, cache in enumerate(caches)
        ]
        exact = sum(Path(one.result().path).read_bytes() == data for one in running)
    seconds = perf_counter() - began
    costs = [(kib - before) / downloads for kib in (connected[0], of_status(program.pid, "VmHWM"))]
    print(f"{downloads} downloads de {mib} MiB ao mesmo tempo: {exact} exatos, em {seconds:.1f} s")
    print(f"memória do peer: {before // 1024} MiB; por conexão, ", end="")
    print(f"parada {costs[0]:.0f} KiB, no pico {costs[1]:.0f} KiB", flush=True)
    return exact == downloads


def main() -> int:
    """Do both; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {"peers": 2000, "dribblers": 500, "downloads": 64, "mib": 8}.items():
        parser.add_argument(f"--{name}", type=int, default=default, help=f"padrão: {default}")
    chosen = parser.parse_args()
    raise_descriptor_limit(chosen.dribblers + 8 * chosen.downloads)
    right = []
    for part in (
        partial(dribble, peers=chosen.peers, dribblers=chosen.dribblers),
        partial(download, downloads=chosen.downloads, mib=chosen.mib),
    ):
        with tempfile.TemporaryDirectory() as folder, network(Path(folder)) as net:
            if part.func is download:
                net.tracker()
            right.append(part(net))
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
