"""What the system's error about a socket means: why a connection ended, or was never made."""

import errno
import socket

from rede_p2p.errors import ConnectionLostError, LostReason

_REASONS: dict[int, LostReason] = {errno.ECONNREFUSED: "refused"}
_REASONS |= dict.fromkeys((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN), "unreachable")
_REASONS |= dict.fromkeys((errno.EADDRNOTAVAIL, errno.EINVAL, errno.EAFNOSUPPORT), "address")
_REASONS |= dict.fromkeys((errno.ENODEV, errno.ENXIO, socket.EAI_NONAME), "address")


def loss_of(error: OSError) -> ConnectionLostError:
    """Return the error that says why."""
    known = _REASONS.get(error.errno or 0, "lost")
    return ConnectionLostError("silent" if isinstance(error, TimeoutError) else known)
