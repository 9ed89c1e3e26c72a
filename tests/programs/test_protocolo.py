"""docs/PROTOCOLO.md against the programs: every example, field, limit and code.

The page says most of what the tests need. Two tables here tie its words to the code: ANSWERS, what
follows a request, and LIMITS, which constant a row means.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import shlex
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import pytest
from conftest import ROOT
from processes import PATIENCE, Programs, beside, converse, eventually, network

import Peers
from rede_p2p.cli import options
from rede_p2p.cli.peer import MAX_CONNECTIONS, Peer, Story
from rede_p2p.content import merkle, safe_names
from rede_p2p.download import inquiry, seats
from rede_p2p.errors import ProtocolError, ProtocolKind, RefusedError
from rede_p2p.net import connection, discovery, patience, requests, turns
from rede_p2p.protocol import codec, datagrams, fields, messages
from rede_p2p.protocol.datagrams import BY_UDP
from rede_p2p.protocol.verbs import TO_PEER, TO_TRACKER
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.tracker import announcer, content_index, registry, service
from rede_p2p.upload import (
    offer_picker,
    seed_store,
    seeded_bundle,
    seeded_content,
    upload_session,
    upload_slots,
)

PAGE = (ROOT / "docs" / "PROTOCOLO.md").read_text(encoding="utf-8")
TABLES = {"tracker": TO_TRACKER, "peer": TO_PEER, "udp": BY_UDP}
TITLES = {"udp": "2. Achar o tracker", "tracker": "3. Com o tracker", "peer": "4. Com um peer"}
PORTS = {
    "tracker": discovery.WELL_KNOWN_PORT,
    "peer": registry.FIRST_PORT,
    "udp": discovery.WELL_KNOWN_PORT,
}

# What follows a request: its reply, and the lines of the body of either.
ANSWERS: dict[type, tuple[type, type | None]] = {
    datagrams.LocateTracker: (datagrams.TrackerLocation, None),
    messages.Join: (messages.PortOffer, None),
    messages.PortTaken: (messages.PortOffer, None),
    messages.Ready: (messages.Ok, None),
    messages.Peers: (messages.Listing, messages.PeerEntry),
    messages.Ping: (messages.Ok, None),
    messages.Reach: (messages.Reached, None),
    messages.Announce: (messages.Ok, messages.FileEntry),
    messages.Withdraw: (messages.Ok, messages.FileEntry),
    messages.Find: (messages.Listing, messages.PeerEntry),
    messages.Search: (messages.Listing, messages.SearchResult),
    messages.Ls: (messages.Listing, messages.FileEntry),
    messages.Stat: (messages.FileInfo, None),
    messages.Get: (messages.FileData, None),
    messages.Hashes: (messages.FileData, None),
    messages.Pieces: (messages.FileData, None),
    messages.Bundle: (messages.Ok, messages.BundleMember),
    messages.Want: (messages.PieceOffer, None),
    messages.Take: (messages.PieceData, None),
    messages.Next: (messages.PieceOffer, None),
    messages.Quit: (messages.Ok, None),
}

LIMITS = {
    "versão do protocolo": messages.PROTOCOL_VERSION,
    "porta UDP, e porta TCP padrão do tracker": discovery.WELL_KNOWN_PORT,
    "primeira porta pública, por padrão": registry.FIRST_PORT,
    "menor porta pública permitida": fields.LOWEST_PUBLIC_PORT,
    "uma linha, com o LF": codec.MAX_LINE_BYTES,
    "um datagrama": discovery.MAX_DATAGRAM_BYTES,
    "o corpo de uma lista": fields.MAX_LISTING_BYTES,
    "o corpo de um `announce` ou `withdraw`": fields.MAX_ANNOUNCE_BYTES,
    "o corpo de um `bundle`": fields.MAX_BUNDLE_BYTES,
    "conteúdos de um pacote": fields.MAX_BUNDLE_FILES,
    "bytes de todos os conteúdos de um pacote": fields.MAX_BUNDLE_CONTENT_BYTES,
    "conteúdos de todos os pacotes descritos": seed_store.MAX_BUNDLED_FILES,
    "conteúdos de pacotes novos que um endereço descreve, por segundo": (
        seed_store.MAX_DESCRIBED_PER_S
    ),
    "linhas de uma lista": fields.MAX_LISTING_LINES,
    "linhas de uma lista do tracker": fields.MAX_TRACKER_LINES,
    "números em um `got` ou `lost`": fields.MAX_NEWS_INDEXES,
    "números em um `others`": fields.MAX_OTHER_PIECES,
    "números que o programa põe em um `others`": offer_picker.OTHER_PIECES_OFFERED,
    "um arquivo": merkle.MAX_CONTENT_BYTES,
    "um nome inteiro": safe_names.MAX_NAME_BYTES,
    "partes de um nome": safe_names.MAX_PARTS,
    "cada parte de um nome": safe_names.MAX_PART_BYTES,
    "o nome de um peer": safe_names.MAX_PEER_NAME_BYTES,
    "para a conexão ser feita": DEFAULT.dial_s,
    "para ela ser feita de novo com um tracker que caiu": DEFAULT.rejoin_dial_s,
    "para uma linha de resposta chegar inteira": DEFAULT.reply_s,
    "para os outros responderem a um `stat` ou `ls`, depois que um respondeu": DEFAULT.reply_s,
    "para um `stat` depois de algo errado, cortado ou mudado": DEFAULT.max_quiet_wait_s
    + DEFAULT.reply_s,
    "peers a que se pergunta um nome ao mesmo tempo": inquiry.PARALLEL_QUERIES,
    "fontes a que se pedem os resumos das peças ao mesmo tempo": inquiry.PARALLEL_QUERIES,
    "para uma linha que começou chegar inteira": DEFAULT.line_s,
    "ouvindo `espera` sem nada melhor": DEFAULT.pending_s,
    "o que é melhor: bytes lidos a mais": patience.MIN_PENDING_BYTES,
    "o que é melhor: arquivos vistos a mais": patience.MIN_PENDING_FILES,
    "ouvindo `espera`, ao todo": DEFAULT.max_pending_s,
    "`espera` em uma conexão": patience.MAX_PENDINGS_AT_ONCE,
    "para um corpo ou um envio progredir": DEFAULT.stall_s,
    "o progresso que se exige de um corpo ou de um envio": connection.MIN_PROGRESS_BYTES,
    "entre dois `ping`": DEFAULT.heartbeat_s,
    "silêncio de quem está na lista": DEFAULT.member_silence_s,
    "silêncio de quem não está na lista": DEFAULT.stranger_silence_s,
    "silêncio de quem se conectou a um peer": DEFAULT.peer_silence_s,
    "silêncio de quem se conectou a um peer lotado": DEFAULT.peer_idle_s,
    "conexões a um tracker": service.MAX_CONNECTIONS,
    "conexões a um peer": MAX_CONNECTIONS,
    "vagas de envio": upload_slots.MAX_UPLOADS,
    "banda de cada vaga, por segundo, com `--limite`": upload_slots.MIN_RATE_BYTES_PER_S,
    "o maior corpo que não espera vaga": upload_slots.MAX_SMALL_BODY_BYTES,
    "entre duas `espera` na fila": DEFAULT.place_report_s,
    "para quem ouviu `not-here` descrever um pacote que outros também querem": (
        DEFAULT.description_wait_s
    ),
    "entre duas `espera` do cálculo da raiz, ou de uma lista": DEFAULT.hash_report_s,
    "sem mudar, antes de um arquivo ser anunciado": DEFAULT.quiet_s,
    "para um arquivo pedido parar de mudar": DEFAULT.max_quiet_wait_s,
    "para um tracker aceitar, e para dizer qual é": DEFAULT.identify_s,
    "para a porta de um peer aceitar o tracker, e para responder": DEFAULT.call_back_s,
    "entre dois `reach` de um endereço": DEFAULT.call_back_interval_s,
    "primeira pausa antes de voltar ao tracker": DEFAULT.first_rejoin_pause_s,
    "maior pausa antes de voltar ao tracker": DEFAULT.max_rejoin_pause_s,
    "antes de servir outro tracker da mesma máquina": DEFAULT.restart_grace_s,
    "portas ocupadas em uma conversa": fields.MAX_PORT_OFFERS,
    "entre duas tentativas de tomar a porta UDP": DEFAULT.take_over_interval_s,
    "perguntas `where`": discovery.DISCOVERY_TRIES,
    "respostas a `where` por segundo": discovery.MAX_ANSWERS_PER_S,
    "as mesmas, a um endereço": discovery.MAX_ANSWERS_PER_ADDRESS_PER_S,
    "espera por uma resposta a `where`": DEFAULT.discovery_try_s,
    "a mesma, na própria máquina": DEFAULT.local_discovery_try_s,
    "uma busca na rede": DEFAULT.search_s,
    "para trackers que abrem juntos ficarem em um": DEFAULT.max_opening_s,
    "um bloco da árvore": merkle.BLOCK_BYTES,
    "um resumo": merkle.HASH_BYTES,
    "a menor peça": merkle.MIN_PIECE_BYTES,
    "peças de um conteúdo": merkle.MAX_PIECES,
    "espera por algo novo que oferecer": DEFAULT.offer_wait_s,
    "a mesma, por um bloco inteiro, onde já há peças dele": offer_picker.UNIT_WAIT_S,
    "depois que chega por si algo de um pacote, espera por mais": seeded_bundle.GROWS_ON_S,
    "a oferta mais longa de um pacote": upload_session.MAX_BUNDLE_RUN_BYTES,
    "a oferta mais longa": upload_session.MAX_RUN_BYTES,
    "o que se relê por um `again`": seeded_content.MAX_CHECKED_BYTES,
    "a resposta a um `again`, se a peça está certa": DEFAULT.again_pause_s,
    "fontes de um download ao mesmo tempo": seats.MIN_SEATS,
    "as mesmas, onde são lentas": seats.MAX_SEATS,
    "uma rodada em que pouco vem": seats.MAX_ROUND_S,
    "um download sem uma peça nova": DEFAULT.download_stall_s,
    "primeira pausa antes de repetir um `find`": DEFAULT.first_search_pause_s,
    "maior pausa entre dois `find`": DEFAULT.max_search_pause_s,
    "linhas de um `announce` do programa": announcer.MAX_LINES_PER_ANNOUNCE,
    "nomes que o tracker guarda de um peer": content_index.MAX_NAMES_PER_PEER,
    "bytes nesses nomes": content_index.MAX_NAME_BYTES_PER_PEER,
    "vezes isso, de todos os peers de um endereço": content_index.PEERS_WORTH_PER_ADDRESS,
    "vezes isso, de todos os peers": content_index.PEERS_WORTH_IN_ALL,
    "listas que um endereço recebe ou manda ao mesmo tempo": turns.MAX_LISTS_PER_ADDRESS,
    "linhas da resposta a um `search`": content_index.MAX_SEARCH_LINES,
    "bytes dela, mais ou menos": content_index.MAX_SEARCH_BYTES,
}

# What the peer of the examples shares.
SAMPLE = {
    name: (ROOT / "arquivos_compartilhaveis" / file).read_bytes()
    for name, file in (("a.txt", "a.txt"), ("b.txt", "a.txt"), ("int.png", "int.png"))
}
ZEROS = bytes(200_000)
FILES = {**SAMPLE, "zeros.bin": ZEROS}


# Reading the page.


@dataclass
class Reply:
    """One line of reply; ``body`` is None where there is none, and a length where it is no text."""

    line: bytes
    body: bytes | int | None = None


@dataclass
class Exchange:
    """A request and its body; the waits and the reply."""

    side: str
    request: bytes
    body: bytes = b""
    replies: list[Reply] = field(default_factory=list)

    @property
    def reply(self) -> Reply:
        return self.replies[-1]


@dataclass(frozen=True)
class Message:
    """What stands under the heading of a message: its text, and the fields and errors it names."""

    text: str

    def items(self, label: str) -> list[str]:
        """Return what stands in backticks after ``**label:**``."""
        found = re.search(rf"\*\*{label}:\*\*\s([^.]*)\.", self.text)
        return re.findall("`([^`]+)`", found[1]) if found else []


def section(title: str) -> str:
    """Return what stands under a heading of the second level."""
    _, _, rest = PAGE.partition(f"\n## {title}\n")
    assert rest, f"no section {title}"
    return rest.split("\n## ")[0]


def parts(text: str) -> Iterator[tuple[str, Message]]:
    """Yield each verb, or word of reply, that has a heading of the third level, and its message."""
    for part in text.split("\n### ")[1:]:
        heading, _, rest = part.partition("\n")
        for verb in re.findall("`([a-z-]+)`", heading.partition(":")[0]):
            yield verb, Message(rest)


def conversations() -> Iterator[list[Exchange]]:
    """Yield what is said in one connection each: all blocks of sections 3 and 4, or one block."""
    for title, text in re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S):
        blocks = re.findall(rf"^```({'|'.join(TABLES)})\n(.*?)^```$", text, re.M | re.S)
        if title in (TITLES["tracker"], TITLES["peer"]):
            yield [said for side, block in blocks for said in exchanges(side, block)]
        else:
            yield from (list(exchanges(side, block)) for side, block in blocks)


def exchanges(side: str, block: str) -> list[Exchange]:
    """Read the lines of a conversation."""
    found: list[Exchange] = []
    texts: list[str] = []
    for line in block.splitlines():
        mark, text = line[:2], line[2:]
        if mark == "→ ":
            found.append(Exchange(side, text.encode() + b"\n"))
        elif mark == "⇒ ":
            found[-1].body += text.encode() + b"\n"
        elif mark == "← ":
            found[-1].replies.append(Reply(text.encode() + b"\n"))
            texts = []
        elif mark == "⇐ ":
            texts.append(text)
            found[-1].reply.body = _body(texts, found[-1].reply.line)
        else:
            pytest.fail(f"not a line of a conversation: {line}")
    return found


def _body(texts: list[str], header: bytes) -> bytes | int:
    """Put the lines of a body together; its last LF is there if the header counts it."""
    raw = re.fullmatch(r"\[(\d+) bytes\]", texts[0])
    if raw:
        return int(raw[1])
    body = "\n".join(texts).encode()
    announced = json.loads(header.removeprefix(b"ok "))["bytes"]
    return body + b"\n" if announced == len(body) + 1 else body


def rows(text: str) -> list[list[str]]:
    """Return the rows of the first table of a text, without its head."""
    lines = text[text.index("|") :].split("\n\n")[0].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def number(text: str) -> float:
    """Read a number as the page writes it: 1.024, 0,25, 2⁵⁰, 2⁶³ − 1, 64 KiB, 15 s."""
    power = re.fullmatch("2([⁰¹²³⁴⁵⁶⁷⁸⁹]+)( − 1)?( bytes)?", text)
    if power:
        exponent = int(power[1].translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")))
        return 2**exponent - bool(power[2])
    plain = re.fullmatch(r"(\d{1,3}(?:\.\d{3})*|\d+)(,\d+)?(?: (bytes|KiB|MiB|s))?", text)
    assert plain, f"not a number: {text}"
    unit = {"KiB": 1024, "MiB": 1024**2}.get(plain[3], 1)
    return float(plain[1].replace(".", "") + (plain[2] or "").replace(",", ".")) * unit


def check(cell: str) -> codec.Check:
    """Read what a field accepts."""
    for pattern, kind in (
        ("inteiro de (.+) a (.+)", codec.Integer),
        (
            "lista de até (.+) inteiros de 0 a (.+)",
            lambda most, last: codec.Indexes(last + 1, most),
        ),
        ("até (.+) bytes em hexadecimal", codec.Hexadecimal),
        ("texto de até (.+) bytes", codec.Text),
        ("nome de até .+ bytes", lambda: codec.read_peer_name),
        ("64 dígitos hexadecimais", lambda: codec.Hexadecimal(32, 32)),
        ("endereço IP", lambda: codec.read_ip),
        ("`true` ou `false`", lambda: codec.read_bool),
    ):
        match = re.fullmatch(pattern, cell)
        if match:
            return kind(*(int(number(group)) for group in match.groups()))
    pytest.fail(f"not a check: {cell}")


MESSAGES = {
    (side, verb): message
    for side, title in TITLES.items()
    for verb, message in parts(section(title))
}
CONVERSATIONS = list(conversations())
CODES = {cells[0].strip("`"): cells for cells in rows(section("8. Os códigos de erro"))}


# The examples, played with the programs.


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """A tracker, and a peer that shares the files of the examples, on the ports of the page."""
    with network(tmp_path_factory.mktemp("rede")) as started:
        started.port = PORTS["tracker"]
        started.tracker(first_port=PORTS["peer"])
        started.peer("--servir", files=FILES)
        search = b'search {"text": ""}\nquit\n'
        count = b'"count": %d}' % len(FILES)
        eventually(lambda: count in converse(started.ip, started.port, search))
        yield started


def hear(ip: str, side: str, said: bytes) -> bytes:
    """Say everything at once, as ``printf … | nc`` does, and return all that is answered."""
    if side != "udp":
        return converse(ip, PORTS[side], said)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect((ip, PORTS[side]))
        sock.send(said)
        return sock.recv(65536)


def is_wait(line: bytes) -> bool:
    return line.startswith(b"espera")


def said_in(spoken: list[Exchange]) -> bytes:
    return b"".join(exchange.request + exchange.body for exchange in spoken)


def compare(heard: bytes, spoken: list[Exchange], ip: str) -> None:
    """Compare what was heard from programs at ``ip`` with the replies of the page."""
    for exchange in spoken:
        for reply in exchange.replies:
            line, body = at(ip, reply)
            assert heard[: len(line)] == line
            heard = heard[len(line) :]
            if isinstance(body, int):
                check_raw(exchange.request, heard[:body])
                heard = heard[body:]
            elif body is not None:
                assert heard[: len(body)] == body
                heard = heard[len(body) :]
    assert heard == b""


def at(ip: str, reply: Reply) -> tuple[bytes, bytes | int | None]:
    """Put another address in the place of the page's, and count the bytes of a list anew."""
    line = reply.line.replace(b"127.0.0.1", ip.encode())
    if not isinstance(reply.body, bytes):
        return line, reply.body
    body = reply.body.replace(b"127.0.0.1", ip.encode())
    count = re.fullmatch(rb'ok \{"bytes": \d+, "count": (\d+)\}\n', line)
    if count:
        line = codec.encode_reply(messages.Listing(len(body), int(count[1])))
    return line, body


