"""What the tracker answers to who asks for the whole program in one file."""

from rede_p2p.cli import zipapp
from rede_p2p.cli.installation import ZIPAPP
from rede_p2p.errors import DiskError
from rede_p2p.net.connection import Connection
from rede_p2p.net.web import Reply
from rede_p2p.protocol.http import HttpError, HttpRequest, attachment
from rede_p2p.tracker.service import Tracker


def send_program(
    tracker: Tracker, connection: Connection, request: HttpRequest, reply: Reply
) -> None:
    """Send the whole program in one file."""
    try:
        made = zipapp.packed(tracker.post)
    except DiskError as error:
        raise HttpError(404) from error
    fields = [
        ("Content-Type", "application/octet-stream"),
        ("Content-Disposition", attachment(ZIPAPP)),
        ("ETag", f'"{made.sha256}"'),
    ]
    connection.send(reply.head(200, len(made.data), fields))
    if request.method != "HEAD":
        connection.send(made.data)  # apart from the head, so that no thread has its own copy
