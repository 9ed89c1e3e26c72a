"""The process that looks at what an earlier download left; ``look`` starts it and listens to it.

It imports little, for until it has started there is one processor too few at work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from io import BufferedReader, FileIO

from rede_p2p.content import merkle

TOGETHER = 256 * 1024  # bytes read at once: what is hashed next is still near the processor
TOLD_EVERY = 16 * 1024 * 1024  # bytes looked at between two answers


def look_at(
    file: BufferedReader[FileIO], size: int, hashes: list[bytes], runs: Iterable[range]
) -> Iterator[list[bool]]:
    """Read runs of pieces of a partial file, and tell of each which of its pieces are right.

    A piece that the file does not hold whole is not. Raises OSError.
    """
    piece = merkle.piece_length(size)
    buffer = memoryview(bytearray())  # kept: new memory would cost more than the copy
    for run in runs:
        length = merkle.bytes_in(run, size)
        if length > len(buffer):
            buffer = memoryview(bytearray(length))
        file.seek(run.start * piece)
        filled = file.readinto(buffer[:length])  # all that is there, for it is buffered
        yield merkle.compare(buffer[:filled], size, run, hashes)


def main() -> None:
    """Answer one byte for each of the first pieces of a file, 1 if it is right.

    The arguments are its path and the size of the content; a line tells how many pieces, and the
    device and inode of the file that is meant; what follows are the piece hashes.
    """
    path, size = sys.argv[1], int(sys.argv[2])
    line = sys.stdin.buffer.readline()
    if not line:
        return  # whoever started this has no question any more
    count, *identity = map(int, line.split())
    hashes = merkle.split(sys.stdin.buffer.read())
    piece = merkle.piece_length(size)
    step = max(1, TOGETHER // piece)
    runs = [range(first, min(first + step, count)) for first in range(0, count, step)]
    answers = bytearray()
    with BufferedReader(FileIO(path, "rb")) as file:
        status = os.fstat(file.fileno())
        if identity != [status.st_dev, status.st_ino]:
            return  # it was replaced: what is right in it is not in the one that is written
        for run, right in zip(runs, look_at(file, size, hashes, runs), strict=True):
            answers += bytes(right)
            if len(answers) * piece >= TOLD_EVERY or run.stop == count:
                sys.stdout.buffer.write(answers)
                sys.stdout.buffer.flush()
                answers.clear()
