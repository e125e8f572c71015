"""What jobs promise, tried through all of their stages: the same bytes, flat memory, no loss."""

import errno
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from exported import exported
from job_stubs import InlinePool, ListedItems, StubLooker
from pictures import make_chunk, make_png
from stub_expert import StubExpert
from tiny_photos import make_photos, tiny_jpeg

from groundplane.annotating import annotate
from groundplane.annotation.events import BatchHalved
from groundplane.annotation.pipeline import Pipeline
from groundplane.annotation.prompts import read_prompts
from groundplane.annotation.reading import Settings
from groundplane.annotation.run import Run
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotationRecord
from groundplane.core.errors import OutputError
from groundplane.core.host import load
from groundplane.testing.disks import FaultyDisk
from groundplane.testing.misbehaving import MISBEHAVIOURS, MisbehavingDetector

LONG = bool(os.environ.get("GROUNDPLANE_CASES"))
WAYS = [
    (workers, batch, resumed)
    for workers in (1, 2)
    for batch in (1, 7, 16)
    for resumed in (False, True)
]
# In the short form each worker count, each batch and both courses occur.
SHORT = [WAYS[i] for i in (0, 5, 9)]


def finished(photos, out, **details):
    """The run of a job that was carried to its end, interrupted in the middle if so asked."""
    resumed = details.pop("resumed", False)
    details = {"prompts": "dog, red car: car, cat", "device": "cpu", "deadline": None} | details
    if resumed:
        with annotate(photos, out=out, **details) as job:
            for count, _ in enumerate(job, 1):
                if count == 9:
                    job.drain()
    with annotate(photos, out=out, **details) as job:
        assert job.finish().ended == "complete"
    return Run.open(out)


# R12: the same bytes ------------------------------------------------------------------------


def test_exports_do_not_depend_on_workers_batch_or_interruptions(tmp_path):
    photos = make_photos(tmp_path / "photos", 40 if LONG else 24)
    found = [
        exported(
            finished(
                photos, tmp_path / f"run-{number}", detector=StubExpert(), workers=workers,
                batch=batch, resumed=resumed,
            ),
            ("coco", "yolo"),
        )
        for number, (workers, batch, resumed) in enumerate(WAYS if LONG else SHORT)
    ]  # fmt: skip

    assert all(files == found[0] for files in found)
    assert len(found[0]["coco/annotations/instances_default.json"]) > 5_000


@pytest.mark.skipif(not LONG, reason="set GROUNDPLANE_CASES: in_thread's tests have batches too")
def test_a_network_gives_the_same_bytes_whatever_the_batch(tmp_path):
    pytest.importorskip("transformers")
    from groundplane.testing.checkpoints import save_grounding_dino

    weights = save_grounding_dino(tmp_path / "weights")
    detector = load("detectors", "grounding-dino", device="cpu", weights=str(weights))
    photos = make_photos(tmp_path / "photos", 12, sizes=((96, 64), (64, 96)))
    found = [
        exported(
            finished(
                photos, tmp_path / f"run-{batch}", detector=detector, workers=1, batch=batch,
                resumed=batch == 7, prompts="dog, red car", thresholds=0.4,
            )
        )
        for batch in (1, 7, 16)
    ]  # fmt: skip

    assert found[0] == found[1] == found[2]
    assert json.loads(found[0]["coco/annotations/instances_default.json"])["annotations"]


# R11: flat memory ---------------------------------------------------------------------------


def test_memory_threads_and_descriptors_stay_as_they_are(tmp_path):
    items = int(os.environ.get("GROUNDPLANE_SOAK", "1200"))
    script = Path(__file__).parents[1] / "support" / "soak.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path, f"--items={items}"], capture_output=True, text=True,
        check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    assert told["done"] == items
    # A megabyte in ten thousand; over few items the steps in which memory is taken hide that.
    most = 1.0 if items >= 20_000 else 10.0
    assert all(slope < most for slope in told["slopes"].values()), told["slopes"]
    assert len(told["slopes"]) == 3
    assert len(told["threads"]) == 1
    # Each picture under way has a descriptor.
    assert max(told["files"]) - min(told["files"]) <= Settings(batch=8).under_way


# R9: a device without memory ----------------------------------------------------------------


class Small(StubExpert):
    """A detector whose device holds three pictures."""

    def __init__(self):
        self.most = 0

    def detect(self, requests):
        if len(requests) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.most = max(self.most, len(requests))
        return super().detect(requests)


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost(tmp_path):
    count = 1000 if LONG else 200
    pictures = [(f"{i:04}", np.full((8, 8, 3), i % 251, dtype=np.uint8)) for i in range(count)]
    detector = Small()
    with annotate(pictures, "dog", detector=detector, device="cpu", deadline=None) as job:
        words = list(job.words())
    records = {word.path: word for word in words if isinstance(word, AnnotationRecord)}

    assert len(records) == count
    assert [word.size for word in words if isinstance(word, BatchHalved)] == [2]
    assert {record.status for record in records.values()} == {"done"}
    assert 1 <= detector.most <= 3


# R8: experts that misbehave -----------------------------------------------------------------


def guilty(request):
    return request.image.source.name.endswith("00002.jpg")


@pytest.mark.parametrize(
    "way",
    [way for way in MISBEHAVIOURS if way.says and way.name != "hangs"][:: 1 if LONG else 6],
    ids=str,
)
def test_what_an_expert_does_to_one_picture_fails_that_one_alone(tmp_path, way):
    pictures = [(f"{i:05}.jpg", np.full((20, 30, 3), 40 * i, dtype=np.uint8)) for i in range(5)]
    detector = MisbehavingDetector(way, when=guilty)
    with annotate(pictures, "dog", detector=detector, device="cpu", workers=1) as job:
        records = {record.path: record for record in job}

    failed = [path for path, record in records.items() if record.status == "failed"]
    assert failed == ["00002.jpg"]
    assert "MisbehavingDetector" in records["00002.jpg"].failure.message
    assert all(len(records[path].regions) == 1 for path in set(records) - set(failed))


