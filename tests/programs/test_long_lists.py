"""Long lists: what does not fit is said, and a list that is slow to make is waited for."""

from __future__ import annotations

import json
import re
import socket
from contextlib import closing

import pytest
from lies import ok
from processes import PATIENCE, Liar, beside, network
from terminals import terminal

NAMES = 10_050  # some more than the answer to a search holds


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    with network(tmp_path_factory.mktemp("rede")) as programs:
        programs.tracker()
        yield programs


def listing(count, **more):
    body = b"".join(b'{"name": "lista/%05d.txt", "size": 5}\n' % n for n in range(count))
    return ok({"bytes": len(body), "count": count, **more}, body)


def waits(count):
    return b"".join(b'espera {"files": %d}\n' % (n * 5000) for n in range(1, count))


def announce(net, count):
    """Join as a peer would, and announce so many names; return the membership."""
    talk = socket.create_connection((net.ip, net.port), PATIENCE, source_address=(net.ip, 0))
    with talk.makefile("rwb", buffering=0) as wire:
        wire.write(b'join {"version": 1}\n')
        port = json.loads(wire.readline().removeprefix(b"ok "))["port"]
        wire.write(b'ready {"port": %d}\n' % port)
        assert wire.readline() == b"ok\n"
        entry = '{"name": "aula %d", "size": 5, "root": "%s"}\n'
        for start in range(0, count, 2000):
            numbers = range(start, min(start + 2000, count))
            body = "".join(entry % (n, "0" * 64) for n in numbers).encode()
            wire.write(b'announce {"bytes": %d, "count": %d}\n' % (len(body), len(numbers)) + body)
            assert wire.readline() == b"ok\n"
    return talk


@pytest.mark.parametrize("command", ["ls", "buscar aula", "buscar AULA"])
def test_a_search_that_finds_more_than_an_answer_holds_says_so(net, command):
    with closing(announce(net, NAMES)):
        result = net.run(command)
    assert result.status == 0
    assert result.complaints == ["mostrando 10.000 de 10.050; buscar <TEXTO> mostra menos"]


def test_a_search_that_shows_all_says_nothing(net):
    with closing(announce(net, NAMES)):
        result = net.run("buscar 'aula 77'")
    assert result.status == 0 and result.complaints == []


def test_a_list_of_a_peer_that_is_cut_is_said(net):
    with Liar.listed(net, {"ls": listing(100, total=777_777)}) as liar:
        result = net.run(f"ls {liar.ip} {liar.port}", ip=beside(net.ip))
    assert result.out.count("lista/") == 100
    assert "mostrando 100 de 777.777;" in result.err


def test_a_pattern_looked_for_in_a_list_that_is_cut_is_said(net):
    row = b'{"name": "foto0.jpg", "size": 5, "root": "%s"}\n' % (b"0" * 64)
    refusals = dict.fromkeys(("want", "pieces"), b'erro {"code": "not-here"}\n')
    answers = {"ls": ok({"bytes": len(row), "count": 1, "total": 3}, row), **refusals}
    net.hurry(reply_s=1.0)
    with Liar.listed(net, answers, fatal=["pieces", "want"]) as liar:
        result = net.run(f"get {liar.ip} {liar.port} '*0.jpg'", ip=beside(net.ip))
    net.runner = []
    assert "a lista do outro peer veio cortada: ele tem mais 2 arquivos" in result.err


@pytest.mark.parametrize(
    ("script", "answers"),
    [
        ("ls {0.ip} {0.port}", {"ls": waits(40) + listing(3)}),
        ("get {0.ip} {0.port} 'x'", {"stat": waits(40)}),
    ],
)
def test_one_who_waits_for_a_list_is_told_so_once(net, script, answers):
    with Liar.listed(net, answers, fatal=["stat"]) as liar:
        result = net.run(script.format(liar), ip=beside(net.ip))
    assert result.out.count("lista/") == (3 if "ls" in answers else 0)
    assert result.err.count("o outro peer está lendo a lista dele, que é longa: espere") == 1


def test_of_a_long_list_a_terminal_shows_the_beginning_and_a_pipe_all(net):
    with terminal(net) as opened, Liar.listed(net, {"ls": listing(10_000)}) as liar:
        said = opened.enter(f"ls {liar.ip} {liar.port}")
        assert re.search(r"│ lista/00099\.txt +│ 5 B +│ calculando… +│\n└─+", said)
        assert said.endswith("… e mais 9.900\n") and said.count("│") == 100 * 4
        assert net.run(f"ls {liar.ip} {liar.port}", ip=beside(net.ip)).out.count("lista/") == 10_000
        liar.answers["ls"] = listing(12)
        assert opened.enter(f"ls {liar.ip} {liar.port}").count("│") == 12 * 4
