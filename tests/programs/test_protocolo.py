"""The protocol's page against the code: every example, every field, every limit, every code.

The page says all that the tests need: the label of a block is whom it speaks to, and the line
``**Mensagens:**`` of a section names the classes. A new message needs a section, and nothing here.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib
import json
import re
import shlex
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import MISSING, dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Event
from time import monotonic

import pytest
from conftest import ROOT

import Peers
import Servidor
from rede_p2p.cli import options
from rede_p2p.cli.terminal import Terminal
from rede_p2p.content import merkle
from rede_p2p.errors import ProtocolError, RefusedError
from rede_p2p.net.discovery import WELL_KNOWN_PORT
from rede_p2p.protocol import codec, messages
from rede_p2p.protocol.messages import BY_UDP, TO_PEER, TO_TRACKER
from rede_p2p.tracker.announcer import Announcer
from rede_p2p.tracker.client import TrackerClient
from rede_p2p.tracker.registry import FIRST_PORT

PAGE = (ROOT / "docs" / "PROTOCOLO.md").read_text(encoding="utf-8")
TABLES = {"tracker": TO_TRACKER, "peer": TO_PEER, "udp": BY_UDP}
TITLES = {
    "tracker": "Pedidos ao tracker",
    "peer": "Pedidos a um peer",
    "udp": "A pergunta por UDP",
}
PORTS = {"tracker": WELL_KNOWN_PORT, "peer": FIRST_PORT, "udp": WELL_KNOWN_PORT}
PATIENCE = 20.0  # seconds


# Reading the page.


@dataclass(frozen=True)
class Block:
    """A fenced block: its label, its lines, and the number of the first of them in the page."""

    label: str
    lines: list[str]
    at: int


@dataclass
class Reply:
    """One line of reply; ``body`` is None where there is none, and bytes where it is text."""

    line: bytes
    body: bytes | int | None = None


@dataclass
class Exchange:
    """A request and its body, the waits, the reply."""

    request: bytes
    body: bytes = b""
    replies: list[Reply] = field(default_factory=list)

    @property
    def reply(self) -> Reply:
        return self.replies[-1]


def blocks() -> list[Block]:
    found: list[Block] = []
    inside = False
    for number, line in enumerate(PAGE.splitlines(), start=1):
        if line.startswith("```"):
            inside = not inside
            if inside:
                found.append(Block(line[3:], [], number + 1))
        elif inside:
            found[-1].lines.append(line)
    return found


def exchanges(block: Block) -> list[Exchange]:
    """Read the lines of a conversation."""
    found: list[Exchange] = []
    texts: list[str] = []
    for line in block.lines:
        mark, text = line[:2], line[2:]
        if mark == "→ ":
            found.append(Exchange(text.encode() + b"\n"))
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


def section(title: str) -> str:
    """Return what stands under a heading of the second level."""
    _, _, rest = PAGE.partition(f"\n## {title}\n")
    assert rest, f"no section {title}"
    return rest.split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """Return the rows of the first table of a text, without its head."""
    lines = text[text.index("|") :].split("\n\n")[0].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def number(text: str) -> float:
    """Read a number as the page writes it: 1.024, 0,25, 2⁵⁰, 2⁶³ − 1, 64 KiB, 15 s."""
    power = re.fullmatch("2([⁰¹²³⁴⁵⁶⁷⁸⁹]+)( − 1)?( bytes)?", text)
    if power:
        return 2 ** int(power[1].translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789"))) - bool(
            power[2]
        )
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
        ("64 dígitos hexadecimais", codec.Digest),
        ("endereço IP", codec.IpAddress),
        ("`true` ou `false`", codec.Boolean),
    ):
        match = re.fullmatch(pattern, cell)
        if match:
            return kind(*(int(number(group)) for group in match.groups()))
    pytest.fail(f"not a check: {cell}")


def mandatory(default: object) -> str:
    if default is MISSING:
        return "sim"
    return "não" if default is None else f"não; vale `{json.dumps(default)}`"


@dataclass(frozen=True)
class Section:
    """The section of one message."""

    side: str
    verb: str
    request: str
    request_line: str
    reply: str
    line: str


def sections() -> list[Section]:
    message = r"`(\w+)`(?:, com linhas `(\w+)`)?"
    pattern = re.compile(
        rf"^### `([a-z-]+)`[^\n]*\n\n\*\*Mensagens:\*\* {message} → {message}$", re.MULTILINE
    )
    return [
        Section(side, *(group or "" for group in match.groups()))
        for side, title in TITLES.items()
        for match in pattern.finditer(section(title))
    ]


def kind_of(name: str) -> type:
    """Find a class of message by the name that the page gives it."""
    found = getattr(messages, name, None) or getattr(codec, name)
    assert dataclasses.is_dataclass(found)
    return found


SECTIONS = {(found.side, found.verb): found for found in sections()}
CONVERSATIONS = [block for block in blocks() if block.label in TABLES]
EXCHANGES = [
    pytest.param(block.label, exchange, id=f"{block.label}-{block.at}-{number}")
    for block in CONVERSATIONS
    for number, exchange in enumerate(exchanges(block))
]


# The examples.


@pytest.mark.parametrize(("side", "exchange"), EXCHANGES)
def test_an_example_is_what_the_code_reads_and_writes(side, exchange):
    found = read_request(side, exchange)
    assert exchange.replies, "a request without a reply"
    for reply in exchange.replies:
        read = read_reply(reply.line, kind_of(found.reply) if found else messages.Ok)
        assert codec.encode_reply(read) == reply.line
        assert isinstance(read, codec.Pending) == (reply is not exchange.reply)
        check_body(read, reply.body, found.line if found else "")


def read_request(side: str, exchange: Exchange) -> Section | None:
    """Return the section of the request; None for one that is ill-formed, and refused as such."""
    try:
        request = codec.decode_request(exchange.request, TABLES[side])
    except ProtocolError as error:
        with pytest.raises(RefusedError) as refused:
            codec.decode_reply(exchange.reply.line, messages.Ok)
        assert refused.value.code == error.kind
        return None
    assert codec.encode_request(request) == exchange.request
    found = SECTIONS[side, request.verb]
    if found.request_line:
        check_lines(request, exchange.body, found.request_line)
    else:
        assert not exchange.body
    return found


def read_reply(line: bytes, kind: type) -> object:
    try:
        return codec.decode_reply(line, kind)
    except RefusedError as no:
        return codec.Refusal(no.code, no.message)


def check_body(reply: object, body: bytes | int | None, line_kind: str) -> None:
    if isinstance(reply, messages.Listing):
        check_lines(reply, body, line_kind)
    elif isinstance(reply, messages.FileData | messages.PieceData):
        assert (body if isinstance(body, int) else len(body)) == reply.bytes
    else:
        assert body is None


def check_lines(head: object, body: object, kind: str) -> None:
    assert isinstance(body, bytes)
    assert len(body) == head.bytes
    lines = codec.decode_lines(body, kind_of(kind), head.count)
    assert codec.encode_lines(lines) == body


def test_every_example_starts_with_what_is_sent_and_ends_with_what_is_received():
    for block in CONVERSATIONS:
        assert block.lines[0].startswith("→ "), block.at
        assert not block.lines[-1].startswith("→ "), block.at


def test_the_roots_in_the_examples_are_those_of_their_bytes():
    sample = (ROOT / "arquivos_compartilhaveis" / "a.txt").read_bytes()
    assert hashlib.sha256(sample).hexdigest() in PAGE
    zeros, size = bytes(merkle.FINEST_PIECE), 200_000
    layer = b"".join(
        merkle.piece_hashes(zeros[:length], size)[0]
        for _, length in merkle.cut(size, merkle.piece_length(size))
    )
    assert merkle.root_of(layer, size).hex() in PAGE
    assert merkle.root_of(merkle.layer_of(b""), 0).hex() in PAGE


# The vocabulary.


@pytest.mark.parametrize("side", TABLES)
def test_every_verb_has_its_section(side):
    headings = re.findall("^### `([a-z-]+)`", section(TITLES[side]), re.MULTILINE)
    assert sorted(headings) == sorted(TABLES[side])
    assert {verb for at, verb in SECTIONS if at == side} == set(TABLES[side])
    for verb, kind in TABLES[side].items():
        assert SECTIONS[side, verb].request == kind.__name__


@pytest.mark.parametrize("side", TABLES)
def test_every_section_shows_an_example_of_its_message(side):
    for part in section(TITLES[side]).split("\n### ")[1:]:
        verb = part.split("`")[1]
        assert re.search(f"^→ {verb}\\b", part, re.MULTILINE), verb


def test_every_message_has_its_table_of_fields():
    named = {found.request for found in SECTIONS.values()} | {"Refusal", "Wait"}
    for found in SECTIONS.values():
        named |= {found.request_line, found.reply, found.line}
    defined = {
        name
        for name, found in vars(messages).items()
        if dataclasses.is_dataclass(found) and found.__module__ == messages.__name__
    }
    assert named - {""} == defined | {"Refusal", "Wait"}
    with_fields = {name for name in named - {""} if dataclasses.fields(kind_of(name))}
    assert sorted(re.findall(r"Campos de `(\w+)`:", PAGE)) == sorted(with_fields)


@pytest.mark.parametrize("name", re.findall(r"Campos de `(\w+)`:", PAGE))
def test_a_table_of_fields_is_that_of_the_class(name):
    table = rows(PAGE.split(f"Campos de `{name}`:")[1])
    documented = [(cells[0].strip("`"), check(cells[1]), cells[2]) for cells in table]
    assert documented == [
        (field, accepts, mandatory(default))
        for field, accepts, default in codec._checks(kind_of(name))
    ]


# The numbers.


LIMITS = rows(section("Limites e prazos"))


@pytest.mark.parametrize("row", LIMITS, ids=[row[2].strip("`") for row in LIMITS])
def test_a_limit_is_the_constant(row):
    _, value, constant = row
    room, _, name = constant.strip("`").rpartition(".")
    module = {"Servidor": Servidor, "Peers": Peers}.get(room)
    module = module or importlib.import_module(f"rede_p2p.{room}")
    assert number(value) == getattr(module, name)


def test_every_time_and_size_in_the_text_is_one_of_the_limits():
    limits = {(number(value), value.endswith(" s")) for _, value, _ in LIMITS}
    text = re.sub(r"^(```.*?^```|\|[^\n]*)$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    said = re.findall(r"\d[\d.,]* (?:KiB|MiB|s)\b", text)
    assert said
    for quantity in said:
        assert (number(quantity), quantity.endswith(" s")) in limits, quantity


def test_the_table_of_pieces_is_what_the_code_computes():
    _, _, part = PAGE.partition("| tamanho do conteúdo (bytes)")
    table = rows("|" + part)
    assert len(table) > 3
    for cells in table:
        size, piece, count = map(number, cells)
        assert merkle.piece_length(int(size)) == piece
        assert merkle.piece_count(int(size)) == count


# The codes.


def test_the_codes_are_those_that_the_programs_send():
    table = {cells[0].strip("`"): cells for cells in rows(section("Códigos de erro"))}
    assert set(table) == set(refused_codes()) | set(malformed_kinds())


def test_a_code_that_ends_the_conversation_says_so():
    (loop,) = (node for node in functions("rede_p2p/connection.py") if node.name == "requests")
    (ending,) = (
        node.comparators[0]
        for node in ast.walk(loop)
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In)
    )
    ended = {
        cells[0].strip("`") for cells in rows(section("Códigos de erro")) if "encerrada" in cells[3]
    }
    assert ended == {element.value for element in ending.elts} | {"full"}


def test_the_refusals_of_a_section_are_in_the_table_of_codes():
    who = {cells[0].strip("`"): cells[1] for cells in rows(section("Códigos de erro"))}
    for side in ("tracker", "peer"):
        text = "".join(re.findall(r"^Recusas?:.*?\n\n", section(TITLES[side]), re.M | re.S))
        named = set(re.findall("`([a-z-]+)`", text)) & set(who)
        assert named == {code for code in who if side in who[code]}


def refused_codes() -> Iterator[str]:
    """Find each ``RefusedError("…")`` and ``refuse("…", …)`` of the programs."""
    for path in (*sorted((ROOT / "rede_p2p").glob("*.py")), *ROOT.glob("*.py")):
        yield from first_words(
            ast.parse(path.read_text(encoding="utf-8")), "RefusedError", "refuse"
        )


def malformed_kinds() -> Iterator[str]:
    """Find each ``ProtocolError("…")`` that reading a request may raise; http is not answered."""
    for path in ("rede_p2p/wire.py", "rede_p2p/connection.py"):
        for function in functions(path):
            if function.name not in ("decode_reply", "decode_lines"):
                yield from set(first_words(function, "ProtocolError")) - {"http"}


def functions(path: str) -> list[ast.FunctionDef]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def first_words(tree: ast.AST, *names: str) -> Iterator[str]:
    """Yield the literals that stand first in the calls of some functions."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        first = node.args[0]
        if called in names:
            choices = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
            yield from (c.value for c in choices if isinstance(c, ast.Constant))


