"""The standard streams, such that no program ends because of them.

A terminal vanishes, a pipe loses its reader, the disk of a log is full, a stream is closed from the
start: what cannot be written is dropped, and ``loss`` tells the cause to who cares. Used by the
main thread.
"""

import io
import os
import select
import sys
from typing import Any, TextIO


class _Survivor(io.RawIOBase):
    """The raw side of a stream to write to, which never fails."""

    leaving = False  # the program ends: nothing may block any more

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw
        self.loss: OSError | None = None

    def writable(self) -> bool:
        """Tell what a BufferedWriter asks."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._raw.fileno()

    def isatty(self) -> bool:
        """Tell whether a terminal stands behind it."""
        return self._raw.isatty()

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write some of it, or drop all of it."""
        try:
            if not (_Survivor.leaving and _would_block(self._raw)):
                while (count := self._raw.write(data)) is None:  # somebody made it non-blocking
                    select.select([], [self._raw], [])
                return count
        except OSError as error:
            self.loss = error
        return len(data)


def _would_block(raw: io.RawIOBase) -> bool:
    if sys.platform == "win32":  # select() takes only sockets there
        return False
    return not select.select([], [raw], [], 0)[1]


def open_all() -> None:
    """Put streams that never fail in the place of the standard ones."""
    for number, mode in enumerate((os.O_RDONLY, os.O_WRONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:  # closed: a file or a socket of ours would get the number
            os.set_inheritable(os.open(os.devnull, mode), True)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = _survivor(sys.stdout, 1), _survivor(sys.stderr, 2)


def _survivor(stream: TextIO | None, number: int) -> TextIO:
    raw: Any = io.FileIO(number, "w", closefd=False)
    if stream is not None:
        raw = getattr(stream.buffer, "raw", stream.buffer)  # with -u there is no other buffer
    made = io.BufferedWriter(_Survivor(raw))  # type: ignore[type-var]
    encoding = stream.encoding if stream is not None else "utf-8"
    return io.TextIOWrapper(made, encoding, "backslashreplace", line_buffering=True)


def loss() -> OSError | None:
    """Return why something that went to stdout was dropped, if it was."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.loss if isinstance(raw, _Survivor) else None


def leave() -> None:
    """Write from now on only what is taken at once: the program ends, whoever reads or not."""
    _Survivor.leaving = True
