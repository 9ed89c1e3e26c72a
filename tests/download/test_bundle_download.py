"""Many files as one download: all that somebody has arrives, and the rest is left to others."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count
from threading import Event, Thread

import pytest
from listening import SOON
from processes import eventually
from sources import (
    Gate,
    Silent,
    about_pieces,
    connect,
    content_of,
    flips,
    found_in,
    hangs_up_at_once,
    right_pieces,
)

from rede_p2p.content import recheck
from rede_p2p.content.merkle import MIN_PIECE_BYTES
from rede_p2p.content.piece_layout import BundleLayout
from rede_p2p.download import source_finder
from rede_p2p.download.bundle_download import BundleDownload
from rede_p2p.download.publisher import Publisher
from rede_p2p.download.request import Outcome
from rede_p2p.errors import DiskError
from rede_p2p.protocol.codec import Pending, Refusal
from rede_p2p.protocol.messages import Bundle, Hashes, Next, Take, Want
from rede_p2p.upload.seed_store import SeedStore

pytest_plugins = ["downloading"]

RANDOM = random.Random(12)
SIZES = [0, 1, 16384, 65536, 65537, 131072, 131073, 5 * MIN_PIECE_BYTES + 3, 2**21]
FILES = {f"pasta {n % 3}/{n:03}.bin": RANDOM.randbytes(RANDOM.randrange(9000)) for n in range(90)}
FILES |= {f"pasta 1/tamanho {size}": RANDOM.randbytes(size) for size in SIZES}
LARGE, CUT = f"pasta 1/tamanho {SIZES[-1]}", f"pasta 1/tamanho {SIZES[-2]}"
SAME = "pasta 2/tamanho 1"  # one more name of a content
FILES[SAME] = FILES["pasta 1/tamanho 1"]
CONTENTS = dict.fromkeys(content_of(FILES[name]) for name in sorted(FILES) if FILES[name])
COUNT = BundleLayout(bytes(32), list(CONTENTS)).count  # pieces


@pytest.fixture
def run(context):
    """Return how to run one: what it reports, and the names of what it leaves."""

    def run_(requests, dial=connect, **more):
        reported = {}

        def report(request, outcome):
            assert request.name not in reported
            reported[request.name] = outcome

        alone, again = BundleDownload(requests, context(dial, **more), report).run()
        left = alone + again
        names = [request.name for request in left]
        assert sorted([*reported, *names]) == sorted(request.name for request in requests)
        return reported, sorted(names)

    return run_


def from_all(requests, sources):
    return [one._replace(sources=tuple(peer.address for peer in sources)) for one in requests]


def test_all_of_a_folder_arrives_exactly(honest, run, folder):
    reported, left = run(honest.share(FILES))
    assert (found_in(folder), left) == (FILES, [])
    assert reported == {name: Outcome(str(folder / name), already=False) for name in FILES}


def test_each_of_three_sources_gives_the_part_that_it_has(opened, run, folder):
    parts = [dict(list(FILES.items())[n::3]) for n in range(3)]
    sources = [opened() for _ in parts]
    requests = [one for peer, part in zip(sources, parts, strict=True) for one in peer.share(part)]
    _, left = run(requests)
    assert len(left) < 20  # of the pieces where the files of two sources meet
    assert found_in(folder) == {name: data for name, data in FILES.items() if name not in left}
    assert all(peer.asked_pieces() for peer in sources)


@pytest.mark.parametrize("answer", [Pending(done=2**30), Refusal("not-here")])
def test_who_says_again_and_again_that_we_must_wait_for_the_hashes_is_passed_over(
    opened, honest, run, folder, pool, answer
):
    ended, said = Event(), count(1)

    def wait_on(_source, connection, request):
        while isinstance(request, Hashes) and not ended.wait(0.01):
            if isinstance(answer, Refusal):
                connection.reply(answer)
                return True
            connection.reply(replace(answer, done=next(said) * answer.done))
        return False

    liar = opened(wait_on)
    liar.share(FILES)
    both = from_all(honest.share(FILES), [liar, honest])
    found = pool.submit(run, both, layer_hurry_s=0.05)
    try:
        _, left = found.result(SOON)
    finally:
        ended.set()
    assert (found_in(folder), left) == (FILES, [])


def test_after_each_silence_twice_as_many_are_asked_for_the_hashes(
    opened, honest, run, folder, monkeypatch
):
    monkeypatch.setattr(source_finder.random, "shuffle", lambda _drawn: None)
    silent = Silent()
    quiet = [opened(silent) for _ in range(7)]
    requests = honest.share({LARGE: FILES[LARGE], CUT: FILES[CUT]})
    _, left = run(from_all(requests, [*quiet, honest]), layer_hurry_s=0.2)
    assert (set(found_in(folder)), left) == ({LARGE, CUT}, [])
    assert silent.most >= 4


def test_a_source_that_cannot_be_connected_to_holds_nothing_up(honest, opened, run, folder, pool):
    """Which one is asked first for the hashes is drawn by lot: at times it is the one asleep."""
    asleep, awake = opened(), Event()
    requests = from_all(honest.share(FILES), [asleep, honest])

    def dial(address):
        if address == asleep.address:
            awake.wait()
        return connect(address)

    try:
        _, left = pool.submit(run, requests, dial, layer_hurry_s=0.05).result(SOON)
        assert (found_in(folder), left) == (FILES, [])
    finally:
        awake.set()


def test_who_fetches_the_same_gives_what_it_has(honest, opened, run, folder, context, tmp_path):
    requests = honest.share(FILES)
    second = opened()
    seeds = second.seeds = SeedStore()
    first = context(seeds=seeds)._replace(folder=tmp_path / "a", hash_cache=second._hash_cache)
    assert BundleDownload(requests, first, lambda *_: None).run() == ([], [])
    honest.lie = lambda *_: (_ for _ in ()).throw(AssertionError)  # it is not asked
    _, left = run(from_all(requests, [second]))
    assert (found_in(folder), left) == (FILES, [])


def test_what_is_here_already_is_not_fetched(honest, run, folder):
    requests = honest.share(FILES)
    half = dict(list(FILES.items())[::2])
    for name, data in half.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    reported, left = run(requests)
    assert (found_in(folder), left) == (FILES, [])
    assert {name for name, outcome in reported.items() if outcome.already} == set(half)
    taken = sum(one.count for one in honest.asked if isinstance(one, Take))
    everything = sum(len(data) for data in FILES.values())
    assert taken * MIN_PIECE_BYTES < everything


def lay(folder, name, held):
    """Leave a part of a file, as an earlier attempt does."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.parte").write_bytes(held)


