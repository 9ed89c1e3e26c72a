"""Draw docs/*.svg, the pictures of the pages, from real programs: ``python3 docs/retratos.py``.

Three people start the programs on machines of their own (Linux namespaces), with the addresses
192.168.0.10 and on; what stands on their screens is drawn, and nothing else. Needs what the tests
need. ``tests/programs/test_retratos.py`` compares the pictures with what the programs say now.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import groupby
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from pyte.screens import Char  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.style import Style  # noqa: E402
from rich.text import Text  # noqa: E402
from rooms import Person, Room  # noqa: E402
from terminals import Terminal  # noqa: E402

SERVES = ("python3", "Peers.py", "--servir", "--limite", "4M")
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # a picture has the font of its reader
COLOURS = {"brown": "yellow", "brightbrown": "bright_yellow"}  # pyte's word: rich's
Drawn = Iterator[tuple[str, str]]  # the name of a picture, and its SVG


def fetch_a_folder(ana: Person, bruno: Person, _: Person) -> Drawn:
    """One opens a network and shares a folder; the other finds it and fetches."""
    for number in range(1, 4):
        ana.has(f"fotos/praia {number}.jpg", bytes([number]) * 900_000)
    bruno.shares()
    with at(ana) as first, at(bruno) as second:
        first.press("python3 Peers.py\r")
        first.enter("compartilhar ~/fotos")
        second.press("python3 Peers.py\r")
        for typed in ("peers", "ls ana", "get ana fotos/"):
            second.enter(typed)
        second.prompts()
        yield "baixar", picture(second, "bruno, na máquina 192.168.0.11")
        first.shows(r"^entrou 192.*\n192.*baixou")
        first.prompts()
        yield "abrir", picture(first, "ana, na máquina 192.168.0.10")


def fetch_from_two(ana: Person, bruno: Person, carla: Person) -> Drawn:
    """A file comes from two at once."""
    carla.shares()
    with ExitStack() as stack:
        stack.enter_context(closing(ana.start("python3", "Servidor.py"))).says("Ctrl-C encerra")
        for one, tracker in ((ana, "127.0.0.1"), (bruno, "192.168.0.10")):
            one.has("aula.iso", bytes(range(256)) * 94_000)
            one.shares("aula.iso ~/aula.iso")
            peer = stack.enter_context(closing(one.start(*SERVES, tracker)))
            peer.says("minha porta")
        third = stack.enter_context(at(carla, 100))
        third.press("python3 Peers.py\r")
        third.prompts()
        while "│ 2 " not in third.enter("buscar aula"):  # the second is not announced yet
            third.enter("")
        third.press("get aula.iso\r")
        third.shows("2 fontes .* [23]. %")
        yield "barra", picture(third, "carla, na máquina 192.168.0.12")


def ask_why(_ana: Person, bruno: Person, _: Person) -> Drawn:
    """The tracker is not there, and it is told why and what to do."""
    with at(bruno, 100) as second:
        second.press("python3 Peers.py 192.168.0.10 -c diagnostico\r")
        second.shows(r"^conselho.*\n(.*\n)*\$")
        yield "diagnostico", picture(second, "bruno, na máquina 192.168.0.11")


SCENES = (fetch_a_folder, fetch_from_two, ask_why)


def draw(scene: Callable[[Person, Person, Person], Drawn], folder: Path) -> list[Path]:
    """Play a scene and draw its pictures into a folder; return their paths."""
    drawn = []
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        room = Room(stack, "eth0")
        ips = {"ana": "192.168.0.10", "bruno": "192.168.0.11", "carla": "192.168.0.12"}
        people = [Person(Path(place), room.machine(ip), name) for name, ip in ips.items()]
        room.settle()
        for name, svg in scene(*people):
            drawn.append(folder / f"{name}.svg")
            drawn[-1].write_text(svg, encoding="utf-8")
    return drawn


@contextmanager
def at(person: Person, columns: int = 80) -> Iterator[Terminal]:
    """Open a terminal for somebody, with a shell."""
    shell = Terminal(["sh"], person.environment, columns, person.prefix)
    with closing(shell):
        shell.shows(r"^\$")
        yield shell


def picture(terminal: Terminal, title: str) -> str:
    """Draw what stands in a terminal, as an SVG."""
    rows = terminal.rows()
    drawn = Console(record=True, width=len(rows[0]), file=io.StringIO(), color_system="truecolor")
    for row in rows:
        line = Text(no_wrap=True, end="")
        for style, chars in groupby(row, _style):
            line.append("".join(char.data for char in chars), style)
        line.rstrip()
        drawn.print(line)
    return FONTS.sub("", drawn.export_svg(title=title, unique_id="retrato"))


def _style(char: Char) -> Style:
    """Return the style of a character on pyte's screen, in rich's words."""
    colour = COLOURS.get(char.fg, char.fg.replace("bright", "bright_"))
    if re.fullmatch("[0-9a-f]{6}", colour):
        colour = f"#{colour}"
    return Style(color=colour, bold=char.bold, italic=char.italics)


if __name__ == "__main__":
    for one in SCENES:
        draw(one, DOCS)
