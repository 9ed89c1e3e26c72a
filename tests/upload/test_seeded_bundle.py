"""What of a bundle can be offered, and is what it was."""

from __future__ import annotations

import random

import pytest
from sources import content_of

from rede_p2p.content import disk
from rede_p2p.content.bitfield import bits_of
from rede_p2p.content.merkle import MIN_PIECE_BYTES
from rede_p2p.content.piece_layout import BundleLayout
from rede_p2p.errors import RefusedError
from rede_p2p.upload import seeded_bundle
from rede_p2p.upload.seed_store import MAX_KEPT_BUNDLES, SeedStore
from rede_p2p.upload.seeded_bundle import SeededBundle
from rede_p2p.upload.shared_files import Share

RANDOM = random.Random(5)
FILES = [RANDOM.randbytes(size) for size in (100, 200, 60_000, 3 * MIN_PIECE_BYTES)]
CONTENTS = [content_of(data) for data in FILES]
LAYOUT = BundleLayout(bytes(32), CONTENTS)  # pieces: 0 and 1 with 2 beside them, three of the last


@pytest.fixture
def seeds():
    return SeedStore()


@pytest.fixture
def keep(seeds, tmp_path):
    """Return how to have files here, by their numbers."""

    def keep_(*files):
        whole = []
        for file in files:
            path = tmp_path / str(file)
            path.write_bytes(FILES[file])
            state = disk.file_state(path)
            assert state is not None
            whole.append((CONTENTS[file].root, Share(str(file), str(path), state)))
        seeds.keep(whole)

    return keep_


def offered(bundle):
    """List the pieces that a new requester is offered, until there is nothing more."""
    picker = bundle.picker()
    requester = picker.enter("machine", bits_of(range(LAYOUT.count)))
    found = []
    while run := picker.offer(requester, 0, 1)[0]:
        picker.take(requester, run)
        picker.note(requester, run, ())
        found += run
    picker.leave(requester)
    return sorted(found)


def test_a_piece_is_offered_once_all_its_files_are_here(seeds, keep):
    bundle = seeds.bundle(LAYOUT, "10.0.0.1")
    assert offered(bundle) == []
    keep(0, 1)
    assert offered(bundle) == []
    keep(2)
    assert offered(bundle) == [0]
    keep(3)
    assert offered(bundle) == [0, 1, 2, 3]
    assert bundle.read(range(LAYOUT.count)) == b"".join(FILES)


def test_what_was_here_before_is_offered_at_once(seeds, keep):
    keep(3)
    bundle = seeds.bundle(LAYOUT, "10.0.0.1")
    assert offered(bundle) == [1, 2, 3]
    assert bundle.name == "3"  # for who asks what is being sent


@pytest.mark.parametrize("size", [50, 150])
def test_a_file_whose_size_is_described_wrong_is_not_here(seeds, keep, size):
    layout = BundleLayout(bytes(32), [CONTENTS[0]._replace(size=size), CONTENTS[3]])
    before = seeds.bundle(layout, "10.0.0.1")
    keep(0)
    for bundle in (before, SeededBundle(layout, seeds.find_whole)):
        assert offered(bundle) == []
        with pytest.raises(RefusedError, match="not-here"):
            bundle.read(range(1))


def test_a_file_is_read_while_it_arrives_and_after_it_has_its_name(seeds, keep):
    class Arriving:
        def read_into(self, start, view):
            view[:] = FILES[3][start : start + len(view)]
            return len(view)

    bundle = seeds.fetch_bundle(LAYOUT, "turma")
    bundle.receive(CONTENTS[3], Arriving())
    bundle.add([2])
    assert offered(bundle) == [2]
    assert bundle.read(range(2, 3)) == FILES[3][MIN_PIECE_BYTES : 2 * MIN_PIECE_BYTES]
    keep(3)
    bundle.release(CONTENTS[3])
    assert bundle.read(range(2, 3)) == FILES[3][MIN_PIECE_BYTES : 2 * MIN_PIECE_BYTES]


@pytest.mark.parametrize("change", ["other bytes", "gone", "shorter"])
def test_a_file_that_is_another_now_is_refused_and_offered_no_more(seeds, keep, tmp_path, change):
    keep(0, 1, 2, 3)
    bundle = seeds.bundle(LAYOUT, "10.0.0.1")
    (tmp_path / "1").unlink()
    if change != "gone":
        (tmp_path / "1").write_bytes(FILES[1][::-1] if change == "other bytes" else b"x")
    with pytest.raises(RefusedError, match="not-here"):
        bundle.read(range(1))
    assert offered(bundle) == [1, 2, 3]
    assert bundle.read(range(1, 4)) == FILES[3]


