"""Asking another peer whether it gives a content to browsers, before others are sent there."""

from time import monotonic

from rede_p2p.errors import ConnectionLostError, ProtocolError
from rede_p2p.net.connection import Connection
from rede_p2p.protocol import http
from rede_p2p.timeouts import DEFAULT, Timeouts


def gives(connection: Connection, path: str, root: bytes, timeouts: Timeouts = DEFAULT) -> bool:
    """Tell whether this content is given at a path, which is percent-encoded, to browsers.

    The head of the answer may take ``reply_s``. The connection is of no use any more.
    """
    tag = f'"{root.hex()}"'.encode()
    end = monotonic() + timeouts.reply_s
    try:
        connection.send(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
        status = connection.receive_line(timeouts.reply_s)
        for _ in range(http.MAX_FIELDS):
            line = connection.receive_line(max(end - monotonic(), 0.0))
            if line in (None, b"\r\n", b"\n"):
                break
            name, _, value = (line or b"").partition(b":")
            if name.lower() == b"etag":
                return b" 200 " in (status or b"") and value.strip() == tag
    except (ConnectionLostError, ProtocolError):
        pass
    return False
