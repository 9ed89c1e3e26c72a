"""How the programs are started here: from the folder of the project, or as pip installed them."""

import os
import sys
from pathlib import Path

_PLACE = Path(__file__).resolve().parents[2]  # of Peers.py and Servidor.py
_COMMANDS = {"Peers.py": "rede-peers", "Servidor.py": "rede-servidor"}  # as in pyproject.toml
PYTHON = "py" if os.name == "nt" else "python3"


def is_installed(place: Path = _PLACE) -> bool:
    """Tell whether the package is where pip puts what it installs."""
    return place.name in ("site-packages", "dist-packages")


def folder(place: Path = _PLACE) -> Path:
    """Return where lists and downloads live: beside Peers.py, or where an installed one runs."""
    if not is_installed(place):
        return place
    try:
        return Path.cwd()
    except OSError:  # it was removed
        return Path()


def is_started_by_its_command(started: str = sys.argv[0]) -> bool:
    """Tell whether this program was started as ``rede-peers`` or ``rede-servidor``."""
    return Path(started).name.startswith(("rede-peers", "rede-servidor"))


def typed(program: str, python: str = PYTHON) -> str:
    """Return what is typed to start the program in the file ``program``."""
    return _COMMANDS[program] if is_started_by_its_command() else f"{python} {program}"


def typed_elsewhere(program: str) -> str:
    """Return what is typed to start it on another machine, of a system not known here."""
    return typed(program, "python3")
