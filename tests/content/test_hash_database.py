"""What was hashed, as it is remembered on the disk."""

from __future__ import annotations

from contextlib import closing
from threading import Thread

import pytest

from rede_p2p.content.disk import FileState
from rede_p2p.content.hash_database import ROWS_PER_WRITE, HashDatabase, Row
from rede_p2p.content.hashing import Hashed
from rede_p2p.content.merkle import HASH_BYTES, MIN_PIECE_BYTES, Content

STATE = FileState(2 * MIN_PIECE_BYTES, 1, 2, 3)
CONTENT = Content(b"r" * HASH_BYTES, STATE.size)
HASHED = Hashed(STATE, CONTENT, b"l" * 2 * HASH_BYTES, MIN_PIECE_BYTES, b"d" * 60)


def test_what_is_remembered_is_there_in_the_next_program(tmp_path):
    path = tmp_path / "deep" / "roots.sqlite3"
    with closing(HashDatabase(path)) as first:
        first.remember([("a ç \udcff", HASHED, True)])
    with closing(HashDatabase(path)) as second:
        assert second.files() == [Row("a ç \udcff", STATE, True, CONTENT.root)]
        assert second.layer("a ç \udcff", CONTENT.root) == HASHED.layer
        assert second.digests(CONTENT, MIN_PIECE_BYTES) == HASHED.digests


def test_a_path_is_forgotten_and_its_digests_are_those_of_the_content(tmp_path):
    with closing(HashDatabase(tmp_path / "x")) as found:
        found.remember([("a", HASHED, True), ("b", HASHED, False)])
        found.forget("a")
        assert [row.path for row in found.files()] == ["b"]
        assert found.layer("a", CONTENT.root) is None
        assert found.digests(CONTENT, MIN_PIECE_BYTES) == HASHED.digests
        assert found.digests(CONTENT, 2 * MIN_PIECE_BYTES) is None
        assert found.digests(Content(b"e" * HASH_BYTES, 0), MIN_PIECE_BYTES) == b""


def test_many_are_stored_in_few_writes(tmp_path):
    with closing(HashDatabase(tmp_path / "x")) as found:
        found.remember([(str(n), HASHED, True) for n in range(2 * ROWS_PER_WRITE + 1)])
        assert len(found.files()) == 2 * ROWS_PER_WRITE + 1


@pytest.mark.parametrize("place", [None, "folder", "garbage"])
def test_one_that_cannot_be_used_is_kept_in_memory(tmp_path, place):
    path = place and tmp_path / place
    if place == "folder":
        path.mkdir()
    elif place == "garbage":
        path.write_bytes(b"no database" * 1000)
    with closing(HashDatabase(path)) as found:
        found.remember([("a", HASHED, True)])
        assert found.layer("a", CONTENT.root) == HASHED.layer


def test_it_is_asked_from_any_thread(tmp_path):
    seen = []
    with closing(HashDatabase(tmp_path / "x")) as found:
        found.remember([("a", HASHED, True)])
        asking = Thread(target=lambda: seen.append(found.layer("a", CONTENT.root)))
        asking.start()
        asking.join()
    assert seen == [HASHED.layer]