@pytest.mark.parametrize("here", [0, 4 * 1024 * 1024], ids=["in a process", "in this process"])
def test_of_large_files_that_were_begun_only_what_is_missing_is_fetched(
    honest, run, folder, monkeypatch, here
):
    monkeypatch.setattr(recheck, "MAX_BYTES_HERE", here)
    held = {LARGE: 20 * MIN_PIECE_BYTES + 5, CUT: 2 * MIN_PIECE_BYTES}
    for name, length in held.items():
        lay(folder, name, FILES[name][:length])
    _, left = run(honest.share(FILES))
    assert (found_in(folder), left) == (FILES, [])
    assert len(honest.asked_pieces()) == COUNT - 22


def test_damage_to_what_was_begun_is_mended(honest, run, folder):
    for name in (LARGE, CUT):
        held = bytearray(FILES[name])
        held[3 * MIN_PIECE_BYTES] ^= 1
        lay(folder, name, held)
    _, left = run(honest.share(FILES))
    assert (found_in(folder), left) == (FILES, [])
    assert len(honest.asked_pieces()) == COUNT - 36


def test_what_was_left_whole_needs_only_its_name(honest, run, folder):
    for name, data in FILES.items():
        lay(folder, name, data)
    _, left = run(honest.share(FILES))
    assert (found_in(folder), left) == (FILES, [])


def test_what_is_not_the_file_at_all_is_written_over(honest, run, folder):
    lay(folder, LARGE, RANDOM.randbytes(3 * len(FILES[LARGE])))
    _, left = run(honest.share(FILES))
    assert (found_in(folder), left) == (FILES, [])


