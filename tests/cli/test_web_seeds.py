"""Where a .torrent says that its content is given by HTTP."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from selling import DATA, ROOT, know_all, selling
from sources import connecting

from rede_p2p.cli import web_seeds
from rede_p2p.content.merkle import Content
from rede_p2p.errors import Address, TrackerUnreachableError
from rede_p2p.net.address import OwnAddress
from rede_p2p.protocol.messages import PeerEntry
from rede_p2p.timeouts import Timeouts

CONTENT = Content(ROOT, len(DATA))
ME = PeerEntry("10.0.0.1", 5456, you=True)
PATH = f"/arquivo/{ROOT.hex()}/a%20b"


def session(me=ME, others=(), *, web=True, own_ip=None, lost=False):
    """Return what the seeds are found with: who this peer is, and who else has the content."""
    future = Future()
    if lost:
        future.set_exception(TrackerUnreachableError("10.0.0.9", 9450))
    else:
        future.set_result(list(others))
    roster = SimpleNamespace(members=(me, PeerEntry("10.0.0.7", 5455)))
    client = SimpleNamespace(web=web, roster=lambda: roster, who_has=lambda _: future)
    context = SimpleNamespace(timeouts=Timeouts(reply_s=1.0), connect=connecting(dial_s=1.0))
    return SimpleNamespace(client=client, context=context, own_ip=own_ip)


def of_file(found):
    return web_seeds.of_file(found, CONTENT, "a b")


def test_this_peer_is_one_unless_it_answers_no_browser():
    assert of_file(session()) == ["http://10.0.0.1:5456" + PATH]
    assert of_file(session(web=False)) == []
    assert of_file(session(PeerEntry("fe80::1%eth0", 5456, you=True))) == []
    assert of_file(session(lost=True)) == ["http://10.0.0.1:5456" + PATH]


def test_of_a_folder_it_is_what_the_name_and_the_path_are_added_to():
    for folder, base in (("aula", "/pasta/"), ("cur so/aula", "/pasta/cur%20so/")):
        found = web_seeds.of_folder(session(), folder, CONTENT, f"{folder}/data")
        assert found == ["http://10.0.0.1:5456" + base]


def test_a_tracker_on_this_machine_knows_it_by_no_address_for_others(monkeypatch):
    me = PeerEntry("127.0.0.1", 5456, you=True)
    own = [OwnAddress("192.168.0.3", "eth0", ""), OwnAddress("2001:db8::3", "eth0", "")]
    monkeypatch.setattr(web_seeds, "own_addresses", lambda: own)
    assert of_file(session(me)) == [
        "http://192.168.0.3:5456" + PATH,
        "http://[2001:db8::3]:5456" + PATH,
    ]
    assert of_file(session(me, own_ip="127.0.0.1")) == ["http://127.0.0.1:5456" + PATH]
    monkeypatch.setattr(web_seeds, "own_addresses", list)
    assert of_file(session(me)) == ["http://127.0.0.1:5456" + PATH]


@pytest.mark.parametrize("page", [True, False])
def test_another_peer_is_one_if_it_gives_the_content_to_browsers(tmp_path, host, page):
    with selling(tmp_path, host) as seller:
        know_all(seller)
        seller.page = page
        nobody = Address(host, 1)
        found = session(others=[nobody, seller.address])
        origin = f"http://{seller.address.ip}:{seller.address.port}"
        own = "http://10.0.0.1:5456"
        assert of_file(found) == [own + PATH] + [origin + PATH] * page
        assert web_seeds.of_folder(found, "p", CONTENT, "data") == (
            [f"{own}/pasta/"] + [f"{origin}/pasta/"] * page
        )
        assert web_seeds.of_folder(found, "p", CONTENT, "small") == [f"{own}/pasta/"]
        other = Content(bytes(32), 5)
        assert len(web_seeds.of_file(found, other, "x")) == 1
