"""What this peer shares: the lines of the list, and the files behind them."""

from __future__ import annotations

import os
import socket
import threading
from queue import Queue
from threading import Event, Thread, current_thread

import pytest
from listening import SOON
from processes import eventually

from rede_p2p.content import disk, inside, merkle
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.errors import DiskError, ShareListError
from rede_p2p.events import ListProblem, MoreListProblems
from rede_p2p.protocol.codec import Pending
from rede_p2p.protocol.messages import FileEntry
from rede_p2p.timeouts import Timeouts
from rede_p2p.upload import share_list
from rede_p2p.upload.share_list import ShareList


class Shared:
    """A folder with a list of what is shared, and what was posted about it."""

    def __init__(self, folder):
        self.folder = folder
        self.posted = Queue()
        self.list = folder / "meus_arquivos.txt"
        self.write_list("")
        self.hash_cache = HashCache(None)
        self.shares = None

    def open(self, quiet_s=0.0, **timeouts):
        timeouts["quiet_s"] = quiet_s
        self.shares = ShareList(self.list, self.hash_cache, self.posted.put, Timeouts(**timeouts))
        return self.shares

    def write_list(self, text):
        """Replace the list at once, as an editor does; the new inode tells that it changed."""
        new = self.list.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(self.list)

    def file(self, name, data=b"x"):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def names(self):
        return [share.name for share in self.shares.shares()]

    def next_problem(self):
        problem = self.posted.get(timeout=SOON)
        assert isinstance(problem, ListProblem)
        assert problem.path == str(self.list)
        return problem.line, problem.kind, problem.text

    def root(self, name):
        share = self.shares.find(name)
        root = self.hash_cache.wait(share.path, share.state, SOON)
        assert root is not None
        return root


@pytest.fixture
def shared(tmp_path):
    shared = Shared(tmp_path)
    yield shared
    if shared.shares is not None:
        shared.shares.close()
    shared.hash_cache.close()


def root_of(data):
    assert len(data) <= merkle.MIN_PIECE_BYTES
    return merkle.layer_of(data)


def test_the_shares_stand_in_the_order_of_the_list(shared):
    shared.file("a.txt")
    shared.file("deep/b c.txt", b"bb")
    shared.write_list('z.txt ./a.txt\n"b c.txt" deep/b c.txt\n')
    found = shared.open().shares()
    assert [(share.name, share.state.size) for share in found] == [("z.txt", 1), ("b c.txt", 2)]
    assert shared.posted.empty()


def test_an_absolute_path_and_a_home_path_are_followed(shared, monkeypatch):
    monkeypatch.setenv("HOME", str(shared.folder))
    shared.write_list(f"a {shared.file('a.txt')}\nb ~/a.txt\n")
    shared.open()
    assert shared.names() == ["a", "b"]


WAYS_TO_WRITE = [
    "./minha foto (1).png",
    '"./minha foto (1).png"',
    "'./minha foto (1).png'",
    r"./minha\ foto\ \(1\).png",
    "file://{}/minha%20foto%20(1).png",
    "file:{}/minha%20foto%20%281%29.png",
    "FILE://localhost{}/minha%20foto%20(1).png",
    "~/minha foto (1).png",
    r"~/minha\ foto\ \(1\).png",
    "'~/minha foto (1).png'",
]


@pytest.mark.parametrize("way", WAYS_TO_WRITE)
def test_a_path_is_written_as_a_shell_or_a_file_manager_gives_it(shared, monkeypatch, way):
    monkeypatch.setenv("HOME", str(shared.folder))
    shared.file("minha foto (1).png")
    shared.write_list(f"foto.png {way.format(shared.folder)}\n")
    shared.open()
    assert shared.names() == ["foto.png"]
    assert shared.posted.empty()


