"""Knowing a tracker again: the id that it tells everybody, and a proof that it gives one member.

A search finds who says the id, and anybody may. So a member has its tracker seal a random number
that it tells nobody else, and a tracker found elsewhere must seal it alike.
"""

import hmac
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rede_p2p.errors import Address, RedeError
from rede_p2p.net.connection import Connection, dial
from rede_p2p.net.search import MAX_FOUND, Found, search
from rede_p2p.protocol.messages import Ok, Ping
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.tracker.joining import ask

PROOF_DIGITS = 32  # hexadecimal, of the 64


@dataclass(frozen=True)
class Identity:
    """What a member knows of its tracker; ``id`` and ``proof`` are "" where it does not say them.

    ``nonce`` is the number that the member had it seal, and ``proof`` the seal.
    """

    id: str = ""
    nonce: str = ""
    proof: str = ""


def prove(secret: bytes, nonce: str) -> str:
    """Return a tracker's seal of a number, which is made by its secret: HMAC-SHA-256 (RFC 2104)."""
    return hmac.digest(secret, nonce.encode(), "sha256").hex()[:PROOF_DIGITS] if nonce else ""


def identify(connection: Connection) -> Identity:
    """Ask the tracker at the other end which one it is; raise as ``Connection.ask``."""
    nonce = secrets.token_hex(16)
    said = ask(connection, Ping(who=True, nonce=nonce), Ok)
    return Identity(said.id, nonce, said.proof)


def find_again(
    known: Identity, any_one: bool, source: str | None = None, timeouts: Timeouts = DEFAULT
) -> Address | None:
    """Return where that tracker is now; with ``any_one``, else the only tracker there is."""
    found = search(source, timeouts=timeouts)
    same = [at for one in found if one.id and one.id == known.id for at in one.addresses]
    said = ask_each(same, Ping(nonce=known.nonce), source, timeouts)
    proven = [at for at, ok in zip(same, said, strict=True) if ok and ok.proof == known.proof]
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
