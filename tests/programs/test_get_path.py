"""The way of one ``get`` through the house: traced, and told in docs/ARQUITETURA.md."""

from __future__ import annotations

import re
from pathlib import Path

from conftest import ROOT
from processes import network

TRACED = """
import runpy, sys, threading
from pathlib import Path
import rede_p2p
PACKAGE = Path(rede_p2p.__file__).parent
entered = set()

def note(frame, event, _):
    path = Path(frame.f_code.co_filename)
    if event == "call" and PACKAGE in path.parents:
        entered.add(path.relative_to(PACKAGE).with_suffix("").as_posix())

from rede_p2p.download import transfer
run = transfer.Transfer.run

def traced(self):
    threading.setprofile(note)
    sys.setprofile(note)
    run(self)
    sys.setprofile(None)
    threading.setprofile(None)
    print("entered", *sorted(entered))

transfer.Transfer.run = traced
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
MOST = 23


def modules_of_a_get(folder: Path) -> set[str]:
    """Fetch a file of several pieces with the real programs; return the modules entered.

    Traced is what happens between the resolved request and the file at its final name, in every
    thread that the transfer starts.
    """
    tracer = folder / "tracer.py"
    tracer.write_text(TRACED)
    with network(folder) as net:
        net.tracker()
        net.peer("--servir", files={"grande.bin": bytes(range(256)) * 2048})
        words = net.words("-c", f"get {net.ip} grande.bin", downloads=folder / "outra")
        environment = {**net.environment(), "PYTHONPATH": str(ROOT)}
        result = net.start(str(tracer), *words, environment=environment).end()
    assert result.status == 0, result
    return set(re.search("^entered (.*)$", result.out, re.MULTILINE)[1].split())


def test_a_get_passes_the_modules_that_the_page_tells(tmp_path):
    entered = modules_of_a_get(tmp_path)
    assert len(entered) <= MOST, " ".join(sorted(entered))
    page = (ROOT / "docs" / "ARQUITETURA.md").read_text(encoding="utf-8")
    told = re.search(r"Os módulos de um `get`:(.*?)\n\n", page, re.DOTALL)
    assert told is not None
    assert set(re.findall(r"`(\w+/\w+)`", told[1])) == entered
