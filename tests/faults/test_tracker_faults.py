"""Every fault in each answer of the tracker: a peer says it, comes back, and the list is true."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest
from processes import beside, converse, eventually
from rig import FAULTS, Awake, Fault, Proxy, Watch, hurried, listed_ports, typed
from terminals import Terminal

pytestmark = pytest.mark.slow

DATA = b"of the other peer\n" * 9000

# How an answer is asked for; what is not typed is said by the peer itself, when it joins anew.
TYPED = {
    "peers": "peers",
    "search": "buscar outro",
    "find": "get outro.txt",
    "ping": None,
    "announce": None,
}
AGAIN = ("join", "ready")
WHERE = ("start", "end")


class Place:
    """A tracker, a proxy before it, one peer that is behind the proxy and one that is not."""

    def __init__(self, folder, stack):
        self.net = Awake(folder)
        stack.callback(self.net.close)
        self.tracker = self.net.tracker()
        direct = (self.net.ip, self.net.port)
        self.files = {"outro.txt": DATA}
        self.other, self.other_port = self.net.peer("--servir", files=self.files)
        self.proxy = Proxy(beside(self.net.ip, 2), self.net.port, direct, as_client=True)
        stack.callback(self.proxy.close)
        self.list = self.net.sharing({"meu.txt": b"m"})
        words = self.net.words("--nao-semear", ip=beside(self.net.ip, 1), files=self.list)
        words[1:3] = [self.proxy.ip, str(self.proxy.port)]
        self.menu = Terminal(hurried(words), self.net.environment(), 200)
        stack.callback(self.menu.close)
        self.menu.prompts()
        self.net.downloads.mkdir()
        self.watch = Watch(folder, self.net.downloads, self.files, direct)
        self.watch.menu(self.menu)
        for program in (self.tracker, self.other):
            self.watch.program(program)
        self.in_step()
        ports = listed_ports(*direct)
        assert len(ports) == 2
        self.watch.listed = lambda: ports
        typed(self.menu, "peers; buscar outro; get outro.txt")
        self.forget()
        self.watch.begin()

    def names(self):
        said = converse(self.net.ip, self.net.port, b'search {"text": ""}\nquit\n')
        return {name for name in (b"outro.txt", b"meu.txt") if name in said}

    def in_step(self):
        """Wait until the tracker knows what both have."""
        eventually(lambda: len(self.names()) == 2)

    def forget(self):
        for path in self.net.downloads.iterdir():
            path.unlink()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    threads = set(threading.enumerate())
    with ExitStack() as stack:
        yield Place(tmp_path_factory.mktemp("lugar"), stack)
    assert set(threading.enumerate()) <= threads


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Say nothing after each case: the proxy's talk with the tracker, made anew, outlives it."""


def cases(verbs):
    return [Fault(kind, verb, where) for verb in verbs for where in WHERE for kind in FAULTS]


def mends_itself(place):
    """Check that the peer is as it was, and does what it did."""
    place.in_step()
    place.watch.check()
    eventually(lambda: "outro.txt" in typed(place.menu, "buscar outro"))
    typed(place.menu, "get outro.txt")
    place.watch.check()
    assert (place.net.downloads / "outro.txt").read_bytes() == DATA


@pytest.mark.parametrize("fault", cases(TYPED), ids=str)
def test_what_the_tracker_answers(place, fault):
    place.forget()
    place.proxy.set(fault)
    if fault.verb == "announce":
        (place.list.parent / "0").write_bytes(str(fault).encode())
        place.watch.changed()
    if TYPED[fault.verb]:
        typed(place.menu, TYPED[fault.verb])
    assert place.proxy.happened.wait(20)
    mends_itself(place)


@pytest.mark.parametrize("fault", cases(AGAIN), ids=str)
def test_what_the_tracker_answers_to_one_who_comes_back(place, fault):
    place.forget()
    place.proxy.set(fault)
    place.proxy.drop()
    assert place.proxy.happened.wait(20)
    mends_itself(place)
