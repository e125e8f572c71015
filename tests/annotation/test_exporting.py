"""Exports stand whole or not at all, replace only exports, and say what was lost."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from groundplane.annotation.exporting import (
    ExportRequest,
    export_records,
    export_run,
    read_losses,
)
from groundplane.annotation.run import Run
from groundplane.annotation.spec import JobSpec
from groundplane.core.errors import InputError, MediaError, OutputError, PluginNotFoundError
from groundplane.core.host import available
from groundplane.testing.annotations import random_records, records_of_names
from groundplane.testing.exporters import files_of


@pytest.fixture
def records():
    return random_records(4, num=4)


@pytest.fixture
def ask(records, tmp_path):
    """A request for an export of the records."""

    def make(**changed):
        given = {"format": "coco", "folder": tmp_path / "run/exports/coco", **changed}
        return ExportRequest(classes=records.classes, read=records.read, **given)

    return make


class Breaking:
    """Records that end in an error."""

    def __init__(self, records, error):
        self.records, self.error = records, error

    def __len__(self):
        return len(self.records)

    def __iter__(self):
        yield from self.records
        raise self.error


def test_an_export_stands_in_its_folder_with_its_losses(records, ask):
    request = ask(options={"extras": "false"})
    report = export_records(records, request)
    marked = json.loads((request.folder / "loss.json").read_text())
    assert marked["losses"] == report.record()["losses"] != []
    assert marked["options"] == {
        "masks": "rle", "extras": False, "results": False, "images": "none",
    }  # fmt: skip
    assert marked["files"] == len(files_of(request.folder)) == 2
    assert sorted(os.listdir(request.folder.parent)) == ["coco"]


def test_an_earlier_export_is_replaced(records, ask):
    export_records(records, ask(options={"results": "true"}))
    before = files_of(ask().folder)
    export_records(records, ask())
    assert before.keys() - files_of(ask().folder).keys() == {"results.json"}
    export_records(records, ask(options={"results": "true"}))
    assert files_of(ask().folder) == before


def test_an_empty_folder_is_taken(records, ask):
    ask().folder.mkdir(parents=True)
    export_records(records, ask())
    assert read_losses(ask().folder)["format"] == "coco"


@pytest.mark.parametrize(
    "files",
    [
        {"mine.txt": "x"},
        {"loss.json": "{}"},
        {"loss.json": "["},
        {"loss.json": '{"groundplane": 1}', "mine.txt": "x"},
    ],
)
def test_what_is_no_export_is_never_replaced(files, records, ask):
    ask().folder.mkdir(parents=True)
    for name, text in files.items():
        (ask().folder / name).write_text(text)
    before = files_of(ask().folder)
    with pytest.raises(OutputError, match="is no export"):
        export_records(records, ask())
    assert files_of(ask().folder) == before


def test_a_large_foreign_folder_is_refused_without_a_look_at_all_of_it(records, ask, monkeypatch):
    walked = []
    (ask().folder / "deep").mkdir(parents=True)
    (ask().folder / "mine").write_text("x")
    walk = os.walk

    def counted(top):
        for step in walk(top):
            walked.append(step)
            yield step

    monkeypatch.setattr(os, "walk", counted)
    with pytest.raises(OutputError, match="is no export"):
        export_records(records, ask())
    assert len(walked) == 1


def test_a_file_that_was_put_into_an_export_is_kept(records, ask):
    export_records(records, ask())
    (ask().folder / "best.pt").write_text("weeks of work")
    with pytest.raises(OutputError, match="did not write"):
        export_records(records, ask())
    assert (ask().folder / "best.pt").read_text() == "weeks of work"


def test_a_link_or_a_file_in_its_place_is_kept(records, ask, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    ask().folder.parent.mkdir(parents=True)
    ask().folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="no folder"):
        export_records(records, ask())
    assert os.listdir(tmp_path / "elsewhere") == []
    ask().folder.unlink()
    ask().folder.write_text("mine")
    with pytest.raises(OutputError, match="no folder"):
        export_records(records, ask())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left"), ValueError()])
def test_a_failed_export_leaves_the_earlier_one(error, records, ask):
    export_records(records, ask())
    before = files_of(ask().folder)
    with pytest.raises((type(error), OutputError)):
        export_records(Breaking(records, error), ask(options={"extras": "false"}))
    assert files_of(ask().folder) == before
    assert os.listdir(ask().folder.parent) == ["coco"]


def test_what_a_killed_process_left_is_taken_away(records, ask):
    parent = ask().folder.parent
    for name in (".coco.part", ".coco.old"):
        (parent / name / "images").mkdir(parents=True)
        (parent / name / "images/x").write_text("half")
        (parent / name / "link").symlink_to("/nowhere")
    export_records(records, ask())
    assert os.listdir(parent) == ["coco"]


def test_a_second_process_is_refused_and_harms_nothing(records, ask):
    draft = ask().folder.parent / ".coco.part"
    draft.mkdir(parents=True)
    (draft / "theirs").write_text("half")
    held = os.open(draft, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(OutputError, match="another process"):
        export_records(records, ask())
    os.close(held)
    assert (draft / "theirs").read_text() == "half"


def test_a_link_in_place_of_the_draft_is_not_followed(records, ask, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/file").write_text("kept")
    ask().folder.parent.mkdir(parents=True)
    (ask().folder.parent / ".coco.part").symlink_to(tmp_path / "theirs")
    with pytest.raises(OutputError):
        export_records(records, ask())
    assert files_of(tmp_path / "theirs") == {"file": b"kept"}


def test_many_files_are_brought_to_the_disk_at_once(records, ask, monkeypatch):
    calls = []
    monkeypatch.setattr("groundplane.annotation.exporting._FEW", 0)
    monkeypatch.setattr(os, "sync", lambda: calls.append("sync"))
    export_records(records, ask())
    assert calls == ["sync"]


# Of a run -------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """A run over two pictures, the second of which is gone by now."""
    made = records_of_names(("a/1.png", "b/1.png"))
    source = tmp_path / "photos"
    spec = JobSpec(source=str(source), classes=made.classes)
    run = Run.create(tmp_path / "run", spec)
    with run.writer() as writer:
        for record in made:
            data = made.read(record)
            (source / record.path).parent.mkdir(parents=True)
            (source / record.path).write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()
            writer.write(replace(record, content_hash=digest), (len(data), 1))
    (source / "b/1.png").unlink()
    return run


def test_a_run_goes_out_to_its_own_folder_under_its_sources_name(run):
    report = export_run(run, "coco")
    document = json.loads(
        (run.path / "exports/coco/annotations/instances_default.json").read_text()
    )
    assert document["info"] == {"description": "photos"}
    assert report.pictures == 2


def test_a_run_goes_out_elsewhere_with_options(run, tmp_path):
    export_run(run, "yolo", folder=tmp_path / "set", options={"images": "none"})
    assert not run.exports.exists()
    assert "labels/b/1.txt" in files_of(tmp_path / "set")


def test_pictures_are_linked_where_the_run_found_them(run, tmp_path):
    (tmp_path / "photos/b/1.png").write_bytes(b"another")
    export_run(run, "yolo")
    assert (run.exports / "yolo/images/a/1.png").readlink() == tmp_path / "photos/a/1.png"


@pytest.mark.parametrize("images", ["link", "copy"])
def test_a_picture_that_is_gone_is_told(images, run):
    with pytest.raises(MediaError, match=r"b/1\.png"):
        export_run(run, "yolo", options={"images": images})
    assert not (run.exports / "yolo").exists()


def test_a_copy_of_a_picture_that_has_changed_is_refused(run, tmp_path):
    (tmp_path / "photos/b/1.png").write_bytes(b"another")
    with pytest.raises(MediaError, match="has changed"):
        export_run(run, "yolo", options={"images": "copy"})


def test_an_unknown_format_is_met_with_a_near_one(records, ask):
    with pytest.raises(PluginNotFoundError, match="Did you mean 'coco'"):
        export_records(records, ask(format="coko"))
    assert not ask().folder.parent.exists()


def test_an_unknown_option_is_refused(records, ask):
    with pytest.raises(InputError, match="polygons"):
        export_records(records, ask(options={"masks": "polygon"}))


# Every format ---------------------------------------------------------------------------------

_FORMATS = [info.name for info in available("exporters", read=False)]


@pytest.mark.parametrize("format", _FORMATS)
def test_names_of_any_kind_go_out_twice_alike_and_nowhere_else(format, tmp_path, monkeypatch):
    monkeypatch.setattr("groundplane.annotation.exporting._sync", lambda path: None)  # a second
    records = records_of_names()
    request = ExportRequest(
        format=format, folder=tmp_path / "a/out", classes=records.classes, read=records.read
    )
    report = export_records(records, request)
    first = files_of(request.folder)
    assert report.pictures == len(records)
    assert export_records(records, request) == report
    assert files_of(request.folder) == first
    assert json.loads(first["loss.json"])["files"] == len(first)
    assert os.listdir(tmp_path) == ["a"]
    assert os.listdir(tmp_path / "a") == ["out"]


_FULL = """
import resource, sys, pathlib
from groundplane.annotation.exporting import ExportRequest, export_records
from groundplane.core.host import available
from groundplane.core.errors import OutputError
from groundplane.testing.annotations import random_records
from groundplane.testing.exporters import files_of

