"""The wall clock of every program is set, back or ahead: nothing is measured by it.

What reads it is how long ago a file was changed, which the system has stamped by the true time.
"""

from __future__ import annotations

import signal
from contextlib import ExitStack

import pytest
from processes import eventually
from rig import listed_ports, typed
from scenes import DATA, NAME, OTHER, Scene
from sources import found_in

pytestmark = pytest.mark.slow

STEPS = {"an hour back": -3600, "thirty years back": -946_684_800, "a day ahead": 86_400}
steps = pytest.mark.parametrize("seconds", STEPS.values(), ids=STEPS)


class Clock:
    """The clock of the programs of a scene."""

    def __init__(self, folder):
        self.file = folder / "relogio"
        self.set(0)

    def set(self, seconds):
        new = self.file.with_suffix(".novo")
        new.write_text(str(seconds))
        new.replace(self.file)


@pytest.fixture
def clock(tmp_path_factory):
    return Clock(tmp_path_factory.mktemp("relogio"))


@pytest.fixture
def scene(tmp_path, clock):
    with ExitStack() as stack:
        yield Scene(tmp_path, stack, ["tests/stepped.py", str(clock.file)])


@steps
def test_a_clock_that_is_set_under_way_disturbs_nothing(scene, clock, seconds):
    menu, watch = scene.downloading()
    ports = listed_ports(*scene.tracker_address())
    clock.set(seconds)
    said = typed(menu, "esperar")
    assert found_in(scene.downloads) == {NAME: DATA}, said
    watch.check()
    assert "já estava" in typed(menu, f"get {NAME}")
    assert listed_ports(*scene.tracker_address()) == ports
    clock.set(0)
    assert "já estava" in typed(menu, f"get {NAME}")
    watch.check()


@steps
def test_a_shared_file_that_is_another_after_the_clock_was_set_is_announced_as_it_is(
    scene, clock, seconds
):
    menu = scene.menu()
    clock.set(seconds)
    before = scene.found()
    scene.shared.write_bytes(OTHER)
    eventually(lambda: NAME.encode() in scene.found() and scene.found() != before)
    clock.set(0)
    scene.completes(menu, OTHER)
    before = scene.found()
    clock.set(seconds)
    (scene.downloads / NAME).unlink()
    scene.shared.write_bytes(DATA)
    eventually(lambda: NAME.encode() in scene.found() and scene.found() != before)
    scene.completes(menu)


@steps
def test_one_who_is_killed_before_the_clock_is_set_goes_on_where_it_was(scene, clock, seconds):
    menu = scene.menu()
    scene.begin(menu)
    menu.signal(signal.SIGKILL)
    menu.close()
    eventually(lambda: len(listed_ports(*scene.tracker_address())) == 1)
    clock.set(seconds)
    other = scene.menu()
    watch = scene.watching(other)
    scene.completes(other)
    watch.check()
