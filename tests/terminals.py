"""What a person sees and types: a program in a pseudo-terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from time import monotonic

import pexpect
import pyte
from conftest import ROOT
from processes import PATIENCE, RUNNER, UNFORESEEN, Programs

ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\x1b\][^\x07]*\x07")
PROMPT = b"rede> "
# Notices that came once the prompt was there, so that it is the last line of the screen still.
ABOVE_THE_PROMPT = re.compile(
    rb"(?:(?:\x1bD)+\x1b\[\d+A\x1b7(?:(?!\x1b8).)*\x1b8\x1b\[\d+B)+\Z", re.S
)
ROWS = 50


class Terminal:
    """A program of ours, or any other, in a terminal of its own, and what stands on the screen."""

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        columns: int = 100,
        prefix: Sequence[str] = (),
    ) -> None:
        is_ours = words[0].endswith(".py")
        runner = [sys.executable, "-W", "default", *RUNNER] if is_ours else []
        command, *rest = [*prefix, *runner, *words]
        self._child = pexpect.spawn(
            command, rest, env=environment, cwd=ROOT,
            dimensions=(ROWS, columns), timeout=PATIENCE,
        )  # fmt: skip
        self._child.delaybeforesend = None
        self._screen = pyte.Screen(columns, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        self._ended = False

    def until(self, fact: Callable[[], object], within: float = PATIENCE) -> None:
        """Read until a fact is true."""
        end = monotonic() + within
        while not fact():
            assert monotonic() < end, f"not seen:\n{self.screen()}\n{self.raw[-2000:]}"
            try:
                some = self._child.read_nonblocking(65536, max(0.01, end - monotonic()))
            except pexpect.EOF:
                self._ended = True
                assert fact(), f"it ended:\n{self.screen()}"
                return
            except pexpect.TIMEOUT:
                continue
            self.raw += some
            self._stream.feed(some)

    def resize(self, columns: int) -> None:
        """Make the terminal wider or narrower; what stands on it is cut, as xterm does."""
        self._screen.resize(ROWS, columns)
        self._child.setwinsize(ROWS, columns)

    def screen(self) -> str:
        """Return the lines that are not blank."""
        return "\n".join(line.rstrip() for line in self._screen.display if line.strip())

    def rows(self) -> list[list[pyte.screens.Char]]:
        """Return the characters of the lines that are not blank, as they are drawn."""
        columns = range(self._screen.columns)
        drawn = (self._screen.buffer[number] for number in range(ROWS))
        rows = [[row[column] for column in columns] for row in drawn]
        return [row for row in rows if "".join(char.data for char in row).strip()]

    def shows(self, pattern: str, within: float = PATIENCE) -> None:
        """Wait until the screen shows a pattern."""
        self.until(lambda: re.search(pattern, self.screen(), re.MULTILINE), within)

    def last_line(self) -> str:
        return self.screen().rpartition("\n")[2]

    def prompts(self, typed: str = "", within: float = PATIENCE) -> None:
        """Wait until the last line is the prompt and what was typed."""
        self.until(lambda: self.last_line() == f"rede> {typed}".rstrip(), within)

    def press(self, keys: str) -> None:
        """Type without Enter."""
        self._child.send(keys)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._child.send(b"\x03")

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._child.kill(number)

    def enter(self, line: str, within: float = PATIENCE) -> str:
        """Type a line at the prompt; return what was written until the next prompt."""
        self.prompts()
        start = len(self.raw)
        self.press(line + "\r")
        self.until(lambda: self._since(start).count(PROMPT), within)
        return self._since(start).removesuffix(PROMPT).decode(errors="replace").partition("\n")[2]

    def _since(self, start: int) -> bytes:
        written = ABOVE_THE_PROMPT.sub(b"", self.raw[start:])
        plain = ESCAPES.sub(b"", written).replace(b"\r\n", b"\n")
        return plain if plain.endswith(PROMPT) else b""

    def end(self) -> int:
        """Wait until it ends by itself; return its exit status."""
        self.until(lambda: self._ended)  # all that it wrote has been read
        self._child.wait()
        return self._child.exitstatus

    def close(self) -> None:
        self._child.close(force=True)
        assert not UNFORESEEN.search(self.raw.decode(errors="replace")), self.screen()


@contextmanager
def terminal(
    programs: Programs,
    *words: str,
    files: Mapping[str, bytes] | None = None,
    environment: Mapping[str, str] | None = None,
    columns: int = 100,
) -> Iterator[Terminal]:
    """Open the menu of a peer in a terminal."""
    given = {**programs.environment(), **(environment or {})}
    made = Terminal(programs.words(*words, files=files or {}), given, columns)
    with closing(made):
        made.prompts()
        yield made


def port_of(opened: Terminal) -> int:
    return int(re.search(r"minha porta pública é (\d+)", opened.raw.decode())[1])
