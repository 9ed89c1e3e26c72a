"""Windows' own Python under Wine, which ``.ci/wine PASTA`` makes; REDE_WINE names that folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from conftest import ROOT
from processes import PATIENCE, Program, Programs

HOME = Path(os.environ.get("REDE_WINE", "/nowhere"))
needs_wine = pytest.mark.skipif(
    not (HOME / "python").exists(), reason="no Windows here: .ci/wine PASTA, then REDE_WINE=PASTA"
)
SLOW = 2 * PATIENCE  # seconds: a program takes some of them to start


def windows_path(path: Path) -> str:
    """Return the path by which a Windows program reaches a file of this machine."""
    return "Z:" + str(path).replace("/", "\\")


class WindowsPrograms(Programs):
    """Programs of one network that run on Windows' Python."""

    def start(self, *words: str, environment: Mapping[str, str] | None = None) -> Program:
        words = tuple(windows_path(Path(w)) if w.startswith("/") else w for w in words)
        command = [str(HOME / "python"), "-B", "-W", "default", *words]
        program = Program(command, environment or self.environment())
        self._stack.callback(program.close)
        return program


def run_in_windows(program: str, *words: str, cwd: Path = ROOT) -> str:
    """Run lines of Python there, in a folder; return what they print, or fail with all of it."""
    done = subprocess.run(
        [HOME / "python", "-B", "-c", program, *words],
        input=b"", capture_output=True, cwd=cwd, timeout=SLOW, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
    return done.stdout.decode()


def run_batch(
    path: Path, given: Sequence[bytes], environment: Mapping[str, str]
) -> tuple[int, str]:
    """Run a batch file as a double click does; return its status and what its window shows."""
    done = subprocess.run(
        [HOME / "cmd", "/c", windows_path(path)],
        input=b"\r\n".join([*given, b""]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        cwd=path.parent, env={**os.environ, **environment}, timeout=4 * PATIENCE, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.decode(errors="replace")


def copy_of_the_project(folder: Path) -> Path:
    """Copy what a person downloads, without what git ignores."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if not name.startswith("tests/"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder
