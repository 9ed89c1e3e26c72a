"""Programs that die, sleep or are replaced; disks that fill; shared files that change under way."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from threading import Event, Thread

import pytest
from processes import PATIENCE, Machine, beside, converse, eventually, machines
from rig import ANSWER_S, Awake, Use, hurried, listed_ports, settled, typed
from scenes import DATA, NAME, OTHER, QUICK, Scene
from sources import found_in
from terminals import Terminal

pytestmark = pytest.mark.slow


@pytest.fixture
def scene(tmp_path):
    with ExitStack() as stack:
        yield Scene(tmp_path, stack)


@contextmanager
def stranger_at(ip, port, said):
    """Have another program on a port, which says the same to everybody."""
    made, left = [], Event()

    def bind():
        with suppress(OSError):
            made.append(socket.create_server((ip, port)))
        return made

    eventually(bind)
    server = made[0]
    server.settimeout(0.1)

    def accept():
        while not left.is_set():
            with suppress(OSError):
                sock, _ = server.accept()
                with sock:
                    sock.sendall(said)
                    sock.recv(100)

    thread = Thread(target=accept)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join(PATIENCE)
        server.close()


STRANGERS = {
    "a web server": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "noise": bytes(range(128, 256)) * 10,
    "one who hangs up": b"",
}
strangers = pytest.mark.parametrize("said", STRANGERS.values(), ids=STRANGERS)


# The seed.


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_a_seed_that_dies_is_told_and_gone_on_from_when_it_is_back(scene, number):
    menu, watch = scene.downloading()
    scene.seed.process.send_signal(number)
    scene.seed.process.wait(PATIENCE)
    typed(menu, "esperar")
    watch.check()
    eventually(lambda: scene.port not in listed_ports(*scene.tracker_address()))
    assert scene.part.exists()
    _, scene.port = scene.serve("--limite", "10M")
    eventually(lambda: NAME.encode() in scene.found())
    scene.completes(menu)
    watch.check()


def test_a_seed_that_sleeps_is_given_up_and_used_again_when_it_wakes(scene):
    menu, watch = scene.downloading()
    scene.seed.process.send_signal(signal.SIGSTOP)
    typed(menu, "esperar")
    watch.check()
    scene.seed.process.send_signal(signal.SIGCONT)
    scene.completes(menu)
    watch.check()


@strangers
def test_another_program_on_the_port_of_a_seed_does_no_harm(scene, said):
    menu, watch = scene.downloading()
    scene.seed.kill()
    with stranger_at(scene.net.ip, scene.port, said):
        typed(menu, f"esperar; get {scene.net.ip} {scene.port} {NAME}")
        watch.check()
    _, scene.port = scene.serve("--limite", "10M")
    eventually(lambda: NAME.encode() in scene.found())
    scene.completes(menu)
    watch.check()


# Who downloads.


def test_one_who_is_killed_goes_on_where_it_was(scene):
    menu = scene.menu()
    scene.begin(menu)
    menu.signal(signal.SIGKILL)
    menu.close()
    eventually(lambda: len(listed_ports(*scene.tracker_address())) == 1)
    other = scene.menu()
    watch = scene.watching(other)
    scene.completes(other)
    watch.check()


def test_one_who_sleeps_goes_on_when_it_wakes(scene):
    menu, watch = scene.downloading()
    menu.signal(signal.SIGSTOP)
    Event().wait(1.5)  # longer than each of its deadlines
    menu.signal(signal.SIGCONT)
    scene.completes(menu)
    watch.check()


# The tracker.


def is_back(scene, menu):
    eventually(lambda: len(listed_ports(*scene.tracker_address())) == 2)
    eventually(lambda: NAME.encode() in scene.found())
    eventually(lambda: NAME in typed(menu, "buscar aula"))


def test_a_tracker_that_dies_disturbs_no_download_and_all_come_back(scene):
    menu, watch = scene.downloading()
    scene.tracker.kill()
    assert "sair da rede" in typed(menu, "ajuda quit", ANSWER_S)
    scene.net.tracker()
    is_back(scene, menu)
    scene.completes(menu)
    watch.check()


def test_a_tracker_that_sleeps_disturbs_no_download_and_all_come_back(scene):
    menu, watch = scene.downloading()
    scene.tracker.process.send_signal(signal.SIGSTOP)
    typed(menu, "peers")
    assert "sair da rede" in typed(menu, "ajuda quit", ANSWER_S)
    scene.tracker.process.send_signal(signal.SIGCONT)
    is_back(scene, menu)
    scene.completes(menu)
    watch.check()


@strangers
def test_another_program_in_place_of_the_tracker_does_no_harm(scene, said):
    menu = scene.menu()
    watch = scene.watching(menu)
    scene.tracker.kill()
    with stranger_at(*scene.tracker_address(), said):
        typed(menu, "peers")
        typed(menu, "buscar aula")
        assert "sair da rede" in typed(menu, "ajuda quit", ANSWER_S)
    scene.net.tracker()
    is_back(scene, menu)
    scene.completes(menu)
    watch.check()


# What is shared.


def truncate(path):
    os.truncate(path, 1000)


def replace(path):
    path.with_name("novo").write_bytes(OTHER)
    path.with_name("novo").replace(path)


def rewrite(path):
    path.write_bytes(OTHER)


def remove(path):
    path.unlink()


def make_fifo(path):
    path.unlink()
    os.mkfifo(path)


def make_link(path):
    path.unlink()
    path.symlink_to("/etc/passwd")


def make_device(path):
    path.unlink()
    path.symlink_to("/dev/zero")


def make_folder(path):
    path.unlink()
    path.mkdir()


CHANGES = (truncate, replace, rewrite, remove, make_fifo, make_device, make_folder)


@pytest.mark.parametrize("change", [*CHANGES, make_link])
@pytest.mark.parametrize("when", ["listed", "sent"])
def test_a_shared_file_that_changes_is_never_a_mix(scene, change, when):
    menu = scene.menu()
    if when == "sent":
        scene.begin(menu)
    change(scene.shared)
    typed(menu, f"esperar; get {scene.net.ip} {scene.port} {NAME}")
    got = found_in(scene.downloads)
    got.pop(f"{NAME}.parte", None)
    cut = DATA[:1000]
    linked = scene.shared.read_bytes() if change is make_link else b""  # the list names it itself
    assert all(data in (DATA, OTHER, cut, linked) for data in got.values()), got.keys()
    assert "sair da rede" in typed(menu, "ajuda quit", ANSWER_S)
    assert scene.seed.process.poll() is None
    assert b"ok" in converse(scene.net.ip, scene.port, b"ls\nquit\n")


def test_of_a_shared_file_that_is_removed_while_it_is_sent_it_is_said_that_it_is_gone(scene):
    menu = scene.menu()
    scene.begin(menu)
    remove(scene.shared)
    said = typed(menu, "esperar")
    assert "não tem mais esse conteúdo" in said, said
    said = typed(menu, f"get {scene.net.ip} {scene.port} {NAME}")
    assert "ninguém em" in said, said


# Disks.


@pytest.fixture
def small_disk(tmp_path):
    """Mount a disk of 2 MiB as the folder of downloads."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    folder = tmp_path / "baixados"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    made = subprocess.run(mount, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(made.stderr)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)


