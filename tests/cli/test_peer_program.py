"""How a peer begins and ends: it joins, and leaves no thread behind."""

from __future__ import annotations

from processes import eventually
from sessions import answers, names

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
