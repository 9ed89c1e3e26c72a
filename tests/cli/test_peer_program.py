"""How a peer begins and ends: it joins, and leaves no thread behind."""

from __future__ import annotations

import threading
from contextlib import suppress
from itertools import count

import pytest
from listening import answers, names
from processes import eventually

from rede_p2p.errors import Address

pytest_plugins = ["sessions"]


def test_a_peer_joins_and_leaves_no_thread_behind(rede):
    before = names()

    def menu(session):
        assert session.client.tracker == Address(rede.host, rede.port)
        assert {"tracker client", "listening"} <= names() - before
        assert answers(rede.host, session.client.port)

    assert rede.be(menu).status == 0
    eventually(lambda: names() <= before)  # the tracker's thread for it ends a moment later
    assert not answers(rede.host, 5455)


@pytest.mark.parametrize("left", range(12))
def test_where_the_system_has_no_thread_left_it_ends_and_so_do_those_that_began(
    rede, monkeypatch, left
):
    before, started, start = names(), count(), threading.Thread.start

    def start_few(thread):
        if thread.name.partition(":")[0] != rede.host and next(started) >= left:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_few)
    with suppress(RuntimeError):
        assert rede.run("ls").status in (0, 1)
    monkeypatch.undo()
    eventually(lambda: names() <= before)
