"""Errors of sockets, and the reasons that they are told as."""

from __future__ import annotations

import errno
import socket

import pytest

from rede_p2p.net.losses import loss_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "refused"),
        (OSError(errno.EHOSTUNREACH, "x"), "unreachable"),
        (OSError(errno.ENETUNREACH, "x"), "unreachable"),
        (OSError(errno.EADDRNOTAVAIL, "x"), "address"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "address"),
        (TimeoutError(errno.ETIMEDOUT, "x"), "silent"),
        (TimeoutError(), "silent"),
        (BrokenPipeError(errno.EPIPE, "x"), "lost"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "lost"),
        (OSError("without a number"), "lost"),
    ],
)
def test_an_error_of_a_socket_has_a_reason(error, reason):
    assert loss_of(error).reason == reason
