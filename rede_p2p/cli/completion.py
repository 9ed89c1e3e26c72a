"""What Tab offers: commands, peers, ports, files of a peer, own names, paths.

Used by the main thread while somebody types. What is not in memory is asked in a thread, for which
typing waits a moment at most: an answer that comes later is there at the next Tab.
"""

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from itertools import islice, takewhile

from rede_p2p.cli import listing, manual, options, peer_names
from rede_p2p.cli.asking import Asking, Question
from rede_p2p.cli.escapes import escape_controls, unescape_controls
from rede_p2p.cli.prompt import Match
from rede_p2p.cli.session import Session
from rede_p2p.cli.shell import ALIASES
from rede_p2p.content import safe_names
from rede_p2p.download import resolve
from rede_p2p.errors import Address
from rede_p2p.protocol.messages import PeerEntry
from rede_p2p.upload.list_file import expand_user

MAX_NAMES = 20_000  # of one peer or of one folder that are looked at
MAX_PEERS_ASKED = 4  # of one address, for their files
OPTIONS = {"get": ("--como",), "ls": ("-1", "-l", "-S"), "torrent": ("--v1",)}

_WORD = re.compile(r"""(?:\\.?|'[^']*(?:'|$)|"(?:\\.?|[^"\\])*(?:"|$)|[^\s;&'"\\])+|[;&]""", re.S)
_SPECIAL = re.compile(r"""([ \t;&'"\\])""")


class Completer:
    """What may follow a typed line."""

    def __init__(self, session: Session, asking: Asking) -> None:
        self._session = session
        self._asking = asking

    def complete(self, line: str, begin: int) -> list[Match]:
        """Return what may stand from ``begin`` on, where the typed line ends."""
        self._asking.begin()
        words, start = split(line)
        head, raw = line[start:begin], line[start:]  # the head of the word stays as it is
        typed, quote = plain(raw), raw[:1] if raw[:1] in ("'", '"') else ""
        names = _alike(dict.fromkeys(self._choices(words, typed)), typed)
        ways = [(form(name, quote), name) for name in sorted(names, key=listing.name_key)]
        ways = [way for way in ways if way[0].startswith(quote)] or ways
        found = [
            Match(way[len(head) :], escape_controls(name[typed.rfind("/") + 1 :]))
            for way, name in ways
            if way.startswith(head)
        ]
        # The text that all have in common takes the place of the typed one: it may be no shorter.
        common = _common([match.text for match in found])
        least, new = (len(safe_names.normal_form(text)) for text in (typed, plain(head + common)))
        return found if new >= least else []

    def _choices(self, words: Sequence[str], typed: str) -> Iterable[str]:
        """Return what the word after these may be."""
        if not words:
            return _commands()
        name = ALIASES.get(words[0].casefold(), words[0].casefold())
        if typed.startswith("-"):
            return OPTIONS.get(name, ())
        if words[-1] == "--como":  # a new name
            return ()
        rest = [word for word in words[1:] if not word.startswith("-")]
        if name in ("ls", "get"):
            return self._of_peers(rest, typed, is_get=name == "get")
        if name == "torrent":  # several, and folders of them
            return _up_to_folder([n for n in self._shares() if n not in rest], typed)
        return () if rest else self._after(name, typed)

    def _after(self, name: str, typed: str) -> Iterable[str]:
        """Return what the one word of a command may be."""
        if name == "compartilhar":
            folder, last = os.path.split(typed)
            return self._asking.ask((folder, last[:1] == "."), lambda: paths(typed))
        if name == "remover":
            return self._shares()
        if name == "cancelar":
            return [str(transfer.number) for transfer in self._session.transfers.running()]
        return _commands() if name == "ajuda" else ()

    def _shares(self) -> list[str]:
        shares = self._session.shares
        return list(self._asking.ask("shares", lambda: [share.name for share in shares.shares()]))

    def _of_peers(self, rest: Sequence[str], typed: str, *, is_get: bool) -> list[str]:
        """Return who may be meant, or the ports of who is and the files that it shares."""
        members = self._asking.ask("peers", lambda: self._session.client.roster().members)
        if not rest:
            found = words_for(members)
            return found + self._anywhere(typed) if is_get else found
        head, *ports = [*options.split_address(rest[0]), *rest[1:2]]
        here = meant(members, self._session.rows, head)
        if not here:
            return self._anywhere(typed) if is_get else []
        port = ports[0] if ports and ports[0].isdigit() else ""
        places = [place for place in here if port in ("", str(place.port))]
        needs_port = not is_get and options.is_ip(head)  # where it means one peer, a name does not
        offers_ports = len(rest) == 1 and not port and (len(places) > 1 or needs_port)
        found = [str(place.port) for place in places] if offers_ports else []
        if port or not needs_port:
            for place in places[:MAX_PEERS_ASKED]:
                found += self._asking.ask(place, self._files_of(place))
        return _up_to_folder([name for name in found if name not in rest[1:]], typed)

    def _files_of(self, place: Address) -> Question:
        """Return a question for the names that a peer shares."""

        def ask() -> list[str]:
            with self._session.context.connect(place) as connection, self._asking.over(connection):
                lines = resolve.list_of(connection, lambda _: self._asking.check())
            return list(islice((e.name for e in lines if safe_names.is_safe(e.name)), MAX_NAMES))

        return ask

    def _anywhere(self, typed: str) -> list[str]:
        """Return the names of the whole network, once a beginning of one is typed."""
        if not typed:
            return []
        client, part = self._session.client, typed[:2]
        found = self._asking.ask(
            ("search", part),
            lambda: [r.name for r in client.search(part) if safe_names.is_safe(r.name)],
        )
        return _up_to_folder(found, typed)


