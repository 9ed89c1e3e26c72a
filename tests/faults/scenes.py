"""A tracker, a seed and a menu that downloads from it: for what befalls one of them."""

from __future__ import annotations

import random

from processes import beside, converse, eventually
from rig import Awake, Watch, hurried, typed
from sources import found_in
from terminals import Terminal

NAME = "aula.iso"
DATA = random.Random(21).randbytes(3 * 2**20 + 5)
OTHER = random.Random(22).randbytes(3 * 2**20 + 5)  # as long
QUICK = {"list_poll_s": 0.1, "file_scan_s": 0.2, "quiet_s": 0.1}


class Scene:
    """A tracker, a seed that takes three seconds for the file, and a menu that downloads.

    ``runner`` are words before each program.
    """

    def __init__(self, folder, stack, runner=()):
        self.stack = stack
        self.runner = list(runner)
        self.net = Awake(folder)
        self.net.runner = self.runner
        stack.callback(self.net.close)
        self.tracker = self.net.tracker()
        self.list = self.net.sharing({NAME: DATA})
        self.shared = self.list.parent / "0"
        self.downloads = self.net.downloads
        self.part = self.downloads / f"{NAME}.parte"
        self.ip = beside(self.net.ip, 1)
        self.seed, self.port = self.serve()
        eventually(lambda: NAME.encode() in self.found())

    def serve(self, *words):
        limit = words or ("--limite", "1M")
        self.net.hurry(**QUICK)
        self.net.runner = [*self.runner, *self.net.runner]
        try:
            return self.net.peer("--servir", *limit, files=self.list)
        finally:
            self.net.runner = self.runner

    def menu(self, prefix=(), **seconds):
        words = self.net.words("--nao-semear", ip=self.ip, files={})
        patient = hurried(words, seconds) if seconds else hurried(words)
        made = Terminal([*self.runner, *patient], self.net.environment(), 200, prefix)
        self.stack.callback(made.close)
        made.prompts()
        return made

    def watching(self, *menus, expected=DATA):
        watch = Watch(self.net.folder, self.downloads, {NAME: expected}, self.tracker_address())
        for menu in menus:
            watch.menu(menu)
        watch.begin()
        return watch

    def tracker_address(self):
        return self.net.ip, self.net.port

    def found(self):
        return converse(*self.tracker_address(), b'search {"text": ""}\nquit\n')

    def begin(self, menu):
        """Have a menu begin to download in the background, and wait until some is here."""
        typed(menu, f"get {self.net.ip} {self.port} {NAME} &")
        eventually(lambda: self.part.exists() and self.part.stat().st_size)

    def downloading(self):
        """Return a menu that downloads in the background, and what watches it."""
        menu = self.menu()
        watch = self.watching(menu)
        self.begin(menu)
        return menu, watch

    def completes(self, menu, data=DATA):
        """Wait for what runs, ask again until somebody is known to have it, and look."""
        typed(menu, "esperar")

        def has_come():
            if found_in(self.downloads).get(NAME) != data:
                typed(menu, f"get {NAME}")
            return found_in(self.downloads).get(NAME) == data

        eventually(has_come)
        assert found_in(self.downloads) == {NAME: data}
