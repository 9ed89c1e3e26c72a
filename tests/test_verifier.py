"""Pieces judged in a thread of their own, beside the one that writes them."""

from __future__ import annotations

import random
from threading import Event, get_ident

import pytest

from rede_p2p import merkle
from rede_p2p.errors import DiskError, InterruptedByUserError
from rede_p2p.merkle import FINEST_PIECE
from rede_p2p.partial import Partial
from rede_p2p.verifier import Verifier

DATA = random.Random(8).randbytes(5 * FINEST_PIECE + 9)
HASHES = merkle.split(merkle.layer_of(DATA))


@pytest.fixture
def partial(tmp_path):
    with Partial(tmp_path / "a.parte") as opened:
        opened.write_whole(DATA)
        yield opened


def judged(partial, *ranges, data=DATA):
    """Return what is judged of these pieces, in order."""
    found = []
    hashes = merkle.split(merkle.layer_of(data))
    with Verifier(partial, len(data), hashes, lambda *one: found.append(one)) as verifier:
        for pieces in ranges:
            verifier.check(pieces)
    return found


def test_the_end_of_the_block_waits_until_all_is_judged(partial):
    assert judged(partial, range(6)) == [(index, True) for index in range(6)]


def test_pieces_are_judged_in_the_order_they_were_handed_in(partial):
    found = judged(partial, range(4, 6), range(0, 2), range(0), range(0, 1))
    assert [index for index, _ in found] == [4, 5, 0, 1, 0]


def test_nothing_to_judge_is_no_error(partial):
    assert judged(partial) == []


@pytest.mark.parametrize("where", [0, FINEST_PIECE - 1, FINEST_PIECE, len(DATA) - 1])
def test_one_wrong_bit_makes_its_piece_alone_wrong(partial, where):
    wrong = bytearray(DATA)
    wrong[where] ^= 1
    partial.write_whole(wrong)
    found = judged(partial, range(6))
    assert [index for index, right in found if not right] == [where // FINEST_PIECE]


@pytest.mark.parametrize("size", [0, 1, FINEST_PIECE, FINEST_PIECE + 1, len(DATA) - 1])
def test_a_piece_that_is_not_whole_is_wrong(partial, size):
    partial.cut(size)
    right = {index for index, is_right in judged(partial, range(6)) if is_right}
    assert right == set(range(size // FINEST_PIECE))


def test_a_hole_is_wrong(partial):
    partial.cut(FINEST_PIECE)
    with partial.handle("rb+") as file:
        file.truncate(len(DATA))
    assert judged(partial, range(6)) == [(0, True)] + [(index, False) for index in range(1, 6)]


@pytest.mark.parametrize("data", [b"", b"x", DATA[:FINEST_PIECE]], ids=len)
def test_a_content_of_one_piece_is_judged_too(partial, data):
    partial.write_whole(data)
    assert judged(partial, range(1), data=data) == [(0, True)]
    if data:
        partial.write_whole(bytes(len(data)))
        assert judged(partial, range(1), data=data) == [(0, False)]


def test_it_judges_while_the_other_thread_goes_on(partial):
    seen, threads = Event(), []

    def note(index, right):
        threads.append(get_ident())
        seen.set()

    with Verifier(partial, len(DATA), HASHES, note) as verifier:
        verifier.check(range(1))
        assert seen.wait(20)
        with partial.handle("rb+") as file:
            file.write(bytes(10))
        verifier.check(range(1))
    assert len(threads) == 2
    assert get_ident() not in threads


def test_a_judge_that_gives_up_is_heard_at_the_end(partial):
    def give_up(index, right):
        raise InterruptedByUserError

    with (
        pytest.raises(InterruptedByUserError),
        Verifier(partial, len(DATA), HASHES, give_up) as verifier,
    ):
        verifier.check(range(6))
        verifier.check(range(6))


def test_a_file_that_is_gone_is_an_error_at_the_end(partial):
    partial.path.unlink()
    with pytest.raises(DiskError, match="missing"):
        judged(partial, range(6))


def test_the_error_of_the_block_itself_comes_first(partial):
    partial.path.unlink()
    with (
        pytest.raises(ZeroDivisionError),
        Verifier(partial, len(DATA), HASHES, lambda *_: None) as verifier,
    ):
        verifier.check(range(6))
        raise ZeroDivisionError
