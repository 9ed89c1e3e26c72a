"""What ``ls`` shows by its words."""

from __future__ import annotations

import pytest

from rede_p2p.cli import listing
from rede_p2p.cli.listing import View
from rede_p2p.errors import BadUsageError, NoSuchFileError

NAMES = ["b.pdf", "a.txt", "fotos/1.png", "fotos/2.PNG", "a\u0303.pdf"]


@pytest.mark.parametrize(
    ("words", "rest", "view"),
    [
        ((), [], View()),
        (("10.0.0.7", "5455"), ["10.0.0.7", "5455"], View()),
        (("-l", "10.0.0.7", "-S"), ["10.0.0.7"], View(exact=True, largest_first=True)),
        (("-lS",), [], View(exact=True, largest_first=True)),
        (("-S", "*"), ["*"], View(largest_first=True)),
        (("-1", "*"), ["*"], View(bare=True)),
        (("10.0.0.7", "-1S"), ["10.0.0.7"], View(largest_first=True, bare=True)),
    ],
)
def test_options_stand_anywhere_and_the_other_words_stay(words, rest, view):
    assert listing.read(words) == (rest, view)


@pytest.mark.parametrize("word", ["-", "--", "-t", "-lx", "--largo"])
def test_an_unknown_option_is_told_how_the_command_is_used(word):
    with pytest.raises(BadUsageError) as caught:
        listing.read(["10.0.0.7", word])
    assert caught.value.kind == "ls"


@pytest.mark.parametrize(
    ("masks", "meant"),
    [
        ([], NAMES),
        (["*.pdf"], ["b.pdf", "a\u0303.pdf"]),
        (["ã.pdf"], ["a\u0303.pdf"]),
        (["fotos/"], ["fotos/1.png", "fotos/2.PNG"]),
        (["f?tos/"], ["fotos/1.png", "fotos/2.PNG"]),
        (["*.txt", "fotos/1*"], ["a.txt", "fotos/1.png"]),
    ],
)
def test_a_mask_means_what_it_means_in_get(masks, meant):
    assert listing.chosen(masks, NAMES, "") == set(meant)


def test_a_mask_that_means_nothing_is_told():
    with pytest.raises(NoSuchFileError) as caught:
        listing.chosen(["*.pdf", "*.zip"], NAMES, "10.0.0.7:5455")
    assert (caught.value.name, caught.value.where) == ("*.zip", "10.0.0.7:5455")


@pytest.mark.parametrize(("word", "is_mask"), [("*.a", True), ("a?", True), ("[::1]:1", False)])
def test_a_mask_is_no_peer(word, is_mask):
    assert listing.is_mask(word) == is_mask


def test_sizes_and_roots_are_short_or_whole_and_the_order_is_kept():
    root = bytes(range(32))
    assert (View().size(1536), View().root(root)) == ("1,5 KiB", "000102030405")
    exact = View(exact=True)
    assert (exact.size(1536), exact.root(root)) == ("1536", root.hex())
    assert exact.root(None) == "calculando…"


def test_rows_are_shown_by_name_as_a_person_counts_or_the_largest_first():
    by_name = ["", "9", "10", "acb", "ação", "Aula2.pdf", "aula02.txt", "aula10.pdf", "b", "z"]
    assert View().order(by_name[::-1], str, len) == by_name
    assert View(largest_first=True).order(["bb", "a", "ccc", "aa"], str, len) == [
        "ccc", "aa", "bb", "a",
    ]  # fmt: skip
