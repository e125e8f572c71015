"""Files that somebody else owns."""

from __future__ import annotations

import os
import threading

import pytest

from groundplane.core.errors import MediaError
from groundplane.core.regular_files import read_regular, stamp_of


def _read(path, *, most=100, stamp=None):
    return read_regular(path, name="a.jpg", max_bytes=most, stamp=stamp)


def test_a_file_is_read_whole(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x" * 100)
    assert _read(path) == b"x" * 100
    assert _read(path, stamp=stamp_of(path.stat())) == b"x" * 100


def test_a_file_of_another_stamp_has_changed(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    stamp = stamp_of(path.stat())
    for change in (lambda: os.utime(path, ns=(0, 1)), lambda: path.write_bytes(b"xy")):
        change()
        with pytest.raises(MediaError, match="it has changed since it was listed"):
            _read(path, stamp=stamp)


def test_a_file_that_grows_while_it_is_read_has_changed(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    stamp = stamp_of(path.stat())
    fstat, calls = os.fstat, []

    def grow(descriptor):
        calls.append(descriptor)
        if len(calls) == 2:
            path.write_bytes(b"xyz")
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", grow)
    with pytest.raises(MediaError, match="changed"):
        _read(path, stamp=stamp)


def test_too_much_and_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * 101)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, message in [
        ("big", "more than 100 bytes"),
        ("pipe", "not a regular file"),
        ("loop", "symbolic links"),
        ("none", "no such file"),
        (".", "it is a folder"),
        ("nul\0", "malformed"),
        ("x" * 300, "too long"),
    ]:
        with pytest.raises(MediaError, match=message) as caught:
            _read(tmp_path / name)
        assert str(tmp_path) not in str(caught.value)


def test_a_file_that_becomes_a_pipe_keeps_nobody_waiting(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    stat = os.stat

    def swap(given, **options):
        status = stat(given, **options)
        if given == path:
            path.unlink()
            os.mkfifo(path)
        return status

    monkeypatch.setattr(os, "stat", swap)
    refusals = []

    def read():
        with pytest.raises(MediaError) as caught:
            _read(path)
        refusals.append(str(caught.value))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(5)
    assert refusals == ["cannot read picture 'a.jpg': it is not a regular file"]