def test_a_disk_that_is_too_small_is_one_sentence(small_disk, scene):
    menu = scene.menu()
    watch = scene.watching(menu)
    assert "não há espaço no disco" in typed(menu, f"get {scene.net.ip} {scene.port} {NAME}")
    watch.check()
    assert found_in(small_disk) == {}


def test_a_disk_that_fills_under_way_keeps_what_is_here_and_goes_on(small_disk, scene):
    subprocess.run(["mount", "-o", "remount,size=12m", str(small_disk)], check=True)
    menu = scene.menu()
    scene.begin(menu)
    with (small_disk / "cheio").open("wb") as file, suppress(OSError):
        while True:
            file.write(bytes(65536))
            file.flush()
    said = typed(menu, "esperar")
    assert "não há espaço no disco" in said, said
    assert NAME not in found_in(small_disk)
    (small_disk / "cheio").unlink()
    watch = scene.watching(menu)
    scene.completes(menu)
    watch.check()


@pytest.mark.parametrize("taken", ["removed", "renamed", "a file"])
def test_a_download_folder_that_goes_under_way_is_one_sentence(scene, taken):
    menu = scene.menu()
    scene.begin(menu)
    scene.downloads.rename(scene.downloads.with_name("outra"))
    if taken == "removed":
        for path in scene.downloads.with_name("outra").iterdir():
            path.unlink()
        scene.downloads.with_name("outra").rmdir()
    elif taken == "a file":
        scene.downloads.write_bytes(b"da pessoa")
    typed(menu, "esperar")
    assert "sair da rede" in typed(menu, "ajuda quit", ANSWER_S)
    if taken == "a file":
        assert scene.downloads.read_bytes() == b"da pessoa"
        scene.downloads.unlink()
    scene.completes(menu)


