"""The downloads of a peer: their numbers, their threads, their ends."""

from __future__ import annotations

import random
from contextlib import ExitStack, closing
from queue import SimpleQueue
from threading import Event

import pytest
import sources
from processes import eventually
from sources import Gate, about_pieces, connect, refuses, source

from rede_p2p.content import disk
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.merkle import FINEST_PIECE
from rede_p2p.content.recheck import Recheck
from rede_p2p.download import download
from rede_p2p.download.download import Outcome
from rede_p2p.download.small_files import SMALL
from rede_p2p.download.transfers import Transfers
from rede_p2p.errors import InterruptedByUserError, PeerUnreachableError
from rede_p2p.events import Progress, TransferEnded
from rede_p2p.upload.seed_store import SeedStore

SOON = 20.0  # seconds; a bound on what takes milliseconds
LARGE = random.Random(2).randbytes(2 * SMALL)
FILES = {"a.txt": b"a", "grande.bin": LARGE, "b.txt": b"b" * 1000}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "baixados"


@pytest.fixture
def told():
    return SimpleQueue()


@pytest.fixture
def transfers(folder, told):
    with (
        closing(HashCache(None)) as roots,
        closing(Transfers(folder, connect, roots, told.put)) as made,
    ):
        yield made


@pytest.fixture
def open_source(tmp_path, host):
    """Return how to open a source, which may lie."""
    with ExitStack() as stack:
        yield lambda lie=None: stack.enter_context(source(tmp_path / "source", host, lie))


def outcomes(transfer):
    """Wait for the end, and return what came of each name."""
    return {wanted.name: outcome for wanted, outcome in transfer.results.result(SOON)}


def test_small_files_and_large_ones_all_arrive(transfers, open_source, folder):
    transfer = transfers.start(open_source().share(FILES), followed=True)
    assert transfer.title == "3 arquivos"
    assert outcomes(transfer) == {name: Outcome(folder / name, already=False) for name in FILES}
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == FILES
    size = sum(map(len, FILES.values()))
    assert transfer.progress() == Progress(size, size, 0, 3, 3, 0, 0)


@pytest.mark.parametrize("edit", [None, b"mudou", b"B" * 1000])
def test_what_its_owner_edits_before_the_end_is_not_offered_as_what_it_was(
    open_source, folder, told, edit
):
    holdings = SeedStore()

    def edit_and_connect(address):
        if edit and (folder / "b.txt").exists():  # the large one is still to come
            (folder / "b.txt").write_bytes(edit)
        return connect(address)

    with (
        closing(HashCache(None)) as roots,
        closing(
            Transfers(folder, edit_and_connect, roots, told.put, holdings=holdings)
        ) as transfers,
    ):
        outcomes(transfers.start(open_source().share(FILES), followed=True))
        transfers.close()
    offered = {"a.txt", "grande.bin"} | (set() if edit else {"b.txt"})
    assert set(holdings.downloads().values()) == offered


def test_one_file_gives_the_transfer_its_name(transfers, open_source):
    transfer = transfers.start(open_source().share({"só.txt": b"x"}), followed=True)
    assert transfer.title == "só.txt"
    outcomes(transfer)


def test_each_has_a_number_and_those_that_ended_are_listed_no_more(transfers, open_source):
    gate = Gate()
    wanted = open_source(gate).share({"grande.bin": LARGE})
    first = transfers.start(wanted, followed=True)
    assert gate.reached.wait(SOON)
    second = transfers.start(wanted, followed=True)  # busy: ends at once
    assert not isinstance(outcomes(second)["grande.bin"], Outcome)
    assert (first.number, second.number) == (1, 2)
    eventually(lambda: transfers.running() == [first])
    gate.open.set()
    assert isinstance(outcomes(first)["grande.bin"], Outcome)
    assert transfers.running() == []
    assert transfers.start(wanted, followed=True).number == 3


def test_one_that_nobody_follows_tells_its_end(transfers, open_source, told):
    one = open_source()
    transfers.start(one.share(FILES), followed=False)
    assert told.get(timeout=SOON) == TransferEnded(1, "3 arquivos", 3, ())
    one.lie = refuses("not-here")
    transfers.start(one.share({"x": LARGE[1:]}), followed=False)
    ended = told.get(timeout=SOON)
    assert (ended.number, ended.title, ended.files) == (2, "x", 1)
    assert [type(error) for error in ended.failures] == [PeerUnreachableError]


