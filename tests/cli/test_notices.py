"""What other threads tell, and how much of one kind at once is folded into one line."""

from __future__ import annotations

from contextlib import closing
from threading import Event, Thread

import pytest

from rede_p2p.cli import notices
from rede_p2p.cli.notices import Notices, fold
from rede_p2p.errors import Address
from rede_p2p.events import FilesServed, InternalError, PeerJoined, PeerLeft


def served(last, name="aula.iso", files=1, size=1024):
    return FilesServed(name, files, size, f"10.0.0.{last}")


def test_each_event_is_a_line_in_its_order_where_nothing_is_folded():
    queue = Notices(folds=False)
    for last in range(9):
        queue.post(served(last))
    assert [line.split()[0] for line in queue.take()] == [f"10.0.0.{n}" for n in range(9)]


def test_of_one_address_a_log_has_so_many_lines_and_then_what_it_does_all_together(monkeypatch):
    now, told = [50.0], []
    monkeypatch.setattr(notices, "monotonic", lambda: now[0])
    queue = Notices(folds=False)
    one, other = Address("10.0.0.1", 5455), Address("10.0.0.2", 5455)
    for _ in range(30):  # a second each
        for _ in range(1000):
            queue.post(PeerJoined(one))
            queue.post(PeerLeft(one))
        queue.post(PeerJoined(other))
        told += list(queue.take())
        now[0] += 1.0
    told += list(queue.take(at_once=True))
    assert len([line for line in told if str(one.ip) in line]) == notices.MAX_LINES_OF_AN_ADDRESS
    assert len([line for line in told if str(other.ip) in line]) == 30
    assert len(told) < notices.MAX_LINES_OF_AN_ADDRESS + 50
    many = sum(int(line.split()[1]) for line in told if line.endswith("peers"))
    assert many == 60_000 - notices.MAX_LINES_OF_AN_ADDRESS
    queue.post(PeerLeft(one))  # after a while it is as any other
    assert len(list(queue.take())) == 1


def test_what_is_held_does_not_grow_without_end(monkeypatch):
    monkeypatch.setattr(notices, "monotonic", lambda: 50.0)
    queue = Notices(folds=True)
    for _ in range(3 * notices.MAX_HELD):
        queue.post(served(1))
    told = list(queue.take())
    assert len(told) == 3 and not queue.any_left()


@pytest.mark.parametrize(
    ("events", "lines"),
    [
        ([served(1)], ["10.0.0.1 baixou aula.iso (1,0 KiB)"]),
        (
            [FilesServed("aula.iso", 1, 1024, "10.0.0.1", "ana")],
            ["10.0.0.1 (ana) baixou aula.iso (1,0 KiB)"],
        ),
        (
            [FilesServed(f"{n}", 1, 1024, "10.0.0.1", "ana") for n in range(4)],
            ["10.0.0.1 (ana) baixou 4 arquivos (4,0 KiB)"],
        ),
        ([served(n) for n in range(12)], ["12 peers baixaram aula.iso (12,0 KiB)"]),
        ([served(1, f"{n}.txt") for n in range(4)], ["10.0.0.1 baixou 4 arquivos (4,0 KiB)"]),
        ([served(1) for _ in range(4)], ["10.0.0.1 baixou aula.iso, 4 vezes (4,0 KiB)"]),
        ([served(n, files=2) for n in range(4)], ["4 peers baixaram 8 arquivos (4,0 KiB)"]),
        ([PeerJoined(Address("10.0.0.1", n)) for n in range(5)], ["entraram 5 peers"]),
        (
            [*(PeerLeft(Address("10.0.0.1", n)) for n in range(5)), served(3)],
            ["10.0.0.3 baixou aula.iso (1,0 KiB)", "saíram 5 peers"],
        ),
    ],
)
def test_very_many_of_one_kind_are_one_line(events, lines):
    assert list(fold(events)) == lines


def test_the_first_is_told_at_once_and_the_next_ones_together(monkeypatch):
    now = [50.0]
    monkeypatch.setattr(notices, "monotonic", lambda: now[0])
    queue = Notices(folds=True)
    queue.post(served(1))
    assert len(list(queue.take())) == 1 and not queue.any_left()
    for last in range(2, 9):
        queue.post(served(last))
    assert list(queue.take()) == [] and queue.any_left()
    now[0] += notices.FOLD_INTERVAL_S
    assert list(queue.take()) == ["7 peers baixaram aula.iso (7,0 KiB)"]
    assert not queue.any_left()


def test_who_follows_is_woken_by_what_comes_and_told_together_what_came_at_once():
    queue = Notices(folds=False)
    with closing(queue.follow()) as lines:
        assert next(lines) == []
        others = [Thread(target=queue.post, args=(served(n),)) for n in range(9)]
        for other in others:
            other.start()
        told = next(lines)
        while len(told) < 9:
            told += next(lines)
        for other in others:
            other.join()
    queue.post(served(9))  # and nobody is there
    assert len(list(queue.take())) == 1


def test_what_is_held_is_told_to_who_follows_though_nothing_else_comes(monkeypatch):
    monkeypatch.setattr(notices, "FOLD_INTERVAL_S", 0.2)
    queue = Notices(folds=True)
    queue.post(served(1))
    with closing(queue.follow()) as lines:
        assert len(next(lines)) == 1
        queue.post(served(2))
        told = next(lines)
        while not told:
            told = next(lines)
        assert told == ["10.0.0.2 baixou aula.iso (1,0 KiB)"]


def test_what_does_not_end_is_told_less_and_less_often(monkeypatch):
    now, told = [50.0], []
    monkeypatch.setattr(notices, "monotonic", lambda: now[0])
    queue = Notices(folds=True)
    for number in range(600):  # one peer after the other, two each second, for five minutes
        queue.post(served(number % 200))
        told += list(queue.take())
        now[0] += 0.5
    told += list(queue.take(at_once=True))
    assert len(told) < 30
    counts = [int(line.split()[0]) for line in told if "peers" in line]
    assert max(counts) <= 2 * notices.MAX_FOLD_INTERVAL_S
    now[0] += 3 * notices.MAX_FOLD_INTERVAL_S
    for _ in range(2):  # after a pause it is as at the beginning
        queue.post(served(1))
        assert len(list(queue.take())) == 1
        now[0] += notices.FOLD_INTERVAL_S


def test_what_is_held_is_told_when_all_is_asked_for():
    queue = Notices(folds=True)
    for last in (1, 2):
        queue.post(served(last))
        told = list(queue.take(at_once=last == 2))
        assert told == [f"10.0.0.{last} baixou aula.iso (1,0 KiB)"]


def test_other_events_are_never_held():
    queue = Notices(folds=True)
    for _ in range(5):
        queue.post(InternalError(ValueError("x")))
    assert len(list(queue.take())) == 5


def test_one_who_waits_for_an_event_gets_it_when_it_comes():
    queue, taken = Notices(folds=True), Event()

    def take():
        assert len(list(queue.take(timeout=60.0))) == 1
        taken.set()

    thread = Thread(target=take)
    thread.start()
    queue.post(served(1))
    assert taken.wait(20)
    thread.join()
