"""Keeping a tracker's index in step with what a peer has: alone, and through a TrackerClient."""

from __future__ import annotations

from contextlib import ExitStack
from queue import Queue
from threading import Event, Thread

import pytest
from listening import SOON, listen, running, tracker_at
from processes import eventually

from rede_p2p.content.merkle import Content
from rede_p2p.errors import Address, ConnectionLostError, RefusedError
from rede_p2p.events import NamesRefused, PeerJoined, TrackerBack, TrackerLost
from rede_p2p.net.requests import reply_lines, serve
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import (
    Announce,
    FileEntry,
    Find,
    Join,
    Ok,
    Peers,
    PortOffer,
    Withdraw,
)
from rede_p2p.protocol.verbs import TO_TRACKER
from rede_p2p.timeouts import Timeouts
from rede_p2p.tracker import content_index
from rede_p2p.tracker.announcer import MAX_LINES_PER_ANNOUNCE, Announcer
from rede_p2p.tracker.client import TrackerClient
from rede_p2p.tracker.registry import FIRST_PORT


def entry(name):
    return FileEntry(name, 1, name.encode().ljust(32))


def entries(*names):
    return {entry(name) for name in names}


# An Announcer, whose requests are noted.


class Asked:
    """Takes the requests of an announcer, and reads them as a tracker does."""

    def __init__(self):
        self.requests = []
        self.refuses = False

    def __call__(self, request):
        line, _, body = request.partition(b"\n")
        head = codec.decode_request(line + b"\n", TO_TRACKER)
        assert len(body) == head.bytes
        self.requests.append((type(head), codec.decode_lines(body, FileEntry, head.count)))
        if self.refuses:
            raise RefusedError("too-much")


def names(requests):
    return [(kind, {found.name for found in lines}) for kind, lines in requests]


def test_what_is_new_is_announced_and_what_is_gone_withdrawn_first():
    asked = Asked()
    announcer = Announcer(asked)
    assert announcer.update(entries("a", "b"))
    assert announcer.update(entries("b", "c"))
    assert announcer.update(set())
    assert names(asked.requests) == [
        (Announce, {"a", "b"}),
        (Withdraw, {"a"}),
        (Announce, {"c"}),
        (Withdraw, {"b", "c"}),
    ]


def test_nothing_is_said_where_nothing_changed():
    asked = Asked()
    announcer = Announcer(asked)
    assert not announcer.update(set())
    assert announcer.update(entries("a"))
    assert not announcer.update(entries("a"))
    assert names(asked.requests) == [(Announce, {"a"})]


def test_a_name_that_is_another_content_now_is_withdrawn_and_announced():
    asked = Asked()
    announcer = Announcer(asked)
    before, after = FileEntry("a", 1, bytes(32)), FileEntry("a", 2, bytes(32))
    announcer.update({before})
    announcer.update({after})
    assert asked.requests[1:] == [(Withdraw, [before]), (Announce, [after])]


@pytest.mark.parametrize(
    ("count", "parts"),
    [(1, [1]), (2000, [2000]), (2001, [2000, 1]), (4500, [2000, 2000, 500])],
)
def test_a_long_list_goes_in_parts_of_so_many_lines(count, parts):
    asked = Asked()
    announcer = Announcer(asked)
    many = entries(*map(str, range(count)))
    announcer.update(many)
    announcer.update(set())
    assert [(kind, len(lines)) for kind, lines in asked.requests] == [
        *((Announce, part) for part in parts),
        *((Withdraw, part) for part in parts),
    ]
    for said in (Announce, Withdraw):
        assert {line for kind, lines in asked.requests if kind is said for line in lines} == many


def test_what_is_refused_is_not_said_again_but_the_rest_is_said():
    asked = Asked()
    announcer = Announcer(asked)
    asked.refuses = True
    assert announcer.update(entries(*map(str, range(MAX_LINES_PER_ANNOUNCE + 1))))
    assert len(asked.requests) == 2
    assert not announcer.update(entries(*map(str, range(MAX_LINES_PER_ANNOUNCE + 1))))
    assert len(asked.requests) == 2


