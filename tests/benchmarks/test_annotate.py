"""The benchmark of jobs refuses to time what differs; its quick form runs where asked."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from groundplane.core.annotation import AnnotatedRegions, AnnotationRecord
from groundplane.core.regions import Regions


@pytest.fixture(scope="module")
def benchmark():
    before = dict(os.environ)
    path = Path(__file__).parents[2] / "benchmarks" / "annotate.py"
    spec = importlib.util.spec_from_file_location("benchmark_annotate", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    yield module
    os.environ.clear()
    os.environ.update(before)


def sides(box):
    """What the loop and what a job found: one region each."""
    one = np.zeros(1, dtype=np.int64)
    regions = AnnotatedRegions(
        ids=("r0",), boxes=np.array([[1.0, 2.0, 3.0, 4.0]]), scores=np.array([0.9]),
        prompt_ids=one, class_ids=one, kept=np.array([True]),
    )  # fmt: skip
    record = AnnotationRecord(
        path="a.jpg", content_hash="", status="done", size=(9, 9), regions=regions
    )
    found = Regions(
        ids=("x",), boxes=torch.tensor([box]), scores=torch.tensor([0.9]), phrases=("dog",),
        phrase_ids=torch.tensor([0]), image_size=(9, 9),
    )  # fmt: skip
    return [{"file": "a.jpg", "regions": found}], [record]


def test_the_same_regions_are_counted(benchmark):
    assert benchmark.check_alike(*sides([1.001, 2.0, 3.0, 4.0])) == 1


def test_other_regions_are_not_timed(benchmark):
    with pytest.raises(SystemExit, match="different regions"):
        benchmark.check_alike(*sides([1.1, 2.0, 3.0, 4.0]))


def test_no_regions_at_all_are_not_timed(benchmark):
    with pytest.raises(SystemExit, match="nothing was found"):
        benchmark.check_alike([], [])


@pytest.mark.skipif(not os.environ.get("GROUNDPLANE_CASES"), reason="takes half a minute")
def test_the_quick_form_measures_all_and_prints_the_ratio_last(benchmark, tmp_path, capsys):
    benchmark.main(["--quick", "--json", str(tmp_path / "figures.json")])
    figures = json.loads((tmp_path / "figures.json").read_text())

    assert set(figures) == {"overhead", "bare", "workers", "durable_ms", "loop"}
    assert capsys.readouterr().out.splitlines()[-1].startswith("ratio = peer / ours = ")
