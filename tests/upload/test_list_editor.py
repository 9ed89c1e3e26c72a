"""A rewritten list: what is changed, and all that stays, whatever happens meanwhile."""

from __future__ import annotations

import codecs
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from processes import PATIENCE

from rede_p2p.content import disk
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.safe_names import path_of
from rede_p2p.errors import DiskError, RedeError, ShareListError, UnsafeNameError
from rede_p2p.timeouts import DEFAULT
from rede_p2p.upload import list_editor, list_file
from rede_p2p.upload.list_file import Line

HASTY = DEFAULT._replace(list_edit_s=0.0)
posix = pytest.mark.skipif(os.name == "nt", reason="names and permissions of a POSIX system")


@pytest.fixture
def lista(tmp_path):
    """A list beside two files and a folder."""
    for name in ("a.txt", "b c.txt"):
        (tmp_path / name).write_bytes(b"a")
    (tmp_path / "pasta").mkdir()
    return tmp_path / "lista.txt"


def meant(lista):
    """Return the names of a list, each with the path that it leads to."""
    lines = [line for line in list_file.read(lista) if isinstance(line, Line)]
    return [(line.name, list_file.find(lista.parent, line.path)) for line in lines]


def alone(lista):
    """Tell whether nothing lies beside a list but what its tests put there."""
    return not [path for path in lista.parent.iterdir() if path.name.endswith(".parte")]


def add(lista, name, path="a.txt"):
    return list_editor.add(lista, name, str(lista.parent / path))


# What stays.

