"""The empty folders of a download, which have no content to fetch."""

import os
from pathlib import Path

from rede_p2p.content import disk, inside, safe_names


def make(top: Path, name: str) -> None:
    """Make a folder under a public name in the download folder; leave one that is there.

    Raises UnsafeNameError, and DiskError: also where a link stands in its way, which is never
    followed, or another entry has the name.
    """
    path = top / safe_names.check_writable(name.rstrip("/"), top).replace("/", os.sep)
    with disk.translate_os_errors(path), inside.folder(str(top), str(path), make=True):
        pass
