"""How long one who says "espera" is waited for, on a clock of the test's own."""

from __future__ import annotations

import pytest

from rede_p2p.net import patience as module
from rede_p2p.net.patience import MAX_PLACES, MIN_PENDING_BYTES, MIN_PENDING_FILES, Patience
from rede_p2p.protocol.codec import Pending
from rede_p2p.timeouts import DEFAULT

REPORT_S = 7.0  # between two lines, less than the deadline of one


@pytest.fixture
def lasts(monkeypatch):
    """Return how long, in seconds, one who says such things is waited for; None: for ever."""

    def measure(say, seconds=10 * DEFAULT.max_pending_s, who=lambda n: None):
        now = [1000.0]
        monkeypatch.setattr(module, "monotonic", lambda: now[0])
        patience, number = Patience(DEFAULT), 0
        while now[0] < 1000.0 + seconds:
            if patience.is_over(say(number), who(number)):
                return now[0] - 1000.0
            now[0] += REPORT_S
            number += 1
        return None

    return measure


NOTHING_BETTER = {
    "nothing": lambda n: Pending(),
    "the same place": lambda n: Pending(place=3),
    "a worse place": lambda n: Pending(place=3 + n),
    "a place in no queue": lambda n: Pending(place=2**31 - n),
    "the place of nobody": lambda n: Pending(place=0),
    "one byte more": lambda n: Pending(done=n, size=2**60),
    "a byte too few": lambda n: Pending(
        done=n * int((MIN_PENDING_BYTES - 1) // (DEFAULT.pending_s // REPORT_S + 2)), size=2**60
    ),
    "one file more each minute": lambda n: Pending(files=n // 10),
    "a larger size": lambda n: Pending(size=n),
}


@pytest.mark.parametrize("say", NOTHING_BETTER.values(), ids=NOTHING_BETTER)
def test_who_says_nothing_better_is_given_up_after_ten_minutes(lasts, say):
    assert DEFAULT.pending_s - REPORT_S <= lasts(say) <= 2 * DEFAULT.pending_s


BETTER = {
    "a queue that moves": lambda n: Pending(place=max(1, 900 - n // 60)),
    "a slow disk": lambda n: Pending(done=n * 2**20, size=2**50),
    "a long list": lambda n: Pending(files=n),
}


@pytest.mark.parametrize("say", BETTER.values(), ids=BETTER)
def test_who_says_something_better_is_waited_for_a_day_and_no_longer(lasts, say):
    assert lasts(say, DEFAULT.max_pending_s) is None
    assert lasts(say) <= DEFAULT.max_pending_s + REPORT_S


CROWDS = {
    "each says one place, and is another": lambda n: (Pending(place=1), n),
    "each is a little better than the last": lambda n: (Pending(place=1000 - n), n),
    "a few stand still": lambda n: (Pending(place=n % 32 + 1), n % 32),
}


@pytest.mark.parametrize("crowd", CROWDS.values(), ids=CROWDS)
def test_of_many_none_of_whom_moves_all_are_given_up_together(lasts, crowd):
    ended = lasts(lambda n: crowd(n)[0], who=lambda n: crowd(n)[1])
    assert DEFAULT.pending_s - REPORT_S <= ended <= 2 * DEFAULT.pending_s


def test_a_queue_that_moves_is_waited_for_beside_one_that_stands(lasts):
    says = [lambda n: Pending(place=1), BETTER["a queue that moves"]]
    assert lasts(lambda n: says[n % 2](n), DEFAULT.max_pending_s, who=lambda n: n % 2) is None


def test_the_first_word_is_never_the_last(lasts):
    assert lasts(lambda n: Pending(place=MAX_PLACES), DEFAULT.pending_s) is None
    assert DEFAULT.pending_s > MIN_PENDING_FILES * REPORT_S
