"""A network for the tests alone, where Rede P2P is open on this machine.

A tracker answers by UDP for every loopback address of its machine: programs under test would find
it, and its person would see them come and go.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
from pathlib import Path

from rede_p2p.net.discovery import WELL_KNOWN_PORT

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
CLOSE_IT = (
    "a Rede P2P está aberta nesta máquina, e os testes entrariam na rede dela: "
    "feche-a (quit, ou Ctrl-C no tracker) e rode os testes outra vez"
)


def is_tracker_here() -> bool:
    """Tell whether a tracker, or another program, has the port by which one is found."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind(("", WELL_KNOWN_PORT))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def leave() -> None:
    """Move this process to a network of its own, with loopback alone; raise OSError.

    It must have one thread. Linux only; who is not root needs user namespaces.
    """
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, "only Linux has such networks")
    uid, gid = os.getuid(), os.getgid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET | (0 if uid == 0 else CLONE_NEWUSER)):
        raise OSError(ctypes.get_errno(), "unshare")
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    _raise_loopback()


def _raise_loopback() -> None:
    import fcntl  # which only such systems have

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        got = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        (flags,) = struct.unpack_from("H", got, 16)
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))
