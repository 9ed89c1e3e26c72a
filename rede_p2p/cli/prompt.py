"""The prompt: a line that somebody types, and what is shown above it meanwhile.

Used by the main thread alone, but for ``wake``. While somebody types, a signal lets the main
thread show events above the prompt, and what was typed survives.

Python's readline loses a signal that comes between its drawing the prompt and its waiting for
keys: an exception in its hook is dropped, and after the hook it sleeps until the next key. So
nothing is raised in the hook, and a thread that hears of each signal wakes the main thread again
and again until a handler has run where it counts.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType
from typing import NoReturn

try:
    import readline
except ModuleNotFoundError:  # Windows
    readline = None  # type: ignore[assignment]

PROMPT = "rede> "
NUDGE = 0.05  # seconds between two attempts to wake the main thread
_WAKE = getattr(signal, "SIGUSR1", None)


class Prompt:
    """The prompt of an interactive terminal.

    ``queued`` yields, and so takes, the lines that wait to be shown; None if they may not be shown
    above the prompt. ``width`` says how many columns a text takes.
    """

    def __init__(
        self,
        queued: Callable[[], Iterator[str]] | None,
        width: Callable[[str], int],
        *,
        colours: bool,
    ) -> None:
        self._queued = queued
        self._width = width
        self._colours = colours
        self._main = threading.get_ident()
        self._asking = False  # from before the prompt is drawn until a line is there
        self._drawn = False
        self._interrupted = False  # Ctrl-C came where it could not be raised
        self._typed = ""  # what stood there when Ctrl-C was raised
        self._woken = False  # a handler has run where it counts
        self._bell: int | None = None  # written to, it makes the nudging thread look
        if readline is not None and _WAKE is not None:
            heard, self._bell = os.pipe()
            os.set_blocking(self._bell, False)
            signal.set_wakeup_fd(self._bell, warn_on_full_buffer=False)
            signal.signal(signal.SIGINT, self._on_interrupt)
            signal.signal(_WAKE, self._on_wake)
            signal.siginterrupt(_WAKE, False)  # or it would cut short the echo of what is typed
            readline.set_pre_input_hook(self._on_drawn)
            # It lives as long as the program and holds nothing, so nobody need join it.
            threading.Thread(target=self._nudge, args=(heard,), name="nudge", daemon=True).start()

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
            return line
        except EOFError:
            sys.stdout.write("\n")
            return None
        except (KeyboardInterrupt, SystemError) as error:
            # SystemError: a handler ran while KeyboardInterrupt was on its way out, which the
            # interpreter does not expect.
            sys.stdout.write("\n")
            sys.stdout.flush()
            if self._typed:
                return ""
            raise KeyboardInterrupt from error
        finally:
            self._asking = self._drawn = self._interrupted = False

    def wake(self) -> None:
        """Have what is queued shown soon, if somebody is typing; from any thread."""
        if self._drawn:
            self._ring()

    def _ring(self) -> None:
        if self._bell is not None:
            with suppress(BlockingIOError):  # full: the thread has enough to look at
                os.write(self._bell, b"\0")

    def _on_drawn(self) -> None:
        """Be readline's hook, called when the prompt stands there."""
        self._drawn = True
        self._ring()

    def _nudge(self, heard: int) -> None:
        """Wake the main thread for each signal and each ring, in a thread of its own."""
        assert _WAKE is not None
        own = bytes([_WAKE])
        pause = threading.Event()
        while True:
            if not os.read(heard, 1024).strip(own):
                continue
            self._woken = False
            while self._asking and (self._interrupted or not self._woken):
                signal.pthread_kill(self._main, _WAKE)
                pause.wait(NUDGE)

    def _on_interrupt(self, _signal: int, frame: FrameType | None) -> None:
        if self._where_it_counts(frame):
            self._interrupt()
        self._interrupted = True

    def _on_wake(self, _signal: int, frame: FrameType | None) -> None:
        if not self._where_it_counts(frame):
            return
        self._woken = True
        if self._interrupted:
            self._interrupted = False
            self._interrupt()
        self._show_above()

    def _interrupt(self) -> NoReturn:
        if self._drawn:  # else it still holds the line before
            self._typed = readline.get_line_buffer()
        raise KeyboardInterrupt

    def _where_it_counts(self, frame: FrameType | None) -> bool:
        """Tell whether the main thread was not in readline's hook, or in a handler."""
        return not self._asking or (frame is not None and frame.f_code is Prompt.ask.__code__)

    def _show_above(self) -> None:
        """Show what is queued in lines opened above the prompt, which moves down as it stands.

        Nothing that was typed is written again, and the cursor keeps its column. A line so long
        that it takes several rows is left alone: the events wait for the next prompt.
        """
        if not self._drawn or self._queued is None:
            return
        columns = os.get_terminal_size(sys.stdout.fileno()).columns or 80
        if self._width(PROMPT + readline.get_line_buffer()) >= columns:
            return
        lines = list(self._queued())
        if lines:
            rows = sum(-(-self._width(line) // columns) for line in lines)
            text = "\r\n".join(lines)
            shown = f"\x1b[2m{text}\x1b[0m" if self._colours else text
            # Down and up again, so that there is room below; then open lines, fill them, come back.
            room = "\x1bD" * rows + f"\x1b[{rows}A"
            sys.stdout.write(f"{room}\x1b7\r\x1b[{rows}L{shown}\x1b8\x1b[{rows}B")
            sys.stdout.flush()
