"""A folder of small files: each exact and reported once, whatever befalls others."""

from __future__ import annotations

import errno
import os
import random
from functools import partial
from threading import Event

import pytest
import sources
from listening import SOON
from processes import network
from sources import about_pieces, connect, found_in

from rede_p2p.content import anonymous_file, disk, group_flush, safe_names
from rede_p2p.content.anonymous_file import AnonymousFile
from rede_p2p.content.merkle import Content
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.download import flush_queue
from rede_p2p.download.download import causes
from rede_p2p.download.publisher import SPARE_DISK_BYTES
from rede_p2p.download.request import Outcome
from rede_p2p.download.transfer import Transfer
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    DiskError,
    InterruptedByUserError,
    PeerUnreachableError,
    ProtocolError,
    RedeError,
    UnsafeNameError,
    VerificationError,
)
from rede_p2p.protocol.messages import Take

COUNT = 300
RANDOM = random.Random(11)
SIZES = [0, 1, 16383, 16384, 16385, 65535, 65536, 65537, 200_000]
FILES = {
    f"pasta {number % 7}/arquivo {number}.txt": RANDOM.randbytes(
        SIZES[number] if number < len(SIZES) else RANDOM.randrange(8000)
    )
    for number in range(COUNT)
}
ODD = "pasta 5/arquivo 40.txt"  # the one to which something befalls
FEW = dict(list(FILES.items())[:60])

pytest_plugins = ["downloading"]


class Reported:
    """What came of each file of a transfer that has ended, by name; each is there once."""

    def __init__(self, transfer):
        results = transfer.results.result(SOON)
        assert [wanted.name for wanted, _ in results] == list(transfer.names)
        self.outcomes = {wanted.name: outcome for wanted, outcome in results}

    def failures(self):
        return {n: error for n, error in self.outcomes.items() if isinstance(error, RedeError)}


@pytest.fixture
def run(context):
    """Return how to run a transfer: what it reports."""

    def run_(wanted, dial=connect):
        transfer = Transfer(1, wanted, context(dial))
        transfer.run()
        return Reported(transfer)

    return run_


@pytest.fixture
def small_groups(monkeypatch):
    """Make a few files fill several groups."""
    monkeypatch.setattr(flush_queue, "FILES_PER_FLUSH", 16)


def without(name):
    return {other: data for other, data in FEW.items() if other != name}


def whole_in(folder):
    """Return the files that have their names."""
    return {name: d for name, d in found_in(folder).items() if not name.endswith(".parte")}


def no_connection(address):
    raise AssertionError("nobody had to be asked")


# Exact.


def test_hundreds_of_small_files_arrive_exactly_over_two_connections(honest, run, folder):
    dialled = []

    def dial(address):
        dialled.append(address)
        return connect(address)

    reported = run(honest.share(FILES), dial)
    assert found_in(folder) == FILES
    assert reported.outcomes == {name: Outcome(str(folder / name), already=False) for name in FILES}
    assert dialled == [honest.address] * 2  # the first, for the hashes of the largest


def test_what_is_here_already_is_not_asked_for(honest, run, folder, hash_cache):
    wanted = honest.share(FILES)
    run(wanted)
    reported = run(wanted, no_connection)
    assert reported.outcomes == {name: Outcome(str(folder / name), already=True) for name in FILES}
    assert found_in(folder) == FILES
    assert hash_cache.pending() == 0


def test_what_came_here_from_elsewhere_meanwhile_is_known_as_what_it_is(
    honest, run, folder, hash_cache
):
    def dial(address):
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return connect(address)

    files = {name: data for name, data in FEW.items() if data}
    wanted = honest.share(files)
    run(wanted, dial)
    assert found_in(folder) == files
    for one in wanted:
        path = folder / one.name
        assert hash_cache.known(str(path), disk.file_state(path)) == one.content.root


def test_several_names_of_one_content_all_arrive(honest, run, folder):
    files = dict.fromkeys((f"{number}.txt" for number in range(5)), b"the same")
    run(honest.share(files))
    assert found_in(folder) == files


