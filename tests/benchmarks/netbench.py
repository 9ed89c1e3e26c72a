"""A bench of network namespaces: machines on one bridge, each with a cable of its own rates.

It needs root and iproute2; whatever happens, it leaves no namespace and no process behind.
"""

from __future__ import annotations

import itertools
import math
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from rivals import nginx_words

HERE = Path(__file__).resolve()
ROOT = HERE.parent.parent.parent
NET = "10.77.0"
MIN_BURST_BYTES = 128 * 1024  # a 64 KiB sendfile is one packet until the cable cuts it
BURST_S = 0.004  # of a fast cable's time: two busy cores come back to it as late as that
RIVALS = ("nginx", "curl", "openssl")
TRACKER = "9450"
NGINX_PORT = 8080
LIE_EVERY = 10  # pieces that a liar sends, of which the last is wrong
PIECE = 64 * 1024  # bytes of a piece, in files up to 4 GiB
AS_LIAR = "--as-liar"
STOPPERS = {signal.SIGINT, signal.SIGTERM}


def run(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stderr.strip()}")
    return done


def no_bench() -> str:
    """Return why no bench can be set up here, or an empty word."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("tc") is None:
        return "it needs root and iproute2 to make network namespaces"
    tried = f"r{os.getpid() % 100000}try"
    made = run("ip", "netns", "add", tried, check=False)
    run("ip", "netns", "del", tried, check=False)
    return made.stderr.strip() if made.returncode else ""


@dataclass
class Machine:
    """One namespace: its name, its address, and its cable's rates in bits a second."""

    name: str
    ip: str
    up: float
    down: float
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *words: str, folder: Path) -> subprocess.Popen[str]:
        own = {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_STATE_HOME": str(folder / "state")}
        environment = {**os.environ, **own}
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
def bench(rates: list[tuple[float, float]]) -> Iterator[list[Machine]]:
    """Make one bridge and a machine for each (up, down); infinity is a cable without limit."""
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
            _plug_in(machine, bridge, f"p{number}")
        yield machines
    finally:
        # A Ctrl-C just now must not leave half of it; it is heard when all is gone.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPERS)
        for machine in machines:
            for process in machine.processes:
                process.kill()
                process.wait()
            # One whose start was interrupted is nobody's.
            for pid in run("ip", "netns", "pids", machine.name, check=False).stdout.split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "del", machine.name, check=False)
        run("ip", "netns", "del", bridge, check=False)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _plug_in(machine: Machine, bridge: str, plug: str) -> None:
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


def limit(namespace: str, device: str, rate: float) -> None:
    if not math.isinf(rate):
        burst = max(MIN_BURST_BYTES, rate / 8 * BURST_S)
        run("tc", "-n", namespace, "qdisc", "replace", "dev", device, "root", "tbf",
            "rate", f"{rate:.0f}bit", "burst", f"{burst:.0f}", "latency", "50ms")  # fmt: skip


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    line = ""
    for line in process.stdout:
        if words in line:
            return line
    raise SystemExit(f"ended before saying {words!r}; its last words: {line.strip()}")


