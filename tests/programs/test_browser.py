"""A real browser in a real network: Chromium without a window opens the page, searches, downloads.

``python tests/programs/test_browser.py FOLDER`` writes the pictures that docs/ has.
"""

from __future__ import annotations

import random
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import pytest
from chromium import Chromium, missing
from processes import Programs, beside, converse, eventually, network

pytestmark = pytest.mark.skipif(missing() != "", reason=missing())

KINDS = ("pdf", "pptx", "zip", "mp4", "iso", "txt", "odt")
SUBJECTS = ("Aula", "Exercícios", "Prova", "Laboratório", "Slides", "Vídeo", "Manual", "Projeto")
ODD = "ç 🎉 <script>alert(1)<_script> '&amp;%2e#?;.bin"


def files() -> dict[str, bytes]:
    """Return two hundred files."""
    made = random.Random(3)
    named = {
        f"{SUBJECTS[n % 8]} {n // 8 + 1}.{KINDS[n % 7]}": made.randbytes(made.choice([99, 5000]))
        for n in range(198)
    }
    return {**named, ODD: made.randbytes(300_000), "grande.iso": made.randbytes(9_000_000)}


FILES = files()


@contextmanager
def a_network(folder: Path):
    """Yield the programs of a network of three peers, which share what there is among them."""
    with network(folder) as programs:
        programs.tracker()
        rows = list(FILES.items())
        for number, name in enumerate(("ana", "bruno", "carla"), start=1):
            own = dict(rows[(number - 1) * 66 : number * 66 + 10])
            words = ("--servir", "--nome", name)
            programs.peer(*words, ip=beside(programs.ip, number), files=own)
        question = b'search {"text": ""}\n'
        eventually(
            lambda: converse(programs.ip, programs.port, question).count(b'"root"') == len(FILES)
        )
        yield programs


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    with ExitStack() as stack:
        programs = stack.enter_context(a_network(tmp_path_factory.mktemp("network")))
        browser = stack.enter_context(Chromium(tmp_path_factory.mktemp("chromium")))
        yield programs, browser


def address(programs: Programs) -> str:
    return f"http://{programs.ip}:{programs.port}/"


def took(browser: Chromium, name: str) -> None:
    """Wait until a link that was clicked has brought a file, and compare it."""
    begun = browser.wait("Browser.downloadWillBegin")
    end = {"state": "inProgress"}
    while end["state"] == "inProgress":
        end = browser.wait("Browser.downloadProgress", guid=begun["guid"])
    assert end["state"] == "completed"
    (got,) = browser.downloads.iterdir()
    assert got.read_bytes() == FILES[name]
    got.unlink()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
@pytest.mark.parametrize(
    ("typed", "name"), [("grande", "grande.iso"), ("<SCRIPT>", ODD), ("prova 1.", "Prova 1.zip")]
)
def test_a_person_looks_for_a_file_and_takes_it(shown, scripts, typed, name):
    programs, browser = shown
    browser.ask("Emulation.setScriptExecutionDisabled", value=not scripts)
    browser.open(address(programs))
    assert len(browser.texts("tbody th")) == len(FILES) + 3
    browser.click("#busca")
    browser.type(typed)
    browser.wait("Page.loadEventFired")
    assert browser.texts("#arquivos ~ table tbody th") == [name]
    browser.click("#arquivos ~ table tbody a")
    took(browser, name)


def test_the_page_shows_what_there_is_and_breaks_no_rule(shown):
    programs, browser = shown
    for width, is_phone in ((390, True), (1100, False)):
        browser.looks(width, 800, phone=is_phone)
        browser.open(address(programs))
        assert sorted(browser.texts("#arquivos ~ table tbody th")) == sorted(FILES)
        assert browser.texts("#peers ~ table tbody th") == ["ana", "bruno", "carla"]
        size = browser.ask("Page.getLayoutMetrics")["cssContentSize"]
        assert size["width"] <= width  # nothing sticks out at the side
    assert browser.events("Log.entryAdded") == []  # as of a policy that forbids something
    asked = {one["request"]["url"] for one in browser.events("Network.requestWillBeSent")}
    assert all(one.startswith((address(programs), f"http://{programs.ip[:4]}")) for one in asked)


def test_tab_reaches_the_way_to_the_files_first(shown):
    programs, browser = shown
    browser.open(address(programs))
    browser.press("Tab")
    assert browser.texts(":focus-visible") == ["Ir para os arquivos"]
    browser.press("Enter", "\r")
    assert browser.texts("h2:target") == ["Arquivos"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as all_of_it:
        running = all_of_it.enter_context(a_network(Path(scratch)))
        chromium = all_of_it.enter_context(Chromium(Path(scratch) / "chromium"))
        for title, wide, high, scheme in (
            ("pagina-celular", 390, 700, "light"),
            ("pagina-mesa", 900, 560, "dark"),
        ):
            chromium.looks(wide, high, scheme, phone=wide < 500)
            chromium.open(f"{address(running)}?busca=prova")
            Path(sys.argv[1], f"{title}.png").write_bytes(chromium.screenshot())
