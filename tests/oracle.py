"""libtorrent, which tells what a .torrent means independently of us.

It must be there on every Python for which it is built; beyond, the tests that ask it are skipped.
"""

from __future__ import annotations

import sys

import pytest

try:
    import libtorrent
except ModuleNotFoundError:
    if sys.version_info < (3, 14):
        raise
    libtorrent = None

needs_libtorrent = pytest.mark.skipif(
    libtorrent is None, reason="libtorrent is built up to Python 3.13"
)
