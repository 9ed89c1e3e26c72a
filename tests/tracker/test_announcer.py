"""Keeping a real tracker's index in step with what a peer has."""

from __future__ import annotations

from contextlib import closing
from queue import SimpleQueue
from types import SimpleNamespace

from rede_p2p.content.merkle import Content
from rede_p2p.tracker import announcer, content_index
from rede_p2p.tracker.announcer import Announcer
from rede_p2p.tracker.client import TrackerClient
from rede_p2p.tracker.registry import FIRST_PORT
from Servidor import Tracker

SOON = 20.0  # seconds; a bound on what takes milliseconds


class OfferPicker:
    """In place of a catalog: what is here is what the test says."""

    def __init__(self, *names):
        self.names = names

    def version(self):
        return self.names

    def seen(self):
        return [SimpleNamespace(name=name) for name in self.names]

    def content(self, share):
        return Content(share.name.encode().ljust(32), 1)


def noting(method, asked):
    def note(seat, entries):
        asked.put({entry.name for entry in entries})
        return method(seat, entries)

    return note


def test_what_a_tracker_does_not_keep_is_not_said_again_and_nobody_leaves_for_it(host, monkeypatch):
    monkeypatch.setattr(content_index, "MOST_TOLD", 2)
    monkeypatch.setattr(announcer, "LOOK_EVERY", 0.01)
    shelf, told, asked = OfferPicker("a", "b", "c"), SimpleQueue(), SimpleQueue()
    with Tracker(host, 0, FIRST_PORT, SimpleQueue().put) as tracker:
        for name in ("announce", "withdraw"):
            monkeypatch.setattr(tracker.index, name, noting(getattr(tracker.index, name), asked))
        nothing = SimpleNamespace(version=0, downloads=lambda: [])
        place = TrackerClient(host, tracker.port, None, lambda port: True, told.put)
        with closing(place), closing(Announcer(place, shelf, nothing)):
            assert asked.get(timeout=SOON) == {"a", "b", "c"}
            shelf.names = ("d",)
            assert asked.get(timeout=SOON) == {"a", "b", "c"}  # withdrawn
            assert asked.get(timeout=SOON) == {"d"}
            while not place.search("d", exact=True):  # the answer to the last is on its way
                continue
            assert place.joined == 1
    assert told.empty()
