"""How the programs are named and where their files live; installed: tests/programs/."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from rede_p2p.cli import installation
from rede_p2p.cli.installation import (
    folder,
    is_started_by_its_command,
    lines_to_fetch,
    typed,
    typed_elsewhere,
)


def test_the_files_of_the_project_live_in_its_folder():
    assert folder() == ROOT and not installation.is_installed()


@pytest.mark.parametrize("name", ["site-packages", "dist-packages", "rede.pyz", "0123.zip"])
def test_those_of_an_installed_program_live_where_it_runs(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rede.pyz").write_bytes(b"")
    assert folder(tmp_path / "lib" / name) == folder(tmp_path / "rede.pyz") == tmp_path


def test_where_that_folder_was_removed_nothing_raises(tmp_path, monkeypatch):
    def gone():
        raise FileNotFoundError

    monkeypatch.setattr(Path, "cwd", gone)
    assert folder(tmp_path / "site-packages") == Path()


@pytest.mark.parametrize(
    ("started", "by_command"),
    [
        ("/home/a/.local/bin/rede-peers", True),
        ("rede-servidor", True),
        ("rede-peers.exe", True),
        ("rede-servidor-script.py", True),
        ("Peers.py", False),
        ("/opt/rede-p2p/Servidor.py", False),
        ("", False),
    ],
)
def test_a_program_knows_by_what_it_was_started(started, by_command):
    assert is_started_by_its_command(started) == by_command


def test_what_is_typed_is_what_was_typed(monkeypatch):
    assert typed_elsewhere("Peers.py") == "python3 Peers.py"
    assert typed("Servidor.py") == f"{installation.PYTHON} Servidor.py"
    monkeypatch.setattr(installation, "is_started_by_its_command", lambda: True)
    assert (typed("Peers.py"), typed_elsewhere("Servidor.py")) == ("rede-peers", "rede-servidor")


@pytest.mark.parametrize(
    ("started", "words"),
    [
        ("rede.pyz", "rede.pyz"),
        ("/media/ana/rede.pyz", "/media/ana/rede.pyz"),
        ("C:\\Users\\ana\\rede.pyz", "C:\\Users\\ana\\rede.pyz"),
        ("rede (1).pyz", '"rede (1).pyz"'),
    ],
)
def test_a_zipapp_is_typed_as_it_was_and_elsewhere_as_it_is_handed_out(monkeypatch, started, words):
    monkeypatch.setattr(installation, "is_in_one_file", lambda: True)
    assert typed("Peers.py", "python3", started) == f"python3 {words}"
    assert typed("Servidor.py", "py", started) == f"py {words} servidor"
    assert typed_elsewhere("Peers.py") == "python3 rede.pyz"


def test_where_there_is_only_python_three_lines_fetch_the_program_and_start_it():
    assert lines_to_fetch("10.0.0.1", 9450) == (
        "curl -O http://10.0.0.1:9450/rede.pyz",
        "iwr http://10.0.0.1:9450/rede.pyz -OutFile rede.pyz",
        "python3 rede.pyz 10.0.0.1 9450",
    )


def test_an_ipv6_address_is_quoted_for_the_shell_and_its_zone_for_the_url():
    fetch, fetch_on_windows, start = lines_to_fetch("fe80::1%eth0", 9450)
    url = '"http://[fe80::1%25eth0]:9450/rede.pyz"'
    assert fetch == f"curl -O {url}" and url in fetch_on_windows
    assert start == "python3 rede.pyz fe80::1%eth0 9450"
