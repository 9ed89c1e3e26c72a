"""What was hashed, as it is remembered on the disk."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from threading import Thread

import pytest

from rede_p2p.content import hash_database
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


@pytest.mark.parametrize(
    "edit",
    [
        "insert into file values (5, 1, 1, 1, 1, 1, x'00', x'')",
        "insert into file values (5.5, 1, 1, 1, 1, 1, x'00', x'')",
        "update file set root = 'abc'",
        "update file set root = x'0011'",
        "update file set size = 'abc'",
    ],
)
def test_a_row_of_another_kind_is_not_there(tmp_path, edit):
    with closing(HashDatabase(tmp_path / "x")) as found:
        found.remember([("a", HASHED, True)])
        found.execute(edit)
    with closing(HashDatabase(tmp_path / "x")) as found:
        assert all(
            type(row.state.size) is int and len(row.root) == HASH_BYTES for row in found.files()
        )
        assert {row.path for row in found.files()} <= {"a"}


@pytest.mark.parametrize("layer", ["'abc'", "5", "x'00'"])
def test_a_layer_of_another_kind_or_length_is_not_there(tmp_path, layer):
    with closing(HashDatabase(tmp_path / "x")) as found:
        found.remember([("a", HASHED, True)])
        found.execute(f"update file set layer = {layer}")
        assert found.layer("a", CONTENT.root) is None


@pytest.mark.parametrize("digests", ["'abc'", "5", "x'00'"])
def test_v1_digests_of_another_kind_or_length_are_not_there(tmp_path, digests):
    with closing(HashDatabase(tmp_path / "x")) as found:
        found.remember([("a", HASHED, True)])
        found.execute(f"update v1 set digests = {digests}")
        assert found.digests(CONTENT, MIN_PIECE_BYTES) is None


@pytest.mark.skipif(os.name == "nt", reason="a user's own folders are closed to others")
def test_nobody_else_may_read_which_paths_are_shared(tmp_path):
    HashDatabase(tmp_path / "ours" / "x").close()
    assert (tmp_path / "ours").stat().st_mode & 0o077 == 0


def test_no_statement_has_more_values_than_an_old_sqlite_takes(monkeypatch):
    prepared = hash_database._prepared

    def old(opened):
        opened.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
        return prepared(opened)

    if not hasattr(sqlite3.Connection, "setlimit"):
        pytest.skip("this Python cannot say so")
    monkeypatch.setattr(hash_database, "_prepared", old)
    with closing(HashDatabase(None)) as found:
        found.remember([(str(n), HASHED, True) for n in range(2 * ROWS_PER_WRITE)])
        assert len(found.files()) == 2 * ROWS_PER_WRITE
