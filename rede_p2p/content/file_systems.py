"""The kind of file system that a folder is on, which Linux alone tells."""

import os
from contextlib import suppress
from pathlib import Path

from rede_p2p.content import disk

MAX_FAT_FILE_BYTES = 2**32 - 1  # FAT, of most pen drives, has only files of less than 4 GiB
_MOUNTS = Path("/proc/self/mountinfo")  # see proc_pid_mountinfo(5)


def kind_of(device: int) -> str:
    """Return the kind of the file system with this ``st_dev``; "" where it is not known."""
    with suppress(OSError, AttributeError):
        place = f" {os.major(device)}:{os.minor(device)} "
        for line in _MOUNTS.read_text(errors="replace").splitlines():
            if place in line:
                return line.partition(" - ")[2].split()[0]
    return ""


def is_fat(folder: Path) -> bool:
    """Tell whether a folder, or its nearest parent that exists, is known to be on FAT."""
    with suppress(OSError):
        return kind_of(disk.nearest(folder).stat().st_dev) in ("vfat", "msdos")
    return False
