"""The piece hashes of a content, from whichever source gives them, proved by its root."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic

from rede_p2p.content import merkle
from rede_p2p.content.merkle import Content
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
from rede_p2p.net.connection import REPLY_TIMEOUT, WAIT_TIMEOUT, Connection
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import FileData, Hashes

HURRY = 1.0  # seconds for the piece hashes to come from one of several sources


def find_layer(
    name: str,
    content: Content,
    known: Iterable[Address],
    others: Callable[[], Iterable[Address]],
    connect: Callable[[Address], Connection],
    adopt: Callable[[Connection | None], None],
) -> bytes:
    """Ask the sources one by one; one that does not answer soon is passed over, and asked again.

    The ``others`` are looked for when none of the ``known`` has answered soon. Who is silent is
    asked twice; who says that we must wait, again and again, for twice as long each time.
    ``adopt`` is given the connection that is waited for, and None after it; it may raise to end
    the search. Raises PeerUnreachableError or VerificationError, of the source that was asked last.
    """
    waiting = deque((source, HURRY) for source in known)
    more: Callable[[], Iterable[Address]] | None = others
    busy: set[Address] = set()  # those that said so
    failure: RedeError = ConnectionLostError("lost")
    while True:
        if more is not None and not (waiting and waiting[0][1] == HURRY):
            waiting.extendleft((source, HURRY) for source in more())
            more = None
        if not waiting:
            raise failure
        source, within = waiting.popleft()
        hurry = within if waiting or more is not None else None
        try:
            return _ask(name, content, source, connect, adopt, hurry, busy)
        except InterruptedByUserError:
            raise
        except RedeError as error:
            failure = error
            again = within == HURRY or (source in busy and within < WAIT_TIMEOUT)
            if hurry is not None and again and _is_silence(error):
                waiting.append((source, max(REPLY_TIMEOUT, 2 * within)))
        finally:
            adopt(None)


def _ask(
    name: str,
    content: Content,
    source: Address,
    connect: Callable[[Address], Connection],
    adopt: Callable[[Connection | None], None],
    hurry: float | None,
    busy: set[Address],
) -> bytes:
    """Ask one source; raise PeerUnreachableError or VerificationError.

    With others to ask it has ``hurry`` seconds, whatever it says meanwhile.
    """
    began = monotonic()

    def note_busy(_wait: codec.Pending) -> None:
        busy.add(source)
        if hurry is not None and monotonic() - began > hurry:
            raise ConnectionLostError("silent")

    try:
        with connect(source) as connection:
            adopt(connection)
            request = Hashes(content.root)
            body = connection.ask(request, FileData, hurry or REPLY_TIMEOUT, note_busy)
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
