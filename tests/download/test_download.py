"""One file from other peers: exact or not at all, and never fetched twice."""

from __future__ import annotations

import os
import random
import tempfile
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from threading import Barrier, Event, Thread

import pytest
import sources
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import eventually
from sources import (
    LONG_AGO,
    Changing,
    Gate,
    about_hashes,
    about_pieces,
    connect,
    content_of,
    pieces_of,
    refuses,
    right_pieces,
    source,
)

from rede_p2p.content import disk, merkle, recheck
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.merkle import BLOCK, FINEST_PIECE, Content
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.download import piece_layer, source_finder, swarm
from rede_p2p.download.download import Download, DownloadRequest, Outcome
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    DiskError,
    IncompleteError,
    InterruptedByUserError,
    PeerUnreachableError,
    ProtocolError,
    RedeError,
    RefusedError,
    UnsafeNameError,
    VerificationError,
)
from rede_p2p.net import connection
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import FileData, Hashes
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.upload_slots import UploadSlots

DATA = random.Random(3).randbytes(40 * FINEST_PIECE + 77)
ALL = set(range(41))
NAME = "grande.bin"


@pytest.fixture
def roots():
    with closing(HashCache(None)) as roots:
        yield roots


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "baixados"


@pytest.fixture
def fetch(folder, roots):
    """Return how to download into the folder."""
    return lambda wanted: Download(wanted, folder, connect, roots).run()


@pytest.fixture
def honest(tmp_path, host):
    with source(tmp_path / "honest", host) as made:
        yield made


@pytest.fixture
def lying(tmp_path, host):
    """Return how to open a source that lies."""
    with ExitStack() as stack:
        yield lambda lie, uploads=None: stack.enter_context(
            source(tmp_path / "lying", host, lie, uploads)
        )


@pytest.fixture
def hanging(monkeypatch):
    """Have the process that looks at what is here say nothing, and read nothing."""
    monkeypatch.setattr(recheck, "_PROGRAM", "import threading; threading.Event().wait(60)")


