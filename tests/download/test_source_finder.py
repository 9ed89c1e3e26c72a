"""Who is asked for a content, and in which order; the rest is in test_many_sources."""

from __future__ import annotations

import pytest
from sources import content_of

from rede_p2p.download.source_finder import SourceFinder, nobody_else
from rede_p2p.download.swarm import AT_WORK
from rede_p2p.errors import Address


def named(sources):
    return SourceFinder(content_of(b"x"), sources, nobody_else).named()


@pytest.mark.parametrize("count", [3, AT_WORK, 5000])
def test_one_of_each_machine_comes_before_a_second_of_any(count):
    crowd = [Address("10.0.0.66", 5455 + number) for number in range(count)]
    honest = [Address("10.0.0.2", 5455), Address("10.0.0.3", 5455)]
    found = named([*crowd, *honest])
    assert sorted(found) == sorted([*crowd, *honest])
    assert {source.ip for source in found[:3]} == {"10.0.0.66", "10.0.0.2", "10.0.0.3"}


def test_a_few_of_different_machines_keep_their_order_and_many_are_drawn_by_lot():
    machines = [Address(f"10.0.{number // 250}.{number % 250}", 5455) for number in range(2000)]
    assert named(machines[:AT_WORK]) == machines[:AT_WORK]
    assert named(machines) != machines
