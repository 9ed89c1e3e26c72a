"""What a peer answers to a browser: its whole files, by root or by share name (RFC 9110).

They go through the slots, the limit and the checks of any other upload, and are counted with them.
Imported only once there is a browser.
"""

import re
from collections.abc import Callable

from rede_p2p.content import disk, safe_names
from rede_p2p.errors import DiskError, RefusedError
from rede_p2p.events import Event, FilesServed
from rede_p2p.net.connection import Connection
from rede_p2p.net.web import Reply
from rede_p2p.protocol import http
from rede_p2p.protocol.http import HttpError, HttpRequest
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.share_list import ShareList
from rede_p2p.upload.shared_files import Share
from rede_p2p.upload.upload_slots import Upload, UploadSlots

_ROOT = re.compile(r"[0-9a-fA-F]{64}")  # merkle.HASH_BYTES, two digits each
_ANY_FILE = "application/octet-stream"  # which no browser opens by itself


class WebFiles:
    """The answers to one browser; used by the thread of its connection."""

    def __init__(
        self,
        connection: Connection,
        shares: ShareList,
        seeds: SeedStore,
        slots: UploadSlots,
        post: Callable[[Event], None],
    ) -> None:
        self.shares = shares
        self.seeds = seeds
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
        """Send the file that is shared under a name."""
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
        request, size = reply.request, share.state.size
        tag = f'"{root.hex()}"'
        fields = [("ETag", tag), ("Accept-Ranges", "bytes")]
        if _names(request, tag):
            self._connection.send(reply.head(304, size, fields))
            return
        fields += [("Content-Type", _ANY_FILE), ("Content-Disposition", http.attachment(name))]
        if request.method == "HEAD":
            self._connection.send(reply.head(200, size, fields))
            return
        status, start, length = 200, 0, size
        if request.fields.get("if-range", tag) == tag:
            part = http.range_of(request.fields.get("range"), size)
            if part is not None:
                status, (start, length) = 206, part
                fields.append(("Content-Range", f"bytes {start}-{start + length - 1}/{size}"))
        try:
            with disk.open_regular(share.path) as file:
                head = reply.head(status, length, fields)
                self._upload.send(file, share.name, share.state, head, start, length)
        except (DiskError, RefusedError) as error:  # it is another file by now
            reply.begun = False
            raise HttpError(503) from error
        self._count(share, root, start, length)

    def _count(self, share: Share, root: bytes, start: int, length: int) -> None:
        """Count what was sent: a file once its end has gone, whatever was there before."""
        self._tally.add(root, self._connection.remote.ip, length)
        if start + length == share.state.size and root not in self._counted:
            self._counted.add(root)
            self._served = self._served.with_file(share.name, share.state.size)


ROUTES: dict[str, Callable[[WebFiles, list[str], Reply], None]] = {
    "arquivo": WebFiles.send_by_root,
    "pasta": WebFiles.send_by_name,
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
