"""What the tracker answers to a browser."""

from __future__ import annotations

import re
from contextlib import ExitStack, closing, contextmanager
from hashlib import sha256
from html import unescape
from http.client import HTTPConnection
from threading import Thread
from time import monotonic
from urllib.parse import quote

import pytest
from listening import SOON, tracker_at

from rede_p2p.cli import tracker_page
from rede_p2p.cli.installation import lines_to_fetch
from rede_p2p.net.turns import MAX_LISTS_PER_ADDRESS
from rede_p2p.protocol.messages import FileEntry
from rede_p2p.tracker.registration import Registration

ROOT = sha256(b"").digest()


@contextmanager
def tracker_asked(host):
    """Yield a tracker, and a function that asks it for a path."""
    with (
        tracker_at(host, page=tracker_page.answer) as tracker,
        closing(HTTPConnection(host, tracker.port, SOON)) as opened,
    ):

        def ask(path, method="GET", **fields):
            opened.request(method, path, headers=fields)
            answer = opened.getresponse()
            return answer, answer.read()

        yield tracker, ask


@pytest.fixture
def both(host):
    with tracker_asked(host) as both:
        yield both


@pytest.fixture
def asked(both):
    return both[1]


def joins(tracker, ip, *names, root=ROOT, size=7, web=True, name=""):
    """Have a peer join, and share a content under these names."""
    peer = Registration(ip, web=web, name=name)
    port = tracker.registry.offer(peer)
    tracker.registry.confirm(peer, port)
    tracker.index.announce(peer, [FileEntry(one, size, root) for one in names])
    return peer


def links(body, route="arquivo"):
    return re.findall(rf'<a href="(http://[^"/]*/{route}/[^"]*)">', body.decode())


def test_what_is_not_there_is_404_and_the_connection_goes_on(asked):
    for path in ("/nothing", "//", "/index.html", "/../", "/%2e%2e/", "/?x/../..", "/%2F"):
        answer, body = asked(path)
        if path.startswith("/?"):
            assert answer.status == 200
        else:
            assert answer.status == 404 and body.startswith(b"404 Not Found\n")
            assert "volte à página da rede" in body.decode()


def test_the_page_shows_who_is_here_and_what_they_share(both):
    tracker, ask = both
    joins(tracker, "10.0.0.2", "a.txt", "pasta/b ç.txt", name="ana")
    answer, body = ask("/")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    base = f"http://10.0.0.2:5455/arquivo/{ROOT.hex()}"
    assert links(body) == [f"{base}/a.txt", f"{base}/pasta/b%20%C3%A7.txt"]
    text = body.decode()
    assert "ana" in text and "7 B" in text and "2 arquivos" in text
    head, nothing = ask("/", "HEAD")
    assert nothing == b"" and head.headers["Content-Length"] == str(len(body))


def test_a_search_is_of_a_part_of_the_name(both):
    tracker, ask = both
    joins(tracker, "10.0.0.2", "Ação 1.pdf", "ação 2.pdf", "x<script>.txt")
    assert len(links(ask(f"/?busca={quote('AÇÃO')}")[1])) == 2
    _, body = ask("/?busca=%3Cscript%3E")
    (link,) = links(body)
    assert link.endswith("/x%3Cscript%3E.txt") and b"<script" not in body
    assert b"Nenhum arquivo" in ask("/?busca=none")[1]


@pytest.mark.parametrize(
    "query",
    [
        *("pagina=0", "pagina=-1", "pagina=x", "pagina=9999999", "pagina=99999999999999"),
        *("pagina=%FF", "pagina=²", "busca=%FF%00%0D%0A", "busca=" + "a" * 9000),
        *("x=y", "=", "&&", "busca", "%"),
    ],
)
def test_a_question_that_makes_no_sense_is_answered_all_the_same(both, query):
    tracker, ask = both
    joins(tracker, "10.0.0.2", "a")
    answer, body = ask(f"/?{quote(query, safe='=&%')}")
    assert answer.status == 200 and b"</html>" in body


def test_too_many_fields_are_400(asked):
    assert asked("/?" + "&".join(f"a{n}=1" for n in range(100)))[0].status == 400


def test_the_link_is_to_any_of_those_that_share_it_and_answer_browsers(both):
    tracker, ask = both
    for last in (2, 3, 4):
        joins(tracker, f"10.0.0.{last}", "a")
    joins(tracker, "10.0.0.5", "a", web=False)
    joins(tracker, "10.0.0.6", "")  # of a download, whole or not
    joins(tracker, "10.0.0.7", "other name")
    seen, end = set(), monotonic() + SOON
    while len(seen) < 3 and monotonic() < end:
        (link,) = links(ask("/?busca=a&x")[1].split(b"other name")[0])[:1]
        seen.add(link.split("/")[2].split(":")[0])
    assert seen == {"10.0.0.2", "10.0.0.3", "10.0.0.4"}
    assert b"6 peers" in ask("/")[1]


