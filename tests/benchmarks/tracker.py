#!/usr/bin/env python3
"""A tracker with thousands of peers: how long one of them waits for an answer.

    python3 tests/benchmarks/tracker.py --peers 2000 --shares 100 --finds 2000

The tracker is the real Servidor.py, on loopback. Another process speaks for all the peers, each
from an address of its own, in the order of a real one: join, ready, announce, and then a ping
every 5 s. All come at once, as they may when a tracker starts again. Once each of them has
pinged, one asker, in this process, sends requests one after another; its clock runs from a request
to the last byte of the answer. The ``find`` are spread over two rounds of pings, for a burst of
pings is when an answer is late. The peers pick their shares among ``peers * shares / 10`` contents,
so about ten have each. At the end all the peers are gone at one instant, while the asker goes on.
Needs Linux; leaves nothing behind.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import resource
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import perf_counter
from typing import cast

from bench import network
from rivals import cpu_of

from rede_p2p.timeouts import DEFAULT
from rede_p2p.tracker.announcer import MAX_LINES_PER_ANNOUNCE

GOAL = 0.005  # seconds in which 99 of 100 ``find`` and ``peers`` are answered
GOALS = (3.0, 120, 1.0)  # seconds in which all come; MiB; seconds that one waits when all leave
HOLDERS = 10  # peers that have each content
SPREAD = 2 * DEFAULT.heartbeat_s  # seconds over which the ``find`` are asked
FEW = 100  # ``find`` for each of the other requests


# What is said.


def root(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


@cache
def line(number: int) -> bytes:
    entry = {"name": f"aula {number:06}.pdf", "size": 100_000 + number, "root": root(number)}
    return json.dumps(entry).encode() + b"\n"


def announcement(numbers: Sequence[int]) -> bytes:
    body = b"".join(map(line, numbers))
    return b'announce {"bytes": %d, "count": %d}\n' % (len(body), len(numbers)) + body


def read_head(line: bytes) -> dict[str, int]:
    """Read the line of an answer; the bench ends if it is a no, or if nobody is there."""
    word, _, rest = line.partition(b" ")
    if word.strip() != b"ok":
        raise SystemExit(f"o tracker disse {line!r}")
    return json.loads(rest or b"{}")


# The peers: a process of their own, so that their work is not the asker's wait.


@dataclass(frozen=True)
class Crowd:
    """Peers to come, and the tracker they come to."""

    ip: str
    port: int
    peers: int
    shares: int
    together: int  # how many may be coming at the same time

    @property
    def contents(self) -> int:
        """How many contents are shared by them all."""
        return max(self.shares, self.peers * self.shares // HOLDERS)


@dataclass(frozen=True)
class Coming:
    """How a crowd came: seconds until all were there, the longest wait, and who gave up on it."""

    seconds: float
    longest: float
    failures: int


class Talk(asyncio.Protocol):
    """One peer's conversation with the tracker, and the longest it waited for an answer.

    A protocol, and not streams: these took as much of the two processors as half a tracker.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._heard = bytearray()
        self._answered: asyncio.Future[dict[str, int]] = self._loop.create_future()
        self._answered.cancel()  # nothing is asked yet
        self.longest = 0.0
        self.pinged = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        self._heard += data
        line, _, body = self._heard.partition(b"\n")
        if line != self._heard and len(body) == (head := read_head(line)).get("bytes", 0):
            self._heard.clear()
            if not self._answered.done():
                self._answered.set_result(head)

    async def ask(self, said: bytes) -> dict[str, int]:
        began, self._answered = perf_counter(), self._loop.create_future()
        self._transport.write(said)
        patience = self._loop.call_later(DEFAULT.reply_s, self._end, asyncio.TimeoutError())
        try:
            head = await self._answered
        finally:
            patience.cancel()
        self.longest = max(self.longest, perf_counter() - began)
        return head

    def hang_up(self) -> None:
        self._transport.close()

    def _end(self, error: Exception) -> None:
        if not self._answered.done():
            self._answered.set_exception(error)


async def come(
    crowd: Crowd, number: int, told: Sequence[bytes], entrance: asyncio.Semaphore
) -> tuple[Talk, int]:
    """Join as a real peer does, with its deadlines and pauses; tell how often it gave up, too."""
    pause, failures = DEFAULT.first_rejoin_pause_s, 0
    while True:
        try:
            async with entrance:
                return await join(crowd, number, told), failures
        except (asyncio.TimeoutError, OSError):
            failures += 1
            await asyncio.sleep(pause * random.uniform(0.7, 1.3))
            pause = min(pause * 2, DEFAULT.max_rejoin_pause_s)


