"""What this peer can offer: on its way, shared, or kept; always what it is at that moment."""

from __future__ import annotations

import random

import pytest
from sources import content_of

from rede_p2p.content import disk
from rede_p2p.content.merkle import FINEST_PIECE
from rede_p2p.upload.offer_picker import Bitfield
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.share_list import Share

DATA = random.Random(7).randbytes(3 * FINEST_PIECE + 1)
CONTENT = content_of(DATA)
LAYER = bytes(4 * 32)


def written(path, data=DATA):
    path.write_bytes(data)
    stamp = disk.stamp(path)
    assert stamp is not None
    return CONTENT.root, Share(path.name, str(path), stamp)


@pytest.fixture
def holdings():
    return SeedStore()


def test_what_is_kept_is_offered_whole(holdings, tmp_path):
    entry = written(tmp_path / "a.bin")
    assert holdings.find(CONTENT.root) is None
    before = holdings.version
    holdings.keep([entry])
    assert holdings.version != before
    assert holdings.downloads() == {CONTENT: "a.bin"}
    assert holdings.find_whole(CONTENT.root) == entry[1]
    holding = holdings.find(CONTENT.root)
    assert (holding.name, holding.content, holding.stamp) == ("a.bin", CONTENT, entry[1].stamp)
    assert holdings.find(CONTENT.root) is holding  # it remembers what it has offered
    wish = holding.enter("machine", Bitfield(4, {0, 3}))
    assert holding.offer(wish, 0, 1, 0)[0] == range(1)


@pytest.mark.parametrize("how", ["changed", "gone", "of the same size"])
def test_what_did_not_stay_as_it_was_is_offered_no_more(holdings, tmp_path, how):
    path = tmp_path / "a.bin"
    holdings.keep([written(path)])
    holdings.find(CONTENT.root)
    path.unlink()
    if how != "gone":
        path.write_bytes(DATA[::-1] if how == "of the same size" else b"changed")
    before = holdings.version
    assert holdings.find(CONTENT.root) is None
    assert holdings.find_whole(CONTENT.root) is None
    assert holdings.downloads() == {}
    assert holdings.version != before  # so that the tracker hears of it
    holdings.keep([written(tmp_path / "b.bin")])
    assert holdings.find(CONTENT.root).path == tmp_path / "b.bin"


def test_a_download_remembers_what_it_has_offered_when_it_is_complete(holdings, tmp_path):
    holding = holdings.begin("a.bin", CONTENT, LAYER, tmp_path / "a.bin.parte", range(2))
    assert holdings.find(CONTENT.root) is holding
    assert holdings.find_whole(CONTENT.root) is None
    _, share = written(tmp_path / "a.bin")
    holdings.finish(holding, tmp_path / "a.bin", share.stamp)
    assert holdings.find(CONTENT.root) is holding
    assert holdings.find_whole(CONTENT.root) == share
    assert holdings.downloads() == {CONTENT: "a.bin"}
    holdings.keep([(CONTENT.root, share)])  # as the end of its transfer does
    assert holdings.find(CONTENT.root) is holding


@pytest.mark.parametrize("fails", [True, False])
def test_a_whole_file_is_offered_while_the_same_content_comes_again(holdings, tmp_path, fails):
    holdings.keep([written(tmp_path / "a.bin")])
    again = holdings.begin("b.bin", CONTENT, LAYER, tmp_path / "b.bin.parte", ())
    assert holdings.find(CONTENT.root).path == tmp_path / "a.bin"
    if fails:
        holdings.finish(again)
    else:
        holdings.finish(again, tmp_path / "b.bin", written(tmp_path / "b.bin")[1].stamp)
    found = holdings.find(CONTENT.root)
    assert found.path == tmp_path / ("a.bin" if fails else "b.bin")
    assert holdings.downloads().keys() == {CONTENT}


def test_a_download_that_ends_without_a_file_is_offered_no_more(holdings, tmp_path):
    holding = holdings.begin("a.bin", CONTENT, LAYER, tmp_path / "a.bin.parte", range(2))
    holdings.finish(holding)
    assert holdings.find(CONTENT.root) is None
    assert holdings.downloads() == {}


def test_without_seeding_nothing_is_offered(tmp_path):
    holdings = SeedStore(seeds=False)
    holding = holdings.begin("a.bin", CONTENT, LAYER, tmp_path / "a.bin.parte", range(2))
    entry = written(tmp_path / "a.bin")
    holdings.finish(holding, tmp_path / "a.bin", entry[1].stamp)
    holdings.keep([entry])
    assert holdings.find(CONTENT.root) is None
    assert holdings.downloads() == {}
