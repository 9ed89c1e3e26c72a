#!/usr/bin/env python3
"""The tracker: gives each peer a public port and keeps the list of who is here.

The story: start() waits for peers and gives each a thread; attend_peer() is that thread, which
listens to one peer until it leaves; answer() is what it says. What stands behind the answers is in
rede_p2p/tracker/, the options and the screen in rede_p2p/cli/.
"""

import sys
from functools import partial

from rede_p2p.cli.tracker_program import run_tracker
from rede_p2p.net.connection import Connection
from rede_p2p.net.requests import listing, reply_lines, serve, with_body
from rede_p2p.net.turns import with_rests
from rede_p2p.protocol import messages, verbs
from rede_p2p.tracker.registration import Registration
from rede_p2p.tracker.service import Tracker


def start(tracker: Tracker) -> None:
    """Wait for peers, and give each a thread of its own, until the tracker is told to stop."""
    with tracker.listener as listener:
        while (connection := listener.accept()) is not None:
            listener.attend(connection, partial(attend_peer, tracker))


def attend_peer(tracker: Tracker, connection: Connection) -> None:
    """Listen to one peer until it leaves; its place in the list lives as long as this call."""
    ip = connection.remote.ip
    registration = Registration(ip, here=ip == connection.local.ip)
    try:
        serve(
            connection,
            verbs.TO_TRACKER,
            partial(tracker.silence_s, registration),
            partial(answer, tracker, registration, connection),
            tracker.describe,
            partial(tracker.attend_browser, connection),
        )
    finally:
        tracker.leave(registration)


def answer(  # noqa: C901 - one branch a request
    tracker: Tracker,
    registration: Registration,
    connection: Connection,
    request: verbs.TrackerRequest,
) -> None:
    """Answer one request; raise RefusedError where the answer is no."""
    match request:
        case messages.Join() | messages.PortTaken():
            connection.reply(tracker.offer_port(registration, request))
        case messages.Ready():
            tracker.confirm(registration, request)
            connection.reply(messages.Ok())
        case messages.Peers():
            with tracker.turns.turn(registration.ip):
                lines = tracker.registry.members(registration, connection.local.ip)
                connection.send(with_body(b"".join(lines), len(lines)))
        case messages.Announce() | messages.Withdraw():
            tracker.update_index(registration, connection, request)
            connection.reply(messages.Ok())
        case messages.Find():
            here = connection.local.ip
            with tracker.turns.turn(registration.ip):
                holders = tracker.index.holders(request.root)
                peers = tracker.registry.as_reached(holders, registration, here)
                reply_lines(connection, with_rests(peers))
        case messages.Search():
            with tracker.turns.turn(registration.ip) as end:
                with tracker.turns.alone(registration.ip, end):
                    results = tracker.index.search(request.text, exact=request.exact)
                    found = listing(with_rests(results), results.total)
                connection.send(with_body(*found))
        case messages.Reach():
            connection.reply(tracker.call_back(registration, connection.local.ip))
        case messages.Ping():
            connection.reply(tracker.acknowledge(request, connection.local))
        case messages.Quit():
            connection.reply(messages.Ok())
        case _:
            verbs.assert_never(request)


def main() -> int:
    """Run the tracker with the words that were typed; return the exit status."""
    return run_tracker(sys.argv[1:], start)


if __name__ == "__main__":
    sys.exit(main())
