"""Every fact has its sentence: whatever the code can raise or post, a person can read."""

from __future__ import annotations

import inspect
import itertools
import re
import typing
from dataclasses import fields, is_dataclass, replace

import pytest
from conftest import ROOT

from rede_p2p import errors, events
from rede_p2p.cli import error_texts, texts
from rede_p2p.errors import Address, ConnectionLostError, ProtocolError, RedeError, RefusedError
from rede_p2p.protocol import codec

HERE = Address("10.0.0.7", 5455)
FOREIGN = "a{0}{x}{ %s [/] \\ “é”.txt"  # what format() or rich would trip over
SENTENCES = {
    ROOT / "rede_p2p" / name for name in ("errors.py", "cli/error_texts.py", "cli/texts.py")
}
CODE = "".join(
    path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("*.py"), *(ROOT / "rede_p2p").rglob("*.py")]
    if path not in SENTENCES
)
TABLES = {  # of the sentences of an error that has kinds
    errors.BadUsageError: error_texts.USAGE,
    errors.ProtocolError: error_texts.PROTOCOL,
    errors.ConnectionLostError: error_texts.LOST,
    errors.RefusedError: error_texts.REFUSED,
    errors.PortUnavailableError: error_texts.PORT,
    errors.UnsafeNameError: error_texts.UNSAFE,
    errors.DiskError: error_texts.DISK,
}
ALL_ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, RedeError) and kind is not RedeError
]


def kinds_of(error: type) -> set[str]:
    """Return the kinds of an error, which are a Literal; none where it has no kinds."""
    hints = typing.get_type_hints(error) if is_dataclass(error) else {}
    literals = [hint for hint in hints.values() if typing.get_origin(hint) is typing.Literal]
    return {*typing.get_args(literals[0])} if literals else set()


KINDS = {error: kinds_of(error) for error in ALL_ERRORS if kinds_of(error)}
# The code of a refusal is any text, because a later version of the other side may send a new one.
KINDS[errors.RefusedError] = {*re.findall(r'RefusedError\("([a-z-]+)"\)', CODE)}
FROM_OTHERS = {"unknown-verb", "a-code-of-tomorrow"}  # codes that no program of ours refuses with
OF_A_LIST = {"not-list", *KINDS[errors.DiskError]}
OF_A_LINE = {*texts.LIST_LINE, *(f"name-{kind}" for kind in KINDS[errors.UnsafeNameError])}


def example(error: type, kind: str) -> object:
    """Make the error, with foreign text wherever there is text."""
    values = {"kind": kind, "reason": kind, "code": kind, "address": HERE}
    return error(*(values.get(field.name, FOREIGN) for field in fields(error)))


def is_a_sentence(text: str) -> bool:
    return bool(text) and "erro interno" not in text and "\n" not in text and "{}" not in text


def shown(value):
    return value.__name__ if isinstance(value, type) else str(value)[:40]


def test_every_error_with_kinds_has_a_table():
    assert TABLES.keys() == KINDS.keys()
    assert len(KINDS[errors.RefusedError]) >= 11


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (error, kind)
        for error, kinds in KINDS.items()
        for kind in sorted(kinds | (FROM_OTHERS if error is errors.RefusedError else set()))
    ],
    ids=shown,
)
def test_every_kind_of_error_has_a_sentence(error, kind):
    assert is_a_sentence(texts.describe(example(error, kind)))


@pytest.mark.parametrize("error", TABLES, ids=shown)
def test_every_kind_has_a_sentence_of_its_own_and_no_sentence_is_kept_without_a_kind(error):
    assert TABLES[error].keys() >= KINDS[error]
    assert TABLES[error].keys() - KINDS[error] <= FROM_OTHERS


@pytest.mark.parametrize("error", KINDS, ids=shown)
def test_no_kind_is_kept_that_nothing_raises(error):
    assert not [kind for kind in KINDS[error] if f'"{kind}"' not in CODE]


