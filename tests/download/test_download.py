"""One file from other peers: exact or not at all, and never fetched twice."""

from __future__ import annotations

import os
import random
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Barrier, Event

import pytest
import sources
from disks import scribble
from hypothesis import given, settings
from hypothesis import strategies as st
from listening import SOON
from processes import eventually
from sources import (
    LONG_AGO,
    Changing,
    Gate,
    about_hashes,
    about_pieces,
    connect,
    content_of,
    context_of,
    found_in,
    pieces_of,
    refuses,
    right_pieces,
    send_pieces,
    source,
)

from rede_p2p.content import disk, file_systems, merkle, recheck, safe_names
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.merkle import BLOCK_BYTES, MIN_PIECE_BYTES, Content
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.download import source_finder
from rede_p2p.download.download import Download
from rede_p2p.download.publisher import Publisher
from rede_p2p.download.request import DownloadRequest, Outcome
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    DiskError,
    IncompleteError,
    InterruptedByUserError,
    PeerUnreachableError,
    ProtocolError,
    RefusedError,
    UnsafeNameError,
    VerificationError,
)
from rede_p2p.events import Progress
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import FileData, Hashes
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.upload_slots import UploadSlots

DATA = random.Random(3).randbytes(40 * MIN_PIECE_BYTES + 77)
ALL = set(range(41))
NAME = "grande.bin"

pytest_plugins = ["downloading"]


@pytest.fixture
def fetch(context):
    """Return how to download into the folder."""
    return lambda wanted, **timeouts: Download(wanted, context(**timeouts)).run()


@pytest.fixture
def hanging(monkeypatch):
    """Have the process that rechecks what is here say nothing, and read nothing."""
    monkeypatch.setattr(recheck, "MAX_BYTES_HERE", 0)
    monkeypatch.setattr(recheck, "_PROGRAM", "import threading; threading.Event().wait(60)")


def only_what_is_right_is_kept(folder, data=DATA, name=NAME):
    """Check what a download that failed left: nothing, or a partial file worth keeping."""
    left = found_in(folder)
    assert left.keys() <= {f"{name}.parte"}
    right = right_pieces(folder / f"{name}.parte", data)
    assert bool(right) == bool(left)
    return right


# Exact.


EDGES = [
    0,
    1,
    BLOCK_BYTES,
    MIN_PIECE_BYTES,
    2 * MIN_PIECE_BYTES,
    8 * MIN_PIECE_BYTES,
    16 * MIN_PIECE_BYTES,
]
SIZES = sorted({size + step for size in EDGES for step in (-1, 0, 1) if size + step >= 0})


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_arrives_exactly(honest, fetch, folder, size):
    data = DATA[:size]
    (wanted,) = honest.share({NAME: data})
    assert fetch(wanted) == Outcome(str(folder / NAME), already=False)
    assert found_in(folder) == {NAME: data}
    assert sorted(honest.asked_pieces()) == list(range(merkle.piece_count(size)))


def test_a_file_of_pieces_larger_than_the_finest_arrives_exactly(
    honest, fetch, folder, monkeypatch
):
    monkeypatch.setattr(merkle, "MAX_PIECES", 16)  # as for a file of more than 4 GiB
    (wanted,) = honest.share({NAME: DATA})
    fetch(wanted)
    assert found_in(folder) == {NAME: DATA}
    assert sorted(honest.asked_pieces()) == list(range(11))


def test_progress_ends_at_the_size(honest, context):
    (wanted,) = honest.share({NAME: DATA})
    download = Download(wanted, context())
    assert download.progress() == Progress(0, len(DATA))
    download.run()
    assert download.progress() == Progress(len(DATA), len(DATA))


def test_a_name_inside_a_folder_makes_the_folder(honest, fetch, folder):
    (wanted,) = honest.share({"fotos/de/praia.png": DATA})
    assert fetch(wanted).path == str(folder / "fotos" / "de" / "praia.png")
    assert found_in(folder) == {"fotos/de/praia.png": DATA}


def test_what_was_downloaded_is_known_without_being_read_again(honest, fetch, folder, hash_cache):
    (wanted,) = honest.share({NAME: DATA})
    path = Path(fetch(wanted).path)
    assert hash_cache.known(str(path), disk.file_state(path)) == wanted.content.root
    assert hash_cache.layer(str(path), wanted.content) == merkle.layer_of(DATA)
    assert hash_cache.pending() == 0


@pytest.mark.parametrize(
    "name", ["../fora", "/tmp/fora", "a\\b", "x.parte", ".bashrc", "", "a/../b"]
)
def test_an_unsafe_name_is_refused_before_anything_is_done(folder, context, name):
    with pytest.raises(UnsafeNameError):
        Download(DownloadRequest(name, content_of(b"x"), ()), context())
    assert not folder.exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_nobody_foresaw_in_a_source_ends_the_download(honest, context):
    (wanted,) = honest.share({NAME: DATA})
    calls = []

    def connect_once(address):
        calls.append(address)
        if len(calls) > 1:  # the piece hashes have come
            raise ZeroDivisionError
        return connect(address)

    with pytest.raises(PeerUnreachableError):
        Download(wanted, context(connect_once)).run()
    assert len(calls) == 1 + source_finder.MAX_LOSSES


def test_it_is_on_the_disk_before_it_has_its_name_and_its_name_after(
    honest, fetch, folder, monkeypatch
):
    (wanted,) = honest.share({NAME: DATA})
    named: list[bool] = []
    sync = os.fsync

    def note(descriptor):
        named.append((folder / NAME).exists())
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    fetch(wanted)
    assert named == [False, True]


@pytest.mark.parametrize("edit", [None, b"edited"])
def test_what_is_edited_as_soon_as_it_has_its_name_is_not_taken_for_what_came(
    honest, folder, context, hash_cache, monkeypatch, edit
):
    (wanted,) = honest.share({NAME: DATA})
    seeds = SeedStore()

    def sync_and_edit(path):
        if edit:
            (path / NAME).write_bytes(edit)

    monkeypatch.setattr(disk, "sync_folder", sync_and_edit)
    Download(wanted, context(seeds=seeds)).run()
    known = hash_cache.known(str(folder / NAME), disk.file_state(folder / NAME))
    assert known == (None if edit else wanted.content.root)
    assert bool(seeds.offered()) == bool(not edit)


