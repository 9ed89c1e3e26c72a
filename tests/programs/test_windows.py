"""Both programs on Windows' own Python, with those on Linux beside them, both ways."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from contextlib import closing

import pytest
from conftest import ROOT
from processes import Program, beside, eventually, network
from wine import HOME, SLOW, both_systems, needs_wine, windows_path

pytestmark = needs_wine

LARGE = random.Random(15).randbytes(30 * 1024 * 1024)
FILES = {
    "grande.bin": LARGE,
    "pasta/ação 1.txt": "é isso\r\n".encode(),
    "pasta/sub/açaí.txt": b"sub",
    **{f"pasta/n{number}": bytes([number]) * number for number in range(40)},
}


@pytest.fixture(scope="module")
def rede(tmp_path_factory):
    """A tracker and a peer on Windows, a peer on Linux, each sharing FILES; and two starters."""
    folder = tmp_path_factory.mktemp("windows")
    with both_systems(folder) as (linux, windows):
        windows.tracker()
        windows.elsewhere, linux.elsewhere = beside(linux.ip, 1), beside(linux.ip, 2)
        windows.peer("--servir", ip=windows.elsewhere, files=listed(folder / "w", FILES))
        hard = {**FILES, "o quê?.txt": b"?", "Foto.JPG": b"large", "foto.jpg": b"small"}
        linux.peer("--servir", ip=linux.elsewhere, files=listed(folder / "l", hard))
        yield linux, windows


def listed(folder, files):
    """Write files under their own names, and a list with the line ends of Windows."""
    names = set()
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        names.add(name.partition("/")[0])
    path = folder / "lista.txt"
    path.write_bytes("".join(f'"{name}" "{name}"\r\n' for name in sorted(names)).encode())
    return path


def arrived(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def end_of(programs, script, *words, folder):
    given = programs.words(*words, "-c", script, ip=beside(programs.ip, 3), downloads=folder)
    return programs.start(*given).end(SLOW)


def test_linux_fetches_from_windows_what_is_large_in_a_folder_and_accented(rede, tmp_path):
    linux, windows = rede
    script = f"get {windows.elsewhere} grande.bin; get {windows.elsewhere} pasta/"
    assert end_of(linux, script, folder=tmp_path).status == 0
    assert arrived(tmp_path) == FILES


def test_windows_fetches_from_linux_and_says_so_in_utf_8(rede, tmp_path):
    linux, windows = rede
    script = f"peers; get {linux.elsewhere} grande.bin; get {linux.elsewhere} pasta/"
    ended = end_of(windows, script, "--json", folder=tmp_path)
    assert (ended.status, arrived(tmp_path)) == (0, FILES)
    facts = [json.loads(line) for line in ended.out.splitlines()]
    paths = {fact["name"]: fact["path"] for fact in facts if "path" in fact}
    assert paths["pasta/ação 1.txt"] == windows_path(tmp_path / "pasta/ação 1.txt")
    assert "minha porta pública é" in ended.err


def test_what_windows_cannot_write_is_named_and_the_rest_comes(rede, tmp_path):
    linux, windows = rede
    script = f"get {linux.elsewhere} 'o quê?.txt' pasta/sub/"
    ended = end_of(windows, script, folder=tmp_path)
    assert (ended.status, arrived(tmp_path)) == (9, {"pasta/sub/açaí.txt": b"sub"})
    assert re.search(r"este disco.*: .*o quê\?\.txt", ended.out + ended.err)


def test_names_that_differ_in_case_alone_both_come(rede, tmp_path):
    linux, windows = rede
    ended = end_of(windows, f"get {linux.elsewhere} Foto.JPG foto.jpg", folder=tmp_path)
    assert (ended.status, sorted(arrived(tmp_path).values())) == (0, [b"large", b"small"])


def test_a_windows_download_that_was_killed_goes_on_where_it_was(rede, tmp_path):
    linux, windows = rede
    slow, downloads = beside(linux.ip, 3), tmp_path / "baixados"
    data = LARGE[::-1]
    lista = listed(tmp_path / "lento", {"lento.bin": data})
    partial = downloads / "lento.bin.parte"
    words = windows.words("-c", f"get {slow} lento.bin", downloads=downloads)
    with network(tmp_path, linux.prefix) as source:
        source.ip, source.port = linux.ip, linux.port
        slow_one, _ = source.peer("--servir", "--limite", "8M", ip=slow, files=lista)
        first = windows.start(*words)
        eventually(lambda: partial.exists() and partial.stat().st_blocks * 512 > len(data) // 4)
        first.close()
        slow_one.interrupt()
        slow_one.end()
        source.peer("--servir", ip=slow, files=lista)
        second = windows.start(*words)
        second.says(r"continuando de \d+ %", within=SLOW)
        assert second.end(SLOW).status == 0
    assert arrived(downloads) == {"lento.bin": data}


def test_a_name_typed_through_a_pipe_is_utf_8(rede, tmp_path):
    linux, windows = rede
    program = windows.start(*windows.words(ip=beside(linux.ip, 3), downloads=tmp_path))
    program.send("\ufeff" + f"get {linux.elsewhere} 'pasta/ação 1.txt'", "quit")
    assert program.end(SLOW).status == 0
    assert list(arrived(tmp_path)) == ["pasta/ação 1.txt"]


def test_two_clicks_prepare_all_the_first_time_and_open_the_menu(rede, tmp_path):
    linux, windows = rede
    folder = tmp_path / "Área de trabalho" / "rede p2p"
    ours = ("rede_p2p", "arquivos_compartilhaveis")
    for name in ours:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Rede.bat", "Peers.py", "Servidor.py", "requirements.txt", "meus_arquivos.txt"):
        shutil.copy(ROOT / name, folder)
    words = (linux.ip, str(linux.port), "--ip", beside(linux.ip, 3))
    for _ in ("the first time", "and again"):
        status, shown = windows.batch(folder / "Rede.bat", *words, typed="peers\nquit\n")
        assert (status, f"{beside(linux.ip, 3)}\t" in shown) == (0, True), shown
    assert "Preparando" not in shown and "Press any key" not in shown
    status, shown = windows.batch(folder / "Rede.bat", "--nada", typed="\n")
    assert (status, "Press any key" in shown) == (2, True)  # the window stays, to be read


def test_the_program_in_one_file_fetches_serves_and_hands_itself_on(rede, tmp_path):
    linux, windows = rede
    home, elsewhere = tmp_path / "Área de trabalho", beside(linux.ip, 3)
    home.mkdir()
    pyz = home / "rede.pyz"
    assert linux.start("Servidor.py", "--empacotar", str(pyz)).end().status == 0
    (home / "nosso.txt").write_bytes(b"nosso")
    os.utime(home / "nosso.txt", (1_500_000_000,) * 2)
    (home / "meus_arquivos.txt").write_text("nosso.txt nosso.txt\r\n")
    environment = windows.environment()

    def start(*words):  # as a person does: compiled files are kept, and the folder is this one
        command = [*windows.prefix, str(HOME / "python"), "rede.pyz", *words]
        return closing(Program(command, environment, home))

    network_words = [linux.ip, str(linux.port), "--ip", elsewhere]
    for copy in ("a", "b"):  # made by what was just compiled, and by what was found compiled
        with start("servidor", "--empacotar", copy) as packing:
            assert packing.end(SLOW).status == 0
        assert (home / copy).read_bytes() == pyz.read_bytes()
    with start(*network_words, "--servir") as serving:
        serving.says("minha porta", within=SLOW)
        with start(*network_words, "-c", f"get {linux.elsewhere} pasta/") as fetching:
            assert fetching.end(SLOW).status == 0
        got = end_of(linux, f"get {elsewhere} nosso.txt", folder=tmp_path / "l")
    assert (got.status, arrived(tmp_path / "l")) == (0, {"nosso.txt": b"nosso"})
    there = arrived(home / "arquivos_baixados")
    assert there == {name: data for name, data in FILES.items() if name.startswith("pasta/")}
    with start("--ajuda") as helping:
        assert helping.end(SLOW).out.startswith("uso: py rede.pyz [")


DISK_FACTS = r"""
import os, sys
from pathlib import Path
from rede_p2p.content import disk, on_windows
from rede_p2p.content.merkle import MAX_CONTENT_BYTES
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.safe_names import finals, path_of
from rede_p2p.errors import DiskError

