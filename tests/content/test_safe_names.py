"""Names from strangers: what is refused and why, and what a download is called on the disk."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from itertools import islice
from pathlib import PureWindowsPath

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lies import NOT_ON_WINDOWS, UNSAFE_NAMES

from rede_p2p.content import safe_names
from rede_p2p.errors import DiskError, UnsafeNameError

MIB = 2**20
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


# Names that a disk cannot hold.


@pytest.mark.parametrize(("name", "kind", "text"), NOT_ON_WINDOWS, ids=ascii)
def test_windows_refuses_what_it_cannot_write_and_says_what(tmp_path, name, kind, text):
    with pytest.raises(DiskError) as caught:
        safe_names.check_writable(name, tmp_path / "baixados", windows=True)
    assert (caught.value.path, caught.value.kind, caught.value.detail) == (name, kind, text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "kind", "text"), NOT_ON_WINDOWS, ids=ascii)
def test_a_disk_that_holds_any_name_takes_it_and_keeps_nothing_of_the_trial(
    tmp_path, name, kind, text
):
    assert safe_names.check_writable(name, tmp_path / "baixados", windows=False) == name
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("windows", [True, False])
def test_an_unsafe_name_is_refused_on_every_disk(tmp_path, windows):
    for name in ("../a", "C:a", "p/c:x", "a\\b", ".a", "a.parte"):
        with pytest.raises(UnsafeNameError):
            safe_names.check_writable(name, tmp_path, windows=windows)


@pytest.mark.parametrize(("name", "kind", "text"), NOT_ON_WINDOWS, ids=ascii)
@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOENT, errno.EILSEQ])
def test_a_disk_that_refuses_a_name_is_told_by_the_trial(
    tmp_path, monkeypatch, name, kind, text, number
):
    """As FAT does: EINVAL for a character; a last dot is dropped without a word."""
    real = os.open

    def as_on_fat(path, *rest):
        if set('<>:"|?*').intersection(os.path.basename(path)):  # noqa: PTH119
            raise OSError(number, "Invalid argument")
        return real(path, *rest)

    monkeypatch.setattr(os, "open", as_on_fat)
    with pytest.raises(DiskError) as caught:
        safe_names.check_writable(name, tmp_path, windows=False)
    assert (caught.value.kind, caught.value.detail) == (kind, text)


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("aula1.pdf", "Aula 1.pdf"),
        ("ALUA 1.PDF", "Aula 1.pdf"),
        ("ac\u0327ao.txt", "ação.txt"),
        ("foto/foto.png", "fotos/foto.png"),
        ("zzz", ""),
        ("", ""),
        ("a" * 100_000, ""),
        ("fotso", "fotos"),
    ],
)
def test_the_nearest_name_is_the_one_that_may_be_meant(typed, near):
    names = ["Aula 1.pdf", "aula 20.pdf", "ação.txt", "fotos/foto.png", "b" * 255]
    assert safe_names.nearest(typed, names) == near
    assert safe_names.nearest(typed, []) == ""


def test_among_very_many_names_one_that_begins_as_it_was_typed_is_found():
    names = [f"outro {n}" for n in range(10_000)]
    assert safe_names.nearest("aulla.pdf", [*names, "aula.pdf"]) == "aula.pdf"


def test_a_disk_that_cannot_be_tried_is_left_to_who_writes(tmp_path):
    """A folder that may not be written has a sentence of its own."""
    (tmp_path / "file").write_bytes(b"")
    assert safe_names.check_writable("a?", tmp_path / "file", windows=False) == "a?"


@pytest.fixture
def fat(tmp_path):
    """A real FAT disk, where this system has it and may mount it."""
    image, folder = tmp_path / "fat.img", tmp_path / "fat"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(16 * MIB)
    for words in (["mkfs.vfat", str(image)], ["mount", "-o", "loop,utf8", str(image), str(folder)]):
        if shutil.which(words[0]) is None:
            pytest.skip(f"there is no {words[0]}")
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"FAT cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_real_fat_disk_refuses_the_names_that_windows_refuses(fat):
    for name, kind, text in NOT_ON_WINDOWS:
        with pytest.raises(DiskError) as caught:
            safe_names.check_writable(name, fat)
        assert (caught.value.kind, caught.value.detail) == (kind, text)
    assert safe_names.check_writable("ação.txt", fat) == "ação.txt"
    assert list(fat.iterdir()) == []


def test_a_name_has_at_most_so_many_folders():
    assert safe_names.is_safe("/".join("d" * safe_names.MAX_PARTS))
    with pytest.raises(UnsafeNameError, match="long"):
        safe_names.check("/".join("d" * (safe_names.MAX_PARTS + 1)))


# Names of peers.


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ana", "ana"),
        ("  João\u00a0 da  Silva ", "João da Silva"),
        ("joa\u0303o", "joão"),
        ("e\u0301" * 32, "é" * 32),  # 64 bytes once composed
        ("prof-pc.local", "prof-pc.local"),
        ("3f2a9c1b7d5e", "3f2a9c1b7d5e"),
        ("v1.2.3", "v1.2.3"),
        ("五", "五"),
        ("a;b & 'c'", "a;b & 'c'"),
        *(
            (odd, "ana")
            for odd in ("ana\u3164", "a\u034fna", "ana\ufe0f", "\u115fana", "ana\uffa0")
        ),
        ("á\u200dé", "áé"),
        ("ana ❤️", "ana ❤"),
        ("\u3164", ""),
    ],
)
def test_what_a_peer_may_be_called_has_one_form(text, name):
    assert safe_names.peer_name(text) == name
    assert safe_names.peer_name(name) == name


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "x" * 65, "é" * 33, "a" * 10**6, "-", "...", "👩"),
        *("a\0", "a\n", "\x1b[2Ja", "a\x9b", "a\u2028", "\u202eana", "a\u2066b", "\ud800a"),
        *("7", "007", "٣", "⑦", "²", "Ⅳ", "#2", "5455", "1 2"),  # rows and ports
        *("10.0.0.7", "10.0.0", "10.", "１０.0.0.7", "10.0.0.7%eth0", "a 10.0.0.7", "0x7f.1"),
        *("fe80::1", "fe80：：1", "[::1]", "::", "a:5455", "localhost", "LocalHost", "ｌocalhost"),
        *("-l", "--como", "－l", "a*", "a?", "＊a"),  # options and masks
    ],
    ids=ascii,
)
def test_what_reads_like_something_else_is_no_name_of_a_peer(text):
    assert safe_names.peer_name(text) == ""


def test_a_name_that_the_systems_encoding_cannot_hold_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsencode", lambda name: name.encode("iso-8859-1"))
    assert safe_names.check_writable("ação.txt", tmp_path) == "ação.txt"
    with pytest.raises(DiskError) as caught:
        safe_names.check_writable("日本.txt", tmp_path)
    assert caught.value.kind == "name"


def test_the_trial_of_a_disk_makes_nothing_behind_a_link(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "baixados"
    outside.mkdir()
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    before = outside.stat().st_mtime_ns
    safe_names.check_writable("link/a?", folder, windows=False)
    assert outside.stat().st_mtime_ns == before