def drain(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    Thread(target=process.stdout.read, daemon=True).start()


def sent_from(process: subprocess.Popen[str]) -> int:
    """Return the bytes that left the cable of a running process's machine.

    What ``Machine.sent`` tells, without a process for each look: for who looks all the time.
    """
    for line in Path(f"/proc/{process.pid}/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "eth0":
            return int(counts.split()[8])
    raise SystemExit("there is no eth0 where it should be")


# The programs on it.


@dataclass
class Peer:
    """A running Peers.py on one machine."""

    machine: Machine
    role: str
    process: subprocess.Popen[str]
    folder: Path
    lies: int = 0

    def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")

    def hear(self) -> None:
        """Let it say what it wants, so that it never waits for us, and count its lies."""

        def count() -> None:
            assert self.process.stdout is not None
            for line in self.process.stdout:
                self.lies += line == "lie\n"

        Thread(target=count, daemon=True).start()


@dataclass
class Network:
    """The programs on a bench: the tracker, the sources, and those who fetch."""

    tracker: subprocess.Popen[str]
    sources: list[Peer]
    peers: list[Peer]

    @property
    def seed(self) -> Peer:
        return self.sources[0]

    @property
    def honest(self) -> list[Peer]:
        return [peer for peer in self.peers if peer.role == "honest"]


def start_network(machines: list[Machine], roles: list[str], work: Path, shared: Path) -> Network:
    """Start the tracker on the first machine, and on each the peer of that role."""
    first = machines[0]
    (work / "list.txt").write_text(f"{shared.name} {shared}\n")
    names = [path.name for path in shared.iterdir()] if shared.is_dir() else [shared.name]
    (work / "none.txt").touch()
    tracker = first.start(sys.executable, "Servidor.py", TRACKER, folder=work / "t")
    read_until(tracker, TRACKER)
    drain(tracker)
    everyone = [
        start_peer(machine, role, first.ip, work)
        for machine, role in zip(machines, roles, strict=True)
    ]
    count = roles.count("source")
    network = Network(tracker, everyone[:count], everyone[count:])
    for peer in everyone:
        if peer.role != "honest":
            peer.hear()
    pause = Event()
    while holders(network.honest[0], names) != count * len(names):  # the tracker knows the roots
        pause.wait(0.1)
    return network


def start_peer(machine: Machine, role: str, tracker: str, work: Path) -> Peer:
    folder = Path(tempfile.mkdtemp(dir=work))
    shares = work / ("list.txt" if role == "source" else "none.txt")
    program = [str(HERE), AS_LIAR] if role == "liar" else ["Peers.py"]
    process = machine.start(
        sys.executable, *program, tracker, TRACKER, "--ip", machine.ip,
        "--arquivos", str(shares), "--pasta", str(folder), folder=folder,
    )  # fmt: skip
    read_until(process, "minha porta")
    return Peer(machine, role, process, folder)


def holders(peer: Peer, names: list[str]) -> int:
    """Return how many peers have each of the files, added up, as the tracker tells."""
    # By the thousand, because a search tells no more than 10,000.
    return sum(_holders_of(peer, begin) for begin in sorted({name[:3] for name in names}))


def _holders_of(peer: Peer, begin: str) -> int:
    """Return the same of the files whose names begin so."""
    peer.type(f"buscar {begin}")
    peer.type("peers")  # its table comes after, whether or not there was anything to find
    assert peer.process.stdout is not None
    count = 0
    for line in peer.process.stdout:
        name = line.split("\t")[0].rpartition("/")[2]
        if name.startswith(begin) and name.endswith(".bin"):
            count += int(line.split("\t")[2])
        if "\tPorta" in line:
            return count
    raise SystemExit("a peer ended before it began")


def be_a_liar(words: list[str]) -> None:
    """Be Peers.py in all but this: every tenth piece that leaves has a wrong bit."""
    sys.path.insert(0, str(ROOT))
    from rede_p2p.content import disk
    from rede_p2p.upload.upload_slots import Upload

    send_data = Upload.send_data
    pieces = itertools.count(1)  # of all connections together

    def lie(self, name, head, length, read) -> None:  # type: ignore[no-untyped-def]
        body = read()
        for at in range(0, len(body), PIECE):
            if next(pieces) % LIE_EVERY == 0:
                body[at] ^= 1
                os.write(1, b"lie\n")
        send_data(self, name, head, length, lambda: body)

    def lie_of_file(self, file, name, state, head, start, length) -> None:  # type: ignore[no-untyped-def]
        body = bytearray(length)
        disk.read_into(file, start, memoryview(body))
        lie(self, name, head, length, lambda: body)

    Upload.send_data = lie  # type: ignore[method-assign]
    Upload.send = lie_of_file  # type: ignore[method-assign]
    sys.argv = ["Peers.py", *words]
    runpy.run_path(str(ROOT / "Peers.py"), run_name="__main__")


# Their rivals.

CURL = "curl -sS --fail --config -"
SHA256 = "openssl dgst -sha256"


def fetch_with_curls(url: str, machines: list[Machine], work: Path) -> float:
    """Let a curl on every machine fetch the file at once; return the seconds of the last.

    Each waits for the disk and hashes the file, as a peer does.
    """
    folder = Path(tempfile.mkdtemp(dir=work))
    paths = [folder / str(number) / "shared.bin" for number in range(len(machines))]
    curls = [
        machine.start("sh", "-c", f"{CURL} && sync {path} && {SHA256} {path}", folder=folder)
        for machine, path in zip(machines, paths, strict=True)
    ]
    Event().wait(0.5)  # they have started, as the peers have, and wait for what to fetch
    began = monotonic()
    for curl, path in zip(curls, paths, strict=True):
        assert curl.stdin is not None
        curl.stdin.write(f'url="{url}"\noutput="{path}"\ncreate-dirs\n')
        curl.stdin.close()
    if any([curl.wait() for curl in curls]):  # noqa: C419 - all must end
        raise SystemExit("a curl failed")
    seconds = monotonic() - began
    shutil.rmtree(folder)
    return seconds


def fetch_with_libtorrent(
    shared: Path, piece: int, seed: Machine, machines: list[Machine], work: Path
) -> float:
    """Let libtorrent on every machine fetch the file at once; return the seconds of the last.

    Raises SystemExit where one fails.
    """
    import libtorrent as lt

    folder = Path(tempfile.mkdtemp(dir=work))
    files = lt.file_storage()
    lt.add_files(files, str(shared))
    made = lt.create_torrent(files, piece_size=piece)
    lt.set_piece_hashes(made, str(shared.parent))
    torrent = folder / "shared.torrent"
    torrent.write_bytes(lt.bencode(made.generate()))
    peers = []
    everyone = [machine.ip for machine in (seed, *machines)]
    for machine in (seed, *machines):
        (own := folder / machine.name).mkdir()
        file = shared if machine is seed else own / shared.name
        script = str(ROOT / "tests" / "benchmarks" / "torrent_peer.py")
        others = [ip for ip in everyone if ip != machine.ip]
        words = (sys.executable, script, str(file), str(torrent), machine.ip, *others)
        peers.append(machine.start(*words, folder=own))
    for peer in peers:
        read_until(peer, "ready")
    began = monotonic()
    for peer in peers:
        assert peer.stdin is not None
        peer.stdin.write("\n")
    for peer in peers:
        read_until(peer, "done")
    seconds = monotonic() - began
    for peer in peers:
        peer.kill()
        peer.wait()
    shutil.rmtree(folder)
    return seconds


def start_nginx(machine: Machine, shared: Path, work: Path) -> str:
    """Start nginx; return the address of the file."""
    folder = Path(tempfile.mkdtemp(dir=work))
    words = nginx_words(folder, shared.parent, machine.ip, NGINX_PORT)
    nginx = machine.start(rival("nginx"), *words, folder=folder)
    pause = Event()
    while not (folder / "pid").exists():  # it is written once the port is open
        if nginx.poll() is not None:
            raise SystemExit(f"nginx did not start: {nginx.communicate()[0]}")
        pause.wait(0.02)
    return f"http://{machine.ip}:{NGINX_PORT}/{shared.name}"


def rival(name: str) -> str:
    """Return where a rival is installed, or an empty word."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") or ""


if __name__ == "__main__" and sys.argv[1:2] == [AS_LIAR]:
    be_a_liar(sys.argv[2:])
