"""The addresses by which other machines know this one."""

from __future__ import annotations

import errno
import socket

from rede_p2p.net import address
from rede_p2p.net.address import own_addresses
from rede_p2p.net.interfaces import Interface


def test_the_addresses_of_this_machine_are_of_use_to_others():
    found = own_addresses()
    assert len(found) == len(set(found))
    assert not [ip for ip in found if ip.startswith(("127.", "169.254.", "fe80")) or ip == "::1"]


def of_interfaces(monkeypatch, *ips):
    found = [Interface(f"eth{i}", i, (ip,)) for i, ip in enumerate(ips)]
    monkeypatch.setattr(address, "interfaces", lambda: found)


def test_an_address_found_twice_is_listed_once_and_one_of_no_use_never(monkeypatch):
    before = own_addresses()
    of_interfaces(
        monkeypatch,
        *("10.255.0.7", "127.0.0.1", "10.255.0.7", "169.254.0.7", "0.0.0.0", "10.255.0.8"),
    )
    found = own_addresses()
    assert [ip for ip in found if ip not in before] == ["10.255.0.7", "10.255.0.8"]


def test_a_machine_whose_name_nobody_knows_has_its_addresses_all_the_same(monkeypatch):
    def unknown(*_words, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    of_interfaces(monkeypatch, "10.255.0.7")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "10.255.0.7" in own_addresses()


def test_where_no_way_leads_out_the_interfaces_still_tell(monkeypatch):
    def unreachable(_sock, _address):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    of_interfaces(monkeypatch, "10.255.0.7")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_words, **_options: [])
    monkeypatch.setattr(socket.socket, "connect", unreachable)
    assert own_addresses() == ["10.255.0.7"]
    of_interfaces(monkeypatch)
    assert own_addresses() == []