def _commands() -> list[str]:
    return [usage.split()[0] for usage, _, _ in manual.COMMANDS]


def words_for(members: Sequence[PeerEntry]) -> list[str]:
    """Return what may be typed for each other peer; alone, for this one."""
    known = [*zip(members, peer_names.labels(members), strict=True)]
    others = [one for one in known if not one[0].you] or known
    return [*(label for _, label in others if label), *(member.ip for member, _ in others)]


def meant(members: Sequence[PeerEntry], rows: Sequence[Address], word: str) -> list[Address]:
    """Return where the peers are that a word means, or the row of the last table of peers."""
    if word.isascii() and word.isdigit():
        return [*rows[int(word) - 1 : int(word)]] if len(word) <= 5 and int(word) else []
    ip = word.strip("[]")
    here = [one for one in members if ip in (one.ip, one.ip.partition("%")[0])]
    return [Address(one.ip, one.port) for one in here or peer_names.named(members, word)]


def split(line: str) -> tuple[list[str], int]:
    """Return the whole words of the last command of a line, and where the next word begins."""
    words: list[str] = []
    for found in _WORD.finditer(line):
        if found[0] in (";", "&"):
            words = []
        elif found.end() == len(line):
            return words, found.start()
        else:
            words.append(plain(found[0]))
    return words, len(line)


def plain(raw: str) -> str:
    """Return a typed word without its quotes, closed or not."""
    text = unescape_controls(raw)
    for ending in ("", "'", '"'):
        try:
            return "".join(shlex.split(text + ending))
        except ValueError:
            continue
    return text.rstrip("\\")


def form(name: str, quote: str) -> str:
    """Return how a word is typed, in the quotes that are begun, and the blank that ends it."""
    typed = _SPECIAL.sub(r"\\\1", name)
    if quote == '"':
        typed = re.sub(r'(["\\])', r"\\\1", name).join(['"', '"'])
    elif quote == "'" and quote not in name:
        typed = f"'{name}'"
    typed = escape_controls(typed)
    if name.endswith("/"):  # a folder, in which the path may go on
        return typed[:-1] if typed[0] in "'\"" else typed
    return f"{typed} "


def _alike(names: Iterable[str], typed: str) -> list[str]:
    """Return the names that begin as typed; if there is none, whatever the case and the accents."""
    found = [name for name in names if name.startswith(typed)]
    begin = safe_names.normal_form(typed).casefold()
    return found or [n for n in names if safe_names.normal_form(n).casefold().startswith(begin)]


def _common(texts: Sequence[str]) -> str:
    """Return what all of the texts begin with."""
    first, last = min(texts, default=""), max(texts, default="")
    same = takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return "".join(a for a, _ in same)


def _up_to_folder(names: Iterable[str], typed: str) -> list[str]:
    """Cut each name after the next ``/``: of a folder of thousands, one is offered."""
    level = typed.count("/")  # of the part under the cursor
    return [
        "/".join(n.split("/", level + 1)[: level + 1]) + "/" * (n.count("/") > level) for n in names
    ]


def paths(typed: str) -> list[str]:
    """List the files and folders of the folder that a path begins with."""
    folder, last = os.path.split(typed)
    head = typed[: len(typed) - len(last)]
    with os.scandir(expand_user(folder) or ".") as entries:
        names = [one.name + "/" * one.is_dir() for one in islice(entries, MAX_NAMES)]
    hidden = last.startswith(".")
    return [head + name for name in names if hidden == name.startswith(".") and name.isprintable()]
