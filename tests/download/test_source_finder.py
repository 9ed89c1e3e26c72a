"""Who is asked for a content, and in which order; the rest is in test_swarm."""

from __future__ import annotations

import pytest
from sources import content_of, nobody_else

from rede_p2p.download.request import DownloadRequest
from rede_p2p.download.source_finder import MAX_SOURCES, SourceFinder
from rede_p2p.errors import Address
from rede_p2p.timeouts import DEFAULT


def named(sources):
    request = DownloadRequest("x", content_of(b"x"), tuple(sources))
    return SourceFinder(request, nobody_else, DEFAULT).sources()


@pytest.mark.parametrize("count", [3, MAX_SOURCES, 5000])
def test_one_of_each_machine_comes_before_a_second_of_any(count):
    crowd = [Address("10.0.0.66", 5455 + number) for number in range(count)]
    honest = [Address("10.0.0.2", 5455), Address("10.0.0.3", 5455)]
    found = named([*crowd, *honest])
    assert sorted(found) == sorted([*crowd, *honest])
    assert {source.ip for source in found[:3]} == {"10.0.0.66", "10.0.0.2", "10.0.0.3"}


def test_a_few_of_different_machines_keep_their_order_and_many_are_drawn_by_lot():
    machines = [Address(f"10.0.{number // 250}.{number % 250}", 5455) for number in range(2000)]
    assert named(machines[:MAX_SOURCES]) == machines[:MAX_SOURCES]
    assert named(machines) != machines


def test_who_is_named_twice_is_one_source():
    here, there = Address("10.0.0.2", 5455), Address("10.0.0.3", 5455)
    assert named([here, there, here]) == [here, there]
