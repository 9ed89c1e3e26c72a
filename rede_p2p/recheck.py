"""The process that looks at what an earlier download left; ``look`` starts it and listens to it.

It imports little, for until it has started there is one processor too few at work. It maps the
file, as only a process may that has nothing to lose: it dies if somebody cuts the file short.
"""

from __future__ import annotations

import sys
from io import FileIO
from mmap import ACCESS_READ, mmap

from rede_p2p import merkle

TOGETHER = 1024 * 1024  # bytes hashed at once
TOLD_EVERY = 4 * 1024 * 1024  # bytes looked at between two answers


def main() -> None:
    """Read the piece hashes; answer one byte for each piece of the file, 1 if it is right.

    The arguments are its path, the size of the content, and how many pieces to look at.
    """
    path, size, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    hashes = merkle.split(sys.stdin.buffer.read())
    piece = merkle.piece_length(size)
    step = max(1, TOGETHER // piece)
    answers = bytearray()
    with FileIO(path, "rb") as file:
        view = memoryview(mmap(file.fileno(), 0, access=ACCESS_READ))
    for first in range(0, count, step):
        stop = min(first + step, count)
        data = view[first * piece : min(stop * piece, size)]
        answers += bytes(merkle.compare(data, size, hashes[first:stop]))
        if len(answers) * piece >= TOLD_EVERY or stop == count:
            sys.stdout.buffer.write(answers)
            sys.stdout.buffer.flush()
            answers.clear()
