"""How the programs are started here: from the project's folder, as pip installs, or in one file."""

import os
import re
import sys
from pathlib import Path

from rede_p2p.errors import Address

PLACE = Path(__file__).resolve().parents[2]  # of Peers.py and Servidor.py: a folder, or a zip
_COMMANDS = {"Peers.py": "rede-peers", "Servidor.py": "rede-servidor"}  # as in pyproject.toml
_WORDS = {"Peers.py": "", "Servidor.py": " servidor"}  # after the name of a zipapp
ZIPAPP = "rede.pyz"
PYTHON = "py" if os.name == "nt" else "python3"


def is_in_one_file(place: Path = PLACE) -> bool:
    """Tell whether the programs run from ``rede.pyz``, or from its compiled copy."""
    return not place.is_dir()


def is_installed(place: Path = PLACE) -> bool:
    """Tell whether no folder of the project is around: pip installed it, or it is one file."""
    return place.name in ("site-packages", "dist-packages") or is_in_one_file(place)


def folder(place: Path = PLACE) -> Path:
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


def typed(program: str, python: str = PYTHON, archive: str = sys.argv[0]) -> str:
    """Return what is typed to start the program in the file ``program``."""
    if is_in_one_file():
        quoted = archive if re.fullmatch(r"[\w./\\:~-]+", archive) else f'"{archive}"'
        return f"{python} {quoted}{_WORDS[program]}"
    return _COMMANDS[program] if is_started_by_its_command() else f"{python} {program}"


def typed_elsewhere(program: str) -> str:
    """Return what is typed to start it on another machine, of a system not known here."""
    return typed(program, "python3", ZIPAPP)


def lines_to_fetch(ip: str, port: int) -> tuple[str, str, str]:
    """Return what to type where there is only Python: to have the program, and to start it.

    The first is for Unix, and the second does the same on any Windows.
    """
    url = f"http://{Address(ip, port)}/{ZIPAPP}".replace("%", "%25")  # of a zone (RFC 6874)
    url = f'"{url}"' if ":" in ip else url  # some shells would read the brackets as a pattern
    return f"curl -O {url}", f"iwr {url} -OutFile {ZIPAPP}", f"python3 {ZIPAPP} {ip} {port}"
