"""The network as one place: names found without an address, files passed on by who has them."""

from __future__ import annotations

import json
import random
import re
from time import monotonic

import pytest
from oracle import libtorrent, needs_libtorrent
from processes import Liar, beside, converse, eventually, network
from sources import content_of, found_in

from rede_p2p.cli import commands
from rede_p2p.content.merkle import MIN_PIECE_BYTES

DATA = random.Random(5).randbytes(20 * MIN_PIECE_BYTES + 7)
ROOT = content_of(DATA).root.hex()
A = {
    "aula.iso": DATA,
    "disputado.txt": b"um",
    "Ação.txt": b"o mesmo",
    "só em a.txt": b"a",
}
B = {"disputado.txt": b"dois", "outro nome.txt": b"o mesmo"}


def known(programs, text=""):
    """Ask the tracker what the network has, as a stranger with a raw socket."""
    said = converse(
        programs.ip, programs.port, b"search %s\n" % json.dumps({"text": text}).encode()
    )
    head, _, body = said.partition(b"\n")
    assert head.startswith(b"ok "), said
    return [json.loads(line) for line in body.splitlines()]


def holders(programs, root=ROOT):
    """Return the public ports of those who have a content."""
    said = converse(programs.ip, programs.port, b'find {"root": "%s"}\n' % root.encode())
    return {json.loads(line)["port"] for line in said.partition(b"\n")[2].splitlines()}


def peer_at(programs, number, *words, files):
    """Start a peer with an address and a folder of its own."""
    return programs.peer(
        *words,
        ip=beside(programs.ip, number),
        files=files,
        downloads=programs.folder / f"baixados{number}",
    )


@pytest.fixture(scope="module")
def rede(tmp_path_factory):
    """A tracker and two peers, which no test harms."""
    with network(tmp_path_factory.mktemp("rede")) as programs:
        programs.tracker()
        _, programs.port_a = programs.peer("--servir", files=A)
        _, programs.port_b = peer_at(programs, 1, "--servir", files=B)
        eventually(lambda: len(known(programs)) == len(A) + len(B))
        yield programs


@pytest.fixture
def net(tmp_path):
    """A network that a test may harm."""
    with network(tmp_path) as programs:
        yield programs


def test_the_end_of_a_get_tells_how_much_came_from_others_than_the_named_peer(net):
    net.tracker()
    data = random.Random(6).randbytes(4 * 2**20)
    _, slow = net.peer("--servir", "--limite", "1M", files={"aula.iso": data})
    peer_at(net, 1, "--servir", files={"outro.iso": data})
    eventually(lambda: len(holders(net, content_of(data).root.hex())) == 2)
    result = net.run(f"get {net.ip} {slow} aula.iso; placar", ip=beside(net.ip, 2))
    assert result.status == 0, result
    told = r"^4,0 MiB em [\d,]+ s, [\d,]+ MiB/s; (\d+ % de 1 outro peer)$"
    others = re.search(told, result.err, re.MULTILINE)[1]
    shown = [line.split("\t") for line in result.out.splitlines()]
    assert [row[0] for row in shown[1:]] == ["Arquivo", "↓ aula.iso", "↑ enviado"]
    assert (shown[2][1], shown[2][4]) == ("4,0 MiB", others)
    assert int(others.split()[0]) >= 50


# Finding.


def test_get_needs_no_address(rede, tmp_path):
    result = rede.run("get aula.iso; get 'outro nome.txt'", downloads=tmp_path / "x")
    assert result.status == 0 and not result.complaints, result
    assert (tmp_path / "x" / "aula.iso").read_bytes() == DATA
    assert (tmp_path / "x" / "outro nome.txt").read_bytes() == b"o mesmo"


@pytest.mark.parametrize("name", ["não há", "aula", "AULA.ISO"])
def test_a_name_that_nobody_has_is_one_sentence(rede, tmp_path, name):
    result = rede.run(f"get '{name}'", downloads=tmp_path / "x")
    assert result.status == 5
    (complaint,) = result.complaints
    assert name in complaint and "Traceback" not in complaint
    assert not (tmp_path / "x").exists()


