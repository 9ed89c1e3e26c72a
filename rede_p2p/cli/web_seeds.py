"""The web seeds of a .torrent (BEP 19): where peers of this network give a content by HTTP."""

import random
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from urllib.parse import quote

from rede_p2p.cli.session import Session
from rede_p2p.content.merkle import Content
from rede_p2p.errors import Address, RedeError
from rede_p2p.net import web_probe
from rede_p2p.net.address import is_link_local, is_loopback, own_addresses
from rede_p2p.protocol import http

MAX_OWN = 4  # addresses of this machine
MAX_OTHERS = 16  # peers, all of which are asked at once


def of_file(session: Session, content: Content, name: str) -> list[str]:
    """Return URLs of one file, to be saved under a name; this peer's first."""
    path = http.path_of("arquivo", content.root, name)
    return [origin + path for origin in _origins(session, content, path)]


def of_folder(session: Session, folder: str, largest: Content, name: str) -> list[str]:
    """Return the URLs to which a client adds the torrent's name and the path of each file.

    A peer that gives the ``largest`` file under its ``name`` is taken to have the others, too.
    """
    parent = folder[: len(folder) - len(folder.rpartition("/")[2])]
    origins = _origins(session, largest, f"/pasta/{quote(name)}")
    return [f"{origin}/pasta/{quote(parent)}" for origin in origins]


def _origins(session: Session, content: Content, path: str) -> list[str]:
    """Return where a path gives this content, as ``http://10.0.0.2:5455``."""
    found = _own(session) if session.client.web else []
    found += _others(session, content, path)
    # The address of a web server has no zone, without which a link-local one means nothing.
    return [http.origin(*place) for place in found if not is_link_local(place.ip)]


def _own(session: Session) -> list[Address]:
    """Return where others reach this peer."""
    here = [Address(one.ip, one.port) for one in session.client.roster().members if one.you]
    if session.own_ip is None and all(is_loopback(place.ip) for place in here):
        ips = [one.ip for one in own_addresses()[:MAX_OWN]]  # of a tracker on this machine
        here = [Address(ip, place.port) for place in here for ip in ips] or here
    return here


def _others(session: Session, content: Content, path: str) -> list[Address]:
    """Return which other peers give the content, of some that are said to have it."""
    timeouts = session.context.timeouts

    def gives(place: Address) -> bool:
        with suppress(RedeError), session.context.connect(place) as connection:
            return web_probe.gives(connection, path, content.root, timeouts)
        return False

    places: list[Address] = []
    with suppress(RedeError, FutureTimeoutError):
        places = session.client.who_has(content).result(timeouts.reply_s)
    places = random.sample(places, min(len(places), MAX_OTHERS))
    with ThreadPoolExecutor(MAX_OTHERS, "web seed") as pool:
        return [
            place for place, right in zip(places, pool.map(gives, places), strict=True) if right
        ]
