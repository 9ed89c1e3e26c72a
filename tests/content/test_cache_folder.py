"""Where a user's cache is, on each system."""

from __future__ import annotations

from pathlib import Path

import pytest

from rede_p2p.content import cache_folder as module
from rede_p2p.content.cache_folder import cache_folder

HOME = Path("/home/ana")


@pytest.mark.parametrize(
    ("system", "environment", "expected"),
    [
        ("linux", {}, HOME / ".cache"),
        ("linux", {"XDG_CACHE_HOME": "/var/x"}, Path("/var/x")),
        ("linux", {"XDG_CACHE_HOME": ""}, HOME / ".cache"),
        ("darwin", {}, HOME / "Library/Caches"),
        ("win32", {}, HOME / "AppData/Local"),
        ("win32", {"LOCALAPPDATA": "/c/local"}, Path("/c/local")),
    ],
)
def test_each_system_has_a_place_for_it(monkeypatch, system, environment, expected):
    monkeypatch.setattr(module.sys, "platform", system)
    monkeypatch.setattr(module.os, "environ", environment)
    monkeypatch.setattr(module.Path, "home", lambda: HOME)
    assert cache_folder() == expected / "rede-p2p"


def test_without_a_home_there_is_none(monkeypatch):
    def no_home():
        raise RuntimeError

    monkeypatch.setattr(module.Path, "home", no_home)
    assert cache_folder() is None
