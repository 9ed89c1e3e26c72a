"""Fifty peers in this process, a proxy before each, and what befalls them while they fetch.

Each is what Peers.py makes, without its screen: the same listener, client, shares and transfers.
The tracker is the real program.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Lock
from time import monotonic
from types import SimpleNamespace

from processes import PATIENCE, Programs, private_address
from rig import FAULTS, Fault, Proxy, listed_ports
from sources import found_in

import Peers
from rede_p2p.cli.options import PeerOptions
from rede_p2p.cli.peer import Peer, Story
from rede_p2p.download import resolve
from rede_p2p.download.request import DownloadContext
from rede_p2p.download.transfers import Transfers
from rede_p2p.errors import Address, RedeError
from rede_p2p.net.connection import Connection
from rede_p2p.timeouts import Timeouts
from rede_p2p.tracker.client import TrackerClient

STORY = Story(Peers.menu, Peers.listening, Peers.connect_to_peer)
WORKERS = 12  # who fetch at the same time
SIZES = (1, 3000, 3000, 70_000, 200_000, 1_500_000)  # bytes, of what each peer shares
LONG_AGO = 1_500_000_000  # seconds; such a file is hashed at once
QUICK = Timeouts(
    reply_s=2.0, stall_s=2.0, download_stall_s=3.0, layer_hurry_s=0.2, pending_s=2.0,
    heartbeat_s=1.0, first_rejoin_pause_s=0.05, max_rejoin_pause_s=0.5, max_search_pause_s=0.2,
    quiet_s=0.1, file_scan_s=0.5, list_poll_s=0.5, joining_s=10.0,
)  # fmt: skip
WITH_BODY, WITHOUT = ("head", "body", "middle", "end"), ("start", "head", "end")
PLACES = {
    "stat": WITHOUT, "want": WITHOUT, "next": WITHOUT, "bundle": WITHOUT,
    "hashes": WITH_BODY, "take": WITH_BODY, "pieces": WITH_BODY, "ls": WITH_BODY,
}  # fmt: skip
BETWEEN_FAULTS_S = 0.05
ARMED = 0.3  # of the proxies without a fault that get one each time
OTHERWISE = 0.05  # of the others, whose answers may not be asked for
BETWEEN_TRACKERS_S = 5.0  # that are killed
OUTAGE_S = 0.3


class Member:
    """One peer; a single worker uses it at a time."""

    def __init__(self, soak: Soak, number: int) -> None:
        self.soak, self.number = soak, number
        self.ip = private_address()
        self.shared = soak.folder / f"dados{number}"
        self.downloads = soak.folder / f"baixados{number}"
        self.shared.mkdir()
        self.downloads.mkdir()
        self.names = [f"{number}/{place}.bin" for place in range(len(SIZES))]
        for name, size in zip(self.names, SIZES, strict=True):
            self.write(name, size)
        lines = (f'"{name}" {Path(name).name}\n' for name in self.names)
        (self.shared / "lista.txt").write_text("".join(lines))
        self.proxy = Proxy(self.ip, 0, (self.ip, 1), as_client=True)
        self._stack = ExitStack()
        self.open()

    def write(self, name: str, size: int) -> None:
        """Share other bytes under a name, which are among the right ones from now on."""
        data = self.soak.bytes_of(size)
        with self.soak.lock:
            self.soak.versions.setdefault(name, set()).add(data)
        new = self.shared / "novo"
        new.write_bytes(data)
        os.utime(new, (LONG_AGO, LONG_AGO))
        new.replace(self.shared / Path(name).name)

    def open(self) -> None:
        """Come into the network."""
        chosen = PeerOptions(own_ip=self.ip, share_list=self.shared / "lista.txt")
        peer = Peer(chosen, STORY, lambda _: None, QUICK)
        self._stack.callback(peer.close)
        client = self._join(peer)
        self._stack.callback(client.close)
        peer.seeds.watch(client.entries_changed)
        self.client = client
        self.context = DownloadContext(
            self.downloads, self.connect, peer.hash_cache, client.who_has, peer.seeds, QUICK
        )
        self.transfers = Transfers(self.context, peer.post)
        self._stack.callback(self.transfers.close)

    def _join(self, peer: Peer) -> TrackerClient:
        """Join the tracker, which may be gone at this moment."""
        where = (self.soak.net.ip, self.soak.net.port, self.ip)
        end = monotonic() + PATIENCE
        while True:
            try:
                return TrackerClient(*where, peer.open_port, peer.post, peer.seeds.entries, QUICK)
            except RedeError:
                if monotonic() > end:
                    raise
                self.soak.ended.wait(0.1)

    def close(self) -> None:
        """Leave the network."""
        self._stack.close()

    def connect(self, address: Address) -> Connection:
        """Reach a peer through the proxy before it."""
        proxy = self.soak.members[self.soak.places[address.ip]].proxy
        proxy.upstream = address
        reached = SimpleNamespace(own_ip=self.ip, timeouts=QUICK)
        return Peers.connect_to_peer(reached, Address(proxy.ip, proxy.port))  # type: ignore[arg-type]

    def get(self, names: list[str], of: Member) -> list[str]:
        """Fetch from another, or from whoever has the same; return what came of each."""
        try:
            of_address = Address(of.ip, of.client.port)
            found = resolve.select(names, [[of_address]], self.connect, lambda _: None)
        except RedeError as error:
            return [type(error).__name__]
        transfer = self.transfers.start(found.requests, found.failed, followed=True)
        for _ in range(int(10 * PATIENCE)):  # and not in one wait: the machine may sleep meanwhile
            if wait([transfer.results], 1.0).done:
                break
        results = [outcome for _, outcome in transfer.results.result(0)]
        came = ["ok" if not isinstance(one, RedeError) else type(one).__name__ for one in results]
        return came + [type(error).__name__ for _, error in found.failed]

    def check(self) -> None:
        """Look at all that was downloaded: exact, or not there."""
        for name, data in found_in(self.downloads).items():
            if not name.endswith(".parte"):
                base = name.split(" (")[0].removesuffix(".bin") + ".bin"
                with self.soak.lock:
                    right = data in self.soak.versions[base]
                assert right, f"{name} of {self.number} is wrong"

    def left(self) -> list[str]:
        """Name what is not complete."""
        names = found_in(self.downloads)
        return [name.removesuffix(".parte") for name in names if name.endswith(".parte")]


class Soak:
    """All of them, and what was counted."""

    def __init__(self, folder: Path, net: Programs, chance: random.Random, peers: int) -> None:
        self.folder, self.net, self.chance = folder, net, chance
        self.lock = Lock()  # guards the four below
        self.gets = 0
        self.versions: dict[str, set[bytes]] = {}
        self.outcomes: Counter[str] = Counter()  # of each file
        self.faults: Counter[str] = Counter()
        self.places: dict[str, int] = {}
        self.members: list[Member] = []
        self._tracker = net.tracker()
        self.armed: dict[Proxy, str] = {}  # what happened last, or will
        self.ended = Event()
        for number in range(peers):
            member = Member(self, number)
            self.places[member.ip] = number
            self.members.append(member)

    def bytes_of(self, size: int) -> bytes:
        """Draw bytes; from any thread."""
        with self.lock:
            return self.chance.randbytes(size)

    def close(self) -> None:
        """End every peer and every proxy."""
        with ThreadPoolExecutor(WORKERS) as pool:
            for closed in [pool.submit(one.close) for one in self.members]:
                closed.result()
        for member in self.members:
            member.proxy.close()

    def run(self, gets: int, seconds: float) -> None:
        """Fetch so often and for so long, under faults; raise what any worker raised."""
        end = monotonic() + seconds

        def goes_on() -> bool:
            return self.gets < gets or monotonic() < end

        with ThreadPoolExecutor(WORKERS) as pool:
            working = [
                pool.submit(self._work, self.members[n::WORKERS], random.Random(n), goes_on)
                for n in range(WORKERS)
            ]
            try:
                self._harm(lambda: goes_on() and not any(one.done() for one in working))
            finally:
                for one in working:
                    one.result()

    def _work(self, mine: list[Member], chance: random.Random, goes_on: Callable[[], bool]) -> None:
        while goes_on():
            member, of = chance.choice(mine), chance.choice(self.members)
            if chance.random() < 0.02:
                member.close()
                member.open()
                self._count(self.faults, ["a peer leaves and comes"])
            elif chance.random() < 0.05:
                place = chance.randrange(len(SIZES))
                member.write(member.names[place], SIZES[place])
                self._count(self.faults, ["a shared file is another"])
            if of is not member:
                names = chance.sample(of.names, chance.choice((1, 1, 2, 4, 6)))
                self._count(self.outcomes, member.get(names, of))
                with self.lock:
                    self.gets += 1
                member.check()
                for path in member.downloads.rglob("*.bin"):
                    if chance.random() < 0.7:
                        path.unlink()

    def _count(self, counter: Counter[str], what: list[str]) -> None:
        with self.lock:
            counter.update(what)

    def _harm(self, goes_on: Callable[[], bool]) -> None:
        due = monotonic() + BETWEEN_TRACKERS_S
        while goes_on():
            self.ended.wait(BETWEEN_FAULTS_S)
            for member in self.members:
                self._arm(member.proxy)
            if self.chance.random() < 0.1:
                self.chance.choice(self.members).proxy.drop()
                self._count(self.faults, ["all hung up on"])
            if monotonic() > due:
                self._tracker.close()
                self.ended.wait(OUTAGE_S)
                self._tracker = self.net.tracker()
                self._count(self.faults, ["the tracker is killed"])
                due = monotonic() + BETWEEN_TRACKERS_S

    def _arm(self, proxy: Proxy) -> None:
        """Have something happen to an answer of a peer, unless something is to happen soon."""
        if proxy.fault is None and proxy.happened.is_set():
            proxy.happened.clear()
            self._count(self.faults, [self.armed[proxy]])
        if self.chance.random() < (ARMED if proxy.fault is None else OTHERWISE):
            kind, verb = self.chance.choice(FAULTS), self.chance.choice([*PLACES])
            where, nth = self.chance.choice(PLACES[verb]), self.chance.choice((1, 1, 2, 5))
            proxy.set(Fault(kind, verb, where, nth))
            self.armed[proxy] = kind

    def settle(self) -> None:
        """End the faults; complete what was left; wait until all are listed."""
        for member in self.members:
            member.proxy.set(None)
        for member in self.members:
            for _ in range(5):
                for name in member.left():
                    of = self.members[int(name.split("/")[0])]
                    member.get([name], of)
                if not member.left():
                    break
            assert not member.left(), member.get(member.left(), self.members[0])
            member.check()

    def listed(self) -> set[int]:
        """Ask the tracker for the ports of all."""
        return listed_ports(self.net.ip, self.net.port)

    @property
    def ports(self) -> set[int]:
        """Return the ports that it must name."""
        return {one.client.port for one in self.members}
