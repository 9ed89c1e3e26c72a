"""Every event has its sentence, and numbers their words; errors are in test_error_texts."""

from __future__ import annotations

import inspect
import re
import typing
from dataclasses import replace

import pytest
from facts import CODE, FOREIGN, HERE, examples, is_a_sentence, shown

from rede_p2p import errors, events
from rede_p2p.cli import texts
from rede_p2p.cli.error_texts import DISK, UNSAFE, describe_error
from rede_p2p.errors import ConnectionLostError, RefusedError
from rede_p2p.protocol import codec

OF_A_LINE = {*texts.LIST_LINE, *(f"name-{kind}" for kind in UNSAFE)}


@pytest.mark.parametrize(
    ("name", "you", "shown"),
    [
        ("", False, ""),
        ("ana", False, "ana"),
        ("", True, "este peer"),
        ("ana", True, "este peer (ana)"),
        ("Este  PEER (ana)", False, "“Este  PEER (ana)”"),
    ],
)
def test_no_peer_is_shown_as_this_one_but_this_one(name, you, shown):
    assert texts.peer_name(name, you=you) == shown


def test_who_comes_and_goes_is_told_with_its_name_if_it_has_one():
    for kind, verb in ((events.PeerJoined, "entrou"), (events.PeerLeft, "saiu")):
        assert texts.describe(kind(HERE)) == f"{verb} {HERE}"
        assert texts.describe(kind(HERE, "ana")) == f"{verb} {HERE} (ana)"


@pytest.mark.parametrize(
    ("line", "kind"),
    [*((0, kind) for kind in sorted(DISK)), *((3, kind) for kind in sorted(OF_A_LINE))],
)
def test_every_problem_of_a_list_and_of_its_lines_has_a_sentence(line, kind):
    assert is_a_sentence(texts.describe(events.ListProblem("lista.txt", line, kind, FOREIGN)))


def test_what_is_said_of_a_line_is_what_is_found_in_one():
    made = "".join(line for line in CODE.splitlines() if re.search(r"(\bp|P)roblem\(", line))
    assert {*re.findall(r'"([a-z-]+)"', made)} == {*texts.LIST_LINE}


@pytest.mark.parametrize(
    ("kind", "detail", "said"),
    [
        ("name-character", "?", "“?”"),
        ("name-ending", "fim.", "ponto ou espaço no fim"),
        ("name-reserved", "con", "“con” é um nome reservado"),
        ("name-long", "File name too long", "comprido demais"),
    ],
)
def test_a_name_that_the_disk_cannot_hold_is_told_with_the_way_to_another(kind, detail, said):
    sentence = texts.describe(errors.DiskError("p/nome", kind, detail))
    assert said in sentence
    assert "get … --como NOME" in sentence
    assert "p/nome" in sentence


def test_a_long_bad_line_is_not_repeated_whole():
    for kind in ("no-path", "name-dot"):
        problem = events.ListProblem("lista.txt", 3, kind, "x" * 10**6)
        assert len(texts.describe(problem)) < 200


UNLIKE = (events.InternalError, events.ListProblem)  # tried elsewhere
EVENTS = typing.get_args(events.Event)


@pytest.mark.parametrize("kind", [kind for kind in EVENTS if kind not in UNLIKE], ids=shown)
def test_every_other_event_has_a_sentence(kind):
    for fact in examples(kind):
        assert is_a_sentence(texts.describe(fact)), fact


def test_every_event_is_tried():
    declared = {kind for _, kind in inspect.getmembers(events, inspect.isclass)}
    posted = {kind for kind in declared if kind.__module__ == events.__name__}
    assert posted - {*EVENTS} == {events.Progress, events.Summary}  # shown otherwise


STOPPED = errors.IncompleteError("a.bin", 1, 2, ConnectionLostError("lost"))
FULL = errors.DiskError("a.bin.parte", "full")
ONE = ("a.bin",)
MIB = 2**20
OTHERS = [errors.Address("10.0.0.8", 5455), errors.Address("10.0.0.8", 5456)]


def brought(*counts, named=frozenset({HERE}), seconds=38.0):
    """Make a summary of what the named peer and others have brought."""
    from_each = zip([HERE, *OTHERS], counts, strict=False)
    return events.Summary(ONE, {s: count for s, count in from_each if count}, named, seconds)


