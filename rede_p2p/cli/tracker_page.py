"""What the tracker answers to a browser: the routes, each one function.

Imported only once there is a browser.
"""

from rede_p2p.net.connection import Connection
from rede_p2p.net.web import Reply
from rede_p2p.protocol.http import HttpError, HttpRequest
from rede_p2p.tracker.service import Page, Tracker


def answer(tracker: Tracker, connection: Connection, request: HttpRequest, reply: Reply) -> None:
    """Answer one request; raise HttpError where the answer is no."""
    route = _ROUTES.get(request.path)
    if route is None:
        raise HttpError(404)
    route(tracker, connection, request, reply)


_ROUTES: dict[str, Page] = {}
