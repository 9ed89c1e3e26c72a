"""What this peer shares: the lines ``name path`` of its list, and the files behind them.

The list is read again when it changes; the files are looked at now and then, and when a peer asks
for one. One thread reads the disk, and whoever asks waits for it: however many ask, and however
slow the disk, it reads once. Paths leave this package only to be opened: on the wire there are only
names. Owner: the peer, which must ``close`` it, and whose threads share it.
"""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from pathlib import Path
from queue import Empty, Queue
from threading import Event as Flag
from threading import Thread
from time import monotonic, thread_time, time_ns

from rede_p2p.content import disk, safe_names
from rede_p2p.content.disk import FileState
from rede_p2p.content.hash_cache import HashCache
from rede_p2p.errors import DiskError, NoSuchFileError, ShareListError
from rede_p2p.events import Event, MoreListProblems
from rede_p2p.net.connection import OnPending
from rede_p2p.protocol.codec import Pending
from rede_p2p.protocol.messages import FileEntry
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.upload import list_editor, list_file, shared_files
from rede_p2p.upload.list_file import Line
from rede_p2p.upload.list_reply import ListReply
from rede_p2p.upload.shared_files import Share, View

SCAN_COST_FACTOR = 50  # times what a scan of all files takes pass before the next one, at least
SCAN_CPU_FACTOR = 300  # the same for the processor's time: an idle peer takes a third of 1 %
ASKED_COST_FACTOR = 5  # the same where a peer asks: strangers cannot keep the disk busy
MAX_PROBLEMS_REPORTED = 5  # lines named one by one; the others are only counted


