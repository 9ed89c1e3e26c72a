"""Every fact has its sentence: whatever the code can raise or tell, a person can read."""

from __future__ import annotations

import ast
import inspect
import itertools
import typing
from dataclasses import fields, is_dataclass, replace

import pytest
from conftest import ROOT

from rede_p2p import errors, events
from rede_p2p.cli import texts
from rede_p2p.cli.commands import ACTIONS
from rede_p2p.content import disk
from rede_p2p.errors import Address, ConnectionLostError, ProtocolError, RedeError, RefusedError
from rede_p2p.net import connection, listener
from rede_p2p.protocol import codec
from rede_p2p.upload import share_list

HERE = Address("10.0.0.7", 5455)
FOREIGN = "a{0}{x}{ %s [/] \\ “é”.txt"  # what format() or rich would trip over
ROOMS = [ROOT / "Peers.py", ROOT / "Servidor.py", *sorted((ROOT / "rede_p2p").rglob("*.py"))]
KINDS = {  # the field of each class that chooses the sentence
    errors.BadUsageError: "kind",
    errors.ProtocolError: "kind",
    errors.ConnectionLostError: "reason",
    errors.RefusedError: "code",
    errors.PortUnavailableError: "reason",
    errors.UnsafeNameError: "kind",
    errors.DiskError: "kind",
    share_list.Problem: "kind",
}
BY_NAME = {kind.__name__: kind for kind in KINDS}


def keys_of_faults() -> set[str]:
    tree = ast.parse((ROOT / "rede_p2p" / "content" / "safe_names.py").read_text(encoding="utf-8"))
    (fault,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "_fault"
    )
    table = next(node for node in ast.walk(fault) if isinstance(node, ast.Dict))
    return {key.value for key in table.keys}


OF_THE_DISK = {
    *disk._KINDS.values(),
    "other",
    "not-file",
    "stopped",
    "changed",
    "replaced",
    "link-folder",
}

# Where the word is not written at the place that raises: what it can be there.
COMPUTED = {
    ("connection", "_REASONS.get(error.errno or 0, 'lost')"): {
        *connection._REASONS.values(),
        "lost",
    },
    ("listener", "reason"): {*listener._REASONS.values(), "other"},
    ("disk", "why"): OF_THE_DISK,
    ("hash_cache", "self._failed[path]"): OF_THE_DISK,
    ("share_list", "error.kind"): set(),  # of the list itself: a table of its own, below
    ("safe_names", "kind"): keys_of_faults(),
    ("share_list", "f'name-{error.kind}'"): {
        f"name-{kind}" for kind in (*keys_of_faults(), "control", "long")
    },
    ("session", "command.name"): {
        name for name, action in ACTIONS.items() if "expect(command" in inspect.getsource(action)
    },
    ("codec", "refusal.code"): {"a-code-of-tomorrow"},  # the other side's word
}


def argument(call: ast.Call, kind: type) -> ast.expr:
    field = KINDS[kind]
    for keyword in call.keywords:
        if keyword.arg == field:
            return keyword.value
    return call.args[[each.name for each in fields(kind)].index(field)]


def words_of(room: str, found: ast.expr) -> set[str]:
    if isinstance(found, ast.Constant):
        return {found.value}
    if isinstance(found, ast.IfExp):
        return words_of(room, found.body) | words_of(room, found.orelse)
    site = (room, ast.unparse(found))
    assert site in COMPUTED, f"which words can {site} be? Tell COMPUTED"
    return COMPUTED[site]


def raised() -> set[tuple[type, str]]:
    """Find every (class, word) that the code can raise or yield."""
    found = set()
    for path in ROOMS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                kind = BY_NAME.get(node.func.id)
                if kind is not None:
                    words = words_of(path.stem, argument(node, kind))
                    found |= {(kind, word) for word in words}
    return found


RAISED = sorted(raised(), key=lambda pair: (pair[0].__name__, pair[1]))
TABLES = {
    errors.BadUsageError: texts._USAGE,
    errors.ProtocolError: texts._PROTOCOL,
    errors.ConnectionLostError: texts._LOST,
    errors.RefusedError: texts._REFUSED,
    errors.PortUnavailableError: texts._PORT,
    errors.UnsafeNameError: texts._UNSAFE,
    errors.DiskError: texts._DISK,
}


def example(kind: type, word: str) -> object:
    """Make the fact, with foreign text wherever there is text."""
    if kind is share_list.Problem:
        return events.ListProblem("lista.txt", 3, word, FOREIGN)
    values = {"kind": word, "reason": word, "code": word, "address": HERE}
    return kind(*(values.get(field.name, FOREIGN) for field in fields(kind)))