def test_what_was_begun_is_given_to_who_fetches_the_same(opened, folder, context):
    lay(folder, LARGE, FILES[LARGE])
    gate, seeds = Gate(), SeedStore()
    one = BundleDownload(opened(gate).share(FILES), context(seeds=seeds), lambda *_: None)
    thread = Thread(target=one.run)
    thread.start()
    assert gate.reached.wait(SOON)
    (picker,) = [seeds.find(entry.root).picker() for entry in seeds.entries()]
    requester = picker.enter("another peer", (1 << COUNT) - 1)
    eventually(lambda: picker.offer(requester, 0, 99)[0])
    gate.open.set()
    thread.join(SOON)
    assert found_in(folder) == FILES


@pytest.mark.parametrize("program", ["import threading; threading.Event().wait(60)", ""])
def test_cancelled_while_it_rechecks_it_ends_and_loses_nothing(
    honest, folder, context, monkeypatch, program
):
    monkeypatch.setattr(recheck, "MAX_BYTES_HERE", 0)
    monkeypatch.setattr(recheck, "_PROGRAM", program)
    lay(folder, LARGE, FILES[LARGE])
    dialled = []

    def dial(address):
        dialled.append(address)
        if len(dialled) > 1:  # after the first, for the hashes
            one.cancel()
        return connect(address)

    one = BundleDownload(honest.share(FILES), context(dial), lambda *_: None)
    alone, again = one.run()
    assert LARGE in {request.name for request in alone + again}
    assert found_in(folder)[f"{LARGE}.parte"] == FILES[LARGE]


def test_what_was_cancelled_goes_on_where_it_was(opened, run, folder, context):
    layout = BundleLayout(bytes(32), list(CONTENTS))
    begins = layout.pieces_of(list(CONTENTS).index(content_of(FILES[LARGE]))).start

    def cancel(_source, _connection, request):
        if isinstance(request, Take) and request.first > begins + 8:
            one.cancel()
        return False

    peer = opened(cancel)
    one = BundleDownload(peer.share(FILES), context(), lambda *_: None)
    one.run()
    kept = right_pieces(folder / f"{LARGE}.parte", FILES[LARGE])
    assert kept
    peer.asked_pieces()
    _, left = run(peer.share(FILES))
    assert (found_in(folder), left) == (FILES, [])
    assert len(peer.asked_pieces()) <= COUNT - len(kept)


def test_where_no_process_can_recheck_it_is_fetched_anew(honest, run, folder, monkeypatch):
    monkeypatch.setattr(recheck, "MAX_BYTES_HERE", 0)
    monkeypatch.setattr(recheck, "_PROGRAM", "")
    lay(folder, LARGE, FILES[LARGE])
    _, left = run(honest.share(FILES))
    assert (found_in(folder), left) == (FILES, [])
    assert len(honest.asked_pieces()) == COUNT


@pytest.mark.parametrize("name", ["pasta 1/004.bin", f"pasta 1/tamanho {2**21}"])
def test_what_is_another_at_its_source_by_now_is_left_and_nobody_waits(honest, run, folder, name):
    requests = honest.share(FILES)
    honest.paths[name].write_bytes(b"other")
    _, left = run(requests)
    assert name in left
    assert found_in(folder).keys() >= {other for other in FILES if "tamanho" in other} - {name}
    for other, data in found_in(folder).items():
        assert data == FILES[other]


def test_of_a_source_that_knows_no_bundles_all_is_left(opened, run, folder):
    def lie(_source, connection, request):
        if not isinstance(request, Bundle):
            return False
        connection.reply(Refusal("unknown-verb"))
        return True

    _, left = run(opened(lie).share(FILES))
    assert left == sorted(name for name, data in FILES.items() if data)