def check_raw(request: bytes, raw: bytes) -> None:
    """Check a body that is not text: the hashes of zeros.bin, or pieces of it."""
    if request.startswith(b"hashes "):
        root = json.loads(request.removeprefix(b"hashes "))["root"]
        assert merkle.root_of(raw, len(ZEROS)).hex() == root
    else:
        assert raw == bytes(len(raw))


PLAYED = [c for c in CONVERSATIONS if not any(is_wait(r.line) for e in c for r in e.replies)]


@pytest.mark.parametrize("spoken", PLAYED, ids=[c[0].request.split()[0].decode() for c in PLAYED])
def test_the_programs_answer_as_the_page_says(programs, spoken):
    heard = hear(programs.ip, spoken[0].side, said_in(spoken))
    compare(heard, spoken, programs.ip)


def test_a_peer_without_a_free_slot_answers_as_the_page_says(host, tmp_path):
    (spoken,) = (c for c in CONVERSATIONS if c not in PLAYED)
    shared = Programs(tmp_path).sharing(FILES)
    chosen = options.PeerOptions(own_ip=host, share_list=shared)
    story = Story(Peers.menu, Peers.listening, Peers.connect_to_peer)
    with ExitStack() as stack:
        peer = Peer(chosen, story, lambda _: None, Timeouts(place_report_s=0.01))
        stack.callback(peer.close)
        peer.slots = upload_slots.UploadSlots(slots=1, timeouts=peer.timeouts)
        assert peer.open_port(PORTS["peer"])
        (zeros,) = (share for share in peer.shares.shares() if share.name == "zeros.bin")
        assert peer.hash_cache.wait(zeros.path, zeros.state, PATIENCE)
        sock = socket.create_connection((host, PORTS["peer"]), PATIENCE)
        talk = stack.enter_context(stack.enter_context(sock).makefile("rb"))
        with peer.slots.slot(SimpleNamespace(to=beside(host)), pytest.fail):
            sock.sendall(said_in(spoken))
            first = line = talk.readline()
        while is_wait(line):
            assert line == first  # nobody else is in the queue
            line = talk.readline()
        sock.shutdown(socket.SHUT_WR)
        compare(first + line + talk.read(), spoken, host)


