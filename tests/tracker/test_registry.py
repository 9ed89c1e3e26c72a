"""Who is here, and on which port: no two seats with one port, whatever happens."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from rede_p2p.errors import Address, RefusedError
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import PeerEntry
from rede_p2p.tracker import registry
from rede_p2p.tracker.registration import Registration
from rede_p2p.tracker.registry import FIRST_PORT, LAST_PORT, Registry

LOOPBACK = "127.0.0.1"


def seated(registry: Registry, ip: str, name: str = "") -> Registration:
    seat = Registration(ip, name=name)
    registry.confirm(seat, registry.offer(seat))
    return seat


def members(registry: Registry, asker: Registration, reached_at: str) -> list[PeerEntry]:
    lines = registry.members(asker, reached_at)
    return codec.decode_lines(b"".join(lines), PeerEntry, len(lines))


def test_the_first_port_is_5455_and_the_next_ones_follow():
    registry = Registry()
    assert [registry.offer(Registration("10.0.0.7")) for _ in range(3)] == [5455, 5456, 5457]


def test_a_freed_port_is_given_to_the_next_one():
    registry = Registry()
    seats = [seated(registry, "10.0.0.7") for _ in range(3)]
    registry.leave(seats[1])
    assert registry.offer(Registration("10.0.0.8")) == 5456


def test_a_port_that_was_offered_and_never_confirmed_is_freed_too():
    registry = Registry()
    seat = Registration("10.0.0.7")
    registry.offer(seat)
    assert registry.leave(seat) is False
    assert registry.offer(Registration("10.0.0.8")) == FIRST_PORT


def test_only_a_confirmed_peer_is_listed():
    registry, asker = Registry(), Registration("10.0.0.9")
    seat = Registration("10.0.0.7")
    port = registry.offer(seat)
    assert members(registry, asker, "10.0.0.1") == []
    assert registry.confirm(seat, port) is True
    assert registry.confirm(seat, port) is False
    assert members(registry, asker, "10.0.0.1") == [PeerEntry("10.0.0.7", port)]
    assert registry.leave(seat) is True
    assert registry.leave(seat) is False
    assert members(registry, asker, "10.0.0.1") == []


def test_names_are_listed_and_two_may_have_the_same():
    registry, asker = Registry(), Registration("10.0.0.9")
    seats = [seated(registry, ip, "ana") for ip in ("10.0.0.7", "10.0.0.8")]
    assert [one.name for one in members(registry, asker, "10.0.0.1")] == ["ana", "ana"]
    assert [one.name for one in registry.as_reached(seats, asker, "10.0.0.1")] == ["ana", "ana"]


@pytest.mark.parametrize("port", [1024, FIRST_PORT + 1, LAST_PORT])
def test_a_port_that_was_not_offered_is_not_confirmed(port):
    registry, seat = Registry(), Registration("10.0.0.7")
    registry.offer(seat)
    with pytest.raises(RefusedError, match="not-offered"):
        registry.confirm(seat, port)
    assert not seat.listed


def test_a_seat_that_was_offered_nothing_confirms_nothing():
    with pytest.raises(RefusedError, match="not-offered"):
        Registry().confirm(Registration("10.0.0.7"), FIRST_PORT)


def test_a_port_taken_on_its_machine_is_not_offered_again_to_that_seat():
    registry, seat = Registry(), Registration("10.0.0.7")
    first = registry.offer(seat)
    registry.give_back(seat, first)
    assert registry.offer(seat) == first + 1
    assert registry.offer(seat, first) == first + 1
    assert registry.offer(Registration("10.0.0.8")) == first


def test_who_finds_every_port_taken_is_refused_in_the_end(monkeypatch):
    monkeypatch.setattr(registry, "MAX_PORT_OFFERS", 3)
    table, seat = Registry(), Registration("10.0.0.7")
    for _ in range(3):
        table.give_back(seat, table.offer(seat))
    last = table.offer(seat)
    with pytest.raises(RefusedError, match="no-port"):
        table.give_back(seat, last)
    assert last not in seat.refused
    assert table.confirm(seat, last)


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [
        (None, FIRST_PORT + 1),
        (FIRST_PORT, FIRST_PORT + 1),  # somebody else's
        (FIRST_PORT + 1, FIRST_PORT + 1),
        (7000, 7000),
        (LAST_PORT, LAST_PORT),
        (FIRST_PORT - 1, FIRST_PORT + 1),
        (1024, FIRST_PORT + 1),
    ],
)
def test_a_wanted_port_is_given_if_it_is_free(wanted, offered):
    registry = Registry()
    seated(registry, "10.0.0.7")
    assert registry.offer(Registration("10.0.0.8"), wanted) == offered


def test_the_last_port_is_followed_by_a_refusal():
    registry = Registry(LAST_PORT - 1)
    seats = [seated(registry, "10.0.0.7") for _ in range(2)]
    with pytest.raises(RefusedError, match="no-port"):
        registry.offer(Registration("10.0.0.8"))
    registry.leave(seats[0])
    assert registry.offer(Registration("10.0.0.8")) == LAST_PORT - 1


def test_joining_again_gives_the_old_port_back_first():
    registry = Registry()
    seat = seated(registry, "10.0.0.7")
    assert registry.offer(seat) == FIRST_PORT
    assert not seat.listed


def test_members_are_sorted_as_numbers_ipv4_first_and_the_asker_is_marked():
    registry = Registry()
    asker = seated(registry, "10.0.0.9")
    for ip in ("2001:db8::1", "10.0.0.10", "9.0.0.1", "10.0.0.9"):
        seated(registry, ip)
    assert members(registry, asker, "10.0.0.1") == [
        PeerEntry("9.0.0.1", 5458),
        PeerEntry("10.0.0.9", 5455, you=True),
        PeerEntry("10.0.0.9", 5459),
        PeerEntry("10.0.0.10", 5457),
        PeerEntry("2001:db8::1", 5456),
    ]


@pytest.mark.parametrize(
    ("asker", "reached_at", "told"),
    [
        (LOOPBACK, LOOPBACK, LOOPBACK),
        ("127.0.0.2", LOOPBACK, LOOPBACK),
        ("::1", "::1", LOOPBACK),
        ("10.0.0.9", "10.0.0.1", "10.0.0.1"),
        ("2001:db8::9", "2001:db8::1", "2001:db8::1"),
    ],
)
def test_a_peer_beside_the_tracker_is_told_by_an_address_the_asker_can_use(asker, reached_at, told):
    registry = Registry()
    seated(registry, LOOPBACK)
    assert members(registry, Registration(asker), reached_at) == [PeerEntry(told, FIRST_PORT)]


def test_a_peer_elsewhere_is_told_by_its_own_address_to_everyone():
    registry = Registry()
    seated(registry, "10.0.0.7")
    for asker in (LOOPBACK, "10.0.0.9"):
        assert members(registry, Registration(asker), "10.0.0.1") == [
            PeerEntry("10.0.0.7", FIRST_PORT)
        ]


@pytest.mark.parametrize(
    ("asker", "beside", "told"),
    [
        ("10.0.0.9", False, "10.0.0.1"),
        ("192.168.0.9", False, "10.0.0.1"),
        ("10.0.0.1", True, "192.168.0.1"),
        (LOOPBACK, False, "192.168.0.1"),
    ],
)
def test_a_peer_that_came_by_an_own_address_is_told_as_each_asker_reached_it(asker, beside, told):
    registry = Registry()
    seat = Registration("192.168.0.1", here=True)
    registry.confirm(seat, registry.offer(seat))
    asking = Registration(asker, here=beside)
    assert members(registry, asking, "10.0.0.1") == [PeerEntry(told, FIRST_PORT)]


def test_threads_that_join_at_once_get_different_ports():
    registry, start = Registry(), Barrier(16)
    offered: list[int] = []

    def join() -> None:
        start.wait()
        for _ in range(50):
            seat = Registration("10.0.0.7")
            registry.confirm(seat, registry.offer(seat))
            offered.append(seat.port)

    threads = [Thread(target=join) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(offered) == list(range(FIRST_PORT, FIRST_PORT + 800))


class Life(RuleBasedStateMachine):
    """Seats that come, refuse, confirm and leave in any order, beside a plain model of them."""

    seats = Bundle("seats")
    few = LAST_PORT - 5  # so that ports run out
    ports = st.integers(few - 1, LAST_PORT)

    def __init__(self):
        super().__init__()
        self.registry = Registry(self.few)
        self.all: list[Registration] = []

    @rule(target=seats, ip=st.sampled_from([LOOPBACK, "10.0.0.7", "10.0.0.8"]))
    def arrive(self, ip):
        self.all.append(Registration(ip))
        return self.all[-1]

    @rule(seat=seats, wanted=st.none() | ports)
    def offer(self, seat, wanted):
        others = {other.port for other in self.all if other is not seat} | seat.refused
        free = [port for port in range(self.few, LAST_PORT + 1) if port not in others]
        if not free:
            with pytest.raises(RefusedError, match="no-port"):
                self.registry.offer(seat, wanted)
            assert seat.port == 0
        else:
            expected = wanted if wanted in free else free[0]
            assert self.registry.offer(seat, wanted) == seat.port == expected
        assert not seat.listed

    @rule(seat=seats, port=ports)
    def give_back(self, seat, port):
        if port == seat.port:
            self.registry.give_back(seat, port)
        else:
            with pytest.raises(RefusedError, match="not-offered"):
                self.registry.give_back(seat, port)

    @rule(seat=seats, port=st.none() | ports)
    def confirm(self, seat, port):
        port = port or seat.port or LAST_PORT
        if port == seat.port:
            was_listed = seat.listed
            assert self.registry.confirm(seat, port) is not was_listed
            assert seat.listed
        else:
            with pytest.raises(RefusedError, match="not-offered"):
                self.registry.confirm(seat, port)

    @rule(seat=seats)
    def leave(self, seat):
        was_listed = seat.listed
        assert self.registry.leave(seat) is was_listed
        assert (seat.port, seat.listed) == (0, False)

    @invariant()
    def no_two_seats_hold_one_port(self):
        held = [seat.port for seat in self.all if seat.port]
        assert len(held) == len(set(held))

    @invariant()
    def the_list_is_the_seats_that_confirmed(self):
        listed = {seat.address for seat in self.all if seat.listed}
        assert len(self.registry.members(Registration("10.0.0.9"), "10.0.0.1")) == len(listed)
        told = members(self.registry, Registration(LOOPBACK), LOOPBACK)
        assert {Address(member.ip, member.port) for member in told} == listed
        assert len(told) == len(listed)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
