"""Where this user's programs keep what they can make again."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path | None:
    """Return our folder in this user's cache, which may not be there yet; None without a home."""
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "rede-p2p"
