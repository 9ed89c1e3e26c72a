"""The rig: a proxy that misbehaves on command, a room of real programs, and what must stay true.

A fault is described by three words: what happens, in the answer to which request, and where in it.
The proxy reads the grammar of docs/PROTOCOLO.md by itself, so that it finds that place exactly.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic

from processes import PATIENCE, UNFORESEEN, Program, Programs, Stay, beside, converse, eventually
from sources import found_in, pieces_of, right_pieces
from terminals import Terminal

ANSWER_S = 1.0  # in which a menu and a tracker answer, whatever was done to them
LIST_S = 15.0  # in which the tracker's list is true again
DRIBBLE_S = 0.02  # between two bytes
SOME_BYTES = 16  # that are dropped, or come twice
GARBAGE_BYTES = 100_000
MAX_OVERHEAD_BYTES = 30_000  # that a download takes beside its pieces: heads, hashes, a list

# What our own programs write to steer a terminal; any other control character is a stranger's.
OUR_ESCAPES = re.compile(
    r"\x1b\[[0-9;]*m|\x1b\[\d*[ABCDGJKL]|\x1b\[\?(1|7|25|1034|2004)[hl]|\x1b[=>78D]|\x1b\[\d*[PX@]"
    r"|[\r\n\t\x08]"
)
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Fault:
    """``kind`` happens to the ``nth`` answer to ``verb``, ``where`` it is."""

    kind: str
    verb: str
    where: str  # start, head, body, middle, end
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.kind} {self.verb} {self.nth} {self.where}"

    def offset(self, head: int, body: int) -> int:
        """Return where, in bytes, in an answer of so many bytes; a no has no body."""
        place = {
            "start": 0,
            "head": min(3, head),
            "body": head,
            "middle": head + body // 2,
            "end": head + body - 1,
        }[self.where]
        return min(place, head + body - 1)


FAULTS = ("cut", "reset", "stall", "dribble", "flip", "duplicate", "truncate", "garbage")


class Proxy:
    """Relays to another program, and does to its answers what ``fault`` says, once."""

    def __init__(self, ip: str, port: int, upstream: tuple[str, int], *, as_client: bool) -> None:
        """Listen on an address; ``as_client``: connect from the IP of who connected."""
        self.upstream = upstream
        self.fault: Fault | None = None
        self.left = 0  # answers to its verb, with the one that it happens to
        self.happened = Event()  # the fault
        self.down_bytes = 0  # that were relayed to clients
        self._as_client = as_client
        self._lock = Lock()  # guards the three below
        self._ended = False
        self._open: set[socket.socket] = set()
        self._threads: list[Thread] = []
        self._server = socket.create_server((ip, port))
        self.ip, self.port = self._server.getsockname()[:2]
        self._accepting = Thread(target=self._accept)
        self._accepting.start()

    def set(self, fault: Fault | None) -> None:
        """Arm a fault, or none; count bytes anew."""
        self.happened.clear()
        self.down_bytes, self.fault, self.left = 0, fault, fault.nth if fault else 0

    def close(self) -> None:
        """End every conversation, and all threads."""
        with self._lock:
            self._ended = True
        self._server.shutdown(socket.SHUT_RDWR)
        self._accepting.join(PATIENCE)
        self._server.close()
        self.drop()
        for thread in self._threads:
            thread.join(PATIENCE)

    def drop(self) -> None:
        """Hang up on everybody, as a router does that starts anew."""
        with self._lock:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, (ip, *_) = self._server.accept()
                thread = Thread(target=self._relay, args=(client, ip))
                with self._lock:
                    self._threads = [one for one in self._threads if one.is_alive()]
                    self._threads.append(thread)
                thread.start()

    def _relay(self, client: socket.socket, ip: str) -> None:
        source = (ip, 0) if self._as_client else None
        with client:
            try:
                server = socket.create_connection(self.upstream, PATIENCE, source_address=source)
            except OSError:
                return
            with server:
                server.settimeout(None)
                with self._lock:
                    if self._ended:
                        return
                    self._open |= {client, server}
                talk = _Conversation(self, client, server)
                upward = Thread(target=talk.up)
                upward.start()
                try:
                    with suppress(OSError):
                        talk.down()
                finally:
                    for sock in (client, server):
                        with suppress(OSError):
                            rude = talk.rude and sock is client
                            sock.shutdown(socket.SHUT_RD if rude else socket.SHUT_RDWR)
                    upward.join()
                    with self._lock:
                        self._open -= {client, server}


class _Conversation:
    """One connection through the proxy: requests upward, answers downward."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._verbs: deque[str] = deque()  # of the requests without an answer
        self._held = bytearray()  # answers that are not relayed yet
        self.rude = False  # whether the client is to hear of the end by RST

    def up(self) -> None:
        """Relay requests, and note their verbs before they go."""
        unread, body = bytearray(), 0
        with suppress(OSError):
            while data := self._client.recv(65536):
                unread += data
                while unread:
                    if body:
                        skipped = min(body, len(unread))
                        body -= skipped
                        del unread[:skipped]
                    elif (end := unread.find(b"\n") + 1) > 0:
                        body = self._note(bytes(unread[:end]))
                        del unread[:end]
                    else:
                        break
                self._server.sendall(data)
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_WR)

    def _note(self, line: bytes) -> int:
        """Note a request; return the length of its body."""
        verb, _, fields = line.partition(b" ")
        self._verbs.append(verb.decode(errors="replace").strip())
        if verb in (b"announce", b"withdraw", b"bundle"):
            return int(json.loads(fields)["bytes"])
        return 0

    def down(self) -> None:
        """Relay answers, one by one."""
        while (head := self._head()) is not None:
            body = int((re.search(rb'"bytes": (\d+)', head) or [0, 0])[1])
            verb = "espera" if head.startswith(b"espera") else self._next_verb()
            fault = self._proxy.fault
            self._proxy.left -= fault is not None and fault.verb == verb
            if fault is not None and fault.verb == verb and self._proxy.left <= 0:
                at = fault.offset(len(head), body)
                self._pass_on(at)
                self._proxy.fault = None
                self._proxy.happened.set()
                getattr(self, f"_{fault.kind}")(len(head) + body - at)
            else:
                self._pass_on(len(head) + body)

    def _next_verb(self) -> str:
        return self._verbs.popleft() if self._verbs else "?"

    def _more(self) -> bool:
        data = self._server.recv(262_144)
        self._held += data
        return bool(data)

    def _head(self) -> bytes | None:
        while (end := self._held.find(b"\n")) < 0:
            if not self._more():
                return None
        return bytes(self._held[: end + 1])

    def _take(self, count: int) -> bytes:
        while len(self._held) < count and self._more():
            pass
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken

    def _send(self, data: bytes) -> None:
        self._proxy.down_bytes += len(data)
        self._client.sendall(data)

    def _pass_on(self, count: int) -> None:
        while count:
            if not self._held and not self._more():
                raise ConnectionError
            some = bytes(self._held[:count])
            del self._held[: len(some)]
            count -= len(some)
            self._send(some)

    # The faults, each with ``left`` bytes of the answer to come.

    def _cut(self, _left: int) -> None:
        raise ConnectionError

    def _reset(self, _left: int) -> None:
        # It is closed once nobody reads from it any more: before that the system sends nothing.
        self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rude = True
        raise ConnectionError

    def _stall(self, _left: int) -> None:
        self._wait_for_client(None)
        raise ConnectionError

    def _dribble(self, left: int) -> None:
        for byte in self._take(left):
            self._send(bytes([byte]))
            if self._wait_for_client(DRIBBLE_S):
                raise ConnectionError

    def _flip(self, left: int) -> None:
        self._send(bytes([self._take(1)[0] ^ 0x10]))
        self._pass_on(left - 1)

    def _duplicate(self, left: int) -> None:
        some = self._take(min(left, SOME_BYTES))
        self._send(some + some)
        self._pass_on(left - len(some))

    def _truncate(self, left: int) -> None:
        self._take(min(left, SOME_BYTES))
        self._pass_on(left - min(left, SOME_BYTES))

    def _garbage(self, left: int) -> None:
        self._take(left)
        self._send(random.Random(left).randbytes(GARBAGE_BYTES))
        self._wait_for_client(DRIBBLE_S)
        raise ConnectionError

    def _wait_for_client(self, seconds: float | None) -> bool:
        """Wait until the client leaves; tell whether it did."""
        poll = select.poll()
        poll.register(self._client, select.POLLRDHUP)
        return bool(poll.poll(None if seconds is None else seconds * 1000))


