"""What every test stands on: nothing is left behind, and no test meets another's network."""

from __future__ import annotations

import faulthandler
import gc
import itertools
import os
import random
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the project is run from its folder, never installed

MASK = "--mascarar"
LONG, LASTS_S = "--longo", "lasts_s"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(MASK, action="store_true", help="hide from the programs what Linux alone has")
    parser.addoption(
        LONG, action="store_const", const=600.0, default=0.0, dest=LASTS_S,
        help="let what has no end of its own go on for ten minutes each",
    )  # fmt: skip
    parser.addoption("--segundos", type=float, dest=LASTS_S, help="the same, for so many seconds")


def pytest_configure(config: pytest.Config) -> None:
    import ctypes

    import rede_p2p  # which leaves it disabled

    assert rede_p2p and ctypes  # libffi keeps a descriptor once ctypes is imported
    gc.enable()
    if not hasattr(config, "workerinput"):  # whose network is that of the first process
        stay_apart()
    # Who runs the tests in the background may ignore Ctrl-C, which our programs would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption(MASK):
        import masked
        import processes

        masked.mask()
        processes.RUNNER.append(masked.__file__)


def stay_apart() -> None:
    """Keep the tests out of the network of a person who has Rede P2P open here."""
    import apart

    if apart.is_tracker_here():
        try:
            apart.leave()
        except OSError:
            pytest.exit(apart.CLOSE_IT, 2)


_homes = itertools.count()
_hosts = itertools.count(random.randrange(2**20))


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many workers run the tests: more than cores, because most tests wait."""
    least = 6 if config.option.markexpr == "not slow" else 4  # a slow one has many programs
    return max(least, os.cpu_count() or 1)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread running or a descriptor open."""
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    yield
    left = [thread for thread in threading.enumerate() if thread not in threads]
    for thread in left:
        thread.join(10)
    assert not [thread for thread in left if thread.is_alive()]
    assert open_descriptors() <= descriptors


def open_descriptors() -> set[str]:
    """List this process's open descriptors, where the system tells."""
    folder = Path("/proc/self/fd")
    if not folder.exists():
        return set()
    found = set()
    for entry in folder.iterdir():
        try:
            found.add(f"{entry.name} {os.readlink(entry)}")  # noqa: PTH115
        except OSError:  # the one that lists the folder itself
            continue
    return found


@pytest.fixture(autouse=True)
def home_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keep the person's own cache of roots, and typed lines, out of the tests."""
    home = tmp_path_factory.getbasetemp() / f"home{next(_homes)}"  # made by who needs it
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))


@pytest.fixture(autouse=True)
def nameless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give peers no name of themselves: that of the machine would be another on each."""
    monkeypatch.setenv("REDE_NOME", "")
    monkeypatch.delenv("REDE_TRACKER", raising=False)


@pytest.fixture
def lasts_s(request: pytest.FixtureRequest) -> float:
    """Return how long, in seconds, what has no end of its own goes on beside what it must do."""
    seconds: float = request.config.getoption(LASTS_S)
    if seconds:
        faulthandler.cancel_dump_traceback_later()  # which would end it as one that waits for ever
    return seconds


@pytest.fixture
def host() -> str:
    """Return a loopback address that no other test uses, so that its ports are all free."""
    block, place = divmod(next(_hosts) % (63 * 2**14), 63)
    return f"127.{64 + block // 256}.{block % 256}.{place * 4 + 2}"  # three may stand after it
