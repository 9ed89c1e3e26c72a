"""A shared file as a BitTorrent v2 ``.torrent`` (BEP 52), for those who outgrow one network.

The root and the layer are the ones that the file has here already, so nothing is hashed again.
"""

from __future__ import annotations

from rede_p2p.content import merkle
from rede_p2p.content.merkle import Content

Bencoded = int | bytes | str | list["Bencoded"] | dict[str | bytes, "Bencoded"]


def describe(name: str, content: Content, layer: bytes) -> bytes:
    """Return the .torrent of one file; a name inside a folder loses the folder.

    BEP 52 wants no root for an empty file, and no layer for a file of one piece.
    """
    plain = name.rpartition("/")[2]
    attributes: dict[str | bytes, Bencoded] = {"length": content.size}
    if content.size:
        attributes["pieces root"] = content.root
    piece = merkle.piece_length(content.size)
    return bencode(
        {
            "info": {
                "file tree": {plain: {"": attributes}},
                "meta version": 2,
                "name": plain,
                "piece length": piece,
            },
            "piece layers": {content.root: layer} if content.size > piece else {},
        }
    )


def bencode(value: Bencoded) -> bytes:
    """Write a value as BEP 3 says; the keys of a dictionary are sorted as bytes."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(bencode, value)) + b"e"
    keyed = {key.encode() if isinstance(key, str) else key: item for key, item in value.items()}
    return b"d" + b"".join(bencode(key) + bencode(keyed[key]) for key in sorted(keyed)) + b"e"
