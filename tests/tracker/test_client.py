"""A peer's place with the tracker: a real Tracker, and some that are not what they seem."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, contextmanager
from itertools import count
from math import inf
from queue import Queue
from threading import Event, Thread
from time import monotonic
from types import SimpleNamespace

import pytest
from listening import SOON, listen, running, tracker_at

from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    PortUnavailableError,
    ProtocolError,
    RefusedError,
    TrackerUnreachableError,
)
from rede_p2p.events import (
    NamesRefused,
    PeerJoined,
    PeerLeft,
    TrackerBack,
    TrackerLost,
    TrackerMoved,
)
from rede_p2p.net import discovery
from rede_p2p.net.address import own_addresses
from rede_p2p.net.connection import Connection
from rede_p2p.net.requests import refuse, reply_lines, requests
from rede_p2p.protocol import messages
from rede_p2p.protocol.codec import Pending
from rede_p2p.protocol.messages import Join, Ok, PeerEntry, Peers, Ping, PortOffer, PortTaken, Ready
from rede_p2p.protocol.verbs import TO_PEER, TO_TRACKER
from rede_p2p.timeouts import Timeouts
from rede_p2p.tracker import client, content_index, joining
from rede_p2p.tracker.client import TrackerClient
from rede_p2p.tracker.registry import FIRST_PORT, Registration

# Notices at once that the tracker is gone, and tries at once to come back.
HURRY = {"heartbeat_s": 0.02, "first_rejoin_pause_s": 0.02, "max_rejoin_pause_s": 0.1}
# Waits for a reply for a moment only.
IMPATIENT = {"reply_s": 0.5}
# Waits for a reply longer than any test, but for the last one.
LEAVING = {"reply_s": 3 * SOON, "stall_s": 3 * SOON, "leave_s": 0.05}


class PublicPort:
    """Listens on public ports of one address, and remembers which it was asked for."""

    def __init__(self, ip):
        self.ip = ip
        self.asked = []
        self._sock = None

    def __call__(self, port):
        self.asked.append(port)
        try:
            sock = socket.create_server((self.ip, port))
        except OSError:
            return self._sock is not None and self._sock.getsockname()[1] == port
        self.close()
        self._sock = sock
        return True

    def close(self):
        if self._sock is not None:
            self._sock.close()


class World:
    """One tracker's address, and peers that join it, each at an address of its own."""

    def __init__(self, host, stack):
        self.host = host
        self.stack = stack
        self.seen = Queue()  # by the tracker
        self.told = Queue()  # by the peers
        head, _, tail = host.rpartition(".")
        self.peer_ip = f"{head}.{int(tail) + 1}"  # as free as the host's own

    def tracker(self, port=0, **timeouts):
        return tracker_at(self.host, port, self.seen.put, **timeouts)

    def join(self, port, open_port=None, entries=set, *, name="", roams=False, **timeouts):
        open_port = open_port or self.public_port()
        joined = TrackerClient(
            *(self.host, port, self.peer_ip, open_port, self.told.put, entries),
            Timeouts(**timeouts),
            name=name,
            roams=roams,
        )
        self.stack.callback(joined.close)
        return joined

    def public_port(self):
        public_port = PublicPort(self.peer_ip)
        self.stack.callback(public_port.close)
        return public_port


@pytest.fixture
def world(host):
    with ExitStack() as stack:
        yield World(host, stack)


# A real tracker.


def test_a_name_is_listed_and_told_again_to_a_tracker_that_is_back(world):
    with world.tracker() as tracker:
        joined = world.join(tracker.port, name="ana", first_rejoin_pause_s=0.01)
        assert [member.name for member in joined.roster().members] == ["ana"]
    assert isinstance(world.told.get(timeout=SOON), TrackerLost)
    with world.tracker(tracker.port):
        assert isinstance(world.told.get(timeout=SOON), TrackerBack)
        assert [member.name for member in joined.roster().members] == ["ana"]
        joined.close()


