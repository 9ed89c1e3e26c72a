"""Crowds of strangers, and of those who download: nobody is wronged, and strangers go."""

from __future__ import annotations

import re
import resource
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow

PATIENCE = 140.0  # seconds for what takes thirty
DESCRIPTORS = 4096


def test_dribblers_go_while_thousands_are_served_and_all_downloads_at_once_are_exact():
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < DESCRIPTORS:
        pytest.skip(f"this system grants no {DESCRIPTORS} descriptors")
    words = [sys.executable, ROOT / "tests" / "benchmarks" / "load.py", "--mib", "2"]
    bench = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=ROOT
    )
    assert bench.returncode == 0, bench
    assert "500 fechadas" in bench.stdout and "64 exatos" in bench.stdout, bench
    assert re.search(r"p99 .* ms", bench.stdout) and re.search(r"\d+ KiB", bench.stdout), bench
