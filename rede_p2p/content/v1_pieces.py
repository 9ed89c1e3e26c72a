"""The SHA-1 pieces of BitTorrent v1 (BEP 3), which a hybrid .torrent has beside the Merkle tree.

They follow from a content and a piece length alone. In a folder's .torrent a padding file of zeros
(BEP 47) fills the last piece of each file but the last one, so both ends are kept:
``digests`` has one SHA-1 for each piece, the last as it is, and after them that of the padded last.
"""

from hashlib import sha1

from rede_p2p.content import merkle

DIGEST_BYTES = 20
_ZEROS = bytes(64 * 1024)


class V1Hasher:
    """Hashes the pieces of a content that is handed to it in order, in parts of any length."""

    def __init__(self, piece_length: int) -> None:
        self._length = piece_length  # bytes
        self._digests = bytearray()
        self._begin()

    def _begin(self) -> None:
        self._piece = sha1(usedforsecurity=False)
        self._room = self._length  # bytes that the piece still lacks

    def add(self, data: memoryview) -> None:
        """Hash the next bytes."""
        while data:
            part, data = data[: self._room], data[self._room :]
            self._piece.update(part)
            self._room -= len(part)
            if not self._room:
                self._digests += self._piece.digest()
                self._begin()

    def digests(self) -> bytes:
        """Return the digests of all that was handed over, which ends here; b"" of nothing."""
        if self._room < self._length:
            self._digests += self._piece.digest()
            for _, missing in merkle.cut(self._room, len(_ZEROS)):
                self.add(memoryview(_ZEROS)[:missing])
        else:
            self._digests += self._digests[-DIGEST_BYTES:]
        return bytes(self._digests)


def pieces(digests: bytes, *, padded: bool = False) -> bytes:
    """Return the digests of a content's pieces, with the last one padded or as it is."""
    last = len(digests) - DIGEST_BYTES
    return digests[: last - DIGEST_BYTES] + digests[last:] if padded else digests[:last]
