"""The source's side of a swarm: what one other peer wants of one content, and what it is offered.

The source chooses, because it alone knows what it has sent to everyone; the requester then says
which of it is still of use. A run of pieces is short where the network is slow, so that all may
have something to pass on soon, and long where it is fast, so that asking costs nothing.
"""

from __future__ import annotations

from time import monotonic
from typing import BinaryIO

from rede_p2p.content import merkle
from rede_p2p.errors import RefusedError
from rede_p2p.protocol.messages import Next, PieceData, PieceOffer, Take
from rede_p2p.upload.offer_picker import Bitfield
from rede_p2p.upload.seed_store import SeededContent
from rede_p2p.upload.sending import Sender

RUN_TIME = 0.02  # seconds that a run should take
LONGEST_RUN = 64 * 1024 * 1024  # bytes
OFFER_WAIT = 0.5  # seconds to wait for something new to offer
LONGEST_PAUSE = 0.05  # seconds that who is before the others waits


class UploadSession:
    """One requester and one content, for as long as their conversation lasts."""

    def __init__(
        self, holding: SeededContent, file: BinaryIO, bitmap: bytes, sender: Sender
    ) -> None:
        """``file`` is the holding's, open for this requester alone."""
        self.holding = holding
        self.file = file
        self._sender = sender
        self._piece = merkle.piece_length(holding.content.size)
        self._count = merkle.piece_count(holding.content.size)
        lacking = Bitfield.of_bitmap(bitmap, self._count)
        self._wish = holding.enter(sender.machine, lacking)
        self._offered = range(0)
        self._others: list[int] = []
        self._after = 0  # the piece after the last one sent
        self._run = 1  # pieces in an offer
        self._sent_at = 0.0  # when the last run began, on the monotonic clock
        self._sent_size = 0  # bytes in it

    def choose(self, news: Next) -> PieceOffer:
        """Take note of the news, and offer what has been offered least, waiting for it a while."""
        self._return_offer()
        self._check_here()
        self._note(news.got, news.lost)
        offered, others = self._offer(OFFER_WAIT)
        return PieceOffer(offered.start, len(offered), tuple(others))

    def give(self, request: Take) -> int:
        """Send pieces of the last offer, and with them the next one; return their bytes."""
        self._check_here()
        taken = range(request.first, request.first + request.count)
        if taken and taken[0] in self._offered and taken[-1] in self._offered:
            self.holding.take_back(range(self._offered.start, taken.start))
            self.holding.take_back(range(taken.stop, self._offered.stop))
        elif len(taken) == 1 and taken[0] in self._others:
            self.holding.take_back(self._offered)
            self.holding.count(taken[0])
        else:
            raise RefusedError("bad-range")
        self._offered, self._others = range(0), []  # nothing of it is left to take back
        self._note((*taken, *request.got), request.lost)
        start = taken.start * self._piece
        length = merkle.bytes_in(taken, self.holding.content.size)
        self._give_way()
        self._adapt(length)
        self._after = taken.stop
        offered, others = self._offer(within=0)
        head = PieceData(length, offered.start, len(offered), tuple(others))
        self._sender.send(self.file, self.holding.name, self.holding.stamp, head, start)
        return length

    def _check_here(self) -> None:
        """Refuse what is of a file in which another content may grow by now."""
        if self.holding.gone:
            raise RefusedError("not-here")

    def _note(self, got: tuple[int, ...], lost: tuple[int, ...]) -> None:
        self.holding.note(self._wish, got, [index for index in lost if index < self._count])

    def _offer(self, within: float) -> tuple[range, list[int]]:
        self._offered, self._others = self.holding.offer(self._wish, self._after, self._run, within)
        return self._offered, self._others

    def close(self) -> None:
        """Forget what was offered and not taken."""
        self._return_offer()
        self.holding.leave(self._wish)
        self.file.close()

    def _return_offer(self) -> None:
        self.holding.take_back(self._offered)
        self._offered, self._others = range(0), []

    def _give_way(self) -> None:
        """Let those that lack more go first."""
        share = self.holding.handicap(self._wish)
        if share and self._sent_size:
            self._sender.pause(min(share * (monotonic() - self._sent_at), LONGEST_PAUSE))

    def _adapt(self, length: int) -> None:
        """Choose the next run's length: a request comes when what was sent before has arrived."""
        now = monotonic()
        if self._sent_size:
            rate = self._sent_size / max(now - self._sent_at, 1e-6)
            run = int(rate * RUN_TIME / self._piece)
            most = max(1, LONGEST_RUN // self._piece)
            self._run = max(1, min(run, 2 * self._run, most))
        self._sent_at, self._sent_size = now, length
