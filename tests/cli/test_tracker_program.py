"""How a program begins and ends: what it tells, and its exit status."""

from __future__ import annotations

import io
import signal
import socket
import threading
import zipfile

import pytest
from listening import SOON, tracker_at
from processes import private_port

import Servidor
from rede_p2p.cli import error_texts, manual
from rede_p2p.cli.options import PeerOptions, TrackerOptions
from rede_p2p.cli.terminal import Terminal
from rede_p2p.cli.tracker_program import (
    answer_browser,
    lines_to_type,
    run_program,
    run_tracker,
    tell_what_to_type,
)
from rede_p2p.errors import DiskError, InterruptedByUserError
from rede_p2p.net.address import OwnAddress, own_addresses

pytest_plugins = ["sessions"]
pytestmark = pytest.mark.usefixtures("hooks")


def test_what_to_type_elsewhere_has_the_address_and_the_port(host):
    with tracker_at(host) as tracker:
        assert lines_to_type(tracker) == [f"python3 Peers.py {host} {tracker.port}"]


def test_what_to_type_elsewhere_is_told_for_each_address_where_all_are_listened_on():
    tracker = tracker_at(None)  # not begun: it would answer for the whole machine
    with tracker.listener:
        told = [line.split()[2] for line in lines_to_type(tracker)]
    assert told == ([one.ip for one in own_addresses()] or ["127.0.0.1"])


def test_the_likeliest_address_stands_alone_and_the_others_say_what_they_seem_to_be(
    host, monkeypatch, capsys
):
    others = [OwnAddress(f"10.0.0.{number}", f"tun{number}", "vpn") for number in range(11)]
    found = [OwnAddress("192.168.0.9", "eth0", ""), OwnAddress("172.17.0.1", "", "container")]
    with tracker_at(host) as tracker:
        monkeypatch.setattr(tracker, "addresses", lambda: [*found, *others])
        shown = []
        tell_what_to_type(tracker, Terminal(), shown.append)
    typed = f"    python3 Peers.py {{}} {tracker.port}"
    assert shown[0] == typed.format("192.168.0.9")
    assert shown[1] == typed.format("172.17.0.1") + "   (parece ser do docker)"
    assert shown[2] == typed.format("10.0.0.0") + "   (tun0, parece ser de uma VPN)"
    assert len(shown) == 9
    assert capsys.readouterr().err.endswith(" um destes:\n    … e mais 4 endereços\n")


@pytest.mark.parametrize(
    ("ip", "host_in_url", "quoted"),
    [
        ("10.0.0.7", "10.0.0.7", ""),
        ("fd00::7", "[fd00::7]", '"'),
        ("fe80::7%eth0", "[fe80::7%25eth0]", '"'),
    ],
)
def test_where_there_is_only_python_the_program_comes_from_the_tracker(
    host, monkeypatch, capsys, ip, host_in_url, quoted
):
    with tracker_at(host, page=answer_browser) as tracker:
        monkeypatch.setattr(
            tracker,
            "addresses",
            lambda: [OwnAddress(ip, "eth0", ""), OwnAddress("10.9.9.9", "", "")],
        )
        shown = []
        tell_what_to_type(tracker, Terminal(), shown.append)
        url = f"{quoted}http://{host_in_url}:{tracker.port}/rede.pyz{quoted}"
        start = f"python3 rede.pyz {ip} {tracker.port}"
    assert [line.strip() for line in shown[2:]] == [f"curl -O {url}", start]
    assert f"(no PowerShell: iwr {url} -OutFile rede.pyz)\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ip", "heading"),
    [
        ("192.168.0.9", "nas outras máquinas, digite:\n"),
        ("127.0.0.1", "só desta máquina se chega a ele: nela, digite:\n"),
        ("::1", "só desta máquina se chega a ele: nela, digite:\n"),
    ],
)
def test_who_can_reach_the_tracker_is_told(host, monkeypatch, capsys, ip, heading):
    with tracker_at(host) as tracker:
        monkeypatch.setattr(tracker, "addresses", lambda: [OwnAddress(ip, "", "")])
        tell_what_to_type(tracker, Terminal(), lambda _: None)
    assert capsys.readouterr().err.startswith(heading)


