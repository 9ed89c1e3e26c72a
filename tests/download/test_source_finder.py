"""Who is asked for a content, and in which order; the rest is in test_swarm."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from sources import Silent, connect, content_of, found_in, nobody_else

from rede_p2p.download.download import Download
from rede_p2p.download.request import DownloadRequest
from rede_p2p.download.source_finder import SourceFinder
from rede_p2p.errors import Address
from rede_p2p.timeouts import DEFAULT

pytest_plugins = ["downloading"]

DATA = random.Random(7).randbytes(200_000)


def finder_of(sources):
    request = DownloadRequest("x", content_of(b"x"), tuple(sources))
    return SourceFinder(request, nobody_else, DEFAULT)


def named(sources):
    return finder_of(sources).sources()


@pytest.mark.parametrize("count", [3, 32, 5000])
def test_one_of_each_machine_comes_before_a_second_of_any(count):
    crowd = [Address("10.0.0.66", 5455 + number) for number in range(count)]
    honest = [Address("10.0.0.2", 5455), Address("10.0.0.3", 5455)]
    found = named([*crowd, *honest])
    assert sorted(found) == sorted([*crowd, *honest])
    assert {source.ip for source in found[:3]} == {"10.0.0.66", "10.0.0.2", "10.0.0.3"}


def test_the_sources_are_drawn_by_lot():
    machines = [Address(f"10.0.{number // 250}.{number % 250}", 5455) for number in range(2000)]
    drawn = named(machines)
    assert drawn not in (machines, named(machines))
    assert sorted(drawn) == sorted(machines)


def test_who_brought_nothing_is_asked_after_all_others():
    machines = [Address(f"10.0.0.{number}", 5455) for number in range(40)]
    finder = finder_of(machines)
    finder.note_idle(machines[:20])
    finder.note_idle(machines[:5])
    known = finder.sources()
    assert set(known[:20]) == set(machines[20:])
    assert set(known[-5:]) == set(machines[:5])


def test_who_may_not_be_asked_is_no_source():
    here, there = Address("10.0.0.2", 5455), Address("10.0.0.3", 5455)
    finder = finder_of([here, there])
    finder.note_liar(here, 0)
    assert finder.sources() == [there]


def test_who_is_named_twice_is_one_source():
    here, there = Address("10.0.0.2", 5455), Address("10.0.0.3", 5455)
    assert sorted(named([here, there, here])) == [here, there]


# The piece hashes.


def test_after_each_silence_twice_as_many_are_asked_for_the_hashes(opened, honest, context, folder):
    silent = Silent()
    quiet = [opened(silent).address for _ in range(7)]
    (first,) = honest.share({"a.bin": DATA})
    wanted = first._replace(sources=(*quiet, honest.address))
    Download(wanted, context(connect, layer_hurry_s=0.2)).run()
    assert found_in(folder) == {"a.bin": DATA}
    assert silent.most >= 4


def test_who_was_silent_is_asked_last_for_the_hashes_of_the_next_file(
    opened, honest, context, folder
):
    silent, idle = Silent(), Counter()
    quiet = opened(silent).address
    files = {"a.bin": DATA, "b.bin": DATA[1:]}
    for one in honest.share(files):
        wanted = one._replace(sources=(quiet, honest.address))
        Download(wanted, context(connect, layer_hurry_s=0.2)._replace(idle=idle)).run()
    assert found_in(folder) == files
    assert silent.asked == 1
