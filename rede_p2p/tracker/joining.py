"""Joining a tracker: the exchange that gives this peer a public port and puts it on the list."""

from collections.abc import Callable
from time import monotonic
from typing import NoReturn, TypeVar

from rede_p2p.errors import ConnectionLostError, ProtocolError, RefusedError
from rede_p2p.net.connection import Connection
from rede_p2p.protocol import codec, messages
from rede_p2p.protocol.fields import MAX_PORT_OFFERS
from rede_p2p.timeouts import DEFAULT, Timeouts

Message = TypeVar("Message")


def take_port(
    connection: Connection,
    join: messages.Join,
    open_port: Callable[[int], bool],
    timeouts: Timeouts = DEFAULT,
) -> messages.PortOffer:
    """Join; listen on the first offered port that ``open_port`` can have; return that offer.

    Raises RefusedError, ProtocolError, ConnectionLostError, or what ``open_port`` raises.
    """
    offer = ask(connection, join, messages.PortOffer)
    if offer.version != messages.PROTOCOL_VERSION:
        raise RefusedError("version")
    end = monotonic() + timeouts.joining_s
    for _ in range(MAX_PORT_OFFERS):
        if open_port(offer.port):
            ask(connection, messages.Ready(offer.port), messages.Ok)
            return offer
        if monotonic() > end:
            break
        offer = ask(connection, messages.PortTaken(offer.port), messages.PortOffer)
    raise ConnectionLostError("no-port")


def ask(
    connection: Connection,
    request: codec.Request,
    kind: type[Message],
    timeout: float | None = None,
) -> Message:
    """Ask a tracker, whose answers come at once."""
    return connection.ask(request, kind, timeout, refuse_pending)


def refuse_pending(_: codec.Pending) -> NoReturn:
    """Treat "espera" from a tracker as a breach of the protocol: no answer of its needs one."""
    raise ProtocolError("stranger")
