"""The real programs on disks of other kinds: two names that are one file, no hard links."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import disks
import pytest
from processes import Programs, network

SMALL = {"Foto.JPG": b"one", "foto.jpg": b"another", "FOTO.jpg": b"a third"}
LARGE = {"Filme.bin": os.urandom(1_200_000), "filme.BIN": os.urandom(1_300_000)}
MIXED = {"Nota.txt": b"short", "nota.TXT": os.urandom(1_100_000), "NOTA.txt": b"short too"}
NESTED = {"Pasta/a.txt": b"1", "pasta/A.TXT": b"2", "PASTA/b/c": b"3", "pasta/B/C": b"4"}
MANY = {f"arquivo {number}.txt": b"%d" % number for number in range(300)}
BATCHES = {"small": SMALL, "large": LARGE, "mixed": MIXED, "nested": NESTED}


@pytest.fixture(params=disks.KINDS)
def disk(request):
    with disks.mounted(request.param) as top:
        yield top


@pytest.fixture
def net(disk, tmp_path):  # it ends before the disk goes
    with network(tmp_path) as net:
        net.tracker()
        yield net


def contents_in(folder: Path) -> Counter[bytes]:
    return Counter(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def get(net: Programs, names, folder: Path):
    words = " ".join(f'"{name}"' for name in names)
    return net.run(f"get {net.ip} {words}", downloads=folder)


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_two_names_that_are_one_file_on_this_disk_both_keep_their_contents(disk, net, batch):
    net.peer("--servir", files=batch)
    folder = disk / "baixados"
    for words in ("baixado", "já estav"):  # the second time nothing is fetched or lost
        result = get(net, batch, folder)
        assert result.status == 0, result
        assert words in result.out + result.err
        assert contents_in(folder) == Counter(batch.values())


def test_hundreds_of_files_arrive_and_one_goes_on_on_this_disk(disk, net):
    large = os.urandom(3_000_000)
    net.peer("--servir", files={**MANY, "grande.bin": large})
    folder = disk / "baixados"
    folder.mkdir()
    (folder / "grande.bin.parte").write_bytes(large[:1_500_000] + bytes(1000))
    result = get(net, ["*"], folder)
    assert result.status == 0, result
    assert contents_in(folder) == Counter([*MANY.values(), large])


def test_what_is_on_this_disk_is_never_overwritten(disk, net):
    net.peer(
        "--servir", files={"a.txt": b"theirs", "b.txt": b"theirs too", "c.bin": LARGE["Filme.bin"]}
    )
    folder = disk / "baixados"
    folder.mkdir()
    for name in ("A.txt", "b.txt", "C.BIN"):
        (folder / name).write_bytes(b"mine")
    result = get(net, ["*"], folder)
    assert result.status == 0, result
    found = contents_in(folder)
    assert found == Counter([b"mine"] * 3 + [b"theirs", b"theirs too", LARGE["Filme.bin"]])
