"""Exports that go to an object store as well, and runs that cannot."""

from pathlib import Path

import pytest

from groundplane.annotation.prompts import read_prompts
from groundplane.annotation.run import Run
from groundplane.annotation.spec import JobSpec
from groundplane.apps.annotating import annotating, exporting
from groundplane.core.errors import InputError


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", JobSpec(source="x", classes=read_prompts("dog"))).path


def test_export_is_copied_below_its_format(run, tmp_path, capsys):
    address = f"file://{tmp_path / 'store'}/"
    job = exporting.ExportJob(run=run, formats=("coco",), to=address)
    assert exporting.run(job) == 0
    assert (tmp_path / "store" / "coco" / "contents.json").is_file()
    assert f"coco: 2 files in {address}coco" in capsys.readouterr().out


def test_address_that_is_not_written_to_is_refused_before_any_work(run):
    job = exporting.ExportJob(run=run, formats=("coco",), to="https://example.com/x")
    with pytest.raises(InputError, match="address of the web"):
        exporting.run(job)
    assert not (run / "exports").exists()


def test_run_in_an_object_store_is_refused():
    job = annotating.AnnotateJob(source="x", out=Path("s3://bucket/run"), find="dog")
    with pytest.raises(InputError, match=r"appended to.*export --to"):
        annotating.run(job)
