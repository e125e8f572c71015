"""How fast questions are answered, and what start-up costs.

Run: python benchmarks/ask.py [--scene FILE] [--repeat N]

Questions per second are measured on one scene, loaded once, through the whole way: planner,
orchestrator, solver, sentence. Start-up times are medians of fresh processes, interleaved with
`python -c "import torch"` and a bare Python start. The ratio, printed last, is the time of
`import torch` over that of a whole `groundplane ask`: a ratio of 1 means that asking costs nothing
beside torch.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
QUESTIONS = (
    "How far is the sofa from the tv?",
    "How many chairs are there?",
    "How tall is the refrigerator, in cm?",
    "What is on the dining table?",
    "Which of these objects (chair, tv, sofa) is closest to the stove?",
    "Standing at the sofa facing the tv, where is the dining table?",
    "Is the plant left of the tv when I stand at the sofa facing the tv?",
    "How big is this room?",
    "What is next to the bed?",
    "How many things are within 2 m of the sofa?",
)


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - start


def start_up(repeat: int, scene: Path) -> dict[str, float]:
    """Median seconds of each command, interleaved so that load hits all alike."""
    tool = [sys.executable, "-m", "groundplane"]
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "groundplane --help": [*tool, "--help"],
        "groundplane plugins": [*tool, "plugins"],
        "import groundplane": [sys.executable, "-c", "import groundplane"],
        "import torch": [sys.executable, "-c", "import torch"],
        "groundplane ask": [*tool, "ask", str(scene), QUESTIONS[0]],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeat):
        for name, command in commands.items():
            times[name].append(seconds(command))
    return {name: statistics.median(values) for name, values in times.items()}


def throughput(scene: Path, number: int) -> float:
    """Questions per second on one scene."""
    from groundplane import Asker

    asker = Asker(str(scene))
    asked = [QUESTIONS[i % len(QUESTIONS)] for i in range(number)]
    replies = list(asker.ask_many(asked[: len(QUESTIONS)]))
    wrong = [reply.question for reply in replies if reply.status.value != "answered"]
    if wrong:
        raise SystemExit(f"not answered: {wrong}")
    start = time.perf_counter()
    done = sum(1 for _ in asker.ask_many(asked))
    return done / (time.perf_counter() - start)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scene", type=Path, default=ROOT / "examples" / "apartment.json")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--questions", type=int, default=1000)
    arguments = parser.parse_args()
    rate = throughput(arguments.scene, arguments.questions)
    print(f"questions per second: {rate:.0f}")
    times = start_up(arguments.repeat, arguments.scene)
    bare = times["python -c pass"]
    for name, value in times.items():
        print(f"{name:<22}{value * 1000:>8.0f} ms {value / bare:>7.1f} x a bare Python start")
    print(f"ratio = {times['import torch'] / times['groundplane ask']:.2f}")


if __name__ == "__main__":
    main()