def test_a_tracker_without_pages_does_not_speak_of_them(host, capsys):
    with tracker_at(host) as tracker:
        tell_what_to_type(tracker, Terminal(), lambda _: None)
    assert "rede.pyz" not in capsys.readouterr().err


def test_the_program_is_written_to_one_file_and_nothing_is_opened(tmp_path, capsys):
    for _ in ("first", "again"):
        assert run_tracker(["--empacotar", str(tmp_path)], Servidor.start) == 0
        assert capsys.readouterr().out == f"{tmp_path / 'rede.pyz'}\n"
    made = (tmp_path / "rede.pyz").read_bytes()
    (tmp_path / "outro").write_bytes(b"outro")
    assert run_tracker(["--empacotar", str(tmp_path / "outro")], Servidor.start) == 2
    told = capsys.readouterr()
    assert told.out == "" and f"já existe, com outro conteúdo: {tmp_path / 'outro'}" in told.err
    assert (tmp_path / "outro").read_bytes() == b"outro" and zipfile.is_zipfile(io.BytesIO(made))


@pytest.mark.parametrize("word", ["-h", "--help", "--ajuda"])
def test_help_is_told_and_nothing_is_opened(word, capsys):
    assert run_tracker([word, "80"], Servidor.start) == 0
    assert capsys.readouterr() == (manual.HELP["Servidor.py"] + "\n", "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nada"], error_texts.USAGE["option"].format("--nada")),
        (["80", "81"], error_texts.USAGE["too-many"].format("81")),
        (["--primeira-porta", "80"], error_texts.USAGE["first-port"].format("80")),
    ],
)
def test_wrong_words_are_told_with_the_usage_and_are_status_2(words, said, capsys):
    assert run_tracker(words, Servidor.start) == 2
    assert capsys.readouterr() == ("", f"{said}\n{manual.USAGE['Servidor.py']}\n")


def test_a_port_that_is_taken_is_told_without_the_usage(host, capsys):
    with socket.create_server((host, 0)) as taken:
        port = taken.getsockname()[1]
        assert run_tracker([str(port), "--ip", host], Servidor.start) == 2
    said = capsys.readouterr().err
    assert said == f"a porta {port} já está em uso nesta máquina: escolha outra\n"


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (InterruptedByUserError(), 130, "interrompido: "),
        (DiskError("a.txt", "full"), 9, "não há espaço no disco para a.txt\n"),
    ],
)
def test_what_a_program_raises_is_its_status(error, status, said, capsys):
    def fail(chosen, terminal):
        assert (chosen.ip, chosen.port) == ("10.0.0.7", 9000)
        raise error

    assert run_program("Peers.py", ["10.0.0.7:9000"], PeerOptions, fail) == status
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(said) and bool(err) == bool(said)


def test_what_a_program_returns_is_its_status():
    assert run_program("Servidor.py", [], TrackerOptions, lambda *_: 7) == 7


def test_ctrl_c_ends_a_tracker_that_still_packs_the_program(host, monkeypatch, capsys):
    ended = threading.Event()
    monkeypatch.setattr("rede_p2p.cli.zipapp.packed", lambda _post: ended.wait(SOON))
    monkeypatch.setattr(Terminal, "follow_events", lambda _: signal.raise_signal(signal.SIGINT))
    try:
        assert run_tracker([str(private_port()), "--ip", host], Servidor.start) == 130
    finally:
        ended.set()
    assert capsys.readouterr().err.endswith("tracker encerrado\n")


def test_what_zipfile_raises_in_place_of_ctrl_c_is_ctrl_c(tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        try:
            raise KeyboardInterrupt
        finally:
            raise ValueError("Can't close the ZIP file")

    monkeypatch.setattr("rede_p2p.cli.zipapp.packed", interrupted)
    assert run_tracker(["--empacotar", str(tmp_path)], Servidor.start) == 130
    assert capsys.readouterr() == ("", "")
