"""What Windows alone needs, as far as it can be seen elsewhere."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from queue import Queue
from types import SimpleNamespace

import pytest
from conftest import ROOT
from listening import SOON

from rede_p2p.content import disk, merkle, on_windows
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.errors import DiskError, PortUnavailableError
from rede_p2p.net import listener
from rede_p2p.net.listener import Listener
from rede_p2p.upload.share_list import ShareList


@pytest.mark.parametrize(
    ("typed", "long"),
    [
        (r"C:\Users\Zé\baixados", r"\\?\C:\Users\Zé\baixados"),
        (r"C:/Users/Zé/./x/../baixados", r"\\?\C:\Users\Zé\baixados"),
        (r"\\servidor\pasta\a.txt", r"\\?\UNC\servidor\pasta\a.txt"),
        (r"\\?\C:\a", r"\\?\C:\a"),
        (r"\\.\pipe\a", r"\\.\pipe\a"),
    ],
)
def test_a_path_of_windows_may_have_more_than_260_characters(typed, long):
    assert on_windows.extended(typed) == long
    assert not on_windows.short(long).startswith("\\\\?\\")
    assert on_windows.extended(on_windows.short(long)) == long


def test_elsewhere_a_path_stays_as_it_is():
    assert on_windows.long_path("/tmp/a") == on_windows.short("/tmp/a") == "/tmp/a"


def test_no_content_reaches_the_byte_that_is_locked():
    assert on_windows.LOCKED_OFFSET_BYTES > merkle.MAX_CONTENT_BYTES


def test_a_file_that_another_program_has_open_for_a_moment_is_renamed_after_it():
    refusals = [PermissionError(13, "open"), PermissionError(13, "still open")]

    def rename():
        if refusals:
            raise refusals.pop()

    on_windows.when_free(rename, patience_s=20.0)
    assert refusals == []


def test_one_that_stays_open_is_an_error_that_says_so(tmp_path):
    held = PermissionError(13, "Sharing violation")
    held.winerror = 32

    def refuse():
        raise held

    with pytest.raises(DiskError) as caught, disk.translate_os_errors(tmp_path):
        on_windows.when_free(refuse, patience_s=0.0)
    assert caught.value.kind == "in-use"


def test_a_taken_name_is_not_waited_for(tmp_path, monkeypatch):
    def refuse(*names):
        raise FileExistsError(17, "File exists")

    monkeypatch.setattr(os, "rename", refuse)
    assert on_windows.rename(str(tmp_path / "a"), str(tmp_path / "b")) is False


WINDOWS_LINES = {
    'foto "D:\\Minhas fotos\\ção.png"': r"D:\Minhas fotos\ção.png",
    r"foto C:\Users\Zé da Silva\novo.png": r"C:\Users\Zé da Silva\novo.png",
    r"foto \\servidor\pasta\a b.png": r"\\servidor\pasta\a b.png",
    r"foto .\arquivos\a.png": r".\arquivos\a.png",
}


@pytest.mark.parametrize(("line", "path"), WINDOWS_LINES.items(), ids=ascii)
def test_a_line_of_the_list_names_a_path_of_windows_as_it_is(tmp_path, line, path):
    (tmp_path / "lista.txt").write_bytes(f"# lista\r\n\r\n{line}\r\n".encode())
    posted, cache = Queue(), HashCache(None)
    with closing(cache), closing(ShareList(tmp_path / "lista.txt", cache, posted.put)):
        problem = posted.get(timeout=SOON)  # there is no such file here, and its path is told
    assert (problem.line, problem.kind, problem.text) == (3, "missing", path)


def test_the_batch_file_is_as_every_windows_reads_it():
    text = (ROOT / "Rede.bat").read_bytes()
    assert text.isascii()
    assert text.count(b"\r\n") == text.count(b"\n") > 20


@pytest.mark.parametrize("privileged", [True, False])
def test_a_port_that_windows_keeps_for_itself_is_taken(host, monkeypatch, privileged):
    def refuse(*words, **options):
        raise PermissionError(13, "forbidden by its access permissions")

    monkeypatch.setattr(socket, "create_server", refuse)
    monkeypatch.setattr(listener, "NO_PORT_IS_PRIVILEGED", not privileged)
    with pytest.raises(PortUnavailableError) as caught:
        Listener(host, 5455, 1, str)
    assert caught.value.reason == ("denied" if privileged else "taken")


@pytest.mark.parametrize(("tag", "is_link"), [(0, False), (0xA0000003, True), (0x9000001A, False)])
def test_a_junction_is_a_link_and_what_a_cloud_keeps_is_none(tmp_path, monkeypatch, tag, is_link):
    status = SimpleNamespace(st_mode=0o40755, st_reparse_tag=tag)
    monkeypatch.setattr(os, "lstat", lambda path: status)
    assert disk.is_link(tmp_path / "folder") is is_link
    assert disk.has_link(tmp_path, tmp_path / "folder" / "a") is is_link
