"""The side of a connection that answers: one request after another, and refusals in words."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from rede_p2p.errors import ProtocolError, RedeError, RefusedError
from rede_p2p.net.connection import Connection
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import Listing, Quit

RequestType = TypeVar("RequestType")
Describe = Callable[[RedeError], str]  # an error → the sentence for the other side


def serve(
    connection: Connection,
    known: dict[str, type[RequestType]],
    silence_s: Callable[[], float],
    answer: Callable[[RequestType], None],
    describe: Describe,
) -> None:
    """Answer every request until the other side leaves.

    ``answer`` raises RefusedError where the answer is no, and ProtocolError when the body of a
    request is ill-formed; that ends the conversation, because nobody knows where the next request
    begins. Raises ConnectionLostError.
    """
    for request in requests(connection, known, silence_s, describe):
        try:
            answer(request)
        except RefusedError as no:
            refuse(connection, no, describe)
        except ProtocolError as error:
            refuse(connection, error, describe)
            return


def requests(
    connection: Connection,
    known: dict[str, type[RequestType]],
    silence_s: Callable[[], float],
    describe: Describe,
) -> Iterator[RequestType]:
    """Yield each request until the other side leaves; refuse the ill-formed ones.

    A request must arrive within ``silence_s()`` seconds. A browser is hung up on without a word.
    After noise or an endless line nothing more can be understood, and the conversation ends.
    """
    while True:
        try:
            line = connection.receive_line(silence_s())
            if line is None:
                return
            request = codec.decode_request(line, known)
        except ProtocolError as error:
            if error.kind == "http":
                return
            refuse(connection, error, describe)
            if error.kind in ("noise", "long-line"):
                return
            continue
        yield request
        if isinstance(request, Quit):
            return


def refuse(connection: Connection, error: RefusedError | ProtocolError, describe: Describe) -> None:
    """Answer no: a code for programs, a sentence for people."""
    code = error.code if isinstance(error, RefusedError) else error.kind
    connection.reply(codec.Refusal(code, describe(error)))


def reply_lines(connection: Connection, entries: Sequence[object]) -> None:
    """Send a reply whose body is a listing."""
    body = codec.encode_lines(entries)
    connection.send(codec.encode_reply(Listing(len(body), len(entries))) + body)
