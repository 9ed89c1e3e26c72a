"""The prompt as far as it needs no terminal; the rest is in programs/test_in_a_terminal."""

from __future__ import annotations

import builtins
import io
import subprocess
import sys

import pytest
from conftest import ROOT

from rede_p2p.cli import prompt
from rede_p2p.cli.prompt import PROMPT, Prompt

needs_signals = pytest.mark.skipif(
    prompt.readline is None or prompt._WAKE is None, reason="nothing to catch without them"
)


@pytest.fixture
def plain(monkeypatch):
    """Return a prompt as on a system without readline: it takes no signal."""
    monkeypatch.setattr(prompt, "readline", None)
    return Prompt(None, colours=False)


def test_lines_are_returned_until_the_input_ends(plain, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("peers\n\nquit"))
    assert [plain.ask() for _ in range(4)] == ["peers", "", "quit", None]
    assert capsys.readouterr().out == 4 * PROMPT + "\n"  # what comes next has a line of its own


def test_ctrl_c_is_raised_on_a_line_of_its_own(plain, monkeypatch, capsys):
    def interrupted(_prompt):
        raise KeyboardInterrupt

    monkeypatch.setattr(builtins, "input", interrupted)
    with pytest.raises(KeyboardInterrupt):
        plain.ask()
    assert capsys.readouterr().out == "\n"
    monkeypatch.setattr(builtins, "input", lambda _: "peers")
    assert plain.ask() == "peers"


def test_without_readline_waking_is_of_no_effect(plain, capsys):
    plain.wake()
    assert capsys.readouterr() == ("", "")


SIGNALS = """
import signal
from rede_p2p.cli.prompt import Prompt

prompt = Prompt((lambda: iter(["never shown"]), lambda: False), colours=False)
prompt.wake()
signal.raise_signal(signal.SIGUSR1)
print("woken")
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
print(prompt.ask(), prompt.ask())
"""


@needs_signals
def test_while_nobody_is_asked_a_signal_shows_nothing_and_ctrl_c_is_raised():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SIGNALS],
        cwd=ROOT, input="peers\n", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == f"woken\ninterrupted\n{PROMPT}{PROMPT}\npeers None\n"
    assert (done.returncode, done.stderr) == (0, "")
