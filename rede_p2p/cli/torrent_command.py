"""The command ``torrent``: files and folders of this peer, for every BitTorrent client."""

from collections.abc import Collection, Sequence
from time import monotonic
from typing import NamedTuple

from rede_p2p import errors
from rede_p2p.cli import web_seeds
from rede_p2p.cli.session import Session
from rede_p2p.cli.shell import Command
from rede_p2p.content import hashing, safe_names, torrent
from rede_p2p.content.merkle import Content
from rede_p2p.content.torrent import TorrentFile
from rede_p2p.download import resolve
from rede_p2p.errors import BadUsageError
from rede_p2p.net.connection import OnPending
from rede_p2p.protocol.codec import Pending
from rede_p2p.upload.shared_files import Share

V1 = "--v1"


class _Wanted(NamedTuple):
    """One torrent to make: of a file by its name, or of a folder of such names."""

    name: str
    names: Sequence[str]
    is_folder: bool

    def path_of(self, name: str) -> tuple[str, ...]:
        """Return the path of a file in the torrent."""
        inner = name[len(self.name) + 1 :] if self.is_folder else name.rpartition("/")[2]
        return tuple(inner.split("/"))


class _Known(NamedTuple):
    share: Share
    content: Content


def make_torrents(session: Session, command: Command) -> None:
    """Write a .torrent for each file and folder to the download folder."""
    words = [word for word in command.words if word != V1]
    if not words or command.background or any(word.startswith("--") for word in words):
        raise BadUsageError("torrent")
    names = [share.name for share in session.shares.shares()]
    together = " ".join(words)
    for wanted in [one for word in words for one in _meant(word, names, together)]:
        _make(session, wanted, v1_only=V1 in command.words)


def _meant(typed: str, names: Collection[str], together: str) -> list[_Wanted]:
    """Return what is meant: a file, else a folder, else each file that a pattern matches."""
    if found := safe_names.matching(typed, names):
        return [_Wanted(found[0], found[:1], is_folder=False)]
    found = resolve.names_meant(typed, names)
    if not found and together != typed and safe_names.matching(together, names):
        raise BadUsageError("blanks", together)
    if not found:
        raise errors.ShareListError("unlisted", typed, safe_names.nearest(typed, names))
    depth = len(typed.rstrip("/").split("/"))
    folder = "/".join(found[0].split("/")[:depth])
    if safe_names.normal_form(folder) != safe_names.normal_form(typed).rstrip("/"):
        return [_Wanted(name, [name], is_folder=False) for name in found]
    inner = [name for name in found if name.startswith(f"{folder}/")]
    return [_Wanted(folder, inner, is_folder=True)]


def _make(session: Session, wanted: _Wanted, *, v1_only: bool) -> None:
    report = _reporter(session, wanted.name)
    known = [_Known(*_hashed(session, name, report)) for name in wanted.names]
    by_path = {wanted.path_of(one.share.name): one for one in known}
    piece = torrent.piece_length(one.content.size for one in known)
    files = torrent.in_order(TorrentFile(path, one.content) for path, one in by_path.items())
    pieces: bytes | None = None
    if v1_only:
        shares = [by_path[file.path].share for file in files]
        together = [(share.path, share.state) for share in shares]
        pieces = hashing.hash_together(together, piece, lambda: report(Pending()))
    else:
        layers = [_layers(session, by_path[file.path], piece, report) for file in files]
        files = [TorrentFile(*file[:2], *both) for file, both in zip(files, layers, strict=True)]
    name, largest = wanted.name.rpartition("/")[2], max(known, key=lambda one: one.content.size)
    seeds = web_seeds.of_file(session, largest.content, name)
    if wanted.is_folder:
        seeds = web_seeds.of_folder(session, wanted.name, largest.content, largest.share.name)
    made = torrent.make(name, files, seeds, folder=wanted.is_folder, v1_pieces=pieces)
    path, magnet = torrent.write(session.context.folder, name, made.data), made.magnet(seeds)
    root = {} if wanted.is_folder else {"root": largest.content.root.hex()}
    session.terminal.data(str(path), {"path": str(path), **root, "magnet": magnet})
    session.terminal.note(magnet)


def _hashed(session: Session, name: str, report: OnPending) -> tuple[Share, Content]:
    share, root = session.shares.wait_hashed(name, report)
    return share, Content(root, share.state.size)


def _layers(session: Session, known: _Known, piece: int, report: OnPending) -> tuple[bytes, bytes]:
    """Wait for what a file has in a torrent; raise DiskError if it is another content by now."""
    cache, wait_s = session.context.hash_cache, session.context.timeouts.hash_report_s
    share, content = known
    while True:
        layers = cache.torrent_layers(share.path, content, piece, wait_s, soon=True)
        if layers is not None:
            return layers
        if _hashed(session, share.name, report)[1] != content:
            raise errors.DiskError(share.path, "changed")
        report(Pending(done=cache.progress(share.path), size=content.size))


def _reporter(session: Session, name: str) -> OnPending:
    """Return a function that says, once and after a while, what is being waited for."""
    began, told = monotonic(), False

    def report(_pending: Pending) -> None:
        nonlocal told
        if not told and monotonic() - began > session.context.timeouts.hash_report_s:
            told = True
            session.terminal.note(f"{name}: calculando o .torrent, espere")

    return report
