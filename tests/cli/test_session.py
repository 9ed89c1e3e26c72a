"""How the commands begin: how many words they have, and whom they may speak to."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rede_p2p.cli.session import as_error, expect, listed, reporter
from rede_p2p.cli.shell import Command
from rede_p2p.errors import Address, BadUsageError, InterruptedByUserError, PeerNotListedError
from rede_p2p.events import InternalError
from rede_p2p.protocol.codec import Pending
from rede_p2p.protocol.messages import PeerEntry

pytest_plugins = ["sessions"]


@pytest.mark.parametrize("words", [(), ("a",), ("a", "b")])
def test_a_command_with_as_many_words_as_it_has_is_let_through(words):
    expect(Command("x", words), len(words), "ls")


@pytest.mark.parametrize(
    "command",
    [Command("x", ()), Command("x", ("a b", "c")), Command("x", ("a",), background=True)],
)
def test_too_few_words_too_many_or_a_background_is_wrong(command):
    with pytest.raises(BadUsageError) as caught:
        expect(command, 1, "torrent")
    assert (caught.value.kind, caught.value.text) == ("torrent", " ".join(command.words))


def test_only_the_peers_that_the_tracker_lists_are_found_oneself_last(rede):
    other = rede.source({}).address

    def menu(session):
        own = Address(rede.host, session.client.port)
        assert listed(session, [other.ip], None) == [[other], []]
        assert listed(session, [other.ip], other.port) == [[other], []]
        assert listed(session, [own.ip], None) == [[], [own]]
        for ip, port in ((other.ip, own.port), ("192.0.2.1", None)):
            with pytest.raises(PeerNotListedError) as caught:
                listed(session, [ip], port)
            assert (caught.value.ip, caught.value.port) == (ip, port)

    assert rede.be(menu).status == 0


def test_loopback_means_this_machine_where_a_tracker_elsewhere_lists_it_by_another_ip():
    here = [PeerEntry("10.0.0.7", port, port == 5455) for port in (5455, 5456)]
    members = [*here, PeerEntry("10.0.0.8", 5457), PeerEntry("127.0.0.9", 5458)]
    session = SimpleNamespace(
        client=SimpleNamespace(roster=lambda: SimpleNamespace(members=members))
    )
    own, beside = Address("10.0.0.7", 5455), Address("10.0.0.7", 5456)
    for ip in ("127.0.0.1", "::1"):
        assert listed(session, [ip], None) == [[beside], [own]]
        assert listed(session, [ip], 5456) == [[beside], []]
    assert listed(session, ["127.0.0.9"], None) == [[Address("127.0.0.9", 5458)], []]
    for ip, port in (("127.0.0.9", 5456), ("127.0.0.1", 5457), ("10.0.0.9", None)):
        with pytest.raises(PeerNotListedError):
            listed(session, [ip], port)


def test_a_peer_that_says_anything_about_its_progress_is_quoted_a_few_times():
    told = []
    terminal = SimpleNamespace(post=told.append, show_events=lambda: None, note=told.append)
    report = reporter(SimpleNamespace(terminal=terminal))
    for number in range(1000):
        report(Pending(done=number % 10, size=10))
        report(Pending(done=number, size=1))
        report(Pending())
    assert len(told) <= 12
    assert all(one.done <= one.size for one in told)


def test_whatever_a_command_raises_can_be_told_and_has_a_status():
    wrong, bug = BadUsageError("get"), ZeroDivisionError("x")
    assert as_error(wrong) is wrong
    assert isinstance(as_error(KeyboardInterrupt()), InterruptedByUserError)
    assert as_error(bug) == InternalError(bug) and as_error(bug).status == 1
