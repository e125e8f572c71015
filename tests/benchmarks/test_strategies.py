import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "strategies.py"


def load_script():
    spec = importlib.util.spec_from_file_location("benchmark_strategies", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_queries_give_the_official_answer_where_the_grid_does_not(data_dir: Path) -> None:
    script = load_script()

    rows = script.compare(data_dir / "vsi/scenes.json", data_dir / "vsi/qa.jsonl", step=60)

    distances = rows["object_abs_distance"]
    assert distances.by_query > 2 * distances.by_map > 0
    assert rows["object_counting"].by_query == rows["object_counting"].count
    assert rows["object_size_estimation"].untold == rows["object_size_estimation"].count