def test_joining_gives_a_port_and_a_place_in_the_list(world):
    with world.tracker() as tracker:
        public_port = world.public_port()
        joined = world.join(tracker.port, public_port)
        assert joined.port == FIRST_PORT
        assert public_port.asked == [FIRST_PORT]
        assert joined.tracker == Address(world.host, tracker.port)
        roster = joined.roster()
        assert (roster.members, roster.age) == ((PeerEntry(world.peer_ip, FIRST_PORT, True),), 0)
        here = Address(world.peer_ip, FIRST_PORT)
        assert world.seen.get(timeout=SOON) == PeerJoined(here)
        joined.close()
        assert world.seen.get(timeout=SOON) == PeerLeft(here)
    assert world.told.empty()


def test_members_see_each_other_and_those_who_left_are_gone(world):
    with world.tracker() as tracker:
        one, two = world.join(tracker.port), world.join(tracker.port)
        ports = [(member.port, member.you) for member in one.roster().members]
        assert ports == [(one.port, True), (two.port, False)]
        assert [member.you for member in two.roster().members] == [False, True]
        world.seen.get(timeout=SOON)
        world.seen.get(timeout=SOON)
        two.close()
        assert world.seen.get(timeout=SOON) == PeerLeft(Address(world.peer_ip, two.port))
        assert [member.port for member in one.roster().members] == [one.port]


def test_without_a_port_the_tracker_of_the_machine_is_found(world):
    with world.tracker() as tracker:
        joined = world.join(None, local_discovery_try_s=SOON)
        assert joined.tracker == Address(world.host, tracker.port)


def test_without_a_port_nor_an_answer_the_well_known_one_is_tried(world):
    with pytest.raises(TrackerUnreachableError) as caught:
        world.join(None)
    assert caught.value.address == Address(world.host, 9450)
    assert caught.value.cause.reason == "refused"


def test_a_port_taken_on_this_machine_gives_way_to_the_next(world):
    with world.tracker() as tracker:
        for port in (FIRST_PORT, FIRST_PORT + 1):
            world.stack.enter_context(socket.create_server((world.peer_ip, port)))
        public_port = world.public_port()
        joined = world.join(tracker.port, public_port)
        assert joined.port == FIRST_PORT + 2
        assert public_port.asked == [FIRST_PORT, FIRST_PORT + 1, FIRST_PORT + 2]
        assert [member.port for member in joined.roster().members] == [FIRST_PORT + 2]


def seen_by_the_peer(monkeypatch, **constants):
    """Give the peer other constants of the protocol than its tracker has."""
    others = SimpleNamespace(**(vars(messages) | constants))
    monkeypatch.setattr(joining, "messages", others)


def test_when_every_offered_port_is_taken_it_is_said(world, monkeypatch):
    monkeypatch.setattr(joining, "MAX_PORT_OFFERS", 3)
    asked = []
    with world.tracker() as tracker:
        with pytest.raises(TrackerUnreachableError) as caught:
            world.join(tracker.port, lambda port: asked.append(port))
        assert caught.value.cause.reason == "no-port"
    assert asked == [FIRST_PORT, FIRST_PORT + 1, FIRST_PORT + 2]


def test_a_port_that_may_not_be_opened_is_said_as_it_is(world):
    def deny(port):
        raise PortUnavailableError(Address(world.peer_ip, port), "denied")

    with world.tracker() as tracker, pytest.raises(PortUnavailableError, match="denied"):
        world.join(tracker.port, deny)


def test_another_version_is_refused(world, monkeypatch):
    seen_by_the_peer(monkeypatch, PROTOCOL_VERSION=2)
    with world.tracker() as tracker, pytest.raises(TrackerUnreachableError) as caught:
        world.join(tracker.port)
    assert caught.value.cause.code == "version"