def test_different_contents_under_one_name_are_told_with_their_addresses(rede, tmp_path):
    result = rede.run("get disputado.txt", downloads=tmp_path / "x")
    assert result.status == 2
    (complaint,) = result.complaints
    assert re.search("conteúdos diferentes com o nome disputado.txt", complaint)
    places = [(rede.ip, rede.port_a), (beside(rede.ip), rede.port_b)]
    for ip, port in places:
        assert f"{ip}:{port}" in complaint
    assert not (tmp_path / "x").exists()
    for (ip, port), data in zip(places, (b"um", b"dois"), strict=True):
        folder = tmp_path / str(port)
        assert rede.run(f"get {ip} {port} disputado.txt", downloads=folder).status == 0
        assert (folder / "disputado.txt").read_bytes() == data


def test_the_same_content_under_two_names_is_one_row(rede):
    result = rede.run("buscar txt", "--json")
    facts = {tuple(fact["names"]): fact for fact in map(json.loads, result.out.splitlines())}
    assert sorted(json.loads(line)["names"] for line in result.out.splitlines()) == [
        ["Ação.txt", "outro nome.txt"], ["disputado.txt"], ["disputado.txt"], ["só em a.txt"]
    ]  # fmt: skip
    same = facts["Ação.txt", "outro nome.txt"]
    assert (same["peers"], same["size"]) == (2, 7)
    assert same["root"] == content_of(b"o mesmo").root.hex()


def test_a_search_finds_a_part_of_a_name_whatever_its_case(rede):
    result = rede.run("buscar AÇÃO; buscar 'nada disso'")
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert rows[0][:3] == ["Arquivos na rede", "Tamanho", "Peers"]
    assert [row[:3] for row in rows if row[0] != "Arquivos na rede"] == [["Ação.txt", "7 B", "2"]]
    assert result.status == 0


def test_ls_alone_lists_the_network(rede):
    result = rede.run("ls", "--json")
    facts = [json.loads(line) for line in result.out.splitlines()]
    assert sorted(name for fact in facts for name in set(fact["names"])) == sorted([*A, *B])
    assert [fact["peers"] for fact in facts if fact["names"] == ["aula.iso"]] == [1]


@needs_libtorrent
def test_torrent_writes_what_libtorrent_loads_and_overwrites_nothing(net):
    net.tracker()
    script = "torrent 'pasta/aula.iso'"
    files = {"pasta/aula.iso": DATA}
    result = net.run(script, files=files)
    path = net.downloads / "aula.iso.torrent"
    assert (result.status, result.out) == (0, f"{path}\n"), result
    found = libtorrent.load_torrent_file(str(path)).ti
    assert (found.name(), found.layout().root(0).to_bytes().hex()) == ("aula.iso", ROOT)
    path.write_bytes(b"da pessoa")
    other = net.downloads / "aula.iso (1).torrent"
    for _ in range(2):
        again = net.run(script, files=files)
        assert (again.status, again.out) == (0, f"{other}\n"), again
    assert path.read_bytes() == b"da pessoa"
    unknown = net.run("torrent 'não há'", files=files)
    assert unknown.status == 5 and len(unknown.complaints) == 1, unknown


def test_a_disk_without_room_for_a_torrent_is_one_sentence_and_leaves_nothing(tmp_path):
    little = ["sh", "-c", 'ulimit -f 2 && exec "$@"', "sh"]  # 1 KiB; the pieces' hashes take more
    with network(tmp_path, little) as net:
        net.tracker()
        result = net.run("torrent aula.iso", files={"aula.iso": DATA * 2})
        assert result.status == 9 and len(result.complaints) == 1, result
        assert not [path for path in net.downloads.rglob("*") if path.is_file()]


# Passing on.


