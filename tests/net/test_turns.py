"""How many lists one address is sent at once."""

from __future__ import annotations

from contextlib import ExitStack
from threading import Event, Thread

import pytest
from listening import SOON

from rede_p2p.errors import RefusedError
from rede_p2p.net.turns import MAX_LISTS_PER_ADDRESS, Turns
from rede_p2p.timeouts import Timeouts


def test_one_address_has_so_many_turns_and_the_others_theirs():
    turns = Turns(Timeouts(reply_s=0.01))
    with ExitStack() as stack:
        for _ in range(MAX_LISTS_PER_ADDRESS):
            stack.enter_context(turns.turn("10.0.0.1"))
        with pytest.raises(RefusedError, match="full"), turns.turn("10.0.0.1"):
            pass
        with turns.turn("10.0.0.2"):
            pass
    with turns.turn("10.0.0.1"):
        pass
    assert not turns._turns  # of those who left nothing is kept


def test_who_waits_has_its_turn_once_another_is_done():
    turns, had = Turns(), Event()

    def wait():
        with turns.turn("10.0.0.1"):
            had.set()

    thread = Thread(target=wait)
    with ExitStack() as stack:
        one = turns.turn("10.0.0.1")
        one.__enter__()
        for _ in range(MAX_LISTS_PER_ADDRESS - 1):
            stack.enter_context(turns.turn("10.0.0.1"))
        thread.start()
        assert not had.wait(0.05)
        one.__exit__(None, None, None)
        assert had.wait(SOON)
        thread.join(SOON)