@pytest.mark.parametrize("name", [r"a\ b", "'a b'", "file:x", "100%25", r"a\\b"])
def test_a_file_that_is_called_so_comes_first(shared, name):
    shared.file(name, b"literal")
    shared.file("a b", b"other")
    shared.file("100%", b"other")
    shared.write_list(f"x ./{name}\ny {name}\n")
    shares = shared.open()
    assert shares.find("x").state.size == shares.find("y").state.size == len(b"literal")


def test_a_path_that_is_not_there_in_any_way_is_reported_as_it_was_written(shared):
    lines = [r"./a\ b", "'./a b'", "file:///a%20b", "file:///%E7%00", "./" + "x" * 5000]
    shared.write_list("".join(f"n{at} {line}\n" for at, line in enumerate(lines)))
    shared.open()
    problems = [shared.next_problem() for _ in lines]
    assert problems == [(at, "missing", line) for at, line in enumerate(lines, start=1)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=ascii)
def test_a_list_of_any_editor_is_read(shared, encoding, end):
    shared.file("ação.txt")
    shared.list.write_bytes(f"ação.txt ./ação.txt{end}b ./ação.txt{end}".encode(encoding))
    shared.open()
    assert shared.names() == ["ação.txt", "b"]
    assert shared.posted.empty()


def test_two_names_of_one_file_are_two_shares_of_one_content(shared):
    shared.file("a.txt", b"same")
    shared.write_list("a ./a.txt\nb ./a.txt\n")
    shares = shared.open()
    assert shared.names() == ["a", "b"]
    assert shared.root("a") == shared.root("b") == root_of(b"same")
    assert shares.find_content(root_of(b"same")).name in ("a", "b")


def test_every_bad_line_is_reported_with_its_number_and_the_rest_works(shared):
    shared.file("a.txt")
    shared.list.write_bytes(
        b"a ./a.txt\nb ./gone.txt\nc\n../x ./a.txt\na ./a.txt\n\xe7 ./a\nd ./a.txt\n"
    )
    shared.open()
    assert shared.names() == ["a", "d"]
    assert [shared.next_problem() for _ in range(5)] == [
        (2, "missing", "./gone.txt"),
        (3, "no-path", "c"),
        (4, "name-dot", "../x"),
        (5, "twice", "a"),
        (6, "encoding", "ç ./a"),
    ]
    assert shared.posted.empty()


def test_of_many_bad_lines_the_first_are_reported_and_the_others_counted(shared):
    shared.write_list("".join(f"nome{number}\n" for number in range(1000)))
    shared.open()
    assert [shared.next_problem()[0] for _ in range(5)] == [1, 2, 3, 4, 5]
    assert shared.posted.get(timeout=SOON) == MoreListProblems(str(shared.list), 995)
    assert shared.posted.empty()


@pytest.mark.parametrize(
    "data",
    [
        b"a ./a.txt\nb\0 ./a.txt\n",
        "a ./a.txt\n".encode("utf-16-le"),
        "a ./a.txt\n".encode("utf-32"),
        b"a ./a.txt\n" * 2**20,
    ],
    ids=["a NUL", "UTF-16 without its mark", "UTF-32", "11 MB"],
)
def test_what_does_not_look_like_a_list_is_reported_once_and_shares_nothing(shared, data):
    shared.file("a.txt")
    shared.list.write_bytes(data)
    shares = shared.open()
    assert shared.next_problem() == (0, "not-list", str(shared.list))
    assert shares.shares() == []
    assert shared.posted.empty()


def test_a_missing_list_is_reported_once_and_shares_nothing(shared):
    shared.list.unlink()
    shares = shared.open()
    assert shared.next_problem() == (0, "missing", str(shared.list))
    assert shares.shares() == []
    assert shares.find("a") is None
    assert shared.posted.empty()


def test_a_list_that_is_a_folder_is_reported_and_leaves_no_descriptor(shared):
    shared.list.unlink()
    shared.list.mkdir()
    shares = shared.open()
    assert shared.next_problem() == (0, "not-file", str(shared.list))
    assert shares.shares() == []