# What is here already.


def no_connection(address):
    raise AssertionError("nobody had to be asked")


def test_the_same_content_under_that_name_is_not_fetched(folder, context):
    folder.mkdir()
    (folder / NAME).write_bytes(DATA)
    wanted = DownloadRequest(NAME, content_of(DATA), (Address("127.0.0.1", 9),))
    outcome = Download(wanted, context(no_connection)).run()
    assert outcome == Outcome(str(folder / NAME), already=True)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    ("left", "stays"),
    [(DATA[: 5 * MIN_PIECE_BYTES], False), (b"", False), (b"x" * 5 * MIN_PIECE_BYTES, True)],
    ids=["of it", "empty", "of another"],
)
def test_what_another_download_left_of_what_is_here_goes(folder, context, left, stays, alone):
    folder.mkdir()
    (folder / NAME).write_bytes(DATA)
    (folder / f"{NAME}.parte").write_bytes(left)
    wanted = DownloadRequest(NAME, content_of(DATA), (Address("127.0.0.1", 9),))
    if alone:
        assert Download(wanted, context(no_connection)).run().already
    else:
        publisher = Publisher(context(no_connection), lambda *_: None, lambda: None)
        with publisher:
            assert not list(publisher.not_here([wanted]))
    assert (folder / f"{NAME}.parte").exists() is stays


def test_what_is_being_written_of_what_is_here_stays(folder, context):
    folder.mkdir()
    (folder / NAME).write_bytes(DATA)
    wanted = DownloadRequest(NAME, content_of(DATA), ())
    with PartialFile(folder / f"{NAME}.parte") as other:
        other.write_whole(DATA[: 5 * MIN_PIECE_BYTES])
        assert Download(wanted, context(no_connection)).run().already
        assert other.path.exists()


def test_the_same_content_under_a_further_name_is_not_fetched(folder, context):
    folder.mkdir()
    (folder / NAME).write_bytes(b"other")
    (folder / "grande (1).bin").write_bytes(DATA)
    wanted = DownloadRequest(NAME, content_of(DATA), ())
    outcome = Download(wanted, context(no_connection)).run()
    assert outcome == Outcome(str(folder / "grande (1).bin"), already=True)


@pytest.mark.parametrize("other", [b"other", DATA[:-1] + b"x"], ids=["other size", "same size"])
def test_other_content_under_that_name_stays_and_the_new_one_is_numbered(
    honest, fetch, folder, other
):
    folder.mkdir()
    (folder / NAME).write_bytes(other)
    (wanted,) = honest.share({NAME: DATA})
    assert fetch(wanted) == Outcome(str(folder / "grande (1).bin"), already=False)
    assert found_in(folder) == {NAME: other, "grande (1).bin": DATA}
    assert fetch(wanted) == Outcome(str(folder / "grande (1).bin"), already=True)


def test_content_that_appears_under_that_name_meanwhile_is_not_overwritten(
    opened, folder, fetch, pool
):
    gate = Gate()
    (wanted,) = opened(gate).share({NAME: DATA})
    found = pool.submit(fetch, wanted)
    assert gate.reached.wait(SOON)
    (folder / NAME).write_bytes(b"mine")
    gate.open.set()
    assert found.result(SOON) == Outcome(str(folder / "grande (1).bin"), already=False)
    assert found_in(folder) == {NAME: b"mine", "grande (1).bin": DATA}


def test_two_at_once_of_one_name_in_one_folder_do_not_mix(opened, folder, fetch, pool):
    gate = Gate()
    liar = opened(gate)
    (wanted,) = liar.share({NAME: DATA})
    found = pool.submit(fetch, wanted)
    assert gate.reached.wait(SOON)
    with pytest.raises(DiskError) as caught:
        fetch(wanted)
    assert (caught.value.kind, caught.value.path) == ("busy", str(folder / f"{NAME}.parte"))
    other = DATA[::-1]
    with pytest.raises(DiskError, match="busy"):
        fetch(liar.share({NAME: other})[0])
    gate.open.set()
    assert found.result(SOON) == Outcome(str(folder / NAME), already=False)
    assert found_in(folder) == {NAME: DATA}


def test_whoever_comes_first_of_two_at_once_the_file_is_exact(honest, fetch, folder, pool):
    (wanted,) = honest.share({NAME: DATA})
    start = Barrier(2)

    def race():
        start.wait()
        return fetch(wanted)

    for name in (NAME, "outro.bin", "mais um.bin"):
        wanted = wanted._replace(name=name)
        running = [pool.submit(race) for _ in range(2)]
        outcomes = [one.exception(SOON) or one.result() for one in running]
        done = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
        failed = [outcome for outcome in outcomes if not isinstance(outcome, Outcome)]
        assert done and all(outcome.path == str(folder / name) for outcome in done)
        assert {(type(error), error.kind) for error in failed} <= {(DiskError, "busy")}
    assert found_in(folder) == dict.fromkeys((NAME, "outro.bin", "mais um.bin"), DATA)


def test_many_that_go_on_at_once_in_one_folder_are_not_in_each_others_way(
    honest, fetch, folder, pool
):
    folder.mkdir()
    files = {f"{number}.bin": bytes([number]) + DATA[: 3 * MIN_PIECE_BYTES] for number in range(8)}
    wanted = honest.share(files)
    for name, data in files.items():  # each looks for its pieces in those of the others
        (folder / f"{name}.parte").write_bytes(data[: MIN_PIECE_BYTES * (len(name) % 2)])
    start = Barrier(len(files))

    def race(one):
        start.wait()
        return fetch(one)

    outcomes = pool.map(race, wanted, timeout=SOON)
    assert list(outcomes) == [Outcome(str(folder / name), already=False) for name in files]
    assert found_in(folder) == files


# Sources that lie or die. Each: the lie, the error, the error within it.


