"""What the tracker answers to a browser: the routes, each one function.

Imported only once there is a browser.
"""

import random
from urllib.parse import parse_qs

from rede_p2p.cli import network_page
from rede_p2p.cli.installation import ZIPAPP, lines_to_fetch, typed_elsewhere
from rede_p2p.cli.listing import name_key
from rede_p2p.cli.network_page import File, Network, Wish
from rede_p2p.cli.program_page import send_program
from rede_p2p.content import safe_names
from rede_p2p.errors import RefusedError
from rede_p2p.net.address import is_link_local, is_loopback
from rede_p2p.net.connection import Connection
from rede_p2p.net.web import Reply
from rede_p2p.protocol import codec, http
from rede_p2p.protocol.http import HttpError, HttpRequest
from rede_p2p.protocol.messages import PeerEntry, SearchResult
from rede_p2p.tracker.registration import Registration
from rede_p2p.tracker.service import Page, Tracker

FILES_A_PAGE = 200
MAX_SOURCES = 3  # other peers that the link to a .torrent names
MAX_SEARCH_CHARS = 1024  # as many as a name has
HTML = "text/html; charset=utf-8"


def answer(tracker: Tracker, connection: Connection, request: HttpRequest, reply: Reply) -> None:
    """Answer one request; raise HttpError where the answer is no."""
    route = _ROUTES.get(request.path)
    if route is None:
        raise HttpError(404)
    route(tracker, connection, request, reply)


def show_network(
    tracker: Tracker, connection: Connection, request: HttpRequest, reply: Reply
) -> None:
    """Show the network as this browser reaches it: how to join, who is there, what they share."""
    wish = _wish(request.query)
    try:
        with tracker.turns.turn(connection.remote.ip) as end:
            with tracker.turns.alone(connection.remote.ip, end):
                body = _page(tracker, connection, wish)
            reply.send(200, HTML, body, [("Cache-Control", "no-store")])
    except RefusedError as error:
        raise HttpError(503) from error


def _page(tracker: Tracker, connection: Connection, wish: Wish) -> bytes:
    asker = Registration(connection.remote.ip, here=connection.remote.ip == connection.local.ip)
    at = connection.local.ip
    found = tracker.index.search(wish.search, exact=False)
    pages = max(1, -(-len(found) // FILES_A_PAGE))
    wish = Wish(wish.search, min(wish.page, pages), wish.still)
    first = (wish.page - 1) * FILES_A_PAGE
    rows = sorted(found, key=lambda row: name_key(row.name))[first : first + FILES_A_PAGE]
    peers = tracker.registry.members(asker, at)
    network = Network(
        _commands(tracker, at),
        codec.decode_lines(b"".join(peers), PeerEntry, len(peers)),
        [_file(tracker, asker, at, row) for row in rows],
        first + 1,
        len(found),
        found.total - len(found),
        pages,
    )
    return network_page.render(network, wish)


def _wish(query: str) -> Wish:
    """Read what is asked for; what makes no sense is not there. Raises HttpError 400."""
    try:
        asked = parse_qs(query, errors="replace", max_num_fields=10)
    except ValueError as error:
        raise HttpError(400) from error
    page = asked.get("pagina", [""])[0]
    number = int(page) if page.isascii() and page.isdigit() and len(page) < 8 else 1
    search = asked.get("busca", [""])[0].strip()[:MAX_SEARCH_CHARS]
    return Wish(search, max(number, 1), "parada" in asked)


def _commands(tracker: Tracker, at: str) -> list[tuple[str, str]]:
    """Return what is typed to join: with the address by which the asker came, if others may."""
    ip = tracker.addresses()[0].ip if is_loopback(at) or is_link_local(at) else at
    fetch, fetch_on_windows, start = lines_to_fetch(ip, tracker.port)
    return [
        (
            "Em uma máquina com a Rede P2P, digite:",
            f"{typed_elsewhere('Peers.py')} {ip} {tracker.port}",
        ),
        ("Onde só há Python, baixe o programa …", fetch),
        ("… (no PowerShell, assim) …", fetch_on_windows),
        ("… e o inicie:", start),
    ]


def _file(tracker: Tracker, asker: Registration, at: str, row: SearchResult) -> File:
    """Return a row, with a link to one of those that share it, so that they share the load."""
    file = File(row.name, row.size, row.peers)
    if not safe_names.is_safe(row.name):  # it could not be saved under that name
        return file
    sharers = [peer for peer in tracker.index.sharers(row) if peer.web]
    entries = tracker.registry.as_reached(random.sample(sharers, len(sharers)), asker, at)
    # The address of a browser has no zone, without which a link-local one means nothing.
    first, *others = [http.origin(e.ip, e.port) for e in entries if not is_link_local(e.ip)] or [""]
    if not first:
        return file
    url = first + http.path_of("arquivo", row.root, row.name)
    if not row.size:  # no client takes a .torrent of nothing
        return File(row.name, row.size, row.peers, url)
    sources = "&".join(f"fonte={one.partition('//')[2]}" for one in others[:MAX_SOURCES])
    torrent = first + http.path_of("torrent", row.root, f"{row.name}.torrent")
    return File(row.name, row.size, row.peers, url, f"{torrent}?{sources}".rstrip("?"))


_ROUTES: dict[str, Page] = {"/": show_network, f"/{ZIPAPP}": send_program}
