"""What a download is asked for, what it needs, and what comes of it: plain data."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.merkle import Content
from rede_p2p.errors import Address, RedeError
from rede_p2p.net.connection import Connection
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.upload.seed_store import SeedStore

Report = Callable[["DownloadRequest", "Outcome | RedeError"], None]
Connect = Callable[[Address], Connection]
WhoHas = Callable[[Content], "Future[list[Address]]"]


class DownloadRequest(NamedTuple):
    """A file to fetch: the name that it gets, its content, and the peers known to have it.

    ``shared_as`` is the name that they share it under, where it gets another one.
    """

    name: str
    content: Content
    sources: tuple[Address, ...]
    shared_as: str = ""


class DownloadContext(NamedTuple):
    """What every download of this peer uses.

    ``connect`` dials a peer and raises PeerUnreachableError; ``who_has`` asks the tracker and
    returns at once; finished files are remembered in ``hash_cache`` and offered by ``seeds``.
    """

    folder: Path
    connect: Connect
    hash_cache: HashCache
    who_has: WhoHas
    seeds: SeedStore
    timeouts: Timeouts = DEFAULT
    idle: Counter[Address] | None = None  # how often each source of one ``get`` brought nothing


class Outcome(NamedTuple):
    """Where a content is now; ``already`` when it was there before."""

    path: str  # for thousands of files, a Path costs more than the disk
    already: bool
