"""Windows' own Python under Wine, which ``.ci/wine PASTA`` makes; REDE_WINE names that folder.

It runs in a network of its own: what a program binds to one address of UDP, Wine binds to all.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import DEVNULL

import pytest
from processes import PATIENCE, Machine, Program, Programs, machines, network

HOME = Path(os.environ.get("REDE_WINE", "/nowhere"))
SERVER = "/usr/lib/wine/wineserver64"
_MISSING = (
    machines()
    if (HOME / "python").exists()
    else "no Windows here: .ci/wine PASTA, then REDE_WINE=PASTA"
)
needs_wine = pytest.mark.skipif(bool(_MISSING), reason=_MISSING)
SLOW = 4 * PATIENCE  # seconds: a program takes some of them to start


def windows_path(path: Path) -> str:
    """Return the path by which a Windows program reaches a file of this machine."""
    return "Z:" + str(path).replace("/", "\\")


class WindowsPrograms(Programs):
    """Programs of one network that run on Windows' Python, in a Windows of their own."""

    def __init__(self, folder: Path, prefix: Sequence[str]) -> None:
        super().__init__(folder, prefix)
        self._windows = folder / "prefix"
        (self._windows / "dosdevices").mkdir(parents=True)
        (self._windows / "dosdevices" / "c:").symlink_to(HOME / "prefix" / "drive_c")
        (self._windows / "dosdevices" / "z:").symlink_to("/")
        for path in [*(HOME / "prefix").glob("*.reg"), HOME / "prefix" / ".update-timestamp"]:
            shutil.copy(path, self._windows)
        # What keeps on running in a Windows is started here, so that it holds no program's pipes.
        apart = {"env": self.environment(), "stdout": DEVNULL, "stderr": DEVNULL}
        subprocess.run([*prefix, SERVER, "-p"], check=True, **apart)
        left = Path("/tmp", (self._windows / "wineserver").read_text())
        self._stack.callback(shutil.rmtree, left)
        self._stack.callback(subprocess.run, [SERVER, "-w"], check=True, **apart)
        self._stack.callback(subprocess.run, [SERVER, "-k"], check=True, **apart)
        subprocess.run([*prefix, HOME / "python", "-c", ""], stdin=DEVNULL, check=True, **apart)

    def environment(self) -> dict[str, str]:
        return super().environment() | {"WINEPREFIX": str(self._windows)}

    def start(self, *words: str, environment: Mapping[str, str] | None = None) -> Program:
        words = tuple(windows_path(Path(w)) if w.startswith("/") else w for w in words)
        command = [*self.prefix, str(HOME / "python"), "-B", "-W", "default", *words]
        program = Program(command, environment or self.environment())
        self._stack.callback(program.close)
        return program

    def python(self, program: str, *words: str) -> None:
        """Run lines of Python, or fail with all that they write."""
        ended = self.start("-c", program, *words).end(SLOW)
        assert ended.status == 0, ended.out + ended.err

    def batch(self, path: Path, *words: str, typed: str) -> tuple[int, str]:
        """Run a batch file; return its status and what its window shows. pip is given wheels."""
        wheels = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": windows_path(HOME / "wheels")}
        done = subprocess.run(
            [*self.prefix, HOME / "cmd", "/c", path.name, *words],
            input=typed.replace("\n", "\r\n").encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=path.parent,
            env=self.environment() | wheels,
            timeout=SLOW,
            check=False,
        )
        return done.returncode, done.stdout.decode(errors="replace")


@contextmanager
def both_systems(folder: Path) -> Iterator[tuple[Programs, WindowsPrograms]]:
    """Give starters of programs on Linux and on Windows, in one network, and end the programs."""
    with Machine() as machine, network(folder, machine.prefix) as linux:
        windows = WindowsPrograms(folder, machine.prefix)
        windows.ip, windows.port = linux.ip, linux.port
        try:
            yield linux, windows
        finally:
            windows.close()
