"""Which content is with whom, and under which names.

What a peer announced goes when the peer leaves. Invariant: ``_holders``, ``_names`` and ``_known``
are ``_announced`` read by content, by name and by pair. Owner: the tracker, whose threads share it;
no method does I/O.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring  # a control character takes six bytes in it
from threading import Lock

from rede_p2p.content.safe_names import normal_form
from rede_p2p.errors import RefusedError
from rede_p2p.net.turns import with_rests
from rede_p2p.protocol.codec import Lines
from rede_p2p.protocol.messages import FileEntry, SearchResult
from rede_p2p.tracker.registration import Registration

MAX_NAMES_PER_PEER = 200_000
MAX_NAME_BYTES_PER_PEER = 16 * 1024 * 1024  # of UTF-8, in all of them
# An address may have thousands of connections, each of which may be listed as a peer.
PEERS_WORTH_PER_ADDRESS = 4  # times as much as of one peer, of all peers of an IP address
PEERS_WORTH_IN_ALL = 10  # times as much, of all peers: some 2 GiB of memory
MAX_SEARCH_LINES = 10_000  # in the answer to one search
MAX_SEARCH_BYTES = 4 * 1024 * 1024  # in them, more or less
LINE_OVERHEAD_BYTES = 133  # of a line, beside the name as JSON writes it

# Root and size. Tuples of plain values, because the garbage collector, which stops all threads,
# need not look into them: with 200,000 objects in their place it stopped them for 0.1 s.
_Content = tuple[bytes, int]
_Named = tuple[_Content, str]


class ContentIndex:
    """Who has what."""

    def __init__(self) -> None:
        self._lock = Lock()  # guards everything below
        # The values are None: a set of as many pairs takes twice the memory.
        self._announced: dict[Registration, dict[_Named, None]] = {}
        self._name_bytes: dict[Registration, int] = {}
        self._names_of: Counter[str] = Counter()  # that all peers of an IP address announced
        self._name_bytes_of: Counter[str] = Counter()  # in them
        self._names_in_all = self._name_bytes_in_all = 0
        self._holders: dict[bytes, dict[Registration, int]] = {}  # root → peer → names it has
        self._names: dict[str, dict[_Content, int]] = {}  # name → content → peers that have it
        self._known: dict[_Named, _Named] = {}  # each pair to itself: peers that have one share it

    def announce(self, peer: Registration, entries: Iterable[FileEntry]) -> None:
        """Record that a peer has these contents; an empty name is found by root alone.

        Raises RefusedError ``too-much``, once those that fit are recorded.
        """
        refused = False
        with self._lock:
            announced = self._announced.setdefault(peer, {})
            names, name_bytes = self._room(peer)
            had, had_bytes = names, name_bytes
            for told in _pairs(entries):
                if told in announced:
                    continue
                length = len(told[1].encode())
                if not names or length > name_bytes:
                    refused = True
                    continue
                names -= 1
                name_bytes -= length
                pair = self._known.setdefault(told, told)
                announced[pair] = None
                content, name = pair
                _count_up(self._holders, content[0], peer)
                _count_up(self._names, name, content)
            self._count(peer, had - names, had_bytes - name_bytes)
        if refused:
            raise RefusedError("too-much")

    def withdraw(self, peer: Registration, entries: Iterable[FileEntry]) -> None:
        """Record that a peer has these no more."""
        with self._lock:
            for pair in _pairs(entries):
                self._forget(peer, pair)

    def leave(self, peer: Registration) -> None:
        """Forget all that a peer announced."""
        with self._lock:
            for pair in list(self._announced.get(peer, ())):
                self._forget(peer, pair)
            self._announced.pop(peer, None)
            self._name_bytes.pop(peer, None)
            if not self._names_of[peer.ip]:
                del self._names_of[peer.ip], self._name_bytes_of[peer.ip]

    def holders(self, root: bytes) -> list[Registration]:
        """List who has a content, in the order in which they announced it."""
        with self._lock:
            return list(self._holders.get(root, ()))

    def sharers(self, found: SearchResult) -> list[Registration]:
        """List who shares a content under that name, and so has all of it."""
        pair = ((found.root, found.size), found.name)
        with self._lock:
            holders = self._holders.get(found.root, ())
            return [peer for peer in holders if pair in self._announced[peer]]

    def search(self, text: str, *, exact: bool) -> Lines[SearchResult]:
        """List the contents with ``text`` in a name, whatever its case, or called exactly so.

        Names are compared by ``safe_names.normal_form``; exactly so, only if none is ``text``.

        Where they are more than an answer holds, those of the peers that announced least come
        first, so that one that announces a lot hides nobody.
        """
        with self._lock:
            is_name = exact and text and text in self._names
            names = [text] if is_name else [name for name in self._names if name]
        # Compared without the lock: there may be very many.
        form = normal_form(text if exact else text.casefold())
        if exact:
            names = [name for name in with_rests(names) if normal_form(name) == form]
        elif form:
            names = [name for name in with_rests(names) if form in normal_form(name.casefold())]
        with self._lock:
            rows, complete = _those_that_fit(
                (content, name) for name in names for content in self._names.get(name, ())
            )
            total = 0
            if not complete:
                total = sum(len(self._names.get(name, ())) for name in names)
                rows, _ = _those_that_fit(self._least_announced_first(set(names)))
            found = [
                SearchResult(name, size, root, len(self._holders[root]))
                for (root, size), name in rows
            ]
            return Lines(found, total)

    def _least_announced_first(self, meant: set[str]) -> Iterator[_Named]:
        yielded = set()
        for announced in sorted(self._announced.values(), key=len):
            for pair in announced:
                if pair[1] in meant and pair[1] and pair not in yielded:
                    yielded.add(pair)
                    yield pair

    def _room(self, peer: Registration) -> tuple[int, int]:
        """Return how many more names a peer may announce, and how many bytes in them."""
        held = (
            (1, len(self._announced[peer]), self._name_bytes.get(peer, 0)),
            (PEERS_WORTH_PER_ADDRESS, self._names_of[peer.ip], self._name_bytes_of[peer.ip]),
            (PEERS_WORTH_IN_ALL, self._names_in_all, self._name_bytes_in_all),
        )
        names = min(worth * MAX_NAMES_PER_PEER - count for worth, count, _ in held)
        size = min(worth * MAX_NAME_BYTES_PER_PEER - count for worth, _, count in held)
        return names, size

    def _count(self, peer: Registration, names: int, name_bytes: int) -> None:
        self._name_bytes[peer] = self._name_bytes.get(peer, 0) + name_bytes
        self._names_of[peer.ip] += names
        self._name_bytes_of[peer.ip] += name_bytes
        self._names_in_all += names
        self._name_bytes_in_all += name_bytes

    def _forget(self, peer: Registration, pair: _Named) -> None:
        announced = self._announced.get(peer, {})
        if pair not in announced:
            return
        del announced[pair]
        content, name = pair
        self._count(peer, -1, -len(name.encode()))
        _count_down(self._holders, content[0], peer)
        if not _count_down(self._names, name, content):
            del self._known[pair]


def _those_that_fit(pairs: Iterable[_Named]) -> tuple[list[_Named], bool]:
    """Return the first of the pairs, as many as an answer holds, and whether that is all."""
    fit: list[_Named] = []
    left = MAX_SEARCH_BYTES
    for pair in pairs:
        left -= LINE_OVERHEAD_BYTES + len(encode_basestring(pair[1]).encode())
        if len(fit) == MAX_SEARCH_LINES or left < 0:
            return fit, False
        fit.append(pair)
    return fit, True


def _count_up(table: dict, key: object, inner: object) -> None:  # type: ignore[type-arg]
    counts = table.get(key)
    if counts is None:
        table[key] = {inner: 1}
    else:
        counts[inner] = counts.get(inner, 0) + 1


def _count_down(table: dict, key: object, inner: object) -> int:  # type: ignore[type-arg]
    """Count one less, and return how many are left."""
    counts = table[key]
    left: int = counts[inner] - 1
    if left:
        counts[inner] = left
    elif len(counts) > 1:
        del counts[inner]
    else:
        del table[key]
    return left


def _pairs(entries: Iterable[FileEntry]) -> Iterable[_Named]:
    return (((e.root, e.size), e.name) for e in entries if e.root is not None)