def test_an_expert_that_hangs_fails_its_picture_within_the_deadline(tmp_path):
    [way] = [way for way in MISBEHAVIOURS if way.name == "hangs"]
    detector = MisbehavingDetector(way, when=guilty)
    pictures = [(f"{i:05}.jpg", np.full((20, 30, 3), i, dtype=np.uint8)) for i in range(4)]
    with annotate(pictures, "dog", detector=detector, device="cpu", deadline=0.5) as job:
        records = {record.path: record for record in job}
        summary = job.summary
    detector.released.set()

    assert len(records) == 4
    assert records["00002.jpg"].status == "failed"
    assert "no result within" in records["00002.jpg"].failure.message
    assert summary.seconds < 10


# R4: a disk that is full or ends -------------------------------------------------------------


FULL = [(at, code) for at in (1, 2, 9, 40) for code in (errno.ENOSPC, errno.EIO)]


@pytest.mark.parametrize(("at", "code"), FULL if LONG else FULL[::3])
def test_a_disk_that_takes_no_more_ends_the_job_and_loses_nothing(tmp_path, code, at):
    names = [f"{i:03}.jpg" for i in range(60)]
    spec = JobSpec(source="photos", classes=read_prompts("dog"), detector="object:StubLooker")

    def run_on(run):
        with run.writer() as writer:
            pipeline = Pipeline(
                ListedItems(names), InlinePool(), StubLooker(), keeper=writer,
                settings=Settings(batch=4, patience=0.01),
            )  # fmt: skip
            return [word for word in pipeline.run() if isinstance(word, AnnotationRecord)]

    Run.create(tmp_path / "run", spec)
    disk = FaultyDisk(at=at, error=code, lasting=True, kinds=frozenset({"write"}))
    with pytest.raises(OutputError, match=r"safe|cannot be locked"):
        run_on(Run.open(tmp_path / "run", disk=disk))
    run_on(Run.open(tmp_path / "run"))
    run = Run.open(tmp_path / "run")

    assert [record.path for record in run.records()] == names
    Run.create(tmp_path / "other", spec)
    run_on(Run.open(tmp_path / "other"))
    assert exported(run) == exported(Run.open(tmp_path / "other"))


# Bad input: one outcome each ----------------------------------------------------------------


def hostile_names():
    """Names that file systems allow and programs trip over."""
    return [
        "new\nline.jpg", "tab\t.jpg", "back\\slash.jpg", "-rf.jpg", "'quote\".jpg", "\u202egpj.jpg",
        "\u732b.jpg", "\U0001f408.jpg", "e\u0301.jpg", "a" * 250 + ".jpg", "con.jpg", "%s.jpg",
        "<img onerror=x>.jpg", "a#1.jpg", "b.jpg#2.jpg", " .jpg", "half\udcff.jpg",
    ]  # fmt: skip


def test_any_name_has_one_outcome_and_comes_back_from_the_run(tmp_path):
    photos = tmp_path / "photos"
    # Together with what stands before it almost as long as a path can be, which is 4,095 bytes.
    deep = photos / "/".join(["d" * 200] * ((3900 - len(str(photos))) // 201))
    deep.mkdir(parents=True)
    for index, name in enumerate(hostile_names()):
        (photos / name).write_bytes(tiny_jpeg(index, (20, 20)))
    (deep / "a.jpg").write_bytes(tiny_jpeg(0, (20, 20)))
    run = finished(photos, tmp_path / "run", detector=StubExpert(), workers=1)

    paths = {record.path for record in run.records()}
    assert paths == {*hostile_names(), f"{deep.relative_to(photos)}/a.jpg"}
    assert all(record.status == "done" for record in run.records())
    assert exported(run, ("coco", "yolo"))


def bombs():
    """Small files that would fill the memory, or say that they would."""
    swelling = b"x\0\0" + zlib.compress(bytes(2**24), 9)
    return {
        "large bomb.png": make_png((60000, 60000)),
        "thin bomb.png": make_png((1, 100_000)),
        "cut bomb.png": make_png((6000, 6000), raw=bytes(1000)),
        "icc bomb.png": make_png((2, 2), raw=bytes(14), extra=make_chunk(b"iCCP", swelling)),
    }


def test_what_is_no_picture_fails_alone(tmp_path):
    photos = make_photos(tmp_path / "photos", 3)
    for name, data in bombs().items():
        (photos / name).write_bytes(data)
    (photos / "zero.jpg").write_bytes(b"")
    (photos / "text.png").write_text("not a picture")
    (photos / "cut.jpg").write_bytes(tiny_jpeg(1, (50, 50))[:200])
    (photos / "nowhere.jpg").symlink_to(tmp_path / "nothing")
    (photos / "loop").symlink_to(photos)
    os.mkfifo(photos / "pipe.jpg")
    (photos / "folder.jpg").mkdir()
    (photos / "secret.jpg").write_bytes(tiny_jpeg(2, (50, 50)))
    run = finished(photos, tmp_path / "run", detector=StubExpert(), workers=1)

    failed = {path for path, _ in run.failures()}
    assert failed == {
        "zero.jpg", "text.png", "cut.jpg", "nowhere.jpg", "pipe.jpg", "folder.jpg", *bombs(),
    }  # fmt: skip
    assert len(run.records()) == 3 + 1 + len(failed)