def test_a_list_that_is_a_pipe_is_reported_and_never_waited_for(shared):
    shared.list.unlink()
    os.mkfifo(shared.list)
    shared.open()
    assert shared.next_problem() == (0, "not-file", str(shared.list))


def test_a_share_that_is_no_regular_file_is_reported_and_never_waited_for(shared):
    os.mkfifo(shared.folder / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(shared.folder / "sock"))
        (shared.folder / "loop").symlink_to("loop")
        (shared.folder / "dangling").symlink_to("gone")
        paths = ["./pipe", "./sock", "./loop", "./dangling", "/dev/zero"]
        shared.write_list("".join(f"n{at} {path}\n" for at, path in enumerate(paths)))
        shares = shared.open()
        assert shares.shares() == []
    problems = [shared.next_problem() for _ in paths]
    kinds = ["not-file", "not-file", "missing", "missing", "not-file"]
    assert problems == list(zip(range(1, 6), kinds, paths, strict=True))


def test_a_folder_shares_what_is_in_it_but_for_what_is_hidden_or_a_link(shared):
    outside = shared.file("secret.txt")
    for name in ("b.txt", "a.txt", "q/c.txt", "q/r/d.txt", ".hidden", ".git/config", "x.parte"):
        shared.file(f"folder/{name}")
    (shared.folder / "folder/link.txt").symlink_to(outside)
    (shared.folder / "folder/up").symlink_to(shared.folder)
    os.mkfifo(shared.folder / "folder/pipe")
    shared.write_list("p ./folder\nempty ./none\n")
    (shared.folder / "none").mkdir()
    shared.open()
    assert shared.names() == ["p/a.txt", "p/b.txt", "p/q/c.txt", "p/q/r/d.txt"]
    assert shared.next_problem() == (1, "name-unsafe", "p/x.parte")
    assert shared.posted.empty()


@pytest.mark.parametrize("becomes_link", ["folder/q/c.txt", "folder/q", "folder/q/r"])
def test_what_becomes_a_link_in_a_shared_folder_is_shared_no_more(shared, becomes_link):
    for name in ("folder/q/c.txt", "folder/q/r/c.txt", "elsewhere/c.txt", "elsewhere/r/c.txt"):
        shared.file(name, name.encode())
    shared.write_list("p ./folder\n")
    shares = shared.open()
    name = "p/q/r/c.txt" if becomes_link == "folder/q/r" else "p/q/c.txt"
    root = shared.root(name)
    assert shares.find(name)
    link = shared.folder / becomes_link
    link.rename(shared.folder / "moved")
    target = shared.folder / "elsewhere"
    link.symlink_to(target if link.suffix == "" else target / "c.txt")
    assert shares.find(name) is None
    assert shares.find_content(root) is None
    eventually(lambda: name not in shared.names())


def test_a_shared_folder_that_is_a_link_itself_is_followed(shared):
    path = shared.file("real/c.txt", b"before")
    (shared.folder / "folder").symlink_to("real")
    shared.write_list("p ./folder\n")
    shares = shared.open()
    assert shared.root("p/c.txt") == root_of(b"before")
    path.write_bytes(b"after this")
    assert shares.find("p/c.txt").state.size == 10


def test_a_name_in_a_folder_that_is_not_utf_8_is_reported_and_not_shared(shared):
    shared.file("folder/a.txt")
    descriptor = os.open(os.fsencode(shared.folder / "folder") + b"/\xe7.txt", os.O_CREAT, 0o600)
    os.close(descriptor)
    shared.write_list("p ./folder\n")
    shared.open()
    assert shared.names() == ["p/a.txt"]
    assert shared.next_problem() == (1, "name-unsafe", "p/\udce7.txt")


