"""What a source offers to each of several requesters, and whom it lets go first."""

from __future__ import annotations

import pytest

from rede_p2p.content.merkle import FINEST_PIECE, Content
from rede_p2p.errors import RefusedError
from rede_p2p.protocol.messages import Next, PieceData, PieceOffer, Take
from rede_p2p.upload.offer_picker import LEAST_LEAD
from rede_p2p.upload.seed_store import SeededContent, SeedStore
from rede_p2p.upload.upload_session import LONGEST_PAUSE, UploadSession

COUNT = 2000
EVERY = bytes([255] * (COUNT // 8))


class Sent:
    """A sender that only takes note."""

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.pauses: list[float] = []
        self.offer: PieceOffer | PieceData | None = None  # that came in the last head

    def send(self, file, name, stamp, head, start):  # noqa: ARG002
        self.offer = head

    def pause(self, seconds):
        self.pauses.append(seconds)


@pytest.fixture
def holding(tmp_path):
    path = tmp_path / "a"
    path.touch()
    content = Content(bytes(32), COUNT * FINEST_PIECE)
    return SeededContent("a", content, b"", path, None, range(COUNT))


def take_once(offering, sender, *got):
    """Take what is offered, and tell what has come from elsewhere."""
    offer = sender.offer or offering.choose(Next())
    offering.give(Take(offer.first, offer.count, got))


def test_who_lacks_less_than_most_waits_between_its_runs_and_no_longer_when_they_are_gone(holding):
    senders = [Sent(f"127.0.0.{number}") for number in range(1, 5)]
    offerings = [UploadSession(holding, holding.open(), EVERY, sender) for sender in senders]
    for offering, sender in zip(offerings, senders, strict=True):
        take_once(offering, sender)
    assert not any(sender.pauses for sender in senders)
    first, *others = offerings
    # Other sources have brought it some, which it tells.
    take_once(first, senders[0], *range(COUNT - 3 * LEAST_LEAD, COUNT))
    for _ in range(2):
        take_once(first, senders[0])
    assert len(senders[0].pauses) == 3
    assert all(0 < pause <= LONGEST_PAUSE for pause in senders[0].pauses)
    for other, sender in zip(others, senders[1:], strict=True):
        take_once(other, sender)
        assert not sender.pauses
        other.close()
    take_once(first, senders[0])
    assert len(senders[0].pauses) == 3
    first.close()


@pytest.mark.parametrize("request_", [Next(), Take(0, 1)], ids=["next", "take"])
def test_of_a_download_that_ended_incomplete_nothing_more_is_given(tmp_path, request_):
    # The next one under its name grows in the same file, which may be of another content.
    path, holdings, sender = tmp_path / "a.parte", SeedStore(), Sent("127.0.0.1")
    path.touch()
    content = Content(bytes(32), COUNT * FINEST_PIECE)
    holding = holdings.begin("a", content, b"", path, range(1))
    offering = UploadSession(holding, holding.open(), EVERY, sender)
    try:
        assert offering.choose(Next()) == PieceOffer(0, 1)
        holdings.finish(holding)
        with pytest.raises(RefusedError, match="not-here"):
            (offering.give if isinstance(request_, Take) else offering.choose)(request_)
        assert sender.offer is None
    finally:
        offering.close()