LIES = {
    "hangs up at once": (sources.hangs_up_at_once, PeerUnreachableError, ConnectionLostError),
    "refuses, for it has it no more": (refuses("not-here"), PeerUnreachableError, RefusedError),
    "refuses, for it is full": (refuses("full"), PeerUnreachableError, RefusedError),
    "refuses in its own words": (refuses("hm"), PeerUnreachableError, RefusedError),
    "answers noise for hashes": (
        about_hashes(sources.sends_noise),
        PeerUnreachableError,
        ProtocolError,
    ),
    "sends fewer hashes": (
        about_hashes(sources.announces(-32)),
        PeerUnreachableError,
        ProtocolError,
    ),
    "sends more hashes": (about_hashes(sources.announces(32)), PeerUnreachableError, ProtocolError),
    "sends half a hash more": (
        about_hashes(sources.announces(16)),
        PeerUnreachableError,
        ProtocolError,
    ),
    "hangs up in the hashes": (
        about_hashes(sources.sends(0.5)),
        PeerUnreachableError,
        ConnectionLostError,
    ),
    "sends a wrong hash first": (about_hashes(sources.flips(0)), VerificationError, None),
    "sends a wrong hash last": (about_hashes(sources.flips(0.999)), VerificationError, None),
    "sends another tree": (about_hashes(sources.sends_zeros), VerificationError, None),
    "answers noise for pieces": (
        about_pieces(sources.sends_noise),
        PeerUnreachableError,
        ProtocolError,
    ),
    "hangs up before the first piece": (
        about_pieces(sources.sends(0)),
        PeerUnreachableError,
        ConnectionLostError,
    ),
    "hangs up in the first piece": (
        about_pieces(sources.sends(0.02)),
        PeerUnreachableError,
        ConnectionLostError,
    ),
    "hangs up half-way": (about_pieces(sources.sends(0.5)), IncompleteError, ConnectionLostError),
    "hangs up at the end": (
        about_pieces(sources.sends(0.9999)),
        IncompleteError,
        ConnectionLostError,
    ),
    "announces and sends short": (
        about_pieces(sources.announces(-1)),
        PeerUnreachableError,
        ProtocolError,
    ),
    "announces and sends long": (
        about_pieces(sources.announces(1)),
        PeerUnreachableError,
        ProtocolError,
    ),
    "sends zeros": (about_pieces(sources.sends_zeros), VerificationError, None),
    "flips a bit at the beginning": (about_pieces(sources.flips(0)), VerificationError, None),
    "flips a bit half-way": (about_pieces(sources.flips(0.5)), VerificationError, None),
    "flips a bit at the end": (about_pieces(sources.flips(0.99999)), VerificationError, None),
}


@pytest.mark.parametrize(("lie", "kind", "cause"), LIES.values(), ids=LIES)
def test_a_source_that_lies_or_dies_is_named_and_nothing_wrong_is_kept(
    opened, honest, fetch, folder, lie, kind, cause
):
    (wanted,) = opened(lie).share({NAME: DATA})
    with pytest.raises(kind) as caught:
        fetch(wanted)
    error = caught.value
    if isinstance(error, IncompleteError):
        assert (error.name, error.size) == (NAME, len(DATA))
        assert 0 < error.have < len(DATA)
        error = error.cause
    if cause is None:
        assert (error.name, error.source) == (NAME, wanted.sources[0])
    else:
        assert error.address == wanted.sources[0]
        assert isinstance(error.cause, cause)
    kept = only_what_is_right_is_kept(folder)
    # And an honest one completes what is left of it.
    (wanted,) = honest.share({NAME: DATA})
    assert not fetch(wanted).already
    assert found_in(folder) == {NAME: DATA}
    assert sorted(honest.asked_pieces()) == sorted(ALL - kept)


@pytest.mark.parametrize(("lie", "kind", "cause"), LIES.values(), ids=LIES)
def test_where_one_source_lies_or_dies_another_completes(
    opened, honest, fetch, folder, lie, kind, cause
):
    (bad,), (good,) = opened(lie).share({NAME: DATA}), honest.share({NAME: DATA})
    wanted = DownloadRequest(NAME, bad.content, (*bad.sources, *good.sources))
    assert fetch(wanted) == Outcome(str(folder / NAME), already=False)
    assert found_in(folder) == {NAME: DATA}
    asked = honest.asked_pieces()
    assert len(asked) == len(set(asked)) <= len(ALL)


def test_a_source_that_says_more_after_its_answer_does_no_harm(opened, honest, fetch, folder):
    (bad,), (good,) = (
        opened(about_pieces(sources.sends_more)).share({NAME: DATA}),
        honest.share({NAME: DATA}),
    )
    with PartialFile(folder / f"{NAME}.parte") as opened:  # two ranges are missing
        opened.write_whole(
            bytes(5 * MIN_PIECE_BYTES) + DATA[5 * MIN_PIECE_BYTES : 9 * MIN_PIECE_BYTES]
        )
    fetch(DownloadRequest(NAME, bad.content, (*bad.sources, *good.sources)))
    assert found_in(folder) == {NAME: DATA}


@pytest.mark.parametrize("where", ["hashes", "pieces"])
def test_a_source_that_falls_silent_half_way_is_given_up(opened, honest, fetch, folder, where):
    about = {"hashes": about_hashes, "pieces": about_pieces}[where]
    (bad,) = opened(about(sources.sends_and_is_silent(0.6))).share({NAME: DATA})
    with pytest.raises((PeerUnreachableError, IncompleteError)) as caught:
        fetch(bad, stall_s=0.3)
    error = getattr(caught.value.cause, "cause", caught.value.cause)
    assert (type(error), error.reason) == (ConnectionLostError, "silent")
    only_what_is_right_is_kept(folder)
    (good,) = honest.share({NAME: DATA})
    fetch(DownloadRequest(NAME, bad.content, (*bad.sources, *good.sources)), stall_s=0.3)
    assert found_in(folder) == {NAME: DATA}


def test_a_source_that_is_not_there_is_named(honest, fetch, folder, host):
    (good,) = honest.share({NAME: DATA})
    gone = Address(host, 9)
    with pytest.raises(PeerUnreachableError) as caught:
        fetch(good._replace(sources=(gone,)))
    assert (caught.value.address, caught.value.cause.reason) == (gone, "refused")
    assert not found_in(folder)
    fetch(good._replace(sources=(gone, honest.address)))
    assert found_in(folder) == {NAME: DATA}


