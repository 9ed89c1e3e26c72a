"""The interfaces of this machine, and those of one made for the test."""

from __future__ import annotations

import ast
import socket
import sys

import pytest
from processes import Machine, machines, network

from rede_p2p.net import interfaces as module
from rede_p2p.net.interfaces import Interface, addresses_of_name, interfaces

alone = pytest.mark.skipif(bool(machines()), reason=f"no network of its own: {machines()}")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux and macOS name interfaces")
def test_loopback_is_an_interface_with_its_addresses():
    (lo,) = (one for one in interfaces() if one.name == "lo")
    assert lo.index == socket.if_nametoindex("lo")
    assert lo.ips[0] == "127.0.0.1"


@alone
def test_each_interface_has_its_addresses_and_its_broadcast(tmp_path):
    with Machine() as machine, network(tmp_path, machine.prefix) as programs:
        machine.ip("link", "add", "cabo", "type", "veth", "peer", "name", "solto")
        machine.has("10.77.0.1", "cabo")
        machine.has("fd00::7", "cabo")
        says = "from rede_p2p.net.interfaces import *; print([vars(one) for one in interfaces()])"
        found = {one["name"]: one for one in ast.literal_eval(programs.start("-c", says).end().out)}
    assert set(found) == {"lo", "cabo"}
    assert {"10.77.0.1", "fd00::7"} <= set(found["cabo"]["ips"])
    assert found["cabo"]["ips"][0] == "10.77.0.1"
    assert found["cabo"]["broadcast"] == "10.77.0.255" and found["lo"]["broadcast"] is None


def test_where_the_system_names_no_interface_its_addresses_are_all_that_is_known(monkeypatch):
    monkeypatch.setattr(module, "_REQUESTS", {})
    infos = [(0, 0, 0, "", (ip, 0)) for ip in ("10.255.0.7", "fe80::7%3")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_words, **_options: infos)
    assert interfaces() == [Interface("", 0, ("10.255.0.7",)), Interface("", 0, ("fe80::7",))]


def test_a_machine_whose_name_nobody_knows_has_no_address_by_it(monkeypatch):
    def unknown(*_words, **_options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert addresses_of_name() == []
