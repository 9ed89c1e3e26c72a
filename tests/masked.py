"""The project as on systems that lack what Linux has: no sendfile, no flock, no readline …

``mask()`` imports the project again with those hidden from it, and from nobody else: the tests'
own tools keep the real ones. As a program, it runs one of ours so: ``masked.py Peers.py …``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import runpy
import struct
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
HIDDEN = frozenset(
    {
        *("sendfile", "splice", "pwrite", "pwritev", "pread", "preadv", "copy_file_range"),
        *("posix_fallocate", "posix_fadvise", "sync", "O_DIRECT"),
        *("O_TMPFILE", "O_NOFOLLOW", "O_NONBLOCK", "O_DIRECTORY", "O_CLOEXEC"),
    }
)
ABSENT = ("readline", "fcntl", "mmap")


class _Os(ModuleType):
    """The module ``os`` without what is hidden."""

    def __getattr__(self, name: str) -> object:
        if name in HIDDEN:
            raise AttributeError(name)
        return getattr(os, name)


def _windows_lock(descriptor: int) -> None:
    """Stand in for ``on_windows.lock``: it belongs to a handle, and is on a byte far away."""
    import fcntl

    on_windows = importlib.import_module("rede_p2p.content.on_windows")
    far = on_windows.LOCKED_OFFSET_BYTES
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, far, 1, 0)
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)


def mask() -> None:
    """Hide them from the project for as long as this process lives."""
    sys.path.insert(0, str(ROOT))
    _import_all()  # with all that they import, which is to stay as it is
    for name in [name for name in sys.modules if _is_ours(name)]:
        del sys.modules[name]
    hidden = {"os": _Os("os"), **dict.fromkeys(ABSENT)}
    kept = {name: sys.modules[name] for name in hidden if name in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type]  # None: it is not there
    try:
        _import_all()
    finally:
        for name in hidden:
            del sys.modules[name]
        sys.modules.update(kept)
    if importlib.util.find_spec("fcntl"):
        importlib.import_module("rede_p2p.content.on_windows").lock = _windows_lock


def _import_all() -> None:
    package = importlib.import_module("rede_p2p")
    for module in pkgutil.walk_packages(package.__path__, "rede_p2p."):
        importlib.import_module(module.name)
    for name in ("Servidor", "Peers"):
        importlib.import_module(name)


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in ("rede_p2p", "Peers", "Servidor")


if __name__ == "__main__":
    mask()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
