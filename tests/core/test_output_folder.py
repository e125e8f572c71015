"""Folders that are only written to, and names that no two pictures share."""

from __future__ import annotations

import os

import pytest

from groundplane.core.errors import OutputError
from groundplane.core.output_folder import OutputFolder, OutputNames, plain_name
from groundplane.testing.annotations import HOSTILE_NAMES
from groundplane.testing.exporters import files_of

_BESIDE = (
    "a.txt/x.jpg", "a.jpg", "x.png#3", "x.png", "clip.mp4#1", "v1.2/x.jpg", "images/y.jpg",
)  # fmt: skip


def _write_all(names, folder):
    """A file for each name, as exporters write them; how many there are in the end."""
    given = OutputNames(names)
    for name in names:
        folder.write(f"labels/{given.of(name)}.txt", b"")
        folder.write(f"images/{given.of(name)}.png", b"")
    return len(files_of(folder.path))


def test_no_two_names_share_a_file_and_none_leads_outside(tmp_path):
    names = [*HOSTILE_NAMES, *_BESIDE]
    assert _write_all(names, OutputFolder(tmp_path / "a/out")) == 2 * len(names)
    assert os.listdir(tmp_path) == ["a"]
    assert os.listdir(tmp_path / "a") == ["out"]


def test_a_checker_of_names_sees_two_that_share_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(OutputNames, "of", lambda self, path: "same")
    with pytest.raises(OutputError, match="File exists"):
        _write_all(["a.jpg", "b.jpg"], OutputFolder(tmp_path))


def test_plain_names_are_kept():
    names = OutputNames(["a/1.jpg", "b/1.jpg", "v1.2/红 色.jpg"])
    assert [names.of(n) for n in ("a/1.jpg", "v1.2/红 色.jpg")] == ["a/1", "v1.2/红 色"]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("images/1.jpg", False),  # avoided below
        ("renamed/1.jpg", False),
        ("a.txt/1.jpg", False),
        ("é.jpg", False),
        ("e\u0301.jpg", False),
        ("A.jpg", False),
        ("a.jpg", False),
        ("b.jpg", True),
    ],
)
def test_names_that_could_meet_another_are_changed(name, kept):
    names = ["images/1.jpg", "renamed/1.jpg", "a.txt/1.jpg", "é.jpg", "e\u0301.jpg", "A.jpg"]
    given = OutputNames([*names, "a.jpg", "b.jpg"], avoid=["images"]).of(name)
    assert given.startswith("renamed/") is not kept


@pytest.mark.parametrize("name", ["", "/x", "a//b", "../x", "a/../b", "./a", "a/", "nul\0"])
def test_a_file_outside_is_not_written(name, tmp_path):
    folder = OutputFolder(tmp_path / "out")
    for make in (lambda: folder.write(name, b"x"), lambda: folder.link(name, tmp_path)):
        with pytest.raises(OutputError, match="no name for a file"):
            make()
    assert files_of(tmp_path) == {}


def test_what_is_there_is_not_replaced_nor_followed(tmp_path):
    folder = OutputFolder(tmp_path / "out")
    (tmp_path / "theirs").mkdir()
    folder.write("a", b"1")
    folder.link("l", tmp_path / "theirs")
    for name in ("a", "l", "l/x", "a/x"):
        with pytest.raises(OutputError):
            folder.write(name, b"2")
        with pytest.raises(OutputError):
            folder.link(name, tmp_path)
    assert (tmp_path / "out/a").read_bytes() == b"1"
    assert os.listdir(tmp_path / "theirs") == []


def test_a_file_that_was_not_written_whole_is_taken_away(tmp_path):
    folder = OutputFolder(tmp_path)

    def write_half():
        with folder.open("a/b") as file:
            file.write(b"half")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        write_half()
    assert files_of(tmp_path) == {}


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="cannot be written"):
        OutputFolder(tmp_path / "file/out")


@pytest.mark.parametrize("name", ["a" * 201, "é" * 101, "x/" * 400 + "x", "COM1.txt", "a /b", "a."])
def test_names_that_some_systems_refuse_are_not_plain(name):
    assert plain_name(name) is None
