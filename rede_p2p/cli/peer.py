"""What the threads of a peer share, and the functions of Peers.py that they run."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from threading import Thread

from rede_p2p.cli import texts
from rede_p2p.cli.options import PeerOptions
from rede_p2p.cli.session import Session
from rede_p2p.content.hash_cache import HashCache, default_database
from rede_p2p.errors import Address, PortUnavailableError
from rede_p2p.events import Event, FilesServed, Post
from rede_p2p.net.connection import Connection
from rede_p2p.net.listener import Listener
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.share_list import ShareList
from rede_p2p.upload.upload_slots import UploadSlots

MAX_CONNECTIONS = 512  # from other peers at once, half of them from one address


@dataclass(frozen=True)
class Story:
    """The functions of Peers.py that this program calls."""

    menu: Callable[[Session, Iterable[str], bool], int]
    listening: "Callable[[Peer, Listener], None]"
    connect_to_peer: "Callable[[Peer, Address], Connection]"


class Peer:
    """What the threads of this peer share. ``close`` ends them, and waits."""

    def __init__(
        self, chosen: PeerOptions, story: Story, post: Post, timeouts: Timeouts = DEFAULT
    ) -> None:
        self.own_ip = chosen.own_ip
        self.name = chosen.name or ""
        self.page = chosen.page
        self.name_at: Callable[[str], str] = lambda _ip: ""  # of the peer at an IP
        self._post = post
        self.timeouts = timeouts
        self.hash_cache = HashCache(default_database())
        try:
            self.shares = ShareList(chosen.share_list, self.hash_cache, post, timeouts)
        except BaseException:  # the system has no thread left
            self.hash_cache.close()
            raise
        self.seeds = SeedStore(self.shares, keeps=chosen.seeds)
        self.slots = UploadSlots(chosen.limit, timeouts=timeouts)
        self._listening = story.listening
        self._port: int | None = None  # the public port
        self._end_port = ExitStack()

    def post(self, event: Event) -> None:
        """Post an event, with the name of who is meant; any thread may call this."""
        if isinstance(event, FilesServed):
            event = replace(event, peer=self.name_at(event.to))
        self._post(event)

    def open_port(self, port: int) -> bool:
        """Listen on a public port, and no more on the one before; False if a program has it.

        Raises PortUnavailableError. Called by the main thread, then by the tracker client's.
        """
        if port == self._port:
            return True
        try:
            listener = Listener(
                self.own_ip,
                port,
                MAX_CONNECTIONS,
                texts.refusal,
                self.timeouts,
                files=1,  # who wants a content keeps its file open
                idle_s=self.timeouts.peer_idle_s,
            )
        except PortUnavailableError as error:
            if error.reason == "taken":
                return False
            raise
        self._end_port.close()
        thread = Thread(target=self._listening, args=(self, listener), name="listening")
        try:
            thread.start()
        except BaseException:
            with listener:
                raise
        self._end_port.callback(thread.join)
        self._end_port.callback(listener.stop)
        self._port = port
        return True

    def close(self) -> None:
        """End every thread, and wait for it."""
        self.slots.close()
        self._end_port.close()
        self.shares.close()
        self.hash_cache.close()