def test_who_downloaded_serves_it_after_the_seed_has_left(net):
    net.tracker()
    seed, seed_port = net.peer(files={"aula.iso": DATA})
    second, second_port = peer_at(net, 1, files={"meu.txt": b"m"})
    eventually(lambda: holders(net) == {seed_port})
    second.send("get aula.iso")
    second.prints("aula.iso: baixado e verificado")
    eventually(lambda: holders(net) == {seed_port, second_port})
    listed = converse(beside(net.ip, 1), second_port, b"ls\n")
    assert b"meu.txt" in listed and b"aula" not in listed  # by root alone, not as its own share
    no = b'erro {"code": "not-here", "message": "x"}\n'
    with Liar.listed(net, {"hashes": no, "want": no}) as namer:  # it tells the name, and no more
        line = b'{"name": "aula.iso", "size": %d, "root": "%s"}\n' % (len(DATA), ROOT.encode())
        said = b'announce {"bytes": %d, "count": 1}\n' % len(line) + line
        namer._stay.membership.sendall(said)
        assert namer._stay.membership.recv(100) == b"ok\n"
        seed.send("quit")
        assert seed.end().status == 0
        assert holders(net) == {namer.port, second_port}
        result = net.run("get aula.iso", ip=beside(net.ip, 3))
    assert result.status == 0, result
    assert (net.downloads / "aula.iso").read_bytes() == DATA


def roots_of(files):
    return [content_of(data).root.hex() for data in files.values()]


def test_small_files_that_came_together_are_served_by_who_has_them(net):
    files = {f"{number}.txt": b"%d" % number * 3000 for number in range(3)}
    net.tracker()
    _, seed_port = net.peer("--servir", files=files)
    second, second_port = peer_at(net, 1, files={})
    eventually(lambda: all(holders(net, root) == {seed_port} for root in roots_of(files)))
    second.send(f"get {net.ip} '*.txt'")
    both = {seed_port, second_port}
    eventually(lambda: all(holders(net, root) == both for root in roots_of(files)))
    assert b'"count": 0' in converse(beside(net.ip, 1), second_port, b"ls\n")
    for root, data in zip(roots_of(files), files.values(), strict=True):
        asked = b'pieces {"root": "%s", "first": 0, "count": 1}\n' % root.encode()
        assert converse(beside(net.ip, 1), second_port, asked).endswith(b"\n" + data)
    (net.folder / "baixados1" / "1.txt").unlink()
    asked = b'want {"root": "%s", "bitmap": "80"}\n' % roots_of(files)[1].encode()
    assert b'"not-here"' in converse(beside(net.ip, 1), second_port, asked)


@pytest.mark.parametrize("data", [DATA, b"pequeno"], ids=["large", "small"])
def test_what_was_here_already_is_served_too(net, data):
    net.tracker()
    _, seed_port = net.peer("--servir", files={"aula.iso": data, "outro.txt": b"o"})
    root = content_of(data).root.hex()
    eventually(lambda: holders(net, root) == {seed_port})
    folder = net.folder / "baixados1"
    folder.mkdir()
    (folder / "aula.iso").write_bytes(data)
    second, second_port = peer_at(net, 1, files={})
    second.send("get aula.iso")
    eventually(lambda: holders(net, root) == {seed_port, second_port})
    second.send(f"get {net.ip} '*'")
    other = content_of(b"o").root.hex()
    eventually(lambda: holders(net, other) == {seed_port, second_port})
    assert holders(net, root) == {seed_port, second_port}


def test_without_seeding_what_was_downloaded_stays_with_who_downloaded_it(net):
    net.tracker()
    _, seed_port = net.peer("--servir", files={"aula.iso": DATA})
    eventually(lambda: holders(net) == {seed_port})
    selfish, selfish_port = peer_at(net, 1, "--nao-semear", files={"meu.txt": b"m"})
    eventually(lambda: known(net, "meu"))
    selfish.send("get aula.iso", "status")
    selfish.prints("aula.iso: baixado e verificado")
    selfish.says("nada em andamento")
    refused = converse(beside(net.ip, 1), selfish_port, b'hashes {"root": "%s"}\n' % ROOT.encode())
    assert b'"not-here"' in refused
    assert holders(net) == {seed_port}


def test_status_tells_what_is_passed_on(net):
    net.tracker()
    net.peer("--servir", files={"aula.iso": DATA})
    eventually(lambda: holders(net))
    program, _ = peer_at(net, 1, "--json", files={})
    program.send("get aula.iso", "status")
    program.prints(rf'"seeding": "{ROOT}", "name": "aula.iso"')


