"""One source, played by the test over a real socket: what it is asked, and what is believed."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise

import pytest
from listening import SOON, connected
from processes import eventually
from sources import content_of, nobody_else, pieces_of, right_pieces

from rede_p2p.content import merkle
from rede_p2p.content.merkle import MIN_PIECE_BYTES, FileLayout
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.piece_layout import BundleLayout
from rede_p2p.download.piece_writer import PieceWriter
from rede_p2p.download.request import DownloadRequest
from rede_p2p.download.source import FIRST_REST_S, MAX_REST_S, REFUSED_REST_S, Source
from rede_p2p.download.source_finder import SourceFinder
from rede_p2p.download.swarm import Swarm
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    PeerUnreachableError,
    ProtocolError,
    RefusedError,
)  # fmt: skip
from rede_p2p.protocol import codec
from rede_p2p.protocol.codec import Pending, Refusal
from rede_p2p.protocol.messages import Next, PieceData, PieceOffer, Take, Want
from rede_p2p.protocol.verbs import TO_PEER
from rede_p2p.timeouts import DEFAULT
from rede_p2p.upload.seed_store import SeedStore

DATA = random.Random(6).randbytes(4 * MIN_PIECE_BYTES + 9)
CONTENT, PIECES, LAYER = content_of(DATA), pieces_of(DATA), merkle.layer_of(DATA)
HERE = Address("127.0.0.1", 5455)
ALONE = FileLayout(CONTENT)


class Scripted:
    """A download whose only source is the test."""

    def __init__(self, path, stack, layout=ALONE):
        request = DownloadRequest("a.bin", CONTENT, (HERE,))
        finder = SourceFinder(request, nobody_else, DEFAULT)
        self.layout = layout
        self.swarm = Swarm("a.bin", layout, finder, DEFAULT)
        self.path = path
        self._stack = stack

    def begin(self, *kept):
        """Begin to fetch; some pieces are as if kept from an earlier attempt."""
        swarm, stack = self.swarm, self._stack
        swarm.begin(SeedStore().begin("a.bin", CONTENT, LAYER, self.path), range(len(kept)))
        swarm.record_recheck(dict.fromkeys(kept, True))
        partial = stack.enter_context(PartialFile(self.path))
        writer = stack.enter_context(
            PieceWriter(partial, len(DATA), LAYER, swarm.is_here, swarm.record, swarm.fail)
        )
        pool = stack.enter_context(ThreadPoolExecutor(1))
        bare, connection = stack.enter_context(connected())
        bare.settimeout(SOON)
        self._bare = bare
        self._lines = stack.enter_context(bare.makefile("rb"))
        source = Source(HERE, connection, self.layout, swarm, writer)
        self.ended = pool.submit(source.fetch)

    def hears(self):
        """Return the next request."""
        return codec.decode_request(self._lines.readline(), TO_PEER)

    def says(self, reply, body=b""):
        self._bare.sendall(codec.encode_reply(reply) + body)

    def gives(self, *indexes, offer=(0, 0)):
        """Send these pieces, and offer a run."""
        body = b"".join(PIECES[index] for index in indexes)
        self.says(PieceData(len(body), *offer), body)

    def fails(self):
        """Hang up, and return why it failed."""
        self._bare.close()
        self._lines.close()
        with pytest.raises(PeerUnreachableError) as caught:
            self.ended.result(SOON)
        assert caught.value.address == HERE
        return caught.value.cause


@pytest.fixture
def scripted(tmp_path):
    with ExitStack() as stack:
        yield Scripted(tmp_path / "a.bin.parte", stack)


def test_what_is_of_use_is_taken_until_nothing_is_missing(scripted):
    scripted.begin(0)
    assert scripted.hears() == Want(CONTENT.root, bytes([0b01111000]))
    scripted.says(PieceOffer(1, 1))
    assert scripted.hears() == Take(1, 1, got=(1,))
    scripted.gives(1, offer=(0, 4))  # of which the first two are here
    assert scripted.hears() == Take(2, 2, got=(2, 3))
    scripted.gives(2, 3)
    assert scripted.hears() == Next()
    scripted.says(PieceOffer(1, 1, others=(3, 4)))  # one of them is of use
    assert scripted.hears() == Take(4, 1, got=(4,))
    scripted.gives(4)
    assert scripted.ended.result(SOON) is None
    assert right_pieces(scripted.path, DATA) == {1, 2, 3, 4}  # the kept one is not written
    assert scripted.swarm.progress().have == len(DATA)


def test_who_waits_in_a_queue_knows_its_place(scripted):
    scripted.begin()
    scripted.hears()
    scripted.says(PieceOffer(0, 5))
    scripted.hears()
    scripted.says(Pending(place=3))
    eventually(lambda: scripted.swarm.progress().place == 3)
    scripted.says(Pending(place=1))
    scripted.gives(*range(5))
    assert scripted.ended.result(SOON) is None
    assert scripted.swarm.progress().place == 0
    assert scripted.path.read_bytes() == DATA


def test_who_owes_pieces_brings_them_first_though_another_shall_have_its_seat(scripted):
    seats = scripted.swarm._seats
    assert seats.enter(HERE)
    scripted.begin()
    scripted.hears()
    seats.dismiss(HERE)
    assert seats.dismissed_and_asked() == {HERE}  # it owes an offer: it is hung up on
    seats._dismissed.clear()
    scripted.says(PieceOffer(0, 5))
    scripted.hears()
    seats.dismiss(HERE)
    assert seats.dismissed_and_asked() == set()
    scripted.gives(*range(5))
    assert scripted.ended.result(SOON) is None
    assert scripted.path.read_bytes() == DATA


@pytest.mark.parametrize("length", [0, MIN_PIECE_BYTES - 1, MIN_PIECE_BYTES + 1, 2**40])
def test_an_answer_of_another_length_is_not_read(scripted, length):
    scripted.begin()
    scripted.hears()
    scripted.says(PieceOffer(2, 1))
    scripted.hears()
    scripted.says(PieceData(length), PIECES[2])
    cause = scripted.fails()
    assert isinstance(cause, ProtocolError) and cause.kind == "bad-length"
    assert scripted.path.read_bytes() == b""


@pytest.mark.parametrize("offer", [PieceOffer(5, 1), PieceOffer(0, 6), PieceOffer(0, 1, (5,))])
def test_an_offer_of_a_piece_that_does_not_exist_is_a_breach(scripted, offer):
    scripted.begin()
    scripted.hears()
    scripted.says(offer)
    cause = scripted.fails()
    assert isinstance(cause, ProtocolError) and cause.kind == "bad-length"


def test_a_refusal_is_told_with_the_source(scripted):
    scripted.begin()
    scripted.hears()
    scripted.says(Refusal("not-here"))
    cause = scripted.fails()
    assert isinstance(cause, RefusedError) and cause.code == "not-here"


def test_what_came_before_the_connection_was_lost_is_kept(scripted):
    scripted.begin()
    scripted.hears()
    scripted.says(PieceOffer(1, 1))
    scripted.hears()
    scripted.gives(1)
    assert scripted.hears() == Next()
    assert isinstance(scripted.fails(), ConnectionLostError)
    assert right_pieces(scripted.path, DATA) == {1}


def test_after_offers_of_no_use_the_rest_grows_and_a_piece_ends_that(scripted, monkeypatch):
    rests = []
    monkeypatch.setattr("rede_p2p.download.source.monotonic", lambda: 0.0)  # answers take no time
    monkeypatch.setattr(scripted.swarm, "rest", rests.append)
    scripted.begin()
    assert isinstance(scripted.hears(), Want)
    for _ in range(12):
        scripted.says(PieceOffer(0, 0))
        assert scripted.hears() == Next()
    assert (rests[0], rests[-1]) == (FIRST_REST_S, MAX_REST_S)
    assert all(later == min(2 * sooner, MAX_REST_S) for sooner, later in pairwise(rests))
    scripted.says(PieceOffer(0, 1))
    assert isinstance(scripted.hears(), Take)
    scripted.gives(0)
    assert isinstance(scripted.hears(), Next)
    scripted.says(PieceOffer(0, 1))  # which is here
    scripted.hears()
    assert rests[-1] == FIRST_REST_S
    scripted.fails()


def test_a_source_of_a_bundle_that_refuses_what_it_offered_is_not_asked_without_a_rest(
    tmp_path, monkeypatch
):
    rests = []
    with ExitStack() as stack:
        scripted = Scripted(tmp_path / "a", stack, BundleLayout(CONTENT.root, [CONTENT]))
        monkeypatch.setattr(scripted.swarm, "rest", rests.append)
        scripted.begin()
        assert isinstance(scripted.hears(), Want)
        for _ in range(3):
            scripted.says(PieceOffer(0, 1))
            assert isinstance(scripted.hears(), Take)
            scripted.says(Refusal("not-here"))
            assert isinstance(scripted.hears(), Next)
        assert rests == [REFUSED_REST_S] * 3
        scripted.fails()