def test_when_every_source_lies_the_error_is_one_of_theirs(opened, fetch, folder):
    (first,) = opened(about_pieces(sources.flips(0.3))).share({NAME: DATA})
    (second,) = opened(about_pieces(sources.flips(0.7))).share({NAME: DATA})
    wanted = first._replace(sources=(*first.sources, *second.sources))
    try:
        fetch(wanted)
    except VerificationError as error:
        assert error.source in wanted.sources
        only_what_is_right_is_kept(folder)
    else:  # what was wrong of one was right of the other
        assert found_in(folder) == {NAME: DATA}


def serves_any_size(source, connection, request):
    """Send as many bytes as a size would have that is not the content's."""
    if isinstance(request, sources.Hashes):
        return send_pieces(connection, bytes(serves_any_size.hashes * 32))
    if isinstance(request, sources.Want | sources.Next):
        connection.reply(sources.PieceOffer(0, max(1, serves_any_size.hashes)))
        return True
    if isinstance(request, sources.Take):
        return send_pieces(connection, serves_any_size.data)
    return False


@pytest.mark.parametrize(
    "size",
    [0, 1, MIN_PIECE_BYTES, len(DATA) - 77, len(DATA) - 1, len(DATA) + 1, 2 * len(DATA)],
)
@pytest.mark.parametrize("in_league", [False, True], ids=["to each its own", "in league"])
def test_a_size_that_the_content_has_not_is_found_out(opened, fetch, folder, size, in_league):
    liar = opened(serves_any_size if in_league else None)
    (wanted,) = liar.share({NAME: DATA})
    false = wanted._replace(content=Content(wanted.content.root, size))
    serves_any_size.hashes = merkle.piece_count(size)
    serves_any_size.data = (DATA * 2)[:size]
    with pytest.raises((VerificationError, PeerUnreachableError, IncompleteError)) as caught:
        fetch(false)
    error = caught.value.cause if isinstance(caught.value, IncompleteError) else caught.value
    assert (getattr(error, "source", None) or error.address) == liar.address
    assert NAME not in found_in(folder)


def touched(path):
    os.utime(path, ns=(LONG_AGO + 1, LONG_AGO + 1))


def cut_short(path):
    os.truncate(path, 1_500_000)


