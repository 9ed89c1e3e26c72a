"""The tracker's index: which content is with whom, and under which names.

It is in step with the registry: what a seat announced goes when the seat goes. Invariant:
``_holders`` and ``_names`` are ``_told`` read from the content's and from the name's side. Owner:
the tracker, whose threads share it; no method does I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from threading import Lock

from rede_p2p.messages import Known, Shared
from rede_p2p.registry import Seat

MOST_TOLD = 200_000  # names of contents taken from one seat
MOST_FOUND = 10_000  # lines in the answer to one search

# A content, as its root and its size: the collector of garbage, which stops all threads, need not
# look into tuples of plain values. With 200,000 objects in their place it stopped them for 0.1 s.
_Content = tuple[bytes, int]


class Index:
    """Who has what; see the module's docstring."""

    def __init__(self) -> None:
        self._lock = Lock()  # guards all below
        self._told: dict[Seat, set[tuple[_Content, str]]] = {}
        self._holders: dict[bytes, dict[Seat, int]] = {}  # root → seat → names it told it by
        self._names: dict[str, dict[_Content, int]] = {}  # name → content → seats that told it

    def announce(self, seat: Seat, entries: Iterable[Shared]) -> None:
        """Note that a seat has these contents; an empty name is found by root alone."""
        with self._lock:
            told = self._told.setdefault(seat, set())
            for content, name in _pairs(entries):
                if (content, name) not in told and len(told) < MOST_TOLD:
                    told.add((content, name))
                    holders = self._holders.setdefault(content[0], {})
                    holders[seat] = holders.get(seat, 0) + 1
                    if name:
                        contents = self._names.setdefault(name, {})
                        contents[content] = contents.get(content, 0) + 1

    def withdraw(self, seat: Seat, entries: Iterable[Shared]) -> None:
        """Note that a seat has these no more."""
        with self._lock:
            for pair in _pairs(entries):
                self._forget(seat, pair)

    def leave(self, seat: Seat) -> None:
        """Forget all that a seat announced."""
        with self._lock:
            for pair in list(self._told.get(seat, ())):
                self._forget(seat, pair)
            self._told.pop(seat, None)

    def holders(self, root: bytes) -> list[Seat]:
        """List who has a content, in the order in which they announced it."""
        with self._lock:
            return list(self._holders.get(root, ()))

    def search(self, text: str, *, exact: bool) -> list[Known]:
        """List the contents with ``text`` in a name, whatever its case, or called exactly so."""
        with self._lock:
            found = {text: self._names.get(text, {})} if exact else dict(self._names)
        wanted = text.casefold()
        names = found if exact else (name for name in found if wanted in name.casefold())
        known: list[Known] = []
        with self._lock:
            for name in names:
                for root, size in islice(self._names.get(name, ()), MOST_FOUND - len(known)):
                    known.append(Known(name, size, root, len(self._holders.get(root, ()))))
                if len(known) == MOST_FOUND:
                    break
        return known

    def _forget(self, seat: Seat, pair: tuple[_Content, str]) -> None:
        told = self._told.get(seat, set())
        if pair not in told:
            return
        told.remove(pair)
        content, name = pair
        _count_down(self._holders, content[0], seat)
        if name:
            _count_down(self._names, name, content)


def _count_down(table: dict, key: object, inner: object) -> None:  # type: ignore[type-arg]
    counts = table[key]
    counts[inner] -= 1
    if not counts[inner]:
        del counts[inner]
        if not counts:
            del table[key]


def _pairs(entries: Iterable[Shared]) -> Iterable[tuple[_Content, str]]:
    return (((e.root, e.size), e.name) for e in entries if e.root is not None)
