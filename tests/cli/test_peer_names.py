"""Whom a word means: a row of the last table, a peer by its name, or an address."""

from __future__ import annotations

import pytest
from processes import Liar, network

from rede_p2p.cli import get_command, peer_names
from rede_p2p.cli.error_texts import USAGE
from rede_p2p.errors import (
    Address,
    AmbiguousPeerError,
    BadUsageError,
    UnknownMachineError,
    UnknownPeerError,
)
from rede_p2p.protocol.messages import PeerEntry

pytest_plugins = ["sessions"]


def test_a_name_is_an_address_in_any_case_and_form_of_its_letters(rede):
    ana = rede.source({}, "João  Ana").address

    def menu(session):
        for word in ("João  Ana", "joão ana", "JOA\u0303O\u00a0ANA"):
            assert peer_names.place(session, word, None) == ([ana.ip], ana.port)
        assert peer_names.place(session, "joão ana", ana.port) == ([ana.ip], ana.port)
        assert peer_names.known(session, "joão", None) is None
        assert peer_names.known(session, "", None) is None  # as whoever has no name

    assert rede.be(menu).status == 0


def test_of_one_name_each_is_told_by_its_port_while_both_are_there():
    entries = [
        PeerEntry("10.0.0.7", 5455, name="pc"),
        PeerEntry("10.0.0.7", 5456, name="PC"),
        PeerEntry("10.0.0.8", 5457, name="ana"),
        PeerEntry("10.0.0.9", 5458),
        PeerEntry("10.0.0.9", 5459),
    ]
    assert peer_names.labels(entries) == ["pc:5455", "PC:5456", "ana", "", ""]
    assert peer_names.labels(entries[1:]) == ["PC", "ana", "", ""]


def test_an_address_means_itself_whatever_a_peer_is_called(rede):
    rede.source({}, "10.0.0.7")
    rede.source({}, "localhost", 2)

    def menu(session):
        assert peer_names.place(session, "10.0.0.7", None) == (["10.0.0.7"], None)
        assert peer_names.place(session, "localhost", 5455) == (["127.0.0.1"], 5455)
        assert [one.name for one in session.client.roster().members] == [""] * 3

    assert rede.be(menu).status == 0


def test_a_number_is_a_row_of_the_last_table_whatever_a_peer_is_called(rede):
    rede.source({}, "1")

    def menu(session):
        with pytest.raises(BadUsageError) as caught:
            peer_names.place(session, "1", None)
        assert (caught.value.kind, caught.value.text) == ("no-row", "1")
        session.rows[:] = [Address("10.0.0.7", 5455), Address("10.0.0.8", 5456)]
        assert peer_names.place(session, "2", None) == (["10.0.0.8"], 5456)
        assert peer_names.place(session, "2", 7000) == (["10.0.0.8"], 7000)
        for word in ("0", "3", "9" * 5000):
            with pytest.raises(BadUsageError):
                peer_names.place(session, word, None)

    assert rede.be(menu).status == 0


def test_two_of_one_name_are_named_with_their_addresses(rede):
    first, second = rede.source({}, "ana").address, rede.source({}, "Ana", 2).address

    def menu(session):
        with pytest.raises(AmbiguousPeerError) as caught:
            peer_names.place(session, "ana", None)
        assert (caught.value.peer, caught.value.choices) == ("ana", (first, second))
        assert peer_names.place(session, "ana", second.port) == ([second.ip], second.port)

    assert rede.be(menu).status == 0


def test_peers_of_one_name_and_one_address_are_that_address(rede):
    first, _ = rede.source({}, "pc").address, rede.source({}, "pc").address

    def menu(session):
        assert peer_names.place(session, "pc", None) == ([first.ip], None)

    assert rede.be(menu).status == 0


def test_what_is_no_name_of_a_peer_may_be_that_of_a_machine(rede, monkeypatch):
    def unknown(name):
        raise UnknownMachineError(name, "unknown")

    monkeypatch.setattr("rede_p2p.cli.options.addresses_of", unknown)
    rede.source({}, "Joaquim")

    def menu(session):
        with pytest.raises(UnknownMachineError):
            peer_names.place(session, "prof-pc", None)
        with pytest.raises(BadUsageError):
            peer_names.place(session, "10.0.0.777", None)
        for near in ("juaquim", "JOAQUIN", "joa quim"):
            with pytest.raises(UnknownPeerError) as caught:
                peer_names.place(session, near, None)
            assert (caught.value.peer, caught.value.suggestion) == (near, "Joaquim")

    assert rede.be(menu).status == 0


def test_a_name_of_a_peer_is_not_asked_of_the_system(rede, monkeypatch):
    monkeypatch.setattr("rede_p2p.cli.options.addresses_of", pytest.fail)
    ana = rede.source({}, "ana").address

    def menu(session):
        assert peer_names.place(session, "ana", None) == ([ana.ip], ana.port)

    assert rede.be(menu).status == 0


# Typed.


def files_of(result):
    assert result.status == 0, result
    lines = result.out.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("Arquivos compartilhados"))
    return [line.split("\t")[0] for line in lines[start + 1 :]]


def test_ls_takes_a_name_or_a_row_with_or_without_a_port_and_masks(rede):
    port = rede.source({"a.txt": b"a", "b.pdf": b"b"}, "ana").address.port
    assert files_of(rede.run("ls ana")) == ["a.txt", "b.pdf"]
    assert files_of(rede.run("ls ANA '*.pdf' -l")) == ["b.pdf"]
    assert files_of(rede.run(f"ls ana {port} '*.pdf'")) == ["b.pdf"]
    assert files_of(rede.run(f"ls ana:{port}")) == ["a.txt", "b.pdf"]
    assert files_of(rede.run("peers; ls 2 a.txt")) == ["a.txt"]
    result = rede.run("ls ana 1")
    assert result.status == 4 and ":1 não está na lista" in result.err