def rewritten(path):
    with path.open("rb+") as file:
        file.seek(len(DATA) // 2)
        file.write(bytes(len(DATA) // 2))
    os.utime(path, ns=(LONG_AGO, LONG_AGO))  # so that nobody can tell but by the bytes


def replaced_by_a_longer_one(path):
    path.write_bytes(DATA + DATA)


@pytest.mark.parametrize(
    "change",
    [touched, cut_short, rewritten, replaced_by_a_longer_one],
    ids=lambda change: change.__name__,
)
def test_a_file_that_changes_half_way_never_arrives(opened, honest, fetch, folder, change):
    liar = opened(None, Changing(lambda: change(liar.paths[NAME])))
    (wanted,) = liar.share({NAME: DATA})
    with pytest.raises((IncompleteError, VerificationError)):
        fetch(wanted)
    kept = only_what_is_right_is_kept(folder)
    assert kept
    honest.share({NAME: DATA})
    assert fetch(wanted._replace(sources=(liar.address, honest.address))).path == str(folder / NAME)
    assert found_in(folder) == {NAME: DATA}
    assert not kept & set(honest.asked_pieces())


# Going on.


def partial_of(right, damage=0):
    """Return a partial file that holds these pieces, and something else in place of the others."""
    pieces = pieces_of(DATA)
    noise = random.Random(damage)
    return b"".join(
        piece if index in right else noise.randbytes(len(piece))
        for index, piece in enumerate(pieces)
    )


PARTIALS = {
    "empty": b"",
    "nothing right": partial_of(set()),
    "everything": DATA,
    "all but the first": partial_of(ALL - {0}),
    "all but the last": partial_of(ALL - {40}),
    "only the first": partial_of({0}),
    "only the last": partial_of({40}),
    "every other": partial_of(set(range(0, 41, 2))),
    "cut in a piece": DATA[: 7 * MIN_PIECE_BYTES + 5],
    "cut between pieces": DATA[: 7 * MIN_PIECE_BYTES],
    "one byte": DATA[:1],
    "one byte short": DATA[:-1],
    "longer by one byte": DATA + b"x",
    "much longer": DATA * 2,
    "longer by zeros": DATA + bytes(MIN_PIECE_BYTES),
    "longer and damaged": partial_of({3, 7}) + b"x" * 999,
    "of another content": DATA[::-1],
    "zeros": bytes(len(DATA)),
}


@pytest.mark.parametrize("held", PARTIALS.values(), ids=PARTIALS)
def test_whatever_the_partial_file_holds_the_rest_alone_is_fetched(honest, folder, context, held):
    folder.mkdir()
    (folder / f"{NAME}.parte").write_bytes(held)
    kept = right_pieces(folder / f"{NAME}.parte", DATA)
    (wanted,) = honest.share({NAME: DATA})
    download = Download(wanted, context())
    assert download.run() == Outcome(str(folder / NAME), already=False)
    assert found_in(folder) == {NAME: DATA}
    assert sorted(honest.asked_pieces()) == sorted(ALL - kept)
    assert download.progress().kept == sum(len(pieces_of(DATA)[index]) for index in kept)


SMALL = DATA[: 6 * MIN_PIECE_BYTES - 1000]


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    with source(tmp_path_factory.mktemp("standing"), "127.0.0.1") as made:
        yield made, made.share({NAME: SMALL})[0]


@given(
    length=st.integers(0, len(SMALL) + 2 * MIN_PIECE_BYTES),
    damages=st.lists(
        st.tuples(st.integers(0, len(SMALL)), st.binary(min_size=1, max_size=40)), max_size=4
    ),
    hole=st.tuples(st.integers(0, len(SMALL)), st.integers(0, 3 * MIN_PIECE_BYTES)),
)
@settings(max_examples=40, deadline=None)
def test_any_damage_to_the_partial_file_is_found_and_mended(standing, length, damages, hole):
    honest, wanted = standing
    with tempfile.TemporaryDirectory() as made, closing(HashCache(None)) as hash_cache:
        folder = Path(made)
        path = folder / f"{NAME}.parte"
        with path.open("wb") as file:
            start, size = hole
            file.write((SMALL + bytes(2 * MIN_PIECE_BYTES))[: min(start, length)])
            file.seek(start + size)
            file.write(SMALL[start + size : length])
            for where, noise in damages:
                file.seek(where)
                file.write(noise)
            file.truncate(length)
        kept = right_pieces(path, SMALL)
        honest.asked_pieces()
        context = context_of(folder, hash_cache)
        assert Download(wanted, context).run().path == str(folder / NAME)
        assert found_in(folder) == {NAME: SMALL}
        assert sorted(honest.asked_pieces()) == sorted(set(range(6)) - kept)


def test_a_partial_file_with_holes_keeps_what_is_right(honest, fetch, folder):
    folder.mkdir()
    path = folder / f"{NAME}.parte"
    with path.open("wb") as file:
        file.seek(8 * MIN_PIECE_BYTES)
        file.write(DATA[8 * MIN_PIECE_BYTES : 12 * MIN_PIECE_BYTES])
        file.truncate(len(DATA))
    (wanted,) = honest.share({NAME: DATA})
    fetch(wanted)
    assert found_in(folder) == {NAME: DATA}
    assert sorted(honest.asked_pieces()) == sorted(ALL - {8, 9, 10, 11})


def test_a_partial_file_of_another_name_is_taken_over(honest, fetch, folder):
    folder.mkdir()
    (folder / "outro.parte").write_bytes(DATA[: 20 * MIN_PIECE_BYTES] + bytes(3 * MIN_PIECE_BYTES))
    (folder / "alheio.bin.parte").write_bytes(DATA[::-1])
    (wanted,) = honest.share({NAME: DATA})
    fetch(wanted)
    assert found_in(folder) == {NAME: DATA, "alheio.bin.parte": DATA[::-1]}
    assert sorted(honest.asked_pieces()) == list(range(20, 41))


ZEROS = 3 * MIN_PIECE_BYTES
SPARSE = DATA[: 20 * MIN_PIECE_BYTES] + bytes(ZEROS) + DATA[20 * MIN_PIECE_BYTES + ZEROS :]
OTHERS = {
    "of which only zeros are the same": DATA[::-1][: 20 * MIN_PIECE_BYTES] + bytes(ZEROS) + b"end",
    "of nothing but zeros": bytes(len(SPARSE)),
    "of which one piece is the same": DATA[:MIN_PIECE_BYTES] + DATA[::-1][MIN_PIECE_BYTES:],
    "that is longer": SPARSE + b"and more",
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_a_partial_file_of_another_content_is_left_alone(honest, fetch, folder, other):
    folder.mkdir()
    (folder / "outro.parte").write_bytes(other)
    (wanted,) = honest.share({NAME: SPARSE})
    fetch(wanted)
    assert found_in(folder) == {NAME: SPARSE, "outro.parte": other}


def test_a_partial_file_of_another_name_that_is_being_written_is_left_alone(honest, fetch, folder):
    (wanted,) = honest.share({NAME: DATA})
    with PartialFile(folder / "outro.parte") as other:
        other.write_whole(DATA)
        fetch(wanted)
        assert found_in(folder) == {NAME: DATA, "outro.parte": DATA}


def test_a_link_to_elsewhere_is_not_taken_over(honest, fetch, folder, tmp_path):
    folder.mkdir()
    (tmp_path / "precious").write_bytes(DATA)
    (folder / "outro.parte").symlink_to(tmp_path / "precious")
    (wanted,) = honest.share({NAME: DATA})
    fetch(wanted)
    assert (tmp_path / "precious").read_bytes() == DATA
    assert (folder / "outro.parte").is_symlink()
    assert not (folder / NAME).is_symlink()


def test_a_link_in_place_of_the_partial_file_is_one_error(honest, fetch, folder, tmp_path):
    folder.mkdir()
    (folder / f"{NAME}.parte").symlink_to(tmp_path / "gone")
    (wanted,) = honest.share({NAME: DATA})
    with pytest.raises(DiskError, match="link"):
        fetch(wanted)
    assert not (tmp_path / "gone").exists()


def test_a_shared_file_that_changed_meanwhile_is_fetched_anew_where_it_differs(
    opened, honest, fetch, folder
):
    (wanted,) = opened(about_pieces(sources.sends(0.5))).share({NAME: DATA})
    with pytest.raises(IncompleteError):
        fetch(wanted)
    new = DATA[: 5 * MIN_PIECE_BYTES] + b"!" + DATA[5 * MIN_PIECE_BYTES + 1 :] + b"and more"
    kept = right_pieces(folder / f"{NAME}.parte", new)
    assert 0 in kept and 5 not in kept
    (wanted,) = honest.share({NAME: new})
    fetch(wanted)
    assert found_in(folder) == {NAME: new}
    assert sorted(honest.asked_pieces()) == sorted(ALL - kept)


# Cancelling.


def test_cancelled_before_it_runs_it_asks_nobody_and_does_nothing(folder, context):
    wanted = DownloadRequest(NAME, content_of(DATA), (Address("127.0.0.1", 9),))
    download = Download(wanted, context(no_connection, who_has=no_connection))
    download.cancel()
    download.cancel()
    with pytest.raises(InterruptedByUserError):
        download.run()
    assert not folder.exists()


def cancelling(about, share):
    """Return a lie that cancels when a share of an answer has left, and then sends the rest."""

    def answer(connection, body):
        half = int(len(body) * share)
        send_pieces(connection, body[:half], len(body))
        cancelling.download.cancel()
        connection.send(body[half:])

    return about(answer)


@pytest.mark.parametrize("share", [0, 0.001, 0.2, 0.5, 0.8, 0.999, 1])
@pytest.mark.parametrize("about", [about_hashes, about_pieces], ids=["hashes", "pieces"])
def test_cancelled_at_any_moment_it_keeps_what_is_right_and_goes_on_later(
    opened, honest, fetch, folder, context, about, share
):
    (wanted,) = opened(cancelling(about, share)).share({NAME: DATA})
    cancelling.download = Download(wanted, context())
    (good,) = honest.share({NAME: DATA})
    try:
        outcome = cancelling.download.run()
    except InterruptedByUserError:
        kept = only_what_is_right_is_kept(folder)
        fetch(good)
        assert sorted(honest.asked_pieces()) == sorted(ALL - kept)
    else:  # too late: it was there
        assert share == 1 and outcome.path == str(folder / NAME)
    assert found_in(folder) == {NAME: DATA}


def test_cancelled_while_it_waits_for_its_turn_it_ends(opened, folder, context, beginning):
    (wanted,) = opened(about_pieces(sources.waits_for_ever)).share({NAME: DATA})
    download = Download(wanted, context())
    found = beginning(download)
    eventually(lambda: download.progress().place == 3)
    download.cancel()
    assert isinstance(found.exception(SOON), InterruptedByUserError)
    assert not found_in(folder)


def test_cancelled_while_a_source_is_silent_it_ends(opened, folder, context, beginning):
    gate = Gate()
    (wanted,) = opened(gate).share({NAME: DATA})
    download = Download(wanted, context())
    found = beginning(download)
    assert gate.reached.wait(SOON)
    eventually(lambda: download.progress().have)
    download.cancel()
    assert isinstance(found.exception(SOON), InterruptedByUserError)
    gate.open.set()
    assert only_what_is_right_is_kept(folder)


class Slow:
    """Says nothing of the piece hashes when it is first asked for them, for as long as it takes."""

    def __init__(self):
        self.asked = 0
        self.end = Event()

    def __call__(self, _source, connection, request):
        if not isinstance(request, Hashes):
            return False
        self.asked += 1
        if self.asked > 1:
            return False
        self.end.wait(SOON)
        connection.hang_up()
        return True


@pytest.mark.parametrize("other", ["has them", "refuses"])
def test_who_is_slow_to_give_the_hashes_is_passed_over_and_asked_again_at_last(
    opened, honest, fetch, folder, other
):
    slow = Slow()
    (first,) = opened(slow).share({NAME: DATA})
    second = honest.address if other == "has them" else Address(honest.address.ip, 1)
    honest.share({NAME: DATA})
    fetch(DownloadRequest(NAME, first.content, (*first.sources, second)), layer_hurry_s=0.5)
    assert found_in(folder) == {NAME: DATA}
    assert slow.asked == (1 if other == "has them" else 2)
    slow.end.set()


def test_who_says_again_and_again_that_we_must_wait_for_the_hashes_is_passed_over(
    opened, honest, fetch, folder, pool
):
    ended = Event()

    def wait_on(connection, _body):
        while not ended.wait(0.01):
            for place in (1, 2):
                connection.reply(codec.Pending(place=place))

    (first,) = opened(about_hashes(wait_on)).share({NAME: DATA})
    honest.share({NAME: DATA})
    both = first._replace(sources=(*first.sources, honest.address))
    found = pool.submit(fetch, both, layer_hurry_s=0.05)
    try:
        assert found.result(SOON) == Outcome(str(folder / NAME), already=False)
    finally:
        ended.set()
    assert found_in(folder) == {NAME: DATA}


def test_who_dribbles_the_hashes_is_passed_over(opened, honest, fetch, folder, pool):
    ended = Event()

    def dribble(connection, body):
        connection.send(codec.encode_reply(FileData(len(body))))
        for byte in body:
            if ended.wait(0.01):
                break
            connection.send(bytes([byte]))
        ended.wait(SOON)

    (first,) = opened(about_hashes(dribble)).share({NAME: DATA})
    honest.share({NAME: DATA})
    both = first._replace(sources=(*first.sources, honest.address))
    found = pool.submit(fetch, both, layer_hurry_s=0.3)
    try:
        assert found.result(10) == Outcome(
            str(folder / NAME), already=False
        )  # a body may take 15 s
    finally:
        ended.set()
    assert found_in(folder) == {NAME: DATA}


def test_who_has_to_compute_the_hashes_is_asked_again_until_they_are_there(opened, fetch, folder):
    asked = []

    def compute(connection, body):
        asked.append(connection)
        done = 0
        while len(asked) < 4 and not Event().wait(0.01):
            done += 1
            connection.reply(codec.Pending(done=done))
        connection.send(codec.encode_reply(FileData(len(body))) + body)

    (wanted,) = opened(about_hashes(compute)).share({NAME: DATA})
    twice = wanted._replace(sources=2 * wanted.sources)  # so that there is always another to ask
    fetch(twice, layer_hurry_s=0.1, reply_s=0.2)
    assert found_in(folder) == {NAME: DATA}
    assert len(asked) == 4


class Dribbling:
    """Begins to send the piece hashes, and goes on from the n-th time on that it is asked."""

    def __init__(self, goes_on):
        self._goes_on = goes_on
        self.asked = 0

    def __call__(self, connection, body):
        self.asked += 1
        half = len(body) // 2
        connection.send(codec.encode_reply(FileData(len(body))) + body[:half])
        if self.asked < self._goes_on:
            assert connection.receive_line(SOON) is None
        connection.send(body[half:])


def test_where_all_are_slow_to_send_the_hashes_they_are_asked_again_with_more_time(
    opened, fetch, folder
):
    slow = [Dribbling(3), Dribbling(3)]
    (first,), (second,) = (opened(about_hashes(one)).share({NAME: DATA}) for one in slow)
    both = first._replace(sources=(*first.sources, *second.sources))
    fetch(both, layer_hurry_s=0.1, reply_s=0.2, stall_s=SOON)
    assert found_in(folder) == {NAME: DATA}


def test_where_all_dribble_the_hashes_for_ever_it_ends(opened, fetch, folder):
    slow = [Dribbling(1000), Dribbling(1000)]
    (first,), (second,) = (opened(about_hashes(one)).share({NAME: DATA}) for one in slow)
    both = first._replace(sources=(*first.sources, *second.sources))
    with pytest.raises(PeerUnreachableError):
        fetch(both, layer_hurry_s=0.1, reply_s=0.2, stall_s=0.3)
    assert not found_in(folder)
    assert {one.asked for one in slow} == {3}  # the last time, each has as long as a body may take


def test_cancelled_while_it_connects_it_ends(honest, folder, context):
    (wanted,) = honest.share({NAME: DATA})

    def connect_late(address):
        download.cancel()
        return connect(address)

    download = Download(wanted, context(connect_late))
    with pytest.raises(InterruptedByUserError):
        download.run()
    assert not found_in(folder)


def test_cancelled_while_what_is_here_is_hashed_it_ends(folder, context, hash_cache, beginning):
    folder.mkdir()
    (folder / NAME).write_bytes(b"")
    os.truncate(folder / NAME, 2**40)  # hours of hashing
    wanted = DownloadRequest(NAME, Content(bytes(32), 2**40), ())
    download = Download(wanted, context(no_connection))
    found = beginning(download)
    eventually(hash_cache.pending)
    download.cancel()
    assert isinstance(found.exception(SOON), InterruptedByUserError)


@pytest.mark.parametrize("sourceless", [False, True])
def test_cancelled_while_the_process_that_rechecks_what_is_here_hangs_it_ends(
    honest, folder, context, hanging, beginning, sourceless
):
    folder.mkdir()
    (folder / f"{NAME}.parte").write_bytes(DATA[: 20 * MIN_PIECE_BYTES])
    (wanted,) = honest.share({NAME: DATA})
    begun = Event()

    def dial(address):
        if begun.is_set() and sourceless:
            raise PeerUnreachableError(address, ConnectionLostError("refused"))
        begun.set()
        return connect(address)

    download = Download(wanted, context(dial))
    found = beginning(download)
    assert begun.wait(SOON)
    if not sourceless:
        eventually(lambda: download.progress().have == len(DATA) - 20 * MIN_PIECE_BYTES)
    download.cancel()
    assert isinstance(found.exception(SOON), InterruptedByUserError)
    assert right_pieces(folder / f"{NAME}.parte", DATA) >= set(range(20))


def test_a_process_that_hangs_while_it_rechecks_what_is_here_is_given_up(
    honest, fetch, folder, hanging
):
    folder.mkdir()
    (folder / f"{NAME}.parte").write_bytes(DATA[: 20 * MIN_PIECE_BYTES])
    (wanted,) = honest.share({NAME: DATA})
    with pytest.raises(DiskError):
        fetch(wanted, download_stall_s=0.3)
    assert right_pieces(folder / f"{NAME}.parte", DATA) >= set(range(20))


# The disk.


def test_space_is_looked_at_before_a_byte_is_fetched(honest, fetch, folder, monkeypatch):
    (wanted,) = honest.share({NAME: DATA})
    monkeypatch.setattr(disk, "free_space", lambda _: len(DATA) - 1)
    with pytest.raises(DiskError) as caught:
        fetch(wanted)
    assert caught.value.kind == "full"
    assert not honest.asked_pieces()
    assert not found_in(folder)


def test_space_is_needed_only_for_what_is_missing(honest, fetch, folder, monkeypatch):
    folder.mkdir()
    (folder / f"{NAME}.parte").write_bytes(DATA[: 38 * MIN_PIECE_BYTES])
    (wanted,) = honest.share({NAME: DATA})
    monkeypatch.setattr(disk, "free_space", lambda _: 2 * 2**20)
    fetch(wanted)
    assert found_in(folder) == {NAME: DATA}


def test_what_is_kept_stays_when_there_is_no_space_for_the_rest(honest, fetch, folder, monkeypatch):
    folder.mkdir()
    (folder / f"{NAME}.parte").write_bytes(DATA[: 20 * MIN_PIECE_BYTES])
    (wanted,) = honest.share({NAME: DATA})
    monkeypatch.setattr(disk, "free_space", lambda _: 1000)
    with pytest.raises(DiskError, match="full"):
        fetch(wanted)
    assert only_what_is_right_is_kept(folder) == set(range(20))


def test_a_disk_that_takes_no_more_on_the_way_is_one_error_and_it_goes_on_when_it_does(
    honest, fetch, folder
):
    resource = pytest.importorskip("resource")
    (wanted,) = honest.share({NAME: DATA})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, limits[1]))
    try:
        with pytest.raises(DiskError) as caught:
            fetch(wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.kind == "large"
    kept = only_what_is_right_is_kept(folder)
    assert kept
    honest.asked_pieces()
    fetch(wanted)
    assert found_in(folder) == {NAME: DATA}
    assert sorted(honest.asked_pieces()) == sorted(ALL - kept)


def test_a_file_too_large_for_fat_is_refused_before_a_byte_is_fetched(
    honest, fetch, folder, monkeypatch
):
    monkeypatch.setattr(file_systems, "MAX_FAT_FILE_BYTES", len(DATA) - 1)
    monkeypatch.setattr(file_systems, "is_fat", lambda _: True)
    (wanted,) = honest.share({NAME: DATA})
    with pytest.raises(DiskError, match="large"):
        fetch(wanted)
    assert not honest.asked_pieces()
    assert not found_in(folder)
    monkeypatch.setattr(file_systems, "is_fat", lambda _: False)
    fetch(wanted)
    assert found_in(folder) == {NAME: DATA}


def sparse(size, **parts):
    data = bytearray(size)
    for start, part in parts.items():
        data[int(start.strip("_")) : int(start.strip("_")) + len(part)] = part
    return bytes(data)


def test_a_sparse_file_stays_sparse_and_goes_on_where_it_was_damaged(
    honest, fetch, folder, tmp_path
):
    (tmp_path / "hole").touch()
    os.truncate(tmp_path / "hole", 2**20)
    if not hasattr(os.stat_result, "st_blocks") or (tmp_path / "hole").stat().st_blocks:
        pytest.skip("this disk has no holes")
    size = 20 * 2**20
    data = sparse(size, _0=b"head", _9000000=DATA[:70_000], **{f"_{size - 4}": b"tail"})
    (wanted,) = honest.share({"disco.img": data})
    path = Path(fetch(wanted).path)
    assert path.read_bytes() == data
    assert path.stat().st_blocks * 512 < 2 * 2**20
    # A part of it is here, and full of what is not zeros.
    partial = folder / "disco.img.parte"
    path.rename(partial)
    with partial.open("r+b") as file:
        file.truncate(12 * 2**20)
        file.seek(5 * 2**20)
        file.write(b"x" * 2**20)
    path = Path(fetch(wanted).path)
    assert path.read_bytes() == data
    assert path.stat().st_blocks * 512 < 4 * 2**20


def test_zeros_that_were_left_out_are_served_to_others_as_any_piece(tmp_path):
    with PartialFile(tmp_path / "a.parte") as opened, opened.writer() as writer:
        writer.leave_hole(3 * MIN_PIECE_BYTES)
        writer.write(MIN_PIECE_BYTES, memoryview(b"right"))
        writer.leave_hole(2 * MIN_PIECE_BYTES)
        held = opened.path.read_bytes()
    assert held == sparse(3 * MIN_PIECE_BYTES, **{f"_{MIN_PIECE_BYTES}": b"right"})


def test_what_another_program_writes_into_a_verified_part_is_never_given_a_name(
    honest, opened, fetch, folder
):
    partial = folder / f"{NAME}.parte"

    def lie(connection, body):
        send_pieces(connection, body[: len(body) // 2], len(body))
        eventually(lambda: 0 in right_pieces(partial, DATA))  # verified and written
        scribble(partial, 5)
        connection.send(body[len(body) // 2 :])

    (wanted,) = opened(about_pieces(lie)).share({NAME: DATA})
    with pytest.raises(DiskError, match="replaced"):
        fetch(wanted)
    assert only_what_is_right_is_kept(folder) == ALL - {0}
    (wanted,) = honest.share({NAME: DATA})
    assert fetch(wanted) == Outcome(str(folder / NAME), already=False)
    assert found_in(folder) == {NAME: DATA}
    assert honest.asked_pieces() == [0]


def test_a_link_inside_the_download_folder_is_not_followed(honest, fetch, folder, tmp_path):
    (tmp_path / "outside").mkdir()
    folder.mkdir()
    (folder / "p").symlink_to(tmp_path / "outside")
    for name in ("p/a.bin", "p/q/a.bin"):
        (wanted,) = honest.share({name: DATA})
        with pytest.raises(DiskError, match="link-folder"):
            fetch(wanted)
    assert not list((tmp_path / "outside").iterdir())


def test_a_folder_swapped_for_a_link_gives_no_final_name_outside(
    honest, fetch, folder, tmp_path, monkeypatch
):
    (tmp_path / "outside").mkdir()
    real = PartialFile.flush

    def flush(partial):
        real(partial)
        (folder / "p").rename(folder / "moved")
        (folder / "p").symlink_to(tmp_path / "outside")
        os.link(folder / "moved" / "a.bin.parte", tmp_path / "outside" / "a.bin.parte")

    monkeypatch.setattr(PartialFile, "flush", flush)
    (wanted,) = honest.share({"p/a.bin": DATA})
    with pytest.raises(DiskError):
        fetch(wanted)
    assert os.listdir(tmp_path / "outside") == ["a.bin.parte"]  # noqa: PTH208


def test_a_download_folder_that_is_a_link_is_followed(honest, fetch, folder, tmp_path):
    (tmp_path / "outside").mkdir()
    folder.symlink_to(tmp_path / "outside")
    (wanted,) = honest.share({"p/a.bin": DATA})
    fetch(wanted)
    assert found_in(tmp_path / "outside") == {"p/a.bin": DATA}


def test_a_folder_that_cannot_be_made_is_one_error(honest, fetch, folder):
    folder.write_bytes(b"")
    (wanted,) = honest.share({NAME: DATA})
    with pytest.raises(DiskError, match="not-folder"):
        fetch(wanted)


def replace_by_file(path):
    path.write_bytes(b"what another program has of it")


def replace_by_link(path):
    path.with_name("alheio").write_bytes(b"not ours")
    path.symlink_to("alheio")


def replace_by_a_part_of_it(path):
    path.write_bytes(bytes(len(DATA)))


def replace_by_nothing(path):
    pass


@pytest.mark.parametrize(
    "change", [replace_by_file, replace_by_link, replace_by_a_part_of_it, replace_by_nothing]
)
def test_a_partial_file_that_is_another_by_now_gets_no_name(opened, fetch, folder, pool, change):
    gate = Gate()
    (wanted,) = opened(gate).share({NAME: DATA})
    found = pool.submit(fetch, wanted)
    assert gate.reached.wait(SOON)
    path = folder / f"{NAME}.parte"
    path.unlink()
    change(path)
    there = found_in(folder)
    gate.open.set()
    error = found.exception(SOON)
    assert isinstance(error, DiskError) and error.kind in ("replaced", "missing")
    assert found_in(folder) == there


def test_a_slow_source_with_a_limit_is_waited_for(opened, fetch, folder):
    (wanted,) = opened(None, UploadSlots(limit=8 * 2**20)).share({NAME: DATA})
    fetch(wanted)
    assert found_in(folder) == {NAME: DATA}


@pytest.mark.parametrize("name", ["aula 10:30.bin", "p/con", "fim.", "C:x", "..\\x"])
def test_a_name_that_windows_cannot_hold_is_refused_before_a_byte_is_asked_for(
    honest, fetch, folder, monkeypatch, name
):
    monkeypatch.setattr(
        safe_names, "check_writable", partial(safe_names.check_writable, windows=True)
    )
    (wanted,) = honest.share({NAME: DATA})
    with pytest.raises((DiskError, UnsafeNameError)) as caught:
        fetch(wanted._replace(name=name))
    assert name in (getattr(caught.value, "path", ""), getattr(caught.value, "name", ""))
    assert not folder.exists()
    assert not honest.asked


def test_a_source_that_sends_a_wrong_piece_is_told_which(honest, fetch):
    (wanted,) = honest.share({NAME: DATA})
    at = 5 * merkle.piece_length(len(DATA))
    honest.edit_unseen(NAME, DATA[:at] + bytes(len(DATA) - at))
    with pytest.raises(VerificationError):
        fetch(wanted)
    told = [asked.again for asked in honest.asked if isinstance(asked, Hashes)]
    assert told[0] is None
    assert told[1] >= 5


def test_hashes_that_are_not_the_root_are_asked_for_once_more(opened, fetch, folder):
    answers = [bytes, bytearray]

    def garble_once(connection, layer):
        right = answers.pop() is bytes
        connection.send(codec.encode_reply(FileData(len(layer))))
        connection.send(layer if right else bytes(len(layer)))

    (wanted,) = opened(about_hashes(garble_once)).share({NAME: DATA})
    fetch(wanted)
    assert found_in(folder) == {NAME: DATA}


def test_what_was_downloaded_and_then_edited_is_not_said_to_be_here(honest, fetch, folder):
    (wanted,) = honest.share({NAME: DATA})
    path = Path(fetch(wanted).path)
    before = path.stat()
    with path.open("r+b") as file:
        file.write(b"edited")
    os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))
    again = fetch(wanted)
    assert not again.already
    assert again.path != path
    assert Path(again.path).read_bytes() == DATA
