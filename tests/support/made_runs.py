"""Runs as if they had been annotated, and what commands say when they refuse."""

from __future__ import annotations

import hashlib

from groundplane.annotation.run import Run
from groundplane.annotation.spec import JobSpec
from groundplane.testing.annotations import random_records


def make_run(folder, *, seed=3, num=12, change=lambda record: record):
    records = random_records(seed, num=num)
    run = Run.create(folder, JobSpec(source="/nowhere", classes=records.classes, floor=0.0))
    with run.writer() as writer:
        for record in records:
            writer.write(change(record), (1, 1))
    return run


def digests(folder):
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def one_line_of(err):
    """The error, which must be all that is said."""
    assert err.count("\n") == 1, err
    assert err.startswith("groundplane: error: ")
    return err