# The links, and the last section, played.


def test_every_link_inside_the_page_leads_to_a_heading():
    headings = re.findall("^#+ (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= anchors


def experiments() -> list[tuple[str, Block]]:
    """Pair each nc command with the conversation that follows it."""
    start = PAGE[: PAGE.index("\n## Experimente")].count("\n")
    return [
        (command.lines[0], shown)
        for command, shown in pairwise(blocks())
        if command.at > start and command.label == "sh" and "| nc " in command.lines[0]
    ]


@pytest.mark.parametrize(("command", "shown"), experiments())
def test_a_command_sends_what_is_shown(command, shown):
    said, spoken = command.split(" | nc ")
    _, text = shlex.split(said)
    assert "%" not in text
    sent = "".join((said.request + said.body).decode() for said in exchanges(shown))
    assert text.replace("\\n", "\n") == sent
    udp = "-u -w1 " if shown.label == "udp" else ""
    assert spoken == f"{udp}127.0.0.1 {PORTS[shown.label]}"


@contextmanager
def network(ip: str, folder: Path) -> Iterator[Peers.Peer]:
    """Run a tracker and a peer that shares the sample, on the ports that the page says."""
    with ExitStack() as stack:
        screen = Terminal()
        stack.enter_context(Servidor.Tracker(ip, WELL_KNOWN_PORT, FIRST_PORT, screen.tell))
        peer = Peers.Peer(options.PeerOptions(own_ip=ip, folder=folder), screen)
        stack.callback(peer.close)
        membership = TrackerClient(ip, WELL_KNOWN_PORT, ip, peer.open_door, screen.tell)
        stack.callback(membership.close)
        shares = peer.catalog.shares()
        for share in shares:
            assert peer.roots.wait(share.path, share.stamp, PATIENCE)
        stack.callback(Announcer(membership, peer.catalog, peer.holdings).close)
        end = monotonic() + PATIENCE
        while len(membership.search("")) < len(shares):
            assert monotonic() < end, "not announced"
            Event().wait(0.02)
        yield peer


def hear(ip: str, side: str, said: bytes) -> bytes:
    """Say everything at once, as ``printf … | nc`` does, and return all that is answered."""
    kind = socket.SOCK_DGRAM if side == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.settimeout(PATIENCE)
        sock.bind((ip, 0))
        sock.connect((ip, PORTS[side]))
        sock.sendall(said)
        if side == "udp":
            return sock.recv(65536)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def as_on_the_page(heard: bytes, ip: str) -> bytes:
    """Put the page's address for the test's own, and count the bytes of the lists anew."""
    told = heard.replace(ip.encode(), b"127.0.0.1")
    for match in reversed(list(re.finditer(rb'ok \{"bytes": \d+, "count": (\d+)\}\n', told))):
        rest = told[match.end() :]
        length = sum(map(len, rest.splitlines(keepends=True)[: int(match[1])]))
        header = codec.encode_reply(messages.Listing(length, int(match[1])))
        told = told[: match.start()] + header + rest
    return told


def test_what_the_page_invites_to_type_is_answered_as_it_says(host, tmp_path):
    played = experiments()
    assert {shown.label for _, shown in played} == set(TABLES)
    with network(host, tmp_path):
        for _, shown in played:
            spoken = exchanges(shown)
            said = b"".join(exchange.request + exchange.body for exchange in spoken)
            expected = b"".join(
                reply.line + (reply.body or b"")
                for exchange in spoken
                for reply in exchange.replies
            )
            assert as_on_the_page(hear(host, shown.label, said), host) == expected


def test_a_browser_is_hung_up_on_without_a_word(host, tmp_path):
    with network(host, tmp_path):
        for side in ("tracker", "peer"):
            assert hear(host, side, b"GET / HTTP/1.1\r\n") == b""