async def join(crowd: Crowd, number: int, told: Sequence[bytes]) -> Talk:
    """Take a port, be listed, tell what one has."""
    own_ip = f"127.32.{number // 250}.{number % 250 + 1}"
    loop = asyncio.get_running_loop()
    dialled = loop.create_connection(Talk, crowd.ip, crowd.port, local_addr=(own_ip, 0))
    _, talk = await asyncio.wait_for(dialled, DEFAULT.dial_s)
    try:
        port = (await talk.ask(b'join {"version": 1}\n'))["port"]
        await talk.ask(b'ready {"port": %d}\n' % port)
        for said in told:
            await talk.ask(said)
    except BaseException:
        talk.hang_up()
        raise
    return talk


def announcements(crowd: Crowd, number: int) -> list[bytes]:
    """Make what one peer will tell that it has."""
    picked = random.Random(number).sample(range(crowd.contents), crowd.shares)
    starts = range(0, len(picked), MAX_LINES_PER_ANNOUNCE)
    return [announcement(picked[start : start + MAX_LINES_PER_ANNOUNCE]) for start in starts]


async def stay(talk: Talk, leaving: asyncio.Event) -> None:
    """Give signs of life until all leave."""
    while not leaving.is_set():
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(leaving.wait(), DEFAULT.heartbeat_s)
            return
        await talk.ask(b"ping\n")
        talk.pinged.set()


async def be_crowd(crowd: Crowd, boss: Connection) -> None:
    """Bring all the peers; tell when they came, when each has pinged, and the longest ping."""
    entrance, leaving = asyncio.Semaphore(crowd.together), asyncio.Event()
    asyncio.get_running_loop().add_reader(boss.fileno(), leaving.set)
    talks: list[Talk] = []
    failures: list[int] = []
    staying: list[asyncio.Task[None]] = []

    async def live(number: int) -> None:
        talk, failed = await come(crowd, number, told[number], entrance)
        talks.append(talk)
        failures.append(failed)
        staying.append(asyncio.create_task(stay(talk, leaving)))

    told = [announcements(crowd, number) for number in range(crowd.peers)]  # the clock stands
    began = perf_counter()
    await asyncio.gather(*(live(number) for number in range(crowd.peers)))
    longest = max(talk.longest for talk in talks)
    boss.send(Coming(perf_counter() - began, longest, sum(failures)))
    await asyncio.gather(*(talk.pinged.wait() for talk in talks))
    boss.send(len(talks))
    for talk in talks:
        talk.longest = 0.0
    await asyncio.gather(*staying)
    boss.send(max(talk.longest for talk in talks))
    await asyncio.Event().wait()  # until the process is ended, and with it every connection


def run_crowd(crowd: Crowd, boss: Connection) -> None:
    raise_descriptor_limit(crowd.peers)
    asyncio.run(be_crowd(crowd, boss))


