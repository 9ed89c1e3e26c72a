"""``diagnostico`` on one machine; in whole networks: tests/programs/test_troubles.py."""

from __future__ import annotations

import json

import pytest

from rede_p2p.cli import diagnosis

pytest_plugins = ["sessions"]


def test_each_line_is_an_object_and_the_advice_is_the_last(rede):
    result = rede.run("diagnostico", "--json")
    *lines, last = [json.loads(line) for line in result.out.splitlines()]
    assert last.keys() == {"advice", "cause", "status"} and last["status"] == result.status
    looks = [line["look"] for line in lines if "look" in line]
    assert looks[:4] == ["programa", "relógio", "disco", "endereços desta máquina"]


def test_a_peer_of_the_trackers_machine_does_not_know_what_others_reach(rede):
    source = rede.source({"a.txt": b"a"})
    lines = rede.run("diagnostico").out.splitlines()
    assert [
        line
        for line in lines
        if line.startswith("[não sei] minha porta") and "desta máquina" in line
    ]
    assert [
        line for line in lines if line.startswith(f"[certo] peer {source.address}: responde em ")
    ]


def test_of_many_peers_some_are_looked_at_and_the_others_counted(rede, monkeypatch):
    monkeypatch.setattr(diagnosis, "MAX_PEERS", 1)
    rede.source({})
    rede.source({})
    out = rede.run("diagnostico").out
    assert out.count("] peer ") == 1 and "e mais 1 peer, a que não olhei" in out


def test_a_clock_that_is_behind_is_told(rede, monkeypatch):
    monkeypatch.setattr(diagnosis, "time", lambda: 1e9)
    assert "[falha] relógio" in rede.run("diagnostico").out


def test_a_disk_that_does_not_answer_keeps_nobody(rede, monkeypatch):
    monkeypatch.setattr(diagnosis, "within", lambda _s, _look, otherwise: otherwise)
    result = rede.run("diagnostico")
    assert "[não sei] disco" in result.out and result.status == 1  # without an address: no network


@pytest.mark.parametrize("below", ["", "nova", "nova/mais"])
def test_nothing_is_made_or_left_where_it_looks(tmp_path, below):
    free, problem = diagnosis._look_at_disk(tmp_path / below)
    assert free > 0 and problem is None and list(tmp_path.iterdir()) == []


def test_a_script_of_more_than_that_joins_first(rede):
    rede.port = 1
    result = rede.run("diagnostico; peers")
    assert result.status == 3 and result.out == ""