def test_a_body_that_is_not_the_list_it_says_ends_the_conversation(programs):
    join = converse(programs.ip, programs.port, b'join {"version": 1}\n')
    port = json.loads(join.removeprefix(b"ok "))["port"]
    said = (
        b'join {"version": 1}\nready {"port": %d}\nannounce {"bytes": 3, "count": %d}\n%s\nping\n'
    )
    for count, body, code in ((2, b"{}", b"bad-count"), (1, b"{}", b"no-field")):
        heard = converse(programs.ip, programs.port, said % (port, count, body))
        assert heard.splitlines()[2].startswith(b'erro {"code": "%s"' % code)
        assert len(heard.splitlines()) == 3


def test_a_browser_is_hung_up_on_without_a_word(programs):
    for side in ("tracker", "peer"):
        assert hear(programs.ip, side, b"GET / HTTP/1.1\r\n") == b""


# The examples, read by the code.

EXCHANGES = [exchange for conversation in CONVERSATIONS for exchange in conversation]


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda e: e.request.split()[0].decode())
def test_an_example_is_what_the_code_reads_and_writes(exchange):
    reply_kind, line_kind = messages.Ok, None
    try:
        request = codec.decode_request(exchange.request, TABLES[exchange.side])
    except ProtocolError as error:  # ill-formed, and refused as such
        assert json.loads(exchange.reply.line.removeprefix(b"erro "))["code"] == error.kind
    else:
        assert codec.encode_request(request) == exchange.request
        reply_kind, line_kind = ANSWERS[type(request)]
        if exchange.body:
            check_lines(request, exchange.body, line_kind)
    for reply in exchange.replies:
        read = read_reply(reply.line, reply_kind)
        assert codec.encode_reply(read) == reply.line
        assert isinstance(read, codec.Pending) == (reply is not exchange.reply)
        if isinstance(read, messages.Listing):
            check_lines(read, reply.body, line_kind)
        elif isinstance(read, messages.FileData | messages.PieceData):
            assert (reply.body if isinstance(reply.body, int) else len(reply.body)) == read.bytes
        else:
            assert reply.body is None


