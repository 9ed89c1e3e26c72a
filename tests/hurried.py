"""One of our programs with other deadlines: ``hurried.py heartbeat_s=0.5 … Peers.py …``.

For tests of what comes after a deadline, not of how long it is.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rede_p2p import timeouts  # before any module that uses them


def main() -> None:
    del sys.argv[0]
    shorter: dict[str, float] = {}
    while "=" in sys.argv[0]:
        name, _, seconds = sys.argv.pop(0).partition("=")
        shorter[name] = float(seconds)
    timeouts.DEFAULT = timeouts.DEFAULT._replace(**shorter)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
