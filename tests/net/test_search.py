"""Searching a network for its trackers: machines made for the test, and liars among them."""

from __future__ import annotations

import re
import socket
from contextlib import closing
from threading import Thread

import pytest
from processes import Machine, machines, network

from rede_p2p.errors import Address
from rede_p2p.net import search as module
from rede_p2p.net.discovery import GROUP_4, GROUP_6
from rede_p2p.net.search import search
from rede_p2p.protocol import codec
from rede_p2p.protocol.datagrams import BY_UDP, TrackerLocation
from rede_p2p.protocol.messages import PROTOCOL_VERSION
from rede_p2p.timeouts import Timeouts

alone = pytest.mark.skipif(bool(machines()), reason=f"no network of its own: {machines()}")

SEARCH = """
from rede_p2p.net import search as module
from rede_p2p.timeouts import Timeouts

def ask(targets, question, ask=module._ask, ways={ways!r}):
    kept = [(sock, [to for to in every if not ways or to[0] in ways]) for sock, every in targets]
    ask(kept, question)

module._ask = ask
found = module.search({source!r}, timeouts=Timeouts(search_s=3.0, search_several_s=0.5))
print(*(f"{{one.address}} {{bool(one.id)}} {{one.opening}}" for one in found))
"""


def searched(programs, source=None, ways=()):
    """Search from a machine, by all ways or by some of them; return what was found."""
    return programs.start_script(SEARCH.format(source=source, ways=ways)).end().out.strip()


@pytest.fixture
def two(tmp_path):
    """Give two machines that a cable joins, and the programs of each."""
    folders = tmp_path / "um", tmp_path / "dois"
    for folder in folders:
        folder.mkdir()
    with Machine() as one, Machine(one) as other:
        one.joined_to(other, "10.77.0.1", "10.77.0.2")
        with (
            network(folders[0], one.prefix) as here,
            network(folders[1], other.prefix) as there,
        ):
            yield one, here, other, there


def no_groups(one, other):
    for machine in (one, other):
        machine.sets("ipv6/conf/all/disable_ipv6", 1)
    one.sets("ipv4/igmp_max_memberships", 0)


def no_ipv4(one, other):
    for machine, ip in ((one, "fe80::77:1"), (other, "fe80::77:2")):
        machine.ip("addr", "flush", "dev", "wire0")
        machine.has(ip)


@alone
@pytest.mark.parametrize(
    ("block", "found"),
    [
        (lambda *_: None, "10.77.0.1:9999"),
        (no_groups, "10.77.0.1:9999"),
        (no_ipv4, "[fe80::77:1%wire0]:9999"),
    ],
    ids=["nothing", "multicast", "IPv4"],
)
def test_a_tracker_is_found_once_whatever_is_blocked(two, block, found):
    one, here, other, there = two
    block(one, other)
    here.start("Servidor.py", "9999").says("Ctrl-C encerra")
    assert searched(there) == f"{found} True False"


@alone
def test_a_tracker_is_found_by_each_way_alone(two):
    _, here, _, there = two
    here.start("Servidor.py", "9999").says("Ctrl-C encerra")
    for way in (GROUP_4, "255.255.255.255", "10.77.0.255"):
        assert searched(there, ways=[way]) == "10.77.0.1:9999 True False", way
    assert re.fullmatch(r"\[fe80::.*%wire0\]:9999 True False", searched(there, ways=[GROUP_6]))


@alone
def test_a_tracker_of_one_address_is_found_on_its_network_and_on_no_other(two):
    one, here, other, there = two
    for machine, ip in ((one, "10.78.0.1"), (other, "10.78.0.2")):
        machine.ip("link", "add", "outra", "type", "veth", "peer", "name", "ponta")
        machine.has(ip, "outra")
    for ip, found in (("10.77.0.1", "10.77.0.1:9999 True False"), ("10.78.0.1", "")):
        tracker = here.start("Servidor.py", "9999", "--ip", ip)
        tracker.says("Ctrl-C encerra")
        assert searched(there) == found
        tracker.interrupt()
        assert tracker.end().status == 130


@alone
def test_a_search_from_one_address_leaves_by_its_interface_alone(two):
    _, here, other, there = two
    other.ip("link", "add", "outra", "type", "veth", "peer", "name", "ponta")
    other.has("10.78.0.2", "outra")
    here.start("Servidor.py", "9999").says("Ctrl-C encerra")
    assert searched(there, "10.77.0.2") == "10.77.0.1:9999 True False"
    assert searched(there, "10.78.0.2") == ""


