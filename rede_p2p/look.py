"""Looking at what an earlier download left, in a process of its own.

In this process its hashing would take turns with that of what arrives: each of its many small steps
would stop the other, and two processors would do the work of one. The other process (``recheck``)
is told the file, its size and its piece hashes, answers for each piece, and ends with this one.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

from rede_p2p import disk
from rede_p2p.errors import DiskError
from rede_p2p.verifier import Found

_PROJECT = Path(__file__).resolve().parent.parent
# It has our own path, wherever that came from: without it the package would miss what it needs.
_PROGRAM = f"""
import sys
sys.path[:] = {[str(_PROJECT), *sys.path]!r}
from rede_p2p.recheck import main
main()
"""


def look_beside(path: Path, size: int, layer: bytes, count: int) -> Generator[Found, None, None]:
    """Tell which of the first ``count`` pieces of a partial file are right, some at a time.

    The process ends when the iterator is closed. Raises DiskError when it cannot tell of them all.
    """
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(path), str(size), str(count)]
    with (
        disk.border(path),
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us, who end it
        ) as process,
    ):
        assert process.stdin is not None and process.stdout is not None  # they are pipes
        try:
            process.stdin.write(layer)
            process.stdin.close()
            index = 0
            while index < count:
                answers = process.stdout.read1()  # type: ignore[attr-defined]
                if not answers:
                    raise DiskError(str(path), "other", "")
                yield {index + number: right == 1 for number, right in enumerate(answers)}
                index += len(answers)
        finally:
            process.kill()
