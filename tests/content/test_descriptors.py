"""How many descriptors a program takes."""

from __future__ import annotations

import pytest

from rede_p2p.content import descriptors


def test_as_many_descriptors_are_taken_as_the_system_grants():
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        descriptors.raise_limit()
        descriptors.raise_limit()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert hard == before[1]
        assert soft == min(
            descriptors.MAX_DESCRIPTORS, hard if hard > 0 else descriptors.MAX_DESCRIPTORS
        )
        assert descriptors.limit() == soft
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_system_that_grants_less_than_it_says_is_asked_for_less(monkeypatch):
    resource = pytest.importorskip("resource")
    granted = []

    def grant(_, limits):
        if limits[0] > 10_240:
            raise ValueError("current limit exceeds maximum limit")
        granted.append(limits)

    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", grant)
    descriptors.raise_limit()
    assert granted == [(8192, resource.RLIM_INFINITY)]
