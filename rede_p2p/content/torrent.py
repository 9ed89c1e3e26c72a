"""A shared file as a BitTorrent v2 ``.torrent`` (BEP 52), for those who outgrow one network.

Root and layer are those that the file has here already, so nothing is hashed again.
"""

from contextlib import suppress
from pathlib import Path

from rede_p2p.content import disk, merkle, safe_names
from rede_p2p.content.merkle import Content
from rede_p2p.content.partial_file import PartialFile, finals, path_of
from rede_p2p.errors import DiskError

Bencoded = int | bytes | str | list["Bencoded"] | dict[str | bytes, "Bencoded"]


def write(folder: Path, name: str, content: Content, layer: bytes) -> Path:
    """Write a file's .torrent to a folder, under the first name that is free or has it already.

    Returns its path; raises DiskError, UnsafeNameError.
    """
    data = torrent_of(name, content, layer)
    wanted = folder / safe_names.check_writable(f"{name.rpartition('/')[2]}.torrent", folder)

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


def torrent_of(name: str, content: Content, layer: bytes) -> bytes:
    """Return the .torrent of one file; a name inside a folder loses the folder.

    BEP 52 wants no root for an empty file, and no layer for a file of one piece.
    """
    plain = name.rpartition("/")[2]
    attributes: dict[str | bytes, Bencoded] = {"length": content.size}
    if content.size:
        attributes["pieces root"] = content.root
    piece = merkle.piece_length(content.size)
    info: dict[str | bytes, Bencoded] = {
        "file tree": {plain: {"": attributes}},
        "meta version": 2,
        "name": plain,
        "piece length": piece,
    }
    layers: dict[str | bytes, Bencoded] = {content.root: layer} if content.size > piece else {}
    return bencode({"info": info, "piece layers": layers})


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
