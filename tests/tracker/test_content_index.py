"""Which content is with whom, and under which names: the index against a plain set."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rede_p2p.errors import RefusedError
from rede_p2p.protocol import codec
from rede_p2p.protocol.messages import FileEntry, SearchResult
from rede_p2p.tracker import content_index
from rede_p2p.tracker.content_index import PEERS_WORTH_PER_ADDRESS, ContentIndex
from rede_p2p.tracker.registration import Registration

SEATS = [Registration(f"10.0.0.{number}") for number in range(4)]
NAMES = ["", "a.txt", "A.TXT", "Ação.png", "straße", "STRASSE", "x" * 255]
ROOTS = [bytes([number]) * 32 for number in range(4)]

seats = st.sampled_from(SEATS)
# A root has one size, but for who lies; no root means that the file is still being hashed.
entries = st.lists(
    st.builds(
        FileEntry,
        st.sampled_from(NAMES),
        st.sampled_from([1, 2**40]),
        st.sampled_from([*ROOTS, None]),
    ),
    max_size=6,
)


class IndexMachine(RuleBasedStateMachine):
    """One index beside the set of what each seat has told."""

    def __init__(self):
        super().__init__()
        self.index = ContentIndex()
        self.told: set[tuple[Registration, FileEntry]] = set()

    @rule(seat=seats, entries=entries)
    def announce(self, seat, entries):
        self.index.announce(seat, entries)
        self.told |= {(seat, entry) for entry in entries if entry.root is not None}

    @rule(seat=seats, entries=entries)
    def withdraw(self, seat, entries):
        self.index.withdraw(seat, entries)
        self.told -= {(seat, entry) for entry in entries}

    @rule(seat=seats)
    def leave(self, seat):
        self.index.leave(seat)
        self.told = {(who, entry) for who, entry in self.told if who is not seat}

    def holders(self, root):
        return {seat for seat, entry in self.told if entry.root == root}

    @invariant()
    def holders_are_those_who_told_of_the_content(self):
        for root in ROOTS:
            found = self.index.holders(root)
            assert len(found) == len(set(found))
            assert set(found) == self.holders(root)

    @rule(text=st.sampled_from([*NAMES, "TXT", "aÇ", "ss", "nothing"]), exact=st.booleans())
    def search(self, text, exact):
        found = self.index.search(text, exact=exact)
        assert len(found) == len(set(found))
        assert set(found) == {
            SearchResult(entry.name, entry.size, entry.root, len(self.holders(entry.root)))
            for _, entry in self.told
            if entry.name
            and (entry.name == text if exact else text.casefold() in entry.name.casefold())
        }
        for one in found:
            entry = FileEntry(one.name, one.size, one.root)
            assert set(self.index.sharers(one)) == {who for who, it in self.told if it == entry}

    def teardown(self):
        """Nothing is kept of those who are gone."""
        for seat in SEATS:
            self.index.leave(seat)
        table = self.index
        assert not (table._announced or table._name_bytes or table._holders or table._names)


TestIndex = IndexMachine.TestCase
TestIndex.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def test_holders_come_in_the_order_in_which_they_announced():
    table = ContentIndex()
    for seat in reversed(SEATS):
        table.announce(seat, [FileEntry("a", 1, ROOTS[0])])
    assert table.holders(ROOTS[0]) == SEATS[::-1]


def test_one_peer_can_fill_its_own_place_and_no_more(monkeypatch):
    monkeypatch.setattr(content_index, "MAX_NAMES_PER_PEER", 3)
    table, (greedy, other, *_) = ContentIndex(), SEATS
    with pytest.raises(RefusedError, match="too-much"):
        table.announce(greedy, [FileEntry(str(number), 1, ROOTS[0]) for number in range(9)])
    assert len(table.search("", exact=False)) == 3
    table.announce(other, [FileEntry("mine", 1, ROOTS[1])])
    assert table.holders(ROOTS[1]) == [other]
    table.announce(greedy, [FileEntry("2", 1, ROOTS[0])])  # told already: nothing more
    table.withdraw(greedy, [FileEntry("0", 1, ROOTS[0])])
    table.announce(greedy, [FileEntry("again", 1, ROOTS[0])])
    assert [known.name for known in table.search("again", exact=True)] == ["again"]


def test_the_names_of_one_peer_have_an_end_in_bytes_too(monkeypatch):
    monkeypatch.setattr(content_index, "MAX_NAME_BYTES_PER_PEER", 12)
    table, seat = ContentIndex(), SEATS[0]
    names = ["ação", "naïve", "nada"]  # of 6 bytes, but for the last
    for name in names[:2]:
        table.announce(seat, [FileEntry(name, 1, ROOTS[0])])
    with pytest.raises(RefusedError, match="too-much"):
        table.announce(seat, [FileEntry("nada", 1, ROOTS[0])])
    assert {known.name for known in table.search("", exact=False)} == {*names[:2]}
    table.withdraw(seat, [FileEntry("naïve", 1, ROOTS[0])])
    table.announce(seat, [FileEntry("nada", 1, ROOTS[0]), FileEntry("", 1, ROOTS[1])])
    table.leave(seat)
    table.announce(seat, [FileEntry(name, 1, ROOTS[0]) for name in names[:2]])


def test_all_peers_of_one_address_have_the_place_of_a_few(monkeypatch):
    monkeypatch.setattr(content_index, "MAX_NAMES_PER_PEER", 3)
    monkeypatch.setattr(content_index, "MAX_NAME_BYTES_PER_PEER", 100)
    table, many = ContentIndex(), [Registration("10.0.0.9", port=port) for port in range(9)]
    for peer in many[:PEERS_WORTH_PER_ADDRESS]:
        table.announce(peer, [FileEntry(f"{peer.port} {n}", 1, ROOTS[0]) for n in range(3)])
    with pytest.raises(RefusedError, match="too-much"):
        table.announce(many[-1], [FileEntry("mine", 1, ROOTS[0])])
    table.announce(SEATS[0], [FileEntry("mine", 1, ROOTS[0])])
    table.withdraw(many[0], [FileEntry("0 0", 1, ROOTS[0])])
    table.announce(many[-1], [FileEntry("mine", 1, ROOTS[0])])
    for peer in many:
        table.leave(peer)
    long = [FileEntry(letter * 100, 1, ROOTS[0]) for letter in "abcdef"]
    for peer, entry in zip(many[:PEERS_WORTH_PER_ADDRESS], long, strict=False):
        table.announce(peer, [entry])
    with pytest.raises(RefusedError, match="too-much"):
        table.announce(many[-1], long)
    assert table.holders(ROOTS[0]) == [SEATS[0], *many[:PEERS_WORTH_PER_ADDRESS]]


def test_a_hundred_thousand_ordinary_names_of_one_peer_are_kept():
    table = ContentIndex()
    names = [
        f"aula {n:06} de cálculo numérico, capítulo {n % 30}, com as respostas.pdf"
        for n in range(100_000)
    ]
    table.announce(SEATS[0], [FileEntry(name, 1, ROOTS[0]) for name in names])
    assert all(table.search(name, exact=True) for name in names[::5000])


@pytest.mark.parametrize("exact", [True, False])
def test_an_answer_has_an_end_even_if_all_contents_have_one_name(monkeypatch, exact):
    monkeypatch.setattr(content_index, "MAX_SEARCH_LINES", 3)
    table = ContentIndex()
    table.announce(SEATS[0], [FileEntry("name", size, ROOTS[0]) for size in range(9)])
    found = table.search("name", exact=exact)
    assert (len(found), found.total) == (3, 9)
    table.withdraw(SEATS[0], [FileEntry("name", size, ROOTS[0]) for size in range(3, 9)])
    found = table.search("name", exact=exact)
    assert (len(found), found.total) == (3, 3)


@pytest.mark.parametrize("letter", ["ç" * 3, "\x01", '"' * 3, "\\" * 3, "\n" * 3, "\x7f" * 6])
def test_an_answer_has_an_end_in_bytes_too(monkeypatch, letter):
    monkeypatch.setattr(content_index, "MAX_SEARCH_BYTES", 5_000)
    table, long = ContentIndex(), letter * 166
    table.announce(SEATS[0], [FileEntry(f"{number}{long}", 2**50, ROOTS[0]) for number in range(9)])
    found = table.search(long, exact=False)
    assert 3 <= len(found) < 5
    assert len(codec.encode_lines(found)) <= 5_000


@pytest.mark.parametrize("name", ["alike", "other {}"])
def test_one_peer_with_many_names_hides_nobody_else(monkeypatch, name):
    monkeypatch.setattr(content_index, "MAX_SEARCH_LINES", 10)
    table, (greedy, *others) = ContentIndex(), SEATS
    table.announce(greedy, [FileEntry(name.format(n), n, ROOTS[0]) for n in range(50)])
    for number, seat in enumerate(others):
        table.announce(seat, [FileEntry(name.format(-number), 100 + number, ROOTS[1])])
    found = table.search(name.format(""), exact=False)
    assert len(found) == 10
    assert {one.size for one in found} >= {100, 101, 102}


def test_who_announces_while_others_ask_disturbs_nobody():
    table, contents = ContentIndex(), [random.Random(n).randbytes(32) for n in range(50)]
    mine = [FileEntry(f"file {number}", 1, root) for number, root in enumerate(contents)]

    def come_and_go(seat):
        for _ in range(30):
            table.announce(seat, mine)
            assert seat in table.holders(contents[7])
            assert len(table.search("FILE", exact=False)) == 50
            table.withdraw(seat, mine[:25])
            table.leave(seat)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, SEATS))
    assert table.search("", exact=False) == []


ALIKE = ["ação 1.txt", "ac\u0327a\u0303o 1.txt", "ação\u00a01.txt"]


def test_names_that_look_the_same_are_found_where_none_is_the_same_letter_by_letter():
    index = ContentIndex()
    index.announce(SEATS[0], [FileEntry(name, 1, ROOTS[0]) for name in [*ALIKE[1:], "outro"]])
    found = index.search(ALIKE[0], exact=True)
    assert {result.name for result in found} == set(ALIKE[1:])
    index.announce(SEATS[1], [FileEntry(ALIKE[0], 1, ROOTS[1])])
    for name in ALIKE:
        assert [result.name for result in index.search(name, exact=True)] == [name]


@pytest.mark.parametrize("text", ["ação", "AC\u0327A\u0303O", "o 1", "o\u202f1", ALIKE[1]])
def test_a_search_compares_what_is_seen(text):
    index = ContentIndex()
    index.announce(SEATS[0], [FileEntry(name, 1, ROOTS[0]) for name in [*ALIKE, "outro"]])
    assert {result.name for result in index.search(text, exact=False)} == set(ALIKE)


@pytest.mark.parametrize("size", [30, 2**20])
def test_what_all_addresses_announce_together_is_bounded_too(monkeypatch, size):
    monkeypatch.setattr(content_index, "MAX_NAMES_PER_PEER", 10)
    monkeypatch.setattr(content_index, "MAX_NAME_BYTES_PER_PEER", size)
    index, peers = ContentIndex(), [Registration(f"10.0.1.{number}") for number in range(11)]
    some = [[FileEntry(f"{number:02}{n}", 1, ROOTS[0]) for n in range(10)] for number in range(11)]
    for peer, entries in zip(peers[:10], some, strict=False):
        index.announce(peer, entries)
    with pytest.raises(RefusedError):
        index.announce(peers[10], some[10])
    index.leave(peers[0])
    index.announce(peers[10], some[10])
    assert len(index.search("", exact=False)) == 100
