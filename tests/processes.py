"""The real programs as processes, and liars in their place, for the whole-program tests.

Every wait is for a fact (a line, an exit, a byte) and has a deadline. A program's output is read
by threads, so that nothing blocks; each program has its own folders, cache and address.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Event, Thread
from time import monotonic
from typing import IO

from conftest import ROOT

PATIENCE = 25.0  # seconds for any fact
UNFORESEEN = re.compile(r"Traceback|erro interno|Warning|Exception")

RUNNER: list[str] = []  # words between Python and a program, such as ``masked.py``

_addresses = itertools.count(random.randrange(2**18))
_ports = itertools.count(random.randrange(2**12))


def private_address() -> str:
    """Return a loopback address of nobody else; so are the three that follow it."""
    block, place = divmod(next(_addresses) % (63 * 2**14), 63)
    return f"127.{128 + block // 256}.{block % 256}.{place * 4 + 2}"


def beside(ip: str, steps: int = 1) -> str:
    """Return an address near ``ip``."""
    head, _, last = ip.rpartition(".")
    return f"{head}.{int(last) + steps}"


def private_port() -> int:
    """Return a port that the system gives to nobody by itself, spaced for several peers."""
    return 10_000 + next(_ports) % 2**12 * 5


def eventually(fact: Callable[[], object]) -> None:
    """Wait for a fact of which nobody tells, such as an entry of /proc that goes."""
    end, never = monotonic() + PATIENCE, Event()
    while not fact():
        assert monotonic() < end, "it never became true"
        never.wait(0.02)


@dataclass(frozen=True)
class Result:
    """What a program left: its exit status and all that it wrote."""

    status: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """The lines on stderr, but for those that say that all is well."""
        fine = re.compile(r"na rede, pelo tracker |minha porta pública é |uso: |[\d,]+ \wiB em ")
        return [line for line in self.err.splitlines() if not fine.match(line)]


class Program:
    """One process with pipes; ``close`` ends it whatever it does."""

    def __init__(
        self, words: Sequence[str], environment: Mapping[str, str], cwd: Path = ROOT
    ) -> None:
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=dict(environment),
        )
        self._written = Condition()  # guards the three below
        self._text = {"out": "", "err": ""}
        self._seen = {"out": 0, "err": 0}
        self._open = 2
        self._readers = [
            Thread(target=self._drain, args=("out", self.process.stdout)),
            Thread(target=self._drain, args=("err", self.process.stderr)),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def _drain(self, name: str, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                with self._written:
                    self._text[name] += line.decode()
                    self._written.notify_all()
        with self._written:
            self._open -= 1
            self._written.notify_all()

    def send(self, *lines: str) -> None:
        """Type lines."""
        self.process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def prints(self, pattern: str) -> re.Match[str]:
        """Wait for a pattern on stdout, after what was waited for before."""
        return self._wait_for("out", pattern, PATIENCE)

    def says(self, pattern: str, within: float = PATIENCE) -> re.Match[str]:
        """Wait for a pattern on stderr, after what was waited for before."""
        return self._wait_for("err", pattern, within)

    def _wait_for(self, name: str, pattern: str, within: float) -> re.Match[str]:
        found: list[re.Match[str]] = []

        def there() -> bool:
            match = re.compile(pattern, re.MULTILINE).search(self._text[name], self._seen[name])
            found.extend([match] if match else [])
            return bool(found) or not self._open

        with self._written:
            self._written.wait_for(there, within)
            assert found, f"no {pattern!r} on std{name}: {self._text}"
            self._seen[name] = found[0].end()
        return found[0]

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Do what kill -9 does, and see it dead."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def end(self, within: float = PATIENCE) -> Result:
        """Close its input, and wait until it ends by itself."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        status = self.process.wait(within)
        for reader in self._readers:
            reader.join(PATIENCE)
        return Result(status, self._text["out"], self._text["err"])

    def close(self) -> Result:
        """End it now; fail if it ever wrote what no program of ours may write."""
        self.process.kill()
        result = self.end()
        assert not UNFORESEEN.search(result.out + result.err), result
        return result


