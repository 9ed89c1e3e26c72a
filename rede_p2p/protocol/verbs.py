"""Which requests each program answers, by their verbs."""

from typing import NoReturn, get_args

from rede_p2p.protocol.messages import (
    Announce,
    Bundle,
    Find,
    Get,
    Hashes,
    Join,
    Ls,
    Next,
    Peers,
    Pieces,
    Ping,
    PortTaken,
    Quit,
    Reach,
    Ready,
    Search,
    Stat,
    Take,
    Want,
    Withdraw,
)

TrackerRequest = (
    Join | PortTaken | Ready | Peers | Ping | Announce | Withdraw | Find | Search | Reach | Quit
)
PeerRequest = Ls | Stat | Get | Hashes | Pieces | Bundle | Want | Take | Next | Quit
TO_TRACKER: dict[str, type[TrackerRequest]] = {k.verb: k for k in get_args(TrackerRequest)}
TO_PEER: dict[str, type[PeerRequest]] = {k.verb: k for k in get_args(PeerRequest)}


def assert_never(request: NoReturn) -> NoReturn:
    """Make the type checker refuse a ``match`` that lacks a request."""
    raise AssertionError(request)  # pragma: no cover - typing has it from Python 3.11 on
