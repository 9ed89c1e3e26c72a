"""The terminal: tables, bars, the prompt, events.

Only the main thread writes. Another thread posts an event, which waits in a queue until the main
thread shows it: at once, or above the prompt while somebody types. Data goes to stdout, all else
to stderr. Away from a terminal there is no colour, no bar, no prompt and no folding.
"""

import json
import signal
import sys
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import ExitStack, suppress
from io import TextIOWrapper
from queue import Empty, Queue
from time import monotonic
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rede_p2p.cli import streams
from rede_p2p.cli.escapes import escape_controls
from rede_p2p.cli.prompt import Prompt, end, end_on_signals
from rede_p2p.cli.texts import describe, is_trouble, title, under_way
from rede_p2p.content import disk
from rede_p2p.content.safe_names import is_safe
from rede_p2p.errors import RedeError
from rede_p2p.events import Event, InternalError, Progress

if TYPE_CHECKING:  # Servidor.py starts without the package download
    from rede_p2p.download.transfers import Transfer

MAX_DRAWN_ROWS = 1000  # of a table; what is longer is written as away from a terminal
REFRESH_INTERVAL_S = 0.1  # seconds between two states of a bar
IDLE_REFRESH_INTERVAL_S = 1.0  # seconds between two looks at a download without a bar
RATE_WINDOW_S = 5.0  # seconds over which a rate is measured
BAR_COLUMNS = range(10, 41)  # columns that a bar may have; with fewer, there is no bar
MIN_NAME_COLUMNS = 12  # columns that the name has beside the figures of a bar
_CTRL_Z = getattr(signal, "SIGTSTP", None)  # Windows has none


def _widths(lines: Sequence[Sequence[str]], width: int, whole: int = 0) -> list[int]:
    """Return how many cells each column gets in a table of ``width`` cells with its borders.

    The widest column gives way first; a word of a header, or the first ``whole`` ones, last.
    """
    columns = list(zip(*lines, strict=True))
    left = width - 3 * len(columns) - 1
    widths = [min(max(map(cell_len, column)), max(left, 1)) for column in columns]
    least = [max(map(cell_len, [*column[0].split(), " "])) for column in columns]
    least[:whole] = widths[:whole]
    while sum(widths) > left and max(widths) > 1:
        foldable = [i for i, width in enumerate(widths) if width > least[i]] or range(len(widths))
        widths[max(foldable, key=widths.__getitem__)] -= 1
    return widths


def failure(error: RedeError | InternalError) -> dict[str, object]:
    """Return the JSON object of an error."""
    fact = {"error": describe(error), "status": getattr(error, "status", 1)}
    name = getattr(error, "name", None)
    return fact if name is None else {"name": name, **fact}


class Pace:
    """The rate at which a number grows, over the last RATE_WINDOW_S."""

    def __init__(self, count: int, now: float) -> None:
        self._samples = deque([(now, count)])

    def rate(self, count: int, now: float) -> float:
        """Take the number at the time ``now`` in seconds; return its growth in a second."""
        self._samples.append((now, count))
        while now - self._samples[1][0] > RATE_WINDOW_S:
            self._samples.popleft()
        began, first = self._samples[0]
        return (count - first) / max(now - began, 0.001)


def _bar(name: str, now: Progress, rate: float, width: int) -> Table:
    """Draw a download in one line of ``width`` cells, or the name and first figures that fit."""
    shown = under_way(now, rate)
    while len(shown) > 1 and cell_len(" · ".join(shown)) > width - MIN_NAME_COLUMNS - 1:
        shown.pop()
    figures = Text(" · ".join(shown), no_wrap=True)
    name_text = Text(escape_controls(name), no_wrap=True)
    name_text.truncate(max(width - figures.cell_len - 1, 1), overflow="ellipsis")
    columns = min(width - name_text.cell_len - figures.cell_len - 2, BAR_COLUMNS[-1])
    bar = ProgressBar(total=max(now.size, 1), completed=now.have, width=columns)
    line = Table.grid(padding=(0, 1))
    line.add_row(*([name_text, bar, figures] if columns in BAR_COLUMNS else [name_text, figures]))
    return line


