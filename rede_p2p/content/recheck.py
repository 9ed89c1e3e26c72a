"""Rechecking what an earlier download left, in a process of its own where it is much.

In this process, hashing would take turns with the hashing of what arrives: each of its many small
steps holds the interpreter lock, and two processors would do the work of one.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from rede_p2p.content import disk, merkle
from rede_p2p.content.merkle import Verdicts
from rede_p2p.content.recheck_worker import recheck
from rede_p2p.errors import DiskError

MAX_BYTES_HERE = 4 * 1024 * 1024  # hashed in this process, sooner than another one has started
SAMPLE_PIECES = 16  # of another partial file, to see whether it is of the same content
RIGHT_TO_WRONG_RATIO = 8  # of those samples

_OUT_OF_REACH = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # of Ctrl-C, on Windows
_PROJECT = Path(__file__).resolve().parents[2]
# It is given our own path: without it, it would not find the package everywhere that we do.
_PROGRAM = f"""
import sys
sys.path[:] = {[str(_PROJECT), *sys.path]!r}
from rede_p2p.content.recheck_worker import main
main()
"""


class Recheck:
    """The recheck of one partial file; used by ``with``, which ends its process. Raises DiskError.

    It may be started before there is a question for it, because a process needs some 30 ms.
    """

    def __init__(self, path: Path, size: int) -> None:
        """``path`` is the partial file of a content of ``size`` bytes."""
        self._path = path
        self._size = size
        self._lock = Lock()  # guards both below
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def __enter__(self) -> "Recheck":
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        if self._process is not None:
            self._process.__exit__(None, None, None)  # closes its pipes, and waits for its end

    def stop(self) -> None:
        """End it, from any thread; ``pieces`` then raises DiskError."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def start(self) -> None:
        """Start it, unless it has started."""
        with self._lock:
            if self._stopped:
                raise DiskError(str(self._path), "other", "")
            if self._process is None and self._size > MAX_BYTES_HERE:
                command = [sys.executable, "-I", "-S", "-c", _PROGRAM]
                with suppress(OSError):  # no memory, or Python was replaced: then here
                    self._process = subprocess.Popen(
                        [*command, str(self._path), str(self._size)],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=subprocess.DEVNULL,
                        start_new_session=True,  # Ctrl-C is for us, who end it
                        creationflags=_OUT_OF_REACH,
                    )

    def pieces(self, layer: bytes, count: int, file: BinaryIO) -> Iterator[Verdicts]:
        """Yield the verdicts on the first ``count`` pieces, some at a time; only once.

        Raises DiskError also where the path no longer leads to ``file``, the open partial file.
        """
        self.start()
        process = self._process
        if process is None:
            yield self._recheck_here(layer, count, file)
            return
        assert process.stdin is not None and process.stdout is not None
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

    def _recheck_here(self, layer: bytes, count: int, file: BinaryIO) -> Verdicts:
        with (
            disk.translate_os_errors(self._path),
            BufferedReader(disk.open_regular(self._path)) as left,
        ):
            if not os.path.samestat(os.fstat(left.fileno()), os.fstat(file.fileno())):
                raise DiskError(str(self._path), "other", "")
            pieces = recheck(left, self._size, merkle.split(layer), [range(count)])
            return {index: right for rights, _ in pieces for index, right in enumerate(rights)}


def is_partly(other: Path, size: int, layer: bytes) -> bool:
    """Tell whether a partial file is of the content with this layer, by a look at a few pieces.

    Pieces of zeros say nothing, because holes read as zeros. Hardly any of the others may be wrong:
    two contents may share a piece, and going on with the wrong file would destroy it. The file is
    not locked for that, so that a download that wants it is not told "busy".
    """
    state = disk.file_state(other)
    if state is None or state.size > size:
        return False
    count = state.size // merkle.piece_length(size)
    samples = [range(i, i + 1) for i in range(0, count, max(1, count // SAMPLE_PIECES))]
    right = wrong = 0
    try:
        with disk.translate_os_errors(other), BufferedReader(disk.open_regular(other)) as file:
            for (is_right,), data in recheck(file, size, merkle.split(layer), samples):
                if any(data):
                    right, wrong = right + is_right, wrong + (not is_right)
    except DiskError:
        return False
    return right > wrong * RIGHT_TO_WRONG_RATIO
