"""The types of the messages' fields, and the limits on what comes from outside.

No limit is ever taken from the wire.
"""

from typing import Annotated

from rede_p2p.content import merkle
from rede_p2p.protocol import codec

MAX_LISTING_BYTES = 64 * 1024 * 1024  # in a body of JSON lines, compressed or not
MAX_ANNOUNCE_BYTES = 5 * 1024 * 1024  # in that of an announcement: 2,000 of the longest lines
MAX_BUNDLE_BYTES = 8 * 1024 * 1024  # in that of a bundle
MAX_BUNDLE_FILES = 65_536  # in a bundle; a larger folder is several
MAX_BUNDLE_CONTENT_BYTES = 2**40  # in all of them: who serves one has a piece of it in memory
MAX_LISTING_LINES = 500_000  # in such a body
MAX_TRACKER_LINES = 65_536  # of a tracker, which has at most a quarter of it to tell
MAX_NEWS_INDEXES = 4096  # told in one ``next``; the rest waits for the one after
MAX_OTHER_PIECES = 8  # offered beside the first choice
MAX_PORT_OFFERS = 512  # ports that a peer may find taken: neither side keeps the other for ever
LOWEST_PUBLIC_PORT = 1024  # a tracker may not send its peers to a machine's system services

Port = Annotated[int, codec.Integer(1, 65535)]
PublicPort = Annotated[int, codec.Integer(LOWEST_PUBLIC_PORT, 65535)]
Size = Annotated[int, codec.Integer(0, merkle.MAX_CONTENT_BYTES)]
MemberSize = Annotated[int, codec.Integer(1, merkle.MAX_CONTENT_BYTES)]
Count = Annotated[int, codec.Integer(0, MAX_LISTING_LINES)]
Total = Annotated[int, codec.Integer(0, 2**63 - 1)]
PieceIndex = Annotated[int, codec.Integer(0, merkle.MAX_PIECES)]
Version = Annotated[int, codec.Integer(1, 2**31)]
Name = Annotated[str, codec.Text(1024)]
PeerName = Annotated[str, codec.read_peer_name]
Nonce = Annotated[str, codec.Text(32)]
TrackerId = Annotated[str, codec.Text(32)]
Ticket = Annotated[str, codec.Text(32)]
Key = Annotated[str, codec.Text(32)]
Proof = Annotated[str, codec.Text(32)]
Reason = Annotated[str, codec.Text(64)]
Root = Annotated[bytes, codec.Hexadecimal(merkle.HASH_BYTES, merkle.HASH_BYTES)]
Ip = Annotated[str, codec.read_ip]
Bool = Annotated[bool, codec.read_bool]
Bitmap = Annotated[bytes, codec.Hexadecimal(merkle.MAX_PIECES // 8)]
News = Annotated[tuple[int, ...], codec.Indexes(merkle.MAX_PIECES, MAX_NEWS_INDEXES)]
Others = Annotated[tuple[int, ...], codec.Indexes(merkle.MAX_PIECES, MAX_OTHER_PIECES)]
BodySize = Annotated[int, codec.Integer(0, MAX_LISTING_BYTES)]
BundleCount = Annotated[int, codec.Integer(1, MAX_BUNDLE_FILES)]
BundleSize = Annotated[int, codec.Integer(0, MAX_BUNDLE_BYTES)]
AnnouncedSize = Annotated[int, codec.Integer(0, MAX_ANNOUNCE_BYTES)]
