"""Contents that change at their source or here, through the whole programs."""

from __future__ import annotations

import json
import os
from threading import Event, Thread

import pytest
from processes import beside, network
from sources import found_in

LONG_AGO = (1_500_000_000,) * 2


@pytest.fixture
def net(tmp_path):
    with network(tmp_path) as programs:
        programs.tracker()
        yield programs


def sharing(net, tree, name="fotos"):
    """Share a folder, and return it."""
    folder = net.folder / "tree"
    folder.mkdir()
    for file, data in tree.items():
        (folder / file).write_bytes(data)
        os.utime(folder / file, LONG_AGO)
    (net.folder / "lista.txt").write_text(f"{name} tree\n")
    return folder


def serving(net):
    return net.peer("--servir", files=net.folder / "lista.txt")


def get(net, *words):
    return net.run(f"get {' '.join(words)}", "--json", ip=beside(net.ip))


def test_seven_bytes_do_not_wait_for_a_tebibyte_that_is_being_hashed(net):
    folder = sharing(net, {})
    with (folder / "enorme").open("wb") as file:
        file.truncate(2**40)
    os.utime(folder / "enorme", LONG_AGO)
    serving(net)
    (net.folder / "sete").write_bytes(b"7 bytes")
    (net.folder / "nova").write_text("fotos tree\nsete sete\n")
    (net.folder / "nova").replace(net.folder / "lista.txt")
    result = get(net, net.ip, "sete")
    assert result.status == 0, result
    assert (net.downloads / "sete").read_bytes() == b"7 bytes"


def test_a_log_that_never_stops_growing_is_told_in_a_sentence_and_the_others_come(net):
    folder, stop = sharing(net, {"a.png": b"a", "b.png": b"b", "x.log": b""}), Event()

    def grow():
        with (folder / "x.log").open("ab", buffering=0) as file:
            while not stop.wait(0.05):
                file.write(b"one more line\n")

    growing = Thread(target=grow)
    growing.start()
    net.hurry(quiet_s=0.5, max_quiet_wait_s=2.0)
    try:
        serving(net)
        result = get(net, net.ip, "fotos")
    finally:
        stop.set()
        growing.join()
    assert result.status == 4, result
    assert "ainda está sendo gravado" in result.err
    assert "fotos/x.log" in result.out
    assert "ainda está mudando" in result.err
    assert found_in(net.downloads) == {"fotos/a.png": b"a", "fotos/b.png": b"b"}


def test_an_edit_that_sets_the_time_back_is_news_at_the_source_and_here(net):
    folder = sharing(net, {"a.bin": b"before" * 100_000})
    serving(net)
    first = get(net, net.ip, "fotos/a.bin")
    (folder / "a.bin").write_bytes(b"after!" * 100_000)
    os.utime(folder / "a.bin", LONG_AGO)
    second = get(net, net.ip, "fotos/a.bin")
    assert (first.status, second.status) == (0, 0), (first, second)
    found = found_in(net.downloads)
    assert found["fotos/a.bin"] == b"before" * 100_000
    assert found["fotos/a (1).bin"] == b"after!" * 100_000

    copy = net.downloads / "fotos" / "a.bin"
    copy.write_bytes(b"edited" * 100_000)
    os.utime(copy, LONG_AGO)
    (folder / "a.bin").write_bytes(b"before" * 100_000)
    os.utime(folder / "a.bin", LONG_AGO)
    third = get(net, net.ip, "fotos/a.bin")
    (fact,) = map(json.loads, third.out.splitlines())
    assert not fact["already"]
    assert copy.read_bytes() == b"edited" * 100_000


def test_an_ambiguous_name_in_a_folder_is_named_and_the_others_come(net):
    one = {"fotos/a.png": b"a", "fotos/duas.png": b"one"}
    other = {"fotos/b.png": b"b", "fotos/duas.png": b"two"}
    net.peer("--servir", files=one)
    net.peer("--servir", files=other)
    result = get(net, net.ip, "fotos")
    assert result.status == 2, result
    assert "fotos/duas.png" in result.out
    assert found_in(net.downloads) == {"fotos/a.png": b"a", "fotos/b.png": b"b"}