def read_reply(line: bytes, kind: type) -> object:
    try:
        return codec.decode_reply(line, kind)
    except RefusedError as no:
        return codec.Refusal(no.code, no.message)


def check_lines(head: object, body: bytes, kind: type) -> None:
    assert len(body) == head.bytes
    assert codec.encode_lines(codec.decode_lines(body, kind, head.count)) == body


def test_what_the_page_has_typed_is_what_it_shows():
    shown = {(spoken[0].side, said_in(spoken).decode()) for spoken in CONVERSATIONS}
    typed = re.findall(r"^printf (.+) \| nc (.+)$", PAGE, re.MULTILINE)
    assert {"-u" in spoken for _, spoken in typed} == {True, False}
    for quoted, spoken in typed:
        (text,) = shlex.split(quoted)
        assert "%" not in text
        side = next(s for s in TABLES if spoken.endswith(f" {PORTS[s]}") and s != "tracker")
        assert spoken == f"{'-u -w1 ' if side == 'udp' else ''}127.0.0.1 {PORTS[side]}"
        assert (side, text.replace("\\n", "\n")) in shown


# The vocabulary.


@pytest.mark.parametrize("side", TABLES)
def test_every_verb_has_its_heading_and_its_example(side):
    headings = [verb for verb, _ in parts(section(TITLES[side]))]
    assert sorted(headings) == sorted(TABLES[side])
    for verb in headings:
        assert re.search(f"^→ {verb}\\b", MESSAGES[side, verb].text, re.MULTILINE), verb


