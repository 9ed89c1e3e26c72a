"""The downloads of a peer: their numbers, their threads, their ends."""

from __future__ import annotations

import random

from listening import SOON
from processes import eventually
from sources import Gate, outcomes, refuses

from rede_p2p.download.request import Outcome
from rede_p2p.download.transfers import MAX_SUMMARIES
from rede_p2p.errors import InterruptedByUserError, PeerUnreachableError
from rede_p2p.events import TransferEnded

LARGE = random.Random(2).randbytes(2 * 1024 * 1024)
FILES = {"a.txt": b"a", "grande.bin": LARGE, "b.txt": b"b" * 1000}

pytest_plugins = ["downloading"]


def test_each_has_a_number_and_those_that_ended_are_listed_no_more(transfers, opened):
    gate = Gate()
    wanted = opened(gate).share({"grande.bin": LARGE})
    first = transfers.start(wanted, followed=True)
    assert gate.reached.wait(SOON)
    second = transfers.start(wanted, followed=True)  # busy: ends at once
    assert not isinstance(outcomes(second)["grande.bin"], Outcome)
    assert (first.number, second.number) == (1, 2)
    eventually(lambda: transfers.running() == [first])
    gate.open.set()
    assert isinstance(outcomes(first)["grande.bin"], Outcome)
    assert transfers.running() == []
    assert transfers.start(wanted, followed=True).number == 3


def test_whether_any_runs_may_be_asked_by_any_thread_for_it_changes_nothing(transfers, opened):
    gate = Gate()
    wanted = opened(gate).share({"grande.bin": LARGE})
    assert not transfers.any_running()
    one = transfers.start(wanted, followed=False)
    assert gate.reached.wait(SOON)
    assert transfers.any_running()
    gate.open.set()
    outcomes(one)
    assert not transfers.any_running()
    assert transfers.take_ended() == [one]  # which is the main thread's to take note of


def test_one_that_nobody_follows_posts_its_end(transfers, opened, posted):
    one = opened()
    transfers.start(one.share(FILES), followed=False)
    ended = posted.get(timeout=SOON)
    assert ended == TransferEnded(1, tuple(FILES), (), ended.summary)
    assert ended.summary.brought == {one.address: sum(map(len, FILES.values()))}
    one.lie = refuses("not-here")
    transfers.start(one.share({"x": LARGE[1:]}), followed=False)
    ended = posted.get(timeout=SOON)
    assert (ended.number, ended.names) == (2, ("x",))
    assert [type(error) for error in ended.failures] == [PeerUnreachableError]


def test_what_each_source_brought_is_counted_and_the_last_ones_are_kept(transfers, opened, folder):
    one = opened()
    wanted = one.share(FILES)
    size = sum(map(len, FILES.values()))
    outcomes(transfers.start(wanted, followed=True, named=True))
    outcomes(transfers.start(wanted, followed=True))  # all is here: nothing comes
    (first,) = transfers.summaries()
    assert (first.names, first.brought, first.size) == (tuple(FILES), {one.address: size}, size)
    assert first.seconds > 0
    assert first.from_others == {}
    for number in range(MAX_SUMMARIES):
        new = one.share({f"{number}.txt": b"%d" % number})
        outcomes(transfers.start(new, followed=True))
    names = [summary.names for summary in transfers.summaries()]
    assert names == [(f"{number}.txt",) for number in range(MAX_SUMMARIES)]


def test_one_that_is_followed_posts_nothing(transfers, opened, posted):
    outcomes(transfers.start(opened().share(FILES), followed=True))
    transfers.close()
    assert posted.empty()


def test_what_ended_in_the_background_is_waited_for_once(transfers, opened, posted):
    wanted = opened().share(FILES)
    outcomes(transfers.start(wanted, followed=True))
    background = transfers.start(wanted, followed=False)
    posted.get(timeout=SOON)
    assert transfers.running() == []
    assert transfers.take_ended() == [background]
    assert transfers.take_ended() == []


def test_closing_cancels_all_and_waits_for_them(transfers, opened, folder):
    gate = Gate()
    wanted = opened(gate).share({f"{n}.bin": b"%d" % n + LARGE for n in range(3)})
    running = [transfers.start([one], followed=True) for one in wanted]
    assert gate.reached.wait(SOON)
    transfers.close()
    for transfer in running:
        assert transfer.results.done()
        assert isinstance(*outcomes(transfer).values(), InterruptedByUserError)
    gate.open.set()
