"""Every fault, in each answer of a peer, at several places of it: nothing wrong, nothing left."""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest
from rig import FAULTS, Fault, Room
from sources import right_pieces

from rede_p2p.content.merkle import MIN_PIECE_BYTES

pytestmark = pytest.mark.slow

BIG = random.Random(20).randbytes(24 * MIN_PIECE_BYTES + 5)
SMALL = {f"{number}.txt": random.Random(number).randbytes(3000) for number in range(3)}
FILES = {"grande.bin": BIG, **SMALL}

WITH_BODY, WITHOUT = ("head", "body", "middle", "end"), ("start", "head", "end")
PLACES = {"stat": WITHOUT, "want": WITHOUT, "hashes": WITH_BODY, "take": WITH_BODY}
LATER = 4  # answers before the last of which some pieces are here
MANY = {"ls": WITH_BODY, "take": WITH_BODY}  # answers in a download of several files


def cases(places, nth=1):
    return [
        Fault(kind, verb, where, nth)
        for verb, everywhere in places.items()
        for where in everywhere
        for kind in FAULTS
    ]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    with ExitStack() as stack:
        yield Room(tmp_path_factory.mktemp("sala"), FILES, stack)


def goes_through(room, fault, name, names):
    """Download with a fault; check everything; complete it without; check again."""
    room.forget()
    room.proxy.set(fault)
    room.get(name, room.hasty)
    assert room.proxy.happened.is_set()
    room.watch.check()
    room.complete(names)
    room.watch.check()


@pytest.mark.parametrize("fault", cases(PLACES), ids=str)
def test_a_large_file_survives(room, fault):
    goes_through(room, fault, "grande.bin", ["grande.bin"])


@pytest.mark.parametrize("fault", cases({"take": WITH_BODY}, LATER), ids=str)
def test_a_large_file_goes_on_where_it_was(room, fault):
    room.forget()
    room.proxy.set(fault)
    room.get("grande.bin", room.hasty)
    part = room.downloads / "grande.bin.parte"
    if part.exists():
        assert right_pieces(part, BIG), "nothing of three answers was kept"
    room.complete(["grande.bin"])
    room.watch.check()


@pytest.mark.parametrize("fault", cases(MANY), ids=str)
def test_several_files_survive(room, fault):
    goes_through(room, fault, "*", list(FILES))
