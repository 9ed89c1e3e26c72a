"""The page that shows the network in a browser, in HTML without scripts. No I/O.

Names are strangers' text: each is escaped, once for what a reader would obey and once for HTML.
"""

from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import urlencode

from rede_p2p.cli import texts
from rede_p2p.cli.escapes import escape_controls
from rede_p2p.protocol.messages import PeerEntry

REFRESH_S = 60  # calm: who is typing what to look for loses it
MAX_PEERS_SHOWN = 100

_STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1b1b1b;--dim:#565656;--line:#c9c9c9;
--link:#0b4fb3;--box:#f2f2f2}
@media(prefers-color-scheme:dark){:root{--back:#141414;--text:#ececec;--dim:#b0b0b0;--line:#484848;
--link:#8ab8ff;--box:#232323}}
*{box-sizing:border-box}
body{margin:0 auto;padding:.5rem 1rem 2rem;max-width:56rem;background:var(--back);color:var(--text);
font:1rem/1.5 system-ui,sans-serif}
h1{font-size:1.4rem;margin:.5rem 0 0}h2{font-size:1.15rem;margin:1.5rem 0 .4rem}p{margin:.4rem 0}
a{color:var(--link)}:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-999rem}.skip:focus{position:static}
pre{background:var(--box);padding:.5rem .7rem;margin:.3rem 0;overflow-x:auto;border-radius:.3rem}
form{display:flex;flex-wrap:wrap;gap:.4rem;align-items:center;margin:.4rem 0}
input,button{font:inherit;color:inherit;background:var(--box);border:1px solid var(--dim);
border-radius:.3rem;padding:.45rem .6rem;min-height:2.75rem}input{flex:1 1 12rem;min-width:0}
table{width:100%;border-collapse:collapse;margin:.4rem 0}
caption,.dim{text-align:left;color:var(--dim)}
th,td{padding:.45rem .6rem .45rem 0;border-bottom:1px solid var(--line);text-align:left;
vertical-align:baseline;font-weight:400}thead th{font-weight:600}
tbody th{overflow-wrap:anywhere}td,thead th{white-space:nowrap}
.who a{margin-left:.6rem}
@media(max-width:30rem){label{flex:0 0 100%}.who a{display:block;margin:0}}
nav{display:flex;flex-wrap:wrap;gap:.4rem 1.2rem}nav a,tbody a{display:inline-block;padding:.2rem 0}
"""


class File(NamedTuple):
    """A row of the files: how many peers have it, and where it is taken ("" for nowhere)."""

    name: str
    size: int  # bytes
    peers: int
    url: str = ""
    torrent: str = ""  # the URL of its .torrent


class Wish(NamedTuple):
    """What a browser asked to see."""

    search: str = ""
    page: int = 1
    still: bool = False  # the page does not refresh itself

    def link(self, page: int, *, still: bool | None = None) -> str:
        """Return the address of another page of the same, ready for HTML."""
        asked = [("busca", self.search), ("pagina", page if page > 1 else "")]
        asked.append(("parada", "1" if (self.still if still is None else still) else ""))
        return escape("/?" + urlencode([(name, value) for name, value in asked if value]))


class Network(NamedTuple):
    """What the page shows; of ``total`` files ``files`` are those on one of the ``pages``."""

    commands: Sequence[tuple[str, str]]  # what each is for, and what is typed
    peers: Sequence[PeerEntry]
    files: Sequence[File]
    first: int  # the number of the first one, from 1
    total: int
    hidden: int  # how many more there are, on no page
    pages: int


def render(network: Network, wish: Wish) -> bytes:
    """Return the page."""
    title = f"{wish.search} – Rede P2P" if wish.search else "Rede P2P"
    refresh = "" if wish.still else f'<meta http-equiv="refresh" content="{REFRESH_S}">\n'
    peers = f'<a href="#peers">{texts.count(len(network.peers), "peer", "peers")}</a> na rede agora'
    lines = (
        "<!doctype html>",
        '<html lang="pt-BR">',
        '<head><meta charset="utf-8">',
        f'<meta name="viewport" content="width=device-width,initial-scale=1">{refresh}',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head>",
        '<body><a class="skip" href="#arquivos">Ir para os arquivos</a>',
        f'<header><h1>Rede P2P</h1><p>{peers}: <a href="#entrar">entrar também</a></p></header>',
        "<main>",
        *_files(network, wish),
        *_joining(network.commands),
        *_peers(network.peers),
        "</main>",
        f'<footer><p class="dim">{_refreshing(wish)}</p></footer>',
        "</body></html>\n",
    )
    return "\n".join(lines).encode("utf-8", "replace")


def _text(text: str) -> str:
    """Return a stranger's text as HTML, also in an attribute."""
    return escape(escape_controls(text))


def _files(network: Network, wish: Wish) -> Iterable[str]:
    yield '<section aria-labelledby="arquivos"><h2 id="arquivos" tabindex="-1">Arquivos</h2>'
    yield '<form role="search" action="/" method="get">'
    yield '<label for="busca">Procurar no nome</label>'
    yield f'<input type="search" id="busca" name="busca" value="{_text(wish.search)}"'
    yield 'autocomplete="off" autocapitalize="none" spellcheck="false" enterkeyhint="search">'
    if wish.still:
        yield '<input type="hidden" name="parada" value="1">'
    yield "<button>Procurar</button></form>"
    if wish.search:
        everything = Wish(still=wish.still).link(1)
        yield f'<p><a href="{everything}">Mostrar todos os arquivos</a></p>'
    if network.files:
        yield f"<table><caption>{_which(network)}</caption>"
        yield '<thead><tr><th scope="col">Arquivo</th><th scope="col">Tamanho</th>'
        yield '<th scope="col">Quem tem</th></tr></thead><tbody>'
        yield from map(_row, network.files)
        yield "</tbody></table>"
    elif wish.search:
        yield f'<p role="status">Nenhum arquivo com “<bdi>{_text(wish.search)}</bdi>” no nome.</p>'
    else:
        yield '<p role="status">Ninguém compartilha nada ainda.</p>'
    yield from _pages(network, wish)
    yield "</section>"


def _which(network: Network) -> str:
    last = network.first + len(network.files) - 1
    total = network.total + network.hidden
    if last == total and network.first == 1:
        return texts.count(total, "arquivo", "arquivos")
    of, to, all_of_them = map(texts.grouped, (network.first, last, total))
    return f"{of} a {to} de {all_of_them} arquivos"


def _row(file: File) -> str:
    name = f"<bdi>{_text(file.name)}</bdi>"
    program_only = f'{name} <span class="dim">(só pelo programa)</span>'
    shown = f'<a href="{escape(file.url)}">{name}</a>' if file.url else program_only
    size, peers = texts.size(file.size), texts.count(file.peers, "peer", "peers")
    link = f'<a href="{escape(file.torrent)}">torrent</a>' if file.torrent else ""
    return (
        f'<tr><th scope="row">{shown}</th><td>{size}</td><td class="who">{peers} {link}</td></tr>'
    )


def _pages(network: Network, wish: Wish) -> Iterable[str]:
    if network.pages > 1:
        yield '<nav aria-label="Páginas dos arquivos">'
        if wish.page > 1:
            yield f'<a rel="prev" href="{wish.link(wish.page - 1)}#arquivos">Anteriores</a>'
        yield f"<span>página {wish.page} de {network.pages}</span>"
        if wish.page < network.pages:
            yield f'<a rel="next" href="{wish.link(wish.page + 1)}#arquivos">Seguintes</a>'
        yield "</nav>"
    if network.hidden:
        yield f"<p>{texts.more(network.hidden)}: procure por uma parte do nome.</p>"


def _joining(commands: Sequence[tuple[str, str]]) -> Iterable[str]:
    yield '<section aria-labelledby="entrar"><h2 id="entrar" tabindex="-1">Entrar na rede</h2>'
    for what, typed in commands:
        yield f"<p>{_text(what)}</p>"
        yield f'<pre tabindex="0" aria-label="comando"><code>{_text(typed)}</code></pre>'
    yield "</section>"


def _peers(peers: Sequence[PeerEntry]) -> Iterable[str]:
    yield '<section aria-labelledby="peers"><h2 id="peers" tabindex="-1">Peers</h2>'
    if peers:
        yield f"<table><caption>{texts.count(len(peers), 'peer', 'peers')} na rede</caption>"
        yield '<thead><tr><th scope="col">Nome</th><th scope="col">Endereço IP</th>'
        yield '<th scope="col">Porta</th></tr></thead><tbody>'
        for one in peers[:MAX_PEERS_SHOWN]:
            name = _text(texts.peer_name(one.name, you=False)) or "sem nome"
            yield f'<tr><th scope="row"><bdi>{name}</bdi></th>'
            yield f"<td>{_text(one.ip)}</td><td>{one.port}</td></tr>"
        yield "</tbody></table>"
    else:
        yield "<p>Ninguém entrou ainda.</p>"
    if len(peers) > MAX_PEERS_SHOWN:
        yield f"<p>{texts.more(len(peers) - MAX_PEERS_SHOWN)}</p>"
    yield "</section>"


def _refreshing(wish: Wish) -> str:
    if wish.still:
        again = wish.link(wish.page, still=False)
        return f'Parada: <a href="{again}">atualizar sozinha</a>.'
    stop = wish.link(wish.page, still=True)
    return f'Esta página se atualiza a cada {REFRESH_S} s: <a href="{stop}">parar</a>.'
