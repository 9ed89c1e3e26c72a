"""One source of a download: the conversation with one peer, in a thread of its own.

The source offers pieces; this side takes those that nobody else brings, and has them verified and
written. Each answer carries the next offer in its head.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import Queue
from time import monotonic

from rede_p2p import errors
from rede_p2p.content.disk import Writer, page_buffer
from rede_p2p.content.merkle import Content
from rede_p2p.content.piece_layout import BundleLayout, Layout
from rede_p2p.download.bundle_writer import BundleWriter
from rede_p2p.download.piece_writer import PieceWriter
from rede_p2p.download.request import Connect
from rede_p2p.download.swarm import Swarm
from rede_p2p.errors import Address
from rede_p2p.net.connection import Connection
from rede_p2p.protocol.codec import encode_lines, encode_request
from rede_p2p.protocol.messages import Bundle, BundleMember, Ok, PieceData, PieceOffer, Want

MIN_WRITE_BEHIND_BYTES = 1024 * 1024  # a run as long is written beside receiving
FIRST_PART_BYTES = 512 * 1024  # of a run, verified and written together
MAX_PART_OF_RUN_BYTES = 2 * 1024 * 1024  # the parts of a long run double up to here
BUFFERS_PER_SOURCE = 3
MIN_SOURCES_TO_BATCH_WAKEUPS = 4  # with fewer, the next request leaves when a head comes
MIN_HEAD_BYTES = 8  # of a reply, before its body
FIRST_REST_S, MAX_REST_S = 0.001, 0.5  # after an offer of no use; doubled each time
REFUSED_REST_S = 0.02  # after a refusal of what was offered, which may go on for ever


class Source:
    """The conversation with one source about one content."""

    def __init__(
        self,
        address: Address,
        connection: Connection,
        layout: Layout,
        swarm: Swarm,
        writer: "PieceWriter | BundleWriter",
        described: bytes = b"",
    ) -> None:
        """Fetch a content by its layout; of a bundle, ``described`` is its description."""
        self._address = address
        self._connection = connection
        self._layout = layout
        self._piece = layout.max_piece_bytes
        self._described = described
        self._is_bundle = isinstance(layout, BundleLayout)
        self._swarm = swarm
        self._writer = writer
        self._unmade = BUFFERS_PER_SOURCE  # one fills while the others are written
        self._free: Queue[memoryview] = Queue()
        self._since = 0  # position in the picker's news up to which the source knows them
        self._brought = 0  # pieces

    def fetch(self) -> None:
        """Take what the source offers until it is of no use any more.

        Raises PeerUnreachableError, or DiskError.
        """
        try:
            with self._writer.open() as file:
                self._converse(file)
        except errors.UNADDRESSED as error:
            raise errors.PeerUnreachableError(self._address, error) from error

    def _converse(self, file: Writer | None) -> None:
        """Want, then take, receive and ask for more."""
        rest_s = FIRST_REST_S
        bitmap, self._since = self._swarm.first_want(self._address)
        offer = self._want(bitmap)
        self._swarm.note_answer(self._address, self._since, ended=offer.end)
        taken = self._take(offer)
        while True:
            while taken:
                rest_s = FIRST_REST_S
                coming, head = taken, self._receive_head(taken)
                if head is None:
                    self._swarm.rest(REFUSED_REST_S)
                    offer, taken = PieceOffer(0), range(0)
                    break
                offer = PieceOffer(head.first, head.count, head.others)
                taken = self._take(offer)
                self._receive(coming, file)
                self._brought += len(coming)
            request, self._since = self._swarm.ask_next(self._address, offer, self._since)
            if request is None:
                return
            asked_at = monotonic()
            offer = self._connection.ask(request, PieceOffer)
            self._swarm.note_answer(self._address, self._since, ended=offer.end)
            taken = self._take(offer)
            if not taken:
                # A source that expects nothing more says so at once, and a dishonest one whatever
                # it expects: this thread is not to be kept busy.
                self._swarm.rest(asked_at + rest_s - monotonic())
                rest_s = min(2 * rest_s, MAX_REST_S)

    def _want(self, bitmap: bytes) -> PieceOffer:
        """Say what is wanted; describe a bundle where the source does not know it."""
        want = Want(self._layout.root, bitmap)
        try:
            return self._connection.ask(want, PieceOffer)
        except errors.RefusedError as no:
            if no.code != "not-here" or not isinstance(self._layout, BundleLayout):
                raise
        bundle = Bundle(len(self._described), len(self._layout.contents))
        self._connection.send(encode_request(bundle) + self._described)
        self._connection.receive_reply(Ok)
        return self._connection.ask(want, PieceOffer)

    def _take(self, offer: PieceOffer) -> range:
        """Ask for what is of use in an offer; return those pieces."""
        take, self._since = self._swarm.take(self._address, offer, self._brought, self._since)
        if take is None:
            return range(0)
        self._connection.send(encode_request(take))
        return range(take.first, take.first + take.count)

    def _receive_head(self, pieces: range) -> PieceData | None:
        """Receive the head of the answer that carries these pieces; raise ProtocolError.

        It is None where the source has a bundle, but not these pieces of it any more.

        With many sources, others fill the gap until head and body are here together, and one
        wake-up serves both. With few, the next request must leave before the body has arrived.
        """
        length = self._layout.bytes_in(pieces)
        if self._swarm.count_sources() >= MIN_SOURCES_TO_BATCH_WAKEUPS:
            self._connection.await_together(length + MIN_HEAD_BYTES)
        on_pending = partial(self._swarm.note_pending, self._address, pieces)
        try:
            head = self._connection.receive_reply(PieceData, on_pending=on_pending)
        except errors.RefusedError as no:
            if no.code != "not-here" or not self._is_bundle:
                raise
            self._swarm.give_back(self._address)
            return None
        if head.bytes != length:
            raise errors.ProtocolError("bad-length")
        return head

    def _receive(self, pieces: range, file: Writer | None) -> None:
        """Receive a run of pieces, part by part; a long run is written by the writer's thread."""
        is_long = self._layout.bytes_in(pieces) >= MIN_WRITE_BEHIND_BYTES
        part = max(1, FIRST_PART_BYTES // self._piece)
        while pieces:
            some, pieces = pieces[:part], pieces[part:]
            part = min(2 * part, max(1, MAX_PART_OF_RUN_BYTES // self._piece))
            if self._unmade and self._free.empty():
                self._unmade -= 1
                self._free.put(page_buffer(max(self._piece, MAX_PART_OF_RUN_BYTES)))
            buffer = self._free.get()
            data = buffer[: self._layout.bytes_in(some)]
            self._connection.receive_all(data)
            if is_long or file is None or isinstance(self._writer, BundleWriter):
                done = partial(self._free.put, buffer)
                self._writer.write_behind(self._address, some, data, done)
            else:
                self._swarm.record(self._address, self._writer.write(file, some, data))
                self._free.put(buffer)


@contextmanager
def talking_to(address: Address, connect: Connect, swarm: Swarm) -> Iterator[Connection]:
    """Connect to a peer; whoever cancels, or ends the run, hangs up. Raises RedeError."""
    swarm.check_cancelled()
    with connect(address) as connection, swarm.hanging_up(address, connection.hang_up):
        yield connection


def describe(contents: Iterable[Content]) -> bytes:
    """Return the lines that describe a bundle, whose SHA-256 is its root."""
    return encode_lines(BundleMember(size, root) for root, size in contents)
