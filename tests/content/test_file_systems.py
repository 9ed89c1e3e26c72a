"""Of which kind a file system is: told by a list of mounts; a real FAT is in test_safe_names."""

from __future__ import annotations

import os

import pytest

from rede_p2p.content import file_systems

pytestmark = pytest.mark.skipif(not hasattr(os, "major"), reason="no disk has a number here")


@pytest.fixture
def mounted(tmp_path, monkeypatch):
    """Return a function that makes the system tell of which kind the disk of tmp_path is."""

    def tell(kind):
        device = tmp_path.stat().st_dev
        place = f"{os.major(device)}:{os.minor(device)}"
        mounts = tmp_path / "mountinfo"
        mounts.write_text(
            "21 1 0:20 / /proc rw - proc none rw\n"
            f"36 35 {place} / /mnt rw shared:1 - {kind} /dev/sda1 rw\n"
        )
        monkeypatch.setattr(file_systems, "_MOUNTS", mounts)

    return tell


@pytest.mark.parametrize("kind", ["vfat", "msdos"])
def test_a_folder_on_fat_is_known_also_before_it_is_there(tmp_path, mounted, kind):
    mounted(kind)
    assert file_systems.is_fat(tmp_path / "not" / "yet")


def test_a_folder_on_another_disk_is_not(tmp_path, mounted):
    mounted("ext4")
    assert not file_systems.is_fat(tmp_path)


def test_a_system_that_tells_no_mounts_is_taken_to_have_no_fat(tmp_path, monkeypatch):
    monkeypatch.setattr(file_systems, "_MOUNTS", tmp_path / "none")
    assert not file_systems.is_fat(tmp_path)
