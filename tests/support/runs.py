"""Small runs for tests: a job, records that say which picture they are of, what a run holds."""

from __future__ import annotations

import hashlib

import numpy as np

from groundplane.annotation.run import Run
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import (
    AnnotatedRegions,
    AnnotationPrompt,
    AnnotationRecord,
    ClassTable,
    Failure,
    VideoFrame,
)

CLASSES = ClassTable(
    names=("dog", "car"),
    prompts=(
        AnnotationPrompt(text="dog", class_id=0),
        AnnotationPrompt(text="puppy", class_id=0, threshold=0.3),
        AnnotationPrompt(text="red car", class_id=1),
    ),
)


def job(**changes):
    return JobSpec(**{"source": "/photos", "classes": CLASSES} | changes)


def hashed(text):
    return hashlib.sha256(str(text).encode("utf-8", "surrogatepass")).hexdigest()


def regions(rows, **columns):
    """Regions of rows (box, score, prompt, class, kept)."""
    boxes, scores, prompts, classes, kept = zip(*rows, strict=True) if rows else [()] * 5
    return AnnotatedRegions(
        ids=tuple(f"r{i}" for i in range(len(rows))),
        boxes=np.array(boxes, dtype=np.float64).reshape(-1, 4),
        scores=np.array(scores, dtype=np.float64),
        prompt_ids=np.array(prompts, dtype=np.int64),
        class_ids=np.array(classes, dtype=np.int64),
        kept=np.array(kept, dtype=np.bool_),
        **columns,
    )


def done(path, *, version=1, rows=None, frame=None):
    left = len(path) + version
    rows = [((left, 2.25, left + 5, 9.5), 0.75, 0, 0, True)] if rows is None else rows
    return AnnotationRecord(
        path=path,
        content_hash=hashed((frame.video if frame else path, version)),
        status="done",
        size=(640, 480),
        regions=regions(rows),
        outcomes=("found", "none", "cannot"),
        frame=frame,
    )


def failed(path, *, version=1, stage="decode", frame=None):
    return AnnotationRecord(
        path=path,
        content_hash=hashed((frame.video if frame else path, version)),
        status="failed",
        size=None,
        failure=Failure(stage=stage, message="no picture"),
        frame=frame,
    )


def frame_of(video, index, *, version=1, fails=False):
    frame = VideoFrame(video=video, index=index, time=index / 25)
    make = failed if fails else done
    return make(f"{video}#{index}", version=version, frame=frame)


def stamp_of(path, version=1):
    return (1000 + version, len(path))


def write_all(run, records, **terms):
    with run.writer(**terms) as writer:
        for record in records:
            writer.write(record, stamp_of(record.path))


def held(run: Run):
    """What a run holds, in order: path, content and boxes of each record."""
    return [
        (record.path, record.status, record.content_hash, record.regions.boxes.tolist())
        for record in run.records()
    ]
