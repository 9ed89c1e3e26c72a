"""FAT, the file system of most pen drives, whose files have less than 4 GiB."""

import os
from contextlib import suppress
from pathlib import Path

from rede_p2p.content import disk

MAX_FILE_BYTES = 2**32 - 1
_MOUNTS = Path("/proc/self/mountinfo")  # see proc_pid_mountinfo(5)


def is_fat(folder: Path) -> bool:
    """Tell whether a folder is known to be on FAT, which Linux alone tells."""
    with suppress(OSError, AttributeError):
        device = disk.nearest(folder).stat().st_dev
        place = f" {os.major(device)}:{os.minor(device)} "
        for line in _MOUNTS.read_text(errors="replace").splitlines():
            if place in line:
                return line.partition(" - ")[2].split()[0] in ("vfat", "msdos")
    return False
