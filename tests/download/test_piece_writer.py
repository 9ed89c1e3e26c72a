"""Pieces judged, and written where they are right, by who receives them or beside."""

from __future__ import annotations

import os
import random
import threading
from threading import Event, get_ident

import pytest

from rede_p2p.content import merkle
from rede_p2p.content.merkle import FINEST_PIECE
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.recheck_worker import look_at
from rede_p2p.download.piece_writer import PieceWriter
from rede_p2p.errors import Address, DiskError

DATA = random.Random(8).randbytes(5 * FINEST_PIECE + 9)
HASHES = merkle.split(merkle.layer_of(DATA))
SOURCE = Address("127.0.0.1", 5455)
ALL = range(len(HASHES))


@pytest.fixture
def partial(tmp_path):
    with PartialFile(tmp_path / "a.parte") as opened:
        yield opened


def piece(pieces, data=DATA):
    return memoryview(data)[pieces.start * FINEST_PIECE : pieces.stop * FINEST_PIECE]


def right_in(path, data=DATA, step=2):
    """Return the pieces of the file that are right, looked at two by two."""
    hashes = merkle.split(merkle.layer_of(data))
    every = range(len(hashes))
    runs = [every[at : at + step] for at in range(0, len(every), step)]
    with path.open("rb") as file:
        found = [right for one in look_at(file, len(data), hashes, runs) for right in one]
    return [index for index, right in zip(every, found, strict=True) if right]


def judged(partial, *arrived, here=()):
    """Return what is judged of these (pieces, data), in order, and how often a buffer came back."""
    found, free = [], []

    def note(source, judgement):
        found.extend((index, source, right) for index, right in judgement.items())

    with PieceWriter(partial, len(DATA), HASHES, set(here).__contains__, note) as verifier:
        for pieces, data in arrived:
            verifier.settle_beside(SOURCE, pieces, data, lambda: free.append(1))
    assert len(free) == len(arrived)
    return found, verifier.failure


def test_the_end_of_the_block_waits_until_all_is_judged_and_written(partial):
    found, failure = judged(partial, (range(4, 6), piece(range(4, 6))), (range(4), piece(range(4))))
    assert found == [(index, SOURCE, True) for index in (4, 5, 0, 1, 2, 3)]
    assert failure is None
    assert partial.path.read_bytes() == DATA


@pytest.mark.parametrize("where", [0, FINEST_PIECE - 1, FINEST_PIECE, len(DATA) - 1])
def test_one_wrong_bit_makes_its_piece_alone_wrong_and_it_is_never_written(partial, where):
    wrong = bytearray(DATA)
    wrong[where] ^= 1
    found, _ = judged(partial, (ALL, memoryview(wrong)))
    bad = where // FINEST_PIECE
    assert [index for index, _, right in found if not right] == [bad]
    assert right_in(partial.path) == [i for i in ALL if i != bad]
    written = partial.path.read_bytes()[bad * FINEST_PIECE :][:FINEST_PIECE]
    assert not any(written)


def test_a_piece_that_is_here_already_is_neither_judged_nor_written_again(partial):
    partial.write_whole(DATA)
    found, _ = judged(partial, (ALL, memoryview(bytes(len(DATA)))), here=ALL)
    assert not found
    assert partial.path.read_bytes() == DATA


@pytest.mark.parametrize("size", [0, 1, FINEST_PIECE, FINEST_PIECE + 1, len(DATA) - 1])
def test_a_piece_that_is_not_whole_is_not_right(partial, size):
    partial.write_whole(DATA[:size])
    assert right_in(partial.path) == list(range(size // FINEST_PIECE))


def test_a_hole_is_not_right(partial):
    partial.write_whole(DATA[:FINEST_PIECE])
    os.truncate(partial.path, len(DATA))
    assert right_in(partial.path) == [0]


@pytest.mark.parametrize("data", [b"", b"x", DATA[:FINEST_PIECE]], ids=len)
def test_a_content_of_one_piece_is_judged_too(partial, data):
    partial.write_whole(data)
    assert right_in(partial.path, data) == [0]


def test_it_writes_while_the_other_thread_goes_on(partial):
    seen, threads = Event(), []

    def note(source, found):
        threads.append(get_ident())
        seen.set()

    with PieceWriter(partial, len(DATA), HASHES, lambda index: False, note) as verifier:
        verifier.settle_beside(SOURCE, range(1), piece(range(1)), lambda: None)
        assert seen.wait(20)
        with verifier.writer() as writer:  # a short run is settled by who has received it
            verifier.settle(writer, SOURCE, range(1, 2), piece(range(1, 2)))
    assert threads[1] == get_ident() != threads[0]
    assert partial.path.read_bytes() == DATA[: 2 * FINEST_PIECE]


def test_a_file_that_is_gone_is_told_and_every_buffer_comes_back(partial):
    partial.path.unlink()
    found, failure = judged(partial, *[(range(1), piece(range(1)))] * 5)
    assert not found
    assert isinstance(failure, DiskError)


def test_an_error_that_nobody_foresaw_gives_every_buffer_back_too(partial, monkeypatch):
    caught = []
    monkeypatch.setattr(threading, "excepthook", caught.append)

    def note(source, found):
        raise RuntimeError

    free = []
    with PieceWriter(partial, len(DATA), HASHES, lambda index: False, note) as verifier:
        for _ in range(5):
            verifier.settle_beside(SOURCE, range(1), piece(range(1)), lambda: free.append(1))
    assert len(free) == 5
    assert [args.exc_type for args in caught] == [RuntimeError]