def test_what_no_browser_can_take_has_no_link(both):
    tracker, ask = both
    joins(tracker, "10.0.0.5", "a", web=False)
    joins(tracker, "fe80::1", "b", root=sha256(b"b").digest())  # without its zone
    joins(tracker, "10.0.0.6", "../c", "d\r\nX: y", ".e", "f\u202eg", root=sha256(b"c").digest())
    _, body = ask("/")
    assert links(body) == []
    assert body.decode().count("só pelo programa") == 6


def test_beside_a_file_is_its_torrent_which_names_other_peers(both):
    tracker, ask = both
    for last in range(2, 9):
        joins(tracker, f"10.0.0.{last}", "p/a ç.txt")
    joins(tracker, "2001:db8::7", "b", root=sha256(b"b").digest())
    joins(tracker, "10.0.0.5", "nothing", size=0, root=sha256(b"c").digest())
    joins(tracker, "10.0.0.6", "old", web=False, root=sha256(b"d").digest())
    _, body = ask("/")
    (other, one), files = ([*map(unescape, links(body, r))] for r in ("torrent", "arquivo"))
    assert other == f"http://[2001:db8::7]:5462/torrent/{sha256(b'b').hexdigest()}/b.torrent"
    head, _, query = one.partition("?")
    assert f"{files[-1]}.torrent" == head.replace("/torrent/", "/arquivo/")
    sources = query.split("&")
    assert len({*sources, head.split("/")[2]}) == 1 + tracker_page.MAX_SOURCES
    assert all(re.fullmatch(r"fonte=10\.0\.0\.[2-8]:54\d\d", source) for source in sources)


def test_an_ipv6_address_is_in_brackets(both):
    tracker, ask = both
    joins(tracker, "2001:db8::7", "a")
    assert links(ask("/")[1]) == [f"http://[2001:db8::7]:5455/arquivo/{ROOT.hex()}/a"]


def test_what_to_type_has_an_address_that_others_can_type(both):
    tracker, ask = both
    typed = [unescape(line) for line in re.findall("<code>(.*)</code>", ask("/")[1].decode())]
    ip = tracker.addresses()[0].ip
    fetch, fetch_on_windows, start = lines_to_fetch(ip, tracker.port)
    assert typed == [f"python3 Peers.py {ip} {tracker.port}", fetch, fetch_on_windows, start]


def test_names_are_escaped_in_text_and_in_links(both):
    tracker, ask = both
    evil = "a\"'><b>&amp; 🎉 %2e%2e #x?y;.txt"
    joins(tracker, "10.0.0.2", evil, name='"><script>')
    _, body = ask("/")
    (link,) = links(body)
    assert unescape(link).endswith(f"/{quote(evil)}")
    assert b"<script" not in body and b"<b>" not in body


def test_ten_thousand_files_are_shown_in_pages_within_half_a_second(both):
    tracker, ask = both
    entries = [FileEntry(f"f {n}.txt", n, sha256(b"%d" % n).digest()) for n in range(10_000)]
    peer = joins(tracker, "10.0.0.2")
    tracker.index.announce(peer, entries)
    ask("/")
    fastest = 9.0
    for _ in range(5):  # whatever else the machine does
        began = monotonic()
        _, body = ask("/")
        fastest = min(fastest, monotonic() - began)
    assert fastest < 0.5 and len(body) < 100_000
    names = re.findall(r"arquivo/\w+/f%20(\d+)\.txt", body.decode())
    assert names == [str(n) for n in range(tracker_page.FILES_A_PAGE)]
    _, body = ask("/?pagina=50")
    assert re.findall(r"f%20(\d+)\.txt", body.decode())[-1] == "9999"
    assert links(ask("/?pagina=51")[1]) and b"9.801 a 10.000" in ask("/?pagina=99")[1]
    assert len(links(ask("/?busca=f+777")[1])) == 11


def test_what_is_on_no_page_is_told(both):
    tracker, ask = both
    peer = joins(tracker, "10.0.0.2")
    tracker.index.announce(peer, [FileEntry(f"{n}", n, ROOT) for n in range(10_007)])
    assert "… e mais 7: procure" in ask("/?pagina=50")[1].decode()


def test_many_browsers_at_once_are_all_answered(both):
    tracker, _ = both
    joins(tracker, "10.0.0.2", *(f"f {n}" for n in range(300)))
    statuses = []

    def look():
        with closing(HTTPConnection(tracker.listener.address.ip, tracker.port, SOON)) as browser:
            browser.request("GET", "/")
            statuses.append(browser.getresponse().status)

    threads = [Thread(target=look) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 30


def test_who_reads_no_page_is_given_no_more_of_them(host):
    with (
        tracker_at(host, page=tracker_page.answer, reply_s=0.5) as tracker,
        closing(HTTPConnection(host, tracker.port, SOON)) as opened,
        ExitStack() as held,
    ):
        opened.connect()
        for _ in range(MAX_LISTS_PER_ADDRESS):
            held.enter_context(tracker.turns.turn(opened.sock.getsockname()[0]))
        for status in (503, 200):
            opened.request("GET", "/")
            answer = opened.getresponse()
            answer.read()
            assert answer.status == status
            held.close()
