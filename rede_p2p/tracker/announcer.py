"""Keeping the tracker's index in step with what this peer has, within one joining.

A plain object of the client's thread: it remembers what the tracker was told over this connection,
and tells the difference.
"""

from collections.abc import Callable

from rede_p2p.errors import RefusedError
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import Announce, FileEntry, Withdraw

MAX_LINES_PER_ANNOUNCE = 2000  # what else is asked must not wait behind a long list


class Announcer:
    """What the tracker was told of this peer's files."""

    def __init__(self, ask: Callable[[bytes], None]) -> None:
        """``ask`` sends a request with its body, and raises what the answer does."""
        self._ask = ask
        self._announced: set[FileEntry] = set()

    def update(self, entries: set[FileEntry]) -> bool:
        """Announce what is new, and withdraw what is gone; tell whether there was either.

        Raises what the connection does.
        """
        gone, new = self._announced - entries, entries - self._announced
        self._send(Withdraw, gone)  # first: a tracker keeps only so many names of one peer
        self._send(Announce, new)
        self._announced = entries
        return bool(gone or new)

    def _send(self, kind: type[Announce] | type[Withdraw], entries: set[FileEntry]) -> None:
        lines = list(entries)
        for start in range(0, len(lines), MAX_LINES_PER_ANNOUNCE):
            some = lines[start : start + MAX_LINES_PER_ANNOUNCE]
            body = codec.encode_lines(some)
            try:
                self._ask(codec.encode_request(kind(len(body), len(some))) + body)
            except RefusedError:  # it keeps no more names of this peer; asking again is no use
                continue
