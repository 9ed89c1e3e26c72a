"""Hashing a whole file: its root and its piece layer, from one reading."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rede_p2p.content import disk, merkle
from rede_p2p.content.disk import FileState
from rede_p2p.content.merkle import Content
from rede_p2p.errors import DiskError

READ_BYTES = 1024 * 1024  # at once


@dataclass(frozen=True)
class Hashed:
    """A file's state, content and piece layer."""

    state: FileState
    content: Content
    layer: bytes


def hash_file(
    path: Path | str, report: Callable[[int], None], stopped: Callable[[], bool]
) -> Hashed:
    """Read a whole file and hash it; ``report`` the bytes read so far.

    Raises DiskError, ``changed`` when the file did not stay the same, ``stopped`` when asked to.
    """
    # The state is that of the path, which is what others ask about: a file system may tell another
    # one of the open file.
    state = disk.file_state(path)
    with disk.open_regular(path) as file, disk.translate_os_errors(path):
        if state is None:
            raise DiskError(str(path), "changed")  # it has just come
        piece = merkle.piece_length(state.size)
        view = memoryview(bytearray(max(READ_BYTES, piece)))
        hashes: list[bytes] = []
        for start, length in merkle.cut(state.size, len(view)):
            if stopped():
                raise DiskError(str(path), "stopped")
            if disk.read_into(file, start, view[:length]) != length:
                raise DiskError(str(path), "changed")  # it is shorter now
            hashes += merkle.piece_hashes(view[:length], state.size)
            report(start + length)
        if disk.file_state(path) != state:
            raise DiskError(str(path), "changed")
    layer = b"".join(hashes)
    return Hashed(state, Content(merkle.root_of(layer, state.size), state.size), layer)
