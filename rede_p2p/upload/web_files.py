"""What a peer answers to a browser: its whole files, by root or by share name (RFC 9110).

They go through the slots, the limit and the checks of any other upload, and are counted with them.
Imported only once there is a browser.
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from urllib.parse import parse_qs

from rede_p2p.content import disk, safe_names, torrent
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.merkle import Content
from rede_p2p.content.torrent import PAD_FOLDER, TorrentFile
from rede_p2p.errors import DiskError, RefusedError
from rede_p2p.events import Event, FilesServed
from rede_p2p.net.address import is_loopback
from rede_p2p.net.connection import Connection
from rede_p2p.net.web import Reply
from rede_p2p.protocol import codec, http
from rede_p2p.protocol.fields import LOWEST_PUBLIC_PORT
from rede_p2p.protocol.http import HttpError, HttpRequest
from rede_p2p.timeouts import DEFAULT
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.share_list import ShareList
from rede_p2p.upload.shared_files import Share
from rede_p2p.upload.upload_slots import Upload, UploadSlots

_ROOT = re.compile(r"[0-9a-fA-F]{64}")  # merkle.HASH_BYTES, two digits each
_PADDING = re.compile(r"([1-9][0-9]{0,9})(-[0-9]{1,10})?")  # its length, and which one it is
_SOURCE = re.compile(r"([0-9.]{7,15}|\[[0-9a-f:.]{2,45}\]):([1-9][0-9]{0,4})")
_MAX_PORT = 65535
MAX_SOURCES = 10
MAX_PADDING_BYTES = 256 * 1024 * 1024  # the largest piece that clients take
_ANY_FILE = "application/octet-stream"  # which no browser opens by itself
_TORRENT = "application/x-bittorrent"


class WebFiles:
    """The answers to one browser; used by the thread of its connection."""

    def __init__(
        self,
        connection: Connection,
        shares: ShareList,
        hash_cache: HashCache,
        seeds: SeedStore,
        slots: UploadSlots,
        post: Callable[[Event], None],
    ) -> None:
        self.shares = shares
        self.seeds = seeds
        self._hash_cache = hash_cache
        self._connection = connection
        # Nothing can be said before the head: it is only seen whether the browser is still there.
        self._upload = Upload(connection, slots, lambda _place: connection.check_here())
        self._tally = slots.tally
        self._post = post
        self._counted: set[bytes] = set()  # roots
        self._served = FilesServed("", 0, 0, connection.remote.ip)

    def answer(self, request: HttpRequest, reply: Reply) -> None:
        """Answer one request; raise HttpError where the answer is no, or ConnectionLostError."""
        route, *segments = request.segments()
        if route not in ROUTES or not segments or any("/" in segment for segment in segments):
            raise HttpError(404)
        ROUTES[route](self, segments, reply)

    def leave(self) -> None:
        """Post one event for all that was served."""
        if self._served.files:
            self._post(self._served)

    def find_root(self, word: str) -> tuple[Share, bytes]:
        """Return the whole file of a root in hexadecimal, and the root; raise HttpError.

        What is not here is 404, but 503 while roots are computed: it may be of one of those files.
        """
        if not _ROOT.fullmatch(word):
            raise HttpError(404)
        root = bytes.fromhex(word)
        share = self.seeds.find_whole(root)
        if share is None:
            raise HttpError(503 if self.shares.is_hashing() else 404)
        return share, root

    def send_by_root(self, segments: list[str], reply: Reply) -> None:
        """Send the file of ``root/name``, whatever it is called here."""
        word, *parts = segments
        share, root = self.find_root(word)
        self._send(share, root, _safe("/".join(parts)), reply)

    def send_by_name(self, segments: list[str], reply: Reply) -> None:
        """Send the file that is shared under a name, or the padding of a folder's torrent."""
        if segments[-2:-1] == [PAD_FOLDER]:
            self._send_padding(segments[-1], reply)
            return
        name = _safe("/".join(segments))
        share = self.shares.find(name, lambda _: self._connection.check_here())
        if share is None:
            raise HttpError(404)
        root = self.shares.entry(share).root
        if root is None:
            raise HttpError(503)
        self._send(share, root, name, reply)

    def _send(self, share: Share, root: bytes, name: str, reply: Reply) -> None:
        """Send a file, or the part that is asked for, to be saved under a name."""
        tag, size = f'"{root.hex()}"', share.state.size
        fields = [("Content-Type", _ANY_FILE), ("Content-Disposition", http.attachment(name))]
        part = self._begin(reply, tag, size, fields)
        if part is None:
            return
        head, start, length = part
        try:
            with disk.open_regular(share.path) as file:
                self._upload.send(file, share.name, share.state, head, start, length)
        except (DiskError, RefusedError) as error:  # it is another file by now
            reply.begun = False
            raise HttpError(503) from error
        self._count(share, root, start, length)

    def send_torrent(self, segments: list[str], reply: Reply) -> None:
        """Send the .torrent of ``root/name.torrent``, once what is in it has been computed."""
        word, *parts = segments
        plain = _safe("/".join(parts).removesuffix(torrent.ENDING))
        if not parts or not parts[-1].endswith(torrent.ENDING):
            raise HttpError(404)
        share, root = self.find_root(word)
        content, name = Content(root, share.state.size), plain.rpartition("/")[2]
        piece, wait_s = torrent.piece_length([content.size]), DEFAULT.hash_report_s
        try:
            both = self._hash_cache.torrent_layers(share.path, content, piece, wait_s, soon=False)
        except DiskError as error:
            raise HttpError(503) from error
        if both is None:
            raise HttpError(503, [("Refresh", "2")])  # with which a browser asks again by itself
        path = http.path_of("arquivo", root, name)
        seeds = [origin + path for origin in self._origins(reply.request)]
        made = torrent.make(name, [TorrentFile((name,), content, *both)], seeds, folder=False)
        tag, saved = sha256(made.data).hexdigest(), http.attachment(f"{name}{torrent.ENDING}")
        fields = [("Content-Type", _TORRENT), ("Content-Disposition", saved)]
        shown = f"{share.name}{torrent.ENDING}"
        self._send_made(shown, made.data, len(made.data), f'"{tag}"', fields, reply)

    def _origins(self, request: HttpRequest) -> Iterator[str]:
        """Yield where the content is: here and, as the page says that linked to here, elsewhere."""
        yield http.origin(*self._connection.local)
        try:
            asked = parse_qs(request.query, max_num_fields=MAX_SOURCES)
        except ValueError as error:
            raise HttpError(400) from error
        for word in asked.get("fonte", []):
            match = _SOURCE.fullmatch(word)
            if match and self._may_cite(match[1].strip("[]"), int(match[2])):
                yield f"http://{match[0]}"

    def _may_cite(self, host: str, port: int) -> bool:
        """Tell whether a tracker may list that address, too; loopback is of this machine alone.

        The link may be a stranger's, and the client of whoever saves the .torrent connects there.
        """
        try:
            ip = codec.read_ip(host)
        except ValueError:
            return False
        if is_loopback(ip) and not is_loopback(self._connection.local.ip):
            return False
        return LOWEST_PUBLIC_PORT <= port <= _MAX_PORT

    def _send_padding(self, word: str, reply: Reply) -> None:
        """Send as many zeros as a padding file's name says (BEP 47).

        Clients that know nothing of them ask for them as for any other file.
        """
        match = _PADDING.fullmatch(word)
        if match is None or int(match[1]) > MAX_PADDING_BYTES:
            raise HttpError(404)
        tag = f'"{PAD_FOLDER}-{match[1]}"'
        self._send_made(PAD_FOLDER, b"", int(match[1]), tag, [("Content-Type", _ANY_FILE)], reply)

    def _send_made(
        self,
        name: str,
        data: bytes,
        size: int,
        tag: str,
        fields: list[tuple[str, str]],
        reply: Reply,
    ) -> None:
        """Send what is no file, as files are sent: ``data``, and zeros up to a size.

        The ``name`` is shown to whoever serves; it is none that the browser chose.
        """
        part = self._begin(reply, tag, size, fields)
        if part is None:
            return
        try:
            with tempfile.TemporaryFile(buffering=0) as file:
                head, start, length = part
                if not data:  # all zeros, which take space on Windows: no more than are sent
                    start, size = 0, length
                file.write(data)
                file.truncate(size)
                self._upload.send(file, name, None, head, start, length)
        except (OSError, DiskError, RefusedError) as error:  # before anything was sent
            reply.begun = False
            raise HttpError(503) from error

    def _begin(
        self, reply: Reply, tag: str, size: int, fields: list[tuple[str, str]]
    ) -> tuple[bytes, int, int] | None:
        """Return the head of an answer, and what is to be sent: (head, start, length).

        A HEAD, and who has it already, are answered here, which returns None.
        """
        request = reply.request
        always = [("ETag", tag), ("Accept-Ranges", "bytes")]
        if _names(request, tag):
            self._connection.send(reply.head(304, size, always))
            return None
        fields = [*always, *fields]
        if request.method == "HEAD":
            self._connection.send(reply.head(200, size, fields))
            return None
        part = None
        if request.fields.get("if-range", tag) == tag:
            part = http.range_of(request.fields.get("range"), size)
        if part is None:
            return reply.head(200, size, fields), 0, size
        start, length = part
        fields.append(("Content-Range", f"bytes {start}-{start + length - 1}/{size}"))
        return reply.head(206, length, fields), start, length

    def _count(self, share: Share, root: bytes, start: int, length: int) -> None:
        """Count what was sent: a file once its end has gone, whatever was there before."""
        self._tally.add(root, self._connection.remote.ip, length)
        if start + length == share.state.size and root not in self._counted:
            self._counted.add(root)
            self._served = self._served.with_file(share.name, share.state.size)


ROUTES: dict[str, Callable[[WebFiles, list[str], Reply], None]] = {
    "arquivo": WebFiles.send_by_root,
    "pasta": WebFiles.send_by_name,
    "torrent": WebFiles.send_torrent,
}


def _safe(name: str) -> str:
    """Return a name that may be saved; raise HttpError 404 for any other."""
    if not safe_names.is_safe(name):
        raise HttpError(404)
    return name


def _names(request: HttpRequest, tag: str) -> bool:
    """Tell whether a browser says that it has this already (RFC 9110 §13.1.2)."""
    tags = request.fields.get("if-none-match", "").split(",")
    return any(one.strip().removeprefix("W/") in (tag, "*") for one in tags)