# What the programs are.

HURRY = {  # short deadlines, for a program that meets the faults
    "reply_s": 0.5, "stall_s": 0.5, "download_stall_s": 1.0, "layer_hurry_s": 0.2,
    "pending_s": 1.0, "heartbeat_s": 0.3, "first_rejoin_pause_s": 0.05,
    "max_rejoin_pause_s": 0.2, "first_search_pause_s": 0.05, "max_search_pause_s": 0.1,
    "quiet_s": 0.1, "file_scan_s": 0.2, "list_poll_s": 0.1,
}  # fmt: skip


def hurried(words: list[str], seconds: Mapping[str, float] = HURRY) -> list[str]:
    """Return the command line of the same program with other deadlines."""
    return ["tests/hurried.py", *(f"{name}={value}" for name, value in seconds.items()), *words]


@dataclass(frozen=True)
class Use:
    """What a process holds."""

    threads: int
    descriptors: int

    @classmethod
    def of(cls, pid: int) -> Use:
        """Look."""
        tasks, links = os.listdir(f"/proc/{pid}/task"), os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208
        return cls(len(tasks), len(links))

    def within(self, other: Use) -> bool:
        """Tell whether it is no more than that of another moment."""
        return self.threads <= other.threads and self.descriptors <= other.descriptors


