"""Bodies of lines, compressed (zlib, RFC 1950) for who asks for it.

A third is left of a list, half of which is roots in hexadecimal; at 100 Mbit/s that saves three
times what it costs, for each who asks, and it is done once for all. Pure functions.
"""

from contextlib import suppress

from rede_p2p.errors import ProtocolError
from rede_p2p.protocol.fields import MAX_LISTING_BYTES

try:
    import zlib
except ModuleNotFoundError:  # not every Python has it
    zlib = None  # type: ignore[assignment]

KNOWN = zlib is not None
LEVEL = 4  # the lowest with which few of the digits of a root are taken for a repeated text
MAX_RATIO = 32  # plain bytes for each compressed one: to read a list costs a hundred times more
# than to send one so uniform that it shrinks a thousand times
FREE_BYTES = 64 * 1024  # of any body, however small it was


def compress(body: bytes | bytearray) -> bytes | None:
    """Compress a body; None where nobody would take it so."""
    if not KNOWN:
        return None
    # Z_FILTERED: of half random data a third is left, and not three eighths.
    stream = zlib.compressobj(LEVEL, strategy=zlib.Z_FILTERED)
    packed = stream.compress(body) + stream.flush()
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
