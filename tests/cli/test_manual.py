"""The help says what there is, and nothing else."""

from __future__ import annotations

import re
from typing import get_type_hints

import pytest

import Servidor
from rede_p2p import __version__
from rede_p2p.cli import manual
from rede_p2p.cli.commands import COMMANDS
from rede_p2p.cli.options import PeerOptions, TrackerOptions
from rede_p2p.cli.tracker_program import run_tracker
from rede_p2p.protocol.messages import PROTOCOL_VERSION

PROGRAMS = {"Servidor.py": TrackerOptions, "Peers.py": PeerOptions}

pytest_plugins = ["sessions"]


def options_of(kind):
    """Return what may be typed, as it is typed."""
    hints = get_type_hints(kind, include_extras=True).values()
    names = {hint.__metadata__[0] for hint in hints} - {""}
    return {f"-{name}" if len(name) == 1 else f"--{name}" for name in names}


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_help_of_a_program_has_a_line_for_every_option_and_no_other(program):
    lines = manual.HELP[program].splitlines()
    told = {found for line in lines for found in re.findall(r"^  (?:-h, )?(--?[a-z-]+)", line)}
    assert told == options_of(PROGRAMS[program])


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_help_begins_with_the_usage_and_fits_a_terminal(program):
    lines = manual.HELP[program].splitlines()
    assert lines[0].startswith(f"uso: python3 {program} ")
    assert manual.USAGE[program].startswith(f"uso: python3 {program} ")
    assert max(map(len, lines)) <= 100


def test_the_help_of_the_menu_has_every_command_and_no_other():
    assert {usage.split()[0] for usage, _, _ in manual.COMMANDS} == {*COMMANDS, "quit"}


def test_the_version_is_told_with_that_of_the_protocol(hooks, capsys):
    assert run_tracker(["--versao"], Servidor.start) == 0
    told = capsys.readouterr().out
    assert told == f"Servidor.py, Rede P2P {__version__} (protocolo {PROTOCOL_VERSION})\n"
