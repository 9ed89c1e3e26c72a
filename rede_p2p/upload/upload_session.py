"""One requester and one content: what it is offered, and what it takes.

The source chooses what to offer; the requester says which of it is still of use. A run of pieces is
short on a slow network, so that every peer soon has something to pass on, and long on a fast one,
where each request costs more than it carries.
"""

from time import monotonic

from rede_p2p.content import bitfield
from rede_p2p.content.piece_layout import BundleLayout
from rede_p2p.errors import RefusedError
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import Next, PieceData, PieceOffer, Take
from rede_p2p.upload.seed_store import Seeded
from rede_p2p.upload.upload_slots import Upload

TARGET_RUN_TIME_S = 0.02  # for one run to be sent
MAX_RUN_BYTES = 64 * 1024 * 1024
MAX_BUNDLE_RUN_BYTES = 2 * 1024 * 1024  # which is read before it is sent
FREE_BYTES_PER_S = 15_000_000  # at which one exchange for each piece hides behind the cable
MAX_HANDICAP_S = 0.05  # for which a requester ahead of the others waits between two runs


class UploadSession:
    """What one requester takes of one content, until it asks for another or leaves."""

    def __init__(
        self,
        seeded: Seeded,
        bitmap: bytes,
        upload: Upload,
        offer_wait_s: float,
    ) -> None:
        """Begin with a requester that lacks the pieces in ``bitmap``; raise DiskError."""
        self.seeded = seeded
        self._layout = seeded.layout
        self._reader = seeded.reader()
        self._upload = upload
        self._wait_s = offer_wait_s
        self._piece = seeded.layout.piece_bytes
        is_bundle = isinstance(seeded.layout, BundleLayout)
        most = MAX_BUNDLE_RUN_BYTES if is_bundle else MAX_RUN_BYTES
        self._most = max(1, most // self._piece)  # pieces in a run
        self._free_rate = FREE_BYTES_PER_S / self._piece  # pieces/s
        self._picker = seeded.picker()
        lacking = bitfield.from_bitmap(bitmap, seeded.layout.count)
        self._requester = self._picker.enter(upload.to, lacking)
        self._after = 0  # the piece behind the last one sent
        self._run = 1  # pieces in an offer, at least a unit
        self._unit = 1  # pieces that are offered together
        self._sent_at = 0.0  # when the last run began, on the monotonic clock
        self._sent_bytes = 0  # of that run

    def close(self) -> None:
        """End the session; what was offered and not taken is free for others."""
        self._picker.leave(self._requester)
        self._reader.close()

    def choose(self, news: Next) -> PieceOffer:
        """Take note of the news, and offer pieces, waiting ``offer_wait_s`` for one to arrive.

        Where none is expected there is no waiting. Raises RefusedError once the content is gone.
        """
        self._check_here()
        self._picker.note(self._requester, news.got, news.lost)
        wait_s = self._wait_s if self.seeded.may_grow() else 0.0
        run, others = self._picker.offer(
            self._requester, self._after, self._run, wait_s, self._unit
        )
        return PieceOffer(run.start, len(run), others, end=not (run or self.seeded.may_grow()))

    def give(self, request: Take) -> int:
        """Send pieces of the last offer, and with them the next offer; return their bytes.

        Raises RefusedError for pieces that were not offered, or once the content is gone, and what
        ``Upload.send`` raises.
        """
        self._check_here()
        taken = range(request.first, request.first + request.count)
        if not self._picker.take(self._requester, taken):
            raise RefusedError("bad-range")
        self._picker.note(self._requester, (*taken, *request.got), request.lost)
        length = self._layout.bytes_in(taken)
        self._let_others_go_first()
        self._adapt_run(length)
        self._after = taken.stop
        run, others = self._picker.offer(self._requester, self._after, self._run, unit=self._unit)
        head = codec.encode_reply(PieceData(length, run.start, len(run), others))
        self._reader.send(self._upload, head, taken)
        return length

    def _check_here(self) -> None:
        if self.seeded.gone:
            raise RefusedError("not-here")

    def _let_others_go_first(self) -> None:
        share = self._picker.handicap(self._requester)
        if share and self._sent_bytes:
            self._upload.pause(min(share * (monotonic() - self._sent_at), MAX_HANDICAP_S))

    def _adapt_run(self, length: int) -> None:
        """Choose how long the next run is: a request comes when the run before it has arrived."""
        now = monotonic()
        if self._sent_bytes:
            rate = self._sent_bytes / max(now - self._sent_at, 1e-6)
            run = int(rate * TARGET_RUN_TIME_S / self._piece)
            self._run = max(1, min(run, 2 * self._run, self._most))
            self._unit = min(self._picker.unit(self._free_rate), self._most)
        self._sent_at, self._sent_bytes = now, length
