"""Folders: everything in them once, in order, and nothing that leads out of them."""

from __future__ import annotations

import itertools
import os
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundplane.annotation.sources import open_source
from groundplane.annotation.sources.folders import FolderListing
from groundplane.annotation.sources.source import Tally
from groundplane.core.errors import InputError, MediaError


def _make(top, *names):
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))


def _paths(source):
    return [item.path for item in source.items()]


def test_all_levels_are_listed_sorted_with_stamps_and_kinds(tmp_path):
    names = ["b.JPG", "a.png", "a/1.jpg", "a/deep/er/2.webp", "a.d/3.gif", "walk.mp4", "z.tiff"]
    _make(tmp_path, *names, "notes.txt", "a/1.json", "README", ".x.jpg", ".cache/y.jpg")
    source = open_source(tmp_path)
    items = list(source.items())
    assert [item.path for item in items] == sorted(names)
    for item in items:
        status = (tmp_path / item.path).stat()
        assert item.where == {"file": str(tmp_path / item.path)}
        assert item.stamp == (status.st_size, status.st_mtime_ns)
        assert item.kind == ("video" if item.path == "walk.mp4" else "picture")
    assert source.count() == 7
    assert source.name == str(tmp_path)
    assert source.tally.told() == (
        "6 pictures, 1 video; left out: 1 without ending, 1 .json, 1 .txt, 2 hidden"
    )


def test_only_videos_get_the_step(tmp_path):
    _make(tmp_path, "a.jpg", "b.mp4")
    assert [item.frame_step for item in open_source(tmp_path, frame_step=5).items()] == [1, 5]
    with pytest.raises(InputError, match="frame_step"):
        open_source(tmp_path, frame_step=0)


def test_links_are_no_way_out_and_no_way_round(tmp_path):
    _make(tmp_path / "top", "a.png", "sub/b.png")
    _make(tmp_path, "outside/c.png")
    top = tmp_path / "top"
    (top / "round").symlink_to(top)
    (top / "sub" / "up").symlink_to("..")
    (top / "out").symlink_to(tmp_path / "outside")
    (top / "linked.png").symlink_to(top / "a.png")
    (top / "nowhere.png").symlink_to(top / "gone.png")
    (top / "self.png").symlink_to("self.png")
    (top / "folder.png").symlink_to(tmp_path / "outside")
    source = open_source(top)
    assert _paths(source) == [
        "a.png", "folder.png", "linked.png", "nowhere.png", "self.png", "sub/b.png",
    ]  # fmt: skip
    by_path = {item.path: item for item in source.items()}
    assert by_path["nowhere.png"].stamp is None
    with pytest.raises(MediaError, match="no such file"):
        source.read(by_path["nowhere.png"])
    with pytest.raises(MediaError, match="it is a folder"):
        source.read(by_path["folder.png"])
    assert source.read(by_path["linked.png"]) == b"x" * 5


def test_pipes_and_folders_called_as_pictures_have_one_outcome(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "empty.jpg").mkdir()
    _make(tmp_path, "holiday.jpg/1.jpg")
    source = open_source(tmp_path)
    kinds = {item.path: item.kind for item in source.items()}
    assert kinds == {"empty.jpg": "fault", "holiday.jpg/1.jpg": "picture", "pipe.jpg": "picture"}
    assert source.count() == 3


def test_a_folder_that_cannot_be_listed_is_one_fault(tmp_path, monkeypatch):
    _make(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg")
    scandir = os.scandir

    def fail(path):
        if str(path).rstrip("/").endswith("/b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", fail)
    items = list(open_source(tmp_path).items())
    assert [(item.path, item.kind) for item in items] == [
        ("a/1.jpg", "picture"), ("b", "fault"), ("c/3.jpg", "picture"),
    ]  # fmt: skip
    assert items[1].where["message"] == "the folder cannot be listed: Permission denied"


@pytest.mark.parametrize(
    "name", ["a\nb.jpg", "\udce9\udcff.jpg", "\u202egpj.jpg", "猫🐈/犬.jpg", " .jpg", "#1.jpg"]
)
def test_names_are_data(tmp_path, name):
    _make(tmp_path, name)
    source = open_source(tmp_path)
    [item] = source.items()
    assert item.path == name
    assert source.read(item)
    assert source.find(name) == item


def test_very_deep_folders_end_in_an_outcome(tmp_path):
    here = os.open(tmp_path, os.O_RDONLY)
    name = "d" * 250
    for _ in range(20):  # deeper than a path may be long
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(os.open("a.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    [item] = open_source(tmp_path).items()
    assert (item.kind, item.where["message"]) == (
        "fault", "the folder cannot be listed: File name too long",
    )  # fmt: skip


def test_folders_of_runs_are_not_entered(tmp_path):
    _make(tmp_path, "a.jpg", "run/manifest.json", "run/records.log", "run/exports/b.jpg")
    _make(tmp_path, "half/manifest.json", "half/c.jpg")
    source = open_source(tmp_path)
    assert _paths(source) == ["a.jpg", "half/c.jpg"]
    assert "1 folder of runs" in source.tally.told()
    assert source.count() == 2


def test_folders_without_pictures_are_refused_with_what_is_in_them(tmp_path):
    (tmp_path / "empty").mkdir()
    _make(tmp_path, "shards/a.tar", "shards/b.tar", "shards/notes.txt")
    for name, message in [("empty", r"\(nothing\)"), ("shards", r"2 \.tar, 1 \.txt")]:
        with pytest.raises(MediaError, match=message):
            list(open_source(tmp_path / name).items())
    with pytest.raises(MediaError, match="does not exist"):
        open_source(tmp_path / "missing")


def test_nothing_outside_is_found_by_a_path(tmp_path):
    _make(tmp_path, "outside.jpg", "top/a.jpg")
    source = open_source(tmp_path / "top")
    for path in ["../outside.jpg", f"{tmp_path}/outside.jpg", "/a.jpg", "", "a//b", "./a.jpg"]:
        with pytest.raises(MediaError, match="holds no"):
            source.find(path)
    with pytest.raises(MediaError, match="no such file"):
        source.read(source.find("b.jpg"))


_PART = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(paths=st.sets(st.lists(_PART, min_size=1, max_size=3).map(tuple), max_size=12))
def test_the_order_is_that_of_the_whole_paths(tmp_path_factory, paths):
    top = tmp_path_factory.mktemp("top")
    expected = set()
    for parts in paths:
        *folders, name = (part if part not in (".", "..") else "dots" for part in parts)
        path = top.joinpath(*folders, f"{name}.jpg")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError:
            continue  # a file stands where a folder should, or a name is too long
        if not any(part.startswith(".") for part in path.relative_to(top).parts):
            expected.add(str(path.relative_to(top)))
    tally = Tally()
    found = [item.path for item in FolderListing(str(top)).items(tally)]
    assert found == sorted(expected)


def test_many_files_are_listed_with_little_memory(tmp_path):
    for folder, name in itertools.product(range(15), range(100)):
        path = tmp_path / str(folder)
        path.mkdir(exist_ok=True)
        os.close(os.open(path / f"{name}.jpg", os.O_CREAT | os.O_WRONLY))
    source = open_source(tmp_path)
    tracemalloc.start()
    count = sum(1 for _ in source.items())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1500
    assert peak < 100_000  # all names at once would take twice that
