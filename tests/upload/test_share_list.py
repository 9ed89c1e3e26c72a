"""What this peer shares: the lines of the list, and the files behind them."""

from __future__ import annotations

import os
import socket
from queue import SimpleQueue

import pytest
from processes import eventually
from sources import content_of

from rede_p2p.content import merkle
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.events import ListProblem, MoreListProblems
from rede_p2p.upload import share_list as catalog_room
from rede_p2p.upload.share_list import Line, Problem, ShareList, parse

BOM = b"\xef\xbb\xbf"

LISTS = [
    (b"", []),
    (b"\n\r\n  \n", []),
    (BOM, []),
    (b"a.txt ./a.txt", [Line(1, "a.txt", "./a.txt")]),
    (b"a.txt ./a.txt\n", [Line(1, "a.txt", "./a.txt")]),
    (b"a.txt ./a.txt\r\nb ./b\r\n", [Line(1, "a.txt", "./a.txt"), Line(2, "b", "./b")]),
    (BOM + b"a.txt ./a.txt\n", [Line(1, "a.txt", "./a.txt")]),
    (b"  a.txt \t ./a.txt  \n", [Line(1, "a.txt", "./a.txt")]),
    (b"a.txt ./My Files/a b.txt\n", [Line(1, "a.txt", "./My Files/a b.txt")]),
    (b'a.txt "./My Files/a b.txt"\n', [Line(1, "a.txt", "./My Files/a b.txt")]),
    (b'"a b.txt" ./a.txt\n', [Line(1, "a b.txt", "./a.txt")]),
    (b'"a b.txt"./a.txt\n', [Line(1, "a b.txt", "./a.txt")]),
    (b'"a b" "c d"\n', [Line(1, "a b", "c d")]),
    (b"it's ./it's\n", [Line(1, "it's", "./it's")]),
    (b"C:\\x C:\\y\n", [Line(1, "C:\\x", "C:\\y")]),
    ("ação.txt ./ação.txt\n".encode(), [Line(1, "ação.txt", "./ação.txt")]),
    (b"# a.txt ./a.txt\n  # b\n#\n", []),
    (b"#a ./a\na# ./a#b\n", [Line(2, "a#", "./a#b")]),
    (b"\n\na.txt ./a.txt\n", [Line(3, "a.txt", "./a.txt")]),
    (b"a.txt\n", [Problem(1, "no-path", "a.txt")]),
    (b'"a.txt"\n', [Problem(1, "no-path", '"a.txt"')]),
    (b'"" ./a.txt\n', [Problem(1, "no-path", '"" ./a.txt')]),
    (b'"a.txt ./a.txt\n', [Problem(1, "quote", '"a.txt ./a.txt')]),
    (b"a\xe7\xe3o ./x\nb ./b\n", [Problem(1, "encoding", "ação ./x"), Line(2, "b", "./b")]),
    (b"\xff\xfea\x00 \x00b\x00", [Problem(1, "encoding", "ÿþa\x00 \x00b\x00")]),
    (b"a\x00b ./x\n", [Line(1, "a\x00b", "./x")]),  # names.check refuses it later
    (b"x" * 100_000, [Problem(1, "no-path", "x" * 100_000)]),
]


@pytest.mark.parametrize(("data", "entries"), LISTS, ids=lambda value: ascii(value)[:30])
def test_a_list_is_read_line_by_line(data, entries):
    assert list(parse(data)) == entries


# With files.


class Shop:
    """A folder with a list of shares, the catalog of it, and what it told."""

    def __init__(self, folder):
        self.folder = folder
        self.told = SimpleQueue()
        self.list = folder / "meus_arquivos.txt"
        self.write_list("")
        self.roots = HashCache(None)
        self.catalog = None

    def open(self):
        self.catalog = ShareList(self.list, self.roots, self.told.put)
        return self.catalog

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
        return [share.name for share in self.catalog.shares()]

    def next_problem(self):
        told = self.told.get(timeout=10)
        assert isinstance(told, ListProblem)
        assert told.path == str(self.list)
        return told.line, told.kind, told.text

    def root(self, name):
        share = self.catalog.find(name)
        root = self.roots.wait(share.path, share.stamp, 10)
        assert root is not None
        return root


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path)
    yield shop
    if shop.catalog is not None:
        shop.catalog.close()
    shop.roots.close()


def root_of(data):
    assert len(data) <= merkle.FINEST_PIECE
    return merkle.layer_of(data)


def test_the_shares_stand_in_the_order_of_the_list(shop):
    shop.file("a.txt")
    shop.file("deep/b c.txt", b"bb")
    shop.write_list('z.txt ./a.txt\n"b c.txt" deep/b c.txt\n')
    found = shop.open().shares()
    assert [(share.name, share.stamp.size) for share in found] == [("z.txt", 1), ("b c.txt", 2)]
    assert shop.told.empty()


def test_an_absolute_path_and_a_home_path_are_followed(shop, monkeypatch):
    monkeypatch.setenv("HOME", str(shop.folder))
    shop.write_list(f"a {shop.file('a.txt')}\nb ~/a.txt\n")
    shop.open()
    assert shop.names() == ["a", "b"]


