"""The file ``meus_arquivos.txt`` rewritten: one line more, or some less.

Comments, order, encoding and line ends of all other lines stay, byte by byte. The new list grows in
the partial file beside the old one, is flushed, and takes its place by one rename: a crash leaves
the one or the other. A locked file beside them keeps out other programs that rewrite the list: the
partial file cannot, because Windows renames no open file.
"""

import os
import re
import stat
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event
from time import monotonic

from rede_p2p.content import disk, on_windows, safe_names
from rede_p2p.content.partial_file import PartialFile
from rede_p2p.content.safe_names import path_of
from rede_p2p.errors import DiskError, ShareListError
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.upload import list_file
from rede_p2p.upload.list_file import Line

RETRY_INTERVAL_S = 0.01  # between two attempts while another program rewrites the list
MAX_ATTEMPTS = 5  # while an editor writes the list beside us
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_CODECS = {  # by the mark at the beginning; those errors give back the same bytes
    BOM_UTF16_LE: ("utf-16-le", "surrogatepass"),
    BOM_UTF16_BE: ("utf-16-be", "surrogatepass"),
    BOM_UTF8: ("utf-8", "surrogateescape"),
    b"": ("utf-8", "surrogateescape"),
}

Change = Callable[[list[str], list[Line]], list[str]]  # of texts with their ends, and what they say


def find_path(typed: str) -> str:
    """Return the absolute path of a file or folder to share, typed or dragged into the terminal.

    Raises DiskError where nothing is there, or nothing that can be shared.
    """
    if "\0" in typed:
        raise DiskError(typed, "missing")
    with disk.translate_os_errors(typed):
        path = list_file.find(Path.cwd(), typed)
        status = os.stat(on_windows.long_path(path))  # noqa: PTH116 - the path is text
        plain = os.path.abspath(path)  # noqa: PTH100
        if _is_same(path, plain):  # else its ``..`` leads out of a link
            path = plain
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise DiskError(path, "not-file")
    if not os.access(path, os.R_OK):
        raise DiskError(path, "denied")
    return path


def add(list_path: Path, name: str, path: str, timeouts: Timeouts = DEFAULT) -> bool:
    """Add a line for the file or folder at an absolute path; return False if it was there.

    Raises UnsafeNameError, ShareListError, or DiskError where the list cannot be written.
    """
    line = _spell(safe_names.check(name), _seen_from(list_path.absolute().parent, path))

    def change(texts: list[str], lines: list[Line]) -> list[str]:
        same = safe_names.matching(name, [line.name for line in lines])
        paths = [list_file.find(list_path.parent, line.path) for line in lines if line.name in same]
        if paths and not _is_same(paths[0], path):
            raise ShareListError("taken", name)
        return texts if paths else _append(texts, line)

    return _rewrite(list_path, change, timeouts)


def remove(list_path: Path, name: str, timeouts: Timeouts = DEFAULT) -> list[str]:
    """Take away every line of that name, as it is or looks; return those names, none if none has.

    Raises DiskError where the list cannot be written.
    """
    removed: list[str] = []

    def change(texts: list[str], lines: list[Line]) -> list[str]:
        removed[:] = safe_names.matching(name.rstrip("/"), [line.name for line in lines])
        gone = {line.line for line in lines if line.name in removed}
        return [text for number, text in enumerate(texts, start=1) if number not in gone]

    _rewrite(list_path, change, timeouts)
    return list(dict.fromkeys(removed))


def _seen_from(folder: Path, path: str) -> str:
    """Return how a list in a folder names a path: one inside goes along when that is moved."""
    with suppress(ValueError):
        return f"./{Path(path).relative_to(folder).as_posix()}"
    return path


def _spell(name: str, path: str) -> str:
    """Return a line that is read as that name and path; raise ShareListError where none is."""
    for shown in (name, f'"{name}"', name.replace(" ", "\\ ")):
        for place in (path, f'"{path}"'):
            with suppress(UnicodeEncodeError):
                if [*list_file.parse("", f"{shown} {place}".encode())] == [Line(1, name, path)]:
                    return f"{shown} {place}"
    raise ShareListError("no-line", f"{name} {path}")


