"""The whole program, as the tracker hands it out."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection

import pytest
from listening import SOON, tracker_at

from rede_p2p.cli import tracker_page, zipapp
from rede_p2p.errors import DiskError
from rede_p2p.events import ProgramPacked


@pytest.fixture
def told():
    """The events that the tracker posts."""
    return []


@pytest.fixture
def asked(host, told):
    """Return a function that asks a tracker for the program."""
    with (
        tracker_at(host, post=told.append, page=tracker_page.answer) as tracker,
        closing(HTTPConnection(host, tracker.port, SOON)) as opened,
    ):

        def ask(method="GET"):
            opened.request(method, "/rede.pyz")
            answer = opened.getresponse()
            return answer, answer.read()

        yield ask


def test_the_whole_program_is_handed_out_in_one_file(asked, told, monkeypatch):
    monkeypatch.setattr(zipapp, "_packed", None)
    asked("HEAD")
    made = zipapp.packed(told.append)
    assert told == [ProgramPacked("rede.pyz", made.sha256)]
    for method, data in (("HEAD", b""), ("GET", made.data), ("GET", made.data)):
        answer, body = asked(method)
        assert (answer.status, body) == (200, data)
        assert answer.headers["Content-Length"] == str(len(made.data))
        assert answer.headers["ETag"] == f'"{made.sha256}"'
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith('attachment; filename="rede.pyz"')


def test_where_its_files_are_gone_it_is_404(asked, monkeypatch):
    def gone(_):
        raise DiskError("Peers.py", "missing")

    monkeypatch.setattr(zipapp, "packed", gone)
    assert asked()[0].status == 404