def kinds_in_the_page() -> Iterator[tuple[Message, str, type]]:
    """Yield each message, the label of its fields, and the class that the fields are of."""
    replies = dict(parts(section("1. A gramática")))
    yield replies["erro"], "Resposta", codec.Refusal
    yield replies["espera"], "Resposta", codec.Pending
    for (side, verb), message in MESSAGES.items():
        request = TABLES[side][verb]
        reply, line = ANSWERS[request]
        yield message, "Pedido", request
        if reply is messages.Listing:
            assert "**Resposta:** uma lista." in message.text, verb
        else:
            yield message, "Resposta", reply
        if line is not None:
            yield message, "Linha", line


def signature(name: str, default: object) -> str:
    """Write a field as the page does: ``a``, ``b?`` or ``c = 0``."""
    if default is MISSING:
        return name
    if default is None:
        return f"{name}?"
    return f"{name} = {json.dumps(default)}"


def test_every_message_names_its_fields():
    documented: dict[type, set[str]] = {}
    for message, label, kind in kinds_in_the_page():
        given = message.items(label)
        fields = {signature(name, default): default for name, _, default in codec._checks(kind)}
        assert given == [text for text in fields if text in given], (label, kind)
        # A reply that never has an optional field of its class does not name it.
        assert {text for text, default in fields.items() if default is MISSING} <= set(given)
        documented.setdefault(kind, set()).update(given)
    for kind, given in documented.items():
        assert len(given) == len(dataclasses.fields(kind)), kind
    assert set(documented) | {messages.Listing} == all_kinds()