def test_one_that_is_followed_tells_nothing(transfers, open_source, told):
    outcomes(transfers.start(open_source().share(FILES), followed=True))
    transfers.close()
    assert told.empty()


def test_what_ended_in_the_background_is_waited_for_once(transfers, open_source, told):
    wanted = open_source().share(FILES)
    outcomes(transfers.start(wanted, followed=True))
    background = transfers.start(wanted, followed=False)
    told.get(timeout=SOON)
    assert transfers.running() == []
    assert transfers.take_background() == [background]
    assert transfers.take_background() == []


def test_progress_tells_of_what_was_kept_also_at_the_end(transfers, open_source, folder):
    folder.mkdir()
    (folder / "grande.bin.parte").write_bytes(LARGE[: 5 * FINEST_PIECE])
    transfer = transfers.start(open_source().share({"grande.bin": LARGE}), followed=True)
    outcomes(transfer)
    assert transfer.progress().kept == 5 * FINEST_PIECE
    assert transfer.progress().came == len(LARGE) - 5 * FINEST_PIECE


def test_progress_says_that_what_was_left_is_looked_at(transfers, open_source, folder, monkeypatch):
    begun, go_on = Event(), Event()

    class Held(Recheck):
        def pieces(self, layer, count, file):
            begun.set()
            assert go_on.wait(SOON)
            yield from super().pieces(layer, count, file)

    monkeypatch.setattr(download, "Recheck", Held)
    folder.mkdir()
    (folder / "grande.bin.parte").write_bytes(LARGE[: 5 * FINEST_PIECE])
    transfer = transfers.start(open_source().share({"grande.bin": LARGE}), followed=True)
    assert begun.wait(SOON)
    assert (transfer.progress().looking, transfer.progress().kept) == (True, 0)
    go_on.set()
    outcomes(transfer)
    assert not transfer.progress().looking


def test_what_was_here_whole_is_not_counted_as_come(transfers, open_source, folder):
    folder.mkdir()
    for name in ("grande.bin", "a.txt"):
        (folder / name).write_bytes(FILES[name])
    transfer = transfers.start(open_source().share(FILES), followed=True)
    outcomes(transfer)
    assert transfer.progress().came == len(FILES["b.txt"])


def test_progress_tells_the_place_in_the_queue_of_the_source(transfers, open_source):
    lie = about_pieces(sources.waits_for_ever)
    transfer = transfers.start(open_source(lie).share({"x": LARGE}), followed=True)
    eventually(lambda: transfer.progress().place == 3)
    transfer.cancel()
    assert isinstance(outcomes(transfer)["x"], InterruptedByUserError)


def test_a_cancelled_one_interrupts_what_runs_and_all_that_would_follow(
    transfers, open_source, folder
):
    gate = Gate()
    files = {f"{number}.bin": b"%d" % number + LARGE for number in range(4)}
    transfer = transfers.start(open_source(gate).share(files), followed=True)
    assert gate.reached.wait(SOON)
    transfer.cancel()
    gate.open.set()
    found = outcomes(transfer)
    assert found.keys() == files.keys()
    assert set(map(type, found.values())) == {InterruptedByUserError}
    assert {path.suffix for path in folder.iterdir()} <= {".parte"}


def test_cancelled_before_it_begins_it_does_nothing(transfers, open_source, monkeypatch):
    one = open_source()
    for _ in range(20):  # from the moment of its start on
        transfer = transfers.start(one.share(FILES), followed=True)
        transfer.cancel()
        for outcome in outcomes(transfer).values():
            assert isinstance(outcome, InterruptedByUserError | Outcome)


def test_closing_cancels_all_and_waits_for_them(transfers, open_source, folder):
    gate = Gate()
    wanted = open_source(gate).share({f"{n}.bin": b"%d" % n + LARGE for n in range(3)})
    running = [transfers.start([one], followed=True) for one in wanted]
    assert gate.reached.wait(SOON)
    transfers.close()
    for transfer in running:
        assert transfer.results.done()
        assert isinstance(*outcomes(transfer).values(), InterruptedByUserError)
    gate.open.set()


def test_an_error_that_nobody_foresaw_reaches_who_waits(transfers, open_source, monkeypatch):
    def fail(folder):
        raise ZeroDivisionError

    monkeypatch.setattr(disk, "free_space", fail)
    transfer = transfers.start(open_source().share({"a": b"a", "b": b"b"}), followed=True)
    with pytest.raises(ZeroDivisionError):
        transfer.results.result(SOON)
