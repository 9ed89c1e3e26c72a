"""Pieces verified, and written where they are right, by who receives them or beside."""

from __future__ import annotations

import os
import random
import threading
from threading import Event, get_ident

import pytest
from listening import SOON

from rede_p2p.content import merkle, recheck_worker
from rede_p2p.content.merkle import MIN_PIECE_BYTES
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.download.piece_writer import PieceWriter
from rede_p2p.errors import Address, DiskError

DATA = random.Random(8).randbytes(5 * MIN_PIECE_BYTES + 9)
LAYER = merkle.layer_of(DATA)
SOURCE = Address("127.0.0.1", 5455)
ALL = range(merkle.piece_count(len(DATA)))


@pytest.fixture
def partial(tmp_path):
    with PartialFile(tmp_path / "a.parte") as opened:
        yield opened


def bytes_of(pieces, data=DATA):
    return memoryview(data)[pieces.start * MIN_PIECE_BYTES : pieces.stop * MIN_PIECE_BYTES]


def right_in(path, data=DATA, step=2):
    """Return the pieces of the file that are right, rechecked two by two."""
    hashes = merkle.split(merkle.layer_of(data))
    every = range(len(hashes))
    runs = [every[at : at + step] for at in range(0, len(every), step)]
    with path.open("rb") as file:
        found = [
            right
            for one, _ in recheck_worker.recheck(file, len(data), hashes, runs)
            for right in one
        ]
    return [index for index, right in zip(every, found, strict=True) if right]


def verified(partial, *arrived, here=()):
    """Return the verdicts on these (pieces, data), in order, and the errors that were reported."""
    found, free, failures = [], [], []

    def report(source, verdicts):
        found.extend((index, source, right) for index, right in verdicts.items())

    is_here = set(here).__contains__
    with PieceWriter(partial, len(DATA), LAYER, is_here, report, failures.append) as writer:
        for pieces, data in arrived:
            writer.write_behind(SOURCE, pieces, data, lambda: free.append(1))
    assert len(free) == len(arrived)
    return found, failures


def test_the_end_of_the_block_waits_until_all_is_verified_and_written(partial):
    found, failures = verified(
        partial, (range(4, 6), bytes_of(range(4, 6))), (range(4), bytes_of(range(4)))
    )
    assert found == [(index, SOURCE, True) for index in (4, 5, 0, 1, 2, 3)]
    assert not failures
    assert partial.path.read_bytes() == DATA


@pytest.mark.parametrize("where", [0, MIN_PIECE_BYTES - 1, MIN_PIECE_BYTES, len(DATA) - 1])
def test_one_wrong_bit_makes_its_piece_alone_wrong_and_it_is_never_written(partial, where):
    wrong = bytearray(DATA)
    wrong[where] ^= 1
    found, _ = verified(partial, (ALL, memoryview(wrong)))
    bad = where // MIN_PIECE_BYTES
    assert [index for index, _, right in found if not right] == [bad]
    assert right_in(partial.path) == [i for i in ALL if i != bad]
    written = partial.path.read_bytes()[bad * MIN_PIECE_BYTES :][:MIN_PIECE_BYTES]
    assert not any(written)


def test_a_piece_that_is_here_already_is_neither_verified_nor_written_again(partial):
    partial.write_whole(DATA)
    found, _ = verified(partial, (ALL, memoryview(bytes(len(DATA)))), here=ALL)
    assert not found
    assert partial.path.read_bytes() == DATA


@pytest.mark.parametrize("size", [0, 1, MIN_PIECE_BYTES, MIN_PIECE_BYTES + 1, len(DATA) - 1])
def test_a_piece_that_is_not_whole_is_not_right(partial, size):
    partial.write_whole(DATA[:size])
    assert right_in(partial.path) == list(range(size // MIN_PIECE_BYTES))


def test_a_hole_is_not_right(partial):
    partial.write_whole(DATA[:MIN_PIECE_BYTES])
    os.truncate(partial.path, len(DATA))
    assert right_in(partial.path) == [0]


@pytest.mark.parametrize("data", [b"", b"x", DATA[:MIN_PIECE_BYTES]], ids=len)
def test_a_content_of_one_piece_is_rechecked_too(partial, data):
    partial.write_whole(data)
    assert right_in(partial.path, data) == [0]


def test_it_writes_while_the_other_thread_goes_on(partial):
    seen, threads = Event(), []

    def report(source, verdicts):
        threads.append(get_ident())
        seen.set()

    with PieceWriter(partial, len(DATA), LAYER, lambda index: False, report, pytest.fail) as writer:
        writer.write_behind(SOURCE, range(1), bytes_of(range(1)), lambda: None)
        assert seen.wait(SOON)
        with writer.open() as file:  # a short run is written by who has received it
            assert writer.write(file, range(1, 2), bytes_of(range(1, 2))) == {1: True}
    assert threads[0] != get_ident()
    assert partial.path.read_bytes() == DATA[: 2 * MIN_PIECE_BYTES]


def test_a_file_that_is_gone_is_reported_and_every_buffer_comes_back(partial):
    partial.path.unlink()
    found, failures = verified(partial, *[(range(1), bytes_of(range(1)))] * 5)
    assert not found
    assert [type(failure) for failure in failures] == [DiskError]


def test_an_error_that_nobody_foresaw_gives_every_buffer_back_too(partial, monkeypatch):
    caught = []
    monkeypatch.setattr(threading, "excepthook", caught.append)

    def report(source, verdicts):
        raise RuntimeError

    free, failures = [], []
    fail = failures.append
    with PieceWriter(partial, len(DATA), LAYER, lambda index: False, report, fail) as writer:
        for _ in range(5):
            writer.write_behind(SOURCE, range(1), bytes_of(range(1)), lambda: free.append(1))
    assert len(free) == 5
    assert [args.exc_type for args in caught] == [RuntimeError]
    assert [type(failure) for failure in failures] == [DiskError]  # nobody waits for the rest
