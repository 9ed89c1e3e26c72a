"""The interfaces of this machine, and those of one made for the test."""

from __future__ import annotations

import ast
import socket
import sys

import pytest
from processes import Machine, machines, network

from rede_p2p.net import interfaces as module
from rede_p2p.net.interfaces import Interface, addresses_of_name, interfaces, kind_of

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
        found = {
            one["name"]: one for one in ast.literal_eval(programs.start_script(says).end().out)
        }
    assert set(found) == {"lo", "cabo"}
    assert {"10.77.0.1", "fd00::7"} <= set(found["cabo"]["ips"])
    assert found["cabo"]["ips"][0] == "10.77.0.1"
    assert found["cabo"]["broadcast"] == "10.77.0.255" and found["lo"]["broadcast"] is None


KINDS = {
    "": ["eth0", "enp3s0", "wlan0", "wlp2s0", "en0", "bond0", "br0", "bridge0", "wire0", "eno1"],
    "container": ["docker0", "br-0123456789ab", "veth12ab", "podman1", "cni0", "lxdbr0"],
    "virtual": ["virbr0", "vmnet8", "vboxnet0", "vnet3", "bridge100"],
    "vpn": ["tun0", "tap0", "utun3", "wg0", "tailscale0", "ztabc", "ppp0", "nordlynx"],
}


@pytest.mark.parametrize(
    ("kind", "name"), [(k, name) for k, names in KINDS.items() for name in names]
)
def test_what_a_network_seems_to_be_is_told_by_the_name_of_its_interface(kind, name):
    assert kind_of(name, "172.17.0.1") == kind


@pytest.mark.parametrize(
    ("ip", "kind"),
    [
        ("172.17.0.1", "container"),
        ("192.168.56.1", "virtual"),
        ("100.101.1.1", "vpn"),
        ("192.168.0.9", ""),
        ("fd00::7", ""),
    ],
)
def test_where_no_interface_has_a_name_the_address_tells(ip, kind):
    assert kind_of("", ip) == kind


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


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("10.0.0.9 0x1 0x2 02:00:00:00:00:01 * eth0", True),
        ("10.0.0.9 0x1 0x0 00:00:00:00:00:00 * eth0", False),
        ("10.0.0.8 0x1 0x2 02:00:00:00:00:01 * eth0", None),
        ("x", None),
        (None, None),
    ],
)
def test_whether_a_machine_is_on_the_link_is_what_the_system_tells(
    tmp_path, monkeypatch, table, told
):
    if table is not None:
        (tmp_path / "arp").write_text(f"IP address HW type Flags …\n{table}\n", encoding="utf-8")
    monkeypatch.setattr(module, "_ARP_TABLE", tmp_path / "arp")
    assert module.answers_on_the_link("10.0.0.9") is told
