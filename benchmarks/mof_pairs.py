"""Does a mixture of features tell pairs apart that a contrastive tower takes for the same?

Everything is made here, and anew in each trial: pictures, two small towers trained on them, one
contrastive and one self-distilled, and language models that see with one or both. They are asked
about blind pairs of pictures that they were not trained on; a pair counts if both answers are
right, so that chance is 25 %. All see the same pictures and questions for as many steps. That two
towers give more tokens is controlled for by the contrastive tower given twice, and that they are
two networks by an untrained second one. What was found is in docs/mof.md.

Run: python benchmarks/mof_pairs.py --json results.json --out docs/img/mof-pairs.png
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

# Before torch starts its threads: trials run side by side, each with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from mof_world.drawing import draw_results
from mof_world.heads import HEADS
from mof_world.pictures import ATTRIBUTES, UNNAMED
from mof_world.trials import CONTROL, QUICK, TOWERS, Size, run_trial, summarise


def main() -> None:
    """Run the trials, print what they say, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4, help="trials, each with a seed of its own")
    parser.add_argument(
        "--first-seed", type=int, default=10, help="0 was looked at while the settings were chosen"
    )
    parser.add_argument("--workers", type=int, default=2, help="trials at a time")
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="begin no trial that would end later"
    )
    parser.add_argument("--quick", action="store_true", help="seconds, without meaning: for tests")
    parser.add_argument("--read", type=Path, help="run nothing; tell of a file that --json wrote")
    parser.add_argument("--json", type=Path, help="write all numbers")
    parser.add_argument("--out", type=Path, help="write the plot")
    args = parser.parse_args()
    if args.read:
        results = json.loads(args.read.read_text())
    else:
        size = QUICK if args.quick else Size()
        seeds = range(args.first_seed, args.first_seed + args.seeds)
        results = measure(seeds, size, workers=args.workers, minutes=args.minutes)
    report(results)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    if args.out:
        draw_results(results, args.out)


def measure(seeds: range, size: Size, *, workers: int, minutes: float) -> dict[str, Any]:
    """All numbers, as JSON holds them."""
    started = time.monotonic()
    trials = run_all(seeds, size, workers=workers, minutes=minutes)
    return {
        "seeds": [trial["seed"] for trial in trials],
        "size": dataclasses.asdict(size),
        "seconds": round(time.monotonic() - started, 1),
        "summary": summarise(trials),
        "trials": trials,
    }


def run_all(seeds: range, size: Size, *, workers: int, minutes: float) -> list[dict[str, Any]]:
    """Run trials side by side, in rounds, until all are done or the next would take too long."""
    trials: list[dict[str, Any]] = []
    started, longest = time.monotonic(), 0.0
    # Not by fork: threads of torch do not survive it.
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="mof-pairs-") as place,
        ProcessPoolExecutor(workers, mp_context=context) as pool,
    ):
        for first in range(0, len(seeds), workers):
            begun = time.monotonic()
            if begun - started + longest > 60 * minutes:
                left = len(seeds) - first
                print(f"{left} of {len(seeds)} trials left out: {minutes:g} minutes are over")
                break
            batch = seeds[first : first + workers]
            jobs = [pool.submit(run_trial, seed, size, Path(place) / str(seed)) for seed in batch]
            for job in jobs:
                trials.append(job.result())
                print(f"trial {trials[-1]['seed']}: seconds {trials[-1]['seconds']}", flush=True)
            longest = max(longest, time.monotonic() - begun)
    return trials


def report(results: dict[str, Any]) -> None:
    """Print tables: what a linear reader finds in the towers, then what the models answer."""
    trials, summary = results["trials"], results["summary"]
    found = [len(trial["pairs"]) for trial in trials]
    print(f"\n{len(trials)} trials, {results['seconds']:.0f} s; pairs a trial: {found}")
    for tower in TOWERS[:2]:
        cosines = [f"{trial['cosines'][tower]:.3f}" for trial in trials]
        print(f"mean cosine of the pairs, {tower}: {', '.join(cosines)}")
    print(f"\n{'ridge probe, %':28}" + "".join(f"{name:>9}" for name in ATTRIBUTES))
    for what in ("summary", "cells"):
        for tower in TOWERS:
            rows = [trial["probes"][tower][what] for trial in trials]
            means = [100 * sum(row[n] for row in rows) / len(rows) for n in ATTRIBUTES]
            print(f"{tower + ', ' + what:28}" + "".join(f"{mean:9.1f}" for mean in means))
    print(f"\n{'accuracy, %':26}{'tokens':>7}{'pairs':>15}{'over control':>15}  named unnamed")
    for head in HEADS:
        row = summary[head.name]
        tokens = trials[0]["heads"][head.name]["tokens"]
        pairs, over = (_both(row[key]) for key in ("pair_accuracy", "over_control"))
        if head.name == CONTROL:
            over = "(control)"
        print(
            f"{head.name:26}{tokens:7}{pairs:>15}{over:>15}"
            f"{100 * row['named'][0]:7.1f}{100 * row['unnamed'][0]:8.1f}"
        )
    print("\nby attribute, %           " + "".join(f"{name:>9}" for name in ATTRIBUTES))
    for head in HEADS:
        rows = [trial["heads"][head.name]["attributes"] for trial in trials]
        means = [100 * sum(row[n] for row in rows) / len(rows) for n in ATTRIBUTES]
        print(f"{head.name:26}" + "".join(f"{mean:9.1f}" for mean in means))
    print("\npairs right by what is asked, all trials, %" + _asked(trials))
    gain = summary["interleaved"]["over_control"]
    print(f"\ninterleaved - {CONTROL} = {_both(gain)} points of pair accuracy (95 %)")


def _asked(trials: list[dict[str, Any]]) -> str:
    """A table of the pairs, one column an attribute."""
    asked = [name for trial in trials for name in trial["asked"]]
    counts = {name: asked.count(name) for name in UNNAMED}
    lines = ["", f"{'pairs':26}" + "".join(f"{name:>9} ({n:3})" for name, n in counts.items())]
    for head in HEADS:
        right = [one for trial in trials for one in trial["heads"][head.name]["pair_right"]]
        row = f"{head.name:26}"
        for name, count in counts.items():
            won = sum(one for one, about in zip(right, asked, strict=True) if about == name)
            row += f"{100 * won / max(1, count):15.1f}"
        lines.append(row)
    return "\n".join(lines)


def _both(pair: tuple[float, float]) -> str:
    return f"{100 * pair[0]:.1f} +- {100 * pair[1]:.1f}"


if __name__ == "__main__":
    main()
