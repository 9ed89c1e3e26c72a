"""A part of the tests once more, as on systems that lack what Linux has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import MASK, ROOT

PART = {
    "test_disk.py": "",
    "test_partial_file.py": "",
    "test_request_handler.py": "many_buyers or bytes_are_sent",
    "test_download.py": "changes_half or two_at_once or link or full or takes_no_more",
    "test_whole_folders.py": "hundreds or one_whose or one_that_another or room",
    "test_programs.py": "fetches_every_name",
    "test_in_a_terminal.py": "four_commands",
}


def file_of(name: str) -> Path:
    return next((ROOT / "tests").rglob(name))


@pytest.mark.parametrize(("name", "which"), PART.items())
def test_each_word_of_the_choice_is_in_the_name_of_a_test_or_of_a_case(name, which):
    text = file_of(name).read_text(encoding="utf-8")
    named = " ".join(re.findall(r'^def test_\w+|^ +"[^"]+":', text, re.MULTILINE))
    assert [word for word in which.split(" or ") if word not in named] == []


@pytest.mark.slow
@pytest.mark.skipif(MASK in sys.argv, reason="all of them are run so")
@pytest.mark.skipif(sys.platform == "win32", reason="nothing to mask")
def test_the_programs_work_without_what_linux_alone_has():
    chosen = " or ".join(
        f"({name} and ({which}))" if which else name for name, which in PART.items()
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", MASK, "-q", "-x", "-p", "no:cacheprovider"),
            *("--numprocesses=0", "-k", chosen, *map(str, map(file_of, PART))),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