def is_a_sentence(text: str) -> bool:
    return bool(text) and "erro interno" not in text and "\n" not in text and "{}" not in text


def shown(value):
    return value.__name__ if isinstance(value, type) else str(value)[:40]


def test_the_code_is_read():
    assert len(RAISED) > 60
    assert {kind for kind, _ in RAISED} == KINDS.keys()


@pytest.mark.parametrize(("kind", "word"), RAISED, ids=shown)
def test_whatever_the_code_raises_has_a_sentence(kind, word):
    assert is_a_sentence(texts.tell(example(kind, word)))


@pytest.mark.parametrize(
    ("kind", "word"), [pair for pair in RAISED if pair[0] in TABLES], ids=shown
)
def test_whatever_the_code_raises_has_a_sentence_of_its_own(kind, word):
    assert word in TABLES[kind] or word in ("other", "a-code-of-tomorrow")


@pytest.mark.parametrize("kind", sorted(OF_THE_DISK))
def test_a_list_that_cannot_be_read_has_a_sentence(kind):
    problem = events.ListProblem("lista.txt", 0, kind, FOREIGN)
    assert is_a_sentence(texts.tell(problem))


def test_a_long_bad_line_is_not_repeated_whole():
    for kind in ("no-path", "name-dot"):
        problem = events.ListProblem("lista.txt", 3, kind, "x" * 10**6)
        assert len(texts.tell(problem)) < 200


@pytest.mark.parametrize("kind", TABLES, ids=shown)
def test_no_sentence_is_kept_that_nothing_raises(kind):
    lists = {word for found, word in RAISED if found is share_list.Problem}
    used = {word for found, word in RAISED if found is kind}
    unused = TABLES[kind].keys() - used - lists
    assert not unused - {"unknown-verb", "full"}  # the other side says these


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
    Address: (HERE, Address("::1", 5456)),
    tuple[Address, ...]: ((HERE,), (HERE, Address("::1", 5456))),
    RedeError: CAUSES,
    tuple[RedeError, ...]: ((), CAUSES[:1], CAUSES),
    BaseException: (ZeroDivisionError("x"),),
}
FACTS = [
    *(
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, RedeError) and kind not in (*KINDS, RedeError)
    ),
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
        assert is_a_sentence(texts.tell(fact)), fact


def test_every_error_and_event_is_tried():
    assert {errors.InterruptedByUserError, errors.IncompleteError, events.FilesServed} <= {*FACTS}
    declared = {kind for _, kind in inspect.getmembers(events, inspect.isclass)}
    told = {kind for kind in declared if kind.__module__ == events.__name__}
    assert told - {*FACTS} == {events.Progress}  # shown as a bar


STOPPED = errors.IncompleteError("a.bin", 1, 2, ConnectionLostError("lost"))
FULL = errors.DiskError("a.bin.parte", "full")


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (events.TransferEnded(1, "a.bin", 1, ()), "[1] a.bin: baixado e verificado"),
        (events.TransferEnded(5, "10 arquivos", 10, ()), "[5] 10 arquivos: baixados e verificados"),
        (events.TransferEnded(1, "a.bin", 1, (STOPPED,)), "[1] a.bin parou em 50 %: "),
        (events.TransferEnded(1, "a.bin", 1, (FULL,)), "[1] a.bin: não há espaço no disco"),
        (events.TransferEnded(1, "3 arquivos", 3, (FULL,)), "[1] 3 arquivos: 1 falhou; não há"),
        (events.TransferEnded(1, "3 arquivos", 3, (FULL, FULL)), "[1] 3 arquivos: 2 falharam; "),
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
    assert texts.tell(fact).startswith(said)


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
        (replace(UNDER_WAY, looking=True), 9e9, "15,0 MiB de 1,0 GiB · conferindo o que já chegou"),
        (replace(UNDER_WAY, files=4, files_done=1), 0.0, "15,0 MiB de 1,0 GiB · 1/4 arquivos"),
        (replace(UNDER_WAY, sources=2), 0.0, "15,0 MiB de 1,0 GiB · 2 fontes"),
    ],
)
def test_how_far_a_download_is_is_said_as_every_other_size(now, rate, said):
    assert " · ".join(texts.under_way(now, rate)) == said


def test_a_bug_is_told_in_one_line_that_names_it():
    told = texts.tell(events.InternalError(ZeroDivisionError("division by zero")))
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
