"""Sending parts of files by sendfile(2), which copies nothing through this program."""

import os
import select
import socket
from collections.abc import Callable
from time import monotonic
from typing import BinaryIO

from rede_p2p.content import disk

PART_BYTES = 64 * 1024  # of a file that sendfile(2) does not take

NoteTaken = Callable[[int, float], None]  # bytes, and the seconds that the reader made us wait


def send_file(sock: socket.socket, file: BinaryIO, start: int, count: int, note: NoteTaken) -> int:
    """Send a range of a file; return how many bytes went, fewer where the file ends.

    ``note`` is told what the reader takes, and may raise. Raises OSError; TimeoutError where the
    reader takes nothing for as long as the timeout of the socket.
    """
    if not hasattr(os, "sendfile"):  # Windows
        return _send_parts(sock, file, start, count, note)
    sent = 0
    while sent < count:
        try:
            some = os.sendfile(sock.fileno(), file.fileno(), start + sent, count - sent)
        except BlockingIOError:
            note(0, _await_room(sock))
            continue
        except OSError:
            if sent:
                raise
            return _send_parts(sock, file, start, count, note)  # not every disk has it
        if not some:
            break
        sent += some
        note(some, 0.0)
    return sent


def _send_parts(
    sock: socket.socket, file: BinaryIO, start: int, count: int, note: NoteTaken
) -> int:
    part, sent = memoryview(bytearray(min(count, PART_BYTES))), 0
    while some := disk.read_into(file, start + sent, part[: count - sent]):
        view = part[:some]
        while view:
            began = monotonic()
            taken = sock.send(view)
            view = view[taken:]
            note(taken, monotonic() - began)
        sent += some
    return sent


def _await_room(sock: socket.socket) -> float:
    """Wait until the socket takes more; return how long that took, in seconds."""
    began = monotonic()
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    timeout_s = sock.gettimeout()
    if not poll.poll(None if timeout_s is None else timeout_s * 1000):
        raise TimeoutError
    return monotonic() - began
