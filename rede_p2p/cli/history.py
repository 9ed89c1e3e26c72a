"""The lines that were typed, kept from one run to the next in a file that its owner alone reads.

What cannot be read or written is left out without a word: no command needs it. Several programs
may write to it: each adds its lines at the end, and a file that got long is replaced whole.
"""

import os
import stat
from contextlib import suppress
from pathlib import Path

MAX_LINES = 1000  # taken up at the start
MAX_LINE_BYTES = 4096  # a longer line is not kept
MAX_BYTES = 256 * 1024  # a longer file is made short at the start


def default_path() -> Path | None:
    """Return the file's path in this user's state folder, or None without a home."""
    base = os.environ.get("XDG_STATE_HOME", "")
    try:
        state = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "state"  # noqa: PTH117
    except RuntimeError:
        return None
    return state / "rede-p2p" / "historico"


class History:
    """The file of typed lines. Used by the main thread."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._last = ""

    def load(self) -> list[str]:
        """Return the last lines, the oldest first; make a long file short."""
        try:
            with os.fdopen(self._open(os.O_RDONLY), "rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(size - MAX_BYTES, 0))
                text = file.read(MAX_BYTES).decode(errors="replace")
        except OSError:
            return []
        whole = text.split("\n")[size > MAX_BYTES :]  # the first may be cut
        lines = [line for line in whole if line.strip() and line.isprintable()][-MAX_LINES:]
        if size > MAX_BYTES:
            self._shorten(lines)
        self._last = lines[-1] if lines else ""
        return lines

    def append(self, line: str) -> None:
        """Keep one more line, unless it is blank, very long, or the last one again."""
        data = f"{line}\n".encode(errors="replace")
        is_kept = line.strip() and line.isprintable() and len(data) <= MAX_LINE_BYTES
        if not is_kept or line == self._last or self._path is None:
            return
        self._last = line
        with suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.parent.chmod(0o700)
            descriptor = self._open(os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                os.write(descriptor, data)
            finally:
                os.close(descriptor)

    def _open(self, flags: int) -> int:
        """Open the file, which must be an ordinary one, and make it its owner's alone."""
        if self._path is None:
            raise FileNotFoundError
        descriptor = os.open(self._path, flags | getattr(os, "O_NONBLOCK", 0), 0o600)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise FileNotFoundError(self._path)
            if mode & 0o077 and hasattr(os, "fchmod"):
                os.fchmod(descriptor, 0o600)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _shorten(self, lines: list[str]) -> None:
        """Put a file of the last lines, half as long as it may be, in the place of this one."""
        data = "".join(f"{line}\n" for line in lines).encode()[-MAX_BYTES // 2 :]
        assert self._path is not None
        new = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with suppress(OSError):
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data.partition(b"\n")[2])
            os.replace(new, self._path)  # noqa: PTH105
