"""Looking at what an earlier download left: at all of it in a process of its own.

In this process its hashing would take turns with that of what arrives: each of its many small steps
would stop the other, and two processors would do the work of one. The other process (``recheck``)
is told the file, its size and its piece hashes, answers for each piece, and ends with this one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from rede_p2p.content import disk, merkle, safe_names
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.download.piece_writer import Verdicts
from rede_p2p.errors import DiskError

SAMPLES = 16  # pieces of another partial file that are looked at
FEW_WRONG = 8  # times as many must be right

_PROJECT = Path(__file__).resolve().parents[2]
# It has our own path, wherever that came from: without it the package would miss what it needs.
_PROGRAM = f"""
import sys
sys.path[:] = {[str(_PROJECT), *sys.path]!r}
from rede_p2p.content.recheck_worker import main
main()
"""


class Recheck:
    """The process, for one partial file; used by ``with``, which ends it. Raises DiskError.

    It may be started before there is anything to ask it, while the network is asked for the piece
    hashes: it needs some 30 ms until it can look.
    """

    def __init__(self, path: Path, size: int) -> None:
        """``path`` is the partial file of a content of ``size`` bytes."""
        self._path = path
        self._size = size
        self._lock = Lock()  # guards both below
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def __enter__(self) -> Recheck:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        if self._process is not None:
            self._process.__exit__(None, None, None)  # closes its pipes, and waits for its end

    def stop(self) -> None:
        """End it, from any thread; who listens to it is told by a DiskError."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def start(self) -> None:
        """Start it, unless it was."""
        with self._lock, disk.translate_os_errors(self._path):
            if self._stopped:
                raise DiskError(str(self._path), "other", "")
            if self._process is None:
                command = [sys.executable, "-I", "-S", "-c", _PROGRAM]
                self._process = subprocess.Popen(
                    [*command, str(self._path), str(self._size)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # Ctrl-C is for us, who end it
                )

    def pieces(self, layer: bytes, count: int, file: BinaryIO) -> Iterator[Verdicts]:
        """Tell which of the first ``count`` pieces are right, some at a time; only once.

        Nothing is told where the path leads to another file than this one, which is open.
        """
        self.start()
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        with disk.translate_os_errors(self._path):
            status = os.fstat(file.fileno())
            process.stdin.write(b"%d %d %d\n" % (count, status.st_dev, status.st_ino) + layer)
            process.stdin.close()
            index = 0
            while index < count:
                answers = process.stdout.read1()  # type: ignore[attr-defined]
                if not answers:
                    raise DiskError(str(self._path), "other", "")
                yield {index + number: right == 1 for number, right in enumerate(answers)}
                index += len(answers)


def open_partial(path: Path, size: int, layer: bytes) -> PartialFile:
    """Open a partial file, or take over one of another name that is of the same content.

    The content is of ``size`` bytes, and ``layer`` has its piece hashes. Raises DiskError.
    """
    partial = PartialFile(path)
    if not partial.size():
        for other in sorted(path.parent.glob(f"*{safe_names.PARTIAL}")):
            if other != path and _is_of(other, size, merkle.split(layer)):
                with suppress(DiskError):  # somebody is writing it, or it is gone
                    return partial.replaced_by(other)
    return partial


def _is_of(other: Path, size: int, hashes: list[bytes]) -> bool:
    """Tell whether a partial file is of this content, by a look at a few pieces.

    Zeros say nothing, for so does every hole; of what is left hardly anything may be wrong. Two
    contents may share a piece, and who goes on with the other would find it cut and overwritten.

    It is not locked for that: whoever comes to write it would find it busy.
    """
    stamp = disk.stamp(other)
    if stamp is None or stamp.size > size:
        return False
    piece = merkle.piece_length(size)
    count = stamp.size // piece
    right = wrong = 0
    try:
        with disk.open_regular(other) as file:
            data = memoryview(bytearray(piece))
            for index in range(0, count, max(1, count // SAMPLES)):
                disk.read_into(file, index * piece, data)
                if data.obj.count(0) == piece:  # type: ignore[attr-defined]
                    continue
                (is_right,) = merkle.compare(data, size, range(index, index + 1), hashes)
                right, wrong = right + is_right, wrong + (not is_right)
    except DiskError:
        return False
    return right > wrong * FEW_WRONG
