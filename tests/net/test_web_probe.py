"""Whether another peer gives a content to browsers."""

from __future__ import annotations

from contextlib import suppress
from threading import Event, Thread

import pytest
from listening import connected

from rede_p2p.net.web_probe import gives
from rede_p2p.timeouts import Timeouts

ROOT = bytes(range(32))
TAG = f'"{ROOT.hex()}"'.encode()
QUICK = Timeouts(reply_s=0.2)


@pytest.mark.parametrize(
    ("said", "is_given"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: " + TAG + b"\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\netag:" + TAG + b"\n\n", True),
        (b'HTTP/1.1 200 OK\r\nETag: "other"\r\n\r\n', False),
        (b"HTTP/1.1 404 Not Found\r\nETag: " + TAG + b"\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\nETag: " + TAG + b"\r\n", False),
        (b"HTTP/1.1 200 OK\r\n" + 100 * b"X: y\r\n", False),
        (b"error {}\n", False),
        (b"", False),
        (b"\xff" * 100_000, False),
    ],
)
@pytest.mark.parametrize("hangs_up", [True, False])
def test_only_who_has_that_very_content_gives_it(said, is_given, hangs_up):
    with connected() as (bare, connection):
        bare.sendall(said)
        if hangs_up:
            bare.shutdown(1)
        assert gives(connection, "/arquivo/x", ROOT, QUICK) is is_given
        assert bare.recv(100) == b"HEAD /arquivo/x HTTP/1.0\r\n\r\n"


def test_who_says_a_line_now_and_then_has_one_deadline_for_them_all():
    ended, lines = Event(), []
    with connected() as (bare, connection):

        def dribble():
            with suppress(OSError):
                bare.sendall(b"HTTP/1.1 200 OK\r\n")
                while not ended.wait(0.05):
                    bare.sendall(b"X: y\r\n")
                    lines.append(1)

        dribbler = Thread(target=dribble)
        dribbler.start()
        try:
            assert not gives(connection, "/arquivo/x", ROOT, QUICK)
            assert len(lines) < 32  # and not as many as there may be
        finally:
            ended.set()
            dribbler.join()
