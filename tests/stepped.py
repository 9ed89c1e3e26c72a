"""A program of the project whose wall clock is set: ``stepped.py FILE hurried.py … Peers.py …``.

FILE has the seconds that the clock is ahead, or behind; it may change at any moment. What the
system itself stamps on files keeps the true time.
"""

from __future__ import annotations

import runpy
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> None:
    del sys.argv[0]
    ahead = Path(sys.argv.pop(0))
    real = time.time_ns

    def time_ns() -> int:
        return real() + int(float(ahead.read_text()) * 1e9)

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
