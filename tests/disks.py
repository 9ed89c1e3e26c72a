"""Disks of other kinds, in an image file, mounted for one test: what folds names, has no links …

Only root may mount, and not every system has every kind: else the test is skipped, with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from rede_p2p.content import disk

# How to format an image, and how to mount its loop device.
KINDS: dict[str, tuple[list[str], list[list[str]]]] = {
    # ext4 that takes Foto.JPG for foto.jpg, and é for its two halves.
    "casefold": (["mkfs.ext4", "-q", "-O", "casefold"], [["mount", "-t", "ext4"]]),
    # FAT: no hard links, times of 2 s, files below 4 GiB.
    "vfat": (["mkfs.vfat", "-F", "32"], [["mount", "-t", "vfat", "-o", "utf8"]]),
    "exfat": (["mkfs.exfat"], [["mount", "-t", "exfat"], ["mount.exfat-fuse"]]),
    # Has hard links, and names as Windows has them.
    "ntfs": (["mkfs.ntfs", "-F", "-Q"], [["lowntfs-3g", "-o", "ignore_case"]]),
}
IMAGE_BYTES = 64 * 1024 * 1024
THIN_BYTES = 24 * 1024 * 1024  # of memory, for the image of a disk that claims to be larger


@contextmanager
def mounted(kind: str) -> Iterator[Path]:
    """Give the top of a new, empty disk of that kind; it is unmounted and gone at the end."""
    if os.name == "nt" or os.geteuid() != 0:
        pytest.skip("only root may mount a disk")
    format_it, ways = KINDS[kind]
    missing = [word for word in (format_it[0], "losetup", "mount") if not shutil.which(word)]
    if missing:
        pytest.skip(f"there is no {missing[0]} here")
    with ExitStack() as stack:
        # Not in the test's own folder, whose removal must never meet a mounted disk.
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="disk-")))
        image, top = work / "image", work / "disk"
        top.mkdir()
        image.touch()
        os.truncate(image, IMAGE_BYTES)
        _run([*format_it, str(image)], work)
        device = _loop_device(image, stack)
        why = [_run([*way, str(device), str(top)], work) for way in ways if shutil.which(way[0])]
        if not os.path.ismount(top):
            pytest.skip(f"no {kind} here: {' / '.join(why) or 'no program mounts it'}")
        stack.callback(_run, ["umount", "--lazy", str(top)], work)
        if kind == "casefold":
            top = top / "pasta"
            top.mkdir()
            _run(["chattr", "+F", str(top)], work)
        yield top


class ThinDisk:
    """An ext4 whose image has no room any more: write(2) goes on, and fsync(2) fails."""

    def __init__(self, work: Path, top: Path, stack: ExitStack) -> None:
        """Mount it on ``top``; its image is on a disk of its own in ``work``, in memory."""
        if os.name == "nt" or os.geteuid() != 0:
            pytest.skip("only root may mount a disk")
        missing = [word for word in ("mkfs.ext4", "losetup", "mount") if not shutil.which(word)]
        if missing:
            pytest.skip(f"there is no {missing[0]} here")
        self.top, self._work, self._memory = top, work, work / "memoria"
        self._memory.mkdir()
        top.mkdir(exist_ok=True)
        stack.callback(_run, ["umount", "--lazy", str(self._memory)], work)
        words = ["mount", "-t", "tmpfs", "-o", f"size={THIN_BYTES}", "tmpfs", str(self._memory)]
        if why := _run(words, work):
            pytest.skip(why)
        image = self._memory / "image"
        image.touch()
        os.truncate(image, IMAGE_BYTES)
        # Few inodes and no journal, all written now: what must fail later are the files alone.
        few = ["-N", "64", "-O", "^has_journal", "-E", "lazy_itable_init=0,nodiscard"]
        _run(["mkfs.ext4", "-q", *few, str(image)], work)
        self._device = _loop_device(image, stack)
        stack.callback(_run, ["umount", "--lazy", str(top)], work)
        self._mount()

    def _mount(self) -> None:
        if why := _run(["mount", "-t", "ext4", str(self._device), str(self.top)], self._work):
            pytest.skip(why)

    def fill(self) -> None:
        """Take all the room from its image."""
        with suppress(OSError), (self._memory / "cheio").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def free(self) -> None:
        """Give the room back."""
        (self._memory / "cheio").unlink()

    def forget(self) -> None:
        """Unmount it and mount it again: what is not on it is gone."""
        assert not _run(["umount", str(self.top)], self._work)
        self._mount()


def _loop_device(image: Path, stack: ExitStack) -> Path:
    found = subprocess.run(
        ["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip(f"no loop device: {found.stderr.strip()}")
    device = Path(found.stdout.strip())
    stack.callback(subprocess.run, ["losetup", "--detach", str(device)], check=False)
    return device


def _run(words: Sequence[str], work: Path) -> str:
    """Run a program, which may leave another behind; return what it complains of."""
    with (work / "said").open("w+") as said:  # a pipe would stay open as long as what it leaves
        quiet = subprocess.DEVNULL
        subprocess.run(words, stdin=quiet, stdout=quiet, stderr=said, check=False, timeout=60)
        said.seek(0)
        return " ".join(said.read().split())


def scribble(path: Path, start: int = 0, data: bytes = b"?") -> None:
    """Write as another program does, until the system's clock has noticed."""
    before = disk.file_state(path)
    while disk.file_state(path) == before:
        with path.open("r+b") as other:
            other.seek(start)
            other.write(data)
