"""A peer that shares a folder's files through a real listener, without a tracker."""

from __future__ import annotations

import os
import random
from contextlib import ExitStack, contextmanager
from functools import partial
from queue import Queue

from listening import listen, running

from Peers import peer_connected
from rede_p2p.content import merkle
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.content.merkle import MIN_PIECE_BYTES
from rede_p2p.net.connection import dial
from rede_p2p.protocol.messages import FileInfo, Stat
from rede_p2p.timeouts import Timeouts
from rede_p2p.upload.seed_store import SeedStore
from rede_p2p.upload.share_list import ShareList
from rede_p2p.upload.upload_slots import UploadSlots

LONG_AGO = 1_500_000_000_000_000_000  # nanoseconds; a file this old need not settle
DATA = random.Random(9).randbytes(5 * MIN_PIECE_BYTES + 77)
LAYER = merkle.layer_of(DATA)
ROOT = merkle.root_of(LAYER, len(DATA))
SMALL = b"0123456789"
SMALL_ROOT = merkle.layer_of(SMALL)
EMPTY_ROOT = merkle.layer_of(b"")


class Seller:
    """A peer that shares a folder's files, without a tracker."""

    def __init__(self, folder, host, stack, slots=32, **timeouts):
        self.folder = folder
        self.posted = Queue()
        self.post = self.posted.put
        self.timeouts = Timeouts(**timeouts)
        self.page = True
        self.list = folder / "meus_arquivos.txt"
        self.hash_cache = HashCache(folder / "cache" / "roots.sqlite3")
        stack.callback(self.hash_cache.close)
        self.slots = UploadSlots(slots=slots, timeouts=self.timeouts)
        self.share("")
        self.shares = ShareList(self.list, self.hash_cache, self.post, self.timeouts)
        stack.callback(self.shares.close)
        self.seeds = SeedStore(self.shares)
        listener = listen(host, 0, 100)
        self.address = listener.address
        stack.enter_context(running(listener, partial(peer_connected, self)))
        stack.callback(self.slots.close)

    def file(self, name, data):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
        return path

    def sparse(self, name, size):
        path = self.file(name, b"")
        os.truncate(path, size)
        os.utime(path, ns=(LONG_AGO, LONG_AGO))
        return path

    def share(self, lines):
        """Replace the list at once, as an editor does."""
        new = self.list.with_suffix(".new")
        new.write_text(lines, encoding="utf-8")
        new.replace(self.list)


@contextmanager
def selling(folder, host, **options):
    with ExitStack() as stack:
        seller = Seller(folder, host, stack, **options)
        seller.file("data.bin", DATA)
        seller.file("small.txt", SMALL)
        seller.file("empty", b"")
        seller.file("folder/in/a.txt", b"inside")
        seller.share("data data.bin\nsmall small.txt\ntwin small.txt\nempty empty\np folder\n")
        yield seller


def know_all(seller):
    """Wait until the root of every share is known."""
    with dial(seller.address) as connection:
        for share in seller.shares.shares():
            connection.ask(Stat(share.name), FileInfo)


def edit_and_put_the_time_back(path):
    """Edit the end of a file, and give it the time that it had."""
    before = path.stat()
    with path.open("rb+") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(b"x" * 1000)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
