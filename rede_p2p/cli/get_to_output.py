"""``get … -``: one file to the standard output, for another program.

The file is fetched as ever, into the folder of downloads, so that a repetition goes on where it
stopped. Only when it has its final name is it written out, and each piece is verified once more as
it is read: not even what another program did to the file meanwhile goes out.
"""

from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from rede_p2p.cli import get_command, texts
from rede_p2p.cli.get_command import Failures
from rede_p2p.cli.session import Session
from rede_p2p.cli.shell import Command
from rede_p2p.content import disk, merkle
from rede_p2p.content.merkle import Content
from rede_p2p.content.on_windows import short
from rede_p2p.content.recheck_worker import recheck
from rede_p2p.download.transfer import Transfer
from rede_p2p.errors import BadUsageError, DiskError, RedeError

OUTPUT = "-"  # as the last word
STEP_BYTES = 1024 * 1024  # verified and written at once


def get(session: Session, command: Command) -> None:
    """Download as ``get_command.get`` does; where the last word says so, write the file out."""
    *words, last = command.words or ("",)
    if last != OUTPUT or not words:
        get_command.get(session, command)
        return
    if command.background or session.terminal.as_json or session.terminal.draws:
        raise BadUsageError("saida")
    get_command.get(session, command._replace(words=tuple(words)), _write_out)


def _write_out(session: Session, transfer: Transfer, failed: Failures) -> None:
    """Write the one file of a download to the standard output; raise its error."""
    for _, error in failed:
        raise error
    ((request, outcome),) = transfer.results.result()
    if isinstance(outcome, RedeError):
        raise outcome
    for data in _verified(session, Path(outcome.path), request.content):
        session.terminal.raw(data)
    length, path = texts.size(request.content.size), short(outcome.path)
    session.terminal.note(f"{request.name}: {length}, baixado e verificado; fica também em {path}")


def _verified(session: Session, path: Path, content: Content) -> Iterator[memoryview]:
    """Read a file that is that content; raise DiskError, before it is given, for what is not."""
    size = content.size
    layer = session.context.hash_cache.layer(str(path), content)
    if layer is None or merkle.root_of(layer, size) != content.root:
        raise DiskError(str(path), "changed")
    count, step = merkle.piece_count(size), max(1, STEP_BYTES // merkle.piece_length(size))
    runs = (range(at, min(at + step, count)) for at in range(0, count, step))
    with disk.translate_os_errors(path), BufferedReader(disk.open_regular(path)) as file:
        for right, data in recheck(file, size, merkle.split(layer), runs):
            if not all(right):
                raise DiskError(str(path), "changed")
            yield data
