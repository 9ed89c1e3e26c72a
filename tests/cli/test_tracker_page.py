"""What the tracker answers to a browser."""

from __future__ import annotations

from http.client import HTTPConnection

import pytest
from listening import SOON, tracker_at

from rede_p2p.cli import tracker_page


@pytest.fixture
def asked(host):
    """Return a function that asks a tracker for a path."""
    with tracker_at(host, page=tracker_page.answer) as tracker:
        opened = HTTPConnection(host, tracker.port, SOON)

        def ask(path, method="GET", **fields):
            opened.request(method, path, headers=fields)
            answer = opened.getresponse()
            return answer, answer.read()

        yield ask
        opened.close()


def test_what_is_not_there_is_404_and_the_connection_goes_on(asked):
    for _ in range(2):
        answer, body = asked("/nothing")
        assert answer.status == 404 and body.startswith(b"404 Not Found\n")
        assert "volte à página da rede" in body.decode()
