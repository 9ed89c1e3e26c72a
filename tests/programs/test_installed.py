"""``pip install .``: the two commands are the two programs, and the files are where they run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ROOT
from processes import Program, network

pytestmark = pytest.mark.slow

NO_TOOLS = re.compile(
    "No module named pip|No matching distribution|Could not find a version|Connection|Temporary"
)
PATIENCE_S = 120


def pip(*words, cwd):
    """Run pip; skip where there is none, or no network from which to have what builds."""
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", *words]
    try:
        done = subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"pip {words[0]} took more than {PATIENCE_S} s")
    if done.returncode and NO_TOOLS.search(done.stderr):
        pytest.skip(f"nothing to build with: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of the project, in which nothing else stands."""
    folder = tmp_path_factory.mktemp("projeto")
    for name in (
        "Peers.py",
        "Servidor.py",
        "pyproject.toml",
        "requirements.txt",
        "README.md",
        "LICENSE",
    ):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(
        ROOT / "rede_p2p", folder / "rede_p2p", ignore=shutil.ignore_patterns("__pycache__")
    )
    pip("wheel", "--no-deps", "-w", "feito", ".", cwd=folder)
    (found,) = (folder / "feito").glob("*.whl")
    return found


@pytest.fixture(scope="module")
def programs(wheel, tmp_path_factory):
    """Install it in an environment of its own; return the folder of its commands."""
    folder = tmp_path_factory.mktemp("ambiente")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    place = folder / ("Scripts" if os.name == "nt" else "bin")
    python = place / ("python.exe" if os.name == "nt" else "python")
    pip("--python", str(python), "install", "--no-deps", "--no-index", str(wheel), cwd=folder)
    # What it needs is lent by the environment of the tests.
    (packages,) = folder.rglob("site-packages")
    (packages / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return place


def test_the_wheel_has_each_file_once_and_no_test(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    own = [name for name in names if ".dist-info/" not in name]
    files = {
        str(path.relative_to(ROOT)).replace(os.sep, "/")
        for path in (ROOT / "rede_p2p").rglob("*.py")
    }
    assert sorted(own) == sorted({"Peers.py", "Servidor.py", *files})
    about = next(name for name in names if name.endswith("/METADATA"))
    text = zipfile.ZipFile(wheel).read(about).decode()
    needed = re.findall("^Requires-Dist: (.*)$", text, re.MULTILINE)
    assert [re.split("[<>=]", one)[0] for one in needed] == ["rich"]


def test_they_say_the_name_that_they_were_started_by(programs, tmp_path):
    for name in ("rede-peers", "rede-servidor"):
        done = {
            word: subprocess.run(
                [programs / name, word], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            for word in ("--ajuda", "--versao", "--nada")
        }
        assert done["--ajuda"].stdout.startswith(f"uso: {name} [")
        assert done["--versao"].stdout.startswith(f"{name}, Rede P2P ")
        assert f"uso: {name} [" in done["--nada"].stderr and done["--nada"].returncode == 2
        told = "".join(one.stdout + one.stderr for one in done.values())
        assert "Peers.py" not in told and "Servidor.py" not in told


def test_a_file_goes_from_one_to_the_other_by_the_folders_they_run_in(programs, tmp_path):
    here, there = tmp_path / "aqui", tmp_path / "ali"
    for folder in (here, there):
        folder.mkdir()
    (here / "aula.txt").write_text("aula\n", encoding="utf-8")
    (here / "meus_arquivos.txt").write_text("aula.txt ./aula.txt\n", encoding="utf-8")
    os.utime(here / "aula.txt", (1_500_000_000,) * 2)
    with network(tmp_path) as net:

        def start(name, *words, cwd=tmp_path):
            return closing(Program([programs / name, *words], net.environment(), cwd))

        at = [net.ip, str(net.port), "--ip", net.ip]
        first = ["--primeira-porta", str(net.port + 1)]
        with start("rede-servidor", str(net.port), "--ip", net.ip, *first) as tracker:
            tracker.prints(f"^    rede-peers {net.ip} {net.port}$")
            tracker.says("Ctrl-C encerra")
            with start("rede-peers", *at, "--servir", cwd=here) as serving:
                serving.says("minha porta")
                script = f"get {net.ip} aula.txt; ajuda"
                with start("rede-peers", *at, "-c", script, cwd=there) as peer:
                    result = peer.end()
    assert result.status == 0, result
    baixado = there / "arquivos_baixados" / "aula.txt"
    assert baixado.read_text(encoding="utf-8") == "aula\n"
    assert [path.name for path in there.iterdir()] == ["arquivos_baixados"]


def test_alone_it_opens_the_tracker_that_is_installed_beside_it(programs):
    code = "import importlib; print(importlib.import_module('Servidor').__file__)"
    told = subprocess.run(
        [programs / "python", "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert Path(told.stdout.strip()).parent.name == "site-packages"
