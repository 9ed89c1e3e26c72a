"""The terminal: tables, bars, the prompt, and lines that other threads have to tell.

The only room that imports rich. Only the main thread writes; other threads ``tell`` an event,
which is queued and shown when the main thread is free, or above the prompt while somebody types.
Data goes to stdout, all else to stderr; away from a terminal there is no colour, no bar, no
prompt and no wrapping.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager, nullcontext, suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rede_p2p.cli.prompt import Prompt
from rede_p2p.cli.texts import tell, under_way
from rede_p2p.errors import RedeError
from rede_p2p.events import Event, InternalError, Progress

REFRESH = 0.1  # seconds between two states of a bar
IDLE_REFRESH = 1.0  # seconds between two looks where there is no bar
PACE_SPAN = 5.0  # seconds over which a rate is measured
BAR = range(10, 41)  # columns that a bar may have; where there are fewer it is left out
LEAST_NAME = 12  # columns that the name has beside the figures of a bar
_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_STOP = getattr(signal, "SIGTSTP", None)
Result = TypeVar("Result")


def escape_controls(text: str) -> str:
    """Write what a terminal would obey (escapes, bidirectional marks, line ends) as ``\\xNN``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in _HARMFUL else c
        for c in text
    )


def _widths(lines: Sequence[Sequence[str]], room: int) -> list[int]:
    """Return how many cells each column of a table gets, of ``room`` for all with their borders.

    The widest gives way first, and a word of a header is cut last.
    """
    columns = list(zip(*lines, strict=True))
    left = room - 3 * len(columns) - 1
    widths = [min(max(map(cell_len, column)), max(left, 1)) for column in columns]
    least = [max(map(cell_len, [*column[0].split(), " "])) for column in columns]
    while sum(widths) > left and max(widths) > 1:
        foldable = [i for i, width in enumerate(widths) if width > least[i]] or range(len(widths))
        widths[max(foldable, key=widths.__getitem__)] -= 1
    return widths


class Pace:
    """How fast something grows, by the last seconds."""

    def __init__(self, count: int, now: float) -> None:
        self._seen = deque([(now, count)])

    def rate(self, count: int, now: float) -> float:
        """Note how much there is ``now`` (seconds), and return how much comes in a second."""
        self._seen.append((now, count))
        while now - self._seen[1][0] > PACE_SPAN:
            self._seen.popleft()
        began, first = self._seen[0]
        return (count - first) / max(now - began, 0.001)


def _bar(name: str, now: Progress, rate: float, width: int) -> Table:
    """Draw how far a download is, in one line: where it is short, the figures stay."""
    said = under_way(now, rate)
    while len(said) > 1 and cell_len(" · ".join(said)) > width - LEAST_NAME - 1:
        said.pop()
    figures = Text(" · ".join(said), no_wrap=True)
    title = Text(escape_controls(name), no_wrap=True)
    title.truncate(max(width - figures.cell_len - 1, 1), overflow="ellipsis")
    line = Table.grid(padding=(0, 1))
    room = min(width - title.cell_len - figures.cell_len - 2, BAR[-1])
    bar = ProgressBar(total=max(now.size, 1), completed=now.have, width=room)
    line.add_row(*([title, bar, figures] if room in BAR else [title, figures]))
    return line