def test_a_list_that_changes_is_read_again_and_only_new_problems_are_reported(shared):
    shared.file("a.txt")
    shared.file("b.txt")
    shared.write_list("a ./a.txt\ngone ./gone.txt\n")
    shares = shared.open()
    assert shared.names() == ["a"]
    assert shared.next_problem() == (2, "missing", "./gone.txt")
    shared.write_list("b ./b.txt\ngone ./gone.txt\nalso ./also.txt\n")
    assert shares.find("a") is None
    assert shares.find("b").name == "b"
    assert shared.names() == ["b"]
    assert shared.next_problem() == (3, "missing", "./also.txt")
    assert shared.posted.empty()


def test_a_changed_list_is_noticed_though_nobody_asks(shared):
    shared.open()
    shared.write_list("gone ./gone.txt\n")
    assert shared.next_problem() == (1, "missing", "./gone.txt")


def test_files_that_appear_or_change_are_noticed_and_hashed_though_nobody_asks(shared, monkeypatch):
    monkeypatch.setattr(share_list, "SCAN_COST_FACTOR", 0)
    monkeypatch.setattr(share_list, "SCAN_CPU_FACTOR", 0)
    changes = Queue()
    path = shared.file("folder/a.txt", b"before")
    shared.write_list("p ./folder\n")
    shares = shared.open(idle_list_poll_s=0.05, file_scan_s=0.0)
    eventually(lambda: shares.find_content(root_of(b"before")))
    shares.watch(lambda: changes.put("changed"))
    path.write_bytes(b"after this")
    shared.file("folder/b.txt", b"new")
    files = {"p/a.txt": b"after this", "p/b.txt": b"new"}
    right = {FileEntry(name, len(data), root_of(data)) for name, data in files.items()}
    while shares.entries() != right:
        assert changes.get(timeout=SOON)


def test_what_takes_long_to_look_at_is_seldom_looked_at_while_nobody_asks(shared, monkeypatch):
    polls = Queue()
    real = share_list.disk.file_state

    def file_state(path, **options):
        if path == shared.list:
            polls.put("poll")
        return real(path, **options)

    monkeypatch.setattr(share_list.disk, "file_state", file_state)
    monkeypatch.setattr(share_list, "SCAN_CPU_FACTOR", 1e9)
    shared.file("folder/a.txt")
    shared.write_list("p ./folder\n")
    shares = shared.open(idle_list_poll_s=0.01, file_scan_s=0.0)
    eventually(lambda: shares.find("p/a.txt"))
    shared.file("folder/b.txt")
    polls.queue.clear()
    for _ in range(5):
        polls.get(timeout=SOON)
    assert list(shares._view.shares) == ["p/a.txt"]
    eventually(lambda: shares.find("p/b.txt"))  # somebody asks


def test_a_file_that_appears_under_a_listed_name_is_found(shared):
    shared.write_list("a ./a.txt\n")
    shares = shared.open()
    assert shared.next_problem() == (1, "missing", "./a.txt")
    assert shares.find("a") is None
    shared.file("a.txt", b"late")
    shared.write_list("a ./a.txt\n# now\n")
    assert shares.find("a").state.size == 4


def test_a_file_that_changes_is_another_content_at_once(shared):
    path = shared.file("a.txt", b"before")
    shared.write_list("a ./a.txt\n")
    shares = shared.open()
    assert shared.root("a") == root_of(b"before")
    path.write_bytes(b"after this")
    assert shares.find("a").state.size == 10
    assert shares.find_content(root_of(b"before")) is None
    assert shared.root("a") == root_of(b"after this")
    assert shares.find_content(root_of(b"after this")).name == "a"