def raise_descriptor_limit(count: int) -> None:
    wanted, (_, hard) = count + 64, resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(f"o sistema deixa abrir {hard} descritores, e são precisos {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


# The asker.


class Asker:
    """A connection that asks, one request after another."""

    def __init__(self, ip: str, port: int) -> None:
        self._sock = socket.create_connection((ip, port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._sock.makefile("rb")
        self.last: dict[str, int] = {}

    def close(self) -> None:
        self._file.close()
        self._sock.close()

    def times(self, requests: Sequence[bytes], pause: float) -> list[float]:
        """Return the seconds that each request waited for its whole answer."""
        never, taken = Event(), []
        for said in requests:
            taken.append(self._time(said))
            never.wait(pause)
        return taken

    def _time(self, said: bytes) -> float:
        began = perf_counter()
        self._sock.sendall(said)
        self.last = read_head(self._file.readline())
        self._file.read(self.last.get("bytes", 0))
        return perf_counter() - began


@contextmanager
def another_asks(crowd: Crowd, said: bytes) -> Iterator[None]:
    """Let another ask without a pause what has a long answer: it is then that others may wait."""
    asker, enough = Asker(crowd.ip, crowd.port), Event()

    def ask() -> None:
        while not enough.is_set():
            asker.times([said], 0)

    thread = Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
        asker.close()


def questions(crowd: Crowd, finds: int) -> dict[str, list[bytes]]:
    """Make the requests of each kind, about contents picked at random."""
    picked = [random.randrange(crowd.contents) for _ in range(finds)]
    few = picked[: max(1, finds // FEW)]
    return {
        "find": [b'find {"root": "%s"}\n' % root(number).encode() for number in picked],
        "ping": [b"ping\n"] * len(few),
        "search, o nome": [
            b'search {"text": "aula %06d.pdf", "exact": true}\n' % number for number in few
        ],
        "search, um pedaço": [b'search {"text": "%05d"}\n' % (number // 10) for number in few],
        "search, tudo": [b'search {"text": ""}\n'] * len(few),
        "peers": [b"peers\n"] * max(500, finds // 4),
    }


# What is told.


def percentile(seconds: Sequence[float], of_100: int) -> float:
    return sorted(seconds)[min(len(seconds) - 1, len(seconds) * of_100 // 100)]


def of_status(pid: int, field: str) -> int:
    """Read a number that the system knows of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise SystemExit(f"não há {field} em /proc/{pid}/status")


def post(what: str, seconds: Sequence[float], lines: int) -> None:
    in_ms = [
        f"{value * 1000:>9.2f}"
        for value in (median(seconds), percentile(seconds, 99), max(seconds))
    ]
    print(f"{what:<24} {len(seconds):>6} {' '.join(in_ms)} {lines:>7}", flush=True)


def tell_all(asker: Asker, crowd: Crowd, kinds: dict[str, list[bytes]]) -> float:
    """Ask and tell; return the longer p99 of ``find`` and ``peers``."""
    pause = SPREAD / len(kinds["find"])
    taken = {}
    print(f"{'pedido (ms)':<24} {'vezes':>6} {'mediana':>9} {'p99':>9} {'máximo':>9} {'linhas':>7}")
    for kind, requests in kinds.items():
        taken[kind] = asker.times(requests, pause)
        post(kind, taken[kind], asker.last.get("count", 0))
    for other in (b"peers\n", b'search {"text": ""}\n'):
        with another_asks(crowd, other):
            seconds = asker.times(kinds["find"][: len(kinds["find"]) // 10], pause)
        post(f"find, e outro: {other.split()[0].decode()}", seconds, asker.last.get("count", 0))
    return max(percentile(taken[kind], 99) for kind in ("find", "peers"))


def tell_leaving(asker: Asker, process: BaseProcess) -> float:
    """Let all peers be gone at once, ask meanwhile, and tell; return the longest wait."""
    began, taken = perf_counter(), []
    process.terminate()
    while True:
        taken += asker.times([b"ping\n"] * 20 + [b"peers\n"], 0.001)
        if not asker.last["count"]:
            break
    seconds, longest = perf_counter() - began, max(taken)
    print(
        f"todos saem no mesmo instante: a lista está vazia em {seconds:.1f} s, e entretanto a "
        f"resposta mais lenta levou {longest * 1000:.0f} ms (meta: {GOALS[2] * 1000:.0f} ms)"
    )
    return longest


def measure(crowd: Crowd, finds: int, pid: int, process: BaseProcess, boss: Connection) -> bool:
    """Bring the crowd, ask, let it go, and tell; return whether every goal was reached."""
    print(f"tracker sozinho: {of_status(pid, 'VmRSS') // 1024} MiB", flush=True)
    coming: Coming = boss.recv()
    mebibytes = of_status(pid, "VmRSS") // 1024
    print(
        f"{crowd.peers} peers na lista, cada um com {crowd.shares} anúncios, em "
        f"{coming.seconds:.1f} s (meta, com 2.000: {GOALS[0]:.0f} s); a resposta mais lenta levou "
        f"{coming.longest:.2f} s, e {coming.failures} tentativas passaram do prazo"
    )
    print(
        f"tracker: {mebibytes} MiB (meta, com 2.000: {GOALS[1]} MiB), "
        f"{of_status(pid, 'Threads')} threads; {cpu_of(pid):.1f} s de CPU até aqui",
        flush=True,
    )
    boss.recv()  # that each has pinged
    asker = Asker(crowd.ip, crowd.port)
    try:
        p99 = tell_all(asker, crowd, questions(crowd, finds))
        print(f"find e peers, p99: {p99 * 1000:.2f} ms (meta: menos de {GOAL * 1000:.0f} ms)")
        boss.send("leave")
        print(f"o ping mais lento, entretanto: {boss.recv() * 1000:.1f} ms")
        longest = tell_leaving(asker, process)
    finally:
        asker.close()
    came = coming.seconds < GOALS[0] and not coming.failures
    return came and mebibytes < GOALS[1] and p99 < GOAL and longest < GOALS[2]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", type=int, default=2000)
    parser.add_argument("--shares", type=int, default=100, help="announced by each peer")
    parser.add_argument("--finds", type=int, default=2000)
    parser.add_argument("--together", type=int, help="peers that join at once (default: all)")
    return parser.parse_args()


def main() -> int:
    chosen = arguments()
    processes = get_context("spawn")  # a fork would take the threads of this one half with it
    with tempfile.TemporaryDirectory() as folder, network(Path(folder)) as net:
        tracker = net.tracker()
        crowd = Crowd(
            net.ip, net.port, chosen.peers, chosen.shares, chosen.together or chosen.peers
        )
        boss, theirs = processes.Pipe()
        process = processes.Process(target=run_crowd, args=(crowd, theirs))
        process.start()
        theirs.close()  # so that a crowd that fails is not waited for
        try:
            reached = measure(crowd, chosen.finds, tracker.pid, process, boss)
        except EOFError:
            raise SystemExit("os peers não conseguiram entrar, ou ficar") from None
        finally:
            process.terminate()
            process.join()
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
