"""The pictures of the pages: they are what the programs say now, and show nothing of a machine."""

from __future__ import annotations

import html
import importlib.util
import re

import pytest
from conftest import ROOT
from rooms import no_homes

DOCS = ROOT / "docs"
PICTURES = sorted(DOCS.glob("*.svg"))
MAX_BYTES = 25_000
# What differs from run to run, and with the machine: rates, times, how far a bar is, which of two
# sources brought more.
CHANGES = re.compile(
    r"\S+:\d+(?= .*do que veio)"
    r"|\d+(,\d)? ([KMG]iB/s|ms|s\b|%)|\d+,\d [KMG]iB (?=de|livres)|faltam \d+:\d\d|[━─]*─[━─]*"
    r"|\d\d/\d\d/\d{4} \d\d:\d\d|Python [\d.]+|\d+\.\d+\.\d+ (?=\(protocolo)| +"
)

_spec = importlib.util.spec_from_file_location("retratos", DOCS / "retratos.py")
retratos = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(retratos)


def text_of(picture):
    """Return the lines that a picture shows."""
    rows = {}
    pattern = r'<text class="retrato-r\d+" [^>]*y="([^"]+)"[^>]*>([^<]*)</text>'
    for y, text in re.findall(pattern, picture.read_text(encoding="utf-8")):
        rows[y] = rows.get(y, "") + html.unescape(text).replace("\xa0", " ")
    return [row.rstrip() for row in rows.values() if row.strip()]


def lasting(lines):
    return [CHANGES.sub("·", line) for line in lines]


@pytest.mark.slow
@pytest.mark.skipif(bool(no_homes()), reason=f"nobody can have a machine here: {no_homes()}")
@pytest.mark.parametrize("scene", retratos.SCENES, ids=lambda scene: scene.__name__)
def test_a_picture_shows_what_the_programs_say_now(tmp_path, scene):
    for drawn in retratos.draw(scene, tmp_path):
        there, now = (text_of(folder / drawn.name) for folder in (DOCS, tmp_path))
        assert len(now) > 3
        assert lasting(now) == lasting(there), "draw them again: python3 docs/retratos.py"


def test_each_picture_has_a_place_in_a_page():
    pages = [*ROOT.glob("*.md"), *DOCS.glob("*.md")]
    shown = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert PICTURES and all(f"{picture.name})" in shown for picture in PICTURES)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_a_picture_is_small_and_names_no_machine_and_nothing_to_load(picture):
    drawn = picture.read_text(encoding="utf-8")
    assert len(drawn.encode()) < MAX_BYTES
    assert not re.search(r"@font-face|url\((?!#)|<script|href", drawn)
    shown = "\n".join(text_of(picture))
    paths = re.findall(r"(?<!\S)~?/\S+", shown)
    assert all(re.match(r"~/|/home/(ana|bruno|carla)/", path) for path in paths), paths
    addresses = re.findall(r"\d+\.\d+\.\d+\.\d+", shown)
    assert all(ip.startswith(("192.168.0.1", "127.0.0.1")) for ip in addresses)
