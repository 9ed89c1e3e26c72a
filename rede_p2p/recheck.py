"""The process that looks at what an earlier download left; ``look`` starts it and listens to it.

It imports little, for until it has started there is one processor too few at work.
"""

from __future__ import annotations

import sys
from io import BufferedReader, FileIO

from rede_p2p import merkle

TOGETHER = 256 * 1024  # bytes read at once: what is hashed next is still near the processor
TOLD_EVERY = 16 * 1024 * 1024  # bytes looked at between two answers


def main() -> None:
    """Read the piece hashes; answer one byte for each piece of the file, 1 if it is right.

    The arguments are its path, the size of the content, and how many pieces to look at.
    """
    path, size, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    hashes = merkle.split(sys.stdin.buffer.read())
    piece = merkle.piece_length(size)
    step = max(1, TOGETHER // piece)
    answers = bytearray()
    buffer = memoryview(bytearray(step * piece))  # kept: new memory would cost more than the copy
    with BufferedReader(FileIO(path, "rb")) as file:  # which never reads less than is there
        for first in range(0, count, step):
            run = range(first, min(first + step, count))
            wanted = min(run.stop * piece, size) - first * piece
            data = buffer[: file.readinto(buffer[:wanted])]
            answers += bytes(merkle.compare(data, size, run, hashes))
            if len(answers) * piece >= TOLD_EVERY or run.stop == count:
                sys.stdout.buffer.write(answers)
                sys.stdout.buffer.flush()
                answers.clear()
