"""The tracker's index: which content is with whom, and under which names.

It is in step with the registry: what a seat announced goes when the seat goes. Invariant:
``_holders`` and ``_names`` are ``_told`` read from the content's and from the name's side. Owner:
the tracker, whose threads share it; no method does I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Lock

from rede_p2p.errors import RefusedError
from rede_p2p.protocol.messages import FileEntry, SearchResult
from rede_p2p.tracker.registry import Registration

MOST_TOLD = 200_000  # names of contents taken from one seat
MOST_NAMED = 16 * 1024 * 1024  # bytes of UTF-8 in all of them
MOST_FOUND = 10_000  # lines in the answer to one search
MOST_ANSWERED = 4 * 1024 * 1024  # bytes in them, more or less
LINE = 135  # bytes of a line, but for the name

# A content, as its root and its size: the collector of garbage, which stops all threads, need not
# look into tuples of plain values. With 200,000 objects in their place it stopped them for 0.1 s.
_Content = tuple[bytes, int]


class ContentIndex:
    """Who has what; see the module's docstring."""

    def __init__(self) -> None:
        self._lock = Lock()  # guards all below
        self._told: dict[Registration, set[tuple[_Content, str]]] = {}
        self._named: dict[Registration, int] = {}  # bytes of UTF-8 in the names that it told
        self._holders: dict[
            bytes, dict[Registration, int]
        ] = {}  # root → seat → names it told it by
        self._names: dict[str, dict[_Content, int]] = {}  # name → content → seats that told it

    def announce(self, seat: Registration, entries: Iterable[FileEntry]) -> None:
        """Note that a seat has these contents; an empty name is found by root alone.

        Raise RefusedError ``too-much``, once those that fit are noted, when a seat tells of more
        than MOST_TOLD names, or of more than MOST_NAMED bytes in them.
        """
        refused = False
        with self._lock:
            told = self._told.setdefault(seat, set())
            for pair in _pairs(entries):
                if pair not in told:
                    named = self._named.get(seat, 0) + len(pair[1].encode())
                    if len(told) == MOST_TOLD or named > MOST_NAMED:
                        refused = True
                        continue
                    self._named[seat] = named
                    told.add(pair)
                    self._note(seat, pair)
        if refused:
            raise RefusedError("too-much")

    def _note(self, seat: Registration, pair: tuple[_Content, str]) -> None:
        content, name = pair
        holders = self._holders.setdefault(content[0], {})
        holders[seat] = holders.get(seat, 0) + 1
        if name:
            contents = self._names.setdefault(name, {})
            contents[content] = contents.get(content, 0) + 1

    def withdraw(self, seat: Registration, entries: Iterable[FileEntry]) -> None:
        """Note that a seat has these no more."""
        with self._lock:
            for pair in _pairs(entries):
                self._forget(seat, pair)

    def leave(self, seat: Registration) -> None:
        """Forget all that a seat announced."""
        with self._lock:
            for pair in list(self._told.get(seat, ())):
                self._forget(seat, pair)
            self._told.pop(seat, None)
            self._named.pop(seat, None)

    def holders(self, root: bytes) -> list[Registration]:
        """List who has a content, in the order in which they announced it."""
        with self._lock:
            return list(self._holders.get(root, ()))

    def search(self, text: str, *, exact: bool) -> list[SearchResult]:
        """List the contents with ``text`` in a name, whatever its case, or called exactly so.

        Where they are more than an answer holds, those of the seats that told least come first:
        one that tells a lot hides nobody else.
        """
        with self._lock:
            found = [text] if exact else list(self._names)
        wanted = text.casefold()  # looked for without the lock: there may be very many
        meant = found if exact else [name for name in found if wanted in name.casefold()]
        with self._lock:
            rows, complete = _those_that_fit(
                (content, name) for name in meant for content in self._names.get(name, ())
            )
            if not complete:
                rows, _ = _those_that_fit(self._least_told_first(set(meant)))
            return [
                SearchResult(name, size, root, len(self._holders[root]))
                for (root, size), name in rows
            ]

    def _least_told_first(self, meant: set[str]) -> Iterator[tuple[_Content, str]]:
        yielded = set()
        for told in sorted(self._told.values(), key=len):
            for pair in told:
                if pair[1] in meant and pair[1] and pair not in yielded:
                    yielded.add(pair)
                    yield pair

    def _forget(self, seat: Registration, pair: tuple[_Content, str]) -> None:
        told = self._told.get(seat, set())
        if pair not in told:
            return
        told.remove(pair)
        content, name = pair
        self._named[seat] -= len(name.encode())
        _count_down(self._holders, content[0], seat)
        if name:
            _count_down(self._names, name, content)


def _those_that_fit(
    pairs: Iterable[tuple[_Content, str]],
) -> tuple[list[tuple[_Content, str]], bool]:
    """Return the first of the pairs, as many as an answer holds, and whether that is all."""
    fit: list[tuple[_Content, str]] = []
    left = MOST_ANSWERED
    for pair in pairs:
        left -= LINE + len(pair[1].encode())
        if len(fit) == MOST_FOUND or left < 0:
            return fit, False
        fit.append(pair)
    return fit, True


def _count_down(table: dict, key: object, inner: object) -> None:  # type: ignore[type-arg]
    counts = table[key]
    counts[inner] -= 1
    if not counts[inner]:
        del counts[inner]
        if not counts:
            del table[key]


def _pairs(entries: Iterable[FileEntry]) -> Iterable[tuple[_Content, str]]:
    return (((e.root, e.size), e.name) for e in entries if e.root is not None)
