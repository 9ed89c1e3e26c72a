"""The terminal: tables, the prompt, events, and when there are bars.

Only the main thread writes. Another thread posts an event, which waits in a queue until the main
thread shows it: at once, or above the prompt while somebody types. Data goes to stdout, all else
to stderr. Away from a terminal there is no colour, no bar, no prompt and no folding.
"""

import json
import signal
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import ExitStack, closing, suppress
from io import TextIOWrapper
from itertools import chain, repeat
from time import monotonic
from typing import TYPE_CHECKING, Literal, NoReturn

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rede_p2p.cli import streams
from rede_p2p.cli.bars import Bars
from rede_p2p.cli.escapes import NEAREST, clean, draws_ascii, escape_controls
from rede_p2p.cli.notices import Notices
from rede_p2p.cli.progress import BarLine, BarLines
from rede_p2p.cli.prompt import Prompt, end, end_on_signals
from rede_p2p.cli.shell import MAX_LINE_CHARS
from rede_p2p.cli.texts import describe, is_trouble, more, percent
from rede_p2p.content import disk
from rede_p2p.content.safe_names import is_safe
from rede_p2p.errors import RedeError
from rede_p2p.events import Event, InternalError

if TYPE_CHECKING:  # Servidor.py starts without the package download
    from rede_p2p.download.transfer import Transfer

MAX_DRAWN_ROWS = 100  # of a table; of the others, a terminal shows only how many they are
REFRESH_INTERVAL_S = 0.1  # seconds between two states of a bar
DUMB_REFRESH_INTERVAL_S = 5.0  # seconds between two lines where no bar can be drawn
IDLE_REFRESH_INTERVAL_S = 1.0  # seconds between two looks at a download without a bar
MIN_PADDED_WIDTH = 60  # cells of a terminal in whose tables the cells have blanks beside them
Tone = Literal["", "ready", "hashing", "mine", "gone"]
COLOURS = {"": "", "ready": "green", "hashing": "yellow", "mine": "cyan", "gone": "red"}
_CTRL_Z = getattr(signal, "SIGTSTP", None)  # Windows has none


def _widths(lines: Sequence[Sequence[str]], width: int, padding: int, whole: int = 0) -> list[int]:
    """Return how many cells each column gets in a table of ``width`` cells with its borders.

    The widest column gives way first; a word of a header, or the first ``whole`` ones, last.
    """
    columns = list(zip(*lines, strict=True))
    left = width - (1 + 2 * padding) * len(columns) - 1
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


def _set_encodings() -> None:
    """Have pipes and files speak UTF-8 on every system; a terminal keeps what it can show.

    A byte that is not UTF-8 is read as a lone surrogate, which ``shell.parse`` refuses in words. A
    mark of UTF-8 (BOM) before the first line, as Windows' editors write, is skipped.
    """
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            errors = "surrogateescape" if stream is sys.stdin else NEAREST
            piped = "utf-8-sig" if stream is sys.stdin else "utf-8"
            stream.reconfigure(encoding=None if stream.isatty() else piped, errors=errors)


class Terminal:
    """One terminal, or the two pipes in its place. Made and used by the main thread."""

    def __init__(self) -> None:
        _set_encodings()
        self.as_json = False  # show data and errors as JSON objects, one a line
        self.quiet = False  # show errors alone of what is not data
        self._told: RedeError | InternalError | None = None  # its objects are written
        self.serves_on = False  # also where what it says can no more be written
        self.draws = sys.stdout.isatty()  # and data is shown in colour, in tables
        # Kept, because rich puts a stream without one in the place of another.
        self._out_encoding, self._err_encoding = sys.stdout.encoding, sys.stderr.encoding
        self._ascii_only = draws_ascii(self._out_encoding)
        self.interactive = sys.stdin.isatty() and sys.stdout.isatty()
        self._figures_at = monotonic()
        self._bars = Bars(self._err, ascii_only=self._ascii_only)
        self._on_screen = self._err.is_terminal
        self._notices = Notices(folds=self._on_screen)
        moves = self._on_screen and not self._err.is_dumb_terminal  # its cursor
        above = (self._take_events, self._notices.any_left) if moves else None
        self.prompt = Prompt(above, moves and not self._err.no_color) if self.interactive else None

    # A console for each write: the rest of one that Ctrl-C interrupted would be in the next. When
    # one is freed Python visits every thread there is: so none is made where nothing is drawn.

    @property
    def _out(self) -> Console:
        return Console(highlight=False, markup=False, emoji=False)

    @property
    def _err(self) -> Console:
        return Console(stderr=True, highlight=False, markup=False, emoji=False)

    def catch_bugs_and_signals(self) -> None:
        """Show what nobody catches, in any thread, as one line; end in good order when told to."""
        end_on_signals(self.prompt)
        sys.excepthook = lambda _kind, error, _trace: self.complain(InternalError(error))
        threading.excepthook = lambda args: self.post(InternalError(args.exc_value or SystemExit()))

    def post(self, event: Event) -> None:
        """Queue an event, unless ``quiet`` and it is no trouble; any thread may call this."""
        if self.quiet and not is_trouble(event):
            return
        self._notices.post(event)
        if self.prompt is not None:
            self.prompt.wake()

    def show_events(self, timeout: float = 0.0, *, at_once: bool = False) -> None:
        """Show the events that are due, or all; wait ``timeout`` seconds for the first."""
        self._say(*self._notices.take(timeout, at_once=at_once))

    def follow_events(self) -> NoReturn:
        """Show events as they come, until a signal ends the program."""
        with closing(self._notices.follow()) as shown:
            while True:
                self._say(*next(shown))

    def _take_events(self) -> Iterator[str]:
        return (clean(line, self._err_encoding) for line in self._notices.take())

    def note(self, text: str) -> None:
        """Write one line that is neither data nor an error, to stderr, unless ``quiet``."""
        if not self.quiet:
            self._say(text)

    def _say(self, *lines: str, style: str = "dim") -> None:
        if not lines:
            return
        self._bars.erase()  # the next state of them stands below
        text = "\n".join(clean(line, self._err_encoding) for line in lines)
        if self._on_screen:
            self._err.print(Text(text, style), soft_wrap=True)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def complain(self, error: RedeError | InternalError) -> None:
        """Write the sentence of an error, to stderr, and with ``--json`` its object, to stdout."""
        self._say(describe(error), style="red")
        self.tell(error, [failure(error)])

    def tell(self, error: RedeError | InternalError, facts: Iterable[object]) -> None:
        """Write the objects of an error, to stdout, once, where ``--json`` is asked for."""
        if self.as_json and error is not self._told:
            self._told = error
            for fact in facts:
                self.page(json.dumps(fact))

    def table(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[str]],
        facts: Iterable[object],
        tones: Sequence[Tone] = (),
        whole: int = 0,
    ) -> None:
        """Show rows of text; with ``--json``, show ``facts``.

        A terminal draws the first rows, each in the colour of its tone, folded where it is narrow,
        the first ``whole`` columns last.
        """
        if self.as_json:
            self._pages(map(json.dumps, facts))
            return
        drawn = rows[:MAX_DRAWN_ROWS] if self.draws else rows
        cells = [[clean(cell, self._out_encoding) for cell in line] for line in (columns, *drawn)]
        if not self.draws:
            self._pages(map("\t".join, cells))
            return
        padding = int(self._out.width >= MIN_PADDED_WIDTH)
        lines = box.ASCII if self._ascii_only else box.HEAVY_HEAD
        table = Table(box=lines, padding=(0, padding))
        widths = _widths(cells, self._out.width, padding, whole)
        for column, width in zip(cells[0], widths, strict=True):
            table.add_column(Text(column), overflow="fold", width=width)
        for row, tone in zip(cells[1:], chain(tones, repeat("")), strict=False):
            table.add_row(Text(row[0], COLOURS[tone]), *map(Text, row[1:]))
        self._out.print(table)
        if len(rows) > len(drawn):
            self._out.print(Text(clean(more(len(rows) - len(drawn)), self._out_encoding)))
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
        self.page(json.dumps(fact) if self.as_json else clean(text, self._out_encoding))

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
        """Show bars until a transfer ends; return False if Ctrl-Z was pressed before.

        Raises KeyboardInterrupt at Ctrl-C, but never in the middle of a bar.
        """
        pressed: set[int] = set()  # the signals of the keys
        draws = self.draws and self._on_screen and not (self.as_json or self.quiet)
        keys = [signal.SIGINT] if draws else []
        keys += [_CTRL_Z] if self.interactive and _CTRL_Z is not None else []
        with ExitStack() as stack:
            for key in keys:
                before = signal.signal(key, lambda number, _: pressed.add(number))
                stack.callback(signal.signal, key, before)
            stack.callback(self._bars.erase)
            self._follow(transfer, pressed, draws=draws)
        if signal.SIGINT in pressed:
            raise KeyboardInterrupt
        return transfer.results.done()

    def _follow(self, transfer: "Transfer", pressed: set[int], *, draws: bool) -> None:
        """Show what comes until a transfer ends or a key is pressed."""
        bars = BarLines(transfer.names, transfer.progress(), monotonic())
        interval_s = REFRESH_INTERVAL_S if draws else IDLE_REFRESH_INTERVAL_S
        kept_shown = done = False
        while not done and not pressed:
            done = bool(wait([transfer.results], timeout=interval_s).done)
            now = transfer.progress()  # also when it is done: it may have been quick
            if now.kept and not kept_shown:
                kept_shown = True
                self.note(f"continuando de {percent(now.kept, now.size)}")
            if draws:
                self._show_bars(bars.at(now, monotonic()))
            self.show_events()

    def _show_bars(self, lines: Sequence[BarLine]) -> None:
        """Draw bars; where the cursor cannot be moved, tell the first's figures now and then."""
        if not self._err.is_dumb_terminal:
            self._bars.draw(lines)
        elif monotonic() - self._figures_at >= DUMB_REFRESH_INTERVAL_S:
            self._figures_at = monotonic()
            self.note(f"{lines[0].name}: {' · '.join(lines[0].figures)}")

    def ask(self) -> str | None:
        """Return the next line of the input, or None at its end; raise as ``Prompt.ask``."""
        self.show_events(at_once=True)
        if self.prompt is not None:
            return self.prompt.ask()
        with suppress(OSError):  # not open for reading, or a terminal that has vanished
            return sys.stdin.readline(MAX_LINE_CHARS + 1) or None
        return None