class Terminal:
    """One terminal, or the two pipes in its place. Made and used by the main thread."""

    def __init__(self, *, as_json: bool = False) -> None:
        for stream in (sys.stdout, sys.stderr):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:  # an encoding that lacks a letter is no reason to fail
                reconfigure(errors="backslashreplace")
        self._out = Console(highlight=False, markup=False, emoji=False)
        self._err = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._as_json = as_json
        self._draws = sys.stdout.isatty() and not as_json
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._events: SimpleQueue[Event] = SimpleQueue()
        colours = self._err.is_terminal and not self._err.no_color
        above = self._queued if self._err.is_terminal else None
        self._prompt = Prompt(above, cell_len, colours=colours) if self.interactive else None

    def catch_bugs(self) -> None:
        """Let an error that nobody foresaw be one line, in any thread, and not a traceback."""

        def say(error: BaseException) -> None:
            self._say(tell(InternalError(error)), "red")

        sys.excepthook = lambda *found: say(found[1])
        threading.excepthook = lambda args: self.tell(InternalError(args.exc_value or SystemExit()))

    # Telling.

    def tell(self, event: Event) -> None:
        """Queue an event, from any thread."""
        self._events.put(event)
        if self._prompt is not None:
            self._prompt.wake()

    def _queued(self) -> Iterator[str]:
        """Take the events that are queued, as lines."""
        with suppress(Empty):
            while True:
                yield escape_controls(tell(self._events.get_nowait()))

    def show_events(self, within: float = 0.0) -> None:
        """Show what is queued, waiting some seconds for the first."""
        with suppress(Empty):
            event = self._events.get(timeout=within) if within else self._events.get_nowait()
            while True:
                self.note(tell(event))
                event = self._events.get_nowait()

    def note(self, text: str) -> None:
        """Say something that is not data."""
        self._say(text, "dim")

    def complain(self, error: RedeError) -> None:
        """Say an error."""
        self._say(tell(error), "red")

    def _say(self, text: str, style: str) -> None:
        clean = escape_controls(text)  # one line: what is foreign in it begins none of its own
        if self._err.is_terminal:
            self._err.print(Text(clean, style), soft_wrap=True)
        else:
            sys.stderr.write(clean + "\n")
            sys.stderr.flush()

    # Data.

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], facts: Iterable[object]
    ) -> None:
        """Show rows of text; with ``--json``, show the fact behind each row instead."""
        if self._as_json:
            for fact in facts:
                self._line(json.dumps(fact))
        elif self._draws:
            self._draw([columns, *rows])
        else:
            for row in (columns, *rows):
                self._line("\t".join(escape_controls(cell) for cell in row))

    def _draw(self, lines: list[Sequence[str]]) -> None:
        """Draw a table; where the terminal is narrow, the widest columns are folded."""
        cells = [[escape_controls(cell) for cell in line] for line in lines]
        table = Table()
        for column, width in zip(cells[0], _widths(cells, self._out.width), strict=True):
            table.add_column(Text(column), overflow="fold", width=width)
        for row in cells[1:]:
            table.add_row(*map(Text, row))
        self._out.print(table)

    def page(self, text: str) -> None:
        """Show a page of the program's own words."""
        for line in text.split("\n"):
            self._line(line)

    def data(self, text: str, fact: object) -> None:
        """Show one line of data."""
        self._line(json.dumps(fact) if self._as_json else escape_controls(text))

    def _line(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    # Waiting.

    def watch(
        self,
        name: str,
        future: Future[Result],
        progress: Callable[[], Progress],
    ) -> bool:
        """Show a bar until the future is done; False if Ctrl-Z came before."""
        draws = self._draws and self._err.is_terminal
        # On the console of the notes, which then go above the bar and not into it.
        live = Live(console=self._err, auto_refresh=False, transient=True) if draws else None
        pause = REFRESH if draws else IDLE_REFRESH
        pace = Pace(progress().came, monotonic())
        said = done = False
        with live or nullcontext(), self._background_key() as pressed:
            while not done and not pressed.is_set():
                done = bool(wait([future], timeout=pause).done)
                now = progress()  # once more when it is done: it may have been quick
                if now.kept and not said:
                    said = True
                    self.note(f"continuando de {100 * now.kept // now.size} %")
                rate = pace.rate(now.came, monotonic())
                if live is not None:
                    live.update(_bar(name, now, rate, self._err.width), refresh=True)
                self.show_events()
        return future.done()

    @contextmanager
    def _background_key(self) -> Iterator[threading.Event]:
        """Let Ctrl-Z set an event, where there is such a key."""
        pressed = threading.Event()
        if not self.interactive or _STOP is None:
            yield pressed
            return
        before = signal.signal(_STOP, lambda *_: pressed.set())
        try:
            yield pressed
        finally:
            signal.signal(_STOP, before)

    def ask(self) -> str | None:
        """Return the next line that the person types, or None at the end of the input.

        Ctrl-C makes the line empty, and raises KeyboardInterrupt if nothing was typed.
        """
        self.show_events()
        if self._prompt is not None:
            return self._prompt.ask()
        return sys.stdin.readline() or None