class Watch:
    """What must be true after every case, whatever was done in it.

    ``expected`` are the contents that may have a final name in ``downloads``, ``own`` the person's
    files there. Everything else below ``folder`` but the homes of the programs must stay as it is.
    """

    def __init__(
        self,
        folder: Path,
        downloads: Path,
        expected: Mapping[str, bytes],
        tracker: tuple[str, int],
    ) -> None:
        self.folder, self.downloads, self.expected = folder, downloads, expected
        self.tracker = tracker
        self.own: dict[str, bytes] = {}
        self.listed: Callable[[], set[int]] | None = None  # the ports that the tracker must list
        self._menus: list[Terminal] = []
        self._programs: dict[int, Use] = {}
        self._said: list[Program] = []
        self._elsewhere: dict[str, tuple[int, int]] = {}

    def menu(self, menu: Terminal) -> None:
        """Watch the menu of a program too."""
        self._menus.append(menu)
        self._programs[menu._child.pid] = Use(0, 0)

    def program(self, program: Program) -> None:
        """Watch a program."""
        self._said.append(program)
        self._programs[program.pid] = Use(0, 0)

    def begin(self) -> None:
        """Remember how everything is, once nothing moves any more."""
        for pid in self._programs:
            self._programs[pid] = settled(pid)
        self._elsewhere = self._others()

    def changed(self) -> None:
        """Take what a test itself has just changed for what must stay."""
        self._elsewhere = self._others()

    def check(self) -> None:
        """Assert all of it."""
        self._files()
        self._voices()
        self._answers()
        for pid, before in self._programs.items():
            try:
                eventually(lambda pid=pid, before=before: Use.of(pid).within(before))
            except AssertionError:
                raise AssertionError(f"left behind: {before} → {what_it_holds(pid)}") from None

    def _files(self) -> None:
        for name, data in found_in(self.downloads).items():
            if name in self.own:
                assert data == self.own[name], f"{name} was overwritten"
            elif name.endswith(".parte"):
                assert name.removesuffix(".parte") in self.expected, name
            else:
                assert data == self.expected.get(re.sub(r" \(\d+\)", "", name)), f"{name} is wrong"
        assert set(self.own) <= set(found_in(self.downloads))
        assert self._others() == self._elsewhere, "something outside the folder was touched"

    def _others(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in self.folder.rglob("*"):
            inside = path.relative_to(self.folder).parts
            if any(part.startswith("home") for part in inside) or self.downloads in path.parents:
                continue
            if path.is_file():
                state = path.stat()
                found[str(path)] = (state.st_size, state.st_mtime_ns)
        return found

    def _voices(self) -> None:
        for menu in self._menus:
            raw = menu.raw.decode(errors="replace")
            assert not UNFORESEEN.search(raw), raw[-2000:]
            strange = CONTROLS.search(OUR_ESCAPES.sub("", raw))
            assert strange is None, f"{strange[0]!r} reached the terminal: {raw[-2000:]!r}"
        for program in self._said:
            text = program._text["out"] + program._text["err"]
            assert not UNFORESEEN.search(text), text

    def _answers(self) -> None:
        for menu in self._menus:
            assert "sair da rede" in typed(menu, "ajuda quit", ANSWER_S)
        began = monotonic()
        ports = listed_ports(*self.tracker)
        assert monotonic() - began < ANSWER_S
        if self.listed is not None and ports != self.listed():
            end = monotonic() + LIST_S
            eventually(lambda: listed_ports(*self.tracker) == self.listed())
            assert monotonic() < end


def typed(menu: Terminal, line: str, within: float = PATIENCE) -> str:
    """Type a line in a menu; return what was written until the prompt stands there again.

    The screen tells, and not what was written last: a notice comes above the prompt.
    """
    menu.prompts()
    start = len(menu.raw)
    menu.press(line + "\r")
    echo = re.compile(re.escape(line.encode()) + rb"\s*\r\n")
    menu.until(lambda: echo.search(menu.raw[start:]) and menu.last_line() == "rede>", within)
    return menu.raw[start:].decode(errors="replace")


def what_it_holds(pid: int) -> Counter[str]:
    """Name the threads and the descriptors of a process."""
    tasks, links = Path(f"/proc/{pid}/task"), Path(f"/proc/{pid}/fd")
    found = Counter((task / "comm").read_text().strip() for task in tasks.iterdir())
    for link in links.iterdir():
        with suppress(FileNotFoundError):  # that which lists our own
            found[re.sub(r"\[\d+\]", "", os.readlink(link))] += 1  # noqa: PTH115
    return found


def settled(pid: int) -> Use:
    """Return what a process holds once that has been the same for half a second."""
    never, before, since = Event(), Use.of(pid), monotonic()
    while monotonic() - since < 0.5:
        never.wait(0.05)
        if (now := Use.of(pid)) != before:
            before, since = now, monotonic()
    return before


def listed_ports(ip: str, port: int) -> set[int]:
    """Ask a tracker for its list."""
    said = converse(ip, port, b"peers\nquit\n")
    return {int(found) for found in re.findall(rb'"port": (\d+)', said)}


def listed_port(programs: Programs, ip: str) -> tuple[socket.socket, int]:
    """Join a tracker from an address, and take the port that it offers."""
    membership = socket.create_connection((programs.ip, programs.port), PATIENCE, (ip, 0))
    membership.sendall(b'join {"version": 1}\n')
    port = int(re.search(rb'"port": (\d+)', membership.recv(4096))[1])
    return membership, port


class ListedProxy(Proxy):
    """A proxy in place of a peer: a member of the tracker, which lists it."""

    def __init__(self, programs: Programs, ip: str, upstream: tuple[str, int]) -> None:
        membership, port = listed_port(programs, ip)
        super().__init__(ip, port, upstream, as_client=False)
        membership.sendall(b'ready {"port": %d}\n' % port)
        assert membership.recv(100) == b"ok\n"
        self._stay = Stay(membership)

    def close(self) -> None:
        """Leave, and end."""
        self._stay.close()
        super().close()


class Awake(Programs):
    """Programs that find none which keeps the machine awake, and so hold nothing for it."""

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "PATH": str(self.folder)}