def _append(texts: list[str], line: str) -> list[str]:
    """Add a line with the list's own line end, also to a last line that has none."""
    ends = [text[len(text.rstrip("\r\n")) :] for text in texts]
    end = next(filter(None, ends), os.linesep)
    if texts and not ends[-1]:
        texts = [*texts[:-1], texts[-1] + end]
    return [*texts, line + end]


def _is_same(path: str, other: str) -> bool:
    with suppress(OSError, ValueError):
        return Path(path).samefile(other)
    return False


def _rewrite(list_path: Path, change: Change, timeouts: Timeouts) -> bool:
    """Change the list on the disk; return False where the change makes no difference."""
    target = Path(on_windows.long_path(os.path.realpath(list_path)))  # a link stays one
    with _lock(target, timeouts) as lock:
        try:
            return _rewrite_locked(target, change)
        finally:
            if os.name == "nt":
                lock.close()  # Windows removes no open file; elsewhere the lock stays
            with suppress(OSError):  # another program waits for it, and removes it
                lock.path.unlink()


def _rewrite_locked(target: Path, change: Change) -> bool:
    with PartialFile(path_of(target)) as partial:
        try:
            for _ in range(MAX_ATTEMPTS):
                before = _status(target)
                old = list_file.load(target) if before else b""
                new = _changed(target, old, change)
                if new == old:
                    partial.discard()
                    return False
                if before and not os.access(target, os.W_OK):
                    raise DiskError(str(target), "denied")
                _fill(partial, new, before)
                if disk.file_state(target) == (before and disk.state_of_status(before)):
                    _replace(partial, target)
                    return True
            raise DiskError(str(target), "in-use")
        except BaseException:
            with suppress(DiskError):
                partial.discard()
            raise


def _changed(target: Path, old: bytes, change: Change) -> bytes:
    """Return the bytes of the list after the change."""
    mark = next(mark for mark in _CODECS if old.startswith(mark))
    codec, errors = _CODECS[mark]
    try:
        text = old.removeprefix(mark).decode(codec, errors)
    except UnicodeDecodeError:  # cut in a character
        raise DiskError(str(target), "not-list") from None
    lines = [line for line in list_file.parse(str(target), old) if isinstance(line, Line)]
    return mark + "".join(change(_LINES.findall(text), lines)).encode(codec, errors)


def lock_path(target: Path) -> Path:
    """Return the file that a program locks while it rewrites the list."""
    return path_of(target.with_name(f"{target.name}~"))


def _lock(target: Path, timeouts: Timeouts) -> PartialFile:
    """Open and lock that file, once no other program has; raise DiskError about the list."""
    end, pause = monotonic() + timeouts.list_edit_s, Event()
    while True:
        try:
            return PartialFile(lock_path(target))
        except DiskError as error:
            if error.kind != "busy":
                raise DiskError(str(target), error.kind, error.detail) from error
            if monotonic() >= end:
                raise DiskError(str(target), "in-use") from error
        pause.wait(RETRY_INTERVAL_S)


def _status(target: Path) -> os.stat_result | None:
    """Return what the system tells of the list, or None where there is none yet."""
    with disk.translate_os_errors(target), suppress(FileNotFoundError):
        return target.stat()
    return None


def _fill(partial: PartialFile, data: bytes, before: os.stat_result | None) -> None:
    """Write the new list to the disk, with the permissions and, where we may, the owner it had."""
    partial.write_whole(data)
    if before and os.name != "nt":
        with suppress(OSError):
            os.fchown(partial.fileno(), before.st_uid, before.st_gid)
        with suppress(OSError):
            os.fchmod(partial.fileno(), stat.S_IMODE(before.st_mode))
    partial.flush()


def _replace(partial: PartialFile, target: Path) -> None:
    if os.name == "nt":
        partial.close()
    with disk.translate_os_errors(target):
        on_windows.when_free(lambda: partial.path.replace(target))
    disk.sync_folder(target.parent)
