"""Whom a typed word means where an IP may stand: a row of the last table, or a peer by its name.

An address and ``localhost`` mean themselves, and no peer has a name that reads like one. A name is
what a peer claims. Several that claim the same are told apart by their ports, of which the tracker
gives each another: ``ana:5455``, ``ana:5456``.
"""

import difflib
from collections import Counter
from collections.abc import Sequence

from rede_p2p.cli import options
from rede_p2p.cli.session import Session
from rede_p2p.content.safe_names import normal_form
from rede_p2p.errors import (
    Address,
    AmbiguousPeerError,
    BadUsageError,
    UnknownMachineError,
    UnknownPeerError,
)
from rede_p2p.protocol.messages import PeerEntry

NEAR = 0.7  # as ``difflib`` measures likeness, from which a name is suggested
Place = tuple[list[str], int | None]  # the IPs of a machine, and a port there


def labels(members: Sequence[PeerEntry]) -> list[str]:
    """Return what is typed for each peer, "" for one without a name."""
    same = Counter(one.name.casefold() for one in members)
    return [
        f"{one.name}:{one.port}" if one.name and same[one.name.casefold()] > 1 else one.name
        for one in members
    ]


def called(session: Session, word: str) -> list[PeerEntry]:
    """Ask the tracker for the peers of that name."""
    return named(session.client.roster().members, word)


def named(members: Sequence[PeerEntry], word: str) -> list[PeerEntry]:
    """List those of that name, in any case of its letters."""
    name = normal_form(word).casefold()
    return [one for one in members if name and one.name.casefold() == name]


def name_at(members: Sequence[PeerEntry], ip: str) -> str:
    """Return what the only other peer at an IP calls itself; "" for none, or for several."""
    here = [one.name for one in members if one.ip.partition("%")[0] == ip and not one.you]
    return here[0] if len(here) == 1 else ""


def known(session: Session, word: str, port: int | None) -> Place | None:
    """Return where a row or a name of a peer is; None for a word that is neither.

    The port is None where peers of that name share an IP, as those of one machine do. Raises
    BadUsageError for a row that there is not, AmbiguousPeerError where they are of several IPs.
    """
    if options.is_ip(word):
        return None
    if word.isascii() and word.isdigit():
        if not (len(word) <= 5 and 1 <= int(word) <= len(session.rows)):
            raise BadUsageError("no-row", word)
        ip, own_port = session.rows[int(word) - 1]
        return [ip], port or own_port
    found = called(session, word)
    if port is not None:
        found = [one for one in found if one.port == port] or found[:1]
    if not found:
        return None
    if len({one.ip for one in found}) > 1:
        raise ambiguous(word, found)
    return [found[0].ip], port or (found[0].port if len(found) == 1 else None)


def ambiguous(word: str, found: Sequence[PeerEntry]) -> AmbiguousPeerError:
    """Return the error that names the addresses of several peers of one name."""
    return AmbiguousPeerError(word, tuple(Address(one.ip, one.port) for one in found))


def unknown(session: Session, word: str) -> UnknownPeerError:
    """Return the error that no peer is called so, with the nearest name."""
    names = {label.casefold(): label for label in labels(session.client.roster().members)}
    near = difflib.get_close_matches(normal_form(word).casefold(), names, 1, NEAR)
    return UnknownPeerError(word, names[near[0]] if near else "")


def place(session: Session, word: str, port: int | None) -> Place:
    """Return where what a word means is; of a machine's name, as the system says.

    Raises what ``known`` does, and ``options.parse_ips``; UnknownPeerError where a peer has nearly
    that name.
    """
    found = known(session, word, port)
    if found is not None:
        return found
    try:
        return options.parse_ips(word), port
    except (BadUsageError, UnknownMachineError):
        error = unknown(session, word)
        if error.suggestion:
            raise error from None
        raise