def test_who_had_no_more_is_asked_again_for_what_another_gives_back(opened, run, folder):
    half = dict(sorted(FILES.items())[: len(FILES) // 2])
    taken, gone = Event(), Event()

    def dies_with_the_first_piece(source, connection, request):
        if gone.is_set():
            return hangs_up_at_once(source, connection, request)
        if isinstance(request, Take):
            taken.set()
            eventually(lambda: sum(isinstance(one, Next) for one in second.asked) > 1)
            gone.set()
            return hangs_up_at_once(source, connection, request)
        return False

    def begins_after_it(_source, _connection, request):
        return isinstance(request, Want) and not taken.wait(SOON)

    first, second = opened(dies_with_the_first_piece), opened(begins_after_it)
    requests = from_all(first.share(FILES), [first, second])
    second.share(half)
    _, left = run(requests, min_endgame_wait_s=1000.0)
    assert not {name for name in left if name in list(half)[:5]}  # which are in the first piece
    assert all(data == FILES[name] for name, data in found_in(folder).items())


def test_what_came_wrong_is_told_from_what_the_given_up_source_did_not_get_to(honest, context):
    wrong = "pasta 1/004.bin"
    requests = honest.share(FILES)
    honest.edit_unseen(wrong, bytes(len(FILES[wrong])))
    alone, again = BundleDownload(requests, context(), lambda *_: None).run()
    assert [request.name for request in alone] == [wrong]
    assert again
    assert BundleDownload(again, context(), lambda *_: None).run() == ([], [])


def test_a_file_where_a_folder_should_be_keeps_no_other_file_from_coming(honest, run, folder):
    folder.mkdir()
    (folder / "pasta 2").write_bytes(b"mine")
    reported, left = run(honest.share(FILES))
    assert left == sorted(name for name in FILES if name.startswith("pasta 2/"))
    assert len(reported) == len(FILES) - len(left)
    assert (folder / "pasta 2").read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["full", "not-folder"])
def test_after_an_error_of_the_disk_nothing_is_read_from_a_closed_file(
    honest, context, monkeypatch, kind
):
    seeds, opened, made = SeedStore(), count(), Publisher.open

    def fail_once(publisher, name):
        if next(opened) == 40:
            raise DiskError(name, kind)
        return made(publisher, name)

    monkeypatch.setattr(Publisher, "open", fail_once)
    download = BundleDownload(honest.share(FILES), context(seeds=seeds), lambda *_: None)
    download.run()
    seeded = seeds.find_bundle(download._layout.root)
    assert seeded._arriving == {}


def test_a_liar_spoils_nothing(opened, run, folder):
    honest, liar = opened(), opened(about_pieces(flips(0.5)))
    requests = from_all(honest.share(FILES), [liar, honest])
    liar.share(FILES)
    run(requests)
    for name, data in found_in(folder).items():
        if not name.endswith(".parte"):
            assert data == FILES[name]


def test_cancelled_it_ends_and_gives_no_wrong_name(opened, context, folder):
    reached, go_on = Event(), Event()

    def wait(_connection, _body):
        reached.set()
        go_on.wait(SOON)
        return False

    peer = opened(about_pieces(wait))
    one = BundleDownload(peer.share(FILES), context(), lambda *_: None)

    def cancel():
        one.cancel()
        go_on.set()

    thread = Thread(target=lambda: (reached.wait(SOON), cancel()))
    thread.start()
    left, _ = one.run()
    thread.join(SOON)
    assert left
    for name, data in found_in(folder).items():
        assert name.endswith(".parte") or data == FILES[name]


def test_progress_counts_what_has_come_beside_what_was_reported(honest, context):
    requests, told = honest.share(FILES), []
    one = BundleDownload(requests, context(), lambda *_: told.append(one.progress()))
    assert one.progress().have == 0
    one.run()
    eventually(lambda: one.progress().have == 0)
    assert all(progress.have >= 0 for progress in told)
    assert sum(one.brought.values()) == sum(map(len, FILES.values())) - len(FILES[SAME])


def test_who_gave_all_of_a_folder_is_told_how_many_files_went(honest, run):
    run(honest.share(FILES))
    (served,) = [honest._posted.get(timeout=SOON)]
    contents = {data for data in FILES.values() if data}
    assert (served.files, served.size) == (len(contents), sum(map(len, contents)))