def test_partial_files_from_before_are_written_anew(honest, run, folder):
    folder.mkdir()
    files = {"a.txt": b"content", "b.txt": b"longer content", "c.txt": b""}
    for name, held in zip(files, (b"much, much longer", b"lon", b"x"), strict=True):
        (folder / f"{name}.parte").write_bytes(held)
    run(honest.share(files))
    assert found_in(folder) == files


def test_files_that_came_later_to_a_folder_are_all_that_is_asked_for(honest, run, folder):
    run(honest.share(FEW))
    honest.asked_pieces()
    run(honest.share(FEW | {"new.txt": b"new", "newer.txt": b"newer"}))
    assert len(honest.asked_pieces()) == 1
    assert found_in(folder) == FEW | {"new.txt": b"new", "newer.txt": b"newer"}


def test_no_files_at_all_is_no_error(run):
    assert run([]).outcomes == {}


# One of them.


def test_one_that_is_gone_does_not_harm_the_others(honest, run, folder):
    wanted = honest.share(FEW)
    honest.paths[ODD].unlink()
    reported = run(wanted)
    assert found_in(folder) == without(ODD)
    ((name, error),) = reported.failures().items()
    assert (name, type(error), error.cause.code) == (ODD, PeerUnreachableError, "not-here")


def test_one_whose_bytes_are_others_comes_as_it_is_and_the_others_come_in_few_pieces(
    honest, run, folder
):
    wanted = honest.share(FEW)
    data = bytearray(FEW[ODD])
    data[len(data) // 2] ^= 1
    honest.edit_unseen(ODD, data)
    assert not run(wanted).failures()
    assert found_in(folder) == FEW | {ODD: data}
    assert len(honest.asked_pieces()) < len(FEW) // 2


def test_the_others_come_however_many_have_other_bytes(honest, run, folder):
    edited = {name: bytes(reversed(data)) for name, data in list(FEW.items())[1::7]}
    wanted = honest.share(FEW)
    for name, data in edited.items():
        honest.edit_unseen(name, data)
    assert not run(wanted).failures()
    assert found_in(folder) == FEW | edited


@pytest.mark.parametrize("unsafe", ["../fora", "/tmp/fora", "a\\b", ".bashrc", "x.parte", "a/../b"])
def test_one_of_an_unsafe_name_does_not_harm_the_others(honest, run, folder, unsafe):
    wanted = honest.share(FEW)
    wanted[7] = wanted[7]._replace(name=unsafe)
    reported = run(wanted)
    ((name, error),) = reported.failures().items()
    assert (name, type(error)) == (unsafe, UnsafeNameError)
    assert len(found_in(folder)) == len(FEW) - 1


def test_one_of_a_name_that_the_disk_cannot_hold_does_not_harm_the_others(
    honest, run, folder, monkeypatch
):
    monkeypatch.setattr(
        safe_names, "check_writable", partial(safe_names.check_writable, windows=True)
    )
    wanted = honest.share(FEW)
    odd = [wanted[7]._replace(name="aula 10:30.txt"), wanted[8]._replace(name="p/con")]
    reported = run([*wanted[:7], *odd, *wanted[9:]])
    failures = {name: (error.kind, error.detail) for name, error in reported.failures().items()}
    assert failures == {
        "aula 10:30.txt": ("name-character", ":"),
        "p/con": ("name-reserved", "con"),
    }
    assert len(found_in(folder)) == len(FEW) - 2


def test_one_whose_name_is_taken_by_other_content_is_numbered(honest, run, folder):
    (folder / ODD).parent.mkdir(parents=True)
    (folder / ODD).write_bytes(b"mine")
    reported = run(honest.share(FEW))
    numbered = "pasta 5/arquivo 40 (1).txt"
    assert found_in(folder) == without(ODD) | {ODD: b"mine", numbered: FEW[ODD]}
    assert reported.outcomes[ODD] == Outcome(str(folder / numbered), already=False)


def test_one_that_another_program_is_writing_does_not_harm_the_others(honest, run, folder):
    with PartialFile(folder / f"{ODD}.parte") as other:
        other.write_whole(b"half")
        reported = run(honest.share(FEW))
        assert found_in(folder) == without(ODD) | {f"{ODD}.parte": b"half"}
    ((name, error),) = reported.failures().items()
    assert (name, type(error), error.kind) == (ODD, DiskError, "busy")


def test_one_folder_that_is_a_link_does_not_harm_the_others(honest, run, folder, tmp_path):
    (tmp_path / "outside").mkdir()
    folder.mkdir()
    (folder / "pasta 5").symlink_to(tmp_path / "outside")
    reported = run(honest.share(FEW))
    inside = {name for name in FEW if name.startswith("pasta 5/")}
    assert reported.failures().keys() == inside
    assert {error.kind for error in reported.failures().values()} == {"link-folder"}
    assert not list((tmp_path / "outside").iterdir())
    assert found_in(folder).keys() == FEW.keys() - inside


def test_one_folder_that_cannot_be_made_does_not_harm_the_others(honest, run, folder):
    folder.mkdir()
    (folder / "pasta 5").write_bytes(b"mine")
    reported = run(honest.share(FEW))
    kept = {name: data for name, data in FEW.items() if not name.startswith("pasta 5/")}
    assert found_in(folder) == kept | {"pasta 5": b"mine"}
    assert {error.kind for error in reported.failures().values()} == {"not-folder"}
    assert len(reported.failures()) == len(FEW) - len(kept)


# Sources that lie or die.


def after(number, act):
    """Lie from the n-th request for pieces on."""
    seen = []

    def lie(source, connection, request):
        if isinstance(request, Take):
            seen.append(request)
            if len(seen) >= number:
                return act(source, connection, request)
        return False

    return lie


DEATHS = {
    "hangs up": (sources.hangs_up_at_once, ConnectionLostError),
    "hangs up in a file": (about_pieces(sources.sends(0.5)), ConnectionLostError),
    "answers noise": (about_pieces(sources.sends_noise), ProtocolError),
    "announces more": (about_pieces(sources.announces(1)), ProtocolError),
    "announces less": (about_pieces(sources.announces(-1)), ProtocolError),
    "says more than it announced": (about_pieces(sources.sends_more), ProtocolError),
}


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize(("death", "cause"), DEATHS.values(), ids=DEATHS)
@pytest.mark.parametrize("number", [1, 4])
def test_when_the_source_dies_what_arrived_is_kept_and_the_rest_is_reported(
    opened, honest, run, folder, death, cause, number
):
    wanted = opened(after(number, death)).share(FEW)
    reported = run(wanted)
    kept = whole_in(folder)
    assert kept == {name: FEW[name] for name in kept}
    failures = reported.failures()
    assert kept.keys() == FEW.keys() - failures.keys()
    assert number == 1 or any(kept.values())
    for error in failures.values():
        unreachable, innermost = causes(error)[-2:]
        assert (type(innermost), unreachable.address) == (cause, wanted[0].sources[0])
    # The same again, with one that lives.
    reported = run(honest.share(FEW))
    assert found_in(folder) == FEW
    assert {name for name, outcome in reported.outcomes.items() if outcome.already} == kept.keys()


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize(("death", "cause"), DEATHS.values(), ids=DEATHS)
def test_when_the_source_dies_half_way_another_one_finishes(
    opened, honest, run, folder, death, cause
):
    bad, good = opened(after(3, death)).share(FEW), honest.share(FEW)
    both = [
        one._replace(sources=(*one.sources, *other.sources))
        for one, other in zip(bad, good, strict=True)
    ]
    reported = run(both)
    assert not reported.failures()
    assert found_in(folder) == FEW


def test_a_source_that_lies_about_every_file_is_passed_over(opened, honest, run, folder):
    files = {name: data for name, data in FEW.items() if data}
    bad = opened(about_pieces(sources.sends_zeros)).share(files)
    reported = run(bad)
    assert {type(error) for error in reported.failures().values()} == {VerificationError}
    assert len(reported.failures()) == len(files)
    assert not found_in(folder)
    both = [one._replace(sources=(*one.sources, honest.address)) for one in bad]
    honest.share(files)
    assert not run(both).failures()
    assert found_in(folder) == files


def test_a_source_that_is_not_there_is_reported_for_each_file(honest, run, folder, host):
    gone = Address(host, 9)
    wanted = [one._replace(sources=(gone,)) for one in honest.share(FEW)]
    failures = run(wanted).failures()
    assert failures.keys() == {name for name, data in FEW.items() if data}
    assert {(error.address, error.cause.reason) for error in failures.values()} == {
        (gone, "refused")
    }


def test_a_source_that_does_not_answer_is_not_dialled_for_each_file(honest, run):
    dialled = []

    def dial(address):
        dialled.append(address)
        raise PeerUnreachableError(address, ConnectionLostError("silent"))

    failures = run(honest.share(FEW), dial).failures()
    assert {error.cause.reason for error in failures.values()} == {"silent"}
    assert len(dialled) < 10


# Cancelling.


def test_cancelled_before_it_runs_it_fetches_nothing(honest, context):
    one = Transfer(1, honest.share(FEW), context())
    one.cancel()
    one.run()
    assert set(map(type, Reported(one).outcomes.values())) == {InterruptedByUserError}
    assert not honest.asked_pieces()


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("number", [1, 2, 5, 8])
def test_cancelled_at_any_moment_what_arrived_is_kept_and_each_file_is_reported_once(
    opened, honest, run, folder, context, number
):
    def act(source, connection, request):
        one.cancel()
        return False

    one = Transfer(1, opened(after(number, act)).share(FEW), context())
    one.run()
    reported, kept = Reported(one), whole_in(folder)
    assert kept == {name: FEW[name] for name in kept}
    assert kept.keys() == FEW.keys() - reported.failures().keys()
    assert set(map(type, reported.failures().values())) <= {InterruptedByUserError}
    run(honest.share(FEW))
    assert found_in(folder) == FEW


def test_cancelled_while_it_dials_it_asks_for_nothing(honest, context):
    def dial(address):
        one.cancel()
        return connect(address)

    one = Transfer(1, honest.share(FEW), context(dial))
    one.run()
    failures = Reported(one).failures()
    assert failures.keys() == {name for name, data in FEW.items() if data}
    assert set(map(type, failures.values())) == {InterruptedByUserError}
    assert not honest.asked_pieces()


def test_cancelled_while_the_source_is_silent_it_ends(opened, context, pool):
    reached = Event()

    def act(source, connection, request):
        reached.set()
        return True

    one = Transfer(1, opened(after(4, act)).share(FEW), context())
    running = pool.submit(one.run)
    assert reached.wait(SOON)
    one.cancel()
    running.result(SOON)
    assert set(map(type, Reported(one).failures().values())) == {InterruptedByUserError}


# The disk.


def test_what_the_disk_has_no_room_for_is_not_fetched(honest, run, folder, monkeypatch):
    monkeypatch.setattr(disk, "free_space", lambda _: SPARE_DISK_BYTES + 100)
    failures = run(honest.share(FEW)).failures()
    fits = {name: data for name, data in FEW.items() if len(data) <= 100}
    assert found_in(folder) == fits
    assert failures.keys() == FEW.keys() - fits.keys()
    assert {error.kind for error in failures.values()} == {"full"}
    assert len(honest.asked_pieces()) <= len(fits)


def test_files_that_the_disk_has_no_room_for_are_reported_and_leave_nothing(honest, run, folder):
    resource = pytest.importorskip("resource")
    wanted = honest.share(FEW)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        failures = run(wanted).failures()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {(type(error), error.kind) for error in failures.values()} == {(DiskError, "large")}
    fits = {name: data for name, data in FEW.items() if len(data) <= 50_000}
    assert found_in(folder) == fits
    run(wanted)
    assert found_in(folder) == FEW


@pytest.mark.usefixtures("small_groups")
def test_a_flush_that_fails_is_reported_for_its_group_and_nothing_gets_its_name(
    honest, run, folder, monkeypatch
):
    def fail(file):
        raise DiskError(str(folder), "full")

    with monkeypatch.context() as patched:
        patched.setattr(group_flush, "flush", lambda _: False)
        patched.setattr(AnonymousFile, "flush", fail)
        patched.setattr(PartialFile, "flush", fail)
        reported = run(honest.share(FEW))
    assert len(reported.failures()) == len(FEW)
    assert not whole_in(folder)
    run(honest.share(FEW))
    assert found_in(folder) == FEW


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("together", [True, False])
def test_each_file_is_flushed_before_it_has_its_name_and_the_whole_machine_never(
    honest, run, folder, monkeypatch, together
):
    flushed, unflushed = set(), []
    fsync = os.fsync

    def note_all(files):
        flushed.update(os.fstat(descriptor).st_ino for descriptor, _device in files)
        return True

    def note(descriptor):
        flushed.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def look(publish, file, *words):
        unflushed.extend({os.fstat(file.fileno()).st_ino} - flushed)
        return publish(file, *words)

    def never():
        raise AssertionError("other programs' bytes are not ours to wait for")

    monkeypatch.setattr(group_flush, "is_worth_it", lambda _: together)
    monkeypatch.setattr(group_flush, "flush", note_all)
    monkeypatch.setattr(os, "fsync", note)
    monkeypatch.setattr(os, "sync", never, raising=False)
    for kind in (AnonymousFile, PartialFile):
        publish = kind.publish
        look_first = lambda file, *words, publish=publish: look(publish, file, *words)  # noqa: E731
        monkeypatch.setattr(kind, "publish", look_first)
    run(honest.share(FEW))
    assert len(flushed) >= len(FEW)
    assert not unflushed
    assert found_in(folder) == FEW


def test_a_partial_file_of_an_earlier_get_is_taken_over(honest, run, folder):
    with PartialFile(folder / f"{ODD}.parte") as other:
        other.write_whole(b"half")
    run(honest.share(FEW))
    assert found_in(folder) == FEW


@pytest.mark.usefixtures("small_groups")
def test_a_system_without_unnamed_files_fetches_them_all_the_same(honest, run, folder, monkeypatch):
    monkeypatch.setattr(anonymous_file, "_KNOWN", False)
    run(honest.share(FEW))
    assert found_in(folder) == FEW


@pytest.mark.usefixtures("small_groups")
def test_a_disk_without_hard_links_gets_them_all(honest, run, folder, monkeypatch):
    def refuse(*words, **options):
        raise PermissionError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    folder.mkdir()
    (folder / "pasta 5").mkdir()
    (folder / ODD).write_bytes(b"mine")
    assert not run(honest.share(FEW)).failures()
    assert found_in(folder) == FEW | {ODD: b"mine", "pasta 5/arquivo 40 (1).txt": FEW[ODD]}


@pytest.mark.slow
@pytest.mark.parametrize("limit", ["-Sn", "-n"])  # as macOS does, and with no more to be had
def test_a_system_that_grants_few_descriptors_is_enough(tmp_path, limit):
    few = ["sh", "-c", f'ulimit {limit} 256 && exec "$@"', "sh"]
    files = {f"{number}.txt": b"%d" % number for number in range(2000)}
    with network(tmp_path, few) as net:
        net.tracker()
        net.peer("--servir", files=files)
        result = net.run(f"get {net.ip} '*'")
        assert result.status == 0, result
        assert found_in(net.downloads) == files


def test_a_file_of_which_nobody_knows_the_size_truly_is_reported(opened, run, folder):
    wanted = opened().share({"a": b"12345", "b": b"67890"})
    false = wanted[0]._replace(content=Content(wanted[0].content.root, 4))
    reported = run([false, wanted[1]])
    assert isinstance(reported.outcomes["a"], PeerUnreachableError)
    assert not (folder / "a").exists()
