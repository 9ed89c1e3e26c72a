"""Bodies of lines, compressed (zlib, RFC 1950) for who asks for it.

A third is left of a list, half of which is roots in hexadecimal; at 100 Mbit/s that saves seven
times what it costs. Pure functions.
"""

from contextlib import suppress

from rede_p2p.errors import ProtocolError
from rede_p2p.protocol.fields import MAX_LISTING_BYTES

try:
    import zlib
except ModuleNotFoundError:  # not every Python has it
    zlib = None  # type: ignore[assignment]

KNOWN = zlib is not None
MAX_RATIO = 32  # plain bytes for each compressed one: to read a list costs a hundred times more
# than to send one so uniform that it shrinks a thousand times
FREE_BYTES = 64 * 1024  # of any body, however small it was


def compress(body: bytes | bytearray) -> bytes | None:
    """Compress a body, as fast as can be; None where nobody would take it so."""
    if not KNOWN:
        return None
    packed = zlib.compress(body, zlib.Z_BEST_SPEED)
    return packed if len(body) <= _most(packed) else None


def decompress(packed: bytes | bytearray) -> bytes:
    """Return a body that was compressed; raise ProtocolError where it was not.

    Also where it gets longer than a body may be, or than so few bytes may; no more is made of it.
    """
    if KNOWN:
        stream = zlib.decompressobj()
        with suppress(zlib.error):
            body = stream.decompress(packed, _most(packed))
            if stream.eof and not stream.unused_data:
                return body
    raise ProtocolError("bad-length")


def _most(packed: bytes | bytearray) -> int:
    return min(MAX_LISTING_BYTES, MAX_RATIO * len(packed) + FREE_BYTES)
