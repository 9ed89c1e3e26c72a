"""Many peers and many downloads, for long, under faults: exact bytes, and nothing left behind."""

from __future__ import annotations

import os
import random
from contextlib import ExitStack

import pytest
from processes import eventually
from rig import Awake, Use, settled, what_it_holds
from soaking import Soak

pytestmark = pytest.mark.slow

PEERS = 50
GETS, LONG_GETS = 200, 1000


def test_fifty_peers_that_fetch_under_faults_leave_nothing_behind(tmp_path, lasts_s):
    seed, pid = random.randrange(2**32), os.getpid()
    print(f"seed {seed}")  # noqa: T201 - shown when it fails
    with ExitStack() as stack:
        net = Awake(tmp_path)
        stack.callback(net.close)
        soak = Soak(tmp_path, net, random.Random(seed), PEERS)
        stack.callback(soak.close)
        eventually(lambda: soak.listed() == soak.ports)
        for one in soak.members:  # so that what is made once is there
            other = soak.members[one.number - 1]
            assert one.get(other.names, other) == ["ok"] * len(other.names)
        before, held = settled(pid), what_it_holds(pid)
        soak.run(LONG_GETS if lasts_s else GETS, lasts_s)
        print(f"{soak.gets} gets\n{soak.outcomes}\n{soak.faults}")  # noqa: T201 - shown by -rP, too
        soak.settle()
        eventually(lambda: soak.listed() == soak.ports)
        try:
            eventually(lambda: Use.of(pid).within(before))
        except AssertionError:
            more = what_it_holds(pid) - held
            raise AssertionError(f"left behind: {before} → {Use.of(pid)}: {more}") from None
        assert soak.outcomes["ok"] > soak.outcomes.total() / 4