def _set_encodings() -> None:
    """Have pipes and files speak UTF-8 on every system; a terminal keeps what it can show.

    A byte that is not UTF-8 is read as a lone surrogate, which ``shell.parse`` refuses in words. A
    mark of UTF-8 (BOM) before the first line, as Windows' editors write, is skipped.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            errors = "surrogateescape" if stream is sys.stdin else "backslashreplace"
            piped = "utf-8-sig" if stream is sys.stdin else "utf-8"
            stream.reconfigure(encoding=None if stream.isatty() else piped, errors=errors)


class Terminal:
    """One terminal, or the two pipes in its place. Made and used by the main thread."""

    def __init__(self) -> None:
        _set_encodings()
        self._out = Console(highlight=False, markup=False, emoji=False)
        self._err = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self.as_json = False  # show data and errors as JSON objects, one a line
        self.quiet = False  # show errors alone of what is not data
        self._told: RedeError | InternalError | None = None  # its objects are written
        self.serves_on = False  # also where what it says can no more be written
        self.draws = sys.stdout.isatty()  # and data is shown in colour, in tables
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._events: Queue[Event] = Queue()
        colours = self._err.is_terminal and not self._err.no_color
        above = self._take_events if self._err.is_terminal else None
        self._prompt = Prompt(above, colours) if self.interactive else None

    def catch_bugs_and_signals(self) -> None:
        """Show what nobody catches, in any thread, as one line; end in good order when told to."""
        end_on_signals(self._prompt)
        sys.excepthook = lambda _kind, error, _trace: self.complain(InternalError(error))
        threading.excepthook = lambda args: self.post(InternalError(args.exc_value or SystemExit()))

    def post(self, event: Event) -> None:
        """Queue an event; any thread may call this."""
        self._events.put(event)
        if self._prompt is not None:
            self._prompt.wake()

    def show_events(self, timeout: float = 0.0) -> None:
        """Show the queued events; wait ``timeout`` seconds for the first."""
        for line in self._take_events(timeout):
            self._say(line)

    def _take_events(self, timeout: float = 0.0) -> Iterator[str]:
        """Take each event from the queue, as a line; wait ``timeout`` seconds for the first."""
        with suppress(Empty):
            while True:
                event = self._events.get(timeout=timeout)
                timeout = 0.0
                if not self.quiet or is_trouble(event):
                    yield escape_controls(describe(event))

    def note(self, text: str) -> None:
        """Write one line that is neither data nor an error, to stderr, unless ``quiet``."""
        if not self.quiet:
            self._say(text)

    def _say(self, text: str, style: str = "dim") -> None:
        clean = escape_controls(text)
        if self._err.is_terminal:
            self._err.print(Text(clean, style), soft_wrap=True)
        else:
            sys.stderr.write(clean + "\n")
            sys.stderr.flush()

    def complain(self, error: RedeError | InternalError) -> None:
        """Write the sentence of an error, to stderr, and with ``--json`` its object, to stdout."""
        self._say(describe(error), "red")
        if error is not self._told:
            self.tell(error, [failure(error)])

    def tell(self, error: RedeError | InternalError, facts: Iterable[object]) -> None:
        """Write the objects of an error, to stdout, where ``--json`` is asked for."""
        if self.as_json:
            self._told = error
            for fact in facts:
                self.page(json.dumps(fact))

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        facts: Iterable[object],
        whole: int = 0,
    ) -> None:
        """Show rows of text, folded where narrow (``whole`` columns last), or ``facts`` as JSON."""
        if self.as_json:
            self._pages(map(json.dumps, facts))
            return
        cells = [[escape_controls(cell) for cell in line] for line in (columns, *rows)]
        if not self.draws or len(cells) > MAX_DRAWN_ROWS:
            self._pages(map("\t".join, cells))
            return
        table = Table()
        for column, width in zip(columns, _widths(cells, self._out.width, whole), strict=True):
            table.add_column(Text(column), overflow="fold", width=width)
        for row in cells[1:]:
            table.add_row(*map(Text, row))
        self._out.print(table)
        self._mind_loss()

    def names(self, names: Iterable[str], facts: Iterable[object]) -> None:
        """Show names, one a line; away from a terminal a safe one goes as it is, for programs."""
        if self.as_json:
            self._pages(map(json.dumps, facts))
        else:
            self._pages(n if is_safe(n) and not self.draws else escape_controls(n) for n in names)

    def raw(self, data: bytes | memoryview) -> None:
        """Write bytes to stdout, which is no terminal, at once."""
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        self._mind_loss()

    def data(self, text: str, fact: object) -> None:
        """Show one line of data; with ``--json``, show the object ``fact`` instead."""
        self.page(json.dumps(fact) if self.as_json else escape_controls(text))

    def page(self, text: str) -> None:
        """Write text in which nothing is foreign, to stdout."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
        self._mind_loss()

    def _pages(self, lines: Iterable[str]) -> None:
        """Write any number of lines, at once: to flush each of very many takes a while."""
        if text := "\n".join(lines):
            self.page(text)

    def _mind_loss(self) -> None:
        """End a program whose answers nobody gets, unless it serves others.

        Without a reader it ends as most tools do, with the status of SIGPIPE and not a word; else
        DiskError is raised.
        """
        loss = None if self.serves_on else streams.loss()
        if isinstance(loss, BrokenPipeError) or (loss and sys.platform == "win32"):
            end(getattr(signal, "SIGPIPE", 13))
        if loss is not None:
            with disk.translate_os_errors("a saída padrão"):
                raise loss

    def watch(self, transfer: "Transfer") -> bool:
        """Show a bar until a transfer ends; return False if Ctrl-Z was pressed before."""
        live, interval_s = None, IDLE_REFRESH_INTERVAL_S
        ctrl_z = threading.Event()
        name, now = title(transfer.names), transfer.progress()
        pace = Pace(now.came, monotonic())
        kept_shown = done = False
        with ExitStack() as stack:
            if self.draws and self._err.is_terminal and not (self.as_json or self.quiet):
                # On the console of the notes, which then stand above the bar.
                live = Live(console=self._err, auto_refresh=False, transient=True)
                stack.enter_context(live)
                interval_s = REFRESH_INTERVAL_S
            if self.interactive and _CTRL_Z is not None:
                before = signal.signal(_CTRL_Z, lambda *_: ctrl_z.set())
                stack.callback(signal.signal, _CTRL_Z, before)
            while not done and not ctrl_z.is_set():
                done = bool(wait([transfer.results], timeout=interval_s).done)
                now = transfer.progress()  # also when it is done: it may have been quick
                if now.kept and not kept_shown:
                    kept_shown = True
                    self.note(f"continuando de {100 * now.kept // now.size} %")
                rate = pace.rate(now.came, monotonic())
                if live is not None:
                    live.update(_bar(name, now, rate, self._err.width), refresh=True)
                self.show_events()
        return transfer.results.done()

    def ask(self) -> str | None:
        """Return the next line of the input, or None at its end; raise as ``Prompt.ask``."""
        self.show_events()
        if self._prompt is not None:
            return self._prompt.ask()
        with suppress(OSError):  # not open for reading, or a terminal that has vanished
            return sys.stdin.readline() or None
        return None
