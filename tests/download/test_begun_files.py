"""What an earlier ``get`` left of the large files of a bundle: each piece is told once, truly."""

from __future__ import annotations

import random
from threading import Event

import pytest
from listening import SOON
from sources import content_of

from rede_p2p.content import merkle, recheck
from rede_p2p.content.merkle import MIN_PIECE_BYTES, Content
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.piece_layout import BundleLayout
from rede_p2p.download.begun_files import BegunFiles

PIECE = 2 * MIN_PIECE_BYTES  # of the bundle, and two of the file alone
DATA = random.Random(5).randbytes(6 * MIN_PIECE_BYTES + 7)
HUGE = Content(bytes(32), 2**32 + 1)
LAYOUT = BundleLayout(bytes(32), [HUGE, content_of(DATA)])
LAYERS = {1: merkle.layer_of(DATA)}
FIRST = LAYOUT.pieces_of(1).start


@pytest.fixture
def begun(tmp_path):
    """Return how to recheck a file that holds some bytes: what may be here, and what is."""

    def begun_(held, count):
        told, done = {}, Event()

        def keep(file, verdicts):
            assert file == 1 and verdicts and not told.keys() & verdicts.keys()
            told.update(verdicts)
            if len(told) == count:
                done.set()

        with PartialFile(tmp_path / "a.parte") as partial:
            partial.write_whole(held)
            files = BegunFiles(LAYOUT, LAYERS)
            files.add(1, partial)
            with files.rechecking(keep):
                assert not count or done.wait(SOON)
            assert told.keys() == files.doubtful()
        return told

    return begun_


def test_the_pieces_of_this_bundle_are_longer_than_those_of_the_file():
    assert (LAYOUT.piece_bytes, LAYOUT.is_cut(1), len(LAYOUT.pieces_of(1))) == (PIECE, True, 4)


@pytest.mark.parametrize("here", [0, 2**22], ids=["in a process", "in this process"])
@pytest.mark.parametrize(
    ("length", "right"),
    [
        (len(DATA), [True] * 4),
        (len(DATA) - 1, [True] * 3 + [False]),
        (3 * PIECE, [True] * 3),
        (3 * PIECE - 1, [True] * 2 + [False]),
        (PIECE + MIN_PIECE_BYTES, [True, False]),
        (1, [False]),
        (0, []),
    ],
)
def test_a_piece_is_right_where_all_of_it_is(begun, monkeypatch, here, length, right):
    monkeypatch.setattr(recheck, "MAX_BYTES_HERE", here)
    found = begun(DATA[:length], len(right))
    assert found == dict(enumerate(right, FIRST))


def test_half_of_a_piece_that_is_wrong_spoils_it(begun):
    held = bytearray(DATA)
    held[PIECE + MIN_PIECE_BYTES] ^= 1
    assert begun(held, 4) == dict(enumerate([True, False, True, True], FIRST))


def test_where_nothing_can_be_read_all_is_wrong(begun, monkeypatch):
    monkeypatch.setattr(recheck, "MAX_BYTES_HERE", 0)
    monkeypatch.setattr(recheck, "_PROGRAM", "")
    assert begun(DATA, 4) == dict(enumerate([False] * 4, FIRST))


def test_it_ends_at_once_while_a_process_hangs(begun, monkeypatch):
    monkeypatch.setattr(recheck, "MAX_BYTES_HERE", 0)
    monkeypatch.setattr(recheck, "_PROGRAM", "import threading; threading.Event().wait(60)")
    assert not any(begun(DATA, 0).values())
