"""What an earlier download left, rechecked in another process."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from threading import Thread

import pytest
from conftest import ROOT

from rede_p2p.content import merkle, recheck, recheck_worker
from rede_p2p.content.merkle import BLOCK_BYTES, MIN_PIECE_BYTES
from rede_p2p.content.recheck import Recheck
from rede_p2p.errors import DiskError

DATA = random.Random(9).randbytes(100 * MIN_PIECE_BYTES + 5)
LAYER = merkle.layer_of(DATA)
COUNT = 101


def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def rechecked(path, count=COUNT):
    """Return the pieces that are found right, of the first ``count``."""
    verdicts = {}
    with path.open("rb") as file, Recheck(path, len(DATA)) as rechecking:
        for found in rechecking.pieces(LAYER, count, file):
            assert not verdicts.keys() & found.keys()
            verdicts.update(found)
    assert list(verdicts) == list(range(count))
    return {index for index, right in verdicts.items() if right}


@pytest.fixture
def left(tmp_path):
    path = tmp_path / "um nome [com] 'tudo'.parte"
    path.write_bytes(DATA)
    return path


@pytest.mark.parametrize("here", [0, len(DATA)], ids=["in a process", "in this process"])
def test_what_is_right_is_told_and_nothing_else(left, monkeypatch, here):
    monkeypatch.setattr(recheck, "MAX_BYTES_HERE", here)
    assert rechecked(left) == set(range(COUNT))
    with left.open("rb+") as file:
        for wrong in (0, 63, 64, 99):
            file.seek(wrong * MIN_PIECE_BYTES + 7)
            file.write(b"\0wrong\0")
    assert rechecked(left) == set(range(COUNT)) - {0, 63, 64, 99}
    os.truncate(left, 70 * MIN_PIECE_BYTES - 1)
    assert rechecked(left, 70) == set(range(69)) - {0, 63, 64}


def test_what_libraries_need_is_found_wherever_this_process_found_it(left, tmp_path):
    elsewhere = tmp_path / "rich"
    elsewhere.mkdir()
    (elsewhere / "__init__.py").touch()
    done = subprocess.run(
        [
            *(sys.executable, "-S", "-c"),
            "import sys; from pathlib import Path; from rede_p2p.content.recheck import Recheck\n"
            "layer = bytes.fromhex(sys.argv[2])\n"
            "path = Path(sys.argv[1])\n"
            "with path.open('rb') as file, Recheck(path, int(sys.argv[3])) as rechecking:\n"
            "    print(sum(map(len, rechecking.pieces(layer, 101, file))))",
            *(str(left), LAYER.hex(), str(len(DATA))),
        ],
        env={"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("101\n", "")


@pytest.mark.parametrize("blocks", [2, 3, 4])
def test_the_nodes_of_a_tree_are_not_taken_for_its_leaves(tmp_path, blocks):
    data = random.Random(blocks).randbytes(blocks * BLOCK_BYTES)
    leaves = [
        sha256(data[at : at + BLOCK_BYTES]).digest() for at in range(0, len(data), BLOCK_BYTES)
    ]
    nodes = [*leaves, bytes(32)][: blocks + blocks % 2]
    while len(nodes) > 2:
        nodes = [sha256(a + b).digest() for a, b in zip(nodes[::2], nodes[1::2], strict=True)]
    layer = merkle.layer_of(data)
    assert sha256(b"".join(nodes)).digest() == layer  # so this would pass for the whole
    path = tmp_path / "a.parte"
    path.write_bytes(b"".join(nodes))
    with path.open("rb") as file, Recheck(path, len(data)) as rechecking:
        assert list(rechecking.pieces(layer, 1, file)) == [{0: False}]
    with path.open("rb") as file:
        assert [
            right for right, _ in recheck_worker.recheck(file, len(data), [layer], [range(1)])
        ] == [[False]]
    path.write_bytes(data)
    with path.open("rb") as file, Recheck(path, len(data)) as rechecking:
        assert list(rechecking.pieces(layer, 1, file)) == [{0: True}]


@pytest.mark.parametrize("here", [0, len(DATA)], ids=["in a process", "in this process"])
@pytest.mark.parametrize("other", [None, DATA])
def test_a_file_that_is_not_there_any_more_is_an_error_of_the_disk(left, monkeypatch, here, other):
    monkeypatch.setattr(recheck, "MAX_BYTES_HERE", here)
    with left.open("rb") as file, Recheck(left, len(DATA)) as rechecking:
        left.unlink()
        if other is not None:  # right, but not in the file that is being written
            left.write_bytes(other)
        with pytest.raises(DiskError):
            list(rechecking.pieces(LAYER, COUNT, file))


def test_who_listens_to_a_process_that_hangs_is_told_when_another_ends_it(left, monkeypatch):
    monkeypatch.setattr(recheck, "_PROGRAM", "import threading; threading.Event().wait(60)")
    with left.open("rb") as file, Recheck(left, len(DATA)) as one:
        one.start()
        stopping = Thread(target=one.stop)
        stopping.start()
        with pytest.raises(DiskError):
            next(one.pieces(LAYER, COUNT, file))
        stopping.join()
        with pytest.raises(DiskError):
            one.start()


@pytest.mark.parametrize("program", ["", "raise SystemExit(3)", "print('x', end='')"])
def test_a_process_that_ends_before_its_time_is_an_error_too(left, monkeypatch, program):
    monkeypatch.setattr(recheck, "_PROGRAM", program)
    with pytest.raises(DiskError):
        rechecked(left)


def test_where_no_process_can_be_started_this_one_rechecks(left, monkeypatch, tmp_path):
    expected = rechecked(left)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    assert rechecked(left) == expected


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="its children are not told here")
def test_who_stops_listening_leaves_no_process_behind(left):
    with left.open("rb") as file, Recheck(left, len(DATA)) as rechecking:
        assert next(rechecking.pieces(LAYER, COUNT, file))
    assert not children()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="its children are not told here")
def test_who_starts_it_and_has_no_question_leaves_no_process_behind(left):
    with Recheck(left, len(DATA)) as rechecking:
        assert not children()
        rechecking.start()
        rechecking.start()
        assert len(children()) == 1
    assert not children()


def test_a_process_started_before_the_file_is_there_looks_at_it_once_it_is(tmp_path):
    path = tmp_path / "a.parte"
    with Recheck(path, len(DATA)) as rechecking:
        rechecking.start()
        path.write_bytes(DATA)
        with path.open("rb") as file:
            found = list(rechecking.pieces(LAYER, COUNT, file))
    assert {index for some in found for index, right in some.items() if right} == set(range(COUNT))
