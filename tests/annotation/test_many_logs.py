"""A run of many shards is read with few descriptors, and later openings count."""

import os
import resource
from dataclasses import replace

import pytest

from groundplane.annotation import listing
from groundplane.annotation.prompts import read_prompts
from groundplane.annotation.run import Run
from groundplane.annotation.spec import JobSpec
from groundplane.core.annotation import AnnotationRecord, Failure
from groundplane.core.errors import InputError


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", JobSpec(source="x", classes=read_prompts("dog")))


def record(path, size=(4, 4)):
    return AnnotationRecord(path=path, content_hash="ab" * 32, status="done", size=size)


def test_more_logs_than_may_be_open_are_read(run, monkeypatch):
    monkeypatch.setattr(listing, "_OPEN", 4)
    paths = [f"{i:03}.jpg" for i in range(60)]
    for shard in range(20):
        with run.writer(shard=shard) as writer:
            for path in paths[shard::20]:
                writer.write(record(path), None)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/self/fd")) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 8, hard))
    try:
        found = [each.path for each in run.records()]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found == paths


def test_log_that_vanishes_is_named(run):
    with run.writer(shard=3) as writer:
        writer.write(record("a.jpg"), None)
    records = run.records()
    (run.path / "shards" / "000003.log").unlink()
    with pytest.raises(InputError, match=r"000003.log: cannot be read: No such file"):
        list(records)


@pytest.mark.parametrize("shards", [(5, 1), (1, 5)])
def test_shard_that_is_opened_later_counts_whatever_its_number(run, shards):
    failed = replace(
        record("a.jpg"), status="failed", size=None, failure=Failure(stage="read", message="no")
    )
    for shard, each in zip(shards, (failed, record("a.jpg")), strict=True):
        with run.writer(retry_failed=True) as giver:
            assert not giver.is_done("a.jpg", (1, 1))
            giver.begin()
            with run.writer(shard=shard, retry_failed=True) as writer:
                writer.write(each, (1, 1))
    assert [each.status for each in run.records()] == ["done"]
