"""The vocabulary: each verb is one request's, and each request has somebody who answers it."""

from __future__ import annotations

import inspect
from contextlib import ExitStack, closing, suppress
from dataclasses import MISSING, fields
from typing import get_args

import pytest
from listening import SOON, connected, tracker_at

import Servidor
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.errors import RefusedError
from rede_p2p.protocol import messages, verbs
from rede_p2p.protocol.datagrams import LocateTracker
from rede_p2p.protocol.messages import Quit
from rede_p2p.protocol.verbs import TO_PEER, TO_TRACKER
from rede_p2p.tracker.registry import Registration
from rede_p2p.upload.request_handler import RequestHandler
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.share_list import ShareList
from rede_p2p.upload.upload_slots import UploadSlots

REQUESTS = {
    kind for _, kind in inspect.getmembers(messages, inspect.isclass) if hasattr(kind, "verb")
}
VALUES = {
    "version": 1, "port": 5455, "nonce": "n", "name": "nada.txt", "text": "nada",
    "root": bytes(32), "bitmap": b"\xff", "first": 0, "count": 0, "bytes": 0,
}  # fmt: skip


def example(kind):
    """Make a request with the fields that it must have."""
    return kind(*(VALUES[field.name] for field in fields(kind) if field.default is MISSING))


@pytest.fixture
def pair():
    with connected() as both:
        yield both


@pytest.fixture
def handler(tmp_path, pair):
    """Return what answers for a peer that shares nothing."""
    with ExitStack() as stack:
        (tmp_path / "lista.txt").touch()
        cache = stack.enter_context(closing(HashCache(None)))
        shares = ShareList(tmp_path / "lista.txt", cache, lambda _: None)
        stack.enter_context(closing(shares))
        slots = stack.enter_context(closing(UploadSlots()))
        made = RequestHandler(pair[1], shares, cache, SeedStore(shares), slots, lambda _: None)
        stack.callback(made.leave)
        yield made


def test_every_request_has_a_verb_of_its_own():
    assert len({kind.verb for kind in REQUESTS}) == len(REQUESTS) >= 18


def test_every_request_is_known_to_one_side_under_its_verb_and_goodbye_to_both():
    tables = (TO_TRACKER, TO_PEER)
    known = [(verb, kind) for table in tables for verb, kind in table.items()]
    assert all(kind.verb == verb for verb, kind in known)
    assert sorted(verb for verb, _ in known) == sorted(
        [kind.verb for kind in REQUESTS] + [Quit.verb]
    )
    assert {kind for _, kind in known} == REQUESTS


def test_what_is_typed_is_what_is_in_the_tables():
    assert {*get_args(verbs.TrackerRequest)} == {*TO_TRACKER.values()}
    assert {*get_args(verbs.PeerRequest)} == {*TO_PEER.values()}


@pytest.mark.parametrize("verb", TO_TRACKER)
def test_the_tracker_answers_every_request_with_a_reply_or_a_refusal(host, pair, verb):
    bare, connection = pair
    bare.settimeout(SOON)
    with tracker_at(host) as tracker:
        registration = Registration(connection.remote.ip)
        try:
            Servidor.answer(tracker, registration, connection, example(TO_TRACKER[verb]))
        except RefusedError:
            return
        finally:
            tracker.leave(registration)
    assert bare.recv(3) == b"ok " or verb in ("ping", "quit")


@pytest.mark.parametrize("verb", TO_PEER)
def test_a_peer_answers_every_request_with_a_reply_or_a_refusal(handler, pair, verb):
    bare, _ = pair
    bare.settimeout(SOON)
    with suppress(RefusedError):
        handler.answer(example(TO_PEER[verb]))
        assert bare.recv(2) == b"ok"


def test_a_request_that_nobody_handles_is_no_silent_yes(host, handler, pair):
    stray = example(LocateTracker)
    with pytest.raises(AssertionError):
        handler.answer(stray)
    with tracker_at(host) as tracker, pytest.raises(AssertionError):
        Servidor.answer(tracker, Registration("10.0.0.7"), pair[1], stray)
