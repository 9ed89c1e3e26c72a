"""The typed lines that are kept, whoever else writes them and whatever stands in the file."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from rede_p2p.cli import history
from rede_p2p.cli.history import MAX_BYTES, MAX_LINE_BYTES, MAX_LINES, History, default_path

on_unix = pytest.mark.skipif(os.name == "nt", reason="there are no such mode bits")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "estado" / "rede-p2p" / "historico"


def keep(path, *lines):
    kept = History(path)
    for line in lines:
        kept.append(line)
    return History(path).load()


def test_lines_come_back_in_their_order(path):
    assert History(path).load() == []
    assert keep(path, "peers", "get 10.0.0.2 ‘ação’.txt") == ["peers", "get 10.0.0.2 ‘ação’.txt"]
    assert keep(path, "ls") == ["peers", "get 10.0.0.2 ‘ação’.txt", "ls"]


def test_what_is_blank_repeated_very_long_or_no_text_is_not_kept(path):
    lines = [
        "peers",
        "peers",
        "",
        "  ",
        "ls",
        "x" * MAX_LINE_BYTES,
        "\x1b[2J",
        "a\nb",
        "get \udce7",
    ]
    assert keep(path, *lines) == ["peers", "ls"]
    last = History(path)
    last.load()
    last.append("ls")  # in another run
    assert History(path).load() == ["peers", "ls"]


@on_unix
def test_nobody_else_may_read_it_even_if_it_was_there_with_other_modes(path):
    before = os.umask(0)
    try:
        keep(path, "peers")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        path.chmod(0o666)
        path.parent.chmod(0o755)
        keep(path, "ls")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_what_stands_in_the_file_is_taken_as_it_is_or_left_out(path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"peers\n\xff\xfe\n\x1b[2Jmal\n\n" + b"x" * 3000 + b"\nls")
    assert History(path).load() == ["peers", "\ufffd\ufffd", "x" * 3000, "ls"]


def test_a_long_file_is_made_short_and_keeps_the_last_lines(path):
    path.parent.mkdir(parents=True)
    lines = [f"get 10.0.0.2 {n:07}" + "x" * 80 for n in range(5000)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert History(path).load() == lines[-MAX_LINES:]
    assert 0 < path.stat().st_size <= MAX_BYTES // 2
    assert History(path).load() == lines[-len(History(path).load()) :]
    assert [one.name for one in path.parent.iterdir()] == ["historico"]


@pytest.mark.parametrize("what", ["folder", "no parent", "fifo", "full", "none"])
def test_where_nothing_can_be_kept_nothing_is_said(tmp_path, path, what, capfd):
    if what == "folder":
        path.mkdir(parents=True)
    elif what == "no parent":
        (tmp_path / "estado").write_text("um arquivo")
    elif what == "fifo":
        if not hasattr(os, "mkfifo"):
            pytest.skip("there are no such files")
        path.parent.mkdir(parents=True)
        os.mkfifo(path)
    elif what == "full":
        path = Path("/dev/full")
    assert keep(None if what == "none" else path, "peers") == []
    assert capfd.readouterr() == ("", "")


WRITER = """
import sys
from pathlib import Path
from rede_p2p.cli.history import History
kept = History(Path(sys.argv[1]))
kept.load()
for number in range(200):
    kept.append(f"{sys.argv[2]} {number}")
"""


def test_several_programs_at_once_lose_no_line(path):
    command = [sys.executable, "-c", WRITER, str(path)]
    running = [subprocess.Popen([*command, str(n)], cwd=ROOT) for n in range(4)]
    assert [one.wait(60) for one in running] == [0] * 4
    lines = path.read_text(encoding="utf-8").splitlines()
    assert sorted(lines) == sorted(f"{n} {number}" for n in range(4) for number in range(200))


@pytest.mark.parametrize(
    ("state", "expected"),
    [("/e", "/e"), ("", "/casa/.local/state"), ("relativo", "/casa/.local/state")],
)
@on_unix
def test_it_stands_where_the_system_keeps_such_things(monkeypatch, state, expected):
    monkeypatch.setenv("HOME", "/casa")
    monkeypatch.setenv("XDG_STATE_HOME", state)
    assert default_path() == Path(expected) / "rede-p2p" / "historico"


def test_without_a_home_nothing_is_kept(monkeypatch):
    def nobody():
        raise RuntimeError

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(history.Path, "home", nobody)
    assert default_path() is None