class Room:
    """A tracker, a seed that another tracker lists, a proxy before it, and two that download.

    ``hasty`` has short deadlines and meets the faults. ``patient``, with the usual deadlines and
    the same folder, completes afterwards what was left.
    """

    def __init__(self, folder: Path, files: Mapping[str, bytes], stack: ExitStack) -> None:
        self.folder, self.files = folder, files
        (folder / "longe").mkdir()
        self.net, self.far = Awake(folder), Awake(folder / "longe")
        for programs in (self.far, self.net):
            stack.callback(programs.close)
        self.far.tracker()
        self.tracker = self.net.tracker()
        self.shared = self.far.sharing(files)
        self.seed, port = self.far.peer("--servir", files=self.shared)
        self.proxy = ListedProxy(self.net, beside(self.net.ip, 1), (self.far.ip, port))
        stack.callback(self.proxy.close)
        self.downloads = self.net.downloads
        self.downloads.mkdir()
        (self.downloads / "pessoal.txt").write_bytes(b"da pessoa")
        self.hasty = self._menu(beside(self.net.ip, 2), stack, hasty=True)
        self.patient = self._menu(beside(self.net.ip, 3), stack, hasty=False)
        self.watch = Watch(folder, self.downloads, files, (self.net.ip, self.net.port))
        self.watch.own = {"pessoal.txt": b"da pessoa"}
        for menu in (self.hasty, self.patient):
            self.watch.menu(menu)
        for program in (self.tracker, self.seed):
            self.watch.program(program)
        self.get("*", self.patient)  # so that what is made once is there
        self.forget()
        self.get("*", self.hasty)
        self.forget()
        ports = listed_ports(self.net.ip, self.net.port)
        self.watch.listed = lambda: ports
        self.watch.begin()

    def _menu(self, ip: str, stack: ExitStack, *, hasty: bool) -> Terminal:
        words = self.net.words("--nao-semear", ip=ip, files={})
        made = Terminal(hurried(words) if hasty else words, self.net.environment(), 200)
        stack.callback(made.close)
        made.prompts()
        return made

    def get(self, name: str, menu: Terminal) -> str:
        """Have a menu download from the proxy; return what it says of it."""
        return typed(menu, f"get {self.proxy.ip} {self.proxy.port} '{name}'")

    def complete(self, names: list[str]) -> None:
        """Complete what a fault left, without a fault: exactly, and only what is missing."""
        missing = 0
        for name in names:
            data, part = self.files[name], self.downloads / f"{name}.parte"
            if not (self.downloads / name).exists():
                kept = sum(_piece_length(data, i) for i in right_pieces(part, data))
                missing += len(data) - kept
        self.proxy.set(None)
        said = self.get(names[0] if len(names) == 1 else "*", self.patient)
        found = found_in(self.downloads)
        for name in names:
            assert found.get(name) == self.files[name], said
        assert not [name for name in found if name.endswith(".parte")], said
        came = self.proxy.down_bytes
        assert missing <= came <= missing + MAX_OVERHEAD_BYTES, f"missing {missing}, {came} came"

    def forget(self) -> None:
        """Remove what was downloaded."""
        for name in found_in(self.downloads):
            if name != "pessoal.txt":
                (self.downloads / name).unlink()


def _piece_length(data: bytes, index: int) -> int:
    return len(pieces_of(data)[index])