def test_what_was_not_taken_because_the_connection_ended_is_an_error():
    def lose(_request):
        raise ConnectionLostError("lost")

    with pytest.raises(ConnectionLostError, match="lost"):
        Announcer(lose).update(entries("a"))


# A TrackerClient, which announces by itself.


class Mine:
    """What a peer has: its ``entries``, which a test changes."""

    def __init__(self, *names):
        self.names = names
        self.looks = Queue()  # one for each time that somebody looked

    def __call__(self):
        self.looks.put(True)
        return entries(*self.names)


class World:
    """Peers of one address, and what they and their trackers were told."""

    def __init__(self, host, stack):
        self.host = host
        self.stack = stack
        self.seen = Queue()  # by the trackers: who comes and goes
        self.told = Queue()  # by the peers

    def join(self, port, mine, **timeouts):
        hasty = {"announce_interval_s": 0.01, "first_rejoin_pause_s": 0.02} | timeouts
        joined = TrackerClient(
            *(self.host, port, None, lambda port: True, self.told.put, mine), Timeouts(**hasty)
        )
        self.stack.callback(joined.close)
        return joined


@pytest.fixture
def world(host):
    with ExitStack() as stack:
        yield World(host, stack)


def noting(method, asked):
    def note(seat, entries):
        asked.put({entry.name for entry in entries})
        return method(seat, entries)

    return note


def test_what_a_tracker_does_not_keep_is_not_said_again_and_nobody_leaves_for_it(
    world, monkeypatch
):
    monkeypatch.setattr(content_index, "MAX_NAMES_PER_PEER", 2)
    mine, asked = Mine("a", "b", "c"), Queue()
    with tracker_at(world.host, 0, world.seen.put) as tracker:
        for name in ("announce", "withdraw"):
            method = noting(getattr(tracker.index, name), asked)
            monkeypatch.setattr(tracker.index, name, method)
        joined = world.join(tracker.port, mine)
        assert asked.get(timeout=SOON) == {"a", "b", "c"}
        mine.names = ("d",)
        joined.entries_changed()
        assert asked.get(timeout=SOON) == {"a", "b", "c"}  # withdrawn
        assert asked.get(timeout=SOON) == {"d"}
        eventually(lambda: joined.search("d", exact=True))  # the last answer is on its way
        assert asked.empty()
        assert world.seen.get(timeout=SOON) == PeerJoined(Address("127.0.0.1", FIRST_PORT))
        assert world.seen.empty()
        assert world.told.get(timeout=SOON) == NamesRefused(joined.tracker)
    assert world.told.empty()


def test_what_is_here_is_found_with_its_size_and_root_and_what_is_gone_is_not(world):
    mine = Mine("a", "b")
    with tracker_at(world.host) as tracker:
        one, two = world.join(tracker.port, mine), world.join(tracker.port, set)
        while len(found := two.search("")) < 2:
            continue
        assert {(f.name, f.size, f.root, f.peers) for f in found} == {
            ("a", 1, b"a".ljust(32), 1),
            ("b", 1, b"b".ljust(32), 1),
        }
        here = Address("127.0.0.1", one.port)
        assert two.who_has(Content(b"a".ljust(32), 1)).result(SOON) == [here]
        mine.names = ("b", "c")
        one.entries_changed()
        while {known.name for known in two.search("")} != {"b", "c"}:
            continue
        assert two.who_has(Content(b"a".ljust(32), 1)).result(SOON) == []