folder = pathlib.Path(sys.argv[1])
records = random_records(4, num=10, hostile=False)
for name in sys.argv[2:]:
    request = ExportRequest(
        format=name, folder=folder / name, classes=records.classes, read=records.read
    )
    export_records(records, request)
    before = files_of(folder)
    # No file may grow beyond this: what a full disk does, wherever it is met.
    for most in (0, 40):
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
        try:
            export_records(records, request)
            refused = ""
        except OutputError as error:
            refused = str(error)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        assert refused.count(chr(10)) == 0
        assert "cannot be written" in refused, (name, refused)
        assert files_of(folder) == before, name
"""


def test_no_room_left_leaves_the_earlier_export(tmp_path):
    command = [sys.executable, "-c", _FULL, str(tmp_path), *_FORMATS]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]


def test_exporting_needs_no_torch():
    code = (
        "import sys, groundplane.annotation.exporting as e, groundplane.testing.annotations as a, "
        "tempfile, pathlib\n"
        "for name in ('coco', 'yolo', 'yolo-segment', 'voc', 'labelme', 'csv'):\n"
        "    records = a.random_records(4, num=3)\n"
        "    folder = pathlib.Path(tempfile.mkdtemp()) / 'x'\n"
        "    e.export_records(records, e.ExportRequest(format=name, folder=folder, "
        "classes=records.classes, read=records.read))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
