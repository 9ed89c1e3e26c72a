"""Examples of every error and of every event, for the tests of the sentences about them."""

from __future__ import annotations

import inspect
import itertools
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from conftest import ROOT

from rede_p2p import errors
from rede_p2p.errors import Address, ConnectionLostError, ProtocolError, RedeError, RefusedError
from rede_p2p.events import Summary

HERE = Address("10.0.0.7", 5455)
FOREIGN = "a{0}{x}{ %s [/] \\ “é”.txt"  # what format() or rich would trip over
SENTENCES = {
    ROOT / "rede_p2p" / name for name in ("errors.py", "cli/error_texts.py", "cli/texts.py")
}
CODE = "".join(  # without the sentences
    path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("*.py"), *(ROOT / "rede_p2p").rglob("*.py")]
    if path not in SENTENCES
)
ALL_ERRORS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, RedeError) and kind is not RedeError
]
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
SAMPLES = {  # of each type of field
    str: (FOREIGN, ""),
    int: (0, 7, 2**50),
    bool: (False, True),
    int | None: (None, 7),
    tuple[str, ...]: ((FOREIGN,), (FOREIGN, "")),
    Address: (HERE, Address("::1", 5456)),
    tuple[Address, ...]: ((HERE,), (HERE, Address("::1", 5456))),
    RedeError: CAUSES,
    RedeError | None: (None, *CAUSES),
    tuple[RedeError, ...]: ((), CAUSES[:1], CAUSES),
    Summary: (Summary((FOREIGN,), {HERE: 2**30}, frozenset(), 1.0),),
    BaseException: (ZeroDivisionError("x"),),
}


def examples(kind: type) -> Iterator[object]:
    """Make every combination of sample fields."""
    if not is_dataclass(kind):
        yield kind()
        return
    hints = typing.get_type_hints(kind)
    for values in itertools.product(*(SAMPLES[hints[field.name]] for field in fields(kind))):
        yield kind(*values)


def is_a_sentence(text: str) -> bool:
    return bool(text) and "erro interno" not in text and "\n" not in text and "{}" not in text


def shown(value: object) -> str:
    """Name a case of a test."""
    return value.__name__ if isinstance(value, type) else str(value)[:40]
