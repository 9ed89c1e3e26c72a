"""The lines of the list, and the paths that they mean."""

from __future__ import annotations

import codecs
import os
from functools import partial

import pytest

from rede_p2p.events import ListProblem
from rede_p2p.upload import list_file
from rede_p2p.upload.list_file import Line, parse

BOM = b"\xef\xbb\xbf"
LIST = "lista.txt"
Problem = partial(ListProblem, LIST)

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
    (b"a ./a\rb ./b\r", [Line(1, "a", "./a"), Line(2, "b", "./b")]),
    (b"minha\\ foto.png ./a.png\n", [Line(1, "minha foto.png", "./a.png")]),
    (b"a.txt ./a\\ b.png\n", [Line(1, "a.txt", "./a\\ b.png")]),
    (b'"minha foto.png" "C:\\x y\\z"\n', [Line(1, "minha foto.png", "C:\\x y\\z")]),
    (b"a.txt 'C:\\x y'\n", [Line(1, "a.txt", "'C:\\x y'")]),
    (b"a\x00b ./x\n", [Line(1, "a\x00b", "./x")]),  # names.check refuses it later
    (b"x" * 100_000, [Problem(1, "no-path", "x" * 100_000)]),
]


@pytest.mark.parametrize(("data", "entries"), LISTS, ids=lambda value: ascii(value)[:30])
def test_a_list_is_read_line_by_line(data, entries):
    assert list(parse(LIST, data)) == entries


@pytest.mark.parametrize(
    ("data", "entries"),
    [
        ("a ./ação\r\nb ./b\r\n".encode("utf-16"), (Line(1, "a", "./ação"), Line(2, "b", "./b"))),
        (codecs.BOM_UTF16_BE + "a ./ç\n".encode("utf-16-be"), (Line(1, "a", "./ç"),)),
        (codecs.BOM_UTF16_LE + b"a\0 \0b\0\0", (Line(1, "a", "b\ufffd"),)),  # cut in a character
        (codecs.BOM_UTF16_LE + b"a\0 \0\0\xd8", (Line(1, "a", "\ufffd"),)),
    ],
    ids=["little", "big", "cut", "half a pair"],
)
def test_a_list_of_windows_notepad_is_read(tmp_path, data, entries):
    (tmp_path / "lista.txt").write_bytes(data)
    assert list_file.read(tmp_path / "lista.txt") == entries


def test_a_url_of_windows_is_a_path_there():
    assert list_file._read_url("file:///C:/x%20y/%C3%A7.png") == "C:/x y/ç.png"
    assert list_file._read_url("file:///c:/a") == "c:/a"


@pytest.mark.parametrize("text", ["~日/a", "~a\0b/c", "~\udcff"])
def test_a_user_that_no_system_can_name_is_part_of_the_path(monkeypatch, text):
    def fail(name):
        raise UnicodeEncodeError("iso-8859-1", text, 1, 2, "not in it")

    monkeypatch.setattr(os.path, "expanduser", fail)
    assert list_file.expand_user(text) == text
