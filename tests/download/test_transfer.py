"""One ``get``: what comes of each of its files."""

from __future__ import annotations

import mmap
import os
import random
from contextlib import closing, contextmanager
from threading import Event

import pytest
import sources
from listening import SOON
from processes import eventually
from sources import (
    LONG_AGO,
    Gate,
    Source,
    about_pieces,
    connect,
    content_of,
    found_in,
    outcomes,
    refuses,
    send_pieces,
)

from rede_p2p.content import disk
from rede_p2p.content.merkle import MIN_PIECE_BYTES
from rede_p2p.content.recheck import Recheck
from rede_p2p.download import download, resolve
from rede_p2p.download.download import Download
from rede_p2p.download.request import Outcome
from rede_p2p.download.source_finder import MAX_LOSSES
from rede_p2p.download.transfer import MAX_IN_VAIN, Transfer
from rede_p2p.download.transfers import Transfers
from rede_p2p.errors import (
    ConnectionLostError,
    InterruptedByUserError,
    PeerUnreachableError,
    VerificationError,
)
from rede_p2p.events import Progress
from rede_p2p.protocol.codec import Refusal
from rede_p2p.protocol.messages import Bundle, Pieces, Stat, Want
from rede_p2p.upload.seed_store import SeedStore

LARGE = random.Random(2).randbytes(2 * 1024 * 1024)
FILES = {"a.txt": b"a", "grande.bin": LARGE, "b.txt": b"b" * 1000}


pytest_plugins = ["downloading"]


def test_small_files_and_large_ones_all_arrive(transfers, opened, folder):
    transfer = transfers.start(opened().share(FILES), followed=True)
    assert transfer.names == tuple(FILES)
    assert outcomes(transfer) == {
        name: Outcome(str(folder / name), already=False) for name in FILES
    }
    assert found_in(folder) == FILES
    size = sum(map(len, FILES.values()))
    assert transfer.progress() == Progress(size, size, 0, 3, 3, 0, 0)


@pytest.mark.parametrize("edit", [None, b"mudou", b"B" * 1000])
def test_what_its_owner_edits_before_the_end_is_not_offered_as_what_it_was(
    opened, folder, context, posted, edit
):
    class Edited(SeedStore):
        def keep(self, files, *, announce=True):
            super().keep(files, announce=announce)
            if edit and (folder / "b.txt").exists():  # before the transfer ends
                (folder / "b.txt").write_bytes(edit)

    seeds = Edited()
    with closing(Transfers(context(seeds=seeds), posted.put)) as transfers:
        outcomes(transfers.start(opened().share(FILES), followed=True))
        transfers.close()
    offered = {"a.txt", "grande.bin"} | (set() if edit else {"b.txt"})
    assert set(seeds.offered().values()) == offered


@pytest.mark.parametrize("is_named", [True, False])
def test_what_came_from_peers_that_nobody_named_is_told_apart(context, opened, is_named):
    named, other = opened(), opened()
    wanted = named.share(FILES)
    other.share(FILES)
    named.lie = refuses("not-here")
    both = [request._replace(sources=(named.address, other.address)) for request in wanted]
    transfer = Transfer(1, both, context(), (), frozenset({named.address} if is_named else ()))
    transfer.run()
    brought = {other.address: sum(map(len, FILES.values()))}
    assert transfer.summary().brought == brought
    assert transfer.summary().from_others == (brought if is_named else {})


def test_progress_tells_of_what_was_kept_also_at_the_end(transfers, opened, folder):
    folder.mkdir()
    (folder / "grande.bin.parte").write_bytes(LARGE[: 5 * MIN_PIECE_BYTES])
    transfer = transfers.start(opened().share({"grande.bin": LARGE}), followed=True)
    outcomes(transfer)
    assert transfer.progress().kept == 5 * MIN_PIECE_BYTES
    assert transfer.progress().came == len(LARGE) - 5 * MIN_PIECE_BYTES