@pytest.mark.parametrize("count", [commands.MAX_SEEDS_NAMED, commands.MAX_SEEDS_NAMED + 1])
def test_status_counts_what_is_passed_on_where_it_is_much(net, count):
    files = {f"{number}.txt": b"%d" % number for number in range(count)}
    net.tracker()
    net.peer("--servir", files=files)
    eventually(lambda: len(known(net)) == count)
    program, port = peer_at(net, 1, files={})
    program.send(f"get {net.ip} '*'")
    eventually(lambda: all(port in holders(net, root) for root in roots_of(files)))
    program.send("status")
    if count == commands.MAX_SEEDS_NAMED:
        for name in files:
            program.prints(rf"{re.escape(name)}\s+à disposição")
    else:
        program.prints(rf"{count} conteúdos\s+à disposição")


# Staying in step.


def test_the_index_is_whole_again_after_the_tracker_was_killed(net):
    net.hurry(max_rejoin_pause_s=0.25, restart_grace_s=0.5)
    tracker = net.tracker()
    _, seed_port = net.peer("--servir", files={"aula.iso": DATA, "a.txt": b"a"})
    second, second_port = peer_at(net, 1, files={"b.txt": b"b"})
    eventually(lambda: len(known(net)) == 3)
    second.send("get aula.iso")
    second.prints("aula.iso: baixado e verificado")
    eventually(lambda: holders(net) == {seed_port, second_port})
    tracker.kill()
    net.tracker()
    eventually(
        lambda: sorted(line["name"] for line in known(net)) == ["a.txt", "aula.iso", "b.txt"]
    )
    eventually(lambda: holders(net) == {seed_port, second_port})


def listed_by(peer):
    """Return the ports that ``peers`` shows in a menu."""
    peer.send("peers", "ajuda quit")
    shown = peer.prints(r"Porta.*\n((?:.*\n)*?).*sair da rede")[1]
    return {int(port) for port in re.findall(r"^127\S+\t(\d+)", shown, re.MULTILINE)}


@pytest.mark.slow
def test_20_peers_agree_again_and_no_download_notices_when_the_tracker_was_killed(net):
    data = random.Random(7).randbytes(6 * 2**20)
    tracker = net.tracker()
    _, port = net.peer("--servir", "--limite", "1M", files={"aula.iso": data})  # for 6 s or more
    members = [
        net.peer(files={}, downloads=net.folder / f"baixados {number}") for number in range(19)
    ]
    ports = {port, *(port for _, port in members)}
    for peer, _ in members:
        eventually(lambda peer=peer: listed_by(peer) == ports)
    getters = dict(enumerate(peer for peer, _ in members[:5]))
    for peer in getters.values():
        peer.send(f"get {net.ip} {port} aula.iso &")
    under_way = [net.folder / f"baixados {number}" / "aula.iso.parte" for number in getters]
    eventually(lambda: all(path.exists() and path.stat().st_size for path in under_way))
    tracker.kill()
    net.tracker()
    began = monotonic()
    for peer, _ in members:
        eventually(lambda peer=peer: listed_by(peer) == ports)
    assert monotonic() - began < 10
    for number, peer in getters.items():
        result = peer.end()
        assert result.status == 0, result
        assert "aula.iso: baixado e verificado" in result.out + result.err
        assert found_in(net.folder / f"baixados {number}") == {"aula.iso": data}


def test_what_is_shared_later_is_found_and_what_is_gone_is_not(net):
    net.tracker()
    list_path = net.sharing({"velho.txt": b"v"})
    program, _ = net.peer(files=list_path)
    eventually(lambda: [line["name"] for line in known(net)] == ["velho.txt"])
    swap = list_path.with_name("outra")
    swap.write_text("novo.txt 0\n")
    swap.replace(list_path)
    eventually(lambda: [line["name"] for line in known(net)] == ["novo.txt"])
    program.kill()
    eventually(lambda: not known(net))
