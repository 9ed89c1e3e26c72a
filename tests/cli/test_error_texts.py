"""Every error has its sentence, whatever its kind, and its exit status."""

from __future__ import annotations

import errno
import re
import typing
from dataclasses import fields, is_dataclass

import pytest
from facts import ALL_ERRORS, CODE, FOREIGN, HERE, examples, is_a_sentence, shown

from rede_p2p import errors
from rede_p2p.cli import error_texts
from rede_p2p.cli.error_texts import describe_bug, describe_error
from rede_p2p.errors import ConnectionLostError, RefusedError

TABLES = {  # of the sentences of an error that has kinds
    errors.BadUsageError: error_texts.USAGE,
    errors.ProtocolError: error_texts.PROTOCOL,
    errors.ConnectionLostError: error_texts.LOST,
    errors.UnknownMachineError: error_texts.MACHINE,
    errors.RefusedError: error_texts.REFUSED,
    errors.PortUnavailableError: error_texts.PORT,
    errors.UnsafeNameError: error_texts.UNSAFE,
    errors.DiskError: error_texts.DISK,
    errors.ShareListError: error_texts.SHARE,
}


def kinds_of(error: type) -> set[str]:
    """Return the kinds of an error, which are a Literal; none where it has no kinds."""
    hints = typing.get_type_hints(error) if is_dataclass(error) else {}
    literals = [hint for hint in hints.values() if typing.get_origin(hint) is typing.Literal]
    return {*typing.get_args(literals[0])} if literals else set()


KINDS = {error: kinds_of(error) for error in ALL_ERRORS if kinds_of(error)}
# The code of a refusal is any text, because a later version of the other side may send a new one.
KINDS[errors.RefusedError] = {*re.findall(r'RefusedError\("([a-z-]+)"\)', CODE)}
FROM_OTHERS = {"unknown-verb", "a-code-of-tomorrow"}  # codes that no program of ours refuses with


def example(error: type, kind: str) -> object:
    """Make the error, with foreign text wherever there is text."""
    values = {"kind": kind, "reason": kind, "code": kind, "address": HERE}
    return error(*(values.get(field.name, FOREIGN) for field in fields(error)))


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
    assert is_a_sentence(describe_error(example(error, kind)))


@pytest.mark.parametrize("error", TABLES, ids=shown)
def test_every_kind_has_a_sentence_of_its_own_and_no_sentence_is_kept_without_a_kind(error):
    assert TABLES[error].keys() >= KINDS[error]
    assert TABLES[error].keys() - KINDS[error] <= FROM_OTHERS


@pytest.mark.parametrize("error", KINDS, ids=shown)
def test_no_kind_is_kept_that_nothing_raises(error):
    assert not [kind for kind in KINDS[error] if f'"{kind}"' not in CODE]


@pytest.mark.parametrize("kind", [kind for kind in ALL_ERRORS if kind not in KINDS], ids=shown)
def test_every_error_without_kinds_has_a_sentence(kind):
    for error in examples(kind):
        assert is_a_sentence(describe_error(error)), error


def test_what_is_told_of_a_tracker_depends_on_who_answered_in_its_place():
    def told(cause):
        return describe_error(errors.TrackerUnreachableError(HERE, cause))

    assert told(errors.ProtocolError("http")).startswith(
        "em 10.0.0.7:5455 há um programa que não é"
    )
    assert told(RefusedError("unknown-verb")).startswith("em 10.0.0.7:5455 há um peer, não o")
    assert told(RefusedError("full")).startswith("o tracker 10.0.0.7:5455 não aceitou: está lotado")
    assert told(ConnectionLostError("refused")).endswith(" 10.0.0.7 5455 -c diagnostico")


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
        (errors.ShareListError("unlisted", "a"), 5),
        (errors.ShareListError("taken", "a"), 2),
        (errors.PortUnavailableError(HERE, "denied"), 9),
        (errors.PortUnavailableError(HERE, "taken"), 2),
        (errors.InterruptedByUserError(), 130),
    ],
    ids=shown,
)
def test_a_program_that_ends_of_it_has_this_status(fact, status):
    assert fact.status == status


@pytest.mark.parametrize(
    ("bug", "said"),
    [
        (RuntimeError("can't start new thread"), "não dá mais threads"),
        (MemoryError(), "falta memória"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "falta memória"),
        (RuntimeError("x"), "erro interno: RuntimeError: x"),
    ],
)
def test_where_the_system_gives_no_more_it_is_no_bug_of_ours(bug, said):
    assert said in describe_bug(bug)
