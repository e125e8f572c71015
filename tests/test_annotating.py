"""`annotate` as a program calls it: what it takes, gives, keeps, refuses."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from exported import exported
from stub_expert import StubExpert
from tiny_photos import make_photos, tiny_jpeg

from groundplane.annotating import annotate
from groundplane.annotation.signals import drained_by_signals
from groundplane.core.errors import InputError, MediaError, OutputError, PluginNotFoundError


def run_of(images, out=None, prompts="dog, red car: car", **details):
    details = {"detector": StubExpert(), "device": "cpu", "workers": 1} | details
    with annotate(images, prompts, out=out, **details) as job:
        records = {record.path: record for record in job}
    return records, job


def test_a_folder_gives_a_record_a_picture(tmp_path):
    records, job = run_of(make_photos(tmp_path / "photos", 30), tmp_path / "run")

    assert len(records) == 30
    assert all(record.status == "done" for record in records.values())
    assert len(job.run.records()) == 30
    assert (job.summary.ended, job.summary.done) == ("complete", 30)


def test_the_same_call_goes_on(tmp_path):
    photos, out = make_photos(tmp_path / "photos", 40), tmp_path / "run"
    with annotate(photos, "dog", detector=StubExpert(), out=out, device="cpu") as job:
        first = next(iter(job)).path
    rest, job = run_of(photos, out, "dog")

    assert first not in rest
    assert len(job.run.records()) == 40
    assert run_of(photos, out, "dog")[0] == {}


def test_pictures_of_a_program_in_every_form(tmp_path):
    file = tmp_path / "b.jpg"
    file.write_bytes(tiny_jpeg(1, (20, 10)))
    array = np.zeros((10, 20, 3), dtype=np.uint8)
    picture = PIL.Image.fromarray(array)
    given = [str(file), file, ("c", file.read_bytes()), ("d", array), ("e", picture)]
    records, job = run_of(iter(given))

    assert len(records) == 5
    assert {record.size for record in records.values()} == {(20, 10)}
    assert job.run is None


def test_a_job_writes_what_it_found_in_another_format(tmp_path):
    photos = make_photos(tmp_path / "photos", 3)
    with annotate(photos, ["dog"], detector=StubExpert(), out=tmp_path / "run") as job:
        with pytest.raises(InputError, match="has not ended"):
            job.export("csv")
        found = sum(len(record.regions) for record in job)
        report = job.export("csv", folder=tmp_path / "table")

    assert (report.pictures, report.regions) == (3, found)
    assert (tmp_path / "table" / "loss.json").exists()
    with annotate(photos, ["dog"], detector=StubExpert()) as bare:
        bare.finish()
        with pytest.raises(InputError, match="keeps no run"):
            bare.export("csv")


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_of([("a", np.zeros((10, 20, 3), dtype=np.uint8))])

    assert list(tmp_path.iterdir()) == []


def test_what_is_handed_out_is_what_the_thresholds_let_pass(tmp_path):
    photos = make_photos(tmp_path / "photos", 20)
    low, _ = run_of(photos, thresholds=0.2, merge=None)
    high, _ = run_of(photos, thresholds=0.8, merge=None)
    whole, _ = run_of(photos, thresholds=0.8, merge=None, candidates=True)

    for path, record in low.items():
        scores = record.regions.scores
        assert high[path].regions.scores.tolist() == scores[scores >= 0.8].tolist()
        assert len(whole[path].regions) == len(record.regions)


def test_a_mapping_gives_classes(tmp_path):
    photos = make_photos(tmp_path / "photos", 10)
    records, job = run_of(photos, tmp_path / "run", {"red car": "car", "lorry": "car"})

    assert job.run.spec.classes.names == ("car",)
    assert {int(i) for record in records.values() for i in record.regions.class_ids} == {0}


def test_named_experts_run_apart_and_the_same_is_found(data_dir, tmp_path):
    found = []
    for apart in (True, False):
        with annotate(
            data_dir / "photos", "face", detector="opencv", device="cpu", apart=apart,
            out=tmp_path / f"run-{apart}", limit=4, workers=1, options={"scale": 1.3},
        ) as job:  # fmt: skip
            job.finish()
        found.append(exported(job.run))

    assert found[0] == found[1]


def test_another_job_in_the_same_folder_is_refused_and_said_how(tmp_path):
    photos, out = make_photos(tmp_path / "photos", 3), tmp_path / "run"
    run_of(photos, out)

    with pytest.raises(InputError, match="prompt 'cat' added"):
        run_of(photos, out, "dog, red car: car, cat")


def test_a_second_writer_is_refused_by_name(tmp_path):
    photos, out = make_photos(tmp_path / "photos", 3), tmp_path / "run"
    with (
        annotate(photos, "dog", detector=StubExpert(), out=out, device="cpu"),
        pytest.raises(OutputError, match=re.escape(str(os.getpid()))),
    ):
        run_of(photos, out, "dog")

    assert len(run_of(photos, out, "dog")[0]) == 3


def test_an_expert_that_is_not_there_leaves_no_run_behind(tmp_path):
    photos, out = make_photos(tmp_path / "photos", 3), tmp_path / "run"
    with pytest.raises(PluginNotFoundError, match="opencv"):
        run_of(photos, out, detector="opencb", apart=False)

    assert not out.exists()


def test_an_empty_folder_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="holds no picture"):
        run_of(tmp_path / "empty", tmp_path / "run")

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("details", "said"),
    [
        ({"prompts": ""}, "name what to look for"),
        ({"floor": 2.0}, "expected floor from 0 to 1"),
        ({"batch": 0}, "expected batch of 1 or more"),
        ({"workers": 0}, "expected workers of 1 or more"),
        ({"max_failures": -1}, "expected max_failures of 0 or more"),
        ({"frame_step": 0}, "frame_step of 1 or more"),
        ({"deadline": 0.0}, "deadline above 0"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, details, said):
    with pytest.raises(InputError, match=said):
        run_of([("a", np.zeros((10, 20, 3), dtype=np.uint8))], **details)


def test_a_job_runs_once():
    job = annotate(
        [("a", np.zeros((9, 9, 3), dtype=np.uint8))], "dog", detector=StubExpert(), device="cpu"
    )
    with job:
        list(job)
        with pytest.raises(InputError, match="runs once"):
            list(job)


def test_a_job_that_never_ran_ends_too(tmp_path):
    photos = make_photos(tmp_path / "photos", 3)
    annotate(photos, "dog", detector=StubExpert(), out=tmp_path / "run", device="cpu").close()

    assert len(run_of(photos, tmp_path / "run", "dog")[0]) == 3


def test_only_failures_are_tried_again_when_asked(tmp_path):
    photos, out = make_photos(tmp_path / "photos", 5), tmp_path / "run"
    good = (photos / "000" / "00003.jpg").read_bytes()
    (photos / "000" / "00003.jpg").write_bytes(good[:60])
    records, _ = run_of(photos, out)
    assert records["000/00003.jpg"].status == "failed"
    assert run_of(photos, out)[0] == {}

    again, _ = run_of(photos, out, retry_failed=True)
    assert [(path, record.status) for path, record in again.items()] == [
        ("000/00003.jpg", "failed")
    ]
    (photos / "000" / "00003.jpg").write_bytes(good)
    mended, job = run_of(photos, out, retry_failed=True)
    assert [record.status for record in mended.values()] == ["done"]
    assert job.run.summary().failed == 0


def test_a_changed_file_is_annotated_anew_and_a_touched_one_is_not(tmp_path):
    photos, out = make_photos(tmp_path / "photos", 4), tmp_path / "run"
    run_of(photos, out)
    os.utime(photos / "000" / "00001.jpg", (1, 1))
    (photos / "000" / "00002.jpg").write_bytes(tiny_jpeg(99, (30, 30)))
    records, job = run_of(photos, out)

    assert list(records) == ["000/00002.jpg"]
    assert job.summary.skipped == 4 - 1
    assert len(job.run.records()) == 4


def test_files_that_vanish_while_it_runs_fail_alone(tmp_path):
    photos = make_photos(tmp_path / "photos", 150)
    records = {}
    with annotate(photos, "dog", detector=StubExpert(), device="cpu", workers=1, batch=2) as job:
        for record in job:
            records[record.path] = record
            if len(records) == 5:
                shutil.rmtree(photos / "001")
                file = photos / "000" / "00099.jpg"
                file.write_bytes(tiny_jpeg(7, (50, 40)))

    failed = {path for path, record in records.items() if record.status == "failed"}
    # What was not listed yet when its folder went is not there; what was, or has changed, fails.
    assert all(path.startswith("001") or path == "000/00099.jpg" for path in failed)
    assert failed
    assert {f"000/{index:05}.jpg" for index in range(100)} <= set(records)
    assert all(records[path].failure.stage == "read" for path in failed)


def test_it_loads_no_torch_before_an_expert_does():
    code = "import sys, groundplane.annotating; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[1])

    assert done.returncode == 0


def test_all_awkward_files_have_one_outcome_each(data_dir, tmp_path):
    folder = data_dir / "awkward"
    records, job = run_of(folder, tmp_path / "run")

    assert job.summary.done + job.summary.failed == len(records) == job.summary.total
    assert len(job.run.records()) == len(records)
    assert {record.path for record in job.run.records()} == set(records)
    assert all(record.failure.message for record in records.values() if record.failure)


def test_ctrl_c_drains_and_says_how_to_go_on(tmp_path):
    photos, out = make_photos(tmp_path / "photos", 120), tmp_path / "my run"
    details = {"detector": StubExpert(), "out": out, "device": "cpu", "batch": 2}
    with annotate(photos, "dog", **details) as job, drained_by_signals(job):
        for count, _ in enumerate(job, 1):
            if count == 5:
                os.kill(os.getpid(), signal.SIGINT)

    assert job.summary.ended == "interrupted"
    assert job.summary.hint == f"what is done is kept in '{out}'; the same call goes on from there"
    done = len(job.run.records())
    assert 5 <= done < 120
    assert len(run_of(photos, out, "dog")[0]) == 120 - done
