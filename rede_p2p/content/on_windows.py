"""What Windows alone needs: locks, files that others may rename, paths of more than 260 characters.

Elsewhere nothing is locked here, and the rest changes nothing. ctypes is imported
where it is used, because the other systems would pay for it at each start.
"""

import ntpath
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic

from rede_p2p.timeouts import DEFAULT

LOCKED_OFFSET_BYTES = 2**62  # far beyond any content: nobody else may read what is locked
RETRY_INTERVAL_S = 0.05  # between two attempts at a file that another program has open
HELD_ERRORS = (32, 33)  # Windows' numbers: another program has the file open, or locks it
_LOCK_NOW = 3  # LockFileEx: exclusively, and without waiting
_READ, _SHARE_ALL, _OPEN_EXISTING = 0x80000000, 7, 3  # CreateFile
_PATIENCE_S = DEFAULT.held_file_s if os.name == "nt" else 0.0
_PREFIX, _UNC_PREFIX = "\\\\?\\", "\\\\?\\UNC\\"


def lock(descriptor: int) -> None:
    """Lock an open file until it is closed; raise OSError, EACCES where a program has locked it.

    By LockFileEx, because ``msvcrt.locking`` moves the file's position to the byte it locks, which
    a file system may refuse.
    """
    if sys.platform != "win32":
        raise NotImplementedError
    import ctypes
    import msvcrt

    place = struct.pack("PPIIP", 0, 0, *divmod(LOCKED_OFFSET_BYTES, 2**32)[::-1], 0)
    handle = ctypes.c_void_p(msvcrt.get_osfhandle(descriptor))
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    overlapped = ctypes.create_string_buffer(place)
    if not kernel.LockFileEx(handle, _LOCK_NOW, 0, 1, 0, overlapped):
        raise ctypes.WinError(ctypes.get_last_error())


def open_shared(path: Path | str) -> int:
    """Open a file for reading while others rename or remove it; return the descriptor."""
    if sys.platform != "win32":
        raise NotImplementedError
    import _winapi
    import msvcrt

    handle = _winapi.CreateFile(os.fspath(path), _READ, _SHARE_ALL, 0, _OPEN_EXISTING, 0, 0)
    return msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY)


def when_free(act: Callable[[], object], patience_s: float = _PATIENCE_S) -> None:
    """Rename or remove a file: on Windows once no other program has it open.

    A virus scanner, or the search, opens each new file for a moment. Raises what the last attempt
    raised, once ``patience_s`` seconds have passed.
    """
    end, pause = monotonic() + patience_s, Event()
    while True:
        try:
            act()
        except PermissionError:
            if monotonic() >= end:
                raise
            pause.wait(RETRY_INTERVAL_S)
        else:
            return


def rename(path: str, final: str) -> bool:
    """Rename a file that we have closed; return False if the name is taken. Raises OSError."""
    try:
        when_free(lambda: os.rename(path, final))  # noqa: PTH104 - a name of thousands
    except FileExistsError:
        return False
    return True


def is_junction(status: os.stat_result) -> bool:
    """Tell whether what lstat tells is of a link that is no symbolic link: a junction."""
    # The bit that all links have (winnt.h, IsReparseTagNameSurrogate); os.walk() follows such
    # links before Python 3.12.
    return bool(getattr(status, "st_reparse_tag", 0) & 0x20000000)


def long_path(path: Path | str) -> str:
    """Return a path under which names of any length can be opened: on Windows ``\\\\?\\C:\\…``.

    Without it, only programs that an administrator lets do so may use more than 260 characters.
    """
    return extended(os.fspath(Path(path).absolute())) if os.name == "nt" else os.fspath(path)


def extended(path: str) -> str:
    """Return an absolute path of Windows in its long form; one that has a form of its own stays."""
    if path.startswith(("\\\\?\\", "\\\\.\\")):
        return path
    path = ntpath.normpath(path)
    return _UNC_PREFIX + path[2:] if path.startswith("\\\\") else _PREFIX + path


def short(path: str) -> str:
    """Return the path as a person types it."""
    if path.startswith(_UNC_PREFIX):
        return "\\\\" + path.removeprefix(_UNC_PREFIX)
    return path.removeprefix(_PREFIX)


def is_busy(error: OSError) -> bool:
    """Tell whether Windows refuses a file because another program has it open."""
    return getattr(error, "winerror", None) in HELD_ERRORS
