"""The rate of pieces: taken over a window, forgotten slowly."""

from __future__ import annotations

import pytest

from rede_p2p.upload.pace import KEPT_EACH_WINDOW, WINDOW_S, Pace


def rates(passed):
    """Return the rate after each of some pieces that pass at a time."""
    now = 0.0
    pace = Pace(lambda: now)
    seen = []
    for now, pieces in passed:  # noqa: B007 - the clock reads it
        pace.note(pieces)
        seen.append(pace.rate)
    return seen


def test_no_rate_is_known_before_the_first_window_is_over():
    assert rates([(0.0, 100), (0.9 * WINDOW_S, 100)]) == [0.0, 0.0]


def test_a_burst_counts_for_the_whole_of_its_window():
    assert rates([(0.0, 30), (0.01, 10), (2.0, 0)]) == [0.0, 0.0, 20.0]


def test_a_higher_rate_counts_at_once_and_a_lower_one_slowly():
    high, low = rates([(1.0, 100), (2.0, 10)])
    assert (high, low) == (100.0, pytest.approx(100.0 * KEPT_EACH_WINDOW))
    assert rates([(1.0, 100), (2.0, 400)])[-1] == 400.0


def test_after_long_silence_the_rate_is_that_of_now():
    assert rates([(1.0, 100)] + [(2.0 + n, 10) for n in range(100)])[-1] == 10.0
