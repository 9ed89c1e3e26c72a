"""Names of machines, as a system would tell their addresses."""

from __future__ import annotations

import socket
from threading import Event

import pytest

from rede_p2p.errors import UnknownMachineError
from rede_p2p.net.resolver import addresses_of, may_be_name
from rede_p2p.timeouts import Timeouts

PATIENT = Timeouts(name_s=20.0)
NAMES = [
    "prof-pc",
    "prof-pc.local",
    "PC_7.sala.escola.br",
    "a",
    "pc1.",
    "josé",
    "xn--jos-dma",
    "7a.b",
]
NO_NAMES = [
    *("", ".", "-a", "a-", "a..b", "a b", "a/b", "*.png", "[::1]", "::1", "10.0.0.1", "10.0.0"),
    *("1", "0x7f.1", "a.7", "a" * 64, "a." * 130, "a\n", "\x1b[2J", "\ud800", "fe80::1%eth0"),
]


@pytest.mark.parametrize("text", NAMES)
def test_a_name_has_this_form(text):
    assert may_be_name(text)


@pytest.mark.parametrize("text", NO_NAMES, ids=lambda text: ascii(text)[:20])
def test_what_has_another_form_is_never_asked_for(text):
    assert not may_be_name(text)


def system(monkeypatch, *raws):
    """Have the system tell these addresses."""
    infos = [(socket.AF_INET6 if ":" in raw[0] else socket.AF_INET, 1, 6, "", raw) for raw in raws]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_words, **_options: infos)


def test_the_addresses_of_a_name_come_once_each_and_those_of_ipv4_first(monkeypatch):
    six, four = ("2001:db8::7", 0, 0, 0), ("10.0.0.7", 0)
    system(monkeypatch, six, four, six, four)
    assert addresses_of("pc", PATIENT) == ["10.0.0.7", "2001:db8::7"]


def test_a_link_local_address_comes_with_its_zone_or_not_at_all(monkeypatch):
    index, name = socket.if_nameindex()[0]
    system(monkeypatch, ("fe80::7", 0, 0, index), ("fe80::8", 0, 0, 0))
    assert addresses_of("pc", PATIENT) == [f"fe80::7%{name}"]


def test_a_name_of_this_machine_means_its_usual_loopback_address_too(monkeypatch):
    system(monkeypatch, ("127.0.1.1", 0))
    assert addresses_of("pc", PATIENT) == ["127.0.1.1", "127.0.0.1"]


def test_a_name_that_means_no_one_machine_is_unknown(monkeypatch):
    system(monkeypatch, ("0.0.0.0", 0), ("239.1.2.3", 0))
    with pytest.raises(UnknownMachineError) as caught:
        addresses_of("pc", PATIENT)
    assert (caught.value.name, caught.value.reason) == ("pc", "unknown")


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_NONAME, "Name unknown"), UnicodeError("label too long")]
)
def test_a_name_that_the_system_does_not_know_is_told(monkeypatch, error):
    def fail(*_words, **_options):
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(UnknownMachineError) as caught:
        addresses_of("pc", PATIENT)
    assert (caught.value.name, caught.value.reason) == ("pc", "unknown")


def test_a_system_that_does_not_answer_is_waited_for_no_longer_than_so(monkeypatch):
    answered = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_words, **_options: answered.wait() and [])
    with pytest.raises(UnknownMachineError) as caught:
        addresses_of("pc", Timeouts(name_s=0.01))
    assert caught.value.reason == "silent"
    answered.set()
