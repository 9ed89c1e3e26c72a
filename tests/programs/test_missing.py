"""Without the one library there is one sentence, which says what to type."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT


@pytest.fixture
def project(tmp_path):
    """A copy of the programs, in a folder that is no environment."""
    shutil.copytree(ROOT / "rede_p2p", tmp_path / "p" / "rede_p2p")
    for name in ("Peers.py", "Servidor.py"):
        shutil.copy(ROOT / name, tmp_path / "p")
    return tmp_path / "p"


def said(project, python, program):
    """Run a program with a Python that sees no installed library; return what it says."""
    words = [python, "-S", str(project / program)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False, encoding="utf-8")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.count("\n") == 1
    return ended.stderr.strip()


BARE = os.path.join(sys.base_prefix, "bin", "python3")  # noqa: PTH118
needs_bare = pytest.mark.skipif(not Path(BARE).exists(), reason="no Python but the environment's")


@needs_bare
@pytest.mark.parametrize("program", ["Peers.py", "Servidor.py"])
def test_where_there_is_an_environment_its_python_is_what_to_type(project, program):
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert said(project, BARE, program).endswith(f"digite: .venv/bin/python {program}")


@needs_bare
def test_where_there_is_none_how_to_make_it_is_what_to_type(project):
    told = said(project, BARE, "Peers.py")
    assert " -m venv .venv && .venv/bin/python -m pip install -q -r requirements.txt" in told
    assert told.endswith(" && .venv/bin/python Peers.py")