def test_many_threads_ask_at_once(world):
    with world.tracker() as tracker:
        joined, found = world.join(tracker.port), Queue()
        threads = [Thread(target=lambda: found.put(joined.roster())) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(len(found.get_nowait().members) == 1 for _ in threads)


def test_a_heartbeat_keeps_the_place(world, monkeypatch):
    pinged = Queue()
    real = Connection.ask

    def ask(self, request, *words, **options):
        pinged.put(request.verb)
        return real(self, request, *words, **options)

    with world.tracker(member_silence_s=1.0) as tracker:
        joined = world.join(tracker.port, **HURRY)
        monkeypatch.setattr(Connection, "ask", ask)
        assert [pinged.get(timeout=SOON) for _ in range(5)] == ["ping"] * 5
        assert joined.roster().age == 0


def test_a_refusal_is_an_answer_and_nobody_leaves_for_it(world):
    with world.tracker() as tracker:
        joined = world.join(tracker.port)
        with pytest.raises(TrackerUnreachableError) as caught:
            joined.search("x" * 1025)
        assert caught.value.cause.code == "bad-field"
        assert joined.roster().age == 0
        assert world.seen.get(timeout=SOON) == PeerJoined(Address(world.peer_ip, joined.port))
        assert world.seen.empty()
        assert world.told.empty()


def test_what_nobody_foresaw_is_told_to_who_asked_and_the_place_is_taken_again(world):
    with world.tracker() as tracker:
        joined = world.join(tracker.port, **HURRY)
        with pytest.raises(UnicodeEncodeError):
            joined.search("\ud800")
        assert world.told.get(timeout=SOON) == TrackerLost(joined.tracker)
        assert world.told.get(timeout=SOON) == TrackerBack(joined.tracker, FIRST_PORT)
        assert joined.search("a") == []


# A tracker that goes.


def test_a_tracker_that_comes_back_gives_the_same_port(world):
    public_port = world.public_port()
    with world.tracker() as tracker:
        joined = world.join(tracker.port, public_port, **HURRY)
    assert world.told.get(timeout=SOON) == TrackerLost(joined.tracker)
    roster = joined.roster()
    assert [member.port for member in roster.members] == [FIRST_PORT]
    assert roster.age == inf  # it was never asked
    with pytest.raises(TrackerUnreachableError):
        joined.call(lambda connection: connection.ask(Peers(), Ok))
    with world.tracker(tracker.port):
        assert world.told.get(timeout=SOON) == TrackerBack(joined.tracker, FIRST_PORT)
        assert joined.roster().age == 0
        assert joined.port == FIRST_PORT
        assert set(public_port.asked) == {FIRST_PORT}


def test_a_port_given_to_another_meanwhile_is_changed(world):
    public_port = world.public_port()
    with world.tracker() as tracker:
        joined = world.join(tracker.port, public_port, **HURRY)
    assert world.told.get(timeout=SOON) == TrackerLost(joined.tracker)
    new = world.tracker(tracker.port)
    new.registry.offer(Registration("10.0.0.9"), FIRST_PORT)
    with new:
        assert world.told.get(timeout=SOON) == TrackerBack(joined.tracker, FIRST_PORT + 1)
        assert joined.port == FIRST_PORT + 1
        assert public_port.asked[-1] == FIRST_PORT + 1


@contextmanager
def one_of_two_trackers_gone(world, restart_grace_s):
    """Yield a peer that has just lost its tracker, and that; another answers in its place."""
    with ExitStack() as stack:
        with world.tracker() as tracker:
            other = stack.enter_context(world.tracker(take_over_interval_s=0.01))
            joined = world.join(
                None, local_discovery_try_s=1.0, restart_grace_s=restart_grace_s, **HURRY
            )
            gone = Address(world.host, tracker.port)
            assert joined.tracker == gone
        while discovery.find(world.host) != other.port:  # it has yet to see that the place is free
            continue
        assert world.told.get(timeout=SOON) == TrackerLost(gone)
        yield joined, gone, Address(world.host, other.port)


def test_a_tracker_that_starts_again_is_come_back_to_though_another_answers(world):
    with (
        one_of_two_trackers_gone(world, 3 * SOON) as (_, gone, _other),
        world.tracker(gone.port),
    ):
        assert world.told.get(timeout=SOON) == TrackerBack(gone, FIRST_PORT)


def test_where_the_tracker_is_long_gone_another_of_its_machine_will_do(world):
    with one_of_two_trackers_gone(world, 0.0) as (joined, _, other):
        assert world.told.get(timeout=SOON) == TrackerMoved(other, FIRST_PORT)
        assert joined.tracker == other
        assert joined.roster().age == 0


FAR = Address("10.0.0.9", 9450)  # where nobody of these tests is


@pytest.mark.parametrize("roams", [False, True])
def test_a_tracker_that_went_elsewhere_is_sought_by_its_id_and_joined_there(
    world, monkeypatch, roams
):
    asked = []

    def find_again(known, any_one, source, _timeouts):
        asked.append((known.id, any_one, source))
        return new.address

    monkeypatch.setattr(client, "find_again", find_again)
    monkeypatch.setattr(client, "is_loopback", lambda ip: ip == "127.0.0.1")
    new = world.tracker()
    new.address = Address(world.host, new.port)
    with new:
        with world.tracker() as tracker:
            joined = world.join(tracker.port, roams=roams, restart_grace_s=0.0, **HURRY)
            joined.search("")  # by then it knows the id
            known = tracker.election.id
        assert world.told.get(timeout=SOON) == TrackerLost(Address(world.host, tracker.port))
        assert world.told.get(timeout=SOON) == TrackerMoved(new.address, FIRST_PORT)
        assert asked[0] == (known, roams, world.peer_ip)
        assert joined.roster().age == 0


def ends_soon(joined):
    leaving = Thread(target=joined.close)
    leaving.start()
    leaving.join(SOON)
    return not leaving.is_alive()


def test_leaving_while_the_tracker_is_away_waits_for_nothing(world):
    with world.tracker() as tracker:
        joined = world.join(tracker.port, **HURRY)
    assert world.told.get(timeout=SOON) == TrackerLost(joined.tracker)
    assert ends_soon(joined)


def test_leaving_a_tracker_that_is_gone_unnoticed_waits_for_nothing(world):
    with world.tracker() as tracker:
        joined = world.join(tracker.port)
    assert ends_soon(joined)
    if not world.told.empty():  # its last announcement may have met the end
        assert world.told.get() == TrackerLost(joined.tracker)
    assert world.told.empty()


def test_asking_a_tracker_that_is_gone_unnoticed_gives_the_last_list(world):
    with world.tracker() as tracker:
        joined = world.join(tracker.port)
    roster = joined.roster()
    assert [member.port for member in roster.members] == [FIRST_PORT]
    assert roster.age > 0
    assert world.told.get(timeout=SOON) == TrackerLost(joined.tracker)


# What is no tracker.


def closing_at_once(connection):
    connection.receive_line(SOON)


def silent(connection):
    while connection.receive_line(SOON) is not None:
        continue


def saying(reply):
    def serve(connection):
        connection.receive_line(SOON)
        connection.send(reply)
        silent(connection)

    return serve


def a_peer(connection):
    for _ in requests(connection, TO_PEER, lambda: SOON, lambda error: "why"):
        connection.reply(Ok())


def offering(port):
    """Be a tracker whose offers are strange."""

    def serve(connection):
        for request in requests(connection, TO_TRACKER, lambda: SOON, lambda error: "why"):
            if isinstance(request, (Join, PortTaken)):
                offer = {"port": port, "ip": "10.0.0.7", "version": 1}
                connection.send(f"ok {json.dumps(offer)}\n".encode())
            elif isinstance(request, Ready):
                refuse(connection, RefusedError("not-offered"), lambda error: "why")

    return serve


NO_TRACKERS = {
    "closes": (closing_at_once, ConnectionLostError, "lost"),
    "silent": (silent, ConnectionLostError, "silent"),
    "web": (saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), ProtocolError, "stranger"),
    "ssh": (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), ProtocolError, "stranger"),
    "noise": (saying(b"\xff\x00\x80\n"), ProtocolError, "stranger"),
    "endless": (saying(b"x" * 100_000), ProtocolError, "long-line"),
    "nested": (saying(b"ok " + b"[" * 60_000 + b"\n"), ProtocolError, "not-json"),
    "empty": (saying(b"ok\n"), ProtocolError, "no-field"),
    "peer": (a_peer, RefusedError, "unknown-verb"),
    "full": (saying(b'erro {"code": "full"}\n'), RefusedError, "full"),
    "no such file": (saying(b'erro {"code": "no-such-file"}\n'), RefusedError, "no-such-file"),
    "system port": (offering(22), ProtocolError, "bad-field"),
    "bool port": (offering(True), ProtocolError, "bad-field"),
    "takes back": (offering(FIRST_PORT), RefusedError, "not-offered"),
}