def found_in(folder):
    """Return what stands in a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def only_what_is_right_is_kept(folder, data=DATA, name=NAME):
    """Check what a download that failed left: nothing, or a partial file worth keeping."""
    left = found_in(folder)
    assert left.keys() <= {f"{name}.parte"}
    right = right_pieces(folder / f"{name}.parte", data)
    assert bool(right) == bool(left)
    return right


# Exact.


EDGES = [0, 1, BLOCK, FINEST_PIECE, 2 * FINEST_PIECE, 8 * FINEST_PIECE, 16 * FINEST_PIECE]
SIZES = sorted({size + step for size in EDGES for step in (-1, 0, 1) if size + step >= 0})


@pytest.mark.parametrize("size", SIZES)
def test_a_file_of_any_size_arrives_exactly(honest, fetch, folder, size):
    data = DATA[:size]
    (wanted,) = honest.share({NAME: data})
    assert fetch(wanted) == Outcome(folder / NAME, already=False)
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


def test_progress_ends_at_the_size(honest, folder, roots):
    (wanted,) = honest.share({NAME: DATA})
    download = Download(wanted, folder, connect, roots)
    assert download.progress() == (0, len(DATA), 0, 0, False)
    download.run()
    assert download.progress() == (len(DATA), len(DATA), 0, 0, False)


def test_a_name_inside_a_folder_makes_the_folder(honest, fetch, folder):
    (wanted,) = honest.share({"fotos/de/praia.png": DATA})
    assert fetch(wanted).path == folder / "fotos" / "de" / "praia.png"
    assert found_in(folder) == {"praia.png": DATA}


def test_what_was_downloaded_is_known_without_being_read_again(honest, fetch, folder, roots):
    (wanted,) = honest.share({NAME: DATA})
    path = fetch(wanted).path
    assert roots.known(str(path), disk.stamp(path)) == wanted.content.root
    assert roots.layer(str(path), wanted.content) == merkle.layer_of(DATA)
    assert roots.pending() == 0


@pytest.mark.parametrize(
    "name", ["../fora", "/tmp/fora", "a\\b", "x.parte", ".bashrc", "", "a/../b"]
)
def test_an_unsafe_name_is_refused_before_anything_is_done(folder, roots, name):
    with pytest.raises(UnsafeNameError):
        Download(DownloadRequest(name, content_of(b"x"), ()), folder, connect, roots)
    assert not folder.exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_that_nobody_foresaw_in_a_source_ends_the_download(honest, folder, roots):
    (wanted,) = honest.share({NAME: DATA})
    calls = []

    def connect_once(address):
        calls.append(address)
        if len(calls) > 1:  # the piece hashes have come
            raise ZeroDivisionError
        return connect(address)

    with pytest.raises(PeerUnreachableError):
        Download(wanted, folder, connect_once, roots).run()
    assert len(calls) == 1 + swarm.TRIES


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
    honest, folder, roots, monkeypatch, edit
):
    (wanted,) = honest.share({NAME: DATA})
    holdings = SeedStore()

    def sync_and_edit(path):
        if edit:
            (path / NAME).write_bytes(edit)

    monkeypatch.setattr(disk, "sync_folder", sync_and_edit)
    Download(wanted, folder, connect, roots, holdings=holdings).run()
    known = roots.known(str(folder / NAME), disk.stamp(folder / NAME))
    assert known == (None if edit else wanted.content.root)
    assert bool(holdings.downloads()) == bool(not edit)


# What is here already.


def no_connection(address):
    raise AssertionError("nobody had to be asked")


def test_the_same_content_under_that_name_is_not_fetched(folder, roots):
    folder.mkdir()
    (folder / NAME).write_bytes(DATA)
    wanted = DownloadRequest(NAME, content_of(DATA), (Address("127.0.0.1", 9),))
    outcome = Download(wanted, folder, no_connection, roots).run()
    assert outcome == Outcome(folder / NAME, already=True)


def test_the_same_content_under_a_further_name_is_not_fetched(folder, roots):
    folder.mkdir()
    (folder / NAME).write_bytes(b"other")
    (folder / "grande (1).bin").write_bytes(DATA)
    wanted = DownloadRequest(NAME, content_of(DATA), ())
    outcome = Download(wanted, folder, no_connection, roots).run()
    assert outcome == Outcome(folder / "grande (1).bin", already=True)


@pytest.mark.parametrize("other", [b"other", DATA[:-1] + b"x"], ids=["other size", "same size"])
def test_other_content_under_that_name_stays_and_the_new_one_is_numbered(
    honest, fetch, folder, other
):
    folder.mkdir()
    (folder / NAME).write_bytes(other)
    (wanted,) = honest.share({NAME: DATA})
    assert fetch(wanted) == Outcome(folder / "grande (1).bin", already=False)
    assert found_in(folder) == {NAME: other, "grande (1).bin": DATA}
    assert fetch(wanted) == Outcome(folder / "grande (1).bin", already=True)


def test_content_that_appears_under_that_name_meanwhile_is_not_overwritten(lying, folder, fetch):
    gate = Gate()
    (wanted,) = lying(gate).share({NAME: DATA})
    found = in_a_thread(lambda: fetch(wanted))
    assert gate.reached.wait(20)
    (folder / NAME).write_bytes(b"mine")
    gate.open.set()
    assert found() == Outcome(folder / "grande (1).bin", already=False)
    assert found_in(folder) == {NAME: b"mine", "grande (1).bin": DATA}


def in_a_thread(run):
    """Begin something; return how to wait for its result, or for the error it raised."""
    found = SimpleQueue()

    def catch():
        try:
            found.put(run())
        except RedeError as error:
            found.put(error)

    thread = Thread(target=catch)
    thread.start()

    def wait():
        thread.join(20)
        return found.get(timeout=20)

    return wait


def test_two_at_once_of_one_name_in_one_folder_do_not_mix(lying, folder, fetch):
    gate = Gate()
    liar = lying(gate)
    (wanted,) = liar.share({NAME: DATA})
    found = in_a_thread(lambda: fetch(wanted))
    assert gate.reached.wait(20)
    with pytest.raises(DiskError) as caught:
        fetch(wanted)
    assert (caught.value.kind, caught.value.path) == ("busy", str(folder / f"{NAME}.parte"))
    other = DATA[::-1]
    with pytest.raises(DiskError, match="busy"):
        fetch(liar.share({NAME: other})[0])
    gate.open.set()
    assert found() == Outcome(folder / NAME, already=False)
    assert found_in(folder) == {NAME: DATA}


def test_whoever_comes_first_of_two_at_once_the_file_is_exact(honest, fetch, folder):
    (wanted,) = honest.share({NAME: DATA})
    start = Barrier(2)

    def race():
        start.wait()
        return fetch(wanted)

    for name in (NAME, "outro.bin", "mais um.bin"):
        wanted = replace(wanted, name=name)
        first, second = in_a_thread(race), in_a_thread(race)
        outcomes = [first(), second()]
        done = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
        failed = [outcome for outcome in outcomes if not isinstance(outcome, Outcome)]
        assert done and all(outcome.path == folder / name for outcome in done)
        assert {(type(error), error.kind) for error in failed} <= {(DiskError, "busy")}
    assert found_in(folder) == dict.fromkeys((NAME, "outro.bin", "mais um.bin"), DATA)


def test_many_that_go_on_at_once_in_one_folder_are_not_in_each_others_way(honest, fetch, folder):
    folder.mkdir()
    files = {f"{number}.bin": bytes([number]) + DATA[: 3 * FINEST_PIECE] for number in range(8)}
    wanted = honest.share(files)
    for name, data in files.items():  # each looks for its pieces in those of the others
        (folder / f"{name}.parte").write_bytes(data[: FINEST_PIECE * (len(name) % 2)])
    start = Barrier(len(files))

    def race(one):
        start.wait()
        return fetch(one)

    running = [in_a_thread(lambda one=one: race(one)) for one in wanted]
    assert [ended() for ended in running] == [
        Outcome(folder / name, already=False) for name in files
    ]
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
    lying, honest, fetch, folder, lie, kind, cause
):
    (wanted,) = lying(lie).share({NAME: DATA})
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
    lying, honest, fetch, folder, lie, kind, cause
):
    (bad,), (good,) = lying(lie).share({NAME: DATA}), honest.share({NAME: DATA})
    wanted = DownloadRequest(NAME, bad.content, (*bad.sources, *good.sources))
    assert fetch(wanted) == Outcome(folder / NAME, already=False)
    assert found_in(folder) == {NAME: DATA}
    asked = honest.asked_pieces()
    assert len(asked) == len(set(asked)) <= len(ALL)


def test_a_source_that_says_more_after_its_answer_does_no_harm(lying, honest, fetch, folder):
    (bad,), (good,) = (
        lying(about_pieces(sources.sends_more)).share({NAME: DATA}),
        honest.share({NAME: DATA}),
    )
    with PartialFile(folder / f"{NAME}.parte") as opened:  # two ranges are missing
        opened.write_whole(bytes(5 * FINEST_PIECE) + DATA[5 * FINEST_PIECE : 9 * FINEST_PIECE])
    fetch(DownloadRequest(NAME, bad.content, (*bad.sources, *good.sources)))
    assert found_in(folder) == {NAME: DATA}


@pytest.mark.parametrize("where", ["hashes", "pieces"])
def test_a_source_that_falls_silent_half_way_is_given_up(
    lying, honest, fetch, folder, monkeypatch, where
):
    monkeypatch.setattr(connection, "STALL_TIMEOUT", 0.3)
    about = {"hashes": about_hashes, "pieces": about_pieces}[where]
    (bad,) = lying(about(sources.sends_and_is_silent(0.6))).share({NAME: DATA})
    with pytest.raises((PeerUnreachableError, IncompleteError)) as caught:
        fetch(bad)
    error = getattr(caught.value.cause, "cause", caught.value.cause)
    assert (type(error), error.reason) == (ConnectionLostError, "silent")
    only_what_is_right_is_kept(folder)
    (good,) = honest.share({NAME: DATA})
    fetch(DownloadRequest(NAME, bad.content, (*bad.sources, *good.sources)))
    assert found_in(folder) == {NAME: DATA}


def test_a_source_that_is_not_there_is_named(honest, fetch, folder, host):
    (good,) = honest.share({NAME: DATA})
    gone = Address(host, 9)
    with pytest.raises(PeerUnreachableError) as caught:
        fetch(replace(good, sources=(gone,)))
    assert (caught.value.address, caught.value.cause.reason) == (gone, "refused")
    assert not found_in(folder.parent / "baixados")
    fetch(replace(good, sources=(gone, honest.address)))
    assert found_in(folder) == {NAME: DATA}


def test_when_every_source_lies_the_error_is_one_of_theirs(lying, tmp_path, host, fetch, folder):
    (first,) = lying(about_pieces(sources.flips(0.3))).share({NAME: DATA})
    with source(tmp_path / "another", host, about_pieces(sources.flips(0.7))) as another:
        (second,) = another.share({NAME: DATA})
        wanted = replace(first, sources=(*first.sources, *second.sources))
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
        return sources._send(connection, bytes(serves_any_size.hashes * 32))
    if isinstance(request, sources.Want | sources.Next):
        connection.reply(sources.PieceOffer(0, max(1, serves_any_size.hashes)))
        return True
    if isinstance(request, sources.Take):
        return sources._send(connection, serves_any_size.data)
    return False


@pytest.mark.parametrize(
    "size",
    [0, 1, FINEST_PIECE, len(DATA) - 77, len(DATA) - 1, len(DATA) + 1, 2 * len(DATA)],
)
@pytest.mark.parametrize("in_league", [False, True], ids=["to each its own", "in league"])
def test_a_size_that_the_content_has_not_is_found_out(
    lying, fetch, folder, monkeypatch, size, in_league
):
    liar = lying(serves_any_size if in_league else None)
    (wanted,) = liar.share({NAME: DATA})
    false = replace(wanted, content=Content(wanted.content.root, size))
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
def test_a_file_that_changes_half_way_never_arrives(lying, honest, fetch, folder, change):
    liar = lying(None, Changing(lambda: change(liar.paths[NAME])))
    (wanted,) = liar.share({NAME: DATA})
    with pytest.raises((IncompleteError, VerificationError)):
        fetch(wanted)
    kept = only_what_is_right_is_kept(folder)
    assert kept
    honest.share({NAME: DATA})
    assert fetch(replace(wanted, sources=(liar.address, honest.address))).path == folder / NAME
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
    "cut in a piece": DATA[: 7 * FINEST_PIECE + 5],
    "cut between pieces": DATA[: 7 * FINEST_PIECE],
    "one byte": DATA[:1],
    "one byte short": DATA[:-1],
    "longer by one byte": DATA + b"x",
    "much longer": DATA * 2,
    "longer by zeros": DATA + bytes(FINEST_PIECE),
    "longer and damaged": partial_of({3, 7}) + b"x" * 999,
    "of another content": DATA[::-1],
    "zeros": bytes(len(DATA)),
}


@pytest.mark.parametrize("held", PARTIALS.values(), ids=PARTIALS)
def test_whatever_the_partial_file_holds_the_rest_alone_is_fetched(honest, folder, roots, held):
    folder.mkdir()
    (folder / f"{NAME}.parte").write_bytes(held)
    kept = right_pieces(folder / f"{NAME}.parte", DATA)
    (wanted,) = honest.share({NAME: DATA})
    download = Download(wanted, folder, connect, roots)
    assert download.run() == Outcome(folder / NAME, already=False)
    assert found_in(folder) == {NAME: DATA}
    assert sorted(honest.asked_pieces()) == sorted(ALL - kept)
    assert download.progress().kept == sum(len(pieces_of(DATA)[index]) for index in kept)


SMALL = DATA[: 6 * FINEST_PIECE - 1000]


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    with source(tmp_path_factory.mktemp("standing"), "127.0.0.1") as made:
        yield made, made.share({NAME: SMALL})[0]


@given(
    length=st.integers(0, len(SMALL) + 2 * FINEST_PIECE),
    damages=st.lists(
        st.tuples(st.integers(0, len(SMALL)), st.binary(min_size=1, max_size=40)), max_size=4
    ),
    hole=st.tuples(st.integers(0, len(SMALL)), st.integers(0, 3 * FINEST_PIECE)),
)
@settings(max_examples=40, deadline=None)
def test_any_damage_to_the_partial_file_is_found_and_mended(standing, length, damages, hole):
    honest, wanted = standing
    with tempfile.TemporaryDirectory() as made, closing(HashCache(None)) as roots:
        folder = Path(made)
        path = folder / f"{NAME}.parte"
        with path.open("wb") as file:
            start, size = hole
            file.write((SMALL + bytes(2 * FINEST_PIECE))[: min(start, length)])
            file.seek(start + size)
            file.write(SMALL[start + size : length])
            for where, noise in damages:
                file.seek(where)
                file.write(noise)
            file.truncate(length)
        kept = right_pieces(path, SMALL)
        honest.asked_pieces()
        assert Download(wanted, folder, connect, roots).run().path == folder / NAME
        assert found_in(folder) == {NAME: SMALL}
        assert sorted(honest.asked_pieces()) == sorted(set(range(6)) - kept)


def test_a_partial_file_with_holes_keeps_what_is_right(honest, fetch, folder):
    folder.mkdir()
    path = folder / f"{NAME}.parte"
    with path.open("wb") as file:
        file.seek(8 * FINEST_PIECE)
        file.write(DATA[8 * FINEST_PIECE : 12 * FINEST_PIECE])
        file.truncate(len(DATA))
    (wanted,) = honest.share({NAME: DATA})
    fetch(wanted)
    assert found_in(folder) == {NAME: DATA}
    assert sorted(honest.asked_pieces()) == sorted(ALL - {8, 9, 10, 11})


def test_a_partial_file_of_another_name_is_taken_over(honest, fetch, folder):
    folder.mkdir()
    (folder / "outro.parte").write_bytes(DATA[: 20 * FINEST_PIECE] + bytes(3 * FINEST_PIECE))
    (folder / "alheio.bin.parte").write_bytes(DATA[::-1])
    (wanted,) = honest.share({NAME: DATA})
    fetch(wanted)
    assert found_in(folder) == {NAME: DATA, "alheio.bin.parte": DATA[::-1]}
    assert sorted(honest.asked_pieces()) == list(range(20, 41))


ZEROS = 3 * FINEST_PIECE
SPARSE = DATA[: 20 * FINEST_PIECE] + bytes(ZEROS) + DATA[20 * FINEST_PIECE + ZEROS :]
OTHERS = {
    "of which only zeros are the same": DATA[::-1][: 20 * FINEST_PIECE] + bytes(ZEROS) + b"end",
    "of nothing but zeros": bytes(len(SPARSE)),
    "of which one piece is the same": DATA[:FINEST_PIECE] + DATA[::-1][FINEST_PIECE:],
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
    lying, honest, fetch, folder
):
    (wanted,) = lying(about_pieces(sources.sends(0.5))).share({NAME: DATA})
    with pytest.raises(IncompleteError):
        fetch(wanted)
    new = DATA[: 5 * FINEST_PIECE] + b"!" + DATA[5 * FINEST_PIECE + 1 :] + b"and more"
    kept = right_pieces(folder / f"{NAME}.parte", new)
    assert 0 in kept and 5 not in kept
    (wanted,) = honest.share({NAME: new})
    fetch(wanted)
    assert found_in(folder) == {NAME: new}
    assert sorted(honest.asked_pieces()) == sorted(ALL - kept)


# Cancelling.


def test_cancelled_before_it_runs_it_asks_nobody_and_does_nothing(folder, roots):
    wanted = DownloadRequest(NAME, content_of(DATA), (Address("127.0.0.1", 9),))
    download = Download(wanted, folder, no_connection, roots, who_has=no_connection)
    download.cancel()
    download.cancel()
    with pytest.raises(InterruptedByUserError):
        download.run()
    assert not folder.exists()


def cancelling(about, share):
    """Return a lie that cancels when a share of an answer has left, and then sends the rest."""

    def answer(connection, body):
        half = int(len(body) * share)
        sources._send(connection, body[:half], len(body))
        cancelling.download.cancel()
        connection.send(body[half:])

    return about(answer)


@pytest.mark.parametrize("share", [0, 0.001, 0.2, 0.5, 0.8, 0.999, 1])
@pytest.mark.parametrize("about", [about_hashes, about_pieces], ids=["hashes", "pieces"])
def test_cancelled_at_any_moment_it_keeps_what_is_right_and_goes_on_later(
    lying, honest, fetch, folder, roots, about, share
):
    (wanted,) = lying(cancelling(about, share)).share({NAME: DATA})
    cancelling.download = Download(wanted, folder, connect, roots)
    (good,) = honest.share({NAME: DATA})
    try:
        outcome = cancelling.download.run()
    except InterruptedByUserError:
        kept = only_what_is_right_is_kept(folder)
        fetch(good)
        assert sorted(honest.asked_pieces()) == sorted(ALL - kept)
    else:  # too late: it was there
        assert share == 1 and outcome.path == folder / NAME
    assert found_in(folder) == {NAME: DATA}


def test_cancelled_while_it_waits_for_its_turn_it_ends(lying, folder, roots):
    (wanted,) = lying(about_pieces(sources.waits_for_ever)).share({NAME: DATA})
    download = Download(wanted, folder, connect, roots)
    found = in_a_thread(download.run)
    eventually(lambda: download.waiting.place == 3)
    download.cancel()
    assert isinstance(found(), InterruptedByUserError)
    assert not found_in(folder)


def test_cancelled_while_a_source_is_silent_it_ends(lying, folder, roots):
    gate = Gate()
    (wanted,) = lying(gate).share({NAME: DATA})
    download = Download(wanted, folder, connect, roots)
    found = in_a_thread(download.run)
    assert gate.reached.wait(20)
    eventually(lambda: download.progress().have)
    download.cancel()
    assert isinstance(found(), InterruptedByUserError)
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
        self.end.wait(20)
        connection.hang_up()
        return True


@pytest.mark.parametrize("other", ["has them", "refuses"])
def test_who_is_slow_to_give_the_hashes_is_passed_over_and_asked_again_at_last(
    lying, honest, fetch, folder, monkeypatch, other
):
    monkeypatch.setattr(piece_layer, "HURRY", 0.5)
    slow = Slow()
    (first,) = lying(slow).share({NAME: DATA})
    second = honest.address if other == "has them" else Address(honest.address.ip, 1)
    honest.share({NAME: DATA})
    fetch(DownloadRequest(NAME, first.content, (*first.sources, second)))
    assert found_in(folder) == {NAME: DATA}
    assert slow.asked == (1 if other == "has them" else 2)
    slow.end.set()


def test_who_says_again_and_again_that_we_must_wait_for_the_hashes_is_passed_over(
    lying, honest, fetch, folder, monkeypatch
):
    monkeypatch.setattr(piece_layer, "HURRY", 0.05)
    ended = Event()

    def wait_on(connection, _body):
        while not ended.wait(0.01):
            for place in (1, 2):
                connection.reply(codec.Pending(place=place))

    (first,) = lying(about_hashes(wait_on)).share({NAME: DATA})
    honest.share({NAME: DATA})
    found = in_a_thread(
        lambda: fetch(DownloadRequest(NAME, first.content, (*first.sources, honest.address)))
    )
    try:
        assert found() == Outcome(folder / NAME, already=False)
    finally:
        ended.set()
    assert found_in(folder) == {NAME: DATA}


def test_who_has_to_compute_the_hashes_is_asked_again_until_they_are_there(
    lying, fetch, folder, monkeypatch
):
    monkeypatch.setattr(piece_layer, "HURRY", 0.1)
    monkeypatch.setattr(piece_layer, "REPLY_TIMEOUT", 0.2)
    asked = []

    def compute(connection, body):
        asked.append(connection)
        done = 0
        while len(asked) < 4 and not Event().wait(0.01):
            done += 1
            connection.reply(codec.Pending(done=done))
        connection.send(codec.encode_reply(FileData(len(body))) + body)

    (wanted,) = lying(about_hashes(compute)).share({NAME: DATA})
    fetch(replace(wanted, sources=2 * wanted.sources))  # so that there is always another to ask
    assert found_in(folder) == {NAME: DATA}
    assert len(asked) == 4


def test_cancelled_while_it_connects_it_ends(honest, folder, roots):
    (wanted,) = honest.share({NAME: DATA})

    def connect_late(address):
        download.cancel()
        return connect(address)

    download = Download(wanted, folder, connect_late, roots)
    with pytest.raises(InterruptedByUserError):
        download.run()
    assert not found_in(folder.parent / "baixados")


def test_cancelled_while_what_is_here_is_hashed_it_ends(folder, roots):
    folder.mkdir()
    (folder / NAME).write_bytes(b"")
    os.truncate(folder / NAME, 2**40)  # hours of hashing
    wanted = DownloadRequest(NAME, Content(bytes(32), 2**40), ())
    download = Download(wanted, folder, no_connection, roots)
    found = in_a_thread(download.run)
    eventually(roots.pending)
    download.cancel()
    assert isinstance(found(), InterruptedByUserError)


@pytest.mark.parametrize("sourceless", [False, True])
def test_cancelled_while_the_process_that_looks_at_what_is_here_hangs_it_ends(
    honest, folder, roots, hanging, sourceless
):
    folder.mkdir()
    (folder / f"{NAME}.parte").write_bytes(DATA[: 20 * FINEST_PIECE])
    (wanted,) = honest.share({NAME: DATA})
    begun = Event()

    def dial(address):
        if begun.is_set() and sourceless:
            raise PeerUnreachableError(address, ConnectionLostError("refused"))
        begun.set()
        return connect(address)

    download = Download(wanted, folder, dial, roots)
    found = in_a_thread(download.run)
    assert begun.wait(20)
    if not sourceless:
        eventually(lambda: download.progress().have == len(DATA) - 20 * FINEST_PIECE)
    download.cancel()
    assert isinstance(found(), InterruptedByUserError)
    assert right_pieces(folder / f"{NAME}.parte", DATA) >= set(range(20))


def test_a_process_that_hangs_while_it_looks_at_what_is_here_is_given_up(
    honest, fetch, folder, hanging, monkeypatch
):
    monkeypatch.setattr(source_finder, "STUCK", 0.3)
    folder.mkdir()
    (folder / f"{NAME}.parte").write_bytes(DATA[: 20 * FINEST_PIECE])
    (wanted,) = honest.share({NAME: DATA})
    with pytest.raises(DiskError):
        fetch(wanted)
    assert right_pieces(folder / f"{NAME}.parte", DATA) >= set(range(20))


# The disk.


def test_space_is_looked_at_before_a_byte_is_fetched(honest, fetch, folder, monkeypatch):
    (wanted,) = honest.share({NAME: DATA})
    monkeypatch.setattr(disk, "free_space", lambda _: len(DATA) - 1)
    with pytest.raises(DiskError) as caught:
        fetch(wanted)
    assert caught.value.kind == "full"
    assert not honest.asked_pieces()
    assert not found_in(folder.parent / "baixados")


def test_space_is_needed_only_for_what_is_missing(honest, fetch, folder, monkeypatch):
    folder.mkdir()
    (folder / f"{NAME}.parte").write_bytes(DATA[: 38 * FINEST_PIECE])
    (wanted,) = honest.share({NAME: DATA})
    monkeypatch.setattr(disk, "free_space", lambda _: 2 * 2**20)
    fetch(wanted)
    assert found_in(folder) == {NAME: DATA}


def test_what_is_kept_stays_when_there_is_no_space_for_the_rest(honest, fetch, folder, monkeypatch):
    folder.mkdir()
    (folder / f"{NAME}.parte").write_bytes(DATA[: 20 * FINEST_PIECE])
    (wanted,) = honest.share({NAME: DATA})
    monkeypatch.setattr(disk, "free_space", lambda _: 1000)
    with pytest.raises(DiskError, match="full"):
        fetch(wanted)
    assert only_what_is_right_is_kept(folder) == set(range(20))


def test_a_disk_that_fills_on_the_way_is_one_error_and_it_goes_on_when_there_is_room(
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
    assert caught.value.kind == "full"
    kept = only_what_is_right_is_kept(folder)
    assert kept
    honest.asked_pieces()
    fetch(wanted)
    assert found_in(folder) == {NAME: DATA}
    assert sorted(honest.asked_pieces()) == sorted(ALL - kept)


def test_a_link_inside_the_download_folder_is_not_followed(honest, fetch, folder, tmp_path):
    (tmp_path / "outside").mkdir()
    folder.mkdir()
    (folder / "p").symlink_to(tmp_path / "outside")
    for name in ("p/a.bin", "p/q/a.bin"):
        (wanted,) = honest.share({name: DATA})
        with pytest.raises(DiskError, match="link-folder"):
            fetch(wanted)
    assert not list((tmp_path / "outside").iterdir())


def test_a_download_folder_that_is_a_link_is_followed(honest, fetch, folder, tmp_path):
    (tmp_path / "outside").mkdir()
    folder.symlink_to(tmp_path / "outside")
    (wanted,) = honest.share({"p/a.bin": DATA})
    fetch(wanted)
    assert found_in(tmp_path / "outside") == {"a.bin": DATA}


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
def test_a_partial_file_that_is_another_by_now_gets_no_name(lying, fetch, folder, change):
    gate = Gate()
    (wanted,) = lying(gate).share({NAME: DATA})
    found = in_a_thread(lambda: fetch(wanted))
    assert gate.reached.wait(20)
    path = folder / f"{NAME}.parte"
    path.unlink()
    change(path)
    there = found_in(folder)
    gate.open.set()
    error = found()
    assert isinstance(error, DiskError) and error.kind in ("replaced", "missing")
    assert found_in(folder) == there


def test_a_slow_source_with_a_limit_is_waited_for(lying, fetch, folder):
    (wanted,) = lying(None, UploadSlots(limit=8 * 2**20)).share({NAME: DATA})
    fetch(wanted)
    assert found_in(folder) == {NAME: DATA}
