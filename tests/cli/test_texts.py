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
    assert posted - {*EVENTS} == {events.Progress}  # shown as a bar


STOPPED = errors.IncompleteError("a.bin", 1, 2, ConnectionLostError("lost"))
FULL = errors.DiskError("a.bin.parte", "full")
ONE = ("a.bin",)


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (events.TransferEnded(1, ONE, ()), "[1] a.bin: baixado e verificado"),
        (events.TransferEnded(5, ONE * 10, ()), "[5] 10 arquivos: baixados e verificados"),
        (events.TransferEnded(1, ONE, (STOPPED,)), "[1] a.bin parou em 50 %: "),
        (events.TransferEnded(1, ONE, (FULL,)), "[1] a.bin: não há espaço no disco"),
        (events.TransferEnded(1, ONE * 3, (FULL,)), "[1] 3 arquivos: 1 falhou; não há"),
        (events.TransferEnded(1, ONE * 3, (FULL, FULL)), "[1] 3 arquivos: 2 falharam; "),
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
        (UNDER_WAY, 19.8 * 2**20, "15,0 MiB de 1,0 GiB · 19,8 MiB/s · faltam 0:50"),
        (UNDER_WAY, 2**20 / 10, "15,0 MiB de 1,0 GiB · 102,4 KiB/s · faltam 168:10"),
        (UNDER_WAY, 0.0, "15,0 MiB de 1,0 GiB"),
        (replace(UNDER_WAY, place=3), 9e9, "15,0 MiB de 1,0 GiB · na fila, lugar 3"),
        (
            replace(UNDER_WAY, rechecking=True),
            9e9,
            "15,0 MiB de 1,0 GiB · conferindo o que já chegou",
        ),
        (replace(UNDER_WAY, files=4, files_done=1), 0.0, "15,0 MiB de 1,0 GiB · 1/4 arquivos"),
        (replace(UNDER_WAY, sources=2), 0.0, "15,0 MiB de 1,0 GiB · 2 fontes"),
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
