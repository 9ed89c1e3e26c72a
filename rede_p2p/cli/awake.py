"""Keeping the machine from falling asleep by itself while this peer sends or receives.

A thread looks now and then whether anything moves. While it does, the system is told so: on Windows
by that thread, elsewhere by a program of the system's that runs as long as that lasts and ends with
this one, however this one ends. Where there is no way, or it is refused, nothing is done or said.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from time import monotonic

from rede_p2p.download.transfers import Transfers
from rede_p2p.timeouts import DEFAULT, Timeouts
from rede_p2p.upload.upload_slots import UploadSlots

_CONTINUOUS, _SYSTEM_REQUIRED = 0x80000000, 0x00000001  # of SetThreadExecutionState

IsBusy = Callable[[], bool]


class Awake:
    """Holds the sleep off while ``is_busy``; ``close`` lets go, and waits for the thread."""

    def __init__(
        self, is_busy: IsBusy, timeouts: Timeouts = DEFAULT, platform: str = sys.platform
    ) -> None:
        self._is_busy = is_busy
        self._timeouts = timeouts
        self._platform = platform
        self._closed = Event()
        self._holder: subprocess.Popen[bytes] | None = None
        self._held = False
        self._thread = Thread(target=self._run, name="awake")
        self._thread.start()

    def close(self) -> None:
        """Let the machine sleep again."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        busy_at, able = monotonic(), True
        while not self._closed.wait(self._timeouts.awake_interval_s):
            if self._is_busy():
                busy_at = monotonic()
                able = able and self._keep()  # who was refused once does not ask again
            elif self._held and monotonic() - busy_at >= self._timeouts.awake_idle_s:
                self._let_go()
        self._let_go()

    def _keep(self) -> bool:
        """Hold the sleep off, if it is not held off yet; return False where the system refuses."""
        if self._held:
            return self._holder is None or self._holder.poll() is None
        if self._platform == "win32":
            self._held = _tell_windows(_CONTINUOUS | _SYSTEM_REQUIRED)
            return self._held
        command = command_of(self._platform, os.getpid())
        if not command or shutil.which(command[0]) is None:
            return False
        with suppress(OSError):
            self._holder = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # at whose end it ends, should this process be killed
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # no terminal: it asks for no password, hears no Ctrl-C
            )
            self._held = True
        return self._held

    def _let_go(self) -> None:
        if self._held and self._platform == "win32":
            _tell_windows(_CONTINUOUS)
        holder, self._holder, self._held = self._holder, None, False
        if holder is None or holder.stdin is None:
            return
        holder.stdin.close()
        holder.terminate()
        try:
            holder.wait(self._timeouts.awake_end_s)
        except subprocess.TimeoutExpired:
            holder.kill()
            holder.wait()


def moves(transfers: Transfers, slots: UploadSlots) -> IsBusy:
    """Return a function that tells whether anything was sent since it was last asked, or comes."""
    sent = 0

    def is_busy() -> bool:
        nonlocal sent
        before, sent = sent, slots.tally.given().sent
        return sent != before or bool(slots.active()) or transfers.any_running()

    return is_busy


def command_of(platform: str, pid: int) -> list[str]:
    """Return the program that holds the sleep off for this process; none where there is none."""
    if platform == "darwin":
        return ["caffeinate", "-i", "-w", str(pid)]
    if platform == "linux":
        what = ["--what=idle:sleep", "--mode=block", "--who=Rede P2P"]
        return ["systemd-inhibit", *what, "--why=enviando ou baixando arquivos", "cat"]
    return []


def _tell_windows(state: int) -> bool:
    if sys.platform != "win32":
        return False
    import ctypes

    return bool(ctypes.windll.kernel32.SetThreadExecutionState(state))
