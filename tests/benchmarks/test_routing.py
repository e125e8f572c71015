"""The benchmark of routing runs, and counts what it says it counts."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def routing():
    path = Path(__file__).parents[2] / "benchmarks" / "routing.py"
    spec = importlib.util.spec_from_file_location("benchmark_routing", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_no_token_of_the_prompt_is_read_twice(routing, tmp_path, capsys):
    routing.main(["--tiny", "--repeats", "1", "--json", str(tmp_path / "r.json")])
    figures = json.loads((tmp_path / "r.json").read_text())
    assert figures["read_twice"] == 0
    assert "ratio = peer / ours = " in capsys.readouterr().out.splitlines()[-1]


def test_the_count_sees_a_prompt_that_is_read_again(routing):
    bench = routing.Bench("cpu", "tiny", 60)
    decoder = routing.Decoder(bench.model, routing.family("llava"))
    with routing.counted(bench.model) as passes:
        decoder.begin(bench.prepare(bench.prompt))
        decoder.begin(bench.prepare(bench.prompt))
    assert passes == [60, 60]
