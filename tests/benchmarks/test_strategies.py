import importlib.util
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "strategies.py"


def load_script():
    spec = importlib.util.spec_from_file_location("benchmark_strategies", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


def test_queries_give_the_official_answer_where_the_grid_does_not(data_dir: Path) -> None:
    script = load_script()

    rows = script.compare(data_dir / "vsi/scenes.json", data_dir / "vsi/qa.jsonl", step=200)

    assert all(row.by_query == row.count for row in rows.values())
    assert rows["object_abs_distance"].by_map < rows["object_abs_distance"].by_query
    assert rows["room_size_estimation"].untold == rows["room_size_estimation"].count