@pytest.mark.parametrize(("serve", "kind", "word"), NO_TRACKERS.values(), ids=NO_TRACKERS)
def test_what_is_no_tracker_is_said(world, serve, kind, word):
    listener = listen(world.host, 0, 10)
    timeouts = IMPATIENT if serve is silent else {}
    with running(listener, serve), pytest.raises(TrackerUnreachableError, match=word) as caught:
        world.join(listener.address.port, **timeouts)
    assert caught.value.address == listener.address
    assert isinstance(caught.value.cause, kind)


def test_nobody_at_all_is_said(world):
    with socket.create_server((world.host, 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(TrackerUnreachableError, match="refused"):
        world.join(port)


class Actor:
    """A tracker that lists what it likes, and may fall silent."""

    def __init__(self, *members):
        self.members = members
        self.mute = Event()
        self.asked = Event()  # in vain

    def __call__(self, connection):
        for request in requests(connection, TO_TRACKER, lambda: SOON, lambda error: "why"):
            if self.mute.is_set():
                self.asked.set()
            else:
                self.answer(connection, request)

    def answer(self, connection, request):
        if isinstance(request, Join):
            connection.reply(PortOffer(FIRST_PORT, connection.remote.ip, 1))
        elif isinstance(request, Peers):
            reply_lines(connection, list(self.members))
        else:
            connection.reply(Ok())


def test_a_list_that_nobody_looks_at_is_asked_for_once_in_case_the_tracker_goes(world):
    other = PeerEntry("10.0.0.9", FIRST_PORT, name="ana")
    asked = Queue()

    class Noting(Actor):
        def answer(self, connection, request):
            asked.put(request.verb)
            super().answer(connection, request)

    with running(listen(world.host, 0, 10), Noting(other)) as listener:
        joined = world.join(listener.address.port, roster_s=0.1, heartbeat_s=0.05)
        said = [asked.get(timeout=SOON) for _ in range(3)]
        while "peers" not in said or said[-2:] != ["ping", "ping"]:
            said.append(asked.get(timeout=SOON))
        assert said[:3] == ["join", "ready", "ping"]
        assert said.count("peers") == 1
    assert world.told.get(timeout=SOON) == TrackerLost(joined.tracker)
    assert joined.roster().members == (other,)


def test_a_tracker_that_ends_each_conversation_is_joined_ever_less_often(world):
    joins = Queue()

    class Fickle(Actor):
        def answer(self, connection, request):
            if isinstance(request, Ping):
                raise ConnectionLostError("lost")
            if isinstance(request, Join):
                joins.put(monotonic())
            super().answer(connection, request)

    with running(listen(world.host, 0, 10), Fickle()) as listener:
        world.join(listener.address.port, first_rejoin_pause_s=0.01, max_rejoin_pause_s=10.0)
        came = [joins.get(timeout=SOON) for _ in range(7)]
    # Each pause is twice the one before, and three tenths more or less.
    assert came[-1] - came[-2] >= 0.7 * 0.01 * 2**5


def test_a_tracker_that_falls_silent_is_lost_and_found_again(world):
    actor = Actor()
    with running(listen(world.host, 0, 10), actor) as listener:
        joined = world.join(listener.address.port, **HURRY, **IMPATIENT)
        actor.mute.set()
        assert world.told.get(timeout=SOON) == TrackerLost(joined.tracker)
        actor.mute.clear()
        assert world.told.get(timeout=SOON) == TrackerBack(joined.tracker, FIRST_PORT)


def waiting_for_ever(actor):
    """Be a tracker that says "not yet", each time in other words, to all that follows joining."""

    def serve(connection):
        for request in requests(connection, TO_TRACKER, lambda: SOON, lambda error: "why"):
            if isinstance(request, Join | Ready | Peers | Ping):
                actor.answer(connection, request)
                continue
            for place in count():
                connection.reply(Pending(place=place % 1000))

    return serve


def test_a_tracker_that_says_not_yet_breaks_the_rules(world):
    with running(listen(world.host, 0, 10), waiting_for_ever(Actor())) as listener:
        joined = world.join(listener.address.port)
        with pytest.raises(TrackerUnreachableError) as caught:
            joined.search("a")
        assert isinstance(caught.value.cause, ProtocolError)
        assert world.told.get(timeout=SOON) == TrackerLost(joined.tracker)


def test_leaving_a_tracker_that_says_not_yet_for_ever_has_an_end(world):
    with running(listen(world.host, 0, 10), waiting_for_ever(Actor())) as listener:
        assert ends_soon(world.join(listener.address.port, **LEAVING))


def test_leaving_while_an_answer_does_not_come_ends_all_that_was_asked(world):
    actor, answers = Actor(), Queue()
    with running(listen(world.host, 0, 10), actor) as listener:
        joined = world.join(listener.address.port, **LEAVING)
        actor.mute.set()

        def ask():
            try:
                answers.put(joined.search("a"))
            except TrackerUnreachableError as error:
                answers.put(error)

        askers = [Thread(target=ask) for _ in range(3)]
        for asker in askers:
            asker.start()
        assert actor.asked.wait(SOON)
        assert ends_soon(joined)
        for asker in askers:
            asker.join(SOON)  # less than they would wait by themselves
            assert isinstance(answers.get_nowait(), TrackerUnreachableError)
    with pytest.raises(TrackerUnreachableError):
        joined.search("a")
    assert world.told.empty()


def test_leaving_while_a_tracker_does_not_let_us_in_again_has_an_end(world):
    reached = Event()

    def silent_now(connection):
        reached.set()
        silent(connection)

    with world.tracker() as tracker:
        joined = world.join(tracker.port, **HURRY, **LEAVING)
    with running(listen(world.host, tracker.port, 10), silent_now):
        assert reached.wait(SOON)
        assert ends_soon(joined)


def test_whose_names_are_too_many_is_told_once(world, monkeypatch):
    monkeypatch.setattr(content_index, "MAX_NAME_BYTES_PER_PEER", 100)
    shared = {
        messages.FileEntry("n" * 90, 1, bytes(32)),
        messages.FileEntry("o" * 90, 1, bytes(32)),
    }
    with world.tracker() as tracker:
        joined = world.join(tracker.port, entries=lambda: shared)
        assert world.told.get(timeout=SOON) == NamesRefused(joined.tracker)
        while not joined.search("p", exact=False):  # it was withdrawn and announced anew
            shared = {messages.FileEntry("p", 1, bytes(32))}
            joined.entries_changed()
    assert world.told.get(timeout=SOON) == TrackerLost(joined.tracker)


def test_a_tracker_elsewhere_may_not_name_this_machines_own_services(world):
    ips = [one.ip for one in own_addresses() if "." in one.ip]
    if not ips:
        pytest.skip("this machine is on no network")
    inside = "::ffff:127.0.0.1"
    actor = Actor(*(PeerEntry(ip, 8080) for ip in ("127.0.0.1", "::1", inside, "192.0.2.7")))
    with running(listen(ips[0], 0, 10), actor) as listener:
        joined = TrackerClient(
            ips[0], listener.address.port, None, lambda port: True, world.told.put
        )
        world.stack.callback(joined.close)
        assert [member.ip for member in joined.roster().members] == ["192.0.2.7"]
