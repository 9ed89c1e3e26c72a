"""A room of peers that download one content from each other: walked by hypothesis, without a wire.

Each has the swarm of Swarm.run() and the picker of its offers, and says what Source and
UploadSession say. Peers come, bring pieces, lie, refuse, make others wait, stall and leave.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sources import nobody_else
from walking import walk

from rede_p2p.content.bitfield import bits_of, from_bitmap, pieces_from
from rede_p2p.content.merkle import MIN_PIECE_BYTES, Content, FileLayout
from rede_p2p.download.piece_picker import PiecePicker
from rede_p2p.download.request import DownloadRequest
from rede_p2p.download.source_finder import SourceFinder
from rede_p2p.download.swarm import Swarm
from rede_p2p.errors import Address, ConnectionLostError, PeerUnreachableError, RedeError
from rede_p2p.protocol.codec import Pending
from rede_p2p.protocol.messages import PieceOffer
from rede_p2p.timeouts import DEFAULT
from rede_p2p.upload.offer_picker import OfferPicker, Requester

MOST_PEERS = 7
IN_FLIGHT = 2  # runs that are asked for and not here
LATE_S = 60.0  # after which any piece is late


@dataclass(eq=False)
class Peer:
    """One of the room: what it offers, and what it downloads, unless it is complete."""

    address: Address
    kind: str  # honest, liar
    here: set[int]
    offers: OfferPicker
    swarm: Swarm | None = None
    doubtful: dict[int, bool] = field(default_factory=dict)  # whether each is right

    def add(self, pieces) -> None:
        """Offer what has come, as SeededContent does."""
        self.offers.add(pieces)


@dataclass(eq=False)
class Talk:
    """One downloads from another."""

    who: Peer
    of: Peer
    requester: Requester
    since: int
    offer: PieceOffer
    brought: int = 0
    coming: deque[range] = field(default_factory=deque)


class Room(RuleBasedStateMachine):
    """All of them, and what each really has."""

    @initialize(count=st.sampled_from([1, 2, 7, 24]))
    def begin(self, count):
        self.now, self.count, self.came = 1000.0, count, 0
        self.content = Content(bytes(32), count * MIN_PIECE_BYTES)
        self.layout = FileLayout(self.content)
        self.peers: list[Peer] = []
        self.talks: list[Talk] = []
        self.seed = self.enter("honest", range(count))  # which stays

    @property
    def downloading(self) -> list[Peer]:
        return [one for one in self.peers if one.swarm is not None]

    def enter(self, kind, here, doubtful=None):
        self.came += 1
        peer = Peer(
            Address(f"10.0.0.{self.came % 250 + 1}", 5455 + self.came),
            kind, set(here), OfferPicker(self.count, bits_of(here)),
        )  # fmt: skip
        if doubtful is not None:
            request = DownloadRequest("a", self.content, ())
            finder = SourceFinder(request, nobody_else, DEFAULT)
            peer.swarm = Swarm("a", self.layout, finder, DEFAULT)
            peer.swarm._picker = PiecePicker(self.count, lambda: self.now, 0.1)
            peer.swarm.begin(peer, range(len(doubtful)))
            peer.doubtful = dict(enumerate(doubtful))
        self.peers.append(peer)
        return peer

    # Who comes and goes.

    @precondition(lambda self: len(self.peers) < MOST_PEERS)
    @rule(kind=st.sampled_from(["honest", "honest", "liar"]), data=st.data())
    def a_source_comes(self, kind, data):
        self.enter(kind, data.draw(st.sets(st.integers(0, self.count - 1))))

    @precondition(lambda self: len(self.peers) < MOST_PEERS)
    @rule(data=st.data())
    def one_comes_to_download(self, data):
        left = data.draw(st.lists(st.booleans(), max_size=self.count // 2))
        self.enter("honest", (), left)

    @precondition(lambda self: self.peers[1:])
    @rule(data=st.data())
    def a_peer_leaves(self, data):
        gone = data.draw(st.sampled_from(self.peers[1:]))
        for talk in [one for one in self.talks if gone in (one.who, one.of)]:
            self.hang_up(talk, ConnectionLostError("lost"))
        self.peers.remove(gone)

    def may_talk(self, who, of):
        """Tell whether one may begin to download from another."""
        at_work = who.swarm is not None and of.address in who.swarm._seats
        return who is not of and not at_work and who.swarm._finder.may_ask(of.address)

    @precondition(lambda self: self.downloading)
    @rule(data=st.data())
    def one_connects_to_another(self, data):
        who = data.draw(st.sampled_from(self.downloading))
        others = [of for of in self.peers if self.may_talk(who, of)]
        if others:
            self.connect(who, data.draw(st.sampled_from(others)))

    def connect(self, who, of):
        who.swarm._seats.enter(of.address)
        bitmap, since = who.swarm.first_want(of.address)
        requester = of.offers.enter(who.address.ip, from_bitmap(bitmap, self.count))
        talk = Talk(who, of, requester, since, PieceOffer(0))
        self.talks.append(talk)
        self.choose(talk, 0, 1, 1)
        return talk

    def hang_up(self, talk, error: RedeError | None):
        self.talks.remove(talk)
        failure = error and PeerUnreachableError(talk.of.address, error)
        talk.who.swarm._leave(talk.of.address, failure)
        talk.of.offers.leave(talk.requester)

    # What they say.

    def choose(self, talk, after, most, unit):
        run, others = talk.of.offers.offer(talk.requester, after, most, unit=unit)
        assert {*run, *others} <= talk.of.here, "what is not here is offered"
        talk.offer = PieceOffer(run.start, len(run), others)

    @precondition(lambda self: self.talks)
    @rule(data=st.data(), most=st.integers(1, 6), unit=st.sampled_from([1, 1, 2, 4]))
    def one_asks(self, data, most, unit):
        self.ask(data.draw(st.sampled_from(self.talks)), most, unit)

    def ask(self, talk, most=4, unit=1):
        """Take of the last offer, else ask for another; tell whether anything was asked."""
        if len(talk.coming) == IN_FLIGHT:
            return False
        swarm, source = talk.who.swarm, talk.of.address
        request, talk.since = swarm.take(source, talk.offer, talk.brought, talk.since)
        if request is None:
            if swarm._seats.is_dismissed(source) and not talk.coming:
                self.hang_up(talk, None)
                return True
            if talk.coming or swarm._picker.ask_next(source, talk.offer, talk.since)[0] is None:
                return False
            following, talk.since = swarm.ask_next(source, talk.offer, talk.since)
            talk.of.offers.note(talk.requester, following.got, following.lost)
            self.choose(talk, 0, most, unit)
            return True
        taken = range(request.first, request.first + request.count)
        assert talk.of.offers.take(talk.requester, taken), "what was offered is refused"
        talk.of.offers.note(talk.requester, (*taken, *request.got), request.lost)
        talk.coming.append(taken)
        self.choose(talk, taken.stop, most, unit)
        return True

    @precondition(lambda self: any(talk.coming for talk in self.talks))
    @rule(data=st.data())
    def some_pieces_come(self, data):
        talk = data.draw(st.sampled_from([one for one in self.talks if one.coming]))
        wrong = data.draw(st.sets(st.integers(0, 3))) if talk.of.kind == "liar" else ()
        self.deliver(talk, wrong)

    def deliver(self, talk, wrong=()):
        pieces = talk.coming.popleft()
        verdicts = {piece: place not in wrong for place, piece in enumerate(pieces)}
        talk.who.here.update(piece for piece, right in verdicts.items() if right)
        talk.who.swarm.record(talk.of.address, verdicts)
        talk.brought += len(pieces)
        if not all(verdicts.values()):
            assert not talk.who.swarm._finder.may_ask(talk.of.address), "a liar is asked again"
            self.hang_up(talk, ConnectionLostError("lost"))

    @precondition(lambda self: any(talk.coming for talk in self.talks))
    @rule(data=st.data(), how=st.sampled_from(["refuses", "makes wait", "hangs up", "is silent"]))
    def a_source_does_not_bring_what_was_asked(self, data, how):
        talk = data.draw(st.sampled_from([one for one in self.talks if one.coming]))
        if how == "refuses":  # as a source whose bundle has lost a file
            talk.coming.clear()
            talk.who.swarm.give_back(talk.of.address)
            talk.offer = PieceOffer(0)
        elif how == "makes wait":
            talk.who.swarm.note_pending(talk.of.address, talk.coming[0], Pending(place=1))
        else:
            self.hang_up(talk, ConnectionLostError("lost" if how == "hangs up" else "silent"))

    @precondition(lambda self: any(one.doubtful for one in self.peers))
    @rule(data=st.data())
    def a_piece_that_was_left_is_rechecked(self, data):
        self.recheck(data.draw(st.sampled_from([one for one in self.peers if one.doubtful])))

    def recheck(self, peer):
        piece, right = next(iter(peer.doubtful.items()))
        del peer.doubtful[piece]
        peer.here.update({piece} if right else ())
        peer.swarm.record_recheck({piece: right})

    @precondition(lambda self: self.downloading)
    @rule(data=st.data())
    def a_round_ends(self, data):
        swarm = data.draw(st.sampled_from(self.downloading)).swarm
        swarm._finder.note_idle(swarm._seats.end_round())

    @rule(seconds=st.sampled_from([0.01, 0.2, LATE_S]))
    def time_goes_by(self, seconds):
        self.now += seconds

    # What is always true.

    @invariant()
    def every_piece_of_a_download_is_in_one_state(self):
        for peer in self.downloading:
            picker = peer.swarm._picker
            here = {piece for piece in range(self.count) if picker.is_here(piece)}
            states = [here, picker._missing, set(picker._reserved), picker._doubtful]
            assert sum(map(len, states)) == self.count == len(set().union(*states))
            assert here == peer.here, "what is wrong is confirmed, or what is right is not"
            assert picker._doubtful == set(peer.doubtful)

    @invariant()
    def nothing_is_reserved_by_one_who_is_not_asked_for_it(self):
        for peer in self.downloading:
            asked = {
                (piece, talk.of.address)
                for talk in self.talks
                if talk.who is peer
                for run in talk.coming
                for piece in run
            }
            reserved = peer.swarm._picker._reserved
            assert all(holders for holders in reserved.values())
            held = {(piece, source) for piece, holders in reserved.items() for source in holders}
            assert held <= asked

    @invariant()
    def what_is_offered_is_here_and_to_those_who_are(self):
        for peer in self.peers:
            levels = peer.offers._levels
            assert sum(level.bit_count() for level in levels) == len(peer.here)
            assert set(pieces_from(sum(levels), 0)) == peer.here
            talking = {talk.requester for talk in self.talks if talk.of is peer}
            assert peer.offers._requesters == talking
            if not talking:
                assert not any(levels[1:])

    def teardown(self):
        """Every download is completed by the seed, or by another one if that was lost too often.

        Whoever else is asked already stays, and brings nothing.
        """
        if not hasattr(self, "peers"):
            return
        for peer in self.peers:
            while peer.doubtful:
                self.recheck(peer)
        talks = self.talks_with_the_seed()
        late_s = LATE_S
        for _ in range(6 * self.count + 6):
            for talk in talks:
                self.ask(talk)
                if talk.coming:
                    self.deliver(talk)
                self.every_piece_of_a_download_is_in_one_state()
            self.now += late_s
            late_s *= 2  # however slow pieces were, and however many sources keep one
        for peer in self.downloading:
            assert peer.swarm._picker.complete, "a room with a whole source does not complete"
            peer.swarm.check_complete()

    def talks_with_the_seed(self):
        """Have everybody talk to the seed, or to another one; return the talks."""
        other = self.enter("honest", range(self.count))
        for talk in [
            one for one in self.talks if one.who.swarm._seats.is_dismissed(one.of.address)
        ]:
            self.hang_up(talk, None)
        talks = [one for one in self.talks if one.of is self.seed]
        for peer in self.downloading:
            if all(one.who is not peer for one in talks):
                again = self.may_talk(peer, self.seed)
                talks.append(self.connect(peer, self.seed if again else other))
        return talks


TestRoom = Room.TestCase
TestRoom.settings = settings(max_examples=40, stateful_step_count=50, deadline=None)


@pytest.mark.slow
def test_long_walks_through_a_room(lasts_s):
    walk(Room, lasts_s)