def kind_of(act):
    try:
        return act() and None
    except DiskError as error:
        return error.kind

top = Path(on_windows.long_path(sys.argv[1]))
final = top.joinpath(*["p" * 100] * 3, "último.txt")  # more than 260 characters
assert on_windows.LOCKED_OFFSET_BYTES > MAX_CONTENT_BYTES
with PartialFile(path_of(final)) as ours:
    assert kind_of(lambda: PartialFile(path_of(final))) == "busy"
    ours.write_whole(b"whole")
    with disk.open_regular(ours.path) as reader:  # somebody fetches from us
        assert reader.read() == b"whole"  # which the lock does not hide
        assert ours.publish(finals(final), lambda path: False) == final
        assert not disk.has_link(top, final)
with PartialFile(path_of(final)) as ours:
    assert ours.publish(finals(final), lambda path: False).name == "último (1).txt"
with PartialFile(path_of(final)) as ours, disk.open_regular(ours.path):
    ours.discard()
assert sorted(os.listdir(final.parent)) == ["último (1).txt", "último.txt"]
assert final.read_bytes() == b"whole"

held = PartialFile(path_of(final))
with open(path_of(final), "rb"):  # as another program opens it, which lets nobody rename it
    assert kind_of(lambda: held.publish(finals(top / "x"), lambda path: False)) == "in-use"
held.close()
with PartialFile(path_of(final)) as ours:
    assert ours.publish(finals(top / "x"), lambda path: False) == top / "x"

os.link(final, path_of(final))  # published by a program that died half-way
with PartialFile(path_of(final)) as ours:
    ours.write_whole(b"other")
assert final.read_bytes() == b"whole"
with PartialFile(top / "a.parte") as ours:
    Path(top / "b.parte").write_bytes(b"b")
    with ours.replaced_by(top / "b.parte") as moved:
        assert moved.path == top / "a.parte" and moved.path.read_bytes() == b"b"
assert kind_of(lambda: PartialFile(top / 'q?.parte')) == "name"
assert on_windows.short(str(top)) == sys.argv[1]
"""


def test_a_windows_disk_locks_renames_and_takes_long_paths(rede, tmp_path):
    rede[1].python(DISK_FACTS, windows_path(tmp_path))
    assert [path.name for path in tmp_path.rglob("último*.txt")]
