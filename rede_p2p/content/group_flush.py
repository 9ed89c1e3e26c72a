"""The flush of many small files by one syncfs(2): one commit of the disk, not one for each file.

It also waits for what other programs wrote, so it is used only while little of that awaits the
disk. Where it cannot be used, or tells of an error, each file has to be flushed by itself.
"""

import functools
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from rede_p2p.content import file_systems

MAX_OTHERS_BYTES = 16 * 1024 * 1024  # written by other programs, and not on the disk yet
_DURABLE = ("ext4", "xfs", "f2fs", "tmpfs")  # where it flushes the disk too, as FUSE's does not
_MEMORY = Path("/proc/meminfo")  # see proc_meminfo(5)


def is_worth_it(our_bytes: int) -> bool:
    """Tell whether little but ``our_bytes`` of ours awaits the disk."""
    if _syncfs() is None:
        return False
    with suppress(OSError, ValueError, IndexError):
        lines = _MEMORY.read_text().splitlines()
        kib = [int(ln.split()[1]) for ln in lines if ln.startswith(("Dirty:", "Writeback:"))]
        return len(kib) == 2 and sum(kib) * 1024 <= our_bytes + MAX_OTHERS_BYTES
    return False


def flush(files: Iterable[tuple[int, int]]) -> bool:
    """Make open files durable; False where each has to be flushed by itself.

    Given are the descriptor of each and the number of its file system, in the order in which they
    were opened: the system tells the first of each file system of every error since.
    """
    with suppress(OSError):
        first_on: dict[int, int] = {}
        for descriptor, device in files:
            first_on.setdefault(device, descriptor)
        syncfs = _syncfs()
        return syncfs is not None and all(
            _kind_of(device) in _DURABLE and syncfs(first) == 0
            for device, first in first_on.items()
        )
    return False


_kind_of = functools.lru_cache(maxsize=16)(file_systems.kind_of)


@functools.cache
def _syncfs() -> Callable[[int], int] | None:
    """Return the function of the C library; None where there is none that tells of errors."""
    if sys.platform == "linux":
        with suppress(ImportError, AttributeError, ValueError):
            import ctypes  # takes long, and a single file does not need it

            release = os.uname().release.split(".")
            if (int(release[0]), int(release[1])) >= (5, 8):  # before, it told of none
                found: Callable[[int], int] = ctypes.CDLL(None).syncfs
                return found
    return None