def test_a_bundle_that_nobody_has_is_forgotten_and_our_own_are_found_for_a_while(seeds):
    seeds.bundle(LAYOUT, "10.0.0.1")
    assert seeds.find(LAYOUT.root) is None
    for number in range(MAX_KEPT_BUNDLES + 1):
        seeds.fetch_bundle(BundleLayout(bytes([number]) * 32, CONTENTS), "turma")
    kept = [seeds.find(bytes([number]) * 32) is not None for number in range(MAX_KEPT_BUNDLES + 1)]
    assert kept == [False] + [True] * MAX_KEPT_BUNDLES
    assert {entry.root for entry in seeds.entries()} == {
        bytes([number]) * 32 for number in range(1, MAX_KEPT_BUNDLES + 1)
    }


def test_no_more_files_are_described_than_there_is_memory_for(seeds, monkeypatch):
    monkeypatch.setattr("rede_p2p.upload.seed_store.MAX_BUNDLED_FILES", 2 * len(CONTENTS))
    held = [
        seeds.bundle(BundleLayout(bytes([n]) * 32, CONTENTS), f"10.0.0.{n + 1}") for n in (1, 2)
    ]
    with pytest.raises(RefusedError, match="full"):
        seeds.bundle(LAYOUT, "10.0.0.1")
    assert seeds.bundle(held[1].layout, "10.0.0.4") is held[1]
    assert seeds.fetch_bundle(LAYOUT, "turma").layout is LAYOUT  # our own has always room
    held.pop()
    assert seeds.bundle(LAYOUT, "10.0.0.1").layout is LAYOUT


def test_one_address_describes_half_of_the_files_that_there_is_memory_for(seeds, monkeypatch):
    monkeypatch.setattr("rede_p2p.upload.seed_store.MAX_BUNDLED_FILES", 4 * len(CONTENTS))
    layouts = [BundleLayout(bytes([n]) * 32, CONTENTS) for n in range(4)]
    held = [seeds.bundle(layout, "10.0.0.1") for layout in layouts[:2]]
    with pytest.raises(RefusedError, match="full"):
        seeds.bundle(layouts[2], "10.0.0.1")
    held += [seeds.bundle(layout, "10.0.0.2") for layout in layouts]
    assert len({id(one) for one in held}) == 4


def test_who_offers_nothing_offers_no_bundle_while_it_fetches_one():
    seeds = SeedStore(keeps=False)
    bundle = seeds.fetch_bundle(LAYOUT, "turma")
    assert seeds.find(LAYOUT.root) is None
    assert bundle.grows
    assert not seeds.entries()


def test_a_file_that_is_closed_to_get_its_name_is_refused_for_that_moment(seeds, keep):
    class Closed:
        def read_into(self, *_):
            raise ValueError("I/O operation on closed file")

    bundle = seeds.fetch_bundle(LAYOUT, "turma")
    bundle.receive(CONTENTS[3], Closed())
    bundle.add([1, 2, 3])
    with pytest.raises(RefusedError, match="not-here"):
        bundle.read(range(1, 4))
    keep(3)
    bundle.release(CONTENTS[3])
    assert offered(bundle) == [1, 2, 3]
    assert bundle.read(range(1, 4)) == FILES[3]


def test_where_files_come_by_themselves_more_are_expected(seeds, keep, monkeypatch):
    bundle = seeds.bundle(LAYOUT, "127.0.0.1")
    assert not bundle.may_grow()
    keep(0)  # half of a piece
    assert not bundle.may_grow()
    keep(1, 2)
    assert bundle.may_grow()
    monkeypatch.setattr(seeded_bundle, "GROWS_ON_S", 0.0)
    assert not bundle.may_grow()


def test_what_is_fetched_and_then_named_is_no_sign_of_more(seeds, keep):
    bundle = seeds.fetch_bundle(LAYOUT, "turma")
    bundle.add(range(LAYOUT.count))
    keep(0, 1, 2, 3)
    assert bundle.may_grow()
    bundle.grows = False
    assert not bundle.may_grow()
