"""The lines of the bars: the whole, the file that comes now, each source."""

from __future__ import annotations

from dataclasses import replace

from rede_p2p.cli.progress import MAX_SOURCE_LINES, RATE_WINDOW_S, BarLines, Pace, fullness
from rede_p2p.errors import Address
from rede_p2p.events import Progress

MIB = 2**20


def test_a_rate_is_that_of_the_last_seconds_alone():
    pace = Pace(0, 100.0)
    assert pace.rate(0, 100.0) == 0
    assert pace.rate(500, 101.0) == 500
    assert pace.rate(500, 102.0) == 250
    for second in range(1, 11):
        last = pace.rate(500 + 10 * second, 102.0 + second)
    assert RATE_WINDOW_S < 10 and last == 10


def test_a_rate_begins_with_what_came_since_one_looks():
    assert Pace(10**9, 7.0).rate(10**9 + 4, 9.0) == 2


NOTHING = Progress()


def lines_of(names, now, began=NOTHING):
    return BarLines(names, began, 100.0).at(now, 101.0)


def test_one_file_of_one_source_is_one_line():
    now = Progress(3 * MIB, 10 * MIB, sources=1, by_source=((Address("10.0.0.2", 5455), 3 * MIB),))
    (line,) = lines_of(["aula.iso"], now)
    assert line.name == "aula.iso" and line.full == 0.3
    assert line.figures == ["3,0 MiB de 10,0 MiB", "3,0 MiB/s", "faltam 0:02", "30 %"]


def test_of_several_files_the_one_that_comes_now_has_a_line():
    part = Progress(MIB, 4 * MIB, name="b.iso")
    now = Progress(5 * MIB, 8 * MIB, files_done=1, files=2, part=part)
    whole, file = lines_of(["a.iso", "b.iso"], now)
    assert whole.name == "2 arquivos" and "1/2 arquivos" in whole.figures
    assert (file.name, file.full) == ("  b.iso", 0.25)
    assert file.figures == ["1,0 MiB de 4,0 MiB", "25 %"]


def test_each_of_several_sources_has_a_line_those_that_brought_most_first():
    addresses = [Address("10.0.0.2", 5455 + n) for n in range(MAX_SOURCE_LINES + 3)]
    brought = tuple((address, MIB * (n + 1)) for n, address in enumerate(addresses))
    now = Progress(28 * MIB, 100 * MIB, sources=7, by_source=brought)
    _, *sources, more = lines_of(["aula.iso"], now)
    assert [line.name for line in sources] == [f"  {a}" for a in addresses[:2:-1]]
    assert sources[0].figures == ["7,0 MiB/s", "25 % do que veio"]
    assert (more.name, more.full, more.figures) == ("  … e mais 3", None, ())


def test_a_file_without_its_final_name_is_never_at_100_percent():
    now = Progress(10 * MIB, 10 * MIB)
    (line,) = lines_of(["aula.iso"], now)
    assert line.figures == ["10,0 MiB de 10,0 MiB", "gravando no disco", "99 %"]
    assert fullness(now) < 1
    assert fullness(Progress()) == 0


def test_a_rate_counts_nothing_that_was_here_before_one_looks():
    kept = Progress(8 * MIB, 10 * MIB, kept=5 * MIB, by_source=((Address("h", 1), 3 * MIB),))
    now = replace(kept, have=9 * MIB, by_source=((Address("h", 1), 4 * MIB),))
    (line,) = lines_of(["aula.iso"], now, began=kept)
    assert "1,0 MiB/s" in line.figures
