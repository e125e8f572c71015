"""Writing whole files: the old content or the new, and never anything else in the folder."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundplane.core import files
from groundplane.core.errors import OutputError
from groundplane.core.files import one_line, write_whole


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@given(data=st.binary(max_size=200))
def test_what_is_written_is_read_back(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("whole")
    for _ in range(2):  # a new file, then one that replaces it
        write_whole(folder / "file", data)
        assert (folder / "file").read_bytes() == data
    assert names(folder) == ["file"]


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_whole(tmp_path / "whole", b"new")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "whole")}
    assert len(modes) == 1


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    target.chmod(0o640)
    write_whole(target, b"new")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_whole(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_reader_who_has_the_old_file_open_still_reads_all_of_it(tmp_path):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with target.open("rb") as reader:
        write_whole(target, b"a longer new content")
        assert reader.read() == b"old"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing/file", "No such file"),
        (".", "no regular file"),
        ("folder", "no regular file"),
        ("a\0b", "null"),
        ("x" * 300, "too long"),
    ],
)
def test_what_cannot_be_a_file_is_refused_with_the_reason(tmp_path, name, reason):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match=f"(?s)cannot be written: .*{reason}") as caught:
        write_whole(f"{tmp_path}/{name}", b"new")
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["folder"]


def test_a_device_is_refused_and_left_alone():
    with pytest.raises(OutputError, match="no regular file"):
        write_whole("/dev/full", b"new")
    assert Path("/dev/full").is_char_device()


def test_an_unwritable_folder_is_refused(tmp_path, monkeypatch):
    # The superuser may write anywhere, so the refusal is made here.
    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(files.Path, "open", refuse)
    with pytest.raises(OutputError, match="cannot be written: Permission denied") as caught:
        write_whole(tmp_path / "file", b"new")
    assert isinstance(caught.value.__cause__, PermissionError)
    assert names(tmp_path) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_the_right_to_write_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            write_whole(tmp_path / "file", b"new")
    finally:
        tmp_path.chmod(0o700)
    assert names(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_no_room_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    target = tmp_path / "file"
    target.write_bytes(b"old")
    reached = []

    def full(*_):
        reached.append(names(tmp_path))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (files.Path, "replace")}[step], full)
    with pytest.raises(OutputError, match="No space left"):
        write_whole(target, b"new")
    assert len(reached[0]) == 2  # a draft was there, so there was something to clear away
    assert names(tmp_path) == ["file"]
    assert target.read_bytes() == b"old"


def test_a_disk_that_fills_up_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    """The draft becomes a link to /dev/full, which takes no byte as a full disk does."""
    target = tmp_path / "file"
    target.write_bytes(b"old")
    real = Path.open

    def to_full(path, mode):
        path.symlink_to("/dev/full")
        return real(path, mode.replace("x", "w"))

    monkeypatch.setattr(files.Path, "open", to_full)
    monkeypatch.setattr(files.Path, "chmod", lambda path, mode: None)  # not that of the device
    with pytest.raises(OutputError, match="No space left"):
        write_whole(target, b"new")
    monkeypatch.undo()
    assert names(tmp_path) == ["file"]
    assert target.read_bytes() == b"old"


@given(st.text(max_size=400))
def test_a_shown_name_is_one_short_line(name):
    shown = one_line(name)
    assert shown.isprintable()
    assert 0 < len(shown) <= 200
