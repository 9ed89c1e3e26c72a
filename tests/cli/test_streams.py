"""The standard streams: what cannot be written is dropped, and the cause can be asked."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import ExitStack

import pytest

from rede_p2p.cli import streams


@pytest.fixture
def replaced(monkeypatch):
    """Return a function that makes a descriptor the standard output until the test ends."""
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    with ExitStack() as stack:

        def put(descriptor):
            stack.callback(os.close, descriptor)
            raw = io.FileIO(descriptor, "w", closefd=False)
            # As sys.__stdout__ does, the stack keeps the one that was there before.
            sys.stdout = stack.enter_context(io.TextIOWrapper(io.BufferedWriter(raw), "utf-8"))
            streams.open_all()

        yield put


def test_what_nobody_reads_is_dropped_and_the_cause_is_known(replaced):
    reader, writer = os.pipe()
    os.close(reader)
    replaced(writer)
    assert streams.loss() is None
    print("hello")  # noqa: T201
    sys.stdout.flush()
    assert isinstance(streams.loss(), BrokenPipeError)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_a_full_disk_is_the_cause_and_no_error(replaced):
    replaced(os.open("/dev/full", os.O_WRONLY))
    print("hello" * 5000)  # noqa: T201
    sys.stdout.flush()
    assert streams.loss().errno == errno.ENOSPC


def test_what_can_be_written_arrives_and_leaves_no_cause(replaced):
    reader, writer = os.pipe()
    replaced(writer)
    print("olá")  # noqa: T201
    assert os.read(reader, 100).decode() == "olá\n"
    assert streams.loss() is None
    os.close(reader)