class Programs:
    """The programs of one test, or of several; it ends them all."""

    def __init__(self, folder: Path, prefix: Sequence[str] = ()) -> None:
        self.folder = folder
        self.prefix = list(prefix)  # words before every command, such as ``nsenter …``
        self.runner: list[str] = []  # words between Python and a program, where RUNNER is empty
        self.ip = private_address()
        self.port = private_port()
        self._stack = ExitStack()
        self._count = itertools.count(1)

    def close(self) -> None:
        self._stack.close()

    def start(self, *words: str, environment: Mapping[str, str] | None = None) -> Program:
        """Start any program of the project: ``Servidor.py …`` or ``Peers.py …``."""
        runner = RUNNER or self.runner
        command = [*self.prefix, sys.executable, "-W", "default", *runner, *words]
        program = Program(command, environment or self.environment())
        self._stack.callback(program.close)
        return program

    def hurry(self, **seconds: float) -> None:
        """Give the programs that start from now on other deadlines (``Timeouts``)."""
        shorter = [f"{name}={value}" for name, value in seconds.items()]
        self.runner = [str(ROOT / "tests" / "hurried.py"), *shorter]

    def start_script(self, text: str) -> Program:
        """Start a program of a test's own, which may import the project."""
        path = self.folder / f"programa{next(self._count)}.py"
        path.write_text(text, encoding="utf-8")
        return self.start(str(path), environment={**self.environment(), "PYTHONPATH": str(ROOT)})

    def environment(self) -> dict[str, str]:
        """Return the environment of one more program, with a home and a cache of its own.

        Peers have no name: that of the machine would be another on each.
        """
        home = self.folder / f"home{next(self._count)}"
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "REDE_NOME": "",
            "XDG_STATE_HOME": str(home / "state"),
        }

    def tracker(self, *words: str, first_port: int | None = None) -> Program:
        """Start the tracker, and wait until it answers."""
        tracker = self.start(
            "Servidor.py", str(self.port), "--ip", self.ip,
            "--primeira-porta", str(first_port or self.port + 1), *words,
        )  # fmt: skip
        tracker.says("Ctrl-C encerra")
        return tracker

    def sharing(self, files: Mapping[str, bytes]) -> Path:
        """Write files and the list that shares them; return the list."""
        folder = self.folder / f"shared{next(self._count)}"
        folder.mkdir()
        lines = []
        for number, (name, data) in enumerate(files.items()):
            (folder / str(number)).write_bytes(data)
            os.utime(folder / str(number), (1_500_000_000,) * 2)  # quiet, and hashed at once
            lines.append(f'"{name}" {number}\n')
        list_path = folder / "lista.txt"
        list_path.write_text("".join(lines), encoding="utf-8")
        return list_path

    def words(
        self,
        *words: str,
        ip: str | None = None,
        files: Mapping[str, bytes] | Path = {},  # noqa: B006 - it is only read
        downloads: Path | None = None,
    ) -> list[str]:
        """Return the command line of a peer of this network."""
        list_path = files if isinstance(files, Path) else self.sharing(files)
        return [
            "Peers.py", self.ip, str(self.port), "--ip", ip or self.ip,
            "--arquivos", str(list_path), "--pasta", str(downloads or self.downloads), *words,
        ]  # fmt: skip

    @property
    def downloads(self) -> Path:
        """Where downloads land when nothing else is said."""
        return self.folder / "baixados"

    def peer(
        self,
        *words: str,
        ip: str | None = None,
        files: Mapping[str, bytes] | Path = {},  # noqa: B006 - it is only read
        downloads: Path | None = None,
    ) -> tuple[Program, int]:
        """Start a peer, and wait until it is in the network; return it and its public port."""
        program = self.start(*self.words(*words, ip=ip, files=files, downloads=downloads))
        return program, int(program.says(r"minha porta pública é (\d+)")[1])

    def run(
        self,
        script: str,
        *words: str,
        ip: str | None = None,
        files: Mapping[str, bytes] | Path = {},  # noqa: B006 - it is only read
        downloads: Path | None = None,
    ) -> Result:
        """Run a peer that does what the script says and leaves."""
        given = self.words(*words, "-c", script, ip=ip, files=files, downloads=downloads)
        return self.start(*given).end()


@contextmanager
def network(folder: Path, prefix: Sequence[str] = ()) -> Iterator[Programs]:
    """Give a private address to programs, and end them all."""
    programs = Programs(folder, prefix)
    try:
        yield programs
    finally:
        programs.close()


# Other voices on the wire.


def converse(ip: str, port: int, said: bytes, *, until_end: bool = True) -> bytes:
    """Say something to a real program, and return all that it answers (or the first of it)."""
    with socket.create_connection((ip, port), PATIENCE, source_address=(ip, 0)) as sock:
        sock.settimeout(PATIENCE)
        with suppress(OSError):  # it may hang up on us, and should
            sock.sendall(said)
            if until_end:
                sock.shutdown(socket.SHUT_WR)
        heard = b""
        with suppress(ConnectionError):
            while chunk := sock.recv(65536):
                heard += chunk
                if not until_end:
                    break
        return heard


class Stay:
    """A membership that lasts however long the test takes: a tracker drops who is silent."""

    def __init__(self, membership: socket.socket) -> None:
        self.membership = membership
        self._left = Event()
        self._thread = Thread(target=self._ping)
        self._thread.start()

    def _ping(self) -> None:
        with suppress(OSError):
            while not self._left.wait(3.0):
                self.membership.sendall(b"ping\n")
                self.membership.recv(64)

    def close(self) -> None:
        """Leave."""
        self._left.set()
        with suppress(OSError):
            self.membership.shutdown(socket.SHUT_RDWR)
        self._thread.join(PATIENCE)
        self.membership.close()


