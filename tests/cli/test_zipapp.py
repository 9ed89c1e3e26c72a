"""The program in one file: what is in it, that its bytes stay the same, and where it is written."""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from threading import Barrier, Thread

import pytest
from conftest import ROOT

from rede_p2p.cli import zipapp
from rede_p2p.cli.zipapp import Packed, make, packed, write
from rede_p2p.cli.zipapp_main import Archive
from rede_p2p.errors import BadUsageError, DiskError
from rede_p2p.events import ProgramPacked

MADE = Packed(b"made", "")


@pytest.fixture
def unmade(monkeypatch):
    monkeypatch.setattr(zipapp, "_packed", None)


def in_it(made):
    with zipfile.ZipFile(io.BytesIO(made.data)) as archive:
        return {info: archive.read(info) for info in archive.infolist()}


def test_it_has_every_module_of_ours_and_of_rich_and_nothing_else(unmade):
    inside = {info.filename: data for info, data in in_it(packed(lambda _: None)).items()}
    ours = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in [*(ROOT / "rede_p2p").rglob("*.py"), ROOT / "Peers.py", ROOT / "Servidor.py"]
    }
    assert inside.items() >= ours.items()
    rest = {name for name in inside.keys() - ours.keys() if not name.startswith("rich/")}
    assert rest == {"__main__.py", "LICENSE.txt"} and "rich/console.py" in inside


def test_the_license_is_the_one_of_the_project_with_richs_name():
    ours = (ROOT / "LICENSE").read_text(encoding="utf-8").splitlines()
    told = zipapp.LICENSE.splitlines()
    assert [line for line in told if not line.startswith("Copyright")] == [
        line for line in ours if not line.startswith("Copyright")
    ]
    assert told[2].startswith(ours[2]) and "Will McGugan" in told[3]


def test_the_bytes_depend_on_nothing_but_the_sources(tmp_path, unmade, monkeypatch):
    first = packed(lambda _: None)
    assert first.sha256 == hashlib.sha256(first.data).hexdigest()
    for name in ("rede_p2p", "rich"):  # elsewhere, in another order, with other times and line ends
        for info, data in reversed(in_it(first).items()):
            if info.filename.startswith(f"{name}/") or "/" not in info.filename:
                path = tmp_path / info.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data.replace(b"\n", b"\r\n"))
                path.chmod(0o700)
    for other in ("rede_p2p/__pycache__/a.pyc", "rede_p2p/notas.txt", "Peers.pyc", "tests.py"):
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_bytes(b"")
    monkeypatch.setattr(zipapp.installation, "PLACE", tmp_path)
    monkeypatch.setattr(zipapp, "_packed", None)
    assert packed(lambda _: None) == first
    for info in in_it(first):
        assert (info.date_time, info.create_system) == ((1980, 1, 1, 0, 0, 0), 3)
        assert (info.external_attr >> 16, info.compress_type) == (0o100644, zipfile.ZIP_STORED)


def test_it_is_made_once_for_all_who_ask_and_its_digest_is_told_once(unmade):
    told, given, together = [], [], Barrier(4)

    def ask():
        together.wait()
        given.append(packed(told.append))

    threads = [Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(made) for made in given}) == 1
    assert told == [ProgramPacked("rede.pyz", given[0].sha256)]


@pytest.fixture
def started(tmp_path, monkeypatch, unmade):
    """Have the program believe that it was started from this file."""
    path = tmp_path / "minha rede.pyz"
    path.write_bytes(b"as it was")
    was = Archive(str(path), hashlib.sha256(b"as it was").hexdigest())
    monkeypatch.setattr(zipapp.installation, "is_in_one_file", lambda: True)
    monkeypatch.setattr(sys.modules["__main__"], "REDE_PYZ", was, raising=False)
    return path


def test_one_that_runs_from_such_a_file_hands_the_same_on(started):
    assert packed(lambda _: None).data == b"as it was"
    started.unlink()
    assert packed(lambda _: None).data == b"as it was"  # it is kept


@pytest.mark.parametrize("data", [None, b"", b"as it was not"])
def test_if_that_file_is_another_by_now_nothing_is_handed_on(started, data):
    started.unlink()
    if data is not None:
        started.write_bytes(data)
    with pytest.raises(DiskError):
        packed(lambda _: None)


def test_a_program_that_only_imports_ours_from_there_has_nothing_to_hand_on(started, monkeypatch):
    monkeypatch.delattr(sys.modules["__main__"], "REDE_PYZ")
    with pytest.raises(DiskError):
        packed(lambda _: None)


def test_it_is_written_to_a_path_or_into_a_folder(tmp_path):
    for wanted, expected in ((tmp_path, "rede.pyz"), (tmp_path / "nova" / "a", "nova/a")):
        for _ in ("first", "again"):
            assert write(wanted, MADE) == tmp_path / expected
            assert (tmp_path / expected).read_bytes() == MADE.data
    assert not [*tmp_path.rglob("*.parte")]


@pytest.mark.parametrize("there", [b"", b"made by somebody else", b"mad"])
def test_another_file_of_that_name_stays(tmp_path, there):
    (tmp_path / "rede.pyz").write_bytes(there)
    for wanted in (tmp_path, tmp_path / "rede.pyz"):
        with pytest.raises(BadUsageError) as raised:
            write(wanted, MADE)
        assert (raised.value.kind, raised.value.text) == ("empacotar", str(tmp_path / "rede.pyz"))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("rede.pyz", there)]


def test_one_that_appears_meanwhile_stays_too(tmp_path, monkeypatch):
    path = tmp_path / "a"
    monkeypatch.setattr(type(path), "exists", lambda _: False)
    path.write_bytes(b"other")
    with pytest.raises(BadUsageError):
        write(path, MADE)
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"other"]


def test_where_nothing_can_be_written_that_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DiskError):
        write(tmp_path / "file" / "rede.pyz", MADE)


def test_names_keep_their_order_and_slashes_on_every_system():
    made = make({"rich/b.py": b"", "a.py": b"1"})
    assert [info.filename for info in in_it(made)] == [
        "LICENSE.txt", "__main__.py", "a.py", "rich/b.py",
    ]  # fmt: skip