def test_two_names_of_one_file_are_two_shares_of_one_content(shop):
    shop.file("a.txt", b"same")
    shop.write_list("a ./a.txt\nb ./a.txt\n")
    catalog = shop.open()
    assert shop.names() == ["a", "b"]
    assert shop.root("a") == shop.root("b") == root_of(b"same")
    assert catalog.find_content(root_of(b"same")).name in ("a", "b")


def test_every_bad_line_is_told_with_its_number_and_the_rest_works(shop):
    shop.file("a.txt")
    shop.list.write_bytes(
        b"a ./a.txt\nb ./gone.txt\nc\n../x ./a.txt\na ./a.txt\n\xe7 ./a\nd ./a.txt\n"
    )
    shop.open()
    assert shop.names() == ["a", "d"]
    assert [shop.next_problem() for _ in range(5)] == [
        (2, "missing", "./gone.txt"),
        (3, "no-path", "c"),
        (4, "name-dot", "../x"),
        (5, "twice", "a"),
        (6, "encoding", "ç ./a"),
    ]
    assert shop.told.empty()


def test_of_many_bad_lines_the_first_are_told_and_the_others_counted(shop):
    shop.write_list("".join(f"nome{number}\n" for number in range(1000)))
    shop.open()
    assert [shop.next_problem()[0] for _ in range(5)] == [1, 2, 3, 4, 5]
    assert shop.told.get(timeout=10) == MoreListProblems(str(shop.list), 995)
    assert shop.told.empty()


@pytest.mark.parametrize(
    "data",
    [b"a ./a.txt\nb\0 ./a.txt\n", "a ./a.txt\n".encode("utf-16"), b"a ./a.txt\n" * 2**20],
    ids=["a NUL", "UTF-16", "11 MB"],
)
def test_what_does_not_look_like_a_list_is_told_once_and_shares_nothing(shop, data):
    shop.file("a.txt")
    shop.list.write_bytes(data)
    catalog = shop.open()
    assert shop.next_problem() == (0, "not-list", str(shop.list))
    assert catalog.shares() == []
    assert shop.told.empty()


def test_a_missing_list_is_told_once_and_shares_nothing(shop):
    shop.list.unlink()
    catalog = shop.open()
    assert shop.next_problem() == (0, "missing", str(shop.list))
    assert catalog.shares() == []
    assert catalog.find("a") is None
    assert shop.told.empty()


def test_a_list_that_is_a_folder_is_told_and_leaves_no_descriptor(shop):
    shop.list.unlink()
    shop.list.mkdir()
    catalog = shop.open()
    assert shop.next_problem() == (0, "not-file", str(shop.list))
    assert catalog.shares() == []


def test_a_list_that_is_a_pipe_is_told_and_never_waited_for(shop):
    shop.list.unlink()
    os.mkfifo(shop.list)
    shop.open()
    assert shop.next_problem() == (0, "not-file", str(shop.list))


def test_a_share_that_is_no_regular_file_is_told_and_never_waited_for(shop):
    os.mkfifo(shop.folder / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(shop.folder / "sock"))
        (shop.folder / "loop").symlink_to("loop")
        (shop.folder / "dangling").symlink_to("gone")
        paths = ["./pipe", "./sock", "./loop", "./dangling", "/dev/zero"]
        shop.write_list("".join(f"n{at} {path}\n" for at, path in enumerate(paths)))
        catalog = shop.open()
        assert catalog.shares() == []
    told = [shop.next_problem() for _ in paths]
    assert told == [(at, "missing", path) for at, path in enumerate(paths, start=1)]


def test_a_folder_shares_what_is_in_it_but_for_what_is_hidden_or_a_link(shop):
    outside = shop.file("secret.txt")
    for name in ("b.txt", "a.txt", "q/c.txt", "q/r/d.txt", ".hidden", ".git/config", "x.parte"):
        shop.file(f"folder/{name}")
    (shop.folder / "folder/link.txt").symlink_to(outside)
    (shop.folder / "folder/up").symlink_to(shop.folder)
    os.mkfifo(shop.folder / "folder/pipe")
    shop.write_list("p ./folder\nempty ./none\n")
    (shop.folder / "none").mkdir()
    shop.open()
    assert shop.names() == ["p/a.txt", "p/b.txt", "p/q/c.txt", "p/q/r/d.txt"]
    assert shop.next_problem() == (1, "name-unsafe", "p/x.parte")
    assert shop.told.empty()


@pytest.mark.parametrize("becomes_link", ["folder/q/c.txt", "folder/q", "folder/q/r"])
def test_what_becomes_a_link_in_a_shared_folder_is_shared_no_more(shop, becomes_link):
    for name in ("folder/q/c.txt", "folder/q/r/c.txt", "elsewhere/c.txt", "elsewhere/r/c.txt"):
        shop.file(name, name.encode())
    shop.write_list("p ./folder\n")
    catalog = shop.open()
    name = "p/q/r/c.txt" if becomes_link == "folder/q/r" else "p/q/c.txt"
    root = shop.root(name)
    assert catalog.find(name)
    link = shop.folder / becomes_link
    link.rename(shop.folder / "moved")
    target = shop.folder / "elsewhere"
    link.symlink_to(target if link.suffix == "" else target / "c.txt")
    assert catalog.find(name) is None
    assert catalog.find_content(root) is None
    eventually(lambda: name not in shop.names())


