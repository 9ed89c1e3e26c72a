"""The process that rechecks what an earlier download left; ``recheck`` starts it.

It imports little, because until it has started one processor has too little to do.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from io import BufferedReader, FileIO

from rede_p2p.content import merkle

READ_STEP_BYTES = 256 * 1024  # read at once: what is hashed next is still in the processor's cache
ANSWER_STEP_BYTES = 16 * 1024 * 1024  # rechecked between two answers


def recheck(
    file: "BufferedReader[FileIO]", size: int, hashes: list[bytes], runs: Iterable[range]
) -> Iterator[tuple[list[bool], memoryview]]:
    """Read runs of pieces of a partial file; yield which pieces are right, and the bytes read.

    A piece that the file does not hold whole is wrong. The bytes are valid until the next step.
    Raises OSError.
    """
    piece = merkle.piece_length(size)
    buffer = memoryview(bytearray())  # kept: new memory costs more than the copy
    for run in runs:
        length = merkle.bytes_in(run, size)
        if length > len(buffer):
            buffer = memoryview(bytearray(length))
        file.seek(run.start * piece)
        data = buffer[: file.readinto(buffer[:length])]  # all that is there, as it is buffered
        yield merkle.compare(data, size, run, hashes), data


def main() -> None:
    """Write one byte for each of the first pieces of a file, 1 if it is right.

    The arguments are the file's path and the size of the content. A line on standard input tells
    how many pieces, and the device and inode of the file that is meant; the piece hashes follow.
    """
    path, size = sys.argv[1], int(sys.argv[2])
    line = sys.stdin.buffer.readline()
    if not line:
        return  # the download has no question any more
    count, *identity = map(int, line.split())
    hashes = merkle.split(sys.stdin.buffer.read())
    piece = merkle.piece_length(size)
    step = max(1, READ_STEP_BYTES // piece)
    runs = [range(first, min(first + step, count)) for first in range(0, count, step)]
    answers = bytearray()
    with BufferedReader(FileIO(path, "rb")) as file:
        status = os.fstat(file.fileno())
        if identity != [status.st_dev, status.st_ino]:
            return  # the path leads to another file than the one being written
        for run, (right, _) in zip(runs, recheck(file, size, hashes, runs), strict=True):
            answers += bytes(right)
            if len(answers) * piece >= ANSWER_STEP_BYTES or run.stop == count:
                sys.stdout.buffer.write(answers)
                sys.stdout.buffer.flush()
                answers.clear()