def test_two_lists_that_differ_have_two_versions(shared):
    shared.file("folder/a", b"1")
    shared.write_list("b b.txt\nfolder folder\n")
    shares = shared.open(list_poll_s=0.0)
    lists = {}  # by version

    def comes(*expected):
        def is_here():
            found, empty, version = shares.listed(lambda _: None)
            told = [*map(shares.entry, found), *empty]
            return lists.setdefault(version, told) == told == [*expected]

        eventually(is_here)

    def entry(name, data):
        return FileEntry(name, len(data), merkle.layer_of(data))

    inner = entry("folder/a", b"1")
    comes(inner)
    path = shared.file("b.txt", b"two")
    comes(entry("b", b"two"), inner)
    path.write_bytes(b"3")
    comes(entry("b", b"3"), inner)
    shared.hash_cache.forget(str(path))
    comes(FileEntry("b", 1), inner)
    shared.root("b")
    comes(entry("b", b"3"), inner)
    shared.write_list("folder folder\nb b.txt\n")
    comes(inner, entry("b", b"3"))
    (shared.folder / "folder/a").unlink()
    comes(entry("b", b"3"), "folder/")


def test_a_file_that_vanishes_is_shared_no_more(shared):
    path = shared.file("a.txt", b"here")
    shared.write_list("a ./a.txt\n")
    shares = shared.open()
    root = shared.root("a")
    path.unlink()
    assert shares.find("a") is None
    assert shares.find_content(root) is None


def test_a_content_that_is_known_but_not_listed_is_not_shared(shared):
    path = shared.file("private.txt", b"mine")
    shared.file("a.txt")
    shared.write_list("a ./a.txt\n")
    shares = shared.open()
    root = shared.hash_cache.wait(str(path), disk.file_state(path), SOON)
    assert root == root_of(b"mine")
    assert shares.find_content(root) is None


def test_closing_does_not_wait_for_a_slow_disk(shared, monkeypatch):
    looked, closing = [], Thread(target=lambda: shared.shares.close())

    def lstat(place, name):
        if place.path.endswith("/many"):
            looked.append(name)
            if not closing.ident:
                closing.start()
            shared.shares._stopped.wait(SOON)
        return real(place, name)

    real = inside.lstat
    monkeypatch.setattr(inside, "lstat", lstat)
    for number in range(100):
        shared.file(f"many/{number}")
    shared.write_list("")
    shared.open()
    shared.write_list("m ./many\n")
    eventually(lambda: closing.ident and not closing.is_alive())
    assert len(looked) == 1


def test_ten_thousand_shares_are_listed_and_found(shared):
    folder = shared.folder / "many"
    folder.mkdir()
    for number in range(10_000):
        os.close(os.open(f"{folder}/{number:05}", os.O_CREAT, 0o600))
    shared.write_list("m ./many\n")
    shares = shared.open()
    assert len(shares.shares()) == 10_000
    assert shares.find("m/09999").state.size == 0
    assert shares.find("m/10000") is None


# Files that are still being written.


@pytest.mark.parametrize("file_scan_s", [0.0, 60.0], ids=["always scanned", "looked at alone"])
def test_a_file_that_is_still_being_copied_is_announced_once_it_is_whole(
    shared, monkeypatch, file_scan_s
):
    path = shared.file("a.bin", b"half")
    began_ns, seconds, looks = path.stat().st_mtime_ns, [0], []

    def clock():
        looks.append(seconds[0])
        return began_ns + seconds[0] * 10**9

    monkeypatch.setattr(share_list, "time_ns", clock)
    monkeypatch.setattr(share_list, "SCAN_COST_FACTOR", 0)
    monkeypatch.setattr(share_list, "SCAN_CPU_FACTOR", 0)
    shared.write_list("a a.bin\n")
    shares = shared.open(
        quiet_s=60.0, list_poll_s=0.02, idle_list_poll_s=0.02, file_scan_s=file_scan_s
    )
    for seconds[0] in (40, 80, 120):
        with path.open("ab") as file:
            file.write(b"more")
        os.utime(path, ns=(began_ns + (seconds[0] - 1) * 10**9,) * 2)
        eventually(lambda: looks.count(seconds[0]) > 3)
        assert (shares.entries(), shared.hash_cache.pending()) == (set(), 0)
    seconds[0] = 200
    eventually(shares.entries)
    assert shares.entries() == {FileEntry("a", 16, root_of(b"halfmoremoremore"))}


