"""The start from one file: the compiled copy, when it is used, and when it is not."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import pytest

from rede_p2p.cli import zipapp, zipapp_main
from rede_p2p.cli.zipapp_main import Archive, enter, run

SOURCES = {
    "pacote/__init__.py": b"",
    "pacote/dentro.py": b"def says():\n    return 'dentro'\n",
    "velho.py": b"says = '\\d'\n",  # newer Pythons warn of that
}


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "rede.pyz"
    path.write_bytes(zipapp.make(SOURCES).data)
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache" / "rede-p2p"
    monkeypatch.setattr(zipapp_main, "cache_folder", lambda: folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return folder / "programa"


@pytest.fixture
def entered(archive, cache, monkeypatch):
    """Return a function that enters the archive, and returns where modules come from then."""

    def come_from():
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", [str(archive), "elsewhere"])
            patch.setattr(sys, "modules", dict(sys.modules))
            started = enter(str(archive))
            assert started == Archive(str(archive), sha256(archive.read_bytes()).hexdigest())
            ours = [name for name in sys.modules if name.partition(".")[0] == "rede_p2p"]
            assert bool(ours) == (sys.path[0] == str(archive))  # else they are imported again
            return sys.path[0]

    return come_from


def says(place):
    """Import from there, in another process, and return what a module says."""
    code = "import sys; sys.path[:1] = [sys.argv[1]]; from pacote import dentro as d; import velho"
    told = f"{code}; print(d.says(), d.__file__)"
    words = [sys.executable, "-c", told, str(place)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()


def test_the_first_start_makes_a_copy_that_the_others_use(entered, cache):
    first, again = entered(), entered()
    (copy,) = cache.iterdir()
    assert first == again == str(copy)
    said, where = says(copy)
    assert said == "dentro" and where.startswith(str(copy))
    with zipfile.ZipFile(copy) as inside:
        names = {"pacote/__init__.pyc", "pacote/dentro.pyc", "velho.pyc"}
        assert set(inside.namelist()) == names


def test_another_archive_has_another_copy(entered, archive, cache):
    entered()
    archive.write_bytes(zipapp.make({**SOURCES, "novo.py": b""}).data)
    entered()
    assert len({*cache.iterdir()}) == 2


@pytest.mark.skipif(os.name == "nt", reason="the modes of Unix")
def test_the_copy_and_its_folder_are_for_this_user_alone(entered, cache):
    before = os.umask(0)
    try:
        entered()
    finally:
        os.umask(before)
    (copy,) = cache.iterdir()
    assert [path.stat().st_mode & 0o777 for path in (cache, copy)] == [0o700, 0o600]


@pytest.mark.parametrize(
    "harm",
    [
        lambda copy: copy.write_bytes(b""),
        lambda copy: copy.write_bytes(copy.read_bytes()[:-1]),
        lambda copy: copy.write_bytes(bytes(copy.stat().st_size)),
        lambda copy: copy.write_bytes(copy.read_bytes().replace(b"dentro", b"dentr0")),
        lambda copy: copy.chmod(0o602),
        lambda copy: copy.chmod(0o620),
        lambda copy: copy.rename(copy.with_name("x")) and copy.symlink_to("x"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="the modes of Unix")
def test_a_copy_that_may_be_another_is_made_again(entered, cache, harm):
    copy = cache / Path(entered()).name
    harm(copy)
    assert entered() == str(copy)
    assert says(copy)[0] == "dentro" and copy.lstat().st_mode == 0o100600


def test_a_copy_of_somebody_else_is_not_used(entered, cache, monkeypatch):
    entered()
    monkeypatch.setattr(os, "geteuid", lambda: 12345, raising=False)
    if os.name != "nt":
        assert entered() != str(next(cache.iterdir()))


def a_file(cache):
    cache.parent.mkdir(parents=True)
    cache.write_bytes(b"")


def open_to_others(cache):
    cache.mkdir(parents=True)
    cache.chmod(0o777)


def a_link(cache):
    cache.parent.mkdir(parents=True)
    (cache.parent / "real").mkdir()
    cache.symlink_to("real")


@pytest.mark.skipif(os.name == "nt", reason="the modes of Unix")
@pytest.mark.parametrize("place", [a_file, open_to_others, a_link])
def test_without_a_private_folder_it_runs_from_the_archive(entered, archive, cache, place):
    place(cache)
    assert entered() == str(archive)
    assert says(archive)[0] == "dentro"
    assert not cache.is_dir() or not [*cache.iterdir()]


def test_without_a_home_too(entered, archive, monkeypatch):
    monkeypatch.setattr(zipapp_main, "cache_folder", lambda: None)
    assert entered() == str(archive)


def test_who_wants_no_compiled_files_gets_none(entered, archive, cache, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert entered() == str(archive)
    assert not [*cache.iterdir()]


def test_a_disk_without_links_or_room_leaves_nothing_behind(entered, archive, cache, monkeypatch):
    def refuses(*_):
        raise OSError

    monkeypatch.setattr(os, "link", refuses)
    assert entered() == str(archive)
    assert not [*cache.iterdir()]


def test_a_copy_that_another_start_has_made_meanwhile_is_used(entered, cache, monkeypatch):
    link, made = os.link, []

    def later(name, path):
        made.append(path.write_bytes(Path(name).read_bytes()))
        path.chmod(0o600)
        link(name, path)

    monkeypatch.setattr(os, "link", later)
    assert entered() == str(next(cache.iterdir()))
    assert made and len([*cache.iterdir()]) == 1


@pytest.mark.parametrize(
    ("words", "program", "given"),
    [
        ([], "Peers", []),
        (["10.0.0.7", "9450"], "Peers", ["10.0.0.7", "9450"]),
        (["servidor"], "Servidor", []),
        (["servidor", "9450"], "Servidor", ["9450"]),
        (["--nome", "servidor"], "Peers", ["--nome", "servidor"]),
    ],
)
def test_the_first_word_says_which_program_runs(monkeypatch, words, program, given):
    def main():
        assert sys.argv == ["rede.pyz", *given]
        return 7

    module = ModuleType(program)
    module.main = main
    monkeypatch.setitem(sys.modules, program, module)
    monkeypatch.setattr(sys, "argv", ["rede.pyz", *words])
    assert run() == 7