def test_progress_says_that_what_was_left_is_rechecked(transfers, opened, folder, monkeypatch):
    begun, go_on = Event(), Event()

    class Held(Recheck):
        def pieces(self, layer, count, file):
            begun.set()
            assert go_on.wait(SOON)
            yield from super().pieces(layer, count, file)

    monkeypatch.setattr(download, "Recheck", Held)
    folder.mkdir()
    (folder / "grande.bin.parte").write_bytes(LARGE[: 5 * MIN_PIECE_BYTES])
    transfer = transfers.start(opened().share({"grande.bin": LARGE}), followed=True)
    assert begun.wait(SOON)
    assert (transfer.progress().rechecking, transfer.progress().kept) == (True, 0)
    go_on.set()
    outcomes(transfer)
    assert not transfer.progress().rechecking


def test_what_was_here_whole_is_not_counted_as_come(transfers, opened, folder):
    folder.mkdir()
    for name in ("grande.bin", "a.txt"):
        (folder / name).write_bytes(FILES[name])
    transfer = transfers.start(opened().share(FILES), followed=True)
    outcomes(transfer)
    assert transfer.progress().came == len(FILES["b.txt"])


def test_progress_tells_the_place_in_the_queue_of_the_source(transfers, opened):
    lie = about_pieces(sources.waits_for_ever)
    transfer = transfers.start(opened(lie).share({"x": LARGE}), followed=True)
    eventually(lambda: transfer.progress().place == 3)
    transfer.cancel()
    assert isinstance(outcomes(transfer)["x"], InterruptedByUserError)


def test_a_cancelled_one_interrupts_what_runs_and_all_that_would_follow(transfers, opened, folder):
    gate = Gate()
    files = {f"{number}.bin": b"%d" % number + LARGE for number in range(4)}
    transfer = transfers.start(opened(gate).share(files), followed=True)
    assert gate.reached.wait(SOON)
    transfer.cancel()
    gate.open.set()
    found = outcomes(transfer)
    assert found.keys() == files.keys()
    assert set(map(type, found.values())) == {InterruptedByUserError}
    assert {path.suffix for path in folder.glob("*")} <= {".parte"}


def test_cancelled_before_it_begins_it_does_nothing(transfers, opened):
    one = opened()
    for _ in range(20):  # from the moment of its start on
        transfer = transfers.start(one.share(FILES), followed=True)
        transfer.cancel()
        for outcome in outcomes(transfer).values():
            assert isinstance(outcome, InterruptedByUserError | Outcome)


@pytest.fixture
def tried(monkeypatch):
    """Return the names of the files that are fetched by themselves."""
    names = []

    class Noted(Download):
        def __init__(self, request, given):
            names.append(request.name)
            super().__init__(request, given)

    monkeypatch.setattr("rede_p2p.download.transfer.Download", Noted)
    return names


def many(opened, count, lie):
    return opened(lie).share({f"{n:03}.bin": b"%d" % n for n in range(count)})


def test_once_cancelled_none_of_the_rest_is_tried(opened, context, tried):
    def refuse(source, connection, request):
        if isinstance(request, Stat) and tried:
            transfer.cancel()
        return refuses("not-here")(source, connection, request)

    transfer = Transfer(1, many(opened, 60, refuse), context())
    transfer.run()
    errors = [error for _, error in transfer.results.result()]
    assert len(tried) <= 2 and len(errors) == 60
    assert all(isinstance(error, InterruptedByUserError) for error in errors[2:])


def test_of_a_source_that_is_gone_no_more_files_are_tried_in_vain(opened, context, tried):
    def dial(address):
        try:
            raise ConnectionRefusedError
        except OSError as error:
            raise PeerUnreachableError(address, ConnectionLostError("refused")) from error

    transfer = Transfer(1, many(opened, 200, None), context(dial))
    transfer.run()
    assert len(tried) <= MAX_IN_VAIN + MAX_LOSSES
    for _, error in transfer.results.result():
        assert isinstance(error, PeerUnreachableError) and error.cause.reason == "refused"
        assert error.__traceback__ is error.__cause__ is error.__context__ is None  # in memory


def test_an_error_that_nobody_foresaw_reaches_who_waits(transfers, opened, monkeypatch):
    def fail(folder):
        raise ZeroDivisionError

    monkeypatch.setattr(disk, "free_space", fail)
    transfer = transfers.start(opened().share({"a": b"a", "b": b"b"}), followed=True)
    with pytest.raises(ZeroDivisionError):
        transfer.results.result(SOON)


