"""Hashing a whole file: its root, its piece layer and its v1 digests, from one reading."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from rede_p2p.content import disk, merkle
from rede_p2p.content.disk import FileState
from rede_p2p.content.merkle import Content
from rede_p2p.content.v1_pieces import V1Hasher, pieces
from rede_p2p.errors import DiskError

READ_BYTES = 1024 * 1024  # at once


class Hashed(NamedTuple):
    """A file's state, content and piece layer; and its v1 digests, where they were asked for."""

    state: FileState
    content: Content
    layer: bytes
    v1_piece: int = 0  # bytes
    digests: bytes = b""  # as in v1_pieces


def hash_file(
    path: Path | str, report: Callable[[int], None], stopped: Callable[[], bool], v1_piece: int = 0
) -> Hashed:
    """Read a whole file and hash it; ``report`` the bytes read so far.

    With a ``v1_piece``, in bytes, its SHA-1 pieces of that length are hashed, too.
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
        v1 = V1Hasher(v1_piece) if v1_piece else None
        for start, length in merkle.cut(state.size, len(view)):
            if stopped():
                raise DiskError(str(path), "stopped")
            if disk.read_into(file, start, view[:length]) != length:
                raise DiskError(str(path), "changed")  # it is shorter now
            hashes += merkle.piece_hashes(view[:length], state.size)
            if v1 is not None:
                v1.add(view[:length])
            report(start + length)
        has_no_length = not state.size and disk.read_into(file, 0, view[:1])  # as in /proc
        if disk.file_state(path) != state:
            raise DiskError(str(path), "changed")
        if has_no_length:
            raise DiskError(str(path), "not-file")
    layer = b"".join(hashes)
    content = Content(merkle.root_of(layer, state.size), state.size)
    return Hashed(state, content, layer, v1_piece, v1.digests() if v1 is not None else b"")


def hash_together(
    files: Sequence[tuple[str, FileState]], piece: int, check: Callable[[], None]
) -> bytes:
    """Return the SHA-1 pieces of the bytes of all these files, one file after the other.

    ``check`` is called between two reads, and may raise to give up. Raises DiskError, ``changed``
    for a file that is not in that state from beginning to end.
    """
    hasher, view = V1Hasher(piece), memoryview(bytearray(READ_BYTES))
    for path, state in files:
        with disk.open_regular(path) as file:
            for start, length in merkle.cut(state.size, len(view)):
                check()
                if disk.read_into(file, start, view[:length]) != length:
                    raise DiskError(path, "changed")
                hasher.add(view[:length])
        if disk.file_state(path) != state:
            raise DiskError(path, "changed")
    return pieces(hasher.digests())