def test_who_asks_for_a_file_that_just_changed_is_told_to_wait_and_then_its_root(shared):
    path = shared.file("a.txt", b"now")
    shared.write_list("a a.txt\n")
    shares, reports = shared.open(quiet_s=0.5, hash_report_s=0.05), []
    share, root = shares.wait_hashed("a", reports.append)
    assert (share.path, root) == (str(path), root_of(b"now"))
    assert set(reports) == {Pending()}


def test_who_asks_for_a_file_that_never_gets_quiet_is_told_so_and_never_hangs(shared):
    path = shared.file("a.log", b"line\n")
    shared.write_list("a a.log\n")
    shares = shared.open(quiet_s=60.0, max_quiet_wait_s=0.3, hash_report_s=0.05)

    def grow(_pending):
        with path.open("ab") as file:
            file.write(b"line\n")

    with pytest.raises(DiskError) as caught:
        shares.wait_hashed("a", grow)
    assert caught.value.kind == "changed"


def test_the_time_that_a_slow_list_takes_is_not_that_of_a_file_to_get_quiet(shared, monkeypatch):
    def file_state(path, **how):
        if current_thread().name == "share list" and str(path).endswith("a.txt"):
            Event().wait(0.4)
        return real(path, **how)

    real = share_list.disk.file_state
    monkeypatch.setattr(share_list.disk, "file_state", file_state)
    shared.write_list("a a.txt\n")
    shared.file("a.txt", b"now")
    shares = shared.open(quiet_s=0.5, max_quiet_wait_s=0.2, hash_report_s=0.02)
    assert shares.wait_hashed("a", lambda _: None)[1] == root_of(b"now")


def test_a_file_of_which_the_root_is_known_need_not_be_quiet(shared):
    path = shared.file("a.txt", b"it came by a download")
    shared.write_list("a a.txt\n")
    shares = shared.open(quiet_s=60.0)
    root = shared.hash_cache.wait(str(path), disk.file_state(path), SOON)
    assert shares.wait_hashed("a", None)[1] == root


def test_what_is_added_or_removed_is_seen_at_once(shared):
    shared.open()
    (shared.folder / "pasta").mkdir()
    for name in ("a.txt", "pasta/b.txt"):
        (shared.folder / name).write_bytes(b"a")
    assert shared.shares.add("a.txt", str(shared.folder / "a.txt"))
    assert shared.shares.add("pasta", str(shared.folder / "pasta"))
    assert not shared.shares.add("pasta", str(shared.folder / "pasta"))
    assert [share.name for share in shared.shares.shares()] == ["a.txt", "pasta/b.txt"]
    for act, kind in (
        (lambda: shared.shares.add("pasta/b.txt", str(shared.folder / "a.txt")), "taken"),
        (lambda: shared.shares.remove("pasta/b.txt"), "in-folder"),
        (lambda: shared.shares.remove("nada"), "unlisted"),
    ):
        with pytest.raises(ShareListError) as caught:
            act()
        assert caught.value.kind == kind
    assert shared.shares.remove("pasta") == ["pasta"]
    assert [share.name for share in shared.shares.shares()] == ["a.txt"]


def test_whatever_ends_the_thread_nobody_waits_for_it_any_more(shared, monkeypatch):
    caught = []
    monkeypatch.setattr(threading, "excepthook", caught.append)
    shared.file("a.txt")
    shared.write_list("a a.txt\n")
    shares = shared.open(hash_report_s=0.01)
    assert shared.names() == ["a"]
    shares.watch(lambda: 1 // 0)
    shared.write_list("b a.txt\n")
    assert shares.listed(lambda _: None)[0] == shares.listed(lambda _: None)[0]
    assert not shares.add("b", str(shared.folder / "a.txt"))
    shares.close()
    assert caught[0].exc_type is ZeroDivisionError
