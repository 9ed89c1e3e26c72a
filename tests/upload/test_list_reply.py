"""The reply to ``ls``: made once for all who ask, until something else is shared."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event

import pytest
from listening import SOON

from rede_p2p.errors import ConnectionLostError
from rede_p2p.timeouts import Timeouts
from rede_p2p.upload.list_reply import ListReply

PATIENT = Timeouts(hash_report_s=SOON)
IMPATIENT = Timeouts(hash_report_s=0.01)


class Maker:
    """Makes b"1", then b"2" and so on."""

    def __init__(self):
        self.made = 0

    def __call__(self):
        self.made += 1
        return b"%d" % self.made


def test_it_is_made_once_for_thirty_who_ask_in_the_same_moment():
    reply, make, together = ListReply(PATIENT), Maker(), Barrier(30)

    def ask(_number):
        together.wait(SOON)
        return reply.get("a", make)

    with ThreadPoolExecutor(30) as threads:
        assert set(threads.map(ask, range(30))) == {b"1"}
    assert make.made == 1


def test_it_is_made_again_for_another_version():
    reply, make = ListReply(PATIENT), Maker()
    versions = ["a", "a", "b", "b", "a"]
    assert [reply.get(version, make) for version in versions] == [b"1", b"1", b"2", b"2", b"3"]


def test_where_the_one_who_makes_it_is_lost_the_next_one_makes_it():
    reply, make = ListReply(PATIENT), Maker()

    def lose():
        raise ConnectionLostError("lost")

    with pytest.raises(ConnectionLostError):
        reply.get("a", lose)
    assert reply.get("a", make) == b"1"


def test_nobody_waits_long_for_one_whose_peer_does_not_read():
    reply, make, begun, end = ListReply(IMPATIENT), Maker(), Event(), Event()

    def hang():
        begun.set()
        end.wait(SOON)
        return b"late"

    with ThreadPoolExecutor(1) as threads:
        late = threads.submit(reply.get, "a", hang)
        assert begun.wait(SOON)
        assert reply.get("a", make) == b"1"
        end.set()
        assert late.result(SOON) == b"late"
    assert reply.get("a", make) == b"late"