def test_a_size_that_the_system_does_not_allow_is_one_sentence(scene):
    little = ["/bin/sh", "-c", 'ulimit -f 2048 && exec "$@"', "sh"]  # 1 MiB
    menu = scene.menu(little)
    watch = scene.watching(menu)
    typed(menu, f"get {scene.net.ip} {scene.port} {NAME}")
    watch.check()
    other = scene.menu()
    scene.completes(other)


# Descriptors.


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("which", ["tracker", "peer"])
def test_without_descriptors_nobody_spins_and_it_goes_on_when_there_are_some(tmp_path, which):
    few = ["/bin/sh", "-c", 'ulimit -n 40 && exec "$@"', "sh"]
    with ExitStack() as stack:
        net = Awake(tmp_path, few if which == "tracker" else ())
        stack.callback(net.close)
        program = net.tracker()
        address = (net.ip, net.port)
        if which == "peer":
            net.prefix = few
            program, port = net.peer("--servir", files={NAME: DATA})
            address = (net.ip, port)
        before = settled(program.pid)
        with ExitStack() as crowd:
            for number in range(90):
                source = (beside(net.ip, number % 3), 0)
                sock = socket.create_connection(address, PATIENCE, source_address=source)
                crowd.enter_context(sock)
            assert settled(program.pid).descriptors > before.descriptors + 10
            used = cpu_s(program.pid)
            Event().wait(1.0)
            assert cpu_s(program.pid) - used < 0.4
        eventually(lambda: b"ok" in converse(*address, b"quit\n"))
        eventually(lambda: Use.of(program.pid).within(before))


# A cable.

no_machines = machines()


@pytest.mark.skipif(bool(no_machines), reason=no_machines)
@pytest.mark.parametrize("then", ["put back", "another address"])
def test_a_cable_that_is_pulled_under_way_and_what_comes_then(tmp_path, then):
    with ExitStack() as stack:
        left = stack.enter_context(Machine())
        right = stack.enter_context(Machine(left))
        left.joined_to(right, "10.7.0.1", "10.7.0.2")
        enter = shutil.which("nsenter")
        net = Awake(tmp_path, [enter, *left.prefix[1:]])
        stack.callback(net.close)
        net.ip = "10.7.0.1"
        net.tracker()
        net.hurry(**QUICK)
        _, port = net.peer("--servir", "--limite", "1M", files={NAME: DATA})
        words = net.words("--nao-semear", files={})
        words[3:5] = []  # no --ip: it has another tomorrow
        menu = Terminal(hurried(words), net.environment(), 200, [enter, *right.prefix[1:]])
        stack.callback(menu.close)
        menu.prompts()
        typed(menu, f"get {net.ip} {port} {NAME} &")
        part = net.downloads / f"{NAME}.parte"
        eventually(lambda: part.exists() and part.stat().st_size)
        right.ip("link", "set", "wire0", "down")
        typed(menu, "esperar")
        assert "sair da rede" in typed(menu, "ajuda quit", ANSWER_S)

        def listed():
            ask = [*left.prefix, "sh", "-c", "printf 'peers\\nquit\\n' | nc 10.7.0.1 $0"]
            return subprocess.run([*ask, str(net.port)], capture_output=True, check=True).stdout

        eventually(lambda: b"10.7.0.2" not in listed())  # in 12 s, and not in the 15 that are said
        if then == "another address":
            right.ip("addr", "flush", "dev", "wire0")
            right.has("10.7.0.9")
        right.ip("link", "set", "wire0", "up")
        eventually(lambda: (b"10.7.0.9" if then == "another address" else b"10.7.0.2") in listed())
        for _ in range(3):
            if found_in(net.downloads).get(NAME) == DATA:
                break
            typed(menu, f"get {net.ip} {port} {NAME}")
        assert found_in(net.downloads) == {NAME: DATA}


# A name that is taken.


def test_a_file_of_the_person_is_never_overwritten(scene):
    menu = scene.menu()
    scene.downloads.mkdir()
    (scene.downloads / NAME).write_bytes(b"da pessoa")
    watch = scene.watching(menu)
    watch.own = {NAME: b"da pessoa"}
    typed(menu, f"get {scene.net.ip} {scene.port} {NAME}")
    watch.check()
    assert found_in(scene.downloads) == {NAME: b"da pessoa", "aula (1).iso": DATA}