TEXTS = [  # each with its line end, and whether its last line lacks one
    ("", os.linesep, False),
    ("# comentário\n\n  # outro\nb ./b\n", "\n", False),
    ("b ./b", os.linesep, True),
    ("# a\r\nb ./b", "\r\n", True),
    ("b ./b\r\n\r\n# ção\r\n", "\r\n", False),
    ("b ./b\r# antigo\r", "\r", False),
    ("b ./b\n\r\nmisto ./m\r\n", "\n", False),
    ("isto não é uma linha\n", "\n", False),
    ("b ./x\x0b\x0c\x85\u2028y\n", "\n", False),  # ends of a line for str.splitlines() alone
]
CODECS = [(b"", "utf-8"), (codecs.BOM_UTF8, "utf-8")]
CODECS += [(codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")]


@pytest.mark.parametrize(("mark", "codec"), CODECS, ids=lambda value: str(value))
@pytest.mark.parametrize(("text", "end", "lacks"), TEXTS, ids=lambda value: ascii(value)[:20])
def test_a_line_is_added_behind_all_others_and_taken_away(lista, mark, codec, text, end, lacks):
    old = mark + (text + end * lacks).encode(codec)
    lista.write_bytes(mark + text.encode(codec))
    before = meant(lista)
    assert add(lista, "ç.txt", "b c.txt")
    assert lista.read_bytes() == old + f"ç.txt ./b c.txt{end}".encode(codec)
    assert meant(lista) == [*before, ("ç.txt", f"{lista.parent}/./b c.txt")]
    assert list_editor.remove(lista, "ç.txt") == ["ç.txt"]
    assert lista.read_bytes() == old


def test_a_line_that_is_not_utf_8_stays_byte_by_byte(lista):
    old = b"# coment\xe1rio\na\xe7\xe3o ./x\nfora ./y\n"
    lista.write_bytes(old)
    assert add(lista, "a.txt")
    assert list_editor.remove(lista, "fora") == ["fora"]
    assert lista.read_bytes() == old.replace(b"fora ./y\n", b"a.txt ./a.txt\n")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.lists(st.sampled_from([b"x ./y", b"#", b"\n", b"\r", b"\r\n", b"\xff", b'"'])))
def test_of_any_list_all_bytes_stay(tmp_path, data):
    lista, old = tmp_path / "lista.txt", b"".join(data)
    (tmp_path / "a.txt").touch()
    lista.write_bytes(old)
    assert add(lista, "novo")
    assert lista.read_bytes().startswith(old)
    assert list_editor.remove(lista, "novo") == ["novo"]
    left = lista.read_bytes()
    assert left.startswith(old)
    assert left.removeprefix(old) in (b"", b"\n", b"\r", b"\r\n")


def test_every_line_of_a_name_goes_and_the_others_stay(lista):
    lista.write_bytes(b"a ./1\nb ./2\n# a\na ./3\nab ./4\n")
    assert list_editor.remove(lista, "a") == ["a"]
    assert lista.read_bytes() == b"b ./2\n# a\nab ./4\n"
    assert list_editor.remove(lista, "a") == []
    assert lista.read_bytes() == b"b ./2\n# a\nab ./4\n"


def test_a_name_is_removed_as_it_looks_and_a_folder_with_its_slash(lista):
    lista.write_text('"a\u0303o\u00a0x" ./1\npasta ./pasta\n', encoding="utf-8")
    assert list_editor.remove(lista, "ão x") == ["a\u0303o\u00a0x"]
    assert list_editor.remove(lista, "pasta/") == ["pasta"]
    assert lista.read_bytes() == b""


@posix
def test_a_linked_list_stays_a_link_and_keeps_its_permissions(lista, tmp_path):
    real = tmp_path / "outra" / "real.txt"
    real.parent.mkdir()
    real.write_bytes(b"")
    real.chmod(0o640)
    lista.symlink_to("outra/real.txt")
    assert add(lista, "a.txt")
    assert lista.is_symlink()
    assert real.read_bytes() == b"a.txt ./a.txt\n"  # seen from the folder of the link
    assert real.stat().st_mode & 0o777 == 0o640
    assert [*real.parent.iterdir()] == [real]


def test_a_list_that_is_not_there_yet_is_made(lista):
    assert add(lista, "a.txt")
    assert meant(lista) == [("a.txt", f"{lista.parent}/./a.txt")]
    assert alone(lista)


# How a line is written.


@pytest.mark.parametrize(
    "name",
    [
        "a.txt",
        "minha foto.png",
        "#a",
        'a"b',
        'com " aspas',
        "a\u00a0b",
        "it's",
        "p/q r",
        "c#",
        "ção",
    ],
)
@pytest.mark.parametrize("folder", ["x", " x ", "x y", "#x", "~x", 'x"', "x'", "x%20y", "file:"])
@posix
def test_every_name_and_path_is_read_as_it_was_meant(lista, name, folder):
    path = lista.parent / folder / "fim "
    path.mkdir(parents=True)
    assert add(lista, name, f"{folder}/fim ")
    (found,) = meant(lista)
    assert found[0] == name
    assert Path(found[1]).samefile(path)


def test_what_is_elsewhere_is_named_by_its_whole_path(lista, tmp_path_factory):
    path = tmp_path_factory.mktemp("longe") / "z"
    path.touch()
    assert list_editor.add(lista, "z", str(path))
    assert lista.read_text(encoding="utf-8") == f"z {path}{os.linesep}"


@posix
@pytest.mark.parametrize(
    ("name", "path"), [("a", "x\ny"), ("a", os.fsdecode(b"x\xff")), ('"a b', "x")], ids=ascii
)
def test_what_no_line_can_say_is_refused(lista, name, path):
    (lista.parent / path).touch()
    lista.write_bytes(b"b ./b\n")
    with pytest.raises(ShareListError) as caught:
        add(lista, name, path)
    assert caught.value.kind == "no-line"
    assert lista.read_bytes() == b"b ./b\n"


def test_a_taken_name_is_refused_and_the_same_file_is_no_news(lista):
    assert add(lista, "a.txt")
    old = lista.read_bytes()
    assert not add(lista, "a.txt")
    with pytest.raises(ShareListError) as caught:
        add(lista, "a.txt", "pasta")
    assert (caught.value.kind, caught.value.text) == ("taken", "a.txt")
    with pytest.raises(UnsafeNameError):
        add(lista, "../a")
    assert lista.read_bytes() == old
    assert alone(lista)


# The path that was typed.


@posix
def test_a_path_is_found_as_it_is_typed_or_dragged(lista, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "pasta")
    monkeypatch.setenv("HOME", str(tmp_path))
    path = str(tmp_path / "b c.txt")
    for typed in (path, "../b c.txt", "~/b c.txt", "'" + path + "'", path.replace(" ", "\\ "),
                  "file://" + path.replace(" ", "%20")):  # fmt: skip
        assert list_editor.find_path(typed) == path
    assert list_editor.find_path(".") == str(tmp_path / "pasta")
    (tmp_path / "pasta" / "link").symlink_to("/usr/bin")
    assert list_editor.find_path("link/../bin") == str(tmp_path / "pasta" / "link/../bin")


@posix
@pytest.mark.parametrize(
    ("typed", "kind"), [("nada", "missing"), ("a\0b", "missing"), ("/dev/null", "not-file")]
)
def test_what_cannot_be_shared_is_told(typed, kind):
    with pytest.raises(DiskError) as caught:
        list_editor.find_path(typed)
    assert caught.value.kind == kind


# What goes wrong.


@posix
@pytest.mark.parametrize("bare", ["list", "folder"])
def test_a_list_that_may_not_be_written_is_told_by_its_name(lista, bare):
    lista.write_bytes(b"b ./b\n")
    place = lista if bare == "list" else lista.parent
    place.chmod(0o500)
    if os.access(place, os.W_OK):
        pytest.skip("root may write everywhere")
    try:
        with pytest.raises(DiskError) as caught:
            add(lista, "a.txt")
    finally:
        place.chmod(0o700)
    assert (caught.value.kind, caught.value.path) == ("denied", str(lista))
    assert lista.read_bytes() == b"b ./b\n"


@pytest.mark.parametrize(
    "data", [b"\x7fELF\0", codecs.BOM_UTF16_LE + b"a\0 \0b"], ids=["program", "cut"]
)
def test_what_is_no_list_is_never_rewritten(lista, data):
    lista.write_bytes(data)
    with pytest.raises(DiskError) as caught:
        add(lista, "a.txt")
    assert caught.value.kind == "not-list"
    assert lista.read_bytes() == data


def test_a_list_that_another_program_rewrites_for_ever_is_told(lista):
    with PartialFile(list_editor.lock_path(lista)), pytest.raises(DiskError) as caught:
        list_editor.add(lista, "a.txt", str(lista.parent / "a.txt"), HASTY)
    assert (caught.value.kind, caught.value.path) == ("in-use", str(lista))


@pytest.mark.parametrize("saves", [1, list_editor.MAX_ATTEMPTS])
def test_what_an_editor_saves_meanwhile_is_kept(lista, monkeypatch, saves):
    lista.write_bytes(b"b ./b\n")
    fill, left = list_editor._fill, iter(range(saves))

    def fill_late(*words):
        fill(*words)
        if (number := next(left, None)) is not None:
            lista.with_name("novo").write_bytes(b"c ./c%d\n" % number)
            lista.with_name("novo").replace(lista)

    monkeypatch.setattr(list_editor, "_fill", fill_late)
    try:
        add(lista, "a.txt")
    except RedeError as error:
        assert (error.kind, saves) == ("in-use", list_editor.MAX_ATTEMPTS)
        assert lista.read_bytes() == b"c ./c%d\n" % (saves - 1)
    else:
        assert (lista.read_bytes(), saves) == (b"c ./c0\na.txt ./a.txt\n", 1)


@pytest.mark.parametrize("step", ["write_whole", "flush"])
def test_of_a_full_disk_nothing_is_left(lista, monkeypatch, step):
    lista.write_bytes(b"b ./b\n")

    def refuse(partial, *_):
        raise DiskError(str(partial.path), "full")

    monkeypatch.setattr(PartialFile, step, refuse)
    with pytest.raises(DiskError):
        add(lista, "a.txt")
    assert lista.read_bytes() == b"b ./b\n"
    assert alone(lista)


def test_the_new_list_is_on_the_disk_before_it_takes_the_place_of_the_old(lista, monkeypatch):
    lista.write_bytes(b"b ./b\n")
    seen = []
    for owner, name in ((os, "fsync"), (Path, "replace"), (disk, "sync_folder")):
        real = getattr(owner, name)

        def note(*words, name=name, real=real):
            seen.append((name, lista.read_bytes()))
            return real(*words)

        monkeypatch.setattr(owner, name, note)
    add(lista, "a.txt")
    old, new = b"b ./b\n", b"b ./b\na.txt ./a.txt\n"
    assert [one for one in seen if one[0] != "fsync"] == [("replace", old), ("sync_folder", new)]
    assert seen[0] == ("fsync", old)


def test_what_a_crash_has_left_is_no_part_of_the_next_list(lista):
    path_of(lista).write_bytes(b"metade de outra lista, bem mais comprida" * 9)
    assert add(lista, "a.txt")
    assert lista.read_text(encoding="utf-8") == f"a.txt ./a.txt{os.linesep}"


def test_of_many_programs_at_once_each_adds_its_line(lista):
    code = (
        "import sys; from pathlib import Path; from rede_p2p.upload import list_editor;"
        "[list_editor.add(Path(sys.argv[1]), f'{sys.argv[2]}-{n}', sys.argv[3]) for n in range(5)]"
    )
    path = str(lista.parent / "a.txt")

    def run(number):
        words = [sys.executable, "-c", code, str(lista), str(number), path]
        return subprocess.run(words, cwd=ROOT, timeout=PATIENCE, check=False).returncode

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(run, range(4))] == [0] * 4
    assert alone(lista)
    names = [name for name, _ in meant(lista)]
    assert sorted(names) == sorted(f"{program}-{n}" for program in range(4) for n in range(5))
