"""The house: imports only go down, and what touches the world stays at its border."""

from __future__ import annotations

import ast

import pytest
from conftest import ROOT

FLOORS = (
    {"errors"},
    {"events", "merkle", "names", "shelf", "swarm", "wire"},
    {"messages", "disk", "recheck", "commands", "sentences", "manual", "torrent"},
    {"registry", "roots", "connection", "partial", "unnamed", "uploads"},
    {"catalog", "index", "listener", "discovery", "interfaces", "verifier", "sending"},
    {"options", "holdings", "membership", "crew", "look", "layers"},
    {"offering", "announcer", "gathering"},
    {"serving", "download", "prompt"},
    {"lookup", "batch", "screens"},
    {"transfers"},
    {"session"},
    {"getting"},
    {"actions"},
)
ROOMS = sorted((ROOT / "rede_p2p").glob("[!_]*.py"))
FLOOR = {room: number for number, floor in enumerate(FLOORS) for room in floor}
BORDER = {"socket": {"connection", "listener", "discovery", "interfaces"}, "rich": {"screens"}}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "rede_p2p":
            yield from (f"rede_p2p.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.stem)
def test_a_room_imports_only_from_floors_below(room):
    for name in imported(room):
        if name.startswith("rede_p2p."):
            assert FLOOR[name.split(".")[1]] < FLOOR[room.stem], f"{room.stem} imports {name}"


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.stem)
def test_sockets_and_the_terminal_are_touched_only_at_their_border(room):
    for name in imported(room):
        border = BORDER.get(name.split(".")[0])
        assert border is None or room.stem in border, f"{room.stem} imports {name}"


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.stem)
def test_a_room_is_read_in_one_sitting(room):
    assert len(room.read_text().splitlines()) <= 400
