"""What the terminal shows, as far as it needs none: rates."""

from __future__ import annotations

from rede_p2p.cli.terminal import RATE_WINDOW_S, Pace


def test_a_rate_is_that_of_the_last_seconds_alone():
    pace = Pace(0, 100.0)
    assert pace.rate(0, 100.0) == 0
    assert pace.rate(500, 101.0) == 500
    assert pace.rate(500, 102.0) == 250
    for second in range(1, 11):
        last = pace.rate(500 + 10 * second, 102.0 + second)
    assert RATE_WINDOW_S < 10 and last == 10


def test_a_rate_begins_with_what_came_since_one_looks():
    assert Pace(10**9, 7.0).rate(10**9 + 4, 9.0) == 2
