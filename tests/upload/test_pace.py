"""The rate of pieces: taken over a window, forgotten slowly."""

from __future__ import annotations

import pytest

from rede_p2p.upload.pace import KEPT_EACH_WINDOW, WINDOW_S, WINDOWS, Pace


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


def test_a_burst_after_a_pause_counts_for_the_pause_too():
    steady = [(n * WINDOW_S, 10) for n in range(1, 20)]
    burst = [(20 * WINDOW_S, 1), (22 * WINDOW_S, 1), (23 * WINDOW_S, 38)]
    assert max(rates(steady + burst)) == pytest.approx(10 / WINDOW_S)


def test_a_higher_rate_counts_soon_and_a_lower_one_slowly():
    counts = [1] * 10 + [100] * 2 * WINDOWS + [1] * 2 * WINDOWS
    seen = rates([(0.1 * (n + 1), count) for n, count in enumerate(counts)])
    assert seen[9] == pytest.approx(10)
    assert seen[10] > 100
    assert seen[9 + 2 * WINDOWS] == pytest.approx(1000)
    assert 1000 * KEPT_EACH_WINDOW ** (2 * WINDOWS) <= seen[-1] < 1000


def test_after_long_silence_the_rate_is_that_of_now():
    assert rates([(1.0, 100)] + [(2.0 + n, 10) for n in range(100)])[-1] == 10.0
