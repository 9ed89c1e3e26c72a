"""Bars below all else on a console. Used by the main thread, and owned by ``terminal``."""

import os
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from rede_p2p.cli.escapes import escape_controls
from rede_p2p.cli.progress import BarLine

MIN_ROWS_FOR_ALL_BARS = 12  # of a terminal; with fewer, there is one bar for all
BAR_COLUMNS = range(6, 41)  # columns that a bar may have; with fewer, there is no bar
MIN_NAME_COLUMNS = 12  # columns that the name has beside the figures of a bar
MIN_ALIGNED_WIDTH = 96  # cells of a line from which on bars stand below each other
MAX_ALIGNED_COLUMNS = 32  # of the names before them
# Terminals that fold what stands on them when they get narrower; others cut it.
_REFLOWS = any(
    name in os.environ
    for name in (
        *("TMUX", "VTE_VERSION", "WT_SESSION", "KITTY_WINDOW_ID", "KONSOLE_VERSION"),
        *("ALACRITTY_WINDOW_ID", "WEZTERM_PANE", "ITERM_SESSION_ID"),
    )
)


def draw_line(line: BarLine, width: int, name_width: int, *, ascii_only: bool) -> Text:
    """Draw a line of ``width`` cells; where it is narrow, the name and first figures that fit."""
    shown = list(line.figures)
    while len(shown) > 1 and cell_len(" · ".join(shown)) > width - MIN_NAME_COLUMNS - 1:
        shown.pop()
    figures = " · ".join(shown)
    drawn = Text(escape_controls(line.name), no_wrap=True, overflow="crop")
    most = max(width - cell_len(figures) - 1, 1)
    drawn.truncate(most, overflow="crop" if ascii_only else "ellipsis")
    drawn.pad_right(min(name_width, most) - drawn.cell_len)
    columns = min(width - drawn.cell_len - cell_len(figures) - 2, BAR_COLUMNS[-1])
    if line.full is not None and columns in BAR_COLUMNS:
        done, (full, empty) = int(columns * line.full), "=-" if ascii_only else "━─"
        drawn.append(" ").append(full * done, "cyan").append(empty * (columns - done), "dim")
    return drawn.append(f" {figures}" if figures else "")


class Bars:
    """Lines below all else on a console, drawn again and again in their place."""

    def __init__(self, console: Console, *, ascii_only: bool) -> None:
        self._console = console
        self._ascii_only = ascii_only
        self._drawn: list[int] = []  # the cells of each line that stands there now

    def draw(self, lines: Sequence[BarLine]) -> None:
        """Draw these lines in the place of those before."""
        width, height = self._console.size
        width -= len("^C") + 1  # which the terminal writes after them
        shown = lines if height >= MIN_ROWS_FOR_ALL_BARS else lines[:1]
        longest = max(cell_len(escape_controls(line.name)) for line in shown)
        name_width = min(longest, MAX_ALIGNED_COLUMNS) if width >= MIN_ALIGNED_WIDTH else 0
        bars = [draw_line(line, width, name_width, ascii_only=self._ascii_only) for line in shown]
        # The terminal may be narrower by the time that it gets them: then it cuts them.
        self._set_wrap("l")
        with self._console:  # one write
            self.erase()
            self._console.print(*bars, sep="\n", end="", soft_wrap=True)
            self._console.show_cursor(False)
        self._set_wrap("h")
        self._drawn = [bar.cell_len for bar in bars]

    def _set_wrap(self, how: str) -> None:
        """Have long lines folded by the terminal, ``h``, or cut, ``l`` (DECAWM)."""
        if not self._console.legacy_windows:
            self._console.file.write(f"\x1b[?7{how}")
            self._console.file.flush()

    def erase(self) -> None:
        """Leave no line, and the cursor where the first was."""
        if not self._drawn:
            return
        width = self._console.width
        rows = sum(max(-(-cells // width), 1) if _REFLOWS else 1 for cells in self._drawn)
        clear = (ControlType.ERASE_IN_LINE, 2)
        upwards = [clear, (ControlType.CURSOR_UP, 1)] * (rows - 1)
        self._console.control(Control(ControlType.CARRIAGE_RETURN, *upwards, clear))
        self._console.show_cursor(True)
        self._drawn = []