def all_kinds() -> set[type]:
    return {codec.Refusal, codec.Pending} | {
        kind
        for module in (messages, datagrams)
        for kind in vars(module).values()
        if dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
    }


def test_the_table_of_fields_is_what_the_code_accepts():
    table = rows(PAGE.split("\n### Os campos\n")[1])
    documented = [
        (name, check(accepts))
        for names, accepts, _ in table
        for name in re.findall("`(.+?)`", names)
    ]
    assert len(documented) == len(set(documented))
    checks = {(name, accepts) for kind in all_kinds() for name, accepts, _ in codec._checks(kind)}
    assert set(documented) == checks


# The numbers and the names.


@pytest.mark.parametrize("row", rows(section("7. Os limites")), ids=lambda row: row[0])
def test_a_limit_is_the_constant(row):
    limit, value, _ = row
    assert number(value) == LIMITS[limit]


def test_every_limit_has_its_row():
    assert [limit for limit, _, _ in rows(section("7. Os limites"))] == list(LIMITS)


def test_every_time_and_size_in_the_text_is_one_of_the_limits():
    limits = {
        (number(value), value.endswith(" s")) for _, value, _ in rows(section("7. Os limites"))
    }
    text = re.sub(r"^(```.*?^```|\|[^\n]*)$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    said = re.findall(r"\d[\d.,]* (?:KiB|MiB|s)\b", text)
    assert said
    for quantity in said:
        assert (number(quantity), quantity.endswith(" s")) in limits, quantity


def test_the_table_of_pieces_is_what_the_code_computes():
    table = rows(section("5. O conteúdo"))
    assert len(table) > 3
    for cells in table:
        size, piece, count = (int(number(cell)) for cell in cells)
        assert merkle.piece_length(size) == piece
        assert merkle.piece_count(size) == count


def test_the_root_of_an_empty_file_is_that_of_the_page():
    assert f"`{merkle.root_of(merkle.layer_of(b''), 0).hex()}`" in section("5. O conteúdo")


def test_the_names_of_the_page_are_safe_or_refused_as_it_says():
    for label, safe in (("Seguros", True), ("Recusados", False)):
        (line,) = re.findall(rf"^- {label}: (.+)\.$", section("6. Os nomes"), re.MULTILINE)
        for name in re.findall("`([^`]+)`", line):
            assert safe_names.is_safe(name) == safe, name


# The codes.


def test_the_codes_are_those_that_the_programs_send():
    assert set(CODES) == set(refused_codes()) | set(malformed_kinds())


def test_a_code_that_ends_the_conversation_says_so():
    (loop,) = (node for node in functions(requests) if node.name == "requests")
    (ending,) = (
        node.comparators[0]
        for node in ast.walk(loop)
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In)
    )
    ended = {code for code, cells in CODES.items() if "encerrada" in cells[3]}
    assert ended == {element.value for element in ending.elts} | {"full", "bad-count"}


