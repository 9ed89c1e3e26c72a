"""The partial file: written by one program at a time, published over nothing."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from contextlib import suppress
from io import FileIO
from pathlib import Path
from threading import Barrier, Event, Semaphore, Thread, Timer
from types import SimpleNamespace

import pytest
from conftest import ROOT
from disks import scribble
from processes import RUNNER

from rede_p2p.content import inside, on_windows, partial_file
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.safe_names import finals, path_of
from rede_p2p.errors import DiskError


def never(path):
    return False


def refuse(*words, **options):
    raise PermissionError(errno.EPERM, "no hard links here")


@pytest.fixture(params=["link", "no links", "no links, no renameat2"])
def links(request, monkeypatch):
    """Run a test with hard links, and as on file systems that have none."""
    if request.param != "link":
        monkeypatch.setattr(os, "link", refuse)
    if "renameat2" in request.param:
        monkeypatch.setattr(ctypes, "CDLL", lambda *words, **options: object())


def begun(path, data=b"whole", top=None):
    """Open a partial file with something in it."""
    opened = PartialFile(path, top)
    with opened.writer() as writer:
        writer.write(0, memoryview(data))
    return opened


def test_it_grows_beside_its_final_name_in_a_folder_made_for_it(tmp_path):
    final = tmp_path / "new" / "folder" / "a.txt"
    with PartialFile(path_of(final)) as opened:
        assert opened.path == tmp_path / "new" / "folder" / "a.txt.parte"
        assert opened.path.exists()
        assert opened.size() == opened.allocated() == 0
    assert os.listdir(final.parent) == ["a.txt.parte"]  # noqa: PTH208


def test_what_it_held_is_kept_when_it_is_opened_again(tmp_path):
    path = tmp_path / "a.parte"
    with begun(path, b"before"):
        pass
    with PartialFile(path) as opened:
        assert opened.size() == 6
        assert opened.path.read_bytes() == b"before"


def test_two_that_make_its_folder_at_once_both_open_theirs(tmp_path):
    for number in range(20):
        start, found = Barrier(2), []

        def begin(name, folder=tmp_path / str(number) / "in", start=start, found=found):
            start.wait()
            with begun(folder / name) as opened:
                found.append(opened.path.name)

        threads = [Thread(target=begin, args=(name,)) for name in ("a.parte", "b.parte")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(found) == ["a.parte", "b.parte"]


def test_its_holes_take_no_space(tmp_path):
    with begun(tmp_path / "a.parte") as opened:
        os.truncate(opened.path, 2**40)
        assert opened.size() == 2**40
        assert opened.allocated() < 2**30


def test_it_is_cut_and_never_lengthened(tmp_path):
    with begun(tmp_path / "a.parte", b"too long") as opened:
        opened.cut(3)
        opened.cut(100)
        assert opened.path.read_bytes() == b"too"


def test_another_one_takes_its_place_and_stays_locked(tmp_path):
    path, other = tmp_path / "a.parte", tmp_path / "b.parte"
    other.write_bytes(b"found")
    with PartialFile(path) as opened, opened.replaced_by(other) as found:
        assert found.path == path
        assert not other.exists()
        assert path.read_bytes() == b"found"
        with pytest.raises(DiskError, match="busy"):
            PartialFile(path)
        assert found.publish(finals(tmp_path / "a"), never) == tmp_path / "a"
    assert os.listdir(tmp_path) == ["a"]  # noqa: PTH208


def test_one_that_is_being_written_takes_no_other_place(tmp_path):
    with begun(tmp_path / "b.parte") as other, PartialFile(tmp_path / "a.parte") as opened:
        assert opened.replaced_by(other.path) is opened
        assert other.path.read_bytes() == b"whole"
        with pytest.raises(DiskError, match="busy"):
            PartialFile(tmp_path / "a.parte")


def test_a_name_that_another_program_takes_at_the_last_moment_is_left_as_it_is(
    tmp_path, monkeypatch, links
):
    final, lexists = tmp_path / "a.txt", os.path.lexists

    def taken_after_the_look(path):
        found = lexists(path)
        final.write_bytes(b"mine")
        return found

    monkeypatch.setattr(os.path, "lexists", taken_after_the_look)
    with begun(path_of(final)) as opened:
        taken_after_the_look(final)
        given = opened.publish(finals(final), never)
    assert (given.name, given.read_bytes(), final.read_bytes()) == ("a (1).txt", b"whole", b"mine")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.ENOENT])
def test_where_a_link_fails_for_another_reason_no_rename_is_tried(tmp_path, monkeypatch, number):
    def fail(*words, **options):
        raise OSError(number, "no")

    monkeypatch.setattr(os, "link", fail)
    monkeypatch.setattr(inside, "_rename_to_free", refuse)
    final = tmp_path / "a.txt"
    with begun(path_of(final)) as opened, pytest.raises(DiskError) as caught:
        opened.publish(finals(final), never)
    assert caught.value.__cause__.errno == number
    assert os.listdir(tmp_path) == ["a.txt.parte"]  # noqa: PTH208


def test_a_rename_that_fails_leaves_no_empty_file(tmp_path, monkeypatch):
    final = tmp_path / "a.txt"

    def fail(*words, **options):
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(ctypes, "CDLL", lambda *words, **options: object())
    monkeypatch.setattr(os, "rename", fail)
    with begun(path_of(final)) as opened, pytest.raises(DiskError):
        opened.publish(finals(final), never)
    assert os.listdir(tmp_path) == ["a.txt.parte"]  # noqa: PTH208


# Publishing.


def test_it_gets_its_final_name_with_all_its_bytes(tmp_path, links):
    final = tmp_path / "a.txt"
    with begun(path_of(final)) as opened:
        opened.flush_behind()
        opened.flush()
        assert opened.publish(finals(final), never) == final
    assert os.listdir(tmp_path) == ["a.txt"]  # noqa: PTH208
    assert final.read_bytes() == b"whole"
    assert final.stat().st_nlink == 1


def taken_by_a_file(path):
    path.write_bytes(b"mine")
    return lambda: path.read_bytes() == b"mine"


def taken_by_a_link(path):
    (path.parent / "target").write_bytes(b"mine")
    path.symlink_to("target")
    return lambda: path.is_symlink() and (path.parent / "target").read_bytes() == b"mine"


def taken_by_a_dangling_link(path):
    path.symlink_to("gone")
    return lambda: path.is_symlink() and not (path.parent / "gone").exists()


def taken_by_a_folder(path):
    path.mkdir()
    return path.is_dir


def taken_by_a_pipe(path):
    os.mkfifo(path)
    return path.is_fifo


TAKERS = [
    taken_by_a_file,
    taken_by_a_link,
    taken_by_a_dangling_link,
    taken_by_a_folder,
    taken_by_a_pipe,
]


@pytest.mark.parametrize("take", TAKERS, ids=lambda take: take.__name__)
def test_a_taken_name_is_left_as_it_is(tmp_path, links, take):
    final, second = tmp_path / "a.txt", tmp_path / "a (1).txt"
    is_untouched = take(final)
    with begun(path_of(final)) as opened:
        assert opened.publish(finals(final), never) == second
        assert not opened.path.exists()
    assert is_untouched()
    assert second.read_bytes() == b"whole"


def test_a_name_taken_by_the_same_content_is_as_good(tmp_path, links):
    final = tmp_path / "a.txt"
    final.write_bytes(b"whole")
    before = final.stat()
    with begun(path_of(final)) as opened:
        assert opened.publish(finals(final), lambda path: path == final) == final
    assert os.listdir(tmp_path) == ["a.txt"]  # noqa: PTH208
    assert final.stat() == before


def test_when_every_name_is_taken_the_bytes_stay_and_it_is_said(tmp_path):
    final = tmp_path / "a.txt"
    final.write_bytes(b"mine")
    with begun(path_of(final)) as opened, pytest.raises(DiskError, match="name"):
        opened.publish(iter([final]), never)
    assert path_of(final).read_bytes() == b"whole"


def test_a_folder_that_vanished_is_said_and_the_bytes_stay(tmp_path):
    opened = begun(tmp_path / "p" / "a.parte", top=str(tmp_path))
    with opened, pytest.raises(DiskError, match=r"missing|replaced"):
        (tmp_path / "p").rename(tmp_path / "moved")
        opened.publish(finals(tmp_path / "p" / "a"), never)
    assert (tmp_path / "moved" / "a.parte").read_bytes() == b"whole"


def test_two_that_publish_under_one_name_at_once_both_keep_their_bytes(tmp_path):
    start, found = Barrier(2), []

    def publish(number):
        with begun(tmp_path / f"{number}.parte", b"%d" % number) as opened:
            start.wait()
            found.append((opened.publish(finals(tmp_path / "a"), never), b"%d" % number))

    threads = [Thread(target=publish, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path, _ in found) == ["a", "a (1)"]
    assert all(path.read_bytes() == data for path, data in found)


def test_a_discarded_one_is_gone(tmp_path):
    with begun(tmp_path / "a.parte") as opened:
        opened.discard()
        opened.discard()
    assert not os.listdir(tmp_path)  # noqa: PTH208


@pytest.mark.parametrize("act", ["open", "publish", "discard", "replaced_by"])
def test_in_a_folder_that_is_swapped_for_a_link_at_that_moment_all_stays_inside(
    tmp_path, monkeypatch, links, act
):
    if not inside._KNOWN:
        pytest.skip("where no folder is held, it is only looked for links")
    top, outside = tmp_path / "top", tmp_path / "outside"
    final, mine = top / "p" / "a", {"a.parte": b"mine", "b.parte": b"mine"}
    outside.mkdir()
    for name, data in mine.items():
        (outside / name).write_bytes(data)
    opened = PartialFile(path_of(final), str(top))
    (top / "p" / "b.parte").write_bytes(b"other")
    opened.write_whole(b"whole")
    way, acts = inside.Place.way, {
        "open": lambda: PartialFile(top / "p" / "c.parte", str(top)).close(),
        "publish": lambda: opened.publish(finals(final), never),
        "discard": opened.discard,
        "replaced_by": lambda: opened.replaced_by(top / "p" / "b.parte").close(),
    }  # fmt: skip

    def late(place, name):
        if not (top / "p").is_symlink():
            (top / "p").rename(top / "moved")
            (top / "p").symlink_to(outside)
        return way(place, name)

    monkeypatch.setattr(inside.Place, "way", late)
    with opened, suppress(DiskError):
        acts[act]()
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == mine


# Opening.


def test_a_second_one_is_kept_out_until_the_first_is_closed(tmp_path):
    path = tmp_path / "a.parte"
    with begun(path):
        with pytest.raises(DiskError) as caught:
            PartialFile(path)
        assert (caught.value.path, caught.value.kind) == (str(path), "busy")
    with PartialFile(path) as opened:
        assert opened.size() == 5


def test_one_that_gets_the_inode_of_a_file_just_closed_is_opened(tmp_path, monkeypatch):
    path, other, sizes = tmp_path / "a.parte", tmp_path / "b.parte", []

    class Reused(FileIO):
        def close(self):
            super().close()
            if path.exists():
                path.rename(other)  # which is another file of the same inode by now
                with PartialFile(other) as opened:
                    sizes.append(opened.size())

    monkeypatch.setattr(partial_file, "FileIO", Reused)
    with begun(path):
        pass
    assert sizes == [5]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_on_a_disk_without_locks_it_is_opened_and_a_second_one_is_kept_out_all_the_same(
    tmp_path, monkeypatch, number
):
    fcntl, path = pytest.importorskip("fcntl"), tmp_path / "a.parte"

    def refuse(file, how):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    other = tmp_path / "b.parte"
    other.write_bytes(b"found")
    with begun(path), pytest.raises(DiskError, match="busy"):
        PartialFile(path)
    with begun(path) as first, first.replaced_by(other) as found:
        first.close()
        with pytest.raises(DiskError, match="busy"):
            PartialFile(path)
        assert found.publish(finals(tmp_path / "a"), never) == tmp_path / "a"
    with PartialFile(path) as opened:
        assert opened.size() == 0


def test_names_in_other_letters_are_two_files_where_the_disk_has_two(tmp_path):
    if (tmp_path / "a").touch() or (tmp_path / "A").exists():
        pytest.skip("this disk takes them for one")
    with begun(tmp_path / "b.parte", b"1"), begun(tmp_path / "B.parte", b"2"):
        assert (tmp_path / "b.parte").read_bytes() == b"1"
        assert (tmp_path / "B.parte").read_bytes() == b"2"


def test_another_program_is_kept_out_until_this_one_dies(tmp_path):
    path = tmp_path / "a.parte"
    program = tmp_path / "program.py"
    program.write_text(
        "import sys; from pathlib import Path\n"
        "from rede_p2p.content.partial_file import PartialFile\n"
        "with PartialFile(Path(sys.argv[1])): print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, *RUNNER, str(program), str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(DiskError, match="busy"):
            PartialFile(path)
        other.kill()
    with PartialFile(path):
        pass


@pytest.mark.parametrize("target", ["target", "gone"])
def test_a_symbolic_link_in_its_place_is_not_followed(tmp_path, target):
    (tmp_path / "target").write_bytes(b"mine")
    path = tmp_path / "a.parte"
    path.symlink_to(target)
    with pytest.raises(DiskError) as caught:
        PartialFile(path)
    assert (caught.value.path, caught.value.kind) == (str(path), "link")
    assert (tmp_path / "target").read_bytes() == b"mine"
    assert not (tmp_path / "gone").exists()


def test_a_hard_link_in_its_place_is_replaced_and_never_written_through(tmp_path):
    final, path = tmp_path / "a.txt", tmp_path / "a.txt.parte"
    final.write_bytes(b"published")
    os.link(final, path)
    with begun(path, b"new"):
        assert final.read_bytes() == b"published"
        assert path.read_bytes() == b"new"
    assert final.stat().st_nlink == path.stat().st_nlink == 1


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.mkdir(), "other"),
        (lambda path: path.parent.rmdir() or path.parent.write_bytes(b""), "not-folder"),
    ],
    ids=["a folder", "below a file"],
)
def test_what_cannot_be_opened_is_said(tmp_path, make, kind):
    path = tmp_path / "d" / "a.parte"
    path.parent.mkdir()
    make(path)
    with pytest.raises(DiskError) as caught:
        PartialFile(path)
    assert (caught.value.path, caught.value.kind) == (str(path), kind)


def test_one_published_between_opening_and_locking_is_not_written(tmp_path, monkeypatch):
    final, path = tmp_path / "a", tmp_path / "a.parte"
    path.write_bytes(b"published")
    real, first = partial_file._lock, []

    def lock_late(file, where):
        if not first:
            first.append(where)
            path.rename(final)  # as another program would, just now
        real(file, where)

    monkeypatch.setattr(partial_file, "_lock", lock_late)
    with begun(path, b"new"):
        pass
    assert (final.read_bytes(), path.read_bytes()) == (b"published", b"new")


def test_one_that_was_replaced_is_neither_published_nor_written(tmp_path, links):
    path = tmp_path / "a.parte"
    with begun(path) as opened:
        path.rename(tmp_path / "moved")
        path.write_bytes(b"not ours")
        with pytest.raises(DiskError, match="replaced"):
            opened.writer()
        with pytest.raises(DiskError, match="replaced"):
            opened.publish(finals(tmp_path / "a"), never)
    assert (path.read_bytes(), (tmp_path / "moved").read_bytes()) == (b"not ours", b"whole")
    assert not (tmp_path / "a").exists()


def test_a_full_disk_is_said_by_the_last_flush_and_not_by_the_thread_that_flushes(
    tmp_path, monkeypatch
):
    final = tmp_path / "a"
    with begun(path_of(final)) as opened:

        def fail(descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)
        opened.flush_behind()
        with opened.writer() as writer:
            for start in range(
                0, partial_file.MIN_FLUSH_BYTES, 4096
            ):  # little at once, through the cache
                writer.write(start, memoryview(bytes(4096)))
        opened._flusher.join(10)
        assert not opened._flusher.is_alive()
        monkeypatch.undo()  # the system tells of it once; the next flush would say all is well
        with pytest.raises(DiskError, match="full"):
            opened.flush()
    assert os.listdir(tmp_path) == ["a.parte"]  # noqa: PTH208


def test_what_is_written_is_flushed_before_it_is_whole_and_closing_waits_for_no_more(
    tmp_path, monkeypatch
):
    began, go_on = Semaphore(0), Event()

    def slowly(descriptor):
        began.release()
        assert go_on.wait(10)

    monkeypatch.setattr(os, "fsync", slowly)
    data = memoryview(bytes(partial_file.MIN_FLUSH_BYTES // 64))
    with begun(path_of(tmp_path / "a")) as opened, opened.writer() as writer:
        opened.flush_behind()
        for place in range(64 * 3):  # the second and third time, while the first is under way
            writer.write(place * len(data), data)
        assert began.acquire(timeout=10)
        flusher = opened._flusher
        Timer(0.0, go_on.set).start()
        opened.close()
        assert not flusher.is_alive()


@pytest.mark.parametrize("size", [100, 6000])
def test_one_that_another_program_cut_or_made_longer_is_not_published(tmp_path, size):
    final = tmp_path / "a"
    with begun(path_of(final), b"whole" * 1000) as opened:
        opened.cut(5000)
        os.truncate(opened.path, size)
        opened.flush()
        with pytest.raises(DiskError, match="replaced"):
            opened.publish(finals(final), never)
    assert not final.exists()


@pytest.mark.parametrize("at", ["while it grows", "when it is whole"])
@pytest.mark.parametrize("is_right", [True, False])
def test_one_that_another_program_wrote_into_is_read_again_before_it_has_its_name(
    tmp_path, at, is_right
):
    final, read = tmp_path / "a", []

    def is_same(path):
        read.append(path)
        return is_right

    with begun(path_of(final)) as opened:
        if at == "while it grows":
            scribble(opened.path, 0, b"w")
            with opened.writer() as writer:
                writer.write(5, memoryview(b" and more"))
        opened.flush()
        if at == "when it is whole":
            scribble(opened.path, 0, b"w")
        if is_right:
            assert opened.publish(finals(final), is_same) == final
        else:
            with pytest.raises(DiskError, match="replaced"):
                opened.publish(finals(final), is_same)
    assert read == [path_of(final)]
    assert final.exists() == is_right != path_of(final).exists()


def test_one_that_is_written_into_while_it_is_read_again_is_read_once_more(tmp_path):
    final, read = tmp_path / "a", []

    def is_same(path):
        read.append(path)
        if len(read) == 1:
            scribble(path, 0, b"w")
        return True

    with begun(path_of(final)) as opened:
        scribble(opened.path, 0, b"w")
        assert opened.publish(finals(final), is_same) == final
    assert len(read) == 2


def test_one_that_is_written_into_without_end_has_no_name(tmp_path):
    final, read = tmp_path / "a", []

    def is_same(path):
        read.append(path)
        scribble(path, 0, b"w")
        return True

    with begun(path_of(final)) as opened:
        scribble(opened.path, 0, b"w")
        with pytest.raises(DiskError, match="replaced"):
            opened.publish(finals(final), is_same)
    assert not final.exists() and len(read) == partial_file.MAX_READ_AGAIN


def test_where_no_open_file_can_be_renamed_it_is_read_again_while_it_is_open(tmp_path, windows):
    final, states = tmp_path / "a", []
    with begun(path_of(final)) as opened:
        scribble(opened.path, 0, b"w")
        given = opened.publish(finals(final), lambda _: states.append(opened.file.closed) or True)
    assert (given, states) == (final, [False])


def test_where_no_open_file_can_be_renamed_another_one_is_taken_over(tmp_path, windows):
    with begun(tmp_path / "b.parte"):
        pass
    with PartialFile(tmp_path / "a.parte") as opened:
        taken = opened.replaced_by(tmp_path / "b.parte")
    with taken:
        assert taken.path.read_bytes() == b"whole" and taken.path.name == "a.parte"
        assert taken.publish(finals(tmp_path / "a"), never) == tmp_path / "a"


@pytest.mark.parametrize("system", ["posix", "nt"])
def test_one_that_cannot_be_moved_leaves_the_other_open(tmp_path, monkeypatch, request, system):
    if system == "nt":
        request.getfixturevalue("windows")

    def held(*_):
        raise DiskError("b.parte", "in-use")

    monkeypatch.setattr(inside, "replace", held)
    with begun(tmp_path / "b.parte"):
        pass
    with (
        PartialFile(tmp_path / "a.parte") as opened,
        opened.replaced_by(tmp_path / "b.parte") as ours,
    ):
        ours.write_whole(b"ours")
        with pytest.raises(DiskError, match="busy"):
            PartialFile(tmp_path / "a.parte")
    assert (tmp_path / "a.parte").read_bytes() == b"ours"
    assert (tmp_path / "b.parte").read_bytes() == b"whole"


@pytest.fixture
def windows(monkeypatch):
    """Have partial files do what Windows needs."""

    def rename(old, new):
        if os.path.lexists(new):
            return False
        Path(old).rename(new)
        return True

    monkeypatch.setattr(partial_file, "os", SimpleNamespace(**{**vars(os), "name": "nt"}))
    monkeypatch.setattr(on_windows, "rename", rename)


def test_where_no_thread_is_left_to_flush_it_is_flushed_at_the_end(tmp_path, monkeypatch):
    def fail(_thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(partial_file.Thread, "start", fail)
    with begun(tmp_path / "a.parte") as opened:
        opened.flush_behind()
        opened.flush()
        assert opened.publish(finals(tmp_path / "a"), never) == tmp_path / "a"
