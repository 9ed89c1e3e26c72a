"""What a ``get`` without an address finds, and at whom."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources import found_in, hangs_up_at_once

from rede_p2p.cli import whole_network
from rede_p2p.cli.error_texts import LOST, USAGE
from rede_p2p.cli.texts import READING
from rede_p2p.content.safe_names import matching, normal_form
from rede_p2p.download.resolve import names_meant
from rede_p2p.errors import NoSuchFileError
from rede_p2p.protocol.codec import Pending
from rede_p2p.protocol.messages import Ls
from rede_p2p.tracker import content_index

pytest_plugins = ["sessions"]

FOLDER = {"turma/a.txt": b"a", "turma/aulas/b.pdf": b"b" * 70_000, "turma/aulas/vazio": b""}
BESIDE = {"turma.zip": b"zip", "outraturma/c.txt": b"c"}


@pytest.mark.parametrize("word", ["turma", "turma/", "'turma/*'", "TUR*", "[!x]urma/", "tur?a/"])
def test_a_folder_or_a_pattern_is_found_as_at_one_peer(rede, word):
    source = rede.announced(FOLDER | BESIDE)
    here = rede.run(f"get {word}")
    brought = found_in(rede.downloads)
    for name in brought:
        (rede.downloads / name).unlink()
    there = rede.run(f"get {source.address.ip} {word}")
    assert found_in(rede.downloads) == brought
    assert here.status == there.status
    assert here.err.replace("toda a rede", str(source.address)) == there.err
    if word.startswith(("turma", "[", "tur")):
        assert brought == FOLDER


def test_what_is_only_in_parts_is_brought_together(rede):
    halves = [dict(list(FOLDER.items())[:2]), dict(list(FOLDER.items())[1:])]
    first = rede.announced(halves[0])
    second = rede.announced(halves[1] | BESIDE, steps=2)
    result = rede.run("get turma")
    assert result.status == 0 and found_in(rede.downloads) == FOLDER
    told = next(line for line in result.err.splitlines() if line.startswith("nem todos"))
    assert f"2 arquivos são só de alguns, como turma/a.txt, de {first.address}" in told
    assert all(any(isinstance(one, Ls) for one in source.asked) for source in (first, second))


def test_that_lists_are_read_is_said_once_however_many_are_asked_for(rede):
    def is_busy(_source, connection, request):
        if isinstance(request, Ls):
            connection.reply(Pending(files=7))
        return False

    for steps in (1, 2):
        rede.announced({f"turma/{steps}": b"%d" % steps}, steps=steps).lie = is_busy
    result = rede.run("get turma")
    assert result.status == 0 and len(found_in(rede.downloads)) == 2
    assert result.err.count(READING) == 1


def test_one_peer_that_shares_all_of_it_is_not_asked_about_twice(rede, monkeypatch):
    asked = []
    real = whole_network.holders
    monkeypatch.setattr(
        whole_network, "holders", lambda session, one: asked.append(one) or real(session, one)
    )
    source = rede.announced({f"turma/{n}": b"%d" % n for n in range(50)})
    result = rede.run("get turma")
    assert result.status == 0
    assert len(asked) == 1 and "nem todos" not in result.err
    assert len([one for one in source.asked if isinstance(one, Ls)]) == 1


def test_a_name_of_two_contents_is_told_and_the_others_come(rede):
    first = rede.announced({"turma/a": b"1", "turma/b": b"b"})
    second = rede.announced({"turma/a": b"2", "turma/c": b"c"}, steps=2)
    result = rede.run("get turma")
    assert result.status
    assert found_in(rede.downloads) == {"turma/b": b"b", "turma/c": b"c"}
    told = next(line for line in result.out.splitlines() if line.startswith("turma/a"))
    assert str(first.address) in told and str(second.address) in told


def test_several_words_are_brought_together_each_file_once(rede):
    rede.announced(FOLDER | BESIDE)
    result = rede.run("get turma.zip 'turma*' nada outraturma")
    assert result.status == NoSuchFileError.status
    assert found_in(rede.downloads) == FOLDER | BESIDE
    rows = [line.split("\t")[0] for line in result.out.splitlines()[1:]]
    assert sorted(rows) == sorted([*FOLDER, *BESIDE, "nada"])


def test_a_peer_is_meant_before_a_folder_of_its_name_where_a_file_follows(rede):
    ana = rede.announced({"a.txt": b"of ana"}, name="ana")
    other = rede.announced({"ana/x": b"x", "a.txt": b"of another"}, steps=2)
    assert rede.run("get ana a.txt").status == 0
    assert found_in(rede.downloads) == {"a.txt": b"of ana"}
    assert rede.run("get ana").status == 0
    assert found_in(rede.downloads) == {"a.txt": b"of ana", "ana/x": b"x"}
    assert ana.asked and other.asked


def test_a_peers_name_alone_is_still_no_file(rede):
    rede.announced(FOLDER, name="ana")
    assert rede.run("get ana").status == 2


def test_of_many_who_have_the_same_a_few_are_asked(rede):
    sources = [rede.announced(FOLDER) for _ in range(7)]
    result = rede.run("get turma")
    assert result.status == 0 and found_in(rede.downloads) == FOLDER
    asked = [one for one in sources if any(isinstance(said, Ls) for said in one.asked)]
    assert 1 <= len(asked) <= whole_network.PEERS_AT_ONCE


def test_who_does_not_answer_is_no_news_where_the_others_have_it_all(rede):
    rede.announced(FOLDER)
    rede.announced(FOLDER, steps=2).lie = hangs_up_at_once
    result = rede.run("get turma")
    assert result.status == 0 and found_in(rede.downloads) == FOLDER
    assert LOST["lost"] not in result.err


def test_who_does_not_answer_is_named_where_only_they_have_a_part(rede):
    gone = [rede.announced({"turma/x": b"x"}) for _ in range(5)]
    for one in gone:
        one.lie = hangs_up_at_once
    rede.announced(FOLDER, steps=2)
    result = rede.run("get turma")
    assert result.status == 0 and found_in(rede.downloads) == FOLDER
    assert all(f"{one.address}: {LOST['lost']}" in result.err for one in gone)


def test_where_the_answer_of_the_tracker_is_cut_that_is_said(rede, monkeypatch):
    monkeypatch.setattr(content_index, "MAX_SEARCH_LINES", 5)
    rede.announced({f"outraturma/{number}": b"%d" % number for number in range(6)})
    rede.announced({f"turma/{number}": b"%d" % number for number in range(9)}, steps=2)
    vague = rede.run("get turma")
    assert vague.status == 2 and USAGE["vague"].format("turma") in vague.err
    rede.announced({"turma/a": b"a"}, steps=3)  # those of whom announces least come first
    some = rede.run("get turma")
    assert found_in(rede.downloads) == {"turma/a": b"a"}
    assert some.status == 0 and whole_network.SEARCH_CUT in some.err.splitlines()


def test_where_nobody_who_shares_it_answers_that_is_said(rede):
    gone = rede.announced(FOLDER)
    gone.lie = hangs_up_at_once
    result = rede.run("get turma")
    assert result.status == 4
    assert str(gone.address) in result.err and found_in(rede.downloads) == {}


def test_a_peer_of_parts_beyond_what_is_asked_for_is_counted(rede, monkeypatch):
    monkeypatch.setattr(whole_network, "MAX_ROUNDS", 1)
    rede.announced({"turma/a": b"a"})
    rede.announced({"turma/b": b"b"}, steps=2)
    result = rede.run("get turma")
    assert result.status == 0 and len(found_in(rede.downloads)) == 1
    assert re.search("mais 1 arquivo$", result.err, re.MULTILINE)


PARTS = st.text("aB*?[]!-/ ãa\u0303", min_size=1, max_size=8)


@given(PARTS, st.lists(PARTS, max_size=8))
def test_whatever_a_pattern_means_has_the_text_that_is_searched_for(pattern, names):
    text = normal_form(whole_network._plain_part(pattern).casefold())
    if not matching(pattern, names):  # which is looked for first, by ``find_names``
        for name in names_meant(pattern, names):
            assert text in normal_form(name.casefold())
