"""The addresses by which other machines know this one."""

from __future__ import annotations

import errno
import socket

import pytest

from rede_p2p.net import address
from rede_p2p.net.address import OwnAddress, own_addresses, way_to
from rede_p2p.net.interfaces import Interface


def ips():
    return [one.ip for one in own_addresses()]


def test_the_addresses_of_this_machine_are_of_use_to_others():
    found = ips()
    assert len(found) == len(set(found))
    assert not [ip for ip in found if ip.startswith(("127.", "169.254.", "fe80")) or ip == "::1"]


@pytest.fixture
def machine(monkeypatch):
    """Give a function that makes this a machine with these interfaces and ways out."""

    def make(*interfaces, ways_out=(), by_name=()):
        found = [Interface(name, i, ips) for i, (name, *ips) in enumerate(interfaces)]
        monkeypatch.setattr(address, "interfaces", lambda: found)
        monkeypatch.setattr(address, "_ways_out", lambda: list(ways_out))
        monkeypatch.setattr(address, "addresses_of_name", lambda: list(by_name))

    return make


def test_an_address_found_twice_is_listed_once_and_one_of_no_use_never(machine):
    useless = ("127.0.0.1", "169.254.0.7", "0.0.0.0", "fe80::7", "::1")
    machine(("eth0", "10.255.0.7", *useless), ways_out=["10.255.0.7"], by_name=["10.255.0.8"])
    assert own_addresses() == [
        OwnAddress("10.255.0.7", "eth0", ""),
        OwnAddress("10.255.0.8", "", ""),
    ]


def test_without_a_way_out_a_usual_network_comes_before_containers_and_vpns(machine):
    machine(
        ("docker0", "172.17.0.1"),
        ("br-0123456789ab", "172.18.0.1"),
        ("tun0", "10.8.0.2"),
        ("virbr0", "192.168.122.1"),
        ("wlan0", "192.168.0.9", "2001:db8::9"),
    )
    assert own_addresses() == [
        OwnAddress("192.168.0.9", "wlan0", ""),
        OwnAddress("2001:db8::9", "wlan0", ""),
        OwnAddress("172.17.0.1", "docker0", "container"),
        OwnAddress("172.18.0.1", "br-0123456789ab", "container"),
        OwnAddress("10.8.0.2", "tun0", "vpn"),
        OwnAddress("192.168.122.1", "virbr0", "virtual"),
    ]


def test_of_two_usual_networks_the_one_with_a_way_out_comes_first_and_a_vpn_never(machine):
    machine(
        ("eth0", "10.0.0.7"),
        ("wlan0", "192.168.0.9"),
        ("wg0", "10.9.0.2"),
        ways_out=["192.168.0.9"],
    )
    assert ips() == ["192.168.0.9", "10.0.0.7", "10.9.0.2"]
    machine(("eth0", "10.0.0.7"), ("wg0", "10.9.0.2"), ways_out=["10.9.0.2"])
    assert ips() == ["10.0.0.7", "10.9.0.2"]


def test_a_machine_that_has_only_a_vpn_has_its_address(machine):
    machine(("lo", "127.0.0.1"), ("tun0", "10.8.0.2"))
    assert own_addresses() == [OwnAddress("10.8.0.2", "tun0", "vpn")]


def test_where_no_way_leads_out_the_system_tells_none_and_the_interfaces_still_do(monkeypatch):
    def unreachable(_sock, _address):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    monkeypatch.setattr(address, "addresses_of_name", list)
    monkeypatch.setattr(address, "interfaces", lambda: [Interface("eth0", 1, ("10.255.0.7",))])
    assert ips() == ["10.255.0.7"]
    monkeypatch.setattr(address, "interfaces", list)
    assert ips() == []


def test_the_way_to_an_address_begins_at_one_of_this_machine():
    assert way_to("127.0.0.1") == "127.0.0.1"
    assert way_to("::ffff:0:0:0") is None or way_to("::1") == "::1"
    assert way_to("fe80::1%nada") is None
