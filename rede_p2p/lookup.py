"""Which content a name means, and who has it: all peers that may know are asked at once.

Sources are grouped by root, never by name or size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

from rede_p2p.connection import Connection
from rede_p2p.download import Wanted
from rede_p2p.errors import (
    Address,
    AmbiguousNameError,
    ConnectionLostError,
    NoSuchFileError,
    PeerUnreachableError,
    RedeError,
    RefusedError,
)
from rede_p2p.merkle import Content
from rede_p2p.messages import Found, Stat

AT_ONCE = 8  # peers asked at the same time
HASHING_STALL = 20.0  # seconds in which a peer that hashes must make some progress

Connect = Callable[[Address], Connection]


def find(name: str, peers: Sequence[Address], connect: Connect) -> Wanted:
    """Ask the peers what they share under a name.

    Raises NoSuchFileError when those that answer do not have it, AmbiguousNameError when they
    share different contents, PeerUnreachableError when none answers.
    """
    sources: dict[Content, list[Address]] = {}
    failures: list[RedeError] = []
    with ThreadPoolExecutor(AT_ONCE, "lookup") as pool:
        for peer, answer in zip(
            peers, pool.map(lambda peer: _ask(name, peer, connect), peers), strict=True
        ):
            if isinstance(answer, Content):
                sources.setdefault(answer, []).append(peer)
            elif answer is not None:
                failures.append(answer)
    if len(sources) > 1:
        raise AmbiguousNameError(name, tuple(peer for group in sources.values() for peer in group))
    for content, group in sources.items():
        return Wanted(name, content, tuple(group))
    if failures:
        raise failures[0]
    raise NoSuchFileError(name, ", ".join(dict.fromkeys(peer.ip for peer in peers)))


def _ask(name: str, peer: Address, connect: Connect) -> Content | RedeError | None:
    """Return the content under that name, None if the peer has none, or why it did not say."""
    try:
        with connect(peer) as connection:
            return _content(connection, name)
    except RefusedError as error:
        return None if error.code == "no-such-file" else PeerUnreachableError(peer, error)
    except PeerUnreachableError as error:
        return error
    except RedeError as error:
        return PeerUnreachableError(peer, error)


def _content(connection: Connection, name: str) -> Content:
    """Ask until the peer knows the root: it hashes the file first, and tells how far it is."""
    furthest, since = -1, monotonic()
    while True:
        found = connection.ask(Stat(name), Found)
        if found.root is not None:
            return Content(found.root, found.size)
        if (found.hashed or 0) > furthest:
            furthest, since = found.hashed or 0, monotonic()
        elif monotonic() - since > HASHING_STALL:
            raise ConnectionLostError("hashing")
