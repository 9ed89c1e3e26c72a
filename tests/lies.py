"""What people may type wrong, and what liars say on the wire: rows that several tests share."""

from __future__ import annotations

import json
import random

from rede_p2p.content import merkle

BIG = bytes(range(256)) * 1200  # several pieces, and a short one
LARGE = random.Random(1).randbytes(3 * 2**20 + 5)
LAYER, LARGE_LAYER = merkle.layer_of(BIG), merkle.layer_of(LARGE)
ROOT_OF_BIG = merkle.root_of(LAYER, len(BIG))
ROOT_OF_LARGE = merkle.root_of(LARGE_LAYER, len(LARGE))


def ok(fact, body=b""):
    return b"ok " + json.dumps(fact).encode() + b"\n" + body


def stat(size: int = len(BIG), root: bytes = ROOT_OF_BIG, name: str = "x.bin") -> bytes:
    """Say what a name is."""
    return ok({"name": name, "size": size, "root": root.hex()})


def pieces(data: bytes, answer: bytes) -> dict[str, bytes]:
    """Offer all the pieces, and answer this when they are taken."""
    return {"want": ok({"first": 0, "count": merkle.piece_count(len(data))}), "take": answer}


def half_of_large() -> dict[str, bytes]:
    """Say truly what LARGE is, and send its first half."""
    return {
        "stat": stat(len(LARGE), ROOT_OF_LARGE),
        "hashes": ok({"bytes": len(LARGE_LAYER)}, LARGE_LAYER),
        **pieces(LARGE, ok({"bytes": len(LARGE)}, LARGE[: len(LARGE) // 2])),
    }


HASHES = ok({"bytes": len(LAYER)}, LAYER)
WEB = b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\nContent-Length: 0\r\n\r\n"

# The command, the exit status of the program that ends because of it, the sentence.
WRONG_COMMANDS = [
    ("ls {ip}", 2, "use: ls <IP> <PORTA>"),
    ("ls {ip} porta", 2, "“porta” não é uma porta"),
    ("ls {ip} 99999", 2, "“99999” não é uma porta"),
    ("ls 999.0.0.1 5455", 2, "“999.0.0.1” não é um endereço IP"),
    ("ls {ip} 1", 4, "{ip}:1 não está na lista do tracker"),
    ("get", 2, "use: get"),
    ("get 10.0.0.256 x", 2, "“10.0.0.256” não é um endereço IP"),
    ("get 10.0.0.1:5455 x", 4, "10.0.0.1:5455 não está na lista"),
    ("get 10.0.0.1:porta x", 2, "“porta” não é uma porta"),
    ("ls [::1:5455", 2, "use: ls <IP> <PORTA>"),
    ("get {ip}", 2, "use: get"),
    ("get {ip} 1 2 3", 4, "{ip}:1 não está na lista"),
    ("get {ip} 70000 x", 2, "“70000” não é uma porta"),
    ("get {ip} sumido.txt", 5, r"ninguém em {ip}(:\d+)? compartilha sumido.txt"),
    ("get {ip} ../Peers.py", 5, "“../Peers.py” não é seguro"),
    ("get {ip} ''", 5, "“” não é seguro"),
    ("get {ip} '" + "n" * 2000 + "'", 5, "mais de 255 bytes"),
    ("get 192.0.2.1 x", 4, "192.0.2.1 não está na lista"),
    ("peers x", 2, "peers não tem argumentos"),
    ("ajuda nada", 2, "não há ajuda sobre “nada”"),
    ("perrs", 2, "não conheço o comando “perrs”: você quis dizer peers?"),
    ("xyzzy", 2, "não conheço o comando “xyzzy”: digite ajuda"),
    ("get 'x", 2, "faltou fechar as aspas"),
]

# What a peer answers to ls, and then hangs up; status 4.
LYING_LISTS = {
    "hangs up before": b"",
    "hangs up half-way": ok({"bytes": 100, "count": 2}, b'{"name": "a'),
    "hangs up in the header": b'ok {"byt',
    "negative": ok({"bytes": -1, "count": 1}),
    "enormous": ok({"bytes": 10**30, "count": 1}),
    "a float": ok({"bytes": 1.0, "count": 1}),
    "a bool": ok({"bytes": True, "count": 1}),
    "text": ok({"bytes": "3", "count": 1}),
    "no field": b"ok\n",
    "noise": bytes(range(256)) * 8 + b"\n",
    "a header of 1 MB": b"ok " + b" " * 2**20 + b"\n",
    "deep brackets": b"ok " + b"[" * 60_000 + b"\n",
    "deep brackets in the body": ok({"bytes": 60_001, "count": 1}, b"[" * 60_000 + b"\n"),
    "wrong count": ok({"bytes": 25, "count": 2}, b'{"name": "a", "size": 12}\n'),
    "an entry of negative size": ok({"bytes": 26, "count": 1}, b'{"name": "a", "size": -12}'),
    "a web server": WEB,
    "a huge number": ok({"bytes": 1, "count": 1}).replace(b"1", b"1" * 5000),
    "not UTF-8": b'ok {"bytes": "\xff"}\n',
    "a refusal with escapes": b'erro {"code": "x", "message": "\\u001b[2J\\u0007"}\n',
    "a refusal of two lines": b'erro {"code": "x", "message": "y\\ntracker encerrado"}\n',
}

LYING_FILES = {
    # name: (answers, the verb after which it hangs up, status, sentence)
    "negative size": ({"stat": stat(size=-1)}, "", 4, "campo size"),
    "enormous size": ({"stat": stat(size=2**70)}, "", 4, "campo size"),
    "a root that is none": ({"stat": stat(root=b"short")}, "", 4, "campo root"),
    "hangs up at stat": ({"stat": b""}, "stat", 4, "a conexão caiu"),
    "more than any disk holds": ({"stat": stat(size=2**50), "hashes": HASHES}, "", 4, "tamanho"),
    "fewer hashes": ({"stat": stat(), "hashes": ok({"bytes": 32}, b"h" * 32)}, "", 4, "tamanho"),
    "half the hashes": ({"stat": stat(), "hashes": HASHES[:-5]}, "hashes", 4, "a conexão caiu"),
    "other hashes": (
        {"stat": stat(), "hashes": ok({"bytes": len(LAYER)}, b"h" * len(LAYER))},
        "",
        6,
        "bytes que não são",
    ),
    "a shorter answer announced": (
        {"stat": stat(), "hashes": HASHES, **pieces(BIG, ok({"bytes": 5}, BIG[:5]))},
        "",
        4,
        "tamanho diferente",
    ),
    "a longer answer announced": (
        {"stat": stat(), "hashes": HASHES, **pieces(BIG, ok({"bytes": 2**40}, BIG))},
        "",
        4,
        "tamanho diferente",
    ),
    "a negative answer announced": (
        {"stat": stat(), "hashes": HASHES, **pieces(BIG, ok({"bytes": -5}))},
        "",
        4,
        "campo bytes",
    ),
    "wrong bytes": (
        {"stat": stat(), "hashes": HASHES, **pieces(BIG, ok({"bytes": len(BIG)}, bytes(len(BIG))))},
        "",
        6,
        "bytes que não são",
    ),
    "hangs up in the first piece": (
        {"stat": stat(), "hashes": HASHES, **pieces(BIG, ok({"bytes": len(BIG)}, BIG[:999]))},
        "take",
        4,
        "a conexão caiu",
    ),
    "takes the file away": (
        {"stat": stat(), "hashes": HASHES, **pieces(BIG, b'erro {"code": "not-here"}\n')},
        "",
        5,
        "não tem mais esse conteúdo",
    ),
}

UNSAFE = ["../fora.txt", "/tmp/fora.txt", "C:fora.txt", "a/../../b"]

# What a stranger says, and how the answer begins.
NOISES = {
    "a line of 1 MB": (b"x" * 2**20 + b"\n", b'erro {"code": "long-line"'),
    "binary noise": (bytes(range(256)) * 100 + b"\n", b'erro {"code": "noise"'),
    "deep brackets": (b"quit " + b"[" * 60_000 + b"\n", b'erro {"code": "not-json"'),
    "no object": (b"quit 5\n", b'erro {"code": "not-json"'),
    "half a line": (b"ls", b""),
    "nothing": (b"", b""),
    "a browser": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500) + b"\n", b"erro "),
    "an unknown verb": (b"dance\n", b'erro {"code": "unknown-verb"'),
    "not UTF-8": (b'quit {"x": "\xff"}\n', b'erro {"code": "not-json"'),
}
NOISES_TO_A_PEER = {
    "a negative start": (b'get {"name": "a.txt", "start": -1}\n', b'erro {"code": "bad-field"'),
    "an enormous start": (b'get {"name": "a.txt", "start": 1e99}\n', b'erro {"code": "bad-field"'),
    "beyond the end": (b'get {"name": "a.txt", "start": 9999}\n', b'erro {"code": "bad-range"'),
    "too long": (b'get {"name": "a.txt", "length": 99999}\n', b'erro {"code": "bad-range"'),
    "a bool": (b'get {"name": "a.txt", "start": true}\n', b'erro {"code": "bad-field"'),
    "no name": (b"get\n", b'erro {"code": "no-field"'),
    "a path": (b'get {"name": "../lista.txt"}\n', b'erro {"code": "no-such-file"'),
    "a surrogate": (b'get {"name": "\\ud800"}\n', b'erro {"code": "bad-field"'),
    "a NUL": (b'get {"name": "a\\u0000"}\n', b'erro {"code": "no-such-file"'),
    "a root of nobody": (b'hashes {"root": "%s"}\n' % (b"0" * 64), b'erro {"code": "not-here"'),
}
NOISES_TO_THE_TRACKER = {
    "another version": (b'join {"version": 99}\n', b'erro {"code": "version"'),
    "no version": (b"join\n", b'erro {"code": "no-field"'),
    "a port not offered": (b'ready {"port": 7777}\n', b'erro {"code": "not-offered"'),
    "a port of the system": (b'ready {"port": 22}\n', b'erro {"code": "bad-field"'),
}

# A name, and the rule that it breaks.
UNSAFE_NAMES = [
    ("", "empty"),
    (" ", "empty"),
    ("\u00a0", "empty"),
    ("/", "empty"),
    ("/etc/passwd", "empty"),
    ("//server/share", "empty"),
    ("a//b", "empty"),
    ("a/", "empty"),
    ("p/ /a", "empty"),
    (".", "dot"),
    ("..", "dot"),
    ("../a", "dot"),
    ("a/../../b", "dot"),
    ("a/./b", "dot"),
    ("p/..", "dot"),
    (".bashrc", "dot"),
    ("p/.ssh/authorized_keys", "dot"),
    ("...", "dot"),
    ("a\\b", "separator"),
    ("..\\a", "dot"),
    ("\\\\server\\share", "separator"),
    ("C:\\a", "separator"),
    ("C:a", "drive"),
    ("C:/a", "drive"),
    ("c:", "drive"),
    ("p/c:x", "drive"),
    ("a:stream", "drive"),
    ("a.parte", "partial"),
    ("a.PARTE", "partial"),
    ("p/a.Parte", "partial"),
    ("p.parte/a", "partial"),
    ("x" * 256, "long"),
    ("é" * 128, "long"),
    ("p/" + "x" * 256, "long"),
    ("/".join(["x" * 255] * 4) + "/x", "long"),
    ("x" * 100_000, "long"),
    ("../" * 100_000, "long"),
    ("a\x00b", "control"),
    ("a.txt\x00.png", "control"),
    ("a\nb", "control"),
    ("a\rb", "control"),
    ("a\tb", "control"),
    ("\x1b[31m", "control"),
    ("a\x7f", "control"),
    ("a\x85", "control"),
    ("a\x9b", "control"),
    ("a\u2028b", "control"),
    ("a\u2029b", "control"),
    ("a\u202egpj.exe", "control"),
    ("a\u2066b", "control"),
    ("a\u200fb", "control"),
    ("a\u061cb", "control"),
    ("\ud800", "control"),
    ("a\udce9", "control"),  # what Python makes of a byte that is not UTF-8
]

# A safe name that Windows and FAT cannot hold, and what in it.
NOT_ON_WINDOWS = [
    (":smile:.dat", "name-character", ":"),
    ("aula 10:30.txt", "name-character", ":"),
    ("é:x", "name-character", ":"),
    ("::x", "name-character", ":"),
    ("1:x", "name-character", ":"),
    ("p/::$DATA", "name-character", ":"),
    ("por quê?.txt", "name-character", "?"),
    ("*", "name-character", "*"),
    ("a<b", "name-character", "<"),
    ("a>b", "name-character", ">"),
    ("a|b", "name-character", "|"),
    ('"a"', "name-character", '"'),
    ("p?/a", "name-character", "?"),
    ("a.", "name-ending", "a."),
    ("a ", "name-ending", "a "),
    ("a. . .", "name-ending", "a. . ."),
    ("a.parte.", "name-ending", "a.parte."),
    ("p./a", "name-ending", "p."),
    ("p /a", "name-ending", "p "),
    *(
        (name, "name-reserved", name.removeprefix("p/").removesuffix("/a"))
        for name in (
            *("con", "CON", "Con.txt", "con .txt", "con.tar.gz", "prn", "aux.c", "nul", "com0"),
            *("com1", "COM9.log", "com¹", "lpt³.txt", "CONIN$", "conout$", "p/nul.txt", "nul/a"),
        )
    ),
]
