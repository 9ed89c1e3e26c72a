"""Files that are whole get their names, and nothing else does."""

from __future__ import annotations

import os
from contextlib import closing

import pytest
from disks import scribble
from sources import content_of, found_in

from rede_p2p.content import anonymous_file, inside, merkle
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.download.flush_queue import Written
from rede_p2p.download.publisher import Publisher
from rede_p2p.download.request import DownloadRequest, Outcome
from rede_p2p.errors import DiskError, InterruptedByUserError
from rede_p2p.upload.seed_store import SeedStore

pytest_plugins = ["downloading"]

DATA = {"a.txt": b"a" * 100, "pasta/b.txt": b"b" * 70_000}


@pytest.fixture
def seeds():
    return SeedStore()


@pytest.fixture
def reported():
    return {}


@pytest.fixture
def closed():
    return []


@pytest.fixture
def publisher(context, seeds, reported, closed):
    def report(request, outcome):
        reported[request.name] = outcome

    made = context(seeds=seeds)
    with Publisher(made, report, lambda: None, lambda one: closed.append(one.request.name)) as one:
        yield one


def asked(name, data):
    return DownloadRequest(name, content_of(data), ())


def put(publisher, name, data):
    file = publisher.open(name)
    file.write_whole(data)
    publisher.add(Written(asked(name, data), file, merkle.layer_of(data)), len(data))


def test_files_are_named_offered_and_reported_once_they_are_on_the_disk(
    publisher, folder, seeds, reported, closed
):
    for name, data in DATA.items():
        put(publisher, name, data)
    assert (found_in(folder), reported) == ({}, {})
    publisher.publish_all()
    assert found_in(folder) == DATA
    assert reported == {name: Outcome(str(folder / name), already=False) for name in DATA}
    assert closed == list(DATA)
    assert all(seeds.find_whole(content_of(data).root) for data in DATA.values())


def test_no_file_is_replaced(publisher, folder, reported):
    folder.mkdir()
    (folder / "a.txt").write_bytes(b"mine")
    put(publisher, "a.txt", DATA["a.txt"])
    publisher.publish_all()
    assert found_in(folder) == {"a.txt": b"mine", "a (1).txt": DATA["a.txt"]}
    assert reported["a.txt"].path == str(folder / "a (1).txt")


def test_what_is_here_already_is_reported_and_not_fetched(publisher, folder, reported):
    request = asked("a.txt", DATA["a.txt"])
    assert list(publisher.not_here([request])) == [request]
    folder.mkdir()
    (folder / "a.txt").write_bytes(DATA["a.txt"])
    assert list(publisher.not_here([request])) == []
    assert reported == {"a.txt": Outcome(str(folder / "a.txt"), already=True)}


def test_in_a_folder_that_is_not_there_no_name_is_looked_for(publisher, folder, monkeypatch):
    looked, lexists = [], os.path.lexists
    monkeypatch.setattr(os.path, "lexists", lambda path: looked.append(path) or lexists(path))
    requests = [asked(f"pasta/{number}", b"new") for number in range(9)]
    assert list(publisher.not_here(requests)) == requests
    assert looked == [str(folder / "pasta")]
    (folder / "pasta").mkdir(parents=True)
    assert list(publisher.not_here(requests)) == requests
    assert looked[2:] == [str(folder / request.name) for request in requests]


def test_what_came_meanwhile_into_a_new_folder_is_not_replaced(publisher, folder, reported):
    names = ("pasta/a.txt", "pasta/b.txt")
    assert len(list(publisher.not_here(asked(name, b"new") for name in names))) == 2
    (folder / "pasta").mkdir(parents=True)
    (folder / "pasta" / "a.txt").write_bytes(b"new")
    (folder / "pasta" / "b.txt").write_bytes(b"old")
    for name in names:
        put(publisher, name, b"new")
    publisher.publish_all()
    expected = {"pasta/a.txt": b"new", "pasta/b.txt": b"old", "pasta/b (1).txt": b"new"}
    assert found_in(folder) == expected
    assert reported["pasta/a.txt"].path == str(folder / "pasta" / "a.txt")


@pytest.mark.skipif(not anonymous_file._KNOWN, reason="only Linux writes a file without a name")
def test_many_files_in_a_row_hold_their_folder_once(publisher, folder, monkeypatch):
    held = []
    hold = inside.folder
    for number in range(40):
        put(publisher, f"{'ab'[number >= 20]}/{number}", b"x")
    monkeypatch.setattr(
        inside, "folder", lambda top, path, **how: held.append(path) or hold(top, path, **how)
    )
    publisher.publish_all()
    assert held == [str(folder / "a"), str(folder / "b")]
    assert len(found_in(folder)) == 40
    assert publisher._holder._place is None


