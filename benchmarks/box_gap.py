"""Exact 3-D gaps of all pairs of 1,000 and 1,000 boxes, against a loop over footprints.

The peer is what a script does without the library: one scalar call of shapely a pair, and that for
footprints only, so in two dimensions. It has fewer dimensions to measure and is given them built.
It is a loop of Python calls, so it has one thread whatever the machine; ours is timed with one
thread and with as many as torch takes here, and the last ratio printed is the latter. The two are
alike, for the work goes in tiles too small for torch to start threads.

Run: python benchmarks/box_gap.py
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.gap import box_gaps

SAMPLE = 2_000
TOLERANCE = 1e-9  # metres, for lengths of some tens of metres in float64


def random_boxes(count: int, *, seed: int) -> Boxes3D:
    """Boxes of the size of furniture in a hall of 20 by 20 by 3 metres."""
    generator = torch.Generator().manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator, dtype=torch.float64))
    hall = torch.tensor([20.0, 20.0, 3.0], dtype=torch.float64)
    return Boxes3D(
        centers=torch.rand(count, 3, generator=generator, dtype=torch.float64) * hall,
        sizes=torch.rand(count, 3, generator=generator, dtype=torch.float64) * 1.8 + 0.1,
        axes=axes,
    )


def solved_gap(a: Boxes3D, i: int, b: Boxes3D, j: int) -> float:
    """One gap by a bounded least-squares solver."""
    both = np.concatenate([a.axes[i].numpy().T, -b.axes[j].numpy().T], axis=1)
    reach = np.concatenate([a.sizes[i].numpy(), b.sizes[j].numpy()]) / 2
    way = (b.centers[j] - a.centers[i]).numpy()
    return math.sqrt(2 * lsq_linear(both, way, (-reach, reach), method="bvls", tol=1e-15).cost)


def largest_error(a: Boxes3D, b: Boxes3D) -> float:
    """The largest difference to the solver over random pairs and the nearest ones."""
    gaps = box_gaps(a, b)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(gaps.numel(), (SAMPLE,), generator=generator)
    places = torch.cat([drawn, gaps.flatten().topk(SAMPLE, largest=False).indices])
    return max(
        abs(gaps[i, j].item() - solved_gap(a, i, b, j))
        for i, j in (divmod(place, len(b)) for place in places.tolist())
    )


def loop_over_footprints(a: NDArray[np.object_], b: NDArray[np.object_]) -> list[float]:
    """The peer: one call a pair."""
    return [first.distance(second) for first in a for second in b]


def seconds_with(threads: int, work: Callable[[], object]) -> float:
    """How long work takes with so many threads."""
    torch.set_num_threads(threads)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Check, then time all by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--boxes", type=int, default=1_000, help="boxes on each side")
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is timed")
    options = parser.parse_args()
    threads = torch.get_num_threads()
    a, b = random_boxes(options.boxes, seed=1), random_boxes(options.boxes, seed=2)
    error = largest_error(a, b)
    if not error <= TOLERANCE:
        raise SystemExit(f"box gaps differ from the solver by {error:.3g} m: not timed")
    prints = a.footprints(), b.footprints()
    one, many, peer = [], [], []
    for _ in range(options.rounds):
        one.append(seconds_with(1, lambda: box_gaps(a, b)))
        many.append(seconds_with(threads, lambda: box_gaps(a, b)))
        peer.append(seconds_with(1, lambda: loop_over_footprints(*prints)))
    slow = statistics.median(peer)
    print(f"pairs: {options.boxes**2}, largest difference to the solver: {error:.2g} m")
    print(f"peer (2-D, one call a pair, one thread): {slow:.3f} s")
    for count, times in ((1, one), (threads, many)):
        fast = statistics.median(times)
        print(f"ours (3-D, exact, threads: {count}): {fast:.3f} s")
        print(f"ratio = {slow / fast:.2f}")


if __name__ == "__main__":
    main()
