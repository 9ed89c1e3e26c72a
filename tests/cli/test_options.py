"""The words of a command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from rede_p2p.cli import options
from rede_p2p.cli.options import (
    PeerOptions,
    TrackerOptions,
    from_environment,
    is_ip,
    parse,
    parse_port,
)
from rede_p2p.errors import BadUsageError

CWD = Path.cwd()

TRACKER = [
    ("", TrackerOptions()),
    ("9450", TrackerOptions(9450)),
    ("1", TrackerOptions(1)),
    ("65535", TrackerOptions(65535)),
    ("--ip 10.0.0.7", TrackerOptions(ip="10.0.0.7")),
    ("--ip=::1 80", TrackerOptions(80, "::1")),
    ("80 --ip ::1", TrackerOptions(80, "::1")),
    ("--primeira-porta 1024", TrackerOptions(first_port=1024)),
    ("--primeira-porta 65535", TrackerOptions(first_port=65535)),
    ("--prim 7000", TrackerOptions(first_port=7000)),
    ("-h", TrackerOptions(help=True)),
    ("--help", TrackerOptions(help=True)),
    ("--ajuda", TrackerOptions(help=True)),
]

PEER = [
    ("", PeerOptions()),
    ("10.0.0.7", PeerOptions("10.0.0.7")),
    ("10.0.0.7 9000", PeerOptions("10.0.0.7", 9000)),
    ("10.0.0.7:9000", PeerOptions("10.0.0.7", 9000)),
    ("localhost", PeerOptions("127.0.0.1")),
    ("LOCALHOST 80", PeerOptions("127.0.0.1", 80)),
    ("::1 80", PeerOptions("::1", 80)),
    ("[::1] 80", PeerOptions("::1", 80)),
    ("[::1]:9600", PeerOptions("::1", 9600)),
    ("::1", PeerOptions("::1")),
    ("fe80::1%eth0", PeerOptions("fe80::1%eth0")),
    ("[fe80::1%eth0]:9600", PeerOptions("fe80::1%eth0", 9600)),
    ("::1 --ip fe80::2%eth0", PeerOptions("::1", own_ip="fe80::2%eth0")),
    ("0:0::1", PeerOptions("::1")),
    ("--ip 10.0.0.8 10.0.0.7", PeerOptions("10.0.0.7", own_ip="10.0.0.8")),
    ("--arquivos lista.txt", PeerOptions(share_list=CWD / "lista.txt")),
    ("--arquivos /l/lista.txt", PeerOptions(share_list=Path("/l/lista.txt"))),
    ("--arquivos=~/l.txt", PeerOptions(share_list=Path.home() / "l.txt")),
    ("--pasta=~/x", PeerOptions(folder=Path.home() / "x")),
    ("--pasta ~", PeerOptions(folder=Path.home())),
    ("--pasta=~nobody-of-this-name/x", PeerOptions(folder=CWD / "~nobody-of-this-name/x")),
    ("--pasta=./~", PeerOptions(folder=CWD / "~")),
    ("--pasta p", PeerOptions(folder=CWD / "p")),
    ("-c peers", PeerOptions(script="peers")),
    ("-c= 10.0.0.7", PeerOptions("10.0.0.7", script="=")),
    ("--servir", PeerOptions(serve=True)),
    ("--limite 5M", PeerOptions(limit=5 * 1024**2)),
    ("--limite 500k", PeerOptions(limit=500 * 1024)),
    ("--limite=1g", PeerOptions(limit=1024**3)),
    ("--limite 16K", PeerOptions(limit=16 * 1024)),
    ("10.0.0.7 --json --servir", PeerOptions("10.0.0.7", serve=True, json=True)),
    ("-h", PeerOptions(help=True)),
    ("--nome ana", PeerOptions(name="ana")),
    ("--nome= 10.0.0.7", PeerOptions("10.0.0.7", name="")),
    ("--ajuda 10.0.0.7", PeerOptions("10.0.0.7", help=True)),
]

BAD_FOR_BOTH = [
    ("--nada", "option"),
    ("-x", "option"),
    ("--ip", "option"),
    ("--ip=", "ip"),
    ("--ip 0.0.0.0", "ip"),
    ("--ip ::", "ip"),
    ("--ip 224.0.0.1", "ip"),
    ("--ip 10.0.0.7/8", "ip"),
]

BAD_FOR_TRACKER = [
    *BAD_FOR_BOTH,
    ("80 81", "too-many"),
    ("10.0.0.7", "port"),
    ("--primeira-porta 1023", "first-port"),
    ("--primeira-porta 0", "port"),
    ("--primeira-porta x", "port"),
    ("--servir", "option"),
    ("-c peers", "option"),
]

BAD_FOR_PEER = [
    *BAD_FOR_BOTH,
    ("10.0.0.7 80 81", "too-many"),
    ("10.0.0.7:80 80", "too-many"),
    ("--pasta=", "option"),
    ("--arquivos=", "option"),
    ("10.0.0.7 0", "port"),
    ("10.0.0.7:", "port"),
    ("10.0.0.7:x", "port"),
    (":9000", "ip"),
    ("[::1]:", "port"),
    ("[::1]:0", "port"),
    ("[::1", "ip"),
    ("::1]", "ip"),
    ("[]:9600", "ip"),
    ("fe80::1%", "ip"),
    ("9450", "ip"),
    ("10.0.0", "ip"),
    ("10.0.0.256", "ip"),
    ("010.0.0.7", "ip"),
    ("laboratorio-3!", "ip"),
    ("--primeira-porta 7000", "option"),
    ("-c", "option"),
    ("--servir=sim", "option"),
    ("--nome 7", "nome"),
    ("--nome ٣", "nome"),
    ("--nome 10.0.0.7", "nome"),
    ("--nome ::1", "nome"),
    ("--nome localhost", "nome"),
    ("--nome " + "x" * 65, "nome"),
    ("--nome ana:5455", "nome"),
    ("--nome ana*", "nome"),
    ("--nome=-l", "nome"),
    ("--nome 10.0.0", "nome"),
    ("--nome １０.0.0.7", "nome"),
    ("--nome a\x1b[2Jb", "nome"),
    ("--nome \u202eana", "nome"),
    ("--nome \udcff", "nome"),
    ("--limite 0", "rate"),
    ("--limite 0M", "rate"),
    ("--limite -5M", "rate"),
    ("--limite 5T", "rate"),
    ("--limite 5MB", "rate"),
    ("--limite 1.5M", "rate"),
    ("--limite 15K", "rate"),
    ("--limite M", "rate"),
    ("--limite ٣", "rate"),
    ("--limite 9999999999999", "rate"),
]

BAD_PORTS = ["", "0", "-1", "+1", "65536", "80.0", "1e3", "0x50", "8 0", "٣", "²", "1_0"]
BAD_PORTS += ["065535000", "0094501", "9" * 5000]


@pytest.mark.parametrize(("words", "expected"), TRACKER)
def test_the_words_for_the_tracker_mean_this(words, expected):
    assert parse(TrackerOptions, words.split()) == expected


@pytest.mark.parametrize(("words", "expected"), PEER)
def test_the_words_for_a_peer_mean_this(words, expected):
    assert parse(PeerOptions, words.split()) == expected


@pytest.mark.parametrize(("words", "kind"), BAD_FOR_TRACKER)
def test_wrong_words_for_the_tracker_are_said(words, kind):
    with pytest.raises(BadUsageError) as caught:
        parse(TrackerOptions, words.split())
    assert caught.value.kind == kind


@pytest.mark.parametrize(("words", "kind"), BAD_FOR_PEER)
def test_wrong_words_for_a_peer_are_said(words, kind):
    with pytest.raises(BadUsageError) as caught:
        parse(PeerOptions, words.split())
    assert caught.value.kind == kind


def test_a_script_is_one_word_of_the_shell():
    assert parse(PeerOptions, ["-c", "peers; quit"]).script == "peers; quit"
    assert parse(PeerOptions, ["-cpeers; quit"]).script == "peers; quit"


WRITTEN = [  # what is typed, and what the system is asked for
    ("prof-pc", "prof-pc"),
    ("prof-pc:9999", "prof-pc"),
    ("prof-pc.local 9999", "prof-pc.local"),
    ("10.0.0.7 --ip prof-pc", "prof-pc"),
]


@pytest.mark.parametrize(("words", "name"), WRITTEN)
def test_the_name_of_a_machine_is_asked_for_once(monkeypatch, words, name):
    asked = []
    monkeypatch.setattr(options, "addresses_of", lambda text: asked.append(text) or ["10.0.0.9"])
    read = parse(PeerOptions, words.split())
    assert "10.0.0.9" in (read.ip, read.own_ip)
    assert asked == [name]


NAMES = [  # what is chosen, REDE_NOME, the machine's name, and what this peer is called
    ("ana", "bia", "pc", "ana"),
    ("", "bia", "pc", ""),
    (None, "bia", "pc", "bia"),
    (None, "  ana   maria ", "pc", "ana maria"),
    (None, "", "pc", ""),
    (None, None, "pc", "pc"),
    (None, None, "localhost", ""),
    (None, None, "127", ""),
    (None, None, "x" * 65, ""),
    (None, None, "", ""),
]


@pytest.mark.parametrize(("chosen", "environment", "machine", "name"), NAMES)
def test_a_peer_is_called_as_is_chosen_or_as_the_machine(
    monkeypatch, chosen, environment, machine, name
):
    monkeypatch.setattr(options, "machine_name", lambda: machine)
    given = {} if environment is None else {"REDE_NOME": environment}
    assert from_environment(PeerOptions(name=chosen), given).name == name


def test_a_name_in_the_environment_that_is_none_is_said():
    with pytest.raises(BadUsageError) as caught:
        from_environment(PeerOptions(), {"REDE_NOME": "10.0.0.7"})
    assert (caught.value.kind, caught.value.text) == ("nome", "10.0.0.7")


@pytest.mark.parametrize(
    ("typed", "text", "tracker"),
    [
        ("", "10.0.0.7", ("10.0.0.7", None)),
        ("", " 10.0.0.7  9450 ", ("10.0.0.7", 9450)),
        ("", "10.0.0.7:9450", ("10.0.0.7", 9450)),
        ("", "[::1]:9450", ("::1", 9450)),
        ("", "::1", ("::1", None)),
        ("", "localhost", ("127.0.0.1", None)),
        ("", "", (None, None)),
        ("", "  ", (None, None)),
        ("10.0.0.8", "10.0.0.7 9450", ("10.0.0.8", None)),
        ("10.0.0.8 9451", "nonsense 10 20", ("10.0.0.8", 9451)),
    ],
)
def test_the_environment_says_the_tracker_where_no_word_does(typed, text, tracker):
    chosen = from_environment(parse(PeerOptions, typed.split()), {"REDE_TRACKER": text})
    assert (chosen.ip, chosen.port) == tracker


@pytest.mark.parametrize(
    "text", ["10.0.0.7 0", "10.0.0.7 x", "10.0.0.7 9450 1", "10.0.0.700", "-h", "--json", "0.0.0.0"]
)
def test_what_the_environment_says_and_is_no_tracker_is_told(text):
    with pytest.raises(BadUsageError) as caught:
        from_environment(PeerOptions(), {"REDE_TRACKER": text})
    assert (caught.value.kind, caught.value.text) == ("rede-tracker", text)


@pytest.mark.parametrize("text", ["127.0.0.1", "[::1]", "localhost", "LOCALHOST", "fe80::1%eth0"])
def test_an_address_is_known_without_asking(text):
    assert is_ip(text)


@pytest.mark.parametrize("text", ["prof-pc", "a.txt", "*.png", "0.0.0.0", "10.0.0", ""])
def test_what_may_be_a_name_is_no_address_and_nobody_is_asked(text):
    assert not is_ip(text)


@pytest.mark.parametrize("text", ["1", "80", "5455", "65535"])
def test_a_port_is_a_number_in_range(text):
    assert parse_port(text) == int(text)


@pytest.mark.parametrize("text", BAD_PORTS, ids=lambda text: ascii(text)[:20])
def test_what_is_no_port_is_said(text):
    with pytest.raises(BadUsageError) as caught:
        parse_port(text)
    assert (caught.value.kind, caught.value.text) == ("port", text)
