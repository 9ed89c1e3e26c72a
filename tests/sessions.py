"""A peer's program in the test's own process, in a real network, and a source beside it.

A test module names it in ``pytest_plugins``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from listening import tracker_at
from processes import Result, beside, eventually
from sources import LONG_AGO, Source

import Peers
from rede_p2p.cli.peer import Story
from rede_p2p.cli.peer_program import run_peer
from rede_p2p.cli.session import Session
from rede_p2p.content.merkle import Content
from rede_p2p.download.request import DownloadRequest
from rede_p2p.errors import Address
from rede_p2p.tracker.content_index import ContentIndex
from rede_p2p.tracker.service import Tracker


@dataclass
class Rede:
    """A network of one tracker; each peer of it has an address of its own."""

    folder: Path
    host: str
    port: int  # the tracker's
    index: ContentIndex  # what it knows
    stack: ExitStack
    capsys: pytest.CaptureFixture[str]
    count: Iterator[int] = field(default_factory=count)

    @property
    def downloads(self) -> Path:
        return self.folder / "baixados"

    def words(self, files: Mapping[str, bytes] = {}) -> list[str]:
        """Write what a peer shares; return its options."""
        shared = self.folder / "compartilhados"
        shared.mkdir(exist_ok=True)
        lines = []
        for number, (name, data) in enumerate(files.items()):
            (shared / str(number)).write_bytes(data)
            os.utime(shared / str(number), ns=(LONG_AGO, LONG_AGO))
            lines.append(f'"{name}" {number}\n')
        (shared / "lista.txt").write_text("".join(lines), encoding="utf-8")
        places = ["--arquivos", str(shared / "lista.txt"), "--pasta", str(self.downloads)]
        return ["--ip", self.host, *places]

    def run(
        self,
        script: str,
        *words: str,
        files: Mapping[str, bytes] = {},
    ) -> Result:
        """Run a peer that does what the script says and leaves."""
        return self._run(Peers.menu, *words, "-c", script, files=files)

    def be(
        self,
        do: Callable[[Session], object],
        files: Mapping[str, bytes] = {},
    ) -> Result:
        """Run a peer whose menu is ``do``."""
        return self._run(lambda session, *_: do(session) or 0, files=files)

    def _run(self, menu: Callable[..., int], *words: str, files: Mapping[str, bytes]) -> Result:
        story = Story(menu, Peers.listening, Peers.connect_to_peer)
        self.capsys.readouterr()
        status = run_peer([self.host, str(self.port), *self.words(files), *words], story)
        result = Result(status, *self.capsys.readouterr())
        assert "erro interno" not in result.err
        return result

    def source(self, files: Mapping[str, bytes], name: str = "", steps: int = 1) -> Source:
        """Have one more peer, which shares these; on the address one to three ``steps`` after."""
        return self._joined(files, name, steps)[0]

    def announced(self, files: Mapping[str, bytes], name: str = "", steps: int = 1) -> Source:
        """Have one more such peer, and wait until the tracker knows what it shares."""
        found, wanted = self._joined(files, name, steps, announces=True)

        def known(content: Content) -> bool:
            return found.address in {
                Address(one.ip, one.port) for one in self.index.holders(content.root)
            }

        eventually(lambda: all(known(one.content) for one in wanted))
        return found

    def _joined(
        self, files: Mapping[str, bytes], name: str, steps: int, *, announces: bool = False
    ) -> tuple[Source, list[DownloadRequest]]:
        found = Source(self.folder / f"fonte{next(self.count)}", "", self.stack)
        wanted = found.share(files)
        found.join(self.host, self.port, beside(self.host, steps), name, announces=announces)
        return found, wanted


@pytest.fixture
def tracker(host: str) -> Iterator[Tracker]:
    with tracker_at(host) as opened:
        yield opened


@pytest.fixture
def hooks(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Put back what a program sets for the whole process: hooks, streams, handlers, turns."""
    places = [(sys, "excepthook"), (threading, "excepthook")]
    places += [(sys, name) for name in ("stdin", "stdout", "stderr")]
    before = [(place, name, getattr(place, name)) for place, name in places]
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    turn_s = sys.getswitchinterval()
    yield
    sys.setswitchinterval(turn_s)
    for place, name, value in before:
        setattr(place, name, value)
    for number, handler in handlers.items():
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture
def rede(
    tmp_path: Path, host: str, tracker: Tracker, capsys: pytest.CaptureFixture[str], hooks: None
) -> Iterator[Rede]:
    with ExitStack() as stack:
        yield Rede(tmp_path, host, tracker.port, tracker.index, stack, capsys)
