"""The reply to ``ls``: made once for all who ask, until what it tells may be something else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing
from threading import Barrier, Event, Thread

import pytest
from listening import SOON

from rede_p2p.errors import ConnectionLostError, RefusedError
from rede_p2p.timeouts import Timeouts
from rede_p2p.upload.list_reply import MAX_KEPT_BYTES, ListReply


class Maker:
    """Makes b"1", then b"2" and so on, once it may; ``begun`` is set before."""

    def __init__(self):
        self.made = 0
        self.begun, self.may = Event(), Event()
        self.may.set()

    def __call__(self):
        self.begun.set()
        assert self.may.wait(SOON)
        self.made += 1
        return b"%d" % self.made


@pytest.fixture
def make():
    return Maker()


@pytest.fixture
def reply():
    with closing(ListReply(Timeouts(hash_report_s=0.01))) as reply:
        yield reply


def say_nothing():
    """Report to nobody."""


def test_it_is_made_once_for_thirty_who_ask_in_the_same_moment(reply, make):
    together = Barrier(30)

    def ask(_number):
        together.wait(SOON)
        return reply.get("ls", 1, make, say_nothing)

    with ThreadPoolExecutor(30) as threads:
        assert set(threads.map(ask, range(30))) == {b"1"}
    assert make.made == 1


def test_it_is_made_again_for_another_version_and_for_another_request(reply, make):
    asked = [("ls", 1), ("ls", 1), ("ls", 2), ("ls folders", 2), ("ls", 2), ("ls", 1)]
    given = [reply.get(*one, make, say_nothing) for one in asked]
    assert given == [b"1", b"1", b"2", b"3", b"2", b"4"]


def test_who_waits_says_so_and_who_is_lost_meanwhile_holds_up_nobody(reply, make):
    make.may.clear()
    told = Event()

    def lose():
        raise ConnectionLostError("lost")

    with pytest.raises(ConnectionLostError):
        reply.get("ls", 1, make, lose)
    with ThreadPoolExecutor(1) as threads:
        patient = threads.submit(reply.get, "ls", 1, make, told.set)
        assert told.wait(SOON)
        make.may.set()
        assert patient.result(SOON) == b"1"


def test_what_could_not_be_made_is_made_for_the_next_one(reply, make):
    def fail():
        raise MemoryError

    with pytest.raises(MemoryError):
        reply.get("ls", 1, fail, say_nothing)
    assert reply.get("ls", 1, make, say_nothing) == b"1"


def test_a_long_one_is_given_to_all_who_wait_and_not_kept(reply, make):
    def make_long():
        return make() + bytes(MAX_KEPT_BYTES)

    make.may.clear()
    waiting = [Event() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(reply.get, "ls", 1, make_long, one.set) for one in waiting]
        assert all(one.wait(SOON) for one in waiting)
        make.may.set()
        assert len({one.result(SOON)[:1] for one in asked}) == make.made == 1
    assert reply.get("ls", 1, make, say_nothing) == b"2"


def test_an_old_one_that_is_made_late_is_given_and_does_not_take_the_place_of_the_new(reply, make):
    make.may.clear()
    asked = []
    with ThreadPoolExecutor(3) as threads:
        for version in (1, 2, 1):  # the last has seen the version before it changed
            waits = Event()

            def make_long(version=version):
                make()
                return b"%d" % version + bytes(MAX_KEPT_BYTES)

            asked.append(threads.submit(reply.get, "ls", version, make_long, waits.set))
            assert waits.wait(SOON)
        make.may.set()
        assert [one.result(SOON)[:1] for one in asked] == [b"1", b"2", b"1"]
    assert reply.get("ls", 2, lambda: b"short", say_nothing) == b"short"
    assert reply.get("ls", 2, make, say_nothing) == b"short"


def test_where_no_thread_can_be_had_the_answer_is_no(reply, make, monkeypatch):
    def fail(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(Thread, "start", fail)
        with pytest.raises(RefusedError, match="full"):
            reply.get("ls", 1, make, say_nothing)
    assert reply.get("ls", 1, make, say_nothing) == b"1"


def test_closing_waits_for_who_makes_one(make):
    reply = ListReply(Timeouts(hash_report_s=0.01))
    make.may.clear()
    with ThreadPoolExecutor(2) as threads:
        asked = threads.submit(reply.get, "ls", 1, make, say_nothing)
        assert make.begun.wait(SOON)
        closing_it = threads.submit(reply.close)
        assert not wait([closing_it], 0.05).done
        make.may.set()
        assert (asked.result(SOON), closing_it.result(SOON)) == (b"1", None)
