"""``rede.pyz`` on a machine that has Python and nothing else; and every command run from it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from contextlib import closing
from pathlib import Path

import pytest
from conftest import ROOT
from processes import Machine, Program, beside, machines, network
from terminals import Terminal

from rede_p2p.cli.commands import COMMANDS

alone = pytest.mark.skipif(bool(machines()), reason=f"no network of its own: {machines()}")
HERE, THERE = "10.77.0.1", "10.77.0.2"
DATA = bytes(range(256)) * 9000
OURS = b"o que este peer tem\n"
FETCH = """#!{python} -I
import sys, urllib.request
url = sys.argv[-1]
urllib.request.urlretrieve(url, url.rpartition("/")[2])
"""


def pythons(oldest, newest):
    """List the Pythons of those versions that are here, by version, once each."""
    names = [f"python3.{minor}" for minor in range(oldest, newest + 1)]
    versions = Path.home() / ".pyenv" / "versions"
    found = {}
    for name in [sys.executable, *names, *map(str, sorted(versions.glob("3.*/bin/python3")))]:
        code = "import sys; print('%d.%d' % sys.version_info[:2], sys.version_info[1])"
        try:
            told = subprocess.run([name, "-c", code], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        version, minor = told.stdout.split()
        if oldest <= int(minor) <= newest:
            found.setdefault(version, shutil.which(name))
    return found


MODERN = pythons(10, 20)
TRIED = sorted(MODERN, key=lambda version: int(version[2:]))
EDGES = [TRIED[0], *TRIED[1:][-1:]]  # the oldest and the newest
OLD = pythons(0, 9)


@pytest.fixture(scope="module")
def pyz(tmp_path_factory):
    """The file, as the option writes it."""
    path = tmp_path_factory.mktemp("pendrive") / "rede.pyz"
    subprocess.run(
        [sys.executable, "Servidor.py", "--empacotar", str(path)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    return path


class BareMachine:
    """A folder and an environment in which there is one Python, without packages, and curl."""

    def __init__(self, folder, python, prefix=()):
        self.home = folder / "casa"
        tools = folder / "bin"
        for made in (self.home, tools):
            made.mkdir(parents=True)
        self.python = python
        self._script(tools / "python3", f'#!/bin/sh\nexec "{python}" -I -S "$@"\n')
        if curl := shutil.which("curl"):
            (tools / "curl").symlink_to(curl)
        else:
            self._script(tools / "curl", FETCH.format(python=sys.executable))
        self._prefix = list(prefix)
        self._environment = {"PATH": str(tools), "HOME": str(self.home)}

    def _script(self, path, text):
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def type(self, line):
        """Start what a person types in the home folder."""
        words = [shutil.which("nsenter") or "", *self._prefix[1:]] if self._prefix else []
        words += ["/bin/sh", "-c", line if ";" in line else f"exec {line}"]
        return Program(words, self._environment, self.home)

    def says(self, line):
        ended = self.type(line).end()
        assert ended.status == 0, ended
        return ended


@pytest.mark.slow
@alone
@pytest.mark.parametrize("version", EDGES)
def test_two_lines_give_a_peer_to_a_machine_with_nothing_but_python(tmp_path, version):
    with Machine() as one, Machine(one) as other:
        one.joined_to(other, HERE, THERE)
        bare = BareMachine(tmp_path, MODERN[version], other.prefix)
        with network(tmp_path, one.prefix) as here:
            assert bare.type("python3 -c 'import rich'").end().status == 1
            tracker = here.start("Servidor.py", "9450")
            fetch = tracker.prints(r"^    (curl -O http://.*)$")[1]
            start = tracker.prints(r"^    (python3 rede.pyz .*)$")[1]
            digest = tracker.says(r"^SHA-256 de rede.pyz: (\w{64})$")[1]
            assert bare.says(fetch) and bare.says(f"python3 -c {shlex.quote(SUM)}").out == digest

            files = {"a.bin": DATA, "b.txt": b"b"}
            words = ["--arquivos", str(here.sharing(files)), "--pasta", str(here.downloads)]
            ours = here.start("Peers.py", HERE, *words)
            ours.says("minha porta")
            downloads = bare.home / "arquivos_baixados"
            downloads.mkdir()
            (downloads / "a.bin.parte").write_bytes(DATA[:1048576])  # of an attempt before
            (bare.home / "meus_arquivos.txt").write_text("nosso.txt ./nosso.txt\n")
            (bare.home / "nosso.txt").write_bytes(OURS)
            os.utime(bare.home / "nosso.txt", (1_500_000_000,) * 2)

            peer = bare.type(start)
            peer.says("minha porta")
            peer.send(f"get {HERE} a.bin", f"get {HERE} b.txt")
            peer.says(r"continuando de \d+ %")
            peer.prints("b.txt: baixado e verificado")
            assert {path.name: path.read_bytes() for path in downloads.iterdir()} == files
            ours.send(f"get {THERE} nosso.txt")
            ours.prints("nosso.txt: baixado e verificado")
            assert (here.downloads / "nosso.txt").read_bytes() == OURS
            assert peer.end().status == 0
            # And its tracker hands the same file on.
            nested = bare.type("python3 rede.pyz servidor 9500")
            nested.prints(rf"^    python3 rede.pyz {THERE} 9500$")
            assert nested.says(r"^SHA-256 de rede.pyz: (\w{64})$")[1] == digest
            nested.close()


SUM = "import hashlib; print(end=hashlib.sha256(open('rede.pyz', 'rb').read()).hexdigest())"


@alone
def test_alone_on_a_machine_it_opens_the_tracker_that_is_in_the_file(tmp_path, pyz):
    with Machine() as machine:
        bare = BareMachine(tmp_path, sys.executable, machine.prefix)
        shutil.copy(pyz, bare.home / "rede.pyz")
        ended = bare.says("python3 rede.pyz -c peers")
    assert re.search(r"^127\.0\.0\.1\t\d+\teste peer", ended.out, re.MULTILINE)
    assert "abri um aqui" in ended.err and "Peers.py" not in ended.err
    assert "curl -O http://127.0.0.1:9450/rede.pyz\n" in ended.err
    assert "SHA-256" not in ended.err  # nobody asked for the file


@pytest.mark.parametrize("version", EDGES)
def test_each_python_makes_the_same_bytes_from_the_file_itself(tmp_path, pyz, version):
    bare = BareMachine(tmp_path, MODERN[version])
    shutil.copy(pyz, bare.home / "minha rede.pyz")
    for copy in ("a", "b"):  # the first start compiles it, the second one finds that
        bare.says(f"python3 'minha rede.pyz' servidor --empacotar {copy}")
        assert (bare.home / copy).read_bytes() == pyz.read_bytes()
    (compiled,) = (bare.home / ".cache" / "rede-p2p" / "programa").iterdir()
    assert compiled.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("version", EDGES)
def test_each_python_makes_the_same_bytes_from_the_sources(tmp_path, pyz, version):
    written = tmp_path / "rede.pyz"
    words = [MODERN[version], "Servidor.py", "--empacotar", str(written)]
    lent = {"PYTHONPATH": sysconfig.get_path("purelib"), "HOME": str(tmp_path)}
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True, env=lent)
    assert written.read_bytes() == pyz.read_bytes()


def test_it_says_the_name_that_it_was_started_by(tmp_path, pyz):
    bare = BareMachine(tmp_path, sys.executable)
    shutil.copy(pyz, bare.home / "rede.pyz")
    bare.says("python3 rede.pyz --versao")  # so that the others find it compiled
    for role, name in (("", "rede.pyz"), (" servidor", "rede.pyz servidor")):
        words = ("--ajuda", "--versao", "--nada")
        started = [bare.type(f"python3 rede.pyz{role} {word}") for word in words]
        ajuda, versao, nada = [program.end() for program in started]
        assert ajuda.out.startswith(f"uso: python3 {name} [")
        assert versao.out.startswith(f"{name}, Rede P2P ")
        assert f"uso: python3 {name} [" in nada.err and nada.status == 2
        told = "".join(result.out + result.err for result in (ajuda, versao, nada))
        assert not re.search(r"(Peers|Servidor)\.py|Rede\.bat", told)


@pytest.mark.skipif(not OLD, reason="no Python older than 3.10 here")
@pytest.mark.parametrize("version", OLD)
def test_a_python_that_is_too_old_says_so(tmp_path, pyz, version):
    ended = BareMachine(tmp_path, OLD[version]).type(f"python3 {pyz}").end()
    assert (ended.status, ended.out) == (1, "")
    assert re.fullmatch(rf"A Rede P2P precisa do Python 3\.10 .*este .* o {version}\.\n", ended.err)


@pytest.mark.parametrize("home", ["/dev/null", "/nowhere/at/all"])
def test_where_nothing_can_be_kept_it_runs_all_the_same(tmp_path, pyz, home):
    command = [sys.executable, "-I", "-S", str(pyz), "--versao"]
    told = subprocess.run(
        command, env={"HOME": home, "XDG_CACHE_HOME": "/dev/null"}, capture_output=True, check=True
    )
    assert told.stdout.startswith(str(pyz).encode()) and not told.stderr


@pytest.mark.slow
def test_every_command_runs_from_it(tmp_path, pyz):
    given = tmp_path / "dado.txt"
    given.write_bytes(OURS)
    os.utime(given, (1_500_000_000,) * 2)
    with network(tmp_path) as net:
        first_port = ["--primeira-porta", str(net.port + 1)]
        tracker = net.start(str(pyz), "servidor", str(net.port), "--ip", net.ip, *first_port)
        tracker.says("Ctrl-C encerra")
        _, *words = net.words("--servir", files={"a.txt": b"a", "pasta/b.txt": b"b"})
        port = net.start(str(pyz), *words).says(r"minha porta pública é (\d+)")[1]
        shown = {
            "peers": r"│ este peer",
            f"ls {net.ip} {port}": r"│ pasta/b\.txt +│ 1 B",
            "ls -l": "│ pasta/b.txt",
            f"get {net.ip} {port} a.txt": "a.txt: baixado e verificado",
            f"get {net.ip} 'pasta/*'": "pasta/b.txt: baixado e verificado",
            "get a.txt &": "",
            "esperar": "",
            "buscar pasta": "│ pasta/b.txt",
            f"compartilhar '{given}'": "dado.txt",
            "meus": "│ dado.txt",
            "torrent dado.txt": r"dado\.txt\.torrent",
            "remover dado.txt": "",
            "status": "",
            "placar": "",
            "diagnostico": "conselho: ",
            "cancelar 1": "não há download com o número",
            "ajuda": "get <IP> <NOME>",
        }
        assert {line.split()[0] for line in shown} == {*COMMANDS}
        _, *words = net.words(ip=beside(net.ip))
        menu = Terminal([sys.executable, "-I", "-S", str(pyz), *words], net.environment())
        with closing(menu):
            menu.prompts()
            for line, pattern in shown.items():
                assert re.search(pattern, menu.enter(line), re.MULTILINE), menu.screen()
            menu.press("quit\r")
            assert menu.end() == 0
        assert (net.downloads / "a.txt").read_bytes() == b"a"
        _, *words = net.words("-q", "-c", f"get {net.ip} a.txt -", ip=beside(net.ip))
        ended = net.start(str(pyz), *words).end()
        assert (ended.status, ended.out, ended.err) == (0, "a", "")