def test_get_takes_a_name_or_a_row(rede):
    port = rede.source({"a.txt": b"a", "b.txt": b"b", "c.txt": b"c"}, "ana").address.port
    assert rede.run("get ana a.txt").status == 0
    assert rede.run("peers; get 2 'b*'").status == 0
    assert rede.run(f"get ana {port} c.txt").status == 0
    assert {path.name for path in rede.downloads.iterdir()} == {"a.txt", "b.txt", "c.txt"}


def test_whoever_a_get_names_by_any_way_is_the_one_that_was_named(rede):
    rede.source({"a.txt": b"a"}, "ana", 2)

    def menu(session):
        session.rows[:] = [Address(m.ip, m.port) for m in session.client.roster().members]
        place = peer_names.known(session, "ana", None)
        for address, names in ((None, ["ana", "a.txt"]), (place, ["a.txt"])):
            selection, named = get_command._choose(session, address, names)
            assert named and [one.name for one in selection.requests] == ["a.txt"]

    assert rede.be(menu).status == 0


def test_of_two_of_one_name_neither_is_asked_and_both_are_named(rede):
    places = [rede.source({"a.txt": b"a"}, "ana", steps).address for steps in (1, 2)]
    shown = ", ".join(f"ana:{port} em {ip}" for ip, port in places)
    for line in ("ls ana", "get ana a.txt"):
        result = rede.run(line)
        assert (result.status, result.out) == (2, "")
        told = result.err.splitlines()[-1]
        assert told == f"há mais de um peer com o nome ana: diga {shown}"
    for _, port in places:
        assert f"\tana:{port}\t" in rede.run("peers").out
        assert files_of(rede.run(f"ls ana:{port}")) == ["a.txt"]
        assert files_of(rede.run(f"ls Ana {port}")) == ["a.txt"]
    assert rede.run(f"get ana:{places[1].port} a.txt").status == 0


def test_ls_of_several_on_one_address_names_them_too(rede):
    places = [rede.source({}, "pc").address for _ in range(2)]
    result = rede.run("ls pc")
    assert result.status == 2
    assert ", ".join(f"pc:{port} em {ip}" for ip, port in places) in result.err


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [("ls 1", "no-row", "1"), ("get 3 a.txt", "no-row", "3")],
)
def test_a_row_that_no_table_had_is_told(rede, line, kind, text):
    result = rede.run(line)
    assert (result.status, result.out) == (2, "")
    assert result.err.splitlines()[-1] == USAGE[kind].format(text)


@pytest.mark.parametrize(
    ("line", "status", "hint"),
    [
        ("ls anna", 2, "nenhum peer se chama “anna”: você quis dizer ana?"),
        ("ls prof-pc", 2, "nenhum peer se chama “prof-pc”: veja os nomes com peers"),
        ("ls 'uma frase'", 2, "nenhum peer se chama “uma frase”: veja os nomes com peers"),
        (
            "get anna a.txt",
            5,
            "compartilha anna, e nenhum peer se chama assim: você quis dizer ana?",
        ),
        (
            "get anna z.txt",
            5,
            "compartilha anna, e nenhum peer se chama assim: você quis dizer ana?",
        ),
        ("get 'b c' z.txt", 5, "nenhum peer se chama assim: veja os nomes com ls e com peers"),
        ("get ana", 2, "use: get"),
        ("get ANA:5455", 2, "use: get"),
        ("get anna", 5, "compartilha anna: veja os nomes com ls"),
    ],
)
def test_who_is_not_there_is_told_with_the_nearest_name(rede, monkeypatch, line, status, hint):
    def unknown(name):
        raise UnknownMachineError(name, "unknown")

    monkeypatch.setattr("rede_p2p.cli.options.addresses_of", unknown)
    rede.source({"a.txt": b"a"}, "ana")
    result = rede.run(line)
    assert result.status == status
    assert hint in result.err


def test_a_name_that_a_tracker_may_not_tell_is_left_out_of_the_list(tmp_path):
    bad = [rb'"\u001b[2J"', b"7", b"null", b'"10.0.0.9"', b'"' + b"x" * 65 + b'"', rb'"\ud800"']
    name = b"".join(
        b'{"ip": "127.0.0.9", "port": %d, "name": %s}\n' % (5455 + place, text)
        for place, text in enumerate([*bad, b'"ana"'])
    )
    answers = {
        "join": b'ok {"port": 5455, "ip": "127.0.0.1", "version": 1}\n',
        "ready": b"ok\n",
        "ping": b"ok\n",
        "peers": b'ok {"bytes": %d, "count": %d}\n' % (len(name), len(bad) + 1) + name,
    }
    with network(tmp_path) as net, Liar(net.ip, answers) as liar:
        net.port = liar.port
        result = net.run("peers")
    rows = [line.split("\t") for line in result.out.splitlines()[1:]]
    assert result.status == 0
    assert [row[2] for row in rows] == [""] * len(bad) + ["ana"]


def test_the_only_peer_of_a_machine_is_told_by_its_name():
    entries = [
        PeerEntry("10.0.0.7", 5455, name="pc"),
        PeerEntry("10.0.0.7", 5456, name="outro"),
        PeerEntry("10.0.0.8", 5457, name="ana"),
        PeerEntry("10.0.0.9", 5458),
        PeerEntry("10.0.0.10", 5459, you=True, name="eu"),
        PeerEntry("10.0.0.10", 5460, name="bia"),
    ]
    told = {ip: peer_names.name_at(entries, f"10.0.0.{ip}") for ip in (7, 8, 9, 10, 11)}
    assert told == {7: "", 8: "ana", 9: "", 10: "bia", 11: ""}
