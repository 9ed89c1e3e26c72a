"""Machines on one switch, and people at them: what the pages of the project show is tried there.

A person is at a machine of that name, in /home/NAME/rede-p2p, and its ``python3`` is the Python of
the tests: so each command of a page is run as it stands there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from conftest import ROOT
from processes import Machine, Program, eventually, machines

LONG_AGO = (1_500_000_000,) * 2  # seconds, of access and change: such a file is hashed at once

# How each process of a person begins: with a name of its machine, and with homes of its own. The
# homes of this system stay among them, because Python may live there.
ARRIVE = """
homes=$1 name=$2; shift 2
echo "$name" > /proc/sys/kernel/hostname || exit
for home in /home/*/; do
    place=$homes/$(basename "$home")
    [ ! -d "$home" ] || [ -d "$place/rede-p2p" ] ||
        { mkdir -p "$place" && mount --rbind "$home" "$place"; } || exit
done
mount --rbind "$homes" /home && cd "/home/$name/rede-p2p" && exec "$@"
"""


def no_homes() -> str:
    """Return why nobody can have a machine and a home of their own here, or an empty word."""
    if reason := machines():
        return reason
    words = ["sh", "-c", "echo a > /proc/sys/kernel/hostname && mount --bind / /home"]
    root = [] if os.geteuid() == 0 else ["-r"]
    made = subprocess.run(["unshare", *root, "-mu", *words], capture_output=True, check=False)
    return made.stderr.decode().strip() if made.returncode else ""


class Room:
    """A switch, and the machines that are connected to it."""

    def __init__(self, stack: ExitStack, cable: str = "wire0") -> None:
        self.machines: list[Machine] = []
        self._stack = stack
        self._cable = cable  # the name of a machine's interface
        self._switch = stack.enter_context(Machine())
        self._switch.ip("link", "add", "ponte", "type", "bridge")
        self._switch.ip("link", "set", "ponte", "up")

    def machine(self, ip: str) -> Machine:
        """Connect one more machine, with an address."""
        made = self._stack.enter_context(Machine(self._switch))
        self.machines.append(made)
        made.sets("ipv6/conf/default/accept_dad", 0)  # nobody else can have its addresses
        port = f"porta{len(self.machines)}"
        made.ip(
            "link", "add", self._cable, "type", "veth",
            "peer", "name", port, "netns", self._switch.pid,
        )  # fmt: skip
        self._switch.ip("link", "set", port, "master", "ponte", "up")
        made.has(ip, self._cable)
        return made

    def settle(self) -> None:
        """Wait until the system lets every IPv6 address be used."""
        for machine in self.machines:
            eventually(lambda machine=machine: "tentative" not in machine.tells("addr"))


class Person:
    """Somebody at a machine, with a copy of the project; ``home`` is /home/NAME, as seen here."""

    def __init__(self, folder: Path, machine: Machine, name: str) -> None:
        self.home = folder / "home" / name
        self.project = self.home / "rede-p2p"
        self._folder = folder
        shutil.copytree(ROOT, self.project, ignore=_not_copied)
        tools = folder / "bin"
        tools.mkdir(exist_ok=True)
        (tools / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (tools / "python3").chmod(0o755)
        homes = str(folder / "home")
        self.prefix = [*machine.prefix, "unshare", "-mu", "sh", "-c", ARRIVE, "sh", homes, name]
        self.environment: Mapping[str, str] = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
            "TERM": "xterm-256color",
            "HOME": f"/home/{name}",
            "PS1": "$ ",
        }

    def has(self, name: str, data: bytes) -> None:
        """Put a file into the home, as if it were there for long."""
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, LONG_AGO)

    def shares(self, *lines: str) -> None:
        """Write the list of shares."""
        text = "".join(f"{line}\n" for line in lines)
        (self.project / "meus_arquivos.txt").write_text(text, encoding="utf-8")

    def start(self, *words: str) -> Program:
        """Start a program in the folder of the project; who calls ends it."""
        return Program([*self.prefix, *words], self.environment)


def _not_copied(folder: str, names: list[str]) -> list[str]:
    """Name what is not of the project: what git ignores, and git's own."""
    extra = {".git", ".venv", "__pycache__", "arquivos_baixados", ".hypothesis", "build"}
    return [name for name in names if name in extra or name.endswith(("_cache", ".egg-info"))]
