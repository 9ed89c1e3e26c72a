"""Disks on which fsync(2) fails, and folders in which no name can be made, under way."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import ExitStack, contextmanager

import pytest
from disks import ThinDisk
from rig import Awake, Watch, hurried, typed
from scenes import DATA, NAME, Scene
from sources import found_in, right_pieces
from terminals import Terminal

pytestmark = pytest.mark.slow

SMALL = {f"{number}.txt": bytes([number]) * 3000 for number in range(4)}


@pytest.fixture
def scene(tmp_path):
    with ExitStack() as stack:
        yield Scene(tmp_path, stack)


@pytest.fixture
def thin(tmp_path, tmp_path_factory):
    with ExitStack() as stack:
        disk = ThinDisk(tmp_path_factory.mktemp("disco"), tmp_path / "baixados", stack)
        shutil.rmtree(disk.top / "lost+found")
        yield disk


def test_what_a_disk_could_not_write_gets_no_name_and_is_fetched_again(thin, scene):
    menu = scene.menu()
    watch = scene.watching(menu)
    scene.begin(menu)
    thin.fill()
    said = typed(menu, "esperar")
    assert "erro de leitura ou gravação" in said or "não há espaço" in said, said
    assert NAME not in found_in(thin.top)
    watch.check()
    thin.free()
    scene.completes(menu)
    watch.check()
    menu.close()
    thin.forget()
    assert found_in(thin.top) == {NAME: DATA}


def test_small_files_that_a_disk_could_not_write_get_no_name(thin, tmp_path):
    with ExitStack() as stack:
        net = Awake(tmp_path / "rede")
        net.folder.mkdir()
        stack.callback(net.close)
        net.tracker()
        _, port = net.peer("--servir", files=SMALL)
        words = net.words("--nao-semear", files={}, downloads=thin.top)
        menu = Terminal(hurried(words), net.environment(), 200)
        stack.callback(menu.close)
        menu.prompts()
        watch = Watch(net.folder, thin.top, SMALL, (net.ip, net.port))
        watch.menu(menu)
        watch.begin()
        thin.fill()
        typed(menu, f"get {net.ip} {port} '*'")
        assert not set(found_in(thin.top)) & set(SMALL)
        watch.check()
        thin.free()
        typed(menu, f"get {net.ip} {port} '*'")
        watch.check()
        menu.close()
        thin.forget()
        assert found_in(thin.top) == SMALL


@contextmanager
def no_names_in(folder):
    """Have the system make, change and remove no name in a folder; open files go on."""
    made = subprocess.run(
        ["chattr", "+i", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(made.stderr)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(folder)], check=True)


@pytest.mark.skipif(shutil.which("chattr") is None, reason="there is no chattr here")
def test_where_no_name_can_be_made_all_that_came_is_kept_and_gets_its_name_later(scene):
    menu = scene.menu()
    watch = scene.watching(menu)
    scene.begin(menu)
    with no_names_in(scene.downloads):
        said = typed(menu, "esperar")
        assert "sem permissão" in said or "não permite" in said, said
        assert found_in(scene.downloads).keys() == {f"{NAME}.parte"}
        watch.check()
    assert len(right_pieces(scene.part, DATA)) == 49
    scene.seed.kill()  # nothing is missing
    scene.serve()
    scene.completes(menu)
    watch.check()
