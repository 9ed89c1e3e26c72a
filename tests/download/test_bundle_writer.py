"""Of a bundle, what is right is written, whatever else is in the same piece."""

from __future__ import annotations

import random
from itertools import count

import pytest
from sources import content_of, found_in

from rede_p2p.content import merkle
from rede_p2p.content.merkle import MIN_PIECE_BYTES
from rede_p2p.content.piece_layout import BundleLayout
from rede_p2p.download.bundle_writer import BundleWriter
from rede_p2p.download.publisher import Publisher
from rede_p2p.download.request import DownloadRequest
from rede_p2p.errors import Address, DiskError, RefusedError
from rede_p2p.upload.seed_store import SeedStore

pytest_plugins = ["downloading"]

HERE = Address("127.0.0.1", 5455)
RANDOM = random.Random(9)
DATA = [RANDOM.randbytes(size) for size in (100, 200, 3 * MIN_PIECE_BYTES + 7, 30)]
CONTENTS = [content_of(data) for data in DATA]
LAYOUT = BundleLayout(bytes(32), CONTENTS)  # pieces: 0 and 1 together, four of file 2, file 3
LAYERS = {2: merkle.layer_of(DATA[2])}
NAMES = ["a", "b", "c", "d"]


@pytest.fixture
def bundle(context):
    """Return how to write some pieces: what was reported of them, and the bundle as offered."""
    seeds = SeedStore()

    def write(*runs, wanted=None, before=lambda _: lambda: None):
        seeded = seeds.fetch_bundle(LAYOUT, "turma")
        verdicts, failures, freed = {}, [], []
        asked = wanted or {
            file: [DownloadRequest(NAMES[file], content, ())]
            for file, content in enumerate(CONTENTS)
        }
        publisher = Publisher(
            context(seeds=seeds),
            lambda *_: None,
            lambda: None,
            lambda written: seeded.release(written.request.content),
        )
        writer = BundleWriter(
            *(seeded, asked, LAYERS, publisher),
            lambda _, found: verdicts.update(found),
            verdicts.update,
            failures.append,
        )
        begin = before(writer)
        with publisher, writer:
            begin()
            for pieces, data in runs:
                view = memoryview(bytearray(data))
                writer.write_behind(HERE, pieces, view, lambda: freed.append(1))
        assert not failures
        assert len(freed) == len(runs)
        return verdicts, seeded

    return write


WHOLE = b"".join(DATA)


def of(pieces):
    start = LAYOUT.bytes_in(range(pieces.start))
    return WHOLE[start : start + LAYOUT.bytes_in(pieces)]


def test_all_of_it_at_once_or_piece_by_piece_in_any_order(bundle, folder):
    pieces = [range(piece, piece + 1) for piece in range(LAYOUT.count)]
    verdicts, _ = bundle(*((one, of(one)) for one in reversed(pieces)))
    assert verdicts == dict.fromkeys(range(LAYOUT.count), True)
    assert found_in(folder) == dict(zip(NAMES, DATA, strict=True))


def test_a_wrong_byte_spoils_its_file_alone(bundle, folder):
    wrong = bytearray(WHOLE)
    wrong[150] ^= 1  # of the second file
    verdicts, _ = bundle((range(LAYOUT.count), wrong))
    assert verdicts == {0: False} | dict.fromkeys(range(1, LAYOUT.count), True)
    assert found_in(folder) == {"a": DATA[0], "c": DATA[2], "d": DATA[3]}


def test_a_large_file_with_a_wrong_piece_gets_no_name(bundle, folder):
    wrong = bytearray(WHOLE)
    wrong[300 + MIN_PIECE_BYTES] ^= 1
    verdicts, _ = bundle((range(LAYOUT.count), wrong))
    assert [piece for piece, right in verdicts.items() if not right] == [2]
    assert found_in(folder).keys() == {"a", "b", "c.parte", "d"}


def test_a_large_file_that_another_program_writes_is_left_to_it_also_once_it_is_free(
    bundle, folder, monkeypatch
):
    calls, opened = count(), Publisher.open_partial

    def busy_once(publisher, name):
        if next(calls) == 0:
            raise DiskError(name, "busy")
        return opened(publisher, name)

    monkeypatch.setattr(Publisher, "open_partial", busy_once)
    pieces = LAYOUT.pieces_of(2)
    verdicts, _ = bundle(*((one, of(one)) for one in (pieces[:1], pieces[1:])))
    assert set(verdicts) == set(pieces)
    assert not found_in(folder)  # without its first piece it would be whole never


def test_what_is_not_wanted_is_not_written(bundle, folder):
    request = DownloadRequest("so este", CONTENTS[1], ())
    bundle((range(1), of(range(1))), wanted={1: [request]})
    assert found_in(folder) == {"so este": DATA[1]}


def test_one_content_may_have_several_names(bundle, folder):
    both = [DownloadRequest(name, CONTENTS[0], ()) for name in ("um", "dois")]
    bundle((range(1), of(range(1))), wanted={0: both})
    assert found_in(folder) == {"um": DATA[0], "dois": DATA[0]}


def test_a_large_file_that_was_begun_goes_on_and_is_whole_with_the_last_piece(bundle, folder):
    folder.mkdir()
    (folder / "c.parte").write_bytes(DATA[2][: 2 * MIN_PIECE_BYTES])

    def go_on(writer):
        writer.go_on(2)
        return lambda: writer.keep(2, {1: True, 2: True})

    verdicts, _ = bundle((range(3, 5), of(range(3, 5))), before=go_on)
    assert verdicts == dict.fromkeys(range(1, 5), True)
    assert found_in(folder) == {"c": DATA[2]}


def test_a_large_file_that_was_left_whole_is_published_as_it_is(bundle, folder):
    folder.mkdir()
    (folder / "c.parte").write_bytes(DATA[2])

    def go_on(writer):
        writer.go_on(2)
        return lambda: writer.keep(2, dict.fromkeys(range(1, 5), True))

    bundle(before=go_on)
    assert found_in(folder) == {"c": DATA[2]}


def test_what_stays_unfinished_is_offered_no_more(bundle):
    _, seeded = bundle((range(1, 3), of(range(1, 3))))
    seeded.add([1, 2])
    with pytest.raises(RefusedError):
        seeded.read(range(1, 2))
    picker = seeded.picker()
    assert not picker.offer(picker.enter("b", 0b11110), 0, 4)[0]


def test_what_has_come_can_be_read_by_others(bundle):
    _, seeded = bundle((range(LAYOUT.count), WHOLE))
    assert seeded.read(range(LAYOUT.count)) == WHOLE
