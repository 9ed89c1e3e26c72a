"""Many files, the background, limits and full disks, through the whole programs."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest
from lies import ok
from processes import Liar, Program, beside, eventually, network
from sources import found_in, right_pieces
from terminals import terminal

from rede_p2p.content import merkle
from rede_p2p.content.merkle import MIN_PIECE_BYTES

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")

LARGE = random.Random(4).randbytes(2 * 2**20)
A_TREE = {"praia.png": b"praia", "2024/neve.png": b"neve", "2024/lista [v2].txt": b"lista"}
FILES = {"a.txt": b"a", "b.txt": b"b" * 5000, "logo.png": b"logo", "grande.bin": LARGE}
EVERYTHING = FILES | {f"fotos/{name}": data for name, data in A_TREE.items()}


def listing(folder, files, tree=None):
    """Write files, a folder, and the list that shares them; return the list."""
    folder.mkdir()
    lines = []
    for number, (name, data) in enumerate(files.items()):
        (folder / str(number)).write_bytes(data)
        lines.append(f'"{name}" {number}\n')
    for name, data in (tree or {}).items():
        path = folder / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    if tree:
        lines.append("fotos tree\n")
    (folder / "lista.txt").write_text("".join(lines), encoding="utf-8")
    return folder / "lista.txt"


@pytest.fixture(scope="module")
def rede(tmp_path_factory):
    """A tracker, a quick seed, and a slow one on another address; no test harms them."""
    folder = tmp_path_factory.mktemp("rede")
    with network(folder) as programs:
        programs.tracker()
        programs.peer("--servir", files=listing(folder / "all", FILES, A_TREE))
        slow = {"lento.bin": LARGE[:-1], "outro.bin": LARGE[1:]}
        programs.slow_ip = beside(programs.ip)
        programs.peer("--servir", "--limite", "32K", ip=programs.slow_ip, files=slow)
        yield programs


@pytest.fixture
def net(rede, tmp_path):
    """What a test starts in the standing network, and ends."""
    with network(tmp_path) as programs:
        programs.ip, programs.port, programs.slow_ip = rede.ip, rede.port, rede.slow_ip
        programs.own_ip = beside(rede.ip, 3)
        yield programs


@pytest.fixture
def fetch(net):
    return lambda script, *words: net.run(script.format(ip=net.ip), *words, ip=net.own_ip)


def table(result):
    """Return the rows of the one table that a program wrote, but for its head."""
    head, *rows = [line.split("\t") for line in result.out.splitlines()]
    assert head == ["Arquivo", "Resultado"]
    return dict(rows)


def tree(*names):
    return {name: EVERYTHING[name] for name in names}


# Several files.


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ("a.txt b.txt", ["a.txt", "b.txt"]),
        ("'*.png'", ["logo.png", "fotos/praia.png", "fotos/2024/neve.png"]),
        ("fotos/", [name for name in EVERYTHING if name.startswith("fotos/")]),
        ("fotos/2024 a.txt", ["fotos/2024/neve.png", "fotos/2024/lista [v2].txt", "a.txt"]),
        ("'*'", list(EVERYTHING)),
        ("grande.bin '?.txt'", ["grande.bin", "a.txt", "b.txt"]),
    ],
)
def test_several_files_arrive_with_their_folders_and_one_table_tells_of_each(
    net, fetch, patterns, names
):
    result = fetch(f"get {{ip}} {patterns}")
    assert result.status == 0, result
    assert found_in(net.downloads) == tree(*names)
    said = table(result)
    assert said.keys() == set(names)
    assert all(text.startswith("baixado e verificado") for text in said.values())
    assert f"{len(names)} baixados e verificados, 0 já estavam aqui" in result.err


def test_what_was_here_is_told_apart_from_what_came(net, fetch):
    fetch("get {ip} a.txt")
    result = fetch("get {ip} a.txt b.txt grande.bin")
    said = table(result)
    assert said["a.txt"].startswith("já estava em ")
    assert said["b.txt"].startswith("baixado e verificado")
    assert "2 baixados e verificados, 1 já estava aqui" in result.err
    assert result.status == 0


def test_the_facts_of_each_file_are_objects_with_json(net, fetch):
    result = fetch("get {ip} a.txt grande.bin", "--json")
    facts = {fact["name"]: fact for fact in map(json.loads, result.out.splitlines())}
    assert facts.keys() == {"a.txt", "grande.bin"}
    assert facts["grande.bin"]["size"] == len(LARGE)
    assert facts["a.txt"]["path"] == str(net.downloads / "a.txt")


def test_one_that_fails_is_told_with_the_reason_and_makes_the_status(net, fetch):
    (net.downloads / "fotos").mkdir(parents=True)
    (net.downloads / "fotos" / "2024").write_bytes(b"mine")
    result = fetch("get {ip} fotos/ a.txt")
    assert result.status == 9
    said = table(result)
    assert "onde devia haver uma pasta" in said["fotos/2024/neve.png"]
    assert said["a.txt"].startswith("baixado") and said["fotos/praia.png"].startswith("baixado")
    assert "2 de 4 não vieram; o primeiro: há um arquivo onde devia" in result.err
    assert found_in(net.downloads) == tree("a.txt", "fotos/praia.png") | {"fotos/2024": b"mine"}


def test_a_name_that_nobody_has_is_told_and_the_others_arrive(net, fetch):
    result = fetch("get {ip} nada b.txt '*.jpg' a.txt")
    assert result.status == 5
    said = table(result)
    assert list(said) == ["b.txt", "a.txt", "nada", "*.jpg"]
    assert re.match(rf"ninguém em {net.ip}:\d+ compartilha nada", said["nada"])
    assert "2 de 4 não vieram; o primeiro: ninguém em" in result.err
    assert found_in(net.downloads) == tree("a.txt", "b.txt")


def test_a_name_that_nobody_has_is_told_before_the_others_go_to_the_background(net, fetch):
    result = fetch("get {ip} nada b.txt &; esperar")
    assert result.status == 5
    assert re.search(rf"ninguém em {net.ip}:\d+ compartilha nada", result.err)
    assert found_in(net.downloads) == tree("b.txt")


def test_several_names_without_an_address_come_from_whoever_has_each(net, fetch):
    net.peer("--servir", ip=beside(net.ip, 2), files={"so meu.txt": b"meu"})
    both = "get a.txt 'so meu.txt'"
    eventually(lambda: fetch(both).status == 0)  # once they have been announced
    assert found_in(net.downloads) == tree("a.txt") | {"so meu.txt": b"meu"}
    result = fetch("get b.txt nada")
    assert result.status == 5
    assert table(result).keys() == {"b.txt", "nada"}
    result = fetch("get so meu.txt")
    assert result.status == 2
    assert 'ponha aspas no nome, que tem espaços: "so meu.txt"' in result.err


def test_a_lie_about_one_of_several_is_told_and_the_others_arrive(net, fetch):
    good, bad = b"good", b"bad!"
    root = {data: merkle.layer_of(data).hex() for data in (good, bad)}
    names = [("bom.txt", root[good]), ("mau.txt", root[bad]), ("../fora.txt", root[good])]
    body = b"".join(
        json.dumps({"name": name, "size": 4, "root": of}).encode() + b"\n" for name, of in names
    )
    answers = {
        "ls": ok({"bytes": len(body), "count": len(names)}, body),
        "want": ok({"first": 0, "count": 1}),
        "take": ok({"bytes": 4}, good),
    }
    net.hurry(reply_s=1.0)
    with Liar.listed(net, answers) as liar:
        result = fetch(f"get {liar.ip} {liar.port} '*'")
    assert result.status in (5, 6)
    said = table(result)
    assert said["bom.txt"].startswith("baixado")
    assert "mandou bytes que não são de mau.txt" in said["mau.txt"]
    assert "não é seguro" in said["../fora.txt"]
    assert found_in(net.downloads) == {"bom.txt": good}
    assert not (net.folder / "fora.txt").exists()


def test_of_a_long_list_only_the_failures_are_shown(net):
    many = {f"{number}.txt": b"%d" % number for number in range(70)}
    _, port = net.peer("--servir", ip=beside(net.ip, 2), files=many)
    (net.downloads / "7.txt.parte").mkdir(parents=True)
    result = net.run(f"get {beside(net.ip, 2)} {port} '*'", ip=net.own_ip)
    assert table(result).keys() == {"7.txt"}
    assert "69 baixados e verificados" in result.err
    assert result.status == 9


# Going on.


def test_where_a_download_goes_on_from_is_told_however_quick_it_is(net, fetch):
    net.downloads.mkdir()
    (net.downloads / "grande.bin.parte").write_bytes(LARGE[: 20 * MIN_PIECE_BYTES + 5])
    result = fetch("get {ip} grande.bin")
    assert "continuando de 62 %" in result.err.splitlines()
    assert found_in(net.downloads) == tree("grande.bin")


def test_a_file_that_is_not_hashed_yet_is_told_of_while_one_waits(net):
    folder = net.folder / "enorme"
    list_path = listing(folder, {"enorme.bin": b""})
    os.truncate(folder / "0", 2**40)
    _, port = net.peer("--servir", ip=beside(net.ip, 2), files=list_path)
    asking, _ = net.peer(ip=net.own_ip)
    asking.send(f"get {beside(net.ip, 2)} {port} enorme.bin")
    asking.says(r"o outro peer está calculando a raiz do arquivo \(0 %\): espere")
    asking.interrupt()
    asking.says("interrompido")
    assert asking.end().status == 130


# The background.


def running(peer):
    """Ask for what runs; return the rows of the downloads by their number."""
    peer.send("status", "ajuda status")
    text = peer.prints(r"(?s)(.*)\nComando\t.*?\nstatus\t[^\n]*\n")[1]
    return {int(row[1]): row[2] for row in re.finditer(r"\[(\d+)\] ↓\t(.*)", text)}


def test_a_download_in_the_background_is_listed_waited_for_and_told(net):
    peer, _ = net.peer(ip=net.own_ip)
    peer.send(f"get {net.slow_ip} lento.bin &", f"get {net.ip} grande.bin &")
    peer.says(r"\[1\] lento\.bin em segundo plano: status, esperar, cancelar 1")
    peer.says(r"\[2\] grande\.bin em segundo plano")
    eventually(lambda: running(peer).keys() == {1})
    peer.says(r"\[2\] grande\.bin: baixado e verificado")
    assert re.fullmatch(r"lento\.bin\t\d+ % de 2,0 MiB\t.*/s\t1 fonte", running(peer)[1])
    peer.send("cancelar 1", "esperar")
    result = peer.end()
    assert "[1] lento.bin: interrompido" in result.err
    assert result.status == 0  # what one cancels, one does not wait for
    assert (net.downloads / "grande.bin").read_bytes() == LARGE


def test_waiting_ends_when_all_in_the_background_has_ended(net):
    peer, _ = net.peer(ip=net.own_ip)
    names = ["a.txt", "b.txt", "grande.bin"]
    peer.send(*(f"get {net.ip} {name} &" for name in names), "esperar", "quit")
    result = peer.end()
    assert result.status == 0, result
    assert result.err.count("baixado e verificado") == 3
    assert found_in(net.downloads) == tree(*names)


def test_the_prompt_is_usable_while_downloads_run_and_each_is_cancelled_by_its_number(net):
    peer, _ = net.peer(ip=net.own_ip)
    peer.send(f"get {net.slow_ip} lento.bin &", f"get {net.slow_ip} outro.bin &")
    peer.send(f"get {net.ip} a.txt", "peers")
    peer.prints(r"a\.txt: baixado e verificado")
    peer.prints("este peer")
    assert running(peer).keys() == {1, 2}
    peer.send("cancelar 2")
    eventually(lambda: running(peer).keys() == {1})
    peer.says(r"\[2\] outro\.bin: interrompido")
    peer.send("cancelar [1]")
    eventually(lambda: not running(peer))
    peer.says(r"\[1\] lento\.bin: interrompido")
    assert peer.end().status == 0


def test_who_serves_sees_what_each_was_sent_in_all_its_answers(net):
    ip, data = beside(net.ip, 2), {"y.bin": LARGE[:7] + LARGE}  # of nobody else
    seed, port = net.peer("--limite", "512K", ip=ip, files=data)
    peer, _ = net.peer(ip=net.own_ip)
    peer.send(f"get {ip} {port} y.bin &")

    def sent():
        seed.send("status", "ajuda status")
        text = seed.prints(r"(?s)(.*?)Comando\t.*?\nstatus\t[^\n]*\n")[1]
        rows = re.findall(rf"↑\ty\.bin\t(\d+),\d KiB enviados\t.*/s\t{net.own_ip}$", text, re.M)
        return sum(map(int, rows))

    eventually(lambda: sent() > 2 * MIN_PIECE_BYTES // 1024)  # an answer is a piece, at that rate


def test_who_waits_in_a_queue_sees_its_place(net):
    ip, data = beside(net.ip, 2), {"x.bin": LARGE[::-1]}  # of nobody else
    _, port = net.peer("--servir", "--limite", "16K", ip=ip, files=data)
    peers = [net.peer(ip=net.own_ip, downloads=net.folder / number)[0] for number in "123"]
    for peer in peers:
        peer.send(f"get {ip} {port} x.bin &")
    eventually(lambda: any("na fila, lugar " in running(peer).get(1, "") for peer in peers))


def test_a_failure_in_the_background_is_the_status_of_who_waits_for_it(net):
    with Liar.listed(net, refusing_pieces()) as liar:
        peer, _ = net.peer(ip=net.own_ip)
        peer.send(f"get {liar.ip} {liar.port} x &", f"get {net.ip} grande.bin &")
        eventually(lambda: not running(peer))  # they ended before one waits
        peer.send("esperar")
        result = peer.end()
    assert result.status == 5, result
    assert re.search(r"\[1\] x: .* não tem mais esse conteúdo", result.err)
    assert "1 de 2 não veio: " in result.err
    assert found_in(net.downloads) == tree("grande.bin")


def refusing_pieces():
    root = merkle.layer_of(b"12345").hex()
    return {
        "stat": ok({"name": "x", "size": 5, "root": root}),
        "want": b'erro {"code": "not-here"}\n',
    }


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("cancelar 7", "não há download com o número “7”"),
        ("cancelar x", "não há download com o número “x”"),
        ("cancelar", "use: cancelar <N>"),
        ("cancelar 1 2", "use: cancelar <N>"),
        ("esperar 1", "use: esperar"),
        ("status x", "use: status"),
    ],
)
def test_a_wrong_word_for_what_runs_is_one_sentence(fetch, words, sentence):
    result = fetch(words)
    assert result.status == 2
    assert len(result.complaints) == 1 and sentence in result.complaints[0]


def test_leaving_ends_what_runs_and_keeps_what_came(net):
    peer, _ = net.peer(ip=net.own_ip)
    peer.send(f"get {net.slow_ip} lento.bin &")
    path = net.downloads / "lento.bin.parte"
    eventually(lambda: path.exists() and right_pieces(path, LARGE[:-1]))
    peer.send("quit")
    assert peer.end().status == 0
    assert right_pieces(path, LARGE[:-1])
    assert found_in(net.downloads).keys() == {"lento.bin.parte"}


def test_ctrl_c_at_the_prompt_does_not_end_a_download_until_it_comes_again(net):
    with terminal(net, "--ip", net.own_ip) as opened:
        opened.enter(f"get {net.slow_ip} lento.bin &")
        opened.interrupt()
        opened.shows("^1 download em andamento; Ctrl-C de novo para sair$")
        opened.prompts()
        assert "lento.bin" in opened.enter("status")  # and what was typed since makes it the first
        opened.enter(f"get {net.slow_ip} outro.bin &")
        opened.interrupt()
        opened.shows("^2 downloads em andamento; Ctrl-C de novo para sair$")
        opened.prompts()
        opened.interrupt()
        assert opened.end() == 130


def test_ctrl_z_sends_a_download_to_the_background_and_ctrl_c_ends_the_waiting_only(net):
    with terminal(net, "--ip", net.own_ip) as opened:
        opened.prompts()
        opened.press(f"get {net.slow_ip} lento.bin\r")
        opened.shows(r"lento\.bin.*MiB")
        opened.press("\x1a")
        opened.shows(r"\[1\] lento\.bin em segundo plano")
        assert "lento.bin" in opened.enter("status")
        opened.prompts()
        opened.press("esperar\r")
        opened.shows(r"esperar\n.*lento\.bin.*MiB")
        opened.interrupt()
        opened.shows("^parei de esperar; os downloads continuam: veja status$")
        opened.prompts()
        assert "[1] ↓" in opened.enter("status")
        opened.press("cancelar 1\r")
        opened.shows(r"\[1\] lento\.bin: interrompido")
        opened.press("quit\r")
        assert opened.end() == 0


# Limits.


def test_a_limit_holds(net):
    data = LARGE[: 2**20]
    _, port = net.peer("--servir", "--limite", "1M", ip=beside(net.ip, 2), files={"x": data})
    began = monotonic()
    result = net.run(f"get {beside(net.ip, 2)} {port} x", ip=net.own_ip)
    assert monotonic() - began >= 0.95
    assert result.status == 0
    assert found_in(net.downloads) == {"x": data}


# A disk that is full.


def allocated(path):
    """Return how many bytes of a file are on the disk."""
    return path.stat().st_blocks * 512 if path.exists() else 0


@contextmanager
def small_disk(folder):
    """Give a process a disk of 8 MiB; yield the words that run others on it, and its place."""
    folder.mkdir()
    unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    mount = f"mount -t tmpfs -o size=8m none '{folder}' && echo up && read _"
    try:
        made = subprocess.run(
            [*unshare, "sh", "-c", mount], input="\n", capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if made.returncode:
        pytest.skip(made.stderr)
    holder = Program([*unshare, "sh", "-c", mount], os.environ)
    try:
        holder.prints("up")
        spaces = ["-m"] if os.geteuid() == 0 else ["-U", "--preserve-credentials", "-m"]
        inside = ["nsenter", "-t", str(holder.pid), *spaces]
        yield inside, lambda *words: subprocess.run([*inside, *words], check=True)
    finally:
        holder.close()


def test_a_disk_that_fills_on_the_way_is_one_sentence_and_room_lets_it_go_on(net):
    data = random.Random(6).randbytes(5 * 2**20)
    _, port = net.peer("--servir", "--limite", "8M", ip=beside(net.ip, 2), files={"x.bin": data})
    disk = net.folder / "disco"
    with small_disk(disk) as (inside, run), network(net.folder / "outra", inside) as there:
        (net.folder / "outra").mkdir()
        there.ip, there.port = net.ip, net.port
        there.prefix = [*inside, "--wd=."]
        words = there.words(
            "-c", f"get {beside(net.ip, 2)} {port} x.bin", ip=net.own_ip, downloads=disk / "x"
        )
        environment = there.environment()
        fetching = there.start(*words, environment=environment)
        seen = Path(f"/proc/{inside[2]}/root{disk}/x/x.bin.parte")
        eventually(lambda: allocated(seen) > 2**20)
        run("sh", "-c", f"head -c 9m /dev/zero > '{disk}/filler' 2>/dev/null; true")
        result = fetching.end()
        assert result.status == 9, result
        assert len(result.complaints) == 1
        assert re.search(r"não há espaço no disco para .*x\.bin", result.complaints[0])
        # Still no room: it is said at once, and what came is kept.
        result = there.start(*words, environment=environment).end()
        assert result.status == 9
        run("rm", f"{disk}/filler")
        result = there.start(*words, environment=environment).end()
        assert result.status == 0, result
        assert re.search(r"continuando de [1-9]\d %", result.err)
        run("cmp", str(disk / "x" / "x.bin"), str(the_shared(net, data)))


def the_shared(net, data):
    """Return a copy of what was shared, to compare with."""
    path = net.folder / "esperado"
    path.write_bytes(data)
    return path


def test_what_goes_through_a_pipe_is_utf_8_whatever_the_system_prefers(net):
    _, port = net.peer("--servir", files={"ação.txt": b"x"})
    environment = {**net.environment(), "PYTHONIOENCODING": "cp1252"}  # as Windows has it
    program = net.start(*net.words(ip=beside(net.ip)), environment=environment)
    program.says("minha porta pública")
    program.send(f"ls {net.ip} {port}", f"get {net.ip} {port} ação.txt", "quit")
    program.prints(r"^ação\.txt\t")
    program.prints("ação.txt: baixado e verificado")
    assert program.end().status == 0
