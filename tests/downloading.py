"""What the tests of downloads stand on: a folder, sources, and threads that are awaited.

A test module names it in ``pytest_plugins``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from itertools import count
from pathlib import Path
from queue import Queue
from threading import Event

import pytest
from sources import Lie, Source, context_of

from rede_p2p.content.hash_cache import HashCache
from rede_p2p.download.download import Download
from rede_p2p.download.request import DownloadContext, Outcome
from rede_p2p.download.transfers import Transfers
from rede_p2p.net.connection import Connection
from rede_p2p.protocol.codec import Pending
from rede_p2p.protocol.messages import Ls, Stat
from rede_p2p.protocol.verbs import PeerRequest


@pytest.fixture
def hash_cache() -> Iterator[HashCache]:
    with closing(HashCache(None)) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "baixados"


@pytest.fixture
def context(folder: Path, hash_cache: HashCache) -> Callable[..., DownloadContext]:
    """Return how to make what a download into the folder needs."""
    return partial(context_of, folder, hash_cache)


@pytest.fixture
def opened(tmp_path: Path, host: str) -> Iterator[Callable[..., Source]]:
    """Return how to open one more source, which lies or not."""
    numbers = count()
    with ExitStack() as stack:
        yield lambda lie=None, slots=None: Source(
            tmp_path / f"source{next(numbers)}", host, stack, lie, slots
        )


@pytest.fixture
def honest(opened: Callable[..., Source]) -> Source:
    return opened()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture
def beginning(pool: ThreadPoolExecutor) -> Iterator[Callable[[Download], Future[Outcome]]]:
    """Return how to begin a download in a thread; in the end it is cancelled, and awaited."""
    with ExitStack() as stack:

        def begin(download: Download) -> Future[Outcome]:
            stack.callback(download.cancel)
            return pool.submit(download.run)

        yield begin


@pytest.fixture
def posted() -> Queue[object]:
    return Queue()


@pytest.fixture
def transfers(
    context: Callable[..., DownloadContext], posted: Queue[object]
) -> Iterator[Transfers]:
    with closing(Transfers(context(), posted.put)) as made:
        yield made


@pytest.fixture
def waits_for_ever() -> Iterator[Lie]:
    """Say "espera" to every ``stat`` and ``ls``, and something better each time."""
    ended = Event()

    def lie(_source: Source, connection: Connection, request: PeerRequest) -> bool:
        if isinstance(request, Stat | Ls):
            for done in range(1, 100_000):
                if ended.wait(0.05):
                    return True
                connection.reply(Pending(done=done * 16 * 2**20, size=2**50))
        return False

    yield lie
    ended.set()
