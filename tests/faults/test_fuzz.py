"""What anybody may say, at random: it is read or refused, and never another error.

Who fails prints its seed. ``corpus.jsonl`` keeps an input of each kind of outcome, and what became
of it: a refusal that changes is told.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from time import monotonic

import pytest
from mutating import READERS, mutated

CORPUS = Path(__file__).with_name("corpus.jsonl")
KEPT = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_whatever_is_said_is_read_or_refused(reader, lasts_s):
    read, good, count = READERS[reader]
    seed = random.randrange(2**32)
    chance, end, tried = random.Random(seed), monotonic() + lasts_s, 0
    while tried < count or monotonic() < end:
        data = mutated(chance.choice(good), chance)
        tried += 1
        try:
            read(data)
        except Exception as error:
            raise AssertionError(f"seed {seed}, input {tried}: {data!r}") from error
    print(f"{tried} inputs, seed {seed}")  # noqa: T201 - shown by -rP, and when it fails


@pytest.mark.parametrize("reader", READERS)
def test_what_was_kept_has_the_outcome_that_it_had(reader):
    read = READERS[reader][0]
    kept = [one for one in KEPT if one["to"] == reader]
    assert kept
    for one in kept:
        assert read(one["said"].encode("latin-1")) == one["became"], one


def test_many_are_kept():
    assert len(KEPT) >= 200
    assert len({(one["to"], one["became"]) for one in KEPT}) >= 120


def keep(seed: int = 20) -> None:
    """Write the corpus anew: the shortest of many inputs, two for each outcome."""
    with CORPUS.open("w", encoding="utf-8") as file:
        for reader, (read, good, count) in READERS.items():
            found: dict[str, set[bytes]] = {}
            chance = random.Random(seed)
            for _ in range(count):
                data = mutated(chance.choice(good), chance)
                found.setdefault(read(data), set()).add(data)
            for became, inputs in sorted(found.items()):
                for data in sorted(inputs, key=lambda one: (len(one), one))[:2]:
                    said = data.decode("latin-1")
                    file.write(json.dumps({"to": reader, "said": said, "became": became}) + "\n")