@pytest.mark.parametrize(
    ("line", "kind"),
    [*((0, kind) for kind in sorted(OF_A_LIST)), *((3, kind) for kind in sorted(OF_A_LINE))],
)
def test_every_problem_of_a_list_and_of_its_lines_has_a_sentence(line, kind):
    assert is_a_sentence(texts.describe(events.ListProblem("lista.txt", line, kind, FOREIGN)))


def test_what_is_said_of_a_line_is_what_is_found_in_one():
    made = "".join(line for line in CODE.splitlines() if re.search(r"(\bp|P)roblem\(", line))
    assert {*re.findall(r'"([a-z-]+)"', made)} == {*texts.LIST_LINE, "not-list"}


def test_a_long_bad_line_is_not_repeated_whole():
    for kind in ("no-path", "name-dot"):
        problem = events.ListProblem("lista.txt", 3, kind, "x" * 10**6)
        assert len(texts.describe(problem)) < 200


CAUSES = (
    ProtocolError("stranger"),
    ProtocolError("bad-field", FOREIGN),
    ConnectionLostError("refused"),
    RefusedError("full"),
    RefusedError("no-such-file"),
    RefusedError("unknown-verb"),
    RefusedError("a-code-of-tomorrow"),
    RefusedError("a-code-of-tomorrow", FOREIGN),
)
UNLIKE = (events.InternalError, events.ListProblem)  # tried elsewhere
SAMPLES = {  # of each type of field
    str: (FOREIGN, ""),
    int: (0, 7, 2**50),
    int | None: (None, 7),
    tuple[str, ...]: ((FOREIGN,), (FOREIGN, "")),
    Address: (HERE, Address("::1", 5456)),
    tuple[Address, ...]: ((HERE,), (HERE, Address("::1", 5456))),
    RedeError: CAUSES,
    tuple[RedeError, ...]: ((), CAUSES[:1], CAUSES),
    BaseException: (ZeroDivisionError("x"),),
}
FACTS = [
    *(error for error in ALL_ERRORS if error not in KINDS),
    *typing.get_args(events.Event),
]


def examples(kind: type) -> typing.Iterator[object]:
    """Make every combination of sample fields."""
    if not is_dataclass(kind):
        yield kind()
        return
    hints = typing.get_type_hints(kind)
    for values in itertools.product(*(SAMPLES[hints[field.name]] for field in fields(kind))):
        yield kind(*values)


@pytest.mark.parametrize("kind", [kind for kind in FACTS if kind not in UNLIKE], ids=shown)
def test_every_other_error_and_event_has_a_sentence(kind):
    for fact in examples(kind):
        assert is_a_sentence(texts.describe(fact)), fact


def test_every_error_and_event_is_tried():
    assert {errors.InterruptedByUserError, errors.IncompleteError, events.FilesServed} <= {*FACTS}
    declared = {kind for _, kind in inspect.getmembers(events, inspect.isclass)}
    posted = {kind for kind in declared if kind.__module__ == events.__name__}
    assert posted - {*FACTS} == {events.Progress}  # shown as a bar


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
    ("fact", "status"),
    [
        (errors.BadUsageError("get"), 2),
        (errors.UnknownCommandError("x", ""), 2),
        (errors.TrackerUnreachableError(HERE, ConnectionLostError("refused")), 3),
        (errors.PeerUnreachableError(HERE, ConnectionLostError("refused")), 4),
        (errors.PeerUnreachableError(HERE, RefusedError("no-such-file")), 5),
        (errors.PeerUnreachableError(HERE, RefusedError("full")), 4),
        (errors.PeerNotListedError("::1", None), 4),
        (errors.NoSuchFileError("a", "::1"), 5),
        (errors.UnsafeNameError("..", "dot"), 5),
        (errors.VerificationError("a", HERE), 6),
        (errors.IncompleteError("a", 1, 2, ConnectionLostError("lost")), 7),
        (errors.DiskError("a", "full"), 9),
        (errors.PortUnavailableError(HERE, "denied"), 9),
        (errors.PortUnavailableError(HERE, "taken"), 2),
        (errors.InterruptedByUserError(), 130),
    ],
    ids=shown,
)
def test_a_program_that_ends_of_it_has_this_status(fact, status):
    assert fact.status == status


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