def large(publisher, name, data):
    """Have a file that came in pieces, and is whole."""
    file = publisher.open_partial(name)
    with file.writer() as writer:
        writer.write(0, memoryview(data))
    publisher.add(Written(asked(name, data), file, merkle.layer_of(data)), len(data))
    return file.path


def test_a_large_file_that_another_program_wrote_into_stays_for_the_next_get(
    publisher, folder, reported, closed
):
    data = bytes(3_000_000)
    scribble(large(publisher, "a.bin", data), 5)
    publisher.publish_all()
    assert reported["a.bin"].kind == "replaced" and closed == ["a.bin"]
    assert found_in(folder) == {"a.bin.parte": data[:5] + b"?" + data[6:]}


def test_a_large_file_that_is_read_again_stays_where_that_is_interrupted(context, folder):
    def stop():
        raise InterruptedByUserError

    with Publisher(context(), lambda *_: None, stop) as publisher:
        large(publisher, "a.bin", b"x" * 3_000_000).chmod(0o600)
        publisher.publish_all()
    assert found_in(folder) == {"a.bin.parte": b"x" * 3_000_000}


@pytest.mark.skipif(not anonymous_file._KNOWN, reason="only Linux writes a file without a name")
def test_nothing_more_goes_into_a_folder_that_was_moved_away(
    publisher, folder, tmp_path, reported, monkeypatch
):
    link = os.link

    def move_after_one(*words, **how):
        link(*words, **how)
        if (folder / "pasta").exists():
            (folder / "pasta").rename(tmp_path / "longe")

    monkeypatch.setattr(os, "link", move_after_one)
    for number in range(5):
        put(publisher, f"pasta/{number}", b"x")
    publisher.publish_all()
    assert found_in(tmp_path / "longe") == {"0": b"x"}
    assert [reported[f"pasta/{number}"].kind for number in range(1, 5)] == ["missing"] * 4


def test_what_may_not_be_written_is_reported_and_not_fetched(publisher, reported):
    assert list(publisher.not_here([asked("../a.txt", b"a")])) == []
    assert isinstance(reported["../a.txt"], Exception)


def test_what_an_earlier_get_left_is_known_and_taken_over(publisher, folder):
    folder.mkdir()
    (folder / "a.txt.parte").write_bytes(b"half")
    assert publisher.has_partial("a.txt")
    assert not publisher.has_partial("b.txt")
    put(publisher, "a.txt", DATA["a.txt"])
    publisher.publish_all()
    assert found_in(folder) == {"a.txt": DATA["a.txt"]}


def test_nothing_is_written_through_a_link(publisher, folder, tmp_path):
    folder.mkdir()
    (tmp_path / "outside").mkdir()
    (folder / "pasta").symlink_to(tmp_path / "outside")
    with pytest.raises(DiskError) as caught:
        publisher.open_partial("pasta/b.txt")
    assert caught.value.kind == "link-folder"
    assert not list((tmp_path / "outside").iterdir())


@pytest.fixture
def swap(folder, tmp_path):
    """Return what swaps a folder for a link to one outside, and that one."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "pasta").mkdir(parents=True)

    def swap():
        (folder / "pasta").rename(folder / "moved")
        (folder / "pasta").symlink_to(outside)

    return swap, outside


def test_in_a_folder_swapped_for_a_link_no_file_gets_its_name(publisher, folder, reported, swap):
    swap, outside = swap
    name = "pasta/b.txt"
    put(publisher, name, DATA[name])
    with publisher.open_partial("pasta/c.txt") as partial:
        partial.write_whole(b"c")
        partial.flush()
        swap()
        publisher.publish_all()
        with pytest.raises(DiskError):
            partial.publish(iter([str(folder / "pasta" / "c.txt")]), lambda _: False)
    assert isinstance(reported[name], DiskError)
    assert not list(outside.iterdir())


def test_of_a_partial_file_that_is_opened_through_a_link_nothing_is_written(publisher, swap):
    swap, outside = swap
    assert not publisher.has_partial("pasta/b.txt")
    swap()
    with pytest.raises(DiskError, match="link-folder"):
        publisher.open_partial("pasta/b.txt")
    assert not list(outside.iterdir())


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_folder_that_is_missing_is_not_made_behind_a_link(publisher, swap, monkeypatch, unnamed):
    monkeypatch.setattr(anonymous_file, "_KNOWN", unnamed and anonymous_file._KNOWN)
    swap, outside = swap
    assert not publisher.has_partial("pasta/nova/b.txt")
    swap()
    with pytest.raises(DiskError, match="link-folder"):
        publisher.open("pasta/nova/b.txt")
    assert not list(outside.iterdir())


def test_what_is_not_published_at_the_end_leaves_nothing(context, folder):
    with closing(HashCache(None)), Publisher(context(), lambda *_: None, lambda: None) as one:
        put(one, "a.txt", DATA["a.txt"])
    assert not folder.exists() or set(found_in(folder)) <= {"a.txt.parte"}
