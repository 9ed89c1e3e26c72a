"""The files behind the lines of the share list: of each one, or all in a folder. No state.

The state of a file in a folder is that of a file that is in it, and not behind a link. What is
opened later at its path is given only in that state: nothing from elsewhere is.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import inf
from pathlib import Path
from threading import Event as Flag
from typing import NamedTuple

from rede_p2p.content import disk, inside, on_windows, safe_names
from rede_p2p.content.disk import FileState
from rede_p2p.content.merkle import MAX_CONTENT_BYTES
from rede_p2p.errors import DiskError, UnsafeNameError
from rede_p2p.events import ListProblem
from rede_p2p.upload import list_file
from rede_p2p.upload.list_file import Line


class Share(NamedTuple):
    """One shared file: its public name, where it is, and its state when last looked at."""

    name: str
    path: str
    state: FileState
    folder: str | None = None  # the shared folder it is in, out of which no link is followed


@dataclass(frozen=True)
class View:
    """What one look at the disk found; replaced whole, so that readers need no lock."""

    looked_at: float = -inf  # on the monotonic clock, when the look began
    version: int = 0  # another one where something else, or in another order, is listed
    list_state: FileState | None = None
    lines: tuple[Line | ListProblem, ...] = ()
    shares: dict[str, Share] = field(default_factory=dict)  # by name
    by_path: dict[str, Share] = field(default_factory=dict)
    empty_folders: list[str] = field(default_factory=list)  # public names that end with "/"
    problems: list[ListProblem] = field(default_factory=list)
    cost_s: float = 0.0  # how long it took
    cpu_s: float = 0.0  # of the processor


def find(list_path: Path, line: Line) -> Iterator[Share | ListProblem | str]:
    """Yield the share of a line, or one for each file in the folder that it names.

    An empty folder in it is yielded as its public name with ``/`` at the end.
    """
    problem = partial(ListProblem, str(list_path), line.line)
    try:
        safe_names.check(line.name)
    except UnsafeNameError as error:
        yield problem(f"name-{error.kind}", line.name)
        return
    path = on_windows.long_path(list_file.find(list_path.parent, line.path))
    state = disk.file_state(path)
    if state is not None and os.access(path, os.R_OK):
        is_small = state.size <= MAX_CONTENT_BYTES
        yield Share(line.name, path, state) if is_small else problem("too-large", line.path)
    elif os.path.isdir(path):  # noqa: PTH112 - one of 10,000 lines
        yield from _in_folder(path, line.name, problem)
    elif state is not None:
        yield problem("denied", line.path)
    else:
        yield problem("not-file" if os.path.exists(path) else "missing", line.path)  # noqa: PTH110


def _in_folder(
    path: str, public: str, problem: Callable[[str, str], ListProblem]
) -> Iterator[Share | ListProblem | str]:
    refused: list[str] = []
    for found in _walk(path, public, refused):
        name, size = (found, 0) if isinstance(found, str) else (found.name, found.state.size)
        if not safe_names.is_safe(name.removesuffix("/")):
            yield problem("name-unsafe", name)
        elif size > MAX_CONTENT_BYTES:
            yield problem("too-large", name)
        else:
            yield found
    for refusal in refused:
        yield problem("denied", refusal)


def fill(view: View, list_path: Path, stopped: Flag) -> None:
    """Find the files of every line, unless the program ends."""
    for entry in view.lines:
        for share in [entry] if isinstance(entry, ListProblem) else find(list_path, entry):
            if stopped.is_set():
                return
            if isinstance(share, ListProblem):
                view.problems.append(share)
            elif isinstance(share, str):
                view.empty_folders.append(share)
            elif view.shares.setdefault(share.name, share) is not share:
                view.problems.append(ListProblem(str(list_path), entry.line, "twice", share.name))
            else:
                view.by_path.setdefault(share.path, share)  # of two names for one file, the first


def look_again(share: Share | None) -> Share | None:
    """Return a share in its present state, or None where no file is any more."""
    state = share and disk.file_state(share.path, links=share.folder is None)
    if not share or not state:
        return None
    if state == share.state:
        return share
    if share.folder is not None:
        state = inside.file_state(share.folder, share.path)
    return share._replace(state=state) if state else None


def _walk(top: str, public: str, refused: list[str]) -> Iterator[Share | str]:
    """Yield the files and the empty folders in a folder, under ``public/…``.

    Hidden entries, links, and what is neither a file nor a folder are left out. Folders that
    cannot be read are added to ``refused``.
    """
    waiting = [(top, public)]
    while waiting:
        folder, prefix = waiting.pop()
        inner, is_empty = [], True
        try:
            for name, status in inside.entries(top, folder):
                path, public_name = os.path.join(folder, name), f"{prefix}/{name}"  # noqa: PTH118
                if name.startswith("."):
                    continue
                if stat.S_ISREG(status.st_mode):
                    is_empty = False
                    yield Share(public_name, path, disk.state_of_status(status), top)
                elif stat.S_ISDIR(status.st_mode) and not on_windows.is_junction(status):
                    inner.append((path, public_name))
        except (OSError, DiskError):
            refused.append(folder)
            continue
        if is_empty and not inner:
            yield prefix + "/"
        waiting += reversed(inner)