def test_where_there_is_no_network_a_search_ends_at_once(monkeypatch):
    monkeypatch.setattr(module, "interfaces", list)
    assert search(timeouts=Timeouts(search_s=1e6)) == []
    assert search("127.0.0.7", timeouts=Timeouts(search_s=1e6)) == []


# Answers, each from an address of its own, to a search that a test has sent to itself.


@pytest.fixture
def answered(monkeypatch, host):
    """Give a function that searches while ``answer`` says what comes back, and from where."""

    def run(answer, **options):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
            listening.bind((host, 0))

            def targets(_source, stack):
                sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sock.setblocking(False)
                sock.bind((host, 0))
                return [(sock, [listening.getsockname()])]

            def attend():
                while (found := listening.recvfrom(1000))[0] != b"stop":
                    question = codec.decode_request(found[0], BY_UDP)
                    for ip, said in answer(question.nonce):
                        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                            sock.bind((ip, 0))
                            sock.sendto(said, found[1])

            monkeypatch.setattr(module, "_targets", targets)
            attending = Thread(target=attend)
            attending.start()
            try:
                timeouts = Timeouts(search_s=0.5, search_interval_s=1.0, search_several_s=0.3)
                return search(timeouts=timeouts, **options)
            finally:
                with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as last:
                    last.sendto(b"stop", listening.getsockname())
                attending.join()

    return run


def location(nonce, tracker_id="", *, port=9450, opening=False, name=""):
    said = TrackerLocation(nonce, port, PROTOCOL_VERSION, tracker_id, opening, name)
    return codec.encode_reply(said)


def test_answers_with_one_id_are_one_tracker_and_those_without_are_told_by_address(answered):
    found = answered(
        lambda nonce: [
            ("127.9.0.1", location(nonce, "a")),
            ("127.9.0.2", location(nonce, "a")),
            ("127.9.0.3", location(nonce)),
            ("127.9.0.3", location(nonce)),
            ("127.9.0.4", location(nonce, port=7)),
            ("127.9.0.5", location(nonce, "b", opening=True)),
        ]
    )
    assert {one.id for one in found} == {"", "a", "b"}
    assert len(found) == 4
    assert Address("127.9.0.4", 7) in [one.address for one in found]
    assert [one.id for one in found if one.opening] == ["b"]


def test_each_tracker_has_the_name_that_it_said_first_if_it_may_be_one(answered):
    found = answered(
        lambda nonce: [
            ("127.9.0.1", location(nonce, "a", name="prof-pc")),
            ("127.9.0.2", location(nonce, "a", name="outra")),
            ("127.9.0.3", location(nonce, "b")),
            ("127.9.0.4", location(nonce, "c", name="\x1b[2J")),
            ("127.9.0.5", location(nonce, "d", name="10.0.0.7")),
            ("127.9.0.6", location(nonce, "e", name="x" * 100)),
        ]
    )
    assert {one.id: one.name for one in found} == {
        **{"a": "prof-pc", "b": "", "c": "", "d": "", "e": ""}
    }


def test_ones_own_tracker_and_what_is_no_answer_are_not_found(answered):
    found = answered(
        lambda nonce: [
            ("127.9.0.1", location(nonce, "own")),
            ("127.9.0.1", location("another", "a")),
            ("127.9.0.1", b""),
            ("127.9.0.1", b"\xff" * 500),
            ("127.9.0.1", codec.encode_reply(codec.Refusal("no"))),
            ("127.9.0.1", codec.encode_reply(codec.Pending(place=1))),
            ("127.9.0.1", b'ok {"nonce": "%b", "port": 0, "version": 1}\n' % nonce.encode()),
        ],
        own_id="own",
    )
    assert found == []


def test_whoever_answers_for_very_many_is_one_and_fills_no_memory(answered):
    found = answered(lambda nonce: [("127.9.0.1", location(nonce, str(i))) for i in range(200)])
    assert [one.id for one in found] == ["0"]
    found = answered(lambda nonce: [(f"127.9.0.{i}", location(nonce, str(i))) for i in range(99)])
    assert len(found) <= module.MAX_FOUND


def test_all_who_say_an_id_are_kept_as_any_of_them_may_lie(answered):
    places = ["127.9.0.2", "127.9.0.1"]
    (found,) = answered(lambda nonce: [(ip, location(nonce, "a")) for ip in places])
    assert found.addresses == tuple(Address(ip, 9450) for ip in places)
