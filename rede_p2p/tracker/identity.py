"""Knowing a tracker again: the id that it tells everybody, and a key that it gives one member.

A search finds who says the id, and anybody may. So the tracker gives each member a key, with a
ticket from which it alone can make that key again. One found elsewhere, told the ticket, must prove
by the key the address at which it was asked: whoever asks the true tracker, and passes its answer
on, has the proof of another address.
"""

import hmac
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from rede_p2p.errors import Address, RedeError
from rede_p2p.net.address import address_of
from rede_p2p.net.connection import Connection, dial
from rede_p2p.net.search import MAX_FOUND, Found, search
from rede_p2p.protocol.messages import Ok, Ping
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.tracker.joining import ask

SEAL_DIGITS = 32  # hexadecimal, of the 64


class Identity(NamedTuple):
    """What a member knows of its tracker: its id, and the key it gave; "" where it says none."""

    id: str = ""
    ticket: str = ""
    key: str = ""


def introduce(own_id: str, secret: bytes) -> Ok:
    """Return how a tracker makes itself known to one member, to whom alone it gives that key."""
    ticket = secrets.token_hex(16)
    return Ok(own_id, ticket, key_of(secret, ticket))


def key_of(secret: bytes, ticket: str) -> str:
    """Return the key that a tracker of this secret gave with a ticket, "" without one."""
    return _seal(secret, ticket) if ticket else ""


def prove(key: str, at: Address) -> str:
    """Return the proof, by such a key, that its tracker is asked at an address; "" without one."""
    return _seal(key.encode(), str(address_of(at))) if key else ""


def _seal(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(), "sha256").hex()[:SEAL_DIGITS]  # RFC 2104


def identify(connection: Connection) -> Identity:
    """Ask the tracker at the other end which one it is; raise as ``Connection.ask``."""
    said = ask(connection, Ping(who=True), Ok)
    return Identity(said.id, said.ticket, said.key)


def find_again(
    known: Identity, any_one: bool, source: str | None = None, timeouts: Timeouts = DEFAULT
) -> Address | None:
    """Return where that tracker is now; with ``any_one``, else the only tracker there is."""
    found = search(source, timeouts=timeouts)
    same = [at for one in found if one.id and one.id == known.id for at in one.addresses]
    said = ask_each(same, Ping(ticket=known.ticket), source, timeouts)
    both = zip(same, said, strict=True)
    proven = [at for at, ok in both if ok and ok.proof == prove(known.key, at)]
    others = [one.address for one in found if not one.opening]
    return proven[0] if proven else others[0] if any_one and len(others) == 1 else None


def those_there(
    found: Sequence[Found], source: str | None = None, timeouts: Timeouts = DEFAULT
) -> list[Found]:
    """Return those of several trackers that say by TCP, too, the id that they said in a search."""
    said = ask_each([one.address for one in found], Ping(who=True), source, timeouts)
    return [one for one, ok in zip(found, said, strict=True) if ok and ok.id == one.id]


def ask_each(
    trackers: Sequence[Address], request: Ping, source: str | None, timeouts: Timeouts
) -> list[Ok | None]:
    """Ask trackers at the same time; return each answer, None where none comes in time."""

    def answer(address: Address) -> Ok | None:
        try:
            with dial(address, source, timeouts, timeouts.identify_s) as connection:
                return ask(connection, request, Ok, timeouts.identify_s)
        except RedeError:
            return None

    with ThreadPoolExecutor(MAX_FOUND, "identify") as pool:
        return list(pool.map(answer, trackers))
