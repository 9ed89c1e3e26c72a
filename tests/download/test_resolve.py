"""Which content a name means, and who has it."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from lies import LYING_LISTS, ok
from listening import SOON
from sources import connect, content_of, source

from rede_p2p.download import resolve
from rede_p2p.download.request import DownloadRequest
from rede_p2p.errors import (
    Address,
    AmbiguousNameError,
    BadUsageError,
    NoSuchFileError,
    PeerUnreachableError,
    RefusedError,
    UnsafeNameError,
)
from rede_p2p.net.requests import reply_lines
from rede_p2p.protocol.messages import FileEntry, Ls, Stat
from rede_p2p.timeouts import DEFAULT, Timeouts

pytest_plugins = ["downloading"]

A = {
    "a.txt": b"a",
    "b.txt": b"b",
    "foto.png": b"foto",
    "fotos/praia.png": b"praia",
    "fotos/2024/neve.png": b"neve",
    "[ab].txt": b"brackets",
    "*": b"star",
    "comum.txt": b"the same",
    "disputado.txt": b"one",
}
B = {"comum.txt": b"the same", "disputado.txt": b"two", "c.txt": b"c", "fotos/mar.png": b"mar"}


@pytest.fixture
def peers(tmp_path, host):
    with source(tmp_path / "a", host) as a, source(tmp_path / "b", host) as b:
        a.share(A)
        b.share(B)
        yield a, b


def select(patterns, *groups, connect=connect, on_pending=lambda _: None, timeouts=DEFAULT):
    """Return what the patterns mean, by name."""
    addresses = [[peer.address for peer in group] for group in groups]
    found = resolve.select(patterns, addresses, connect, on_pending, timeouts)
    assert not found.failed
    assert len({wanted.name for wanted in found.requests}) == len(found.requests)
    return {wanted.name: wanted for wanted in found.requests}


ALONE = [
    (["a.txt"], ["a.txt"]),
    (["a.txt", "b.txt", "a.txt"], ["a.txt", "b.txt"]),
    (["*.png"], ["foto.png", "fotos/praia.png", "fotos/2024/neve.png"]),
    (["?.txt"], ["a.txt", "b.txt"]),
    (["[!a].txt"], ["b.txt"]),
    (["fotos/"], ["fotos/praia.png", "fotos/2024/neve.png"]),
    (["fotos"], ["fotos/praia.png", "fotos/2024/neve.png"]),
    (["fotos/2024"], ["fotos/2024/neve.png"]),
    (["fotos/2024/"], ["fotos/2024/neve.png"]),
    (["fotos/*.png"], ["fotos/praia.png", "fotos/2024/neve.png"]),
    (["f*", "a.txt"], ["foto.png", "fotos/praia.png", "fotos/2024/neve.png", "a.txt"]),
    (["a*", "*.txt"], ["a.txt", "b.txt", "[ab].txt", "comum.txt", "disputado.txt"]),
    (["[ab].txt"], ["[ab].txt"]),  # the name itself comes before what it matches
    (["*"], ["*"]),
    (["**"], list(A)),
]


@pytest.mark.parametrize(("patterns", "names"), ALONE, ids=[" ".join(row[0]) for row in ALONE])
def test_names_globs_and_folders_are_found(peers, patterns, names):
    a, _ = peers
    assert select(patterns, [a]) == {
        name: DownloadRequest(name, content_of(A[name]), (a.address,)) for name in names
    }


@pytest.mark.parametrize(
    "patterns",
    [["gone.txt"], ["A.TXT"], ["*.jpg"], ["foto"], ["gone/"], ["/"], ["gone"], ["gone.txt", "x"]],
    ids=" ".join,
)
def test_what_nobody_has_is_told_with_whom_was_asked(peers, host, patterns):
    a, b = peers
    for some, where in (([a], f"{a.address}"), ([a, b], host)):
        with pytest.raises(NoSuchFileError) as caught:
            select(patterns, some)
        assert (caught.value.name, caught.value.where) == (patterns[0], where)


def test_what_nobody_has_does_not_hide_the_others(peers):
    a, _ = peers
    where = str(a.address)
    found = resolve.select(["gone", "a.txt", "*.jpg"], [[a.address]], connect, lambda _: None)
    assert [wanted.name for wanted in found.requests] == ["a.txt"]
    assert [(name, error.where) for name, error in found.failed] == [
        ("gone", where),
        ("*.jpg", where),
    ]


@pytest.mark.parametrize("words", [["minha", "foto.png"], ["a.txt", "e", "b.txt"]], ids=" ".join)
def test_a_name_with_blanks_that_was_not_quoted_is_recognised(peers, words):
    a, _ = peers
    a.share({"minha foto.png": b"m", "a.txt e b.txt": b"ab", "a.txt": b"a", "b.txt": b"b"})
    with pytest.raises(BadUsageError) as caught:
        select(words, [a])
    assert (caught.value.kind, caught.value.text) == ("blanks", " ".join(words))


@pytest.mark.parametrize("name", ["", "../a.txt", "a\\b", "x.parte"])
def test_an_unsafe_name_is_asked_of_nobody(name):
    with pytest.raises(UnsafeNameError):
        resolve.select([name], [[Address("127.0.0.1", 9)]], connect, lambda _: None)


def test_nobody_to_ask_has_nothing():
    with pytest.raises(NoSuchFileError):
        resolve.select(["a"], [[], []], connect, lambda _: None)


@pytest.mark.parametrize("pattern", ["comum.txt", "comu*"])
def test_all_who_have_a_content_are_its_sources(peers, pattern):
    a, b = peers
    wanted = select([pattern], [a, b])["comum.txt"]
    assert wanted == DownloadRequest("comum.txt", content_of(b"the same"), (a.address, b.address))


def test_names_of_several_peers_are_found_together(peers):
    a, b = peers
    found = select(["fotos/", "?.txt"], [a, b])
    assert found["fotos/mar.png"].sources == found["c.txt"].sources == (b.address,)
    assert found["fotos/praia.png"].sources == found["a.txt"].sources == (a.address,)
    assert len(found) == 6


@pytest.mark.parametrize("pattern", ["disputado.txt", "disp*"])
def test_different_contents_under_one_name_are_a_question(peers, pattern):
    a, b = peers
    with pytest.raises(AmbiguousNameError) as caught:
        select([pattern], [a, b])
    assert caught.value.name == "disputado.txt"
    assert set(caught.value.choices) == {a.address, b.address}
    assert select([pattern], [b])["disputado.txt"].content == content_of(b"two")


def test_the_first_group_that_has_it_is_asked_alone(peers):
    a, b = peers
    assert select(["disputado.txt"], [a], [b])["disputado.txt"].sources == (a.address,)
    assert select(["c.txt"], [a], [b])["c.txt"].sources == (b.address,)
    assert select(["c.*"], [a], [b])["c.txt"].sources == (b.address,)
    assert select(["c.txt"], [], [b])["c.txt"].sources == (b.address,)


# Peers that do not answer.


@contextmanager
def liar(tmp_path, host, answer):
    """Answer every request with these bytes, then hang up."""

    def lie(source, connection, request):
        connection.send(answer)
        connection.hang_up()
        return True

    with source(tmp_path / "liar", host, lie) as made:
        yield made


def test_one_that_is_not_there_does_not_hide_the_others(peers, host):
    a, _ = peers
    addresses = [Address(host, 9), a.address]
    for pattern in ("a.txt", "a.*", "fotos"):
        found = resolve.select([pattern], [addresses], connect, lambda _: None)
        assert {wanted.sources for wanted in found.requests} == {(a.address,)}
        assert [(one.address.port, one.cause.reason) for one in found.unreachable] == [
            (9, "refused")
        ]


def test_when_nobody_is_there_the_first_failure_is_told(host):
    addresses = [Address(host, 9), Address(host, 10)]
    for pattern in ("a.txt", "a.*"):
        with pytest.raises(PeerUnreachableError) as caught:
            resolve.select([pattern], [addresses], connect, lambda _: None)
        assert caught.value.address == addresses[0]


def test_one_that_failed_may_have_had_it(peers, host):
    """Whoever could not be asked is named, rather than that nobody has it."""
    a, _ = peers
    with pytest.raises(PeerUnreachableError):
        resolve.select(["gone"], [[Address(host, 9)]], connect, lambda _: None)
    with pytest.raises(PeerUnreachableError):
        resolve.select(["gone"], [[Address(host, 9), a.address]], connect, lambda _: None)


@pytest.mark.parametrize("typed", ["fotos", "fotos/", "[ab].txt"])
def test_one_that_is_not_there_does_not_hide_a_folder_or_an_odd_name(peers, typed):
    a, _ = peers
    both = [a.address, Address(a.address.ip, 9)]
    found = resolve.select([typed], [both], connect, lambda _: None)
    assert {one.sources for one in found.requests} == {(a.address,)}


@pytest.mark.parametrize("answer", LYING_LISTS.values(), ids=LYING_LISTS)
def test_one_that_lies_in_its_list_is_named(tmp_path, host, answer):
    with liar(tmp_path, host, answer) as made, pytest.raises(PeerUnreachableError) as caught:
        select(["*.txt"], [made])
    assert caught.value.address == made.address


def test_one_that_refuses_is_named(tmp_path, host):
    with (
        liar(tmp_path, host, b'erro {"code": "full"}\n') as made,
        pytest.raises(PeerUnreachableError) as caught,
    ):
        select(["a.txt"], [made])
    assert isinstance(caught.value.cause, RefusedError)


def test_a_listed_content_need_not_have_the_size_it_had(tmp_path, host):
    """A peer that lists one name twice contradicts itself: that is a question too."""
    lines = b'{"name": "x", "size": 1, "root": "%s"}\n{"name": "x", "size": 2, "root": "%s"}\n'
    body = lines % (b"0" * 64, b"0" * 64)
    with (
        liar(tmp_path, host, ok({"bytes": len(body), "count": 2}, body)) as made,
        pytest.raises(AmbiguousNameError),
    ):
        select(["x*"], [made])


# Files that are not hashed yet.


def test_a_file_that_is_not_hashed_yet_is_hashed_first(peers):
    a, _ = peers
    a.share_unhashed("novo.txt", b"new")
    assert select(["novo.txt"], [a])["novo.txt"].content == content_of(b"new")
    a.share_unhashed("outro novo.txt", b"newer")
    assert select(["*novo.txt"], [a])["outro novo.txt"].content == content_of(b"newer")


@pytest.mark.parametrize("patterns", [["x"], ["x*"], ["x", "a.txt"]], ids=" ".join)
def test_how_far_the_hashing_is_is_told(tmp_path, host, patterns):
    said = b'espera {"done": %d, "size": 100}\n'
    stat = b'ok {"name": "x", "size": 100, "root": "%s"}\n' % (b"0" * 64)
    body = b'{"name": "x", "size": 100}\n{"name": "a.txt", "size": 1, "root": "%s"}\n' % (b"1" * 64)

    def lie(source, connection, request):
        if isinstance(request, Stat):
            connection.send(said % 10 + said % 90 + stat)
        elif isinstance(request, Ls):
            connection.send(ok({"bytes": len(body), "count": 2}, body))
        return True

    heard = []
    with source(tmp_path / "liar", host, lie) as made:
        found = select(patterns, [made], on_pending=heard.append)
    assert [wait.done for wait in heard] == [10, 90]
    assert found["x"].content.size == 100


# One that cannot be had does not end the others.


def shows_unhashed(*names, code):
    """List these files without their roots, and refuse to tell them."""

    def lie(source, connection, request):
        if isinstance(request, Ls):
            files = [FileEntry(name, len(path.read_bytes())) for name, path in source.paths.items()]
            reply_lines(connection, files)
            return True
        if isinstance(request, Stat) and request.name in names:
            raise RefusedError(code)
        return False

    return lie


@pytest.mark.parametrize("code", ["unreadable", "changed", "no-such-file"])
@pytest.mark.parametrize("pattern", ["fotos", "f*"])
def test_one_file_that_its_source_refuses_is_named_and_the_others_are_found(
    tmp_path, host, pattern, code
):
    bad = "fotos/ruim.png"
    with source(tmp_path / "one", host, shows_unhashed(bad, code=code)) as one:
        one.share({"fotos/a.png": b"a", bad: b"x", "fotos/b.png": b"b"})
        found = resolve.select([pattern], [[one.address]], connect, lambda _: None)
    assert [wanted.name for wanted in found.requests] == ["fotos/a.png", "fotos/b.png"]
    assert [name for name, _ in found.failed] == [bad]


def test_one_unsafe_name_in_a_folder_does_not_end_the_others(tmp_path, host):
    with source(tmp_path / "one", host, shows_unhashed(code="unreadable")) as one:
        one.share({"fotos/a.png": b"a"})
        one.paths["fotos/../x"] = one.paths["fotos/a.png"]
        found = resolve.select(["fotos"], [[one.address]], connect, lambda _: None)
    assert [wanted.name for wanted in found.requests] == ["fotos/a.png"]
    ((name, error),) = found.failed
    assert (name, type(error)) == ("fotos/../x", UnsafeNameError)


def test_one_name_of_two_contents_in_a_pattern_is_named_and_the_others_are_found(peers):
    a, b = peers
    found = resolve.select(
        ["comum.txt", "disp*", "c.txt"], [[a.address, b.address]], connect, lambda _: None
    )
    assert [wanted.name for wanted in found.requests] == ["comum.txt", "c.txt"]
    ((name, error),) = found.failed
    assert (name, type(error)) == ("disputado.txt", AmbiguousNameError)


def test_all_that_cannot_be_had_are_named(tmp_path, host):
    with source(tmp_path / "one", host, shows_unhashed("f/a", "f/b", code="unreadable")) as one:
        one.share({"f/a": b"a", "f/b": b"b"})
        found = resolve.select(["f"], [[one.address]], connect, lambda _: None)
        assert found.requests == []
        assert [name for name, _ in found.failed] == ["f/a", "f/b"]
        with pytest.raises(PeerUnreachableError):
            resolve.select(["f/a*"], [[one.address]], connect, lambda _: None)


# One who says "espera" for ever, with something better each time.


@pytest.mark.parametrize("pattern", ["a.txt", "a*"])
def test_who_says_wait_for_ever_does_not_hold_up_who_has_answered(
    opened, pool, waits_for_ever, pattern
):
    honest, liar = opened(), opened(waits_for_ever)
    honest.share({"a.txt": b"a"})
    both, hurry = [[honest.address, liar.address]], Timeouts(reply_s=0.2)
    running = pool.submit(resolve.select, [pattern], both, connect, lambda _: None, hurry)
    found = running.result(SOON)
    assert [wanted.name for wanted in found.requests] == ["a.txt"]
    assert [(one.address, one.cause.reason) for one in found.unreachable] == [
        (liar.address, "silent")
    ]


def test_who_has_answered_is_not_held_up_by_a_file_that_another_says_to_hash(
    opened, pool, waits_for_ever
):
    def lists_unhashed(source, connection, request):
        if isinstance(request, Ls):
            reply_lines(connection, [FileEntry("a.txt", 1)])
            return True
        return waits_for_ever(source, connection, request)

    honest, liar = opened(), opened(lists_unhashed)
    honest.share({"a.txt": b"a"})
    running = pool.submit(select, ["a*"], [honest, liar])
    assert running.result(SOON)["a.txt"].sources == (honest.address,)


def test_who_gave_its_list_is_not_named_as_one_that_did_not_answer(opened):
    def drops_stat(source, connection, request):
        if isinstance(request, Stat):
            connection.hang_up()
            return True
        return False

    one, other = opened(), opened(drops_stat)
    one.share({"x.txt": b"x"})
    other.share({"fotos/f.png": b"f"})
    found = resolve.select(["fotos"], [[one.address, other.address]], connect, lambda _: None)
    assert [wanted.name for wanted in found.requests] == ["fotos/f.png"]
    assert not found.unreachable