def ended(number, names, failures, summary=brought()):  # noqa: B008 - it is frozen
    return events.TransferEnded(number, names, failures, summary)


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        (brought(4096 * MIB), "4,0 GiB em 38 s, 107,8 MiB/s"),
        (brought(29 * MIB, 71 * MIB), "100,0 MiB em 38 s, 2,6 MiB/s; 71 % de 1 outro peer"),
        (brought(0, MIB, MIB), "2,0 MiB em 38 s, 53,9 KiB/s; 100 % de 2 outros peers"),
        (brought(999 * MIB, 1), "999,0 MiB em 38 s, 26,3 MiB/s; menos de 1 % de 1 outro peer"),
        (brought(MIB, MIB, named=frozenset()), "2,0 MiB em 38 s, 53,9 KiB/s; de 2 peers"),
        (brought(MIB, named=frozenset()), "1,0 MiB em 38 s, 26,9 KiB/s"),
        (brought(MIB - 1), ""),  # of a small file nobody wants to know
        (brought(), ""),
    ],
)
def test_what_the_others_gave_is_told_at_the_end(summary, said):
    assert texts.summary(summary) == said
    assert texts.describe(ended(1, ONE, (), summary)) == (
        f"[1] a.bin: baixado e verificado; {said}".removesuffix("; ")
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.04, "0,0 s"),
        (9.94, "9,9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 0 s"),
        (125, "2 min 5 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_a_time_is_told_with_its_units(seconds, said):
    assert texts.duration(seconds) == said


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (ended(1, ONE, ()), "[1] a.bin: baixado e verificado"),
        (ended(5, ONE * 10, ()), "[5] 10 arquivos: baixados e verificados"),
        (ended(1, ONE, (STOPPED,)), "[1] a.bin parou em 50 %: "),
        (ended(1, ONE, (FULL,)), "[1] a.bin: não há espaço no disco"),
        (ended(1, ONE * 3, (FULL,)), "[1] 3 arquivos: 1 falhou; não há"),
        (ended(1, ONE * 3, (FULL, FULL)), "[1] 3 arquivos: 2 falharam; "),
        (errors.PartlyFailedError(1, 3, FULL), "1 de 3 não veio: não há espaço"),
        (errors.PartlyFailedError(2, 3, FULL), "2 de 3 não vieram; o primeiro: não há espaço"),
        (errors.DiskError("a.bin", "busy"), "já está sendo baixado, nesta janela ou em outra"),
        (
            events.TrackerLost(HERE),
            "o tracker 10.0.0.7:5455 não responde: tento de novo sozinho; até lá valem ls",
        ),
    ],
    ids=shown,
)
def test_what_ended_is_said_in_the_words_for_one_or_for_many(fact, said):
    assert texts.describe(fact).startswith(said)


@pytest.mark.parametrize(("names", "said"), [(ONE, "a.bin"), (ONE * 3, "3 arquivos")])
def test_a_transfer_is_named_by_its_file_or_by_how_many_they_are(names, said):
    assert texts.title(names) == said


@pytest.mark.parametrize(
    ("fresh", "already", "said"),
    [
        (1, 0, "1 baixado e verificado, 0 já estavam aqui"),
        (2, 1, "2 baixados e verificados, 1 já estava aqui"),
    ],
)
def test_what_came_is_counted_in_the_words_for_one_or_for_many(fresh, already, said):
    assert texts.fetched(fresh, already) == said


UNDER_WAY = events.Progress(15 * 2**20, 2**30, 0, 0, 1, 0, 1)


@pytest.mark.parametrize(
    ("now", "rate", "said"),
    [
        (UNDER_WAY, 19.8 * 2**20, "15,0 MiB de 1,0 GiB · 19,8 MiB/s · faltam 0:50 · 1 %"),
        (UNDER_WAY, 2**20 / 10, "15,0 MiB de 1,0 GiB · 102,4 KiB/s · faltam 2:48:10 · 1 %"),
        (UNDER_WAY, 0.0, "15,0 MiB de 1,0 GiB · 1 %"),
        (replace(UNDER_WAY, place=3), 9e9, "15,0 MiB de 1,0 GiB · na fila, lugar 3 · 1 %"),
        (
            replace(UNDER_WAY, rechecking=True),
            9e9,
            "15,0 MiB de 1,0 GiB · verificando o que já chegou · 1 %",
        ),
        (
            replace(UNDER_WAY, files=4, files_done=1),
            0.0,
            "15,0 MiB de 1,0 GiB · 1/4 arquivos · 1 %",
        ),
        (replace(UNDER_WAY, sources=2), 0.0, "15,0 MiB de 1,0 GiB · 2 fontes · 1 %"),
    ],
)
def test_how_far_a_download_is_is_said_as_every_other_size(now, rate, said):
    assert " · ".join(texts.under_way(now, rate)) == said


def test_an_error_is_said_as_everywhere_else():
    assert texts.describe(STOPPED) == describe_error(STOPPED)


def test_a_bug_is_told_in_one_line_that_names_it():
    told = texts.describe(events.InternalError(ZeroDivisionError("division by zero")))
    assert told == "erro interno: ZeroDivisionError: division by zero"


def test_the_other_side_is_told_no_more_than_it_reads():
    long = errors.UnsafeNameError("\x01é" * 5000, "long")
    sentence = texts.refusal(long)
    assert len(sentence) == 500
    line = codec.encode_reply(codec.Refusal("long", sentence))
    with pytest.raises(RefusedError) as caught:
        codec.decode_reply(line, codec.Refusal)
    assert caught.value.message == sentence


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1,0 KiB"),
        (1536, "1,5 KiB"),
        (2**20, "1,0 MiB"),
        (5 * 2**30, "5,0 GiB"),
        (2**40, "1,0 TiB"),
        (2**50, "1024,0 TiB"),
    ],
)
def test_a_number_of_bytes_is_said_in_portuguese(count, said):
    assert texts.size(count) == said


def test_a_root_is_said_short_and_a_missing_one_in_words():
    assert texts.root(bytes(range(32))) == "000102030405"
    assert texts.root(None) == "calculando…"


def test_why_a_peer_is_not_reached_has_words_for_what_a_later_tracker_may_say():
    assert texts.unreached("") == ""
    assert texts.unreached("silent") == "não respondeu a tempo"
    assert texts.unreached("stranger") == "respondeu outro programa"
    assert texts.unreached("a-reason-of-tomorrow") == "não foi alcançada"
    assert texts.milliseconds(0.01234) == "12,3 ms"
