"""Taking a public port: each answer of a tracker, and what the peer says to it."""

from __future__ import annotations

import pytest
from listening import SOON, connected

from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    PortUnavailableError,
    ProtocolError,
    RefusedError,
)
from rede_p2p.protocol.messages import Join, Ok, Ping
from rede_p2p.tracker.joining import ask, take_port

OFFER = b'ok {"port": %d, "ip": "10.0.0.7", "version": 1}\n'


@pytest.fixture
def pair():
    """Return a bare socket, which plays the tracker, and the connection at its other end."""
    with connected(reply_s=SOON) as both:
        yield both


def take(pair, answers, wanted=None, taken=(), name="", web=False):
    """Take a port from a tracker that says this; return it, what was asked, and what was tried."""
    bare, connection = pair
    bare.sendall(answers)
    tried = []

    def open_port(port):
        tried.append(port)
        return port not in taken

    try:
        return take_port(connection, Join(1, wanted, name, web), open_port).port, tried
    finally:
        connection.hang_up()


def asked_of(bare):
    """Return all that the tracker was asked."""
    return b"".join(iter(lambda: bare.recv(1000), b""))


def test_the_offered_port_is_listened_on_and_then_confirmed(pair):
    assert take(pair, OFFER % 5455 + b"ok\n") == (5455, [5455])
    assert asked_of(pair[0]) == b'join {"version": 1}\nready {"port": 5455}\n'


def test_a_name_is_told_once_when_a_peer_joins(pair):
    answers = OFFER % 5455 + OFFER % 5456 + b"ok\n"
    assert take(pair, answers, taken={5455}, name="ana") == (5456, [5455, 5456])
    assert asked_of(pair[0]) == (
        b'join {"version": 1, "name": "ana"}\nbusy {"port": 5455}\nready {"port": 5456}\n'
    )


def test_whether_browsers_are_answered_is_told(pair):
    assert take(pair, OFFER % 5455 + b"ok\n", web=True) == (5455, [5455])
    assert asked_of(pair[0]).startswith(b'join {"version": 1, "web": true}\n')


def test_the_port_that_this_peer_had_is_asked_for(pair):
    assert take(pair, OFFER % 5460 + b"ok\n", wanted=5460) == (5460, [5460])
    assert asked_of(pair[0]) == b'join {"version": 1, "port": 5460}\nready {"port": 5460}\n'


def test_another_port_than_the_one_asked_for_will_do(pair):
    assert take(pair, OFFER % 5455 + b"ok\n", wanted=5460) == (5455, [5455])
    assert asked_of(pair[0]).endswith(b'\nready {"port": 5455}\n')


def test_a_port_taken_on_this_machine_is_given_back_until_one_is_free(pair):
    answers = OFFER % 5455 + OFFER % 5456 + OFFER % 5457 + b"ok\n"
    assert take(pair, answers, taken={5455, 5456}) == (5457, [5455, 5456, 5457])
    assert asked_of(pair[0]) == (
        b'join {"version": 1}\nbusy {"port": 5455}\nbusy {"port": 5456}\nready {"port": 5457}\n'
    )


def test_a_tracker_that_offers_only_taken_ports_is_given_up_in_the_end(pair):
    answers = b"".join(OFFER % port for port in range(5455, 5455 + 512 + 1))
    with pytest.raises(ConnectionLostError, match="no-port"):
        take(pair, answers, taken=range(65536))
    asked = asked_of(pair[0]).splitlines()
    assert asked == [b'join {"version": 1}'] + [
        b'busy {"port": %d}' % port for port in range(5455, 5455 + 512)
    ]


def test_a_tracker_that_speaks_another_version_is_not_joined(pair):
    answer = b'ok {"port": 5455, "ip": "10.0.0.7", "version": 2}\n'
    with pytest.raises(RefusedError) as caught:
        take(pair, answer)
    assert caught.value.code == "version"
    assert asked_of(pair[0]) == b'join {"version": 1}\n'


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        (b'erro {"code": "version"}\n', "version"),
        (b'erro {"code": "no-port"}\n', "no-port"),
        (b'erro {"code": "full"}\n', "full"),
        (OFFER % 5455 + b'erro {"code": "no-port"}\n', "no-port"),
    ],
)
def test_a_tracker_that_says_no_is_believed(pair, answers, code):
    with pytest.raises(RefusedError) as caught:
        take(pair, answers, taken={5455})
    assert caught.value.code == code


@pytest.mark.parametrize(
    "answers",
    [b"espera\n", OFFER % 5455 + b'espera {"place": 1}\n' + b"ok\n"],
    ids=["join", "ready"],
)
def test_a_tracker_that_says_not_yet_breaks_the_rules(pair, answers):
    with pytest.raises(ProtocolError, match="stranger"):
        take(pair, answers)


@pytest.mark.parametrize("port", [b"0", b"22", b"1023", b"65536", b"true", b'"5455"'])
def test_an_offer_of_a_port_that_is_none_of_a_peers_is_not_tried(pair, port):
    with pytest.raises(ProtocolError, match="bad-field"):
        take(pair, b'ok {"port": %b, "ip": "10.0.0.7", "version": 1}\n' % port)


def test_what_keeps_this_machine_from_listening_is_told_as_it_is(pair):
    bare, connection = pair

    def deny(port):
        raise PortUnavailableError(Address("10.0.0.7", port), "denied")

    bare.sendall(OFFER % 5455)
    with pytest.raises(PortUnavailableError, match="denied"):
        take_port(connection, Join(1), deny)
    connection.hang_up()
    assert asked_of(bare) == b'join {"version": 1}\n'


def test_a_tracker_that_leaves_meanwhile_is_lost(pair):
    bare, connection = pair
    bare.sendall(OFFER % 5455)

    def open_port(_port):
        bare.close()
        return True

    with pytest.raises(ConnectionLostError, match="lost"):
        take_port(connection, Join(1), open_port)


def test_any_other_question_is_answered_or_refused_at_once_too(pair):
    bare, connection = pair
    bare.sendall(b'ok\nerro {"code": "join-first"}\nespera\n')
    assert ask(connection, Ping(), Ok) == Ok()
    with pytest.raises(RefusedError, match="join-first"):
        ask(connection, Ping(), Ok)
    with pytest.raises(ProtocolError, match="stranger"):
        ask(connection, Ping(), Ok)


def test_an_answer_is_waited_for_as_long_as_the_caller_says(pair):
    with pytest.raises(ConnectionLostError, match="silent"):
        ask(pair[1], Ping(), Ok, timeout=0.05)
