"""What a source offers to each of several requesters, and whom it lets go first."""

from __future__ import annotations

import pytest

from rede_p2p.holdings import Holding
from rede_p2p.merkle import FINEST_PIECE, Content
from rede_p2p.messages import Next, Take
from rede_p2p.offering import LONGEST_PAUSE, Offering
from rede_p2p.swarm import LEAST_LEAD

COUNT = 2000
EVERY = bytes([255] * (COUNT // 8))


class Sent:
    """A sender that only takes note."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def send(self, *_: object) -> None:
        pass

    def pause(self, seconds):
        self.pauses.append(seconds)


@pytest.fixture
def holding(tmp_path):
    path = tmp_path / "a"
    path.touch()
    content = Content(bytes(32), COUNT * FINEST_PIECE)
    return Holding("a", content, b"", path, None, range(COUNT))


def take_once(offering, *got):
    """Tell what has come from elsewhere, and take what is offered."""
    choice = offering.choose(Next(got))
    offering.give(Take(choice.first, choice.count))


def test_who_lacks_less_than_most_waits_between_its_runs_and_no_longer_when_they_are_gone(holding):
    senders = [Sent() for _ in range(4)]
    offerings = [Offering(holding, holding.open(), EVERY, sender) for sender in senders]
    for offering in offerings:
        take_once(offering)
    assert not any(sender.pauses for sender in senders)
    first, *others = offerings
    # Other sources have brought it some, which it tells.
    take_once(first, *range(COUNT - 2 * LEAST_LEAD, COUNT))
    for _ in range(2):
        take_once(first)
    assert len(senders[0].pauses) == 3
    assert all(0 < pause <= LONGEST_PAUSE for pause in senders[0].pauses)
    for other, sender in zip(others, senders[1:], strict=True):
        take_once(other)
        assert not sender.pauses
        other.close()
    take_once(first)
    assert len(senders[0].pauses) == 3
    first.close()
