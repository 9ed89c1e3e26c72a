"""The piece hashes of a content, from whichever source gives them, proved by its root."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from rede_p2p import merkle
from rede_p2p.connection import REPLY_TIMEOUT, Connection
from rede_p2p.errors import (
    Address,
    ConnectionLostError,
    InterruptedByUserError,
    PeerUnreachableError,
    ProtocolError,
    RedeError,
    RefusedError,
    VerificationError,
)
from rede_p2p.merkle import Content
from rede_p2p.messages import Body, Hashes

HURRY = 1.0  # seconds for the piece hashes to come from one of several sources


def find_layer(
    name: str,
    content: Content,
    sources: Iterable[Address],
    connect: Callable[[Address], Connection],
    adopt: Callable[[Connection | None], None],
) -> bytes:
    """Ask the sources one by one; one that does not answer soon is passed over, and asked again.

    ``adopt`` is given the connection that is waited for, and None after it; it may raise to end
    the search. Raises PeerUnreachableError or VerificationError, of the source that was asked last.
    """
    waiting = deque((source, HURRY) for source in sources)
    failure: RedeError = ConnectionLostError("lost")
    while waiting:
        source, within = waiting.popleft()
        try:
            return _ask(name, content, source, connect, adopt, within if waiting else REPLY_TIMEOUT)
        except InterruptedByUserError:
            raise
        except RedeError as error:
            failure = error
            if waiting and within == HURRY and _is_silence(error):
                waiting.append((source, REPLY_TIMEOUT))
        finally:
            adopt(None)
    raise failure


def _ask(
    name: str,
    content: Content,
    source: Address,
    connect: Callable[[Address], Connection],
    adopt: Callable[[Connection | None], None],
    within: float,
) -> bytes:
    """Ask one source; raise PeerUnreachableError or VerificationError."""
    try:
        with connect(source) as connection:
            adopt(connection)
            body = connection.ask(Hashes(content.root), Body, within)
            if body.bytes != merkle.piece_count(content.size) * merkle.HASH:
                raise ProtocolError("bad-length")
            layer = bytes(connection.receive_exactly(body.bytes))
    except (ConnectionLostError, ProtocolError, RefusedError) as error:
        raise PeerUnreachableError(source, error) from error
    if merkle.root_of(layer, content.size) != content.root:
        raise VerificationError(name, source)
    return layer


def _is_silence(error: RedeError) -> bool:
    cause = getattr(error, "cause", None)
    return isinstance(cause, ConnectionLostError) and cause.reason == "silent"
