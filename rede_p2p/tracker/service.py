"""What the tracker does for its peers: ports, the list, who has what; and its life.

Owner: the program that opens it, by ``with``. The conversation with each peer is told by
Servidor.py, whose functions the threads run.
"""

import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from rede_p2p.errors import Address, RefusedError
from rede_p2p.events import Event, PeerJoined, PeerLeft
from rede_p2p.net.address import OwnAddress, is_loopback, own_addresses
from rede_p2p.net.connection import Connection
from rede_p2p.net.discovery import LOCAL, Responder
from rede_p2p.net.listener import Listener
from rede_p2p.net.requests import Describe, lines_of_body, skip_body
from rede_p2p.net.turns import Turns
from rede_p2p.protocol import messages
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.tracker.call_back import CallBack
from rede_p2p.tracker.content_index import ContentIndex
from rede_p2p.tracker.election import Election
from rede_p2p.tracker.identity import introduce, key_of, prove
from rede_p2p.tracker.registration import Registration
from rede_p2p.tracker.registry import Registry

if TYPE_CHECKING:
    from rede_p2p.net.web import Reply
    from rede_p2p.protocol.http import HttpRequest

Page = Callable[["Tracker", Connection, "HttpRequest", "Reply"], None]
MAX_CONNECTIONS = 16_384  # at once, half of them from one address
REQUEST_BYTES = 500  # that most requests fit in; with its head, Python has a block of 512 for it


class Tracker:
    """A running tracker: its state and its threads."""

    def __init__(
        self,
        ip: str | None,
        port: int,
        first_port: int,
        start: "Callable[[Tracker], None]",
        post: Callable[[Event], None],
        describe: Describe,
        timeouts: Timeouts = DEFAULT,
        *,
        opening: bool = False,
        page: "Page | None" = None,
        name: str = "",
    ) -> None:
        """Listen on TCP ``port`` of ``ip`` (None: all addresses); raise PortUnavailableError.

        ``start`` accepts peers, in a thread of its own, until the listener is stopped. ``post`` is
        told who comes and goes; ``describe`` puts a refusal into words. While ``opening`` it may
        give way to another tracker, as its ``election`` says. Who searches is told the ``name``.
        ``page`` answers browsers.
        """
        self.listener = Listener(ip, port, MAX_CONNECTIONS, describe, timeouts, REQUEST_BYTES)
        self.describe = describe
        self.registry = Registry(first_port)
        self.index = ContentIndex()
        self.election = Election(opening=opening)
        self._secret = secrets.token_bytes(32)  # by which members know this tracker again
        self.turns = Turns(timeouts)
        self._calls = CallBack(timeouts)
        self.post = post
        self._page = page
        self._timeouts = timeouts
        self._name = name
        self._thread = Thread(target=start, args=(self,), name="tracker")
        self._responder: Responder | None = None

    def __enter__(self) -> "Tracker":
        ip, port, timeouts = self.listener.address.ip or None, self.port, self._timeouts
        one = self.election
        self._thread.start()
        try:
            self._responder = Responder(ip, port, timeouts, one.id, one.hear, self._name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        if self._responder is not None:
            self._responder.close()
        self.listener.stop()
        self._thread.join()

    @property
    def port(self) -> int:
        """The TCP port on which peers find this tracker."""
        return self.listener.address.port

    @property
    def answers(self) -> bool:
        """Whether this tracker, and no other of the machine, answers who searches for one."""
        return self._responder is not None and self._responder.answers

    @property
    def answers_browsers(self) -> bool:
        """Whether it speaks HTTP, too."""
        return self._page is not None

    def addresses(self) -> list[OwnAddress]:
        """List the addresses at which other machines may find it, the likeliest first."""
        if self.listener.address.ip:
            return [OwnAddress(self.listener.address.ip, "", "")]
        return own_addresses() or [OwnAddress(LOCAL, "", "")]

    # What Servidor.py tells, for one connection each, in its thread.

    def silence_s(self, registration: Registration) -> float:
        """Return for how many seconds a peer may say nothing."""
        listed = registration.listed
        return self._timeouts.member_silence_s if listed else self._timeouts.stranger_silence_s

    def offer_port(
        self, registration: Registration, request: messages.Join | messages.PortTaken
    ) -> messages.PortOffer:
        """Offer a public port to a peer that joins, or another when the last one is taken.

        Raises RefusedError ``version``, ``not-offered`` or ``no-port``.
        """
        wanted = None
        if isinstance(request, messages.PortTaken):
            self.registry.give_back(registration, request.port)
        elif request.version != messages.PROTOCOL_VERSION:
            raise RefusedError("version")
        else:
            wanted = request.port
        self.leave(registration)
        if isinstance(request, messages.Join):
            registration.name, registration.web = request.name, request.web
        port = self.registry.offer(registration, wanted)
        return messages.PortOffer(port, registration.ip, messages.PROTOCOL_VERSION)

    def acknowledge(self, request: messages.Ping, at: Address) -> messages.Ok:
        """Return the answer to a sign of life: also who this tracker is, or that it is ``at``."""
        said = introduce(self.election.id, self._secret) if request.who else messages.Ok()
        return replace(said, proof=prove(key_of(self._secret, request.ticket), at))

    def confirm(self, registration: Registration, request: messages.Ready) -> None:
        """List a peer that listens on the port it was offered; raise RefusedError."""
        self.election.open()  # a tracker that has a peer stays
        if self.registry.confirm(registration, request.port):
            self.post(PeerJoined(registration.address, registration.name))

    def attend_browser(self, connection: Connection, line: bytes) -> None:
        """Answer a browser, whose first line this is; raise ConnectionLostError."""
        if self._page is not None:
            from rede_p2p.net.web import serve_web  # most trackers never meet a browser

            page = partial(self._page, self, connection)
            serve_web(connection, line, page, self.describe, self._timeouts)

    def call_back(self, registration: Registration, source: str) -> messages.Reached:
        """Call a peer where it is listed, to tell it whether that works; raise RefusedError.

        A peer of this machine (``here``) is not called: that would tell nothing about the others.
        """
        if not registration.listed:
            raise RefusedError("join-first")
        if registration.here or is_loopback(registration.ip):
            return messages.Reached("here")
        return messages.Reached(self._calls.reach(registration.address, source))

    def leave(self, registration: Registration) -> None:
        """Take a peer off the list, with all that it announced."""
        address = registration.address
        self.index.leave(registration)
        if self.registry.leave(registration):
            self.post(PeerLeft(address, registration.name))

    def update_index(
        self,
        registration: Registration,
        connection: Connection,
        request: messages.Announce | messages.Withdraw,
    ) -> None:
        """Read what a peer has, or has no more; raise ProtocolError for an ill-formed body.

        Raises RefusedError ``join-first`` or ``too-much``.
        """
        if not registration.listed:
            skip_body(connection, request.bytes)
            raise RefusedError("join-first")
        is_announced = isinstance(request, messages.Announce)
        update = self.index.announce if is_announced else self.index.withdraw
        refusal: RefusedError | None = None
        body = request.bytes, request.count, messages.FileEntry
        for entries in lines_of_body(connection, *body):
            try:
                update(registration, entries)
            except RefusedError as error:  # the rest must be read all the same
                refusal = error
        if refusal is not None:
            raise refusal