def test_a_shared_folder_that_is_a_link_itself_is_followed(shop):
    path = shop.file("real/c.txt", b"before")
    (shop.folder / "folder").symlink_to("real")
    shop.write_list("p ./folder\n")
    catalog = shop.open()
    assert shop.root("p/c.txt") == root_of(b"before")
    path.write_bytes(b"after this")
    assert catalog.find("p/c.txt").stamp.size == 10


def test_a_name_in_a_folder_that_is_not_utf_8_is_told_and_not_shared(shop):
    shop.file("folder/a.txt")
    descriptor = os.open(os.fsencode(shop.folder / "folder") + b"/\xe7.txt", os.O_CREAT, 0o600)
    os.close(descriptor)
    shop.write_list("p ./folder\n")
    shop.open()
    assert shop.names() == ["p/a.txt"]
    assert shop.next_problem() == (1, "name-unsafe", "p/\udce7.txt")


def test_a_list_that_changes_is_read_again_and_only_new_problems_are_told(shop):
    shop.file("a.txt")
    shop.file("b.txt")
    shop.write_list("a ./a.txt\ngone ./gone.txt\n")
    catalog = shop.open()
    assert shop.names() == ["a"]
    assert shop.next_problem() == (2, "missing", "./gone.txt")
    shop.write_list("b ./b.txt\ngone ./gone.txt\nalso ./also.txt\n")
    assert catalog.find("a") is None
    assert catalog.find("b").name == "b"
    assert shop.names() == ["b"]
    assert shop.next_problem() == (3, "missing", "./also.txt")
    assert shop.told.empty()


def test_a_changed_list_is_noticed_though_nobody_asks(shop):
    shop.open()
    shop.write_list("gone ./gone.txt\n")
    assert shop.next_problem() == (1, "missing", "./gone.txt")


def test_files_that_appear_or_change_are_noticed_and_hashed_though_nobody_asks(shop, monkeypatch):
    monkeypatch.setattr(catalog_room, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(catalog_room, "FILES_EVERY", 0.0)
    monkeypatch.setattr(catalog_room, "SPARING", 0)
    path = shop.file("folder/a.txt", b"before")
    shop.write_list("p ./folder\n")
    catalog = shop.open()
    eventually(lambda: catalog.find_content(root_of(b"before")))
    version = catalog.version()
    path.write_bytes(b"after this")
    shop.file("folder/b.txt", b"new")

    def known():
        return {share.name: catalog.content(share) for share in catalog.seen()}

    right = {"p/a.txt": content_of(b"after this"), "p/b.txt": content_of(b"new")}
    eventually(lambda: known() == right)
    assert catalog.version() != version


def test_a_file_that_appears_under_a_listed_name_is_found(shop):
    shop.write_list("a ./a.txt\n")
    catalog = shop.open()
    assert shop.next_problem() == (1, "missing", "./a.txt")
    assert catalog.find("a") is None
    shop.file("a.txt", b"late")
    shop.write_list("a ./a.txt\n# now\n")
    assert catalog.find("a").stamp.size == 4


def test_a_file_that_changes_is_another_content_at_once(shop):
    path = shop.file("a.txt", b"before")
    shop.write_list("a ./a.txt\n")
    catalog = shop.open()
    assert shop.root("a") == root_of(b"before")
    path.write_bytes(b"after this")
    assert catalog.find("a").stamp.size == 10
    assert catalog.find_content(root_of(b"before")) is None
    assert shop.root("a") == root_of(b"after this")
    assert catalog.find_content(root_of(b"after this")).name == "a"


def test_a_file_that_vanishes_is_shared_no_more(shop):
    path = shop.file("a.txt", b"here")
    shop.write_list("a ./a.txt\n")
    catalog = shop.open()
    root = shop.root("a")
    path.unlink()
    assert catalog.find("a") is None
    assert catalog.find_content(root) is None


def test_a_content_that_is_known_but_not_listed_is_not_shared(shop):
    path = shop.file("private.txt", b"mine")
    shop.file("a.txt")
    shop.write_list("a ./a.txt\n")
    catalog = shop.open()
    share = catalog.find("a")
    stamp = type(share.stamp)(4, path.stat().st_mtime_ns, path.stat().st_ino)
    root = shop.roots.wait(str(path), stamp, 10)
    assert root == root_of(b"mine")
    assert catalog.find_content(root) is None


def test_ten_thousand_shares_are_listed_and_found(shop):
    folder = shop.folder / "many"
    folder.mkdir()
    for number in range(10_000):
        os.close(os.open(f"{folder}/{number:05}", os.O_CREAT, 0o600))
    shop.write_list("m ./many\n")
    catalog = shop.open()
    assert len(catalog.shares()) == 10_000
    assert catalog.find("m/09999").stamp.size == 0
    assert catalog.find("m/10000") is None
