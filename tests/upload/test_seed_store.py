"""What this peer can offer: on its way, shared, or kept; always what it is at that moment."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest
from sources import content_of

from rede_p2p.content import disk, merkle
from rede_p2p.content.bitfield import bits_of
from rede_p2p.content.merkle import MIN_PIECE_BYTES
from rede_p2p.content.piece_layout import BundleLayout
from rede_p2p.download.source import describe
from rede_p2p.errors import RefusedError
from rede_p2p.protocol.fields import MAX_BUNDLE_FILES
from rede_p2p.upload.seed_store import MAX_BUNDLED_FILES, MAX_DESCRIBED_PER_S, SeedStore
from rede_p2p.upload.shared_files import Share

DATA = random.Random(7).randbytes(3 * MIN_PIECE_BYTES + 1)
CONTENT = content_of(DATA)
LAYER = bytes(4 * 32)


def written(path, data=DATA):
    path.write_bytes(data)
    state = disk.file_state(path)
    assert state is not None
    return CONTENT.root, Share(path.name, str(path), state)


@pytest.fixture
def seeds():
    return SeedStore()


@pytest.fixture
def changes(seeds):
    """Return what grows whenever the tracker is to hear of a change."""
    changes = []
    seeds.watch(lambda: changes.append(seeds.offered()))
    return changes


def test_what_is_kept_is_offered_whole(seeds, changes, tmp_path):
    entry = written(tmp_path / "a.bin")
    assert seeds.find(CONTENT.root) is None
    seeds.keep([entry])
    assert changes[-1] == {CONTENT: "a.bin"}
    assert seeds.offered() == {CONTENT: "a.bin"}
    assert seeds.find_whole(CONTENT.root) == entry[1]
    seeded = seeds.find(CONTENT.root)
    assert (seeded.name, seeded.content, seeded.state) == ("a.bin", CONTENT, entry[1].state)
    assert seeds.find(CONTENT.root) is seeded  # it remembers what it has offered
    picker = seeded.picker()
    assert picker.offer(picker.enter("machine", bits_of([0, 3])), 0, 1) == (range(1), (3,))


@pytest.mark.parametrize("how", ["changed", "gone", "of the same size"])
def test_what_did_not_stay_as_it_was_is_offered_no_more(seeds, changes, tmp_path, how):
    path = tmp_path / "a.bin"
    seeds.keep([written(path)])
    seeds.find(CONTENT.root)
    path.unlink()
    if how != "gone":
        path.write_bytes(DATA[::-1] if how == "of the same size" else b"changed")
    assert seeds.find(CONTENT.root) is None
    assert seeds.find_whole(CONTENT.root) is None
    assert seeds.offered() == {}
    assert changes[-1] == {}  # so that the tracker hears of it
    seeds.keep([written(tmp_path / "b.bin")])
    assert seeds.find(CONTENT.root).path == tmp_path / "b.bin"


def test_a_download_remembers_what_it_has_offered_when_it_is_complete(seeds, tmp_path):
    seeded = seeds.begin("a.bin", CONTENT, LAYER, tmp_path / "a.bin.parte", range(2))
    assert seeds.find(CONTENT.root) is seeded
    assert seeds.find_whole(CONTENT.root) is None
    _, share = written(tmp_path / "a.bin")
    seeds.end(seeded, tmp_path / "a.bin", share.state)
    assert seeds.find(CONTENT.root) is seeded
    assert seeds.find_whole(CONTENT.root) == share
    assert seeds.offered() == {CONTENT: "a.bin"}
    seeds.keep([(CONTENT.root, share)])  # as the end of its transfer does
    assert seeds.find(CONTENT.root) is seeded


def test_what_arrives_is_offered_whether_or_not_a_requester_was_there_before(seeds, tmp_path):
    seeded = seeds.begin("a.bin", CONTENT, LAYER, tmp_path / "a.bin.parte")
    seeded.add([1])
    picker = seeded.picker()
    assert seeded.picker() is picker
    requester = picker.enter("machine", bits_of(range(4)))
    assert picker.offer(requester, 0, 4) == (range(1, 2), ())
    seeded.add([1, 2])
    picker.leave(requester)
    assert picker.offer(picker.enter("other", bits_of(range(4))), 1, 4) == (range(1, 3), ())


@pytest.mark.parametrize("fails", [True, False])
def test_a_whole_file_is_offered_while_the_same_content_comes_again(seeds, tmp_path, fails):
    seeds.keep([written(tmp_path / "a.bin")])
    again = seeds.begin("b.bin", CONTENT, LAYER, tmp_path / "b.bin.parte", ())
    assert seeds.find(CONTENT.root).path == tmp_path / "a.bin"
    if fails:
        seeds.end(again)
    else:
        seeds.end(again, tmp_path / "b.bin", written(tmp_path / "b.bin")[1].state)
    found = seeds.find(CONTENT.root)
    assert found.path == tmp_path / ("a.bin" if fails else "b.bin")
    assert seeds.offered().keys() == {CONTENT}


def test_a_download_that_ends_without_a_file_is_offered_no_more(seeds, tmp_path):
    seeded = seeds.begin("a.bin", CONTENT, LAYER, tmp_path / "a.bin.parte", range(2))
    seeds.end(seeded)
    assert seeds.find(CONTENT.root) is None
    assert seeds.offered() == {}


def test_without_seeding_nothing_is_offered(tmp_path):
    seeds = SeedStore(keeps=False)
    seeded = seeds.begin("a.bin", CONTENT, LAYER, tmp_path / "a.bin.parte", range(2))
    entry = written(tmp_path / "a.bin")
    seeds.end(seeded, tmp_path / "a.bin", entry[1].state)
    seeds.keep([entry])
    assert seeds.find(CONTENT.root) is None
    assert seeds.offered() == {}


def test_what_is_found_to_hold_other_bytes_is_offered_no_more(seeds, tmp_path):
    path = tmp_path / "a.bin"
    entry = written(path)
    seeds.keep([entry])
    seeded = seeds.find(CONTENT.root)
    layer = merkle.layer_of(DATA)
    assert all(seeded.holds(layer, first) for first in range(4))
    path.write_bytes(DATA[:-1] + b"!")
    assert not seeded.holds(layer, 3)
    seeds.doubt(seeded)
    assert seeded.gone
    assert seeds.find(CONTENT.root) is None
    assert seeds.offered() == {}


def test_an_address_describes_as_many_files_as_there_may_be_and_then_only_so_many_a_second():
    now = 1000.0
    seeds = SeedStore(clock=lambda: now)
    for _ in range(MAX_BUNDLED_FILES // MAX_BUNDLE_FILES):
        seeds.admit("10.0.0.1", MAX_BUNDLE_FILES)
    with pytest.raises(RefusedError, match="full"):
        seeds.admit("10.0.0.1", 1)
    seeds.admit("10.0.0.2", MAX_BUNDLE_FILES)  # nobody else pays for it
    now += 1.0
    seeds.admit("10.0.0.1", MAX_DESCRIBED_PER_S)
    with pytest.raises(RefusedError, match="full"):
        seeds.admit("10.0.0.1", 1)
    now += MAX_BUNDLED_FILES / MAX_DESCRIBED_PER_S
    seeds.admit("10.0.0.3", 1)
    assert seeds._described_until.keys() == {"10.0.0.3"}  # the others are forgotten


def kept(path, data):
    """Write a file, and return its content, and it as ``keep`` takes it."""
    path.write_bytes(data)
    content = content_of(data)
    return content, [(content.root, Share(path.name, str(path), disk.file_state(path)))]


def test_a_bundle_of_empty_files_hides_no_empty_file(seeds, tmp_path):
    seeds.fetch_bundle(BundleLayout(sha256(b"").digest(), []), "pasta")
    assert not seeds.entries()
    empty, files = kept(tmp_path / "vazio", b"")
    seeds.keep(files)
    assert seeds.find(empty.root).content == empty


def test_a_file_that_holds_what_describes_a_bundle_is_given_as_a_file(seeds, tmp_path):
    described = describe([CONTENT])
    bundle = seeds.bundle(BundleLayout(sha256(described).digest(), [CONTENT]), "10.0.0.7")
    content, files = kept(tmp_path / "a", described)
    assert seeds.find(content.root) is bundle
    seeds.keep(files)
    assert seeds.find(content.root).content == content
