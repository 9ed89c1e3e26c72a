"""The page of the network: what it shows, what it escapes, and what a reader can do with it."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from rede_p2p.cli.network_page import MAX_PEERS_SHOWN, REFRESH_S, File, Network, Wish, render
from rede_p2p.protocol.messages import PeerEntry

JOIN = [("Em outra máquina:", "python3 Peers.py 10.0.0.1 9450")]
VOID = {"meta", "input"}
EVIL = [
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "a\r\nSet-Cookie: b",
    "</title></style></table>",
    "&lt;&amp;",
    "javascript:alert(1)",
    "🎉 família 👨‍👩‍👧.zip",
    "\u202efdp.exe",
    "\ud800",
    "\0",
]


class Page(HTMLParser):
    """A page read strictly: each element that begins ends, in order."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html.decode())
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def links(self):
        return [one["href"] for one in self.all("a")]


def network(files=(), peers=(), first=1, total=None, hidden=0, pages=1):
    total = len(files) if total is None else total
    return Network(JOIN, list(peers), list(files), first, total, hidden, pages)


def page(shown=None, wish=None):
    return Page(render(shown or network(), wish or Wish()))


def test_it_shows_files_peers_and_what_to_type():
    url = "http://10.0.0.2:5455/arquivo/aa/a.txt"
    torrent = "http://10.0.0.2:5455/torrent/aa/a.txt.torrent?fonte=10.0.0.3:5455&fonte=[::1]:1"
    files = [File("a.txt", 116, 2, url, torrent), File("b", 7480, 1)]
    shown = page(network(files, [PeerEntry("10.0.0.2", 5455, name="ana")]))
    for text in ("a.txt", "116 B", "2 peers", "7,3 KiB", "1 peer", "10.0.0.2", "5455", "ana"):
        assert text in shown.text
    assert JOIN[0][1] in shown.text and "só pelo programa" in shown.text
    assert url in shown.links() and torrent in shown.links() and "2 arquivos" in shown.text


def test_an_empty_network_says_so():
    assert "Ninguém compartilha nada ainda." in page().text
    assert "Ninguém entrou ainda." in page().text
    assert "Nenhum arquivo com “x”" in page(wish=Wish("x")).text


@pytest.mark.parametrize("evil", EVIL)
def test_what_a_stranger_wrote_is_text_and_nothing_else(evil):
    files = [File(evil, 1, 1, "http://10.0.0.2:5455/x"), File(evil, 1, 1)]
    wish = Wish(evil.encode("utf-8", "replace").decode())
    shown = page(network(files, [PeerEntry("10.0.0.2", 5455, name=evil)]), wish)
    assert {"script", "img"}.isdisjoint(tag for tag, _ in shown.elements)
    assert all(name in KNOWN for _, attributes in shown.elements for name in attributes), (
        shown.elements
    )
    for link in shown.links():
        assert link.startswith(("/", "#", "http://10.0.0.2:5455/"))
    assert "\r" not in shown.text and "\u202e" not in shown.text


KNOWN = {
    *("action", "aria-label", "aria-labelledby", "autocapitalize", "autocomplete", "charset"),
    *("class", "content", "enterkeyhint", "href", "http-equiv", "id", "lang", "method", "name"),
    *("rel", "role", "scope", "spellcheck", "tabindex", "type", "value", "for"),
}


def test_it_refreshes_itself_without_losing_what_was_looked_for_and_can_be_stopped():
    def refreshes(shown):
        return [one["content"] for one in shown.all("meta") if one.get("http-equiv")]

    shown = page(wish=Wish("é & x", 3))
    assert refreshes(shown) == [str(REFRESH_S)]  # the same address again
    stop = "/?busca=%C3%A9+%26+x&pagina=3&parada=1"
    assert stop in shown.links()
    still = page(wish=Wish("é & x", 3, still=True))
    assert refreshes(still) == [] and "/?busca=%C3%A9+%26+x&pagina=3" in still.links()
    hidden = [one for one in still.all("input") if one["type"] == "hidden"]
    assert [(one["name"], one["value"]) for one in hidden] == [("parada", "1")]


def test_of_many_files_one_page_is_shown_with_the_way_to_the_others():
    files = [File(str(number), 1, 1) for number in range(200)]
    shown = page(network(files, first=201, total=10_000, pages=50), Wish("a", 2))
    assert "201 a 400 de 10.000 arquivos" in shown.text and "página 2 de 50" in shown.text
    assert {"/?busca=a#arquivos", "/?busca=a&pagina=3#arquivos"} <= set(shown.links())
    first = page(network(files, total=10_000, hidden=5, pages=50))
    assert "Anteriores" not in first.text and "… e mais 5: procure" in first.text
    assert "1 a 200 de 10.005 arquivos" in first.text
    last = page(network(files, first=9801, total=10_000, pages=50), Wish(page=50))
    assert "Seguintes" not in last.text


def test_of_many_peers_the_first_are_shown():
    peers = [PeerEntry(f"10.0.{n // 250}.{n % 250}", 5455) for n in range(MAX_PEERS_SHOWN + 7)]
    shown = page(network(peers=peers))
    assert "… e mais 7" in shown.text and f"{len(peers)} peers" in shown.text
    assert peers[MAX_PEERS_SHOWN].ip not in shown.text


def test_a_keyboard_and_a_screen_reader_find_their_way():
    shown = page(network([File("a", 1, 1, "u")], [PeerEntry("10.0.0.2", 5455)]))
    assert shown.all("html") == [{"lang": "pt-BR"}]
    assert shown.links()[0] == "#arquivos"  # the first thing that Tab reaches skips to the files
    ids = {attributes.get("id") for _, attributes in shown.elements}
    assert {link[1:] for link in shown.links() if link.startswith("#")} <= ids
    assert {one["for"] for one in shown.all("label")} <= ids
    assert {one["aria-labelledby"] for one in shown.all("section")} <= ids
    assert len(shown.all("table")) == len(shown.all("caption")) == 2
    assert all(one.get("scope") in ("col", "row") for one in shown.all("th"))
    assert all(tag in [name for name, _ in shown.elements] for tag in ("main", "header", "footer"))
    assert [tag for tag, _ in shown.elements if tag in ("h1", "h2", "h3")] == ["h1", *["h2"] * 3]


def test_nothing_of_it_runs_or_comes_from_elsewhere():
    html = render(network([File("a", 1, 1)]), Wish("x")).decode()
    assert "<script" not in html and "http://" not in html and "https://" not in html
    assert "url(" not in html and "@import" not in html and "style=" not in html
    assert len(html) < 10_000
