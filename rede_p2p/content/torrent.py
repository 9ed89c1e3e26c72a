"""A shared file or folder as a ``.torrent``, for every BitTorrent client.

It is a hybrid one (BEP 52, "Upgrade Path"): SHA-1 pieces (BEP 3) beside the Merkle trees, which are
those that the files have here already. In a folder each file begins a piece of its own, behind
padding files (BEP 47). Whoever has the content is named as a web seed (BEP 19). What it says of a
content is the same on every machine.
"""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from rede_p2p.content import disk, merkle, safe_names
from rede_p2p.content.merkle import Content
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.safe_names import finals, path_of
from rede_p2p.content.v1_pieces import pieces
from rede_p2p.errors import DiskError

Bencoded = int | bytes | str | list["Bencoded"] | dict[str | bytes, "Bencoded"]
PAD_FOLDER = ".pad"  # of the padding files; no shared name begins with a dot
ENDING = ".torrent"


class TorrentFile(NamedTuple):
    """One file of a torrent, with what was computed of it."""

    path: tuple[str, ...]  # below the folder; of a single file its name alone
    content: Content
    layer: bytes = b""  # with merkle.piece_length of its own size
    digests: bytes = b""  # as in v1_pieces, with the piece length of the torrent


class Torrent(NamedTuple):
    """What a .torrent holds, and the hashes by which its swarms are known; b"" where not in it."""

    data: bytes
    v1_hash: bytes  # SHA-1 of its info
    v2_hash: bytes  # SHA-256 of the same
    name: str
    size: int  # bytes of all its files

    def magnet(self, seeds: Iterable[str]) -> str:
        """Return the magnet link (BEP 9, BEP 52), with web seeds."""
        topics = [f"urn:btih:{self.v1_hash.hex()}"]
        if self.v2_hash:
            topics.append(f"urn:btmh:1220{self.v2_hash.hex()}")
        words = [f"xt={topic}" for topic in topics]
        words += [f"dn={quote(self.name, safe='')}", f"xl={self.size}"]
        words += [f"ws={quote(url, safe='')}" for url in seeds]
        return "magnet:?" + "&".join(words)


def piece_length(sizes: Iterable[int]) -> int:
    """Return the bytes a piece of a torrent of files of these sizes.

    That of the largest file, whose layer is known, doubled until MAX_PIECES are enough for all.
    """
    known = list(sizes)
    piece = merkle.piece_length(max(known))
    while piece * merkle.MAX_PIECES < sum(known):
        piece *= 2
    return piece


def make(
    name: str,
    files: Sequence[TorrentFile],
    seeds: Iterable[str],
    *,
    folder: bool,
    v1_pieces: bytes | None = None,
) -> Torrent:
    """Return the torrent of one file, or of a folder, with these web seeds (BEP 19).

    With ``v1_pieces``, those of all the files in the order of ``in_order`` without a gap, it is one
    of v1 alone, without padding, for clients that take nothing else.
    """
    piece = piece_length(file.content.size for file in files)
    files = in_order(files)
    info: dict[str | bytes, Bencoded] = {"name": name, "piece length": piece}
    torrent: dict[str | bytes, Bencoded] = {"info": info}
    if v1_pieces is None:
        info |= _padded(files, piece) if folder else {"pieces": pieces(files[0].digests)}
        info |= {"meta version": 2, "file tree": _tree(files)}
        torrent["piece layers"] = {
            file.content.root: merkle.layer_above(file.layer, file.content.size, piece)
            for file in files
            if file.content.size > piece
        }
    else:
        info["pieces"] = v1_pieces
    if not folder:
        info["length"] = files[0].content.size
    elif v1_pieces is not None:
        info["files"] = [_listed(file) for file in files]
    if urls := list[Bencoded](seeds):
        torrent["url-list"] = urls
    coded = bencode(info)
    v1_hash = hashlib.sha1(coded, usedforsecurity=False).digest()
    v2_hash = hashlib.sha256(coded).digest() if v1_pieces is None else b""
    total = sum(file.content.size for file in files)
    return Torrent(bencode(torrent), v1_hash, v2_hash, name, total)


def in_order(files: Iterable[TorrentFile]) -> list[TorrentFile]:
    """Return the files in the order of the tree (BEP 52), which is that of v1, too."""
    return sorted(files, key=lambda file: [part.encode() for part in file.path])


def _listed(file: TorrentFile) -> Bencoded:
    return {"length": file.content.size, "path": list(file.path)}


def _padded(files: Sequence[TorrentFile], piece: int) -> dict[str | bytes, Bencoded]:
    """List the files as v1 has them, with padding after each that another follows.

    BEP 47 calls it by its length alone, but Transmission 4 refuses a path that is there twice.
    """
    last = max((at for at, file in enumerate(files) if file.content.size), default=0)
    listed: list[Bencoded] = []
    digests, pads = bytearray(), 0
    for at, file in enumerate(files):
        listed.append(_listed(file))
        digests += pieces(file.digests, padded=at < last)
        missing = -file.content.size % piece
        if missing and at < last:
            pads += 1
            path: list[Bencoded] = [PAD_FOLDER, f"{missing}-{pads}"]
            listed.append({"attr": "p", "length": missing, "path": path})
    return {"files": listed, "pieces": bytes(digests)}


def _tree(files: Sequence[TorrentFile]) -> dict[str | bytes, Bencoded]:
    """Return the files as a tree of their paths; BEP 52 wants no root for an empty one."""
    tree: dict[str | bytes, Bencoded] = {}
    for file in files:
        node = tree
        for part in file.path:
            inner = node.setdefault(part, {})
            assert isinstance(inner, dict)
            if "" in inner or (inner and part is file.path[-1]):
                raise DiskError("/".join(file.path), "not-folder")
            node = inner
        attributes: dict[str | bytes, Bencoded] = {"length": file.content.size}
        if file.content.size:
            attributes["pieces root"] = file.content.root
        node[""] = attributes
    return tree


def write(folder: Path, name: str, data: bytes) -> Path:
    """Write a .torrent to a folder, under the first name that is free or has it already.

    Returns its path; raises DiskError, UnsafeNameError.
    """
    wanted = folder / safe_names.check_writable(f"{name}{ENDING}", folder)

    def holds_it(path: Path) -> bool:
        with suppress(DiskError), disk.open_regular(path) as file, disk.translate_os_errors(path):
            return file.read(len(data) + 1) == data
        return False

    with PartialFile(path_of(wanted)) as partial:
        try:
            partial.write_whole(data)
            partial.flush()
            return partial.publish(finals(wanted), holds_it)
        except DiskError:
            partial.discard()
            raise


def bencode(value: Bencoded) -> bytes:
    """Encode a value (BEP 3); the keys of a dictionary are sorted as bytes."""
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
