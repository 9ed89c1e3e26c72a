"""The worker alone: which pieces it finds right, and what it answers over its pipes."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
from conftest import ROOT

from rede_p2p.content import merkle
from rede_p2p.content.merkle import MIN_PIECE_BYTES
from rede_p2p.content.recheck_worker import recheck

PIECES = 9
DATA = random.Random(3).randbytes((PIECES - 1) * MIN_PIECE_BYTES + 5)
LAYER = merkle.layer_of(DATA)
ALL = set(range(PIECES))
FOURTH = 3 * MIN_PIECE_BYTES  # bytes; where the fourth piece begins
DAMAGES = {
    "nothing": (lambda file: None, ALL),
    "one bit": (lambda file: overwrite(file, FOURTH, bytes([DATA[FOURTH] ^ 1])), ALL - {3}),
    "zeros": (lambda file: overwrite(file, 0, bytes(2 * MIN_PIECE_BYTES)), ALL - {0, 1}),
    "the last byte": (lambda file: file.truncate(len(DATA) - 1), ALL - {8}),
    "the end": (lambda file: file.truncate(6 * MIN_PIECE_BYTES + 1), set(range(6))),
    "all": (lambda file: file.truncate(0), set()),
}  # fmt: skip


def overwrite(file, start, data):
    file.seek(start)
    file.write(data)


@pytest.fixture(params=DAMAGES)
def left(request, tmp_path):
    """Return a damaged file, and its pieces that are still right."""
    path, (damage, right) = tmp_path / "a.parte", DAMAGES[request.param]
    path.write_bytes(DATA)
    with path.open("rb+") as file:
        damage(file)
    return path, right


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "b.parte"
    path.write_bytes(DATA)
    return path


def ask(path, count, *, said=None):
    """Ask a worker about the first pieces of a file; return its exit status and its answer."""
    if said is None:
        status = path.stat()
        said = b"%d %d %d\n" % (count, status.st_dev, status.st_ino) + LAYER
    program = "from rede_p2p.content.recheck_worker import main; main()"
    words = [sys.executable, "-c", program, str(path), str(len(DATA))]
    done = subprocess.run(words, cwd=ROOT, input=said, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("step", [1, 2, 4, PIECES])
def test_the_pieces_that_are_right_are_found_in_runs_of_any_length(left, step):
    path, right = left
    runs = [range(at, min(at + step, PIECES)) for at in range(0, PIECES, step)]
    held, found = path.read_bytes(), set()
    with path.open("rb") as file:
        rechecking = recheck(file, len(DATA), merkle.split(LAYER), runs)
        for run, (verdicts, data) in zip(runs, rechecking, strict=True):
            start = run.start * MIN_PIECE_BYTES
            assert data == held[start : start + merkle.bytes_in(run, len(DATA))]
            assert len(verdicts) == len(run)
            found |= {index for index, is_right in zip(run, verdicts, strict=True) if is_right}
    assert found == right


def test_runs_may_come_in_any_order(whole):
    with whole.open("rb") as file:
        runs = [range(8, 9), range(0, 2), range(4, 5)]
        found = [right for right, _ in recheck(file, len(DATA), merkle.split(LAYER), runs)]
    assert found == [[True], [True, True], [True]]


def test_the_process_answers_one_byte_for_each_piece(left):
    path, right = left
    assert ask(path, PIECES) == (0, bytes(index in right for index in range(PIECES)))


def test_no_more_pieces_are_told_than_were_asked_for(whole):
    assert ask(whole, 4) == (0, b"\1\1\1\1")


@pytest.mark.parametrize("said", [b"", b"9 0 0\n" + LAYER], ids=["no question", "another file"])
def test_without_a_question_about_this_file_nothing_is_answered(whole, said):
    assert ask(whole, PIECES, said=said) == (0, b"")


def test_a_file_that_is_not_there_is_a_failure(tmp_path):
    status, answer = ask(tmp_path / "nada.parte", 1, said=b"1 0 0\n" + LAYER)
    assert status != 0 and answer == b""