def test_the_errors_of_the_messages_are_in_the_table_of_codes():
    general = set(malformed_kinds()) - {"bad-count"} | {"full"}  # any request may get one of these
    for side in ("tracker", "peer"):
        named = {
            code
            for (at_side, _), message in MESSAGES.items()
            if at_side == side
            for code in message.items("Erros")
        }
        assert named == {code for code in CODES if side in CODES[code][1]} - general


def refused_codes() -> Iterator[str]:
    """Find each ``RefusedError("…")`` of the programs."""
    for path in (*sorted((ROOT / "rede_p2p").rglob("*.py")), *ROOT.glob("*.py")):
        yield from first_words(ast.parse(path.read_text(encoding="utf-8")), "RefusedError")


def malformed_kinds() -> Iterator[str]:
    """Find each ``ProtocolError("…")`` that reading a request may raise; http is not answered."""
    for module in (codec, connection):
        for function in functions(module):
            if function.name != "decode_reply":
                yield from set(first_words(function, "ProtocolError")) - {"http"}


def test_what_reading_a_request_may_raise_is_a_kind_of_error_that_we_know():
    kinds = set(get_args(ProtocolKind))
    assert set(malformed_kinds()) < kinds
    # The rest is of replies: nobody is refused for them.
    assert kinds - set(malformed_kinds()) == {"http", "stranger", "bad-length"}


def functions(module: object) -> list[ast.FunctionDef]:
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def first_words(tree: ast.AST, name: str) -> Iterator[str]:
    """Yield the literals that stand first in the calls of a function."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        first = node.args[0]
        if called == name:
            choices = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
            yield from (c.value for c in choices if isinstance(c, ast.Constant))


def test_every_link_inside_the_page_leads_to_a_heading():
    headings = re.findall("^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors
