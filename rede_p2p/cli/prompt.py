"""The prompt: the line that somebody types, and the events shown above it meanwhile.

Used by the main thread, except ``wake``. While somebody types, a signal makes the main thread show
events above the prompt, and the typed text stays.

Python's readline loses a signal that comes after it draws the prompt and before it waits for keys:
an exception in its hook is dropped, and after the hook it sleeps until the next key. So the hook
raises nothing, and a thread that learns of each signal by a pipe signals the main thread again
until a handler runs where an exception is not lost.
"""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from rich.cells import cell_len, set_cell_size

from rede_p2p.cli import streams, texts

try:
    import readline
except ModuleNotFoundError:  # Windows
    readline = None  # type: ignore[assignment]

# What takes the lines to show, and what tells, in any thread, whether some are left for later.
Above = tuple[Callable[[], Iterator[str]], Callable[[], bool]]
PROMPT = "rede> "
MAX_MATCHES_SHOWN = 100  # of what Tab offers
NUDGE_INTERVAL_S = 0.05  # seconds between two attempts to wake the main thread
LATER_S = 1.2  # seconds until it is woken once more: some lines are told together, after 1 s
_WAKE = getattr(signal, "SIGUSR1", None)
# Ctrl-Break, and the closing of a console, are SIGBREAK on Windows.
_ENDING = [getattr(signal, n) for n in ("SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, n)]


def end(number: int, _frame: FrameType | None = None) -> NoReturn:
    """Unwind the main thread and exit as the shell tells of that signal, 128 and its number."""
    streams.leave()
    raise SystemExit(128 + number)


def end_on_signals(prompt: "Prompt | None") -> None:
    """End the program in good order at a signal that says so; after nohup(1), not at SIGHUP."""
    if prompt is not None and sys.platform == "win32":
        return  # no handler would run before the next Enter: there the system ends it at once
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, end if prompt is None else prompt.on_signal)


def _columns() -> int:
    """Return how wide the terminal is now."""
    columns = 0
    with suppress(OSError):  # it has vanished
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    return columns or 80


@dataclass(frozen=True)
class Match:
    """What Tab offers: the text that takes the place of the typed one, and what a list shows."""

    text: str
    shown: str


Complete = Callable[[str, int], list[Match]]


class Prompt:
    """The prompt of a terminal; ``above``: what shows lines above it, None where nothing may."""

    def __init__(self, above: Above | None, colours: bool) -> None:
        self._take_lines = above[0] if above else None
        self._any_left = above[1] if above else lambda: False
        self._colours = colours
        self._main = threading.get_ident()
        self._asking = False  # from before the prompt is drawn until a line is typed
        self._drawn = False
        self._interrupted = False  # Ctrl-C came where an exception is lost
        self._typed = ""  # the text on the line when Ctrl-C was raised
        self._handled = False  # a handler has run where an exception is not lost
        self._ending = 0  # the signal that ends the program
        self._complete: Complete = lambda _line, _begin: []
        self._keep: Callable[[str], None] = lambda _line: None
        self._matches: list[Match] = []  # what Tab offers now
        self._pipe: int | None = None  # a byte written here makes the nudging thread look
        if readline is not None and _WAKE is not None:
            signals, self._pipe = os.pipe()
            os.set_blocking(self._pipe, False)
            signal.set_wakeup_fd(self._pipe, warn_on_full_buffer=False)
            signal.signal(signal.SIGINT, self.on_signal)
            signal.signal(_WAKE, self.on_signal)
            signal.siginterrupt(_WAKE, False)  # True would cut short the echo of typed keys
            readline.set_pre_input_hook(self._on_drawn)
            # It runs as long as the program and owns nothing, so nobody joins it.
            threading.Thread(
                target=self._nudge, args=(signals, _WAKE), name="nudge", daemon=True
            ).start()

    def assist(
        self, complete: Complete, keep: Callable[[str], None], before: Iterable[str]
    ) -> None:
        """Where there is a readline, complete words, and keep the typed lines.

        ``complete`` returns what may stand from an index on, where the typed line ends; ``keep``
        gets each typed line, and ``before`` are those of before.
        """
        if readline is None:
            return
        self._complete, self._keep = complete, keep
        for line in before:
            readline.add_history(line)
        readline.set_completer(self._match)
        readline.set_completer_delims(" \t;&")
        readline.set_completion_display_matches_hook(self._show_matches)
        if "libedit" in (readline.__doc__ or ""):  # macOS
            readline.parse_and_bind("bind ^I rl_complete")
        else:
            readline.parse_and_bind("tab: complete")
            readline.parse_and_bind("set show-all-if-ambiguous on")

    def _match(self, _text: str, state: int) -> str | None:
        """Return the match of that number for the word under the cursor; readline's completer."""
        if state == 0:
            line = readline.get_line_buffer()[: readline.get_endidx()]
            self._matches = self._complete(line, readline.get_begidx())
        return self._matches[state].text if state < len(self._matches) else None

    def _show_matches(self, *_: object) -> None:
        """Show what Tab offers in columns, and the prompt again below; readline's hook."""
        columns, line = _columns(), readline.get_line_buffer()
        shown = [match.shown for match in self._matches[:MAX_MATCHES_SHOWN]]
        width = min(max(map(cell_len, shown), default=0) + 2, columns)
        per_row = columns // width
        rows = [shown[at : at + per_row] for at in range(0, len(shown), per_row)]
        lines = ["".join(set_cell_size(one, width) for one in row).rstrip() for row in rows]
        if more := len(self._matches) - len(shown):
            lines.append(texts.more(more))
        after = cell_len(line[readline.get_endidx() :])
        back = f"\x1b[{after}D" if after else ""
        sys.stdout.write("".join(f"\n{one}" for one in lines) + f"\n{PROMPT}{line}{back}")
        sys.stdout.flush()

    def ask(self) -> str | None:
        """Return the next line that the person types, or None at the end of the input.

        Ctrl-C makes the line empty, and raises KeyboardInterrupt if nothing was typed.
        """
        try:
            self._typed = ""
            self._asking = True
            line = input(PROMPT)
            if self._interrupted:  # it came before Enter
                raise KeyboardInterrupt
            self._keep(line)
            return line
        except EOFError:
            sys.stdout.write("\n")
            return None
        except (KeyboardInterrupt, SystemError, SystemExit) as error:
            # SystemError: a handler ran while KeyboardInterrupt was raised in C, which the
            # interpreter does not expect.
            sys.stdout.write("\n")
            sys.stdout.flush()
            if self._ending:
                end(self._ending)
            if self._typed:
                return ""
            raise KeyboardInterrupt from error
        finally:
            self._asking = self._drawn = self._interrupted = False

    def wake(self) -> None:
        """Have the waiting lines shown soon, if somebody is typing; any thread may call this."""
        if self._drawn and self._pipe is not None:
            with suppress(BlockingIOError):  # full: the thread has bytes to read
                os.write(self._pipe, b"\0")

    def _on_drawn(self) -> None:
        """Note that the prompt is on the screen; readline's hook."""
        self._drawn = True
        self.wake()

    def _nudge(self, signals: int, wake: int) -> None:
        """Signal the main thread after each signal and each ``wake``, in a thread of its own."""
        pause, later = threading.Event(), None
        while True:
            is_heard = bool(select.select([signals], [], [], later)[0])
            heard = os.read(signals, 1024).strip(bytes([wake])) if is_heard else b""
            if is_heard and not heard:
                continue
            later = LATER_S if b"\0" in heard or self._any_left() else None
            self._handled = False
            while self._asking and (self._interrupted or not self._handled):
                signal.pthread_kill(self._main, wake)
                pause.wait(NUDGE_INTERVAL_S)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Handle Ctrl-C, the wake-up and the end: raise, or show the waiting lines."""
        if number == signal.SIGINT:
            self._interrupted = True
        elif number != _WAKE:
            self._ending = number
        if not self._may_raise(frame):
            return
        self._handled = self._handled or number == _WAKE
        if self._ending:
            end(self._ending)
        if self._interrupted:
            self._interrupted = False
            if self._drawn:  # before that, readline still has the previous line
                self._typed = readline.get_line_buffer()
            raise KeyboardInterrupt
        self._show_above()

    def _may_raise(self, frame: FrameType | None) -> bool:
        """Tell whether an exception is kept: not in readline's hook, nor in another handler."""
        return not self._asking or (frame is not None and frame.f_code is Prompt.ask.__code__)

    def _show_above(self) -> None:
        """Show the waiting lines in rows inserted above the prompt, which moves down as it is.

        No typed key is written again, and the cursor keeps its column. While the typed text takes
        several rows, the lines wait for the next prompt.
        """
        if not self._drawn or self._take_lines is None:
            return
        columns = _columns()
        if cell_len(PROMPT + readline.get_line_buffer()) >= columns:
            return
        lines = list(self._take_lines())
        if lines:
            rows = sum(-(-cell_len(line) // columns) for line in lines)
            text = "\r\n".join(lines)
            shown = f"\x1b[2m{text}\x1b[0m" if self._colours else text
            # Scroll if the prompt is near the bottom, insert rows, fill them, move back down.
            scroll = "\x1bD" * rows + f"\x1b[{rows}A"
            sys.stdout.write(f"{scroll}\x1b7\r\x1b[{rows}L{shown}\x1b8\x1b[{rows}B")
            sys.stdout.flush()