class Liar:
    """A server that answers each line by its first word, with whatever bytes the test wants.

    ``answers`` maps a verb to what is sent for it; verbs in ``fatal`` are hung up on after that.
    A verb without an answer is left waiting for ever.
    """

    def __init__(
        self, ip: str, answers: Mapping[str, bytes], fatal: Sequence[str] = (), port: int = 0
    ) -> None:
        self.ip = ip
        self.answers = dict(answers)
        self.fatal = frozenset(fatal)
        self.asked = Event()  # a verb without an answer has come
        self._server = socket.create_server((ip, port))
        self.port: int = self._server.getsockname()[1]
        self._stay: Stay | None = None
        self._open: list[socket.socket] = []
        self._threads = [Thread(target=self._accept)]
        self._threads[0].start()

    @classmethod
    def listed(
        cls, programs: Programs, answers: Mapping[str, bytes], fatal: Sequence[str] = ()
    ) -> Liar:
        """Join a real tracker as a peer would, and lie to whoever comes."""
        ip = beside(programs.ip, 2)
        membership = socket.create_connection(
            (programs.ip, programs.port), PATIENCE, source_address=(ip, 0)
        )
        with membership.makefile("rwb", buffering=0) as talk:
            talk.write(b'join {"version": 1}\n')
            liar = None
            while liar is None:
                port = json.loads(talk.readline().removeprefix(b"ok "))["port"]
                try:
                    liar = cls(ip, answers, fatal, port)
                except OSError:  # who had it has left the list, and not yet the port
                    talk.write(b'busy {"port": %d}\n' % port)
            talk.write(b'ready {"port": %d}\n' % port)
            assert talk.readline() == b"ok\n"
        liar._stay = Stay(membership)
        return liar

    def __enter__(self) -> Liar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stay is not None:
            self._stay.close()
        self._server.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(PATIENCE)
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        for sock in (self._server, *self._open):
            sock.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._server.accept()
                self._open.append(sock)
                thread = Thread(target=self._attend, args=(sock,))
                self._threads.append(thread)
                thread.start()

    def _attend(self, sock: socket.socket) -> None:
        with suppress(OSError), sock.makefile("rb") as lines:
            for line in lines:
                verb = line.split()[0].decode()
                if verb not in self.answers:
                    self.asked.set()
                    continue
                sock.sendall(self.answers[verb])
                if verb in self.fatal:
                    break
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


# Machines.


def machines() -> str:
    """Return why this system lets nobody make a network of its own, or an empty word."""
    tools = [tool for tool in ("unshare", "nsenter", "ip") if shutil.which(tool) is None]
    if tools:
        return f"no {', '.join(tools)} here"
    made = subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False)
    return made.stderr.decode().strip() if made.returncode else ""


_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
_UNSHARE = ("unshare", "-n") if _ROOT else ("unshare", "-rn")


class Machine:
    """A network of its own, with loopback alone; it goes when the process that holds it does."""

    def __init__(self, neighbour: Machine | None = None) -> None:
        words = [*_UNSHARE, "sh", "-c", "ip link set lo up && echo up && read _"]
        if neighbour is not None and not _ROOT:
            words = [*neighbour._inside("-U"), "unshare", "-n", *words[2:]]
        self._holder = Program(words, os.environ)
        self._holder.prints("up")
        self.prefix = self._inside("-n") if _ROOT else self._inside("-U", "-n")

    def _inside(self, *spaces: str) -> list[str]:
        keep = ["--preserve-credentials"] if "-U" in spaces else []
        return ["nsenter", "-t", str(self._holder.pid), *keep, *spaces]

    def ip(self, *words: str) -> None:
        """Run ``ip`` on this machine."""
        subprocess.run([*self.prefix, "ip", *words], check=True, capture_output=True)

    def tells(self, *words: str) -> str:
        """Return what ``ip`` says of this machine."""
        command = [*self.prefix, "ip", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    @property
    def pid(self) -> str:
        """The process that holds this network."""
        return str(self._holder.pid)

    def sets(self, name: str, value: int) -> None:
        """Set a value of ``/proc/sys/net`` on this machine."""
        words = ["sh", "-c", f"echo {value} > /proc/sys/net/{name}"]
        subprocess.run([*self.prefix, *words], check=True, capture_output=True)

    def joined_to(self, other: Machine, own_ip: str, other_ip: str, name: str = "wire0") -> None:
        """Lay a cable to another machine; its end here has a name."""
        self.ip(
            "link", "add", name, "type", "veth",
            "peer", "name", "wire0", "netns", str(other._holder.pid),
        )  # fmt: skip
        for machine, ip, end in ((self, own_ip, name), (other, other_ip, "wire0")):
            machine.has(ip, end)

    def has(self, ip: str, end: str = "wire0") -> None:
        """Give an address to the end of a cable, and turn that on."""
        length = 64 if ":" in ip else 24
        # An IPv6 address serves at once; an IPv4 one has its broadcast, as DHCP would give it.
        options = ["nodad"] if ":" in ip else ["broadcast", "+"]
        self.ip("addr", "add", f"{ip}/{length}", *options, "dev", end)
        self.ip("link", "set", end, "up")

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self._holder.close()