class ShareList:
    """The shares of one peer, and a thread that looks for what changed."""

    def __init__(
        self,
        list_path: Path,
        hash_cache: HashCache,
        post: Callable[[Event], None],
        timeouts: Timeouts = DEFAULT,
    ) -> None:
        self._list_path = list_path
        self._hash_cache = hash_cache
        self._timeouts = timeouts
        self._post = post
        self._changed: Callable[[], None] = lambda: None
        self._view = self._looking = View()  # the last look, and the one that may be under way
        self._asks: Queue[Flag] = Queue()  # each is set when the view is fresh
        self._restless: set[str] = set()  # paths to hash once they are quiet
        self.reply = ListReply(timeouts)  # to who asks for the list
        self._stopped = Flag()
        self._thread = Thread(target=self._watch, name="share list")
        self._thread.start()

    def close(self) -> None:
        """Stop watching the list, and wait for the thread."""
        self._stopped.set()
        self._asks.put(Flag())
        self._thread.join()
        self.reply.close()

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed``, in any thread, when another file is shared, or one was hashed."""
        self._changed = self._hash_cache.changed = changed

    def shares(self, report: OnPending = lambda _: None) -> list[Share]:
        """List what is shared now, in the order of the list.

        While the disk is read ``report`` is called every ``hash_report_s``, here as in ``find``.
        """
        return self.listed(report)[0]

    def listed(self, report: OnPending) -> tuple[list[Share], list[str], tuple[int, int]]:
        """Return the ``shares``, the folders with none, and the version of these and each entry."""
        view, changes = self._fresh(self._timeouts.list_poll_s, report), self._hash_cache.changes
        return list(view.shares.values()), view.empty_folders, (view.version, changes)

    def gone(self) -> list[str]:
        """Return the names of the list that, at the last look, had no file."""
        view = self._view
        missing = {problem.line for problem in view.problems if problem.kind == "missing"}
        return [one.name for one in view.lines if isinstance(one, Line) and one.line in missing]

    def add(self, name: str, path: str) -> bool:
        """Share the file or folder at an absolute path; return False if it was shared so before.

        Raises what ``list_editor.add`` raises.
        """
        inner = self._fresh(inf, None).shares.get(name)
        if inner is not None and inner.folder is not None:
            raise ShareListError("taken", name)
        added = list_editor.add(self._list_path, name, path, self._timeouts)
        self._fresh(inf, None)
        return added

    def remove(self, name: str) -> list[str]:
        """Share a name no more; return it as it was in the list. Raises ShareListError, DiskError.

        A name that looks the same is meant where there is no such name.
        """
        removed = list_editor.remove(self._list_path, name, self._timeouts)
        if not removed:
            inner = safe_names.matching(name, self._fresh(inf, None).shares)
            raise ShareListError("in-folder" if inner else "unlisted", name)
        self._fresh(inf, None)
        return removed

    def entry(self, share: Share) -> FileEntry:
        """Return how a share is listed; the root is None until the file is hashed."""
        root = self._hash_cache.known(share.path, share.state)
        return FileEntry(share.name, share.state.size, root)

    def entries(self) -> set[FileEntry]:
        """Return the shares of the last look, as far as they are hashed."""
        entries = map(self.entry, self._view.shares.values())
        return {entry for entry in entries if entry.root is not None}

    def is_hashing(self) -> bool:
        """Tell whether the root of some file is not known yet, but will be."""
        return bool(self._hash_cache.pending() or self._restless)

    def find(self, name: str, report: OnPending = lambda _: None) -> Share | None:
        """Return the share of that name, in its present state."""
        share = shared_files.look_again(self._fresh(inf, report).shares.get(name))
        max_age_s = self._timeouts.list_poll_s
        return share or shared_files.look_again(self._fresh(max_age_s, report).shares.get(name))

    def wait_hashed(self, name: str, report: OnPending) -> tuple[Share, bytes]:
        """Return the share of that name and its root, once it is hashed.

        Until then ``report`` is called every ``hash_report_s`` with the bytes hashed so far and the
        bytes of the file, both 0 while it must first be quiet. Raises NoSuchFileError, and
        DiskError if the file cannot be hashed, ``changed`` if it does not get quiet.
        """
        share = self.find(name, report)
        patience = monotonic() + self._timeouts.max_quiet_wait_s
        while share is not None:
            known = self._hash_cache.known(share.path, share.state)
            if known is None and (wait_s := self._quiet_in_s(share.state)):
                pause_s = min(wait_s, self._timeouts.hash_report_s)
                if monotonic() > patience or self._stopped.wait(pause_s):
                    raise DiskError(share.path, "changed")
                report(Pending())
            else:
                root = self._hash_cache.wait(share.path, share.state, self._timeouts.hash_report_s)
                if root is not None:
                    return share, root
                report(Pending(done=self._hash_cache.progress(share.path), size=share.state.size))
            share = self.find(name, report)  # again: it may change while it waits for its turn
        raise NoSuchFileError(name, self._list_path.name)

    def find_content(self, root: bytes) -> Share | None:
        """Return a share that is this content in its present state."""
        # A look at the list for each of many small files would cost as much as sending them.
        for look_at_list in (False, True):
            paths = self._hash_cache.paths(root)
            if not paths:  # of no file on any list
                return None
            view = self._fresh(inf, None) if look_at_list else self._view
            for path in paths:
                share = shared_files.look_again(view.by_path.get(path))
                if share is not None and self._hash_cache.known(path, share.state) == root:
                    return share
        return None

    def _quiet_in_s(self, state: FileState) -> float:
        """Return in how many seconds a file is quiet if nobody writes it any more."""
        age_s = (time_ns() - state.mtime_ns) / 1e9
        return self._timeouts.quiet_s - age_s if 0 <= age_s < self._timeouts.quiet_s else 0.0

    def _hash_if_quiet(self, share: Share) -> None:
        """Have a file hashed, now or when nobody has written it for a while."""
        if self._quiet_in_s(share.state):
            self._restless.add(share.path)
        else:
            self._restless.discard(share.path)
            self._hash_cache.want(share.path, share.state.size)

    def _hash_quieted(self) -> None:
        """Look again at the files that were not quiet, until somebody asks or the program ends."""
        view = self._view
        for path in tuple(self._restless):
            if not self._asks.empty():
                return
            share = shared_files.look_again(view.by_path.get(path))
            if share is None:
                self._restless.discard(path)
            else:
                if share != view.by_path[path]:
                    view.by_path[path] = view.shares[share.name] = share  # ``entries`` compares it
                    self._view = view = replace(view, version=view.version + 1)
                self._hash_if_quiet(share)

    def _fresh(self, max_age_s: float, report: OnPending | None) -> View:
        """Return a view of the list as it is, and of its files as they were not long ago.

        Without ``report`` the last view is good enough after ``hash_report_s``.
        """
        if not self._is_fresh(max_age_s, self._view.cost_s * ASKED_COST_FACTOR):
            self._asks.put(looked := Flag())
            while not self._stopped.is_set() and not looked.wait(self._timeouts.hash_report_s):
                if report is None:
                    break
                report(Pending(files=1 + len(self._looking.shares)))  # with the one it is at
        return self._view

    def _is_fresh(self, max_age_s: float, cost_s: float) -> bool:
        """Tell whether the list is as it was, and less old than both times."""
        view = self._view
        if monotonic() - view.looked_at >= max(max_age_s, cost_s):
            return False
        return disk.file_state(self._list_path) == view.list_state

    def _watch(self) -> None:
        """Look when somebody asks; post problems and start hashing even while nobody does."""
        try:
            self._look()
            self._look_on()
        finally:  # whatever ends it: nobody may wait for it any more
            self._stopped.set()

    def _look_on(self) -> None:
        times = self._timeouts
        while not self._stopped.is_set():
            try:
                pause_s = times.list_poll_s if self._restless else times.idle_list_poll_s
                ask = self._asks.get(timeout=pause_s)
            except Empty:
                view = self._view
                cost_s = max(view.cost_s * SCAN_COST_FACTOR, view.cpu_s * SCAN_CPU_FACTOR)
                if self._is_fresh(times.file_scan_s, cost_s):
                    self._hash_quieted()
                else:
                    self._look()
            else:
                if not self._is_fresh(times.list_poll_s, self._view.cost_s * ASKED_COST_FACTOR):
                    self._look()
                ask.set()

    def _look(self) -> None:
        """Look at the list, and at all files."""
        old, state = self._view, disk.file_state(self._list_path)
        unchanged = state is not None and state == old.list_state
        lines = old.lines if unchanged else list_file.read(self._list_path)
        new = self._looking = View(monotonic(), old.version, state, lines)
        began = thread_time()
        shared_files.fill(new, self._list_path, self._stopped)
        if self._stopped.is_set():
            return
        cost_s, cpu_s = monotonic() - new.looked_at, thread_time() - began
        seen, before = ((list(view.shares.values()), view.empty_folders) for view in (new, old))
        version = old.version + (seen != before)
        self._view = new = replace(new, version=version, cost_s=cost_s, cpu_s=cpu_s)
        if seen != before:
            self._changed()
        posted = set(old.problems)
        problems = [problem for problem in new.problems if problem not in posted]
        more = len(problems) - MAX_PROBLEMS_REPORTED
        for problem in problems[:MAX_PROBLEMS_REPORTED]:
            self._post(problem)
        if more > 0:
            self._post(MoreListProblems(str(self._list_path), more))
        for path, share in new.by_path.items():
            is_news = share != old.by_path.get(path) or path in self._restless
            if is_news and self._hash_cache.known(path, share.state) is None:
                self._hash_if_quiet(share)
