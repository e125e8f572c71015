"""The commands of annotation as a user calls them: runs, their exports, and all that goes wrong."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groundplane.annotation.disk import SystemDisk
from groundplane.annotation.run import Run
from tests.support.made_runs import digests, make_run, one_line_of
from tests.support.tiny_photos import make_photos

FIND = ("--find", "face", "--detector", "opencv", "--in-process", "--workers", "1")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("photos"), 5)


@pytest.fixture
def made(tmp_path):
    """A run as if it had been annotated, with everything that a record can hold."""
    return make_run(tmp_path / "made")


# annotate ------------------------------------------------------------------------------------


def test_a_folder_becomes_a_run_with_exports(run, photos, tmp_path):
    before = digests(photos)
    out = tmp_path / "run"
    code, told, err = run("annotate", photos, *FIND, "--out", out, "--format", "coco")
    assert code == 0, err
    first, second = told.splitlines()[:2]
    assert first.startswith(f"{out}: 5 pictures annotated, 0 regions; ")
    assert second == f"coco: 5 pictures, 0 regions in {out}/exports/coco"
    assert (out / "exports/coco/annotations/instances_default.json").is_file()
    assert err.splitlines()[0] == "5 items"
    assert digests(photos) == before


def test_the_same_call_again_does_nothing_and_says_so(run, photos, tmp_path):
    for expected in ("5 pictures annotated", "nothing was left to do; 5 items done before"):
        code, told, _ = run("annotate", photos, *FIND, "--out", tmp_path / "run", "--quiet")
        assert code == 0
        assert expected in told


def test_failed_pictures_are_counted_on_the_last_line_and_tried_again_on_demand(run, tmp_path):
    photos = make_photos(tmp_path / "in", 3)
    broken = photos / "000" / "00001.jpg"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    call = ("annotate", photos, *FIND, "--out", tmp_path / "run")
    code, told, err = run(*call)
    assert code == 1
    assert "2 pictures annotated, 0 regions; 1 failed" in told
    assert "failed: 000/00001.jpg: decode: " in err
    assert err.splitlines()[-1].startswith("groundplane: 1 failed; the reasons: groundplane status")
    code, told, err = run(*call)
    assert (code, "nothing was left to do" in told) == (1, True)
    broken.write_bytes(whole)
    code, told, err = run(*call, "--retry-failed")
    assert code == 0, err
    assert "1 picture annotated" in told


def test_a_limit_of_the_size_of_files_is_one_line(run, photos, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
        code, told, err = run("annotate", photos, *FIND, "--out", tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (code, told) == (2, "")
    assert "ulimit -f" in one_line_of(err)
    assert not (tmp_path / "run").exists()


def test_too_many_failures_end_the_job(run, tmp_path):
    for index in range(6):
        (tmp_path / f"{index}.jpg").write_bytes(b"no picture")
    out = tmp_path / "run"
    code, told, err = run("annotate", tmp_path, *FIND, "--out", out, "--max-failures", 2)
    assert (code, told) == (1, "")
    assert "more than --max-failures allows" in err.splitlines()[-1]


def test_many_prompts_that_nobody_can_look_for_are_told_shortly(run, tmp_path):
    photos = make_photos(tmp_path / "photos", 1)
    prompts = "face, " + ", ".join(f"unicorn {number}" for number in range(30))
    call = ("annotate", photos, *FIND, "--find", prompts, "--out", tmp_path / "run")
    code, _, err = run(*call)
    assert code == 0
    assert err.count("nobody can look for") == 20
    assert "nor for 10 other prompts" in err


def test_with_events_on_stderr_all_of_it_is_json(run, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    call = ("annotate", tmp_path, *FIND, "--find", "face, unicorn", "--out", tmp_path / "run")
    code, _, err = run(*call, "--json-log", "-")
    assert code == 1
    rows = [json.loads(line) for line in err.splitlines()]
    assert [row["event"] for row in rows if row["event"] != "progress"] == [
        "said", "started", "item_failed", "finished", "said"
    ]  # fmt: skip
    assert "nobody can look for 'unicorn'" in rows[0]["text"]


def test_events_go_to_a_file_as_json_lines(run, photos, tmp_path):
    log = tmp_path / "events.jsonl"
    call = ("annotate", photos, *FIND, "--out", tmp_path / "run", "--quiet", "--json-log", log)
    code, _, err = run(*call)
    assert (code, err) == (0, "")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert (rows[0]["event"], rows[0]["total"]) == ("started", 5)
    assert (rows[-1]["event"], rows[-1]["done"], rows[-1]["ended"]) == ("finished", 5, "complete")


def test_a_dry_run_tells_the_plan_and_writes_nothing(run, photos, tmp_path):
    out = tmp_path / "run"
    call = ("annotate", photos, "--find", "red car: car, dog", "--out", out, "--dry-run")
    code, told, err = run(*call, "--threshold", "dog=0.4", "--detector", "opencv")
    assert (code, err) == (0, "")
    assert "  5 pictures" in told
    assert "  0 car: asked for as 'red car'" in told
    assert "  1 dog: asked for as 'dog' from 0.4" in told
    assert "detector: opencv, of groundplane" in told
    assert f"run: {out}, new" in told
    assert not out.exists()


def test_a_dry_run_over_a_run_tells_what_is_done_or_what_is_another(run, photos, tmp_path):
    out = tmp_path / "run"
    assert run("annotate", photos, *FIND, "--out", out, "--quiet")[0] == 0
    told = run("annotate", photos, *FIND, "--out", out, "--dry-run")[1]
    assert f"run: {out} goes on: 5 pictures done, 0 failed" in told
    told = run("annotate", photos, *FIND, "--out", out, "--dry-run", "--floor", 0.2)[1]
    assert "holds another job: " in told


def test_another_job_is_refused_with_the_difference_and_new_begins_another_run(
    run, photos, tmp_path
):
    out = tmp_path / "run"
    assert run("annotate", photos, *FIND, "--out", out, "--quiet")[0] == 0
    other = ("annotate", photos, *FIND, "--out", out, "--quiet", "--find", "face, eye")
    code, _, err = run(*other)
    assert code == 2
    assert "prompt 'eye' added" in one_line_of(err)
    assert "--new" in err
    code, told, _ = run(*other, "--new")
    assert code == 0
    assert told.startswith(f"{out}-2: ")
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    _, _, err = run("annotate", tmp_path, *FIND, "--out", out, "--quiet", "--new")
    assert f"without --new and with --out {out}-3 with --retry-failed" in err
    assert Run.open(out).summary().done == 5


def test_the_truth_that_experts_of_their_own_process_replay_has_an_ap_of_one(
    data_dir, run, tmp_path
):
    whole = json.loads((data_dir / "coco" / "instances.json").read_text())
    some = whole["images"][:10]
    keys = {image["id"] for image in some}
    mine = [a for a in whole["annotations"] if a["image_id"] in keys]
    truth, listed, classes = (tmp_path / name for name in ("truth.json", "list.txt", "names.txt"))
    truth.write_text(json.dumps({**whole, "images": some, "annotations": mine}))
    folder = data_dir.resolve() / "coco" / "images"
    listed.write_text("\n".join(f"{folder / image['file_name']}" for image in some))
    classes.write_text("\n".join(c["name"] for c in whole["categories"]))
    out = tmp_path / "run"
    code, told, err = run(
        "annotate", listed, "--classes", classes, "--out", out, "--detector", "coco-file",
        "--option", f"annotations={truth}", "--quiet",
    )  # fmt: skip
    assert code == 0, err
    assert f"10 pictures annotated, {len(mine)} regions" in told
    for kind in ("bbox", "segm"):
        code, told, err = run("evaluate", "coco", out, "--truth", truth, "--iou-type", kind)
        assert (code, err) == (0, "")
        assert told.splitlines()[0] == "AP       1.000000"


# Ended early ---------------------------------------------------------------------------------


def called(*arguments):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "groundplane", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def test_ctrl_c_finishes_what_is_begun_and_says_how_to_go_on(run, tmp_path):
    rng = np.random.default_rng(0)
    for index in range(24):
        pixels = rng.integers(0, 256, (300, 400, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{index:02}.jpg")
    out, log = tmp_path / "run", tmp_path / "log"
    call = ("annotate", tmp_path, *FIND, "--out", out, "--batch", 1)
    job = called(*call, "--json-log", log)
    wait_for(lambda: log.exists() and '"done": 1' in log.read_text())
    job.send_signal(signal.SIGINT)
    told, err = job.communicate(timeout=60)
    assert job.returncode == 130, err
    assert told == ""
    assert "interrupted" in err.splitlines()[-1]
    assert "the same call goes on from there" in err.splitlines()[-1]
    before = Run.open(out).summary().done
    assert 0 < before < 24
    code, told, _ = run(*call, "--quiet")
    assert code == 0
    assert f"{24 - before} pictures annotated" in told
    assert f"{before} items done before" in told


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_no_room_left_ends_with_what_is_safe_and_the_next_call_goes_on(
    run, photos, tmp_path, monkeypatch
):
    out, written = tmp_path / "run", SystemDisk.write
    calls = iter(range(1000))

    def full(disk, file, data):
        if next(calls) >= 8:
            raise OSError(errno.ENOSPC, "No space left on device")
        return written(disk, file, data)

    monkeypatch.setattr(SystemDisk, "write", full)
    code, told, err = run("annotate", photos, *FIND, "--out", out, "--quiet")
    assert (code, told) == (2, ""), err
    assert "No space left" in one_line_of(err)
    monkeypatch.undo()
    before = Run.open(out).summary().done
    code, told, err = run("annotate", photos, *FIND, "--out", out, "--quiet")
    assert code == 0, err
    assert before < 5
    assert Run.open(out).summary().done == 5


def test_a_run_that_is_being_written_is_refused_to_writers_and_open_to_readers(
    run, made, photos, tmp_path
):
    out = tmp_path / "run"
    assert run("annotate", photos, *FIND, "--out", out, "--quiet")[0] == 0
    with Run.open(out).writer():
        for words in (["annotate", photos, *FIND, "--out", out], ["rethreshold", out]):
            code, _, err = run(*words)
            assert code == 2
            assert f"process {os.getpid()}" in one_line_of(err)
        for words in (["status", out], ["show", out], ["export", out, "--format", "coco"]):
            assert run(*words)[0] == 0


# Bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{empty}"], "holds no picture"),
        (["{tmp}/none"], "does not exist"),
        (["{photos}", "--find", " , "], "name what to look for"),
        (["{photos}", "--find", "dog, dog"], "stands twice"),
        (["{photos}", "--classes", "{tmp}/none.txt"], "none.txt"),
        (["{photos}", "--format", "cooc"], "Did you mean 'coco'"),
        (["{photos}", "--format", "coco", "--format", "coco"], "twice"),
        (["{photos}", "--detector", "opencb"], "Did you mean 'opencv'"),
        (["{photos}", "--segmenter", "sam9"], "sam9"),
        (["{photos}", "--option", "weights"], "expected key=value"),
        (["{photos}", "--option", "colour=red"], "colour"),
        (["{photos}", "--caption-option", "x"], "--caption-option"),
        (["{photos}", "--threshold", "faec=0.3"], "Did you mean 'face'"),
        (["{photos}", "--threshold", "nan"], "from 0 to 1"),
        (["{photos}", "--floor", "2"], "floor"),
        (["{photos}", "--batch", "0"], "batch"),
        (["{photos}", "--workers", "0"], "workers"),
        (["{photos}", "--frame-step", "0"], "frame_step"),
        (["{photos}", "--find", "unicorn"], "unicorn"),
        (["{photos}", "--json-log", "{tmp}/no/log"], "--json-log"),
        (["{photos}", "--out", "{photos}"], "is no run and holds other files"),
        (["{photos}", "--out", "{file}"], "is no folder"),
        (["{photos}", "--out", "{file}/run"], "cannot"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(run, photos, tmp_path, arguments, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    places = {
        "tmp": tmp_path, "photos": photos, "empty": tmp_path / "empty", "file": tmp_path / "file"
    }  # fmt: skip
    given = [argument.format(**places) for argument in arguments]
    code, told, err = run("annotate", "--out", tmp_path / "run", *FIND, "--quiet", *given)
    assert (code, told) == (2, ""), err
    assert said in one_line_of(err)
    assert not (tmp_path / "run").exists()


def test_nothing_to_look_for_is_refused(run, photos, tmp_path):
    code, _, err = run("annotate", photos, "--out", tmp_path / "run")
    assert code == 2
    assert "--find" in one_line_of(err)


_COMMANDS = (
    ("status",), ("show",), ("rethreshold", "--threshold", "0.5"), ("export", "--format", "coco"),
    ("diff", "{run}"), ("evaluate", "coco", "--truth", "{truth}"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "command"),
    [
        *((fault, command) for fault in ("nothing", "newer") for command in _COMMANDS),
        *((fault, ("status",)) for fault in ("file", "empty", "torn")),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(run, tmp_path, made, command, fault):
    bad = tmp_path / "bad"
    if fault == "file":
        bad.write_text("x")
    elif fault == "empty":
        bad.mkdir()
    elif fault in ("newer", "torn"):
        make_run(bad, num=1)
        manifest = bad / "manifest.json"
        text = manifest.read_text()
        newer = text.replace('"groundplane_run": 1', '"groundplane_run": 2')
        manifest.write_text(newer if fault == "newer" else text[:50])
    truth = tmp_path / "truth.json"
    truth.write_text('{"images": [], "categories": [], "annotations": []}')
    given = [argument.format(run=made.path, truth=truth) for argument in command]
    before = digests(tmp_path)
    code, told, err = run(*given, bad)
    assert (code, told) == (2, ""), err
    assert ("format 2" if fault == "newer" else "bad") in one_line_of(err)
    assert digests(tmp_path) == before


# The page of documentation -------------------------------------------------------------------


def test_the_commands_of_the_page_on_annotation_run(run, tmp_path, monkeypatch):
    page = Path(__file__).resolve().parents[2] / "docs" / "annotation.md"
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    assert len(lines) >= 9
    make_photos(tmp_path / "photos", 2)
    monkeypatch.chdir(tmp_path)
    for line in lines:
        words = shlex.split(line)[1:]
        code, _, err = run(*words, *(["--in-process"] if words[0] == "annotate" else []))
        assert code == 0, (line, err)
    assert sorted(path.name for path in Path("run1", "exports").iterdir()) == [
        "coco", "csv", "voc", "yolo"
    ]  # fmt: skip
    assert Path("run1", "page", "index.html").is_file()
    assert not Path("run2").exists()
