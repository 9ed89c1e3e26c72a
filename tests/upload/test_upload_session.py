"""What a source offers to each of several requesters, and whom it lets go first."""

from __future__ import annotations

from math import inf

import pytest

from rede_p2p.content.merkle import MIN_PIECE_BYTES, Content
from rede_p2p.content.piece_layout import BundleLayout
from rede_p2p.errors import RefusedError
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import Next, PieceData, PieceOffer, Take
from rede_p2p.upload.offer_picker import MIN_LEAD_PIECES
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.seeded_bundle import SeededBundle
from rede_p2p.upload.seeded_content import SeededContent
from rede_p2p.upload.upload_session import MAX_HANDICAP_S, UploadSession

COUNT = 2000
EVERY = bytes([255] * (COUNT // 8))


class Sent:
    """An upload that only takes note."""

    def __init__(self, to: str) -> None:
        self.to = to
        self.pauses: list[float] = []
        self.offer: PieceOffer | PieceData | None = None  # that came in the last head

    def send(self, file, name, state, head, start, length):  # noqa: ARG002
        self.offer = codec.decode_reply(head, PieceData)

    def pause(self, seconds):
        self.pauses.append(seconds)


@pytest.fixture
def seeded(tmp_path):
    path = tmp_path / "a"
    path.touch()
    content = Content(bytes(32), COUNT * MIN_PIECE_BYTES)
    seeded = SeededContent("a", content, path)
    seeded.add(range(COUNT))
    return seeded


def test_of_a_bundle_that_is_not_fetched_here_nobody_waits_for_more():
    layout = BundleLayout(bytes(32), [Content(bytes(32), 10)])
    bundle = SeededBundle(layout, lambda _root: None)
    for grows, wait_s in ((False, inf), (True, 0.01)):  # to wait for ever is an OverflowError
        bundle.grows = grows
        session = UploadSession(bundle, EVERY, Sent("127.0.0.1"), wait_s)
        assert session.choose(Next()) == PieceOffer(0, end=not grows)


def take_once(session, upload, *got):
    """Take what is offered, and tell what has come from elsewhere."""
    offer = upload.offer or session.choose(Next())
    session.give(Take(offer.first, offer.count, got))


def test_who_lacks_less_than_most_waits_between_its_runs_and_no_longer_when_they_are_gone(seeded):
    uploads = [Sent(f"127.0.0.{number}") for number in range(1, 5)]
    sessions = [UploadSession(seeded, EVERY, upload, 0.5) for upload in uploads]
    for session, upload in zip(sessions, uploads, strict=True):
        take_once(session, upload)
    assert not any(upload.pauses for upload in uploads)
    first, *others = sessions
    # Other sources have brought it some, which it tells.
    take_once(first, uploads[0], *range(COUNT - 3 * MIN_LEAD_PIECES, COUNT))
    for _ in range(2):
        take_once(first, uploads[0])
    assert len(uploads[0].pauses) == 3
    assert all(0 < pause <= MAX_HANDICAP_S for pause in uploads[0].pauses)
    for other, upload in zip(others, uploads[1:], strict=True):
        take_once(other, upload)
        assert not upload.pauses
        other.close()
    take_once(first, uploads[0])
    assert len(uploads[0].pauses) == 3
    first.close()


@pytest.mark.parametrize("request_", [Next(), Take(0, 1)], ids=["next", "take"])
def test_of_a_download_that_ended_incomplete_nothing_more_is_given(tmp_path, request_):
    # The next one under its name grows in the same file, which may be of another content.
    path, seeds, upload = tmp_path / "a.parte", SeedStore(), Sent("127.0.0.1")
    path.touch()
    content = Content(bytes(32), COUNT * MIN_PIECE_BYTES)
    seeded = seeds.begin("a", content, b"", path, range(1))
    session = UploadSession(seeded, EVERY, upload, 0.5)
    try:
        assert session.choose(Next()) == PieceOffer(0, 1)
        seeds.end(seeded)
        with pytest.raises(RefusedError, match="not-here"):
            (session.give if isinstance(request_, Take) else session.choose)(request_)
        assert upload.offer is None
    finally:
        session.close()
