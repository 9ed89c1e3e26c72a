"""Keeping the tracker's index in step with what this peer has.

A thread compares what is here with what the tracker was told, whenever either may have changed, and
tells the difference. After joining again it tells everything. Owner: the peer.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from threading import Event, Thread

from rede_p2p.content.merkle import Content
from rede_p2p.errors import RedeError, RefusedError, TrackerUnreachableError
from rede_p2p.net.connection import Connection
from rede_p2p.protocol.messages import Announce, FileEntry, Ok, Withdraw
from rede_p2p.tracker.client import TrackerClient, at_once
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.share_list import ShareList

LOOK_EVERY = 0.2  # seconds
AT_ONCE = 2000  # lines in one request: a sign of life must not wait behind a long list


class Announcer:
    """The thread that tells the tracker; see the module's docstring."""

    def __init__(self, membership: TrackerClient, catalog: ShareList, holdings: SeedStore) -> None:
        self._membership = membership
        self._catalog = catalog
        self._holdings = holdings
        self._told: set[FileEntry] = set()
        self._told_in = -1  # the joining in which it was told
        self._seen: object = None  # from what it was made
        self._woken = Event()
        self._stopped = False
        self._thread = Thread(target=self._run, name="announcer")
        self._thread.start()

    def wake(self) -> None:
        """Look now, from any thread."""
        self._woken.set()

    def close(self) -> None:
        """Tell no more, and wait for the thread."""
        self._stopped = True
        self._woken.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped:
            try:
                self._tell()
            except RedeError:  # the tracker is away: it will be told all when it is back
                self._told_in = -1
            self._woken.wait(LOOK_EVERY)
            self._woken.clear()

    def _tell(self) -> None:
        joined = self._membership.joined
        if joined != self._told_in:
            self._told, self._told_in = set(), joined
            self._seen = None
        seen = (self._catalog.version(), self._holdings.version)
        if seen == self._seen:
            return
        here = self._here(self._holdings.downloads())
        self._send(Withdraw, self._told - here)  # first: a tracker keeps so much of one peer's
        self._send(Announce, here - self._told)
        self._told, self._seen = here, seen

    def _here(self, downloads: Iterable[Content]) -> set[FileEntry]:
        """Return what this peer has, as far as its roots are known."""
        here = {
            FileEntry(share.name, content.size, content.root)
            for share in self._catalog.seen()
            if (content := self._catalog.content(share)) is not None
        }
        return here | {FileEntry("", c.size, c.root) for c in downloads}

    def _send(self, kind: type[Announce] | type[Withdraw], entries: set[FileEntry]) -> None:
        lines = list(entries)
        for start in range(0, len(lines), AT_ONCE):
            some = lines[start : start + AT_ONCE]
            try:
                self._membership.call(partial(_tell_lines, kind, some))
            except TrackerUnreachableError as error:
                # It keeps no more of one peer's: to say it again would change nothing.
                if not isinstance(error.cause, RefusedError):
                    raise


def _tell_lines(
    kind: type[Announce] | type[Withdraw], entries: list[FileEntry], connection: Connection
) -> None:
    connection.send_lines(kind, entries)
    connection.receive_reply(Ok, waiting=at_once)