@pytest.mark.parametrize("now", ["ab", "bc"])
def test_after_joining_again_everything_is_told_again(world, now):
    mine = Mine("a", "b")
    with tracker_at(world.host) as tracker:
        joined = world.join(tracker.port, mine)
        while len(joined.search("")) < 2:
            continue
    assert world.told.get(timeout=SOON) == TrackerLost(joined.tracker)
    if now != "ab":
        mine.names = tuple(now)
        joined.entries_changed()  # which nobody can be told now
    with tracker_at(world.host, tracker.port):
        assert world.told.get(timeout=SOON) == TrackerBack(joined.tracker, FIRST_PORT)
        while {known.name for known in joined.search("")} != set(now):
            continue


def test_what_changes_while_it_is_looked_at_is_looked_at_again(world):
    def change_while_looked_at():
        now = mine()
        if mine.names == ("a",):
            mine.names = ("b",)
            begun.wait(SOON)
            joined.entries_changed()
        return now

    mine, begun = Mine("a"), Event()
    with tracker_at(world.host) as tracker:
        joined = world.join(tracker.port, change_while_looked_at)
        begun.set()
        while {known.name for known in joined.search("")} != {"b"}:
            continue


# A tracker of a test's own, which answers an announcement when the test lets it.


class SlowTracker:
    """Answers what it is asked, in order; an announcement only when the test says so."""

    def __init__(self):
        self.asked = Queue()  # requests, all but those of joining
        self.answers = Queue()  # one for each announcement that may be answered

    def __call__(self, connection):
        def answer(request):
            if isinstance(request, Join):
                connection.reply(PortOffer(FIRST_PORT, connection.remote.ip, 1))
            elif isinstance(request, Peers | Find):
                self.asked.put(request)
                reply_lines(connection, [])
            elif isinstance(request, Announce):
                connection.receive_exactly(request.bytes)
                self.asked.put(request)
                self.answers.get(timeout=SOON)
                connection.reply(Ok())
            else:
                self.asked.put(request)
                connection.reply(Ok())

        serve(connection, TO_TRACKER, lambda: SOON, answer, str)


def kinds(requests, count):
    return [type(requests.get(timeout=SOON)).__name__ for _ in range(count)]


def test_a_long_list_does_not_keep_a_question_waiting(world):
    slow, mine = SlowTracker(), Mine(*map(str, range(3 * MAX_LINES_PER_ANNOUNCE)))
    with running(listen(world.host), slow) as listener:
        joined = world.join(listener.address.port, mine)
        assert kinds(slow.asked, 3) == ["Ready", "Ping", "Announce"]
        holders = joined.who_has(Content(bytes(32), 1))
        slow.answers.put(True)
        assert kinds(slow.asked, 2) == ["Find", "Announce"]
        slow.answers.put(True)
        slow.answers.put(True)
        assert kinds(slow.asked, 1) == ["Announce"]
        assert holders.done()
        joined.close()


def test_who_leaves_announces_the_rest_to_nobody(world):
    slow, mine = SlowTracker(), Mine(*map(str, range(3 * MAX_LINES_PER_ANNOUNCE)))
    with running(listen(world.host), slow) as listener:
        joined = world.join(listener.address.port, mine, leave_s=3 * SOON)
        assert kinds(slow.asked, 3) == ["Ready", "Ping", "Announce"]
        leaving = Thread(target=joined.close)
        leaving.start()
        eventually(lambda: joined._leaving)
        slow.answers.put(True)
        leaving.join(SOON)
        assert not leaving.is_alive()
    assert slow.asked.empty()
    assert world.told.empty()


def test_changes_of_which_there_is_nothing_to_say_silence_no_heartbeat(world):
    slow, mine, count = SlowTracker(), Mine(), 0
    with running(listen(world.host), slow) as listener:
        joined = world.join(listener.address.port, mine, heartbeat_s=0.1)
        assert kinds(slow.asked, 2) == ["Ready", "Ping"]
        while slow.asked.empty():
            joined.entries_changed()
            mine.looks.get(timeout=SOON)
            count += 1
            assert count < 1000
        assert kinds(slow.asked, 1) == ["Ping"]
