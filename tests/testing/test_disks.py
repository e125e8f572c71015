"""Disks that fail do so when they should, and keep what was synced."""

import errno
import os
import random

import pytest

from groundplane.annotation.disk import Disk, SystemDisk
from groundplane.testing.disks import FaultyDisk, PowerLossDisk, ProcessDeathError

FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND


@pytest.mark.parametrize("disk", [SystemDisk(), FaultyDisk()])
def test_they_are_disks(disk, tmp_path):
    assert isinstance(disk, Disk)
    assert isinstance(PowerLossDisk(tmp_path), Disk)
    disk.make_folder(tmp_path / "a" / "b")
    file = disk.open(tmp_path / "a" / "b" / "f", FLAGS)
    assert disk.write(file, b"0123456789") == 10
    disk.cut(file, 4)
    disk.sync(file)
    assert disk.read(file, 9, 1) == b"123"
    assert disk.lock(file, shared=False)
    other = disk.open(tmp_path / "a" / "b" / "f", FLAGS)
    assert not disk.lock(other, shared=True)
    disk.close(file)
    assert disk.lock(other, shared=True)
    disk.close(other)
    disk.rename(tmp_path / "a" / "b" / "f", tmp_path / "g")
    assert (tmp_path / "g").read_bytes() == b"0123"


def test_the_call_that_should_fail_fails_and_others_do_not(tmp_path):
    disk = FaultyDisk(at=2, error=errno.ENOSPC, kinds=frozenset({"write"}))
    file = disk.open(tmp_path / "f", FLAGS)
    disk.write(file, b"one")
    assert not disk.has_failed
    with pytest.raises(OSError, match="No space left"):
        disk.write(file, b"four")
    assert disk.has_failed
    disk.write(file, b"three")
    disk.close(file)
    assert (tmp_path / "f").read_bytes() == b"onefothree"  # a part of what failed is there


def test_a_lasting_error_stays(tmp_path):
    disk = FaultyDisk(at=1, error=errno.EMFILE, lasting=True, kinds=frozenset({"open"}))
    for _ in range(3):
        with pytest.raises(OSError, match="Too many open files"):
            disk.open(tmp_path / "f", FLAGS)


def test_the_dead_do_nothing_more_and_their_locks_go(tmp_path):
    disk = FaultyDisk(at=3)
    file = disk.open(tmp_path / "f", FLAGS)
    disk.lock(file, shared=False)
    for _ in range(2):
        with pytest.raises(ProcessDeathError):
            disk.sync(file)
    with pytest.raises(ProcessDeathError):
        disk.close(file)
    disk.bury()
    alive = FaultyDisk()
    other = alive.open(tmp_path / "f", FLAGS)
    assert alive.lock(other, shared=False)
    alive.close(other)


def test_power_loss_keeps_what_was_synced_and_may_keep_any_of_the_rest(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    disk = PowerLossDisk(folder)
    file, names = disk.open(folder / "f", FLAGS), disk.open(folder, os.O_RDONLY)
    disk.write(file, b"safe")
    disk.sync(file)
    disk.sync(names)
    synced = disk.num_steps
    disk.write(file, b"lost")
    disk.cut(file, 6)
    held = set()
    for case in range(80):
        disk.after_failure(disk.num_steps, random.Random(case), into=tmp_path / f"{case}")
        held.add((tmp_path / f"{case}" / "f").read_bytes())
    assert all(data.startswith(b"safe") for data in held)
    assert {b"safe", b"safelo", b"safelost"} <= held
    disk.after_failure(synced, random.Random(0), into=tmp_path / "synced")
    assert (tmp_path / "synced" / "f").read_bytes() == b"safe"
    disk.close(file)
    disk.close(names)


def test_a_name_that_was_not_synced_may_be_gone(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    disk = PowerLossDisk(folder)
    file = disk.open(folder / "f", FLAGS)
    disk.sync(file)
    there = set()
    for case in range(30):
        disk.after_failure(disk.num_steps, random.Random(case), into=tmp_path / f"{case}")
        there.add((tmp_path / f"{case}" / "f").exists())
    assert there == {True, False}
    disk.close(file)
