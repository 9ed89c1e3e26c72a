"""Names from strangers: what is refused and why, and what a download is called on the disk."""

from __future__ import annotations

from itertools import islice
from pathlib import PureWindowsPath

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lies import NOT_ON_WINDOWS, UNSAFE_NAMES

from rede_p2p.content import safe_names
from rede_p2p.errors import UnsafeNameError

SAFE = [
    "a",
    "a.txt",
    "a b.txt",
    " a",
    "ação.txt",
    "文件.txt",
    "🎈👩‍👩‍👧.png",
    "e\u0301.txt",
    "a..b",
    "a.b.c",
    "-rf",
    "--help",
    "~",
    "$HOME",
    "[v2] [/] [bold].txt",
    "a'b;c&d`e`",
    "%2e%2e%2f",
    "parte",
    "a.parte.txt",
    "a.part",
    "console.txt",
    "con1.txt",
    "xcon",
    "com",
    "com10",
    "nul_.txt",
    "p/a.txt",
    "p/q/r/a.txt",
    "x" * 255,
    "é" * 127 + "x",
    "/".join(["x" * 255] * 4),
]


@pytest.mark.parametrize("name", SAFE, ids=ascii)
def test_a_safe_name_is_returned_as_it_is(name):
    assert safe_names.check(name) == name
    assert safe_names.is_safe(name)


@pytest.mark.parametrize(("name", "kind"), UNSAFE_NAMES, ids=lambda value: ascii(value)[:40])
def test_an_unsafe_name_is_refused_and_the_rule_is_named(name, kind):
    with pytest.raises(UnsafeNameError) as caught:
        safe_names.check(name)
    assert (caught.value.name, caught.value.kind) == (name, kind)
    assert not safe_names.is_safe(name)


@pytest.mark.parametrize(("name", "kind", "text"), NOT_ON_WINDOWS, ids=ascii)
def test_what_windows_cannot_hold_may_be_shared_and_is_found_in_the_name(name, kind, text):
    assert safe_names.check(name) == name
    assert safe_names.windows_fault(name) == (kind, text)


@pytest.mark.parametrize("name", SAFE, ids=ascii)
def test_in_a_name_for_every_system_nothing_is_found(name):
    assert safe_names.windows_fault(name) is None


@settings(max_examples=300)
@given(st.text(st.characters() | st.sampled_from("/\\.: \x00con?"), max_size=20))
def test_a_name_that_passes_both_steps_stays_in_its_folder_on_windows(name):
    if not safe_names.is_safe(name) or safe_names.windows_fault(name):
        return
    folder = PureWindowsPath("C:\\baixados")
    assert folder.joinpath(*name.split("/")) == folder / name
    assert (folder / name).parts[2:] == tuple(name.split("/"))


ALIKE = [
    ("ação.txt", "ac\u0327a\u0303o.txt"),
    ("ac\u0327a\u0303o.txt", "ação.txt"),
    ("minha foto.png", "minha\u00a0foto.png"),
    ("minha foto.png", "minha\u202ffoto.png"),
    ("às 10 h.png", "a\u0300s 10\u00a0h.png"),
    ("a  b", "a b"),
    ("a b", "a b "),
    ("fim", "fim "),
    ("한글", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
]


@pytest.mark.parametrize(("typed", "shared"), ALIKE, ids=ascii)
def test_a_name_is_found_by_what_looks_the_same(typed, shared):
    assert safe_names.matching(typed, ["outro", shared]) == [shared]
    assert safe_names.matching(typed, {shared: 1}) == [shared]


@pytest.mark.parametrize(("one", "other"), ALIKE, ids=ascii)
def test_two_names_that_look_the_same_remain_two(one, other):
    assert safe_names.matching(one, [other, one]) == [one]
    assert safe_names.matching(other, [other, one]) == [other]


@pytest.mark.parametrize("typed", ["A.txt", "a.txt.", "á.txt", "a txt", "ａ.txt"])
def test_what_looks_otherwise_is_not_meant(typed):
    assert safe_names.matching(typed, ["a.txt"]) == []


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\x00"), min_size=1)
LONG = st.builds(
    lambda text, times, ending: (text * times).encode()[:255].decode(errors="ignore") + ending,
    NAMES,
    st.integers(1, 255),
    st.sampled_from(["", ".txt", ".tar.gz", "." + "y" * 200, "." + "é" * 125]),
).map(lambda name: name.encode()[:255].decode(errors="ignore"))
ANY = st.text(st.characters() | st.sampled_from("/\\.: \x00\ud800con"), max_size=300)


@settings(max_examples=200)
@given(ANY)
def test_every_text_is_safe_or_refused_and_a_safe_one_stays_in_its_folder(name):
    if not safe_names.is_safe(name):
        return
    parts = name.split("/")
    assert len(name.encode()) <= safe_names.MAX_NAME_BYTES
    assert not {"", ".", ".."}.intersection(parts)
    assert all(len(part.encode()) <= safe_names.MAX_PART_BYTES for part in parts)


@settings(max_examples=200)
@given(LONG)
def test_a_partial_name_fits_on_the_disk_and_is_never_shared(name):
    partial = safe_names.partial(name)
    assert len(partial.encode()) <= 255
    assert partial.endswith(".parte")
    assert not safe_names.is_safe(partial)
    kept = partial.removesuffix(".parte")
    assert name == kept or name.startswith(kept.rpartition("~")[0])


@settings(max_examples=100)
@given(LONG, LONG)
def test_two_names_have_two_partial_names(one, other):
    assume(one != other)
    assert safe_names.partial(one) != safe_names.partial(other)


def test_long_names_that_differ_at_the_end_have_two_partial_names():
    assert safe_names.partial("x" * 254 + "a") != safe_names.partial("x" * 254 + "b")


@settings(max_examples=200)
@given(LONG)
def test_the_alternatives_fit_on_the_disk_are_distinct_and_begin_with_the_name(name):
    found = list(islice(safe_names.alternatives(name), 12))
    assert found[0] == name
    assert len(set(found)) == 12
    assert all(len(other.encode()) <= 255 for other in found)
    for number, other in enumerate(found[1:], start=1):
        stem, _, ending = other.rpartition(f" ({number})")
        assert name.startswith(stem)
        assert name.endswith(ending)


@settings(max_examples=200)
@given(LONG)
def test_the_alternatives_of_a_safe_name_are_safe(name):
    assume(safe_names.is_safe(name))
    assert all(safe_names.is_safe(other) for other in islice(safe_names.alternatives(name), 12))


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("a.txt", "a (1).txt"),
        ("a", "a (1)"),
        ("a.tar.gz", "a.tar (1).gz"),
        ("a (1).txt", "a (1) (1).txt"),
        ("é" * 125 + ".txt", "é" * 123 + " (1).txt"),
        ("x" * 255, "x" * 251 + " (1)"),
        ("a." + "y" * 253, "a." + "y" * 249 + " (1)"),
    ],
    ids=lambda name: name[:12],
)
def test_a_taken_name_gets_a_number_before_its_ending(name, second):
    assert list(islice(safe_names.alternatives(name), 2)) == [name, second]


def test_the_alternatives_come_to_an_end():
    assert sum(1 for _ in safe_names.alternatives("a.txt")) == 10_000