# What is another content at its source by now.


@contextmanager
def mapped(path):
    """Map a file into memory, and have it written through the map before it is hashed."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        view[0] = view[0]
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
        yield view


def asked(source, name):
    return resolve.find(name, [source.address], connect, lambda _: None)


@pytest.mark.parametrize("data", [b"before it was edited", LARGE], ids=["small", "large"])
def test_what_was_written_through_a_map_is_fetched_as_it_is_now(transfers, opened, folder, data):
    one = opened()
    one.share_unhashed("a.bin", data)
    path = one.paths["a.bin"]
    with mapped(path) as view:
        wanted = asked(one, "a.bin")
        before = disk.file_state(path)
        view[-1] ^= 1
        if disk.file_state(path) != before:
            pytest.skip("this file system tells of every write through a map")
        edited = bytes(view)
        result = outcomes(transfers.start([wanted], followed=True))
    assert result == {"a.bin": Outcome(str(folder / "a.bin"), already=False)}
    assert found_in(folder) == {"a.bin": edited}
    assert asked(one, "a.bin").content == content_of(edited)


def set_back(one, name, data):
    one.paths[name].write_bytes(data)
    os.utime(one.paths[name], ns=(LONG_AGO, LONG_AGO))


@pytest.mark.parametrize("edit", [Source.edit_unseen, set_back], ids=["unseen", "time set back"])
@pytest.mark.parametrize("names", [FILES, ["a.txt"], ["grande.bin"]], ids=["all", "small", "large"])
def test_what_was_edited_after_it_was_asked_for_is_fetched_as_it_is_now(
    transfers, opened, folder, edit, names
):
    one = opened()
    wanted = [request for request in one.share(FILES) if request.name in names]
    edited = {name: bytes(len(FILES[name])) for name in names}
    for name in names:
        edit(one, name, edited[name])
    transfer = transfers.start(wanted, followed=True)
    assert outcomes(transfer) == {
        name: Outcome(str(folder / name), already=False) for name in names
    }
    assert found_in(folder) == edited
    assert transfer.progress().have == transfer.progress().size == sum(map(len, edited.values()))


def test_what_is_longer_now_is_fetched_whole(transfers, opened, folder):
    one = opened()
    wanted = one.share({"a.txt": b"before"})
    set_back(one, "a.txt", b"it has grown")
    transfer = transfers.start(wanted, followed=True)
    outcomes(transfer)
    assert found_in(folder) == {"a.txt": b"it has grown"}
    assert transfer.progress().size == 12


def test_a_source_that_only_lies_is_asked_for_news_and_then_given_up(transfers, opened, folder):
    lie = about_pieces(lambda connection, body: send_pieces(connection, bytes(len(body))))
    (error,) = outcomes(transfers.start(opened(lie).share({"x": LARGE}), followed=True)).values()
    assert isinstance(error, VerificationError)
    assert found_in(folder) == {}


def test_one_small_file_that_ends_the_connection_does_not_end_the_others(transfers, opened, folder):
    files = {str(number): bytes([number]) * 100 for number in range(50)}

    def hang_up_on_one(source, connection, request):  # an older peer, which knows no bundles
        if isinstance(request, Bundle):
            connection.reply(Refusal("unknown-verb"))
            return True
        if isinstance(request, Pieces) and request.root == content_of(files["7"]).root:
            connection.send(b"")
            connection.hang_up()
            return True
        return isinstance(request, Want) and hang_up_on_one(
            source, connection, Pieces(request.root, 0, 1)
        )

    wanted = opened(hang_up_on_one).share(files)
    result = outcomes(transfers.start(wanted, followed=True))
    assert [name for name, one in result.items() if not isinstance(one, Outcome)] == ["7"]
    assert found_in(folder).keys() == files.keys() - {"7"}


def test_a_folder_too_large_for_one_bundle_comes_as_several(transfers, opened, folder, monkeypatch):
    monkeypatch.setattr("rede_p2p.download.transfer.MAX_BUNDLE_CONTENT_BYTES", 250)
    sizes = {"a": 100, "b": 100, "c": 300, "d": 50, "e": 200, "f": 1}
    files = {name: name.encode() * size for name, size in sizes.items()}
    source = opened()
    outcomes(transfers.start(source.share(files), followed=True))
    assert found_in(folder) == files
    assert [one.count for one in source.asked if isinstance(one, Bundle)] == [2, 2]


def test_a_file_under_another_name_is_renewed_by_the_name_that_its_source_shares(
    transfers, opened, folder
):
    one = opened()
    (wanted, _) = one.share({"relatorio.txt": b"before", "a.txt": b"something else"})
    set_back(one, "relatorio.txt", b"after!")
    renamed = wanted._replace(name="a.txt", shared_as=wanted.name)
    outcomes(transfers.start([renamed], followed=True))
    assert found_in(folder) == {"a.txt": b"after!"}


@pytest.fixture
def lying(opened, waits_for_ever):
    """Return a source that lies, and says wait to what is asked after it; and those names."""
    asked = []

    def lie(source, connection, request):
        if isinstance(request, Stat):
            asked.append(request.name)
        if waits_for_ever(source, connection, request):
            return True
        return about_pieces(sources.sends_zeros)(source, connection, request)

    return opened(lie), asked


HASTE = {"reply_s": 0.2, "max_quiet_wait_s": 0.2}


def test_a_source_that_lied_cannot_hold_a_get_by_saying_wait_to_what_is_asked_after_it(
    lying, context, pool
):
    liar, asked = lying
    two = liar.share({"a.bin": LARGE, "b.bin": LARGE[:-1]})
    transfer = Transfer(1, two, context(**HASTE))
    running = pool.submit(transfer.run)
    try:
        running.result(SOON)
    finally:
        transfer.cancel()
    for _, outcome in transfer.results.result():
        assert isinstance(outcome, VerificationError)
    assert len(asked) == 1  # of two files that were wrong


def test_a_source_that_said_wait_does_not_keep_the_files_of_another_from_being_renewed(
    lying, opened, context, pool, folder
):
    liar, asked = lying
    honest = opened()
    files = {"a.bin": LARGE, "b.bin": LARGE[:-1], "c.bin": LARGE[:-2]}
    of_honest = {wanted.name: wanted for wanted in honest.share(files)}
    of_both = [
        wanted._replace(sources=(liar.address, *of_honest[wanted.name].sources))
        for wanted in liar.share(files)
    ]
    alone = liar.share({"0.bin": LARGE[:-3]})
    for name in files:
        set_back(honest, name, bytes(len(files[name])))
    transfer = Transfer(1, [*alone, *of_both], context(**HASTE))
    pool.submit(transfer.run)
    try:
        failed = [n for n, one in outcomes(transfer).items() if not isinstance(one, Outcome)]
    finally:
        transfer.cancel()
    assert failed == ["0.bin"]
    assert found_in(folder) == {name: bytes(len(files[name])) for name in files}
    assert asked == ["0.bin"]


def test_a_source_that_was_slow_once_beside_another_is_asked_about_its_other_files(
    opened, context, pool, folder, waits_for_ever
):
    asked = []

    def slow_once(source, connection, request):
        if isinstance(request, Stat):
            asked.append(request.name)
        return len(asked) == 1 and waits_for_ever(source, connection, request)

    fast, slow = opened(), opened(slow_once)
    files = {"a.bin": LARGE, "b.bin": LARGE[:-1]}
    (from_fast,), from_slow = fast.share({"a.bin": LARGE}), slow.share(files)
    of_both = from_fast._replace(sources=(*from_fast.sources, slow.address))
    set_back(fast, "a.bin", bytes(len(LARGE)))
    for name, data in files.items():
        set_back(slow, name, bytes(len(data)))
    transfer = Transfer(1, [of_both, from_slow[1]], context(reply_s=0.2))
    pool.submit(transfer.run)
    try:
        outcomes(transfer)
    finally:
        transfer.cancel()
    assert asked == ["a.bin", "b.bin"]
    assert found_in(folder) == {name: bytes(len(data)) for name, data in files.items()}
