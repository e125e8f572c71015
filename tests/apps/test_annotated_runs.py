"""What is done with runs, as a user calls it: export, status, rethreshold, diff, show."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from groundplane.annotation.run import Run
from groundplane.annotation.spec import JobSpec
from groundplane.testing.annotations import random_records
from tests.support.made_runs import make_run, one_line_of
from tests.support.tiny_photos import make_photos

FIND = ("--find", "face", "--detector", "opencv", "--in-process", "--workers", "1")


@pytest.fixture
def made(tmp_path):
    """A run as if it had been annotated, with everything that a record can hold."""
    return make_run(tmp_path / "made")


# export --------------------------------------------------------------------------------------


def test_an_export_tells_what_it_lost(run, made):
    both = ("--format", "coco", "--format", "yolo", "--option", "yolo.images=none")
    code, told, err = run("export", made.path, *both)
    assert (code, err) == (0, "")
    held = f"{len(made.records())} pictures, {made.summary().regions} regions"
    assert f"coco: {held} in {made.exports}/coco" in told
    assert "NOT IN IT" in told
    assert json.loads((made.exports / "yolo" / "loss.json").read_text())["losses"]


def test_an_export_goes_where_it_is_told(run, made, tmp_path):
    assert run("export", made.path, "--format", "coco", "--out", tmp_path / "a")[0] == 0
    assert (tmp_path / "a/annotations/instances_default.json").is_file()
    both = ("--format", "coco", "--format", "yolo", "--option", "yolo.images=none")
    assert run("export", made.path, *both, "--out", tmp_path / "b")[0] == 0
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["coco", "yolo"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a format with --format"),
        (["--format", "csb"], "Did you mean"),
        (["--format", "coco", "--option", "colour=1"], "colour"),
        (["--format", "coco", "--option", "yolo.images=none"], "'yolo' is none of the formats"),
        (["--format", "coco", "--format", "yolo", "--option", "a=1"], "coco.a="),
        (["--format", "coco", "--out", "{taken}"], "is no export"),
        (["--format", "coco", "--source", "{tmp}/none"], "does not exist"),
    ],
)
def test_an_export_that_cannot_be_made_is_refused(run, made, tmp_path, arguments, said):
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    given = [argument.format(tmp=tmp_path, taken=taken) for argument in arguments]
    code, told, err = run("export", made.path, *given)
    assert (code, told) == (2, ""), err
    assert said in one_line_of(err)
    assert (taken / "notes.txt").read_text() == "mine"


# status, diff, rethreshold, show -------------------------------------------------------------


def test_the_status_tells_counts_thresholds_and_failures(run, made):
    summary = made.summary()
    assert summary.failed
    code, told, err = run("status", made.path)
    assert (code, err) == (0, "")
    assert f"{summary.done} done, {summary.empty} of them without a region" in told
    assert f"{summary.failed} failed: " in told
    assert "FROM SCORE" in told
    assert all(line.isprintable() for line in told.splitlines())


def test_the_status_as_json_holds_every_failure(run, made):
    run("export", made.path, "--format", "coco")
    code, told, _ = run("status", made.path, "--json")
    assert code == 0
    row = json.loads(told)
    assert row["failed"] == len(row["failed_pictures"]) == made.summary().failed
    assert [(f["path"], f["stage"]) for f in row["failed_pictures"]] == [
        (path, failure.stage) for path, failure in made.failures()
    ]
    assert list(row["exports"]) == ["coco"]


def test_thresholds_are_set_anew_and_the_counts_told(run, made):
    before = made.summary().regions
    run("export", made.path, "--format", "coco")
    code, told, err = run("rethreshold", made.path, "--threshold", "1")
    assert (code, err) == (0, "")
    after = made.summary().regions
    assert after < before
    (line,) = [line for line in told.splitlines() if line.startswith("all ")]
    assert line.split()[1:] == [f"{before}", f"{after}", f"-{before - after}"]
    assert "groundplane export makes them anew" in told
    assert run("rethreshold", made.path)[0] == 0
    assert made.summary().regions == before


def test_a_threshold_below_the_floor_is_refused(run, tmp_path):
    records = random_records(1, num=2)
    Run.create(tmp_path / "r", JobSpec(source="/x", classes=records.classes, floor=0.3))
    code, _, err = run("rethreshold", tmp_path / "r", "--threshold", "0.1")
    assert code == 2
    assert "lower floor" in one_line_of(err)


def test_equal_runs_do_not_differ_and_changed_ones_do(run, made, tmp_path):
    make_run(tmp_path / "same")
    code, told, _ = run("diff", made.path, tmp_path / "same")
    assert (code, told) == (0, f"{len(made.records())} pictures are the same\n")

    def noted(record):
        regions = record.regions
        return replace(record, regions=regions.select(np.arange(len(regions))[1:]))

    make_run(tmp_path / "other", change=noted)
    code, told, _ = run("diff", made.path, tmp_path / "other", "--json")
    assert code == 0
    row = json.loads(told)
    assert row["counts"]["regions"] > 0
    assert sum(change["removed"] for change in row["classes"].values()) > 0


def test_a_page_is_made_and_lacking_pictures_are_told(run, made):
    code, told, err = run("show", made.path)
    assert code == 0
    index = Path(told.partition(":")[0])
    assert index == made.path / "page" / "index.html"
    assert index.is_file()
    assert "--source FOLDER" in err.splitlines()[-1]


def test_a_page_shows_pictures_that_were_moved(run, tmp_path):
    photos = make_photos(tmp_path / "before", 3)
    out = tmp_path / "run"
    assert run("annotate", photos, *FIND, "--out", out, "--quiet")[0] == 0
    photos.rename(tmp_path / "after")
    code, _, err = run("show", out, "--out", tmp_path / "page", "--source", tmp_path / "after")
    assert (code, err) == (0, "")
    assert len(list((tmp_path / "page" / "thumbs").rglob("*.jpg"))) == 3
    code, _, err = run("export", out, "--format", "yolo")
    assert code == 2
    assert "--source FOLDER" in one_line_of(err)
    to_there = ("--source", tmp_path / "after")
    assert run("export", out, "--format", "yolo", *to_there)[0] == 0
    code, _, err = run("show", out, "--limit", 0)
    assert code == 2
    assert "--limit" in one_line_of(err)


# Light ---------------------------------------------------------------------------------------

_LIGHT = """
import sys
from groundplane.apps.entry import main
for words in (["status", RUN], ["status", RUN, "--json"], ["show", RUN], ["diff", RUN, RUN],
              ["export", RUN, "--format", "coco"], ["rethreshold", RUN]):
    sys.argv = ["groundplane", *words]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (words, ended.code)
heavy = {"torch", "transformers", "cv2", "matplotlib", "scipy"} & set(sys.modules)
sys.exit(f"loaded {heavy}" if heavy else 0)
"""


def test_what_asks_no_model_loads_no_torch(made):
    code = _LIGHT.replace("RUN", repr(str(made.path)))
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
