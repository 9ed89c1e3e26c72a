"""Every fault, in each answer of a peer, at several places of it: nothing wrong, nothing left."""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest
from rig import FAULTS, Fault, Room

from rede_p2p.content.merkle import MIN_PIECE_BYTES

pytestmark = pytest.mark.slow

BIG = random.Random(20).randbytes(24 * MIN_PIECE_BYTES + 5)
SMALL = {f"{number}.txt": random.Random(number).randbytes(3000) for number in range(3)}
FILES = {"grande.bin": BIG, **SMALL}

WITH_BODY, WITHOUT = ("head", "body", "middle", "end"), ("start", "head", "end")
PLACES = {"stat": WITHOUT, "want": WITHOUT, "hashes": WITH_BODY, "take": WITH_BODY}
MANY = {"ls": WITH_BODY, "pieces": WITH_BODY}  # answers in a download of several files


def cases(places):
    return [
        Fault(kind, verb, where)
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


@pytest.mark.parametrize("fault", cases(MANY), ids=str)
def test_several_files_survive(room, fault):
    goes_through(room, fault, "*", list(FILES))
