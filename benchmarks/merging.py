"""Suppression of 33,000 boxes and fusion of 6,000, against torchvision and the usual loop.

The peer of suppression is `torchvision.ops.nms`: compiled, exact, and each kept box is compared
with all after it. The peer of fusion is the loop of the published package, rewritten: each box is
compared with all fused boxes in one vectorised step. Results are checked to be equal first. All
runs on one thread. The last line is the ratio for 33,000 boxes.

Run: python benchmarks/merging.py
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import nms

from groundplane.grounding.box_fusion import Fused, fuse
from groundplane.grounding.merging import suppress

IOU = 0.5


def crowd(count: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """Boxes of 0 to 60 pixels, as densely as 33,000 lie on 4,000 by 4,000 pixels."""
    generator = torch.Generator().manual_seed(seed)
    side = 4000 * (count / 33_000) ** 0.5
    corner = torch.rand(count, 2, generator=generator) * side
    size = torch.rand(count, 2, generator=generator) ** 2 * 60
    return torch.cat([corner, corner + size], dim=1), torch.rand(count, generator=generator)


def seen_by_experts(count: int, experts: int, *, seed: int) -> tuple[Tensor, Tensor]:
    """The same crowd as several experts see it, some pixels off."""
    boxes, _ = crowd(count, seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    noise = torch.randn(experts, count, 4, generator=generator)
    boxes = torch.cat([boxes, boxes])[:count].repeat(experts, 1) + noise.flatten(0, 1)
    boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    return boxes, torch.rand(len(boxes), generator=generator).clamp(min=0.05)


def looped_fusion(
    boxes: NDArray[np.float64], scores: NDArray[np.float64], *, iou: float, experts: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The peer of fusion."""
    fused = np.zeros((len(boxes), 4))
    sums, counts = np.zeros(len(boxes)), np.zeros(len(boxes))
    num = 0
    for row in np.argsort(-scores, kind="stable"):
        box, score, best = boxes[row], scores[row], -1
        if num:
            low = np.maximum(fused[:num, :2], box[:2])
            high = np.minimum(fused[:num, 2:], box[2:])
            shared = np.maximum(high - low, 0).prod(axis=1)
            size = (fused[:num, 2:] - fused[:num, :2]).prod(axis=1)
            overlap = shared / (size + (box[2:] - box[:2]).prod() - shared)
            best = int(overlap.argmax())
            best = best if overlap[best] > iou else -1
        if best < 0:
            best, num = num, num + 1
        fused[best] = (fused[best] * sums[best] + box * score) / (sums[best] + score)
        sums[best] += score
        counts[best] += 1
    made = sums[:num] / counts[:num] * np.minimum(counts[:num], experts) / experts
    order = np.argsort(-made, kind="stable")
    return fused[order], made[order]


def seconds(work: Callable[[], object]) -> float:
    """How long work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_mib(work: Callable[[], object]) -> float:
    """The most memory that work holds beyond what there was; numpy's arrays count."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def compare(
    name: str, ours: Callable[[], object], peer: Callable[[], object], rounds: int
) -> float:
    """Time both by turns, print the medians and give their ratio."""
    mine, theirs = [], []
    for _ in range(rounds):
        mine.append(seconds(ours))
        theirs.append(seconds(peer))
    fast, slow = statistics.median(mine), statistics.median(theirs)
    print(f"{name}: ours {fast * 1e3:.1f} ms, peer {slow * 1e3:.1f} ms, {slow / fast:.2f} x")
    return slow / fast


def check_fusion(boxes: Tensor, scores: Tensor, *, experts: int) -> None:
    """Stop where the two fusions differ."""
    ours: Fused = fuse(boxes.double(), scores.double(), iou=IOU, weights=(1.0,) * experts)
    made, means = looped_fusion(
        boxes.double().numpy(), scores.double().numpy(), iou=IOU, experts=experts
    )
    same = len(made) == len(ours.boxes) and np.allclose(ours.boxes.numpy(), made, atol=1e-6)
    if not same or not np.allclose(ours.scores.numpy(), means, atol=1e-9):
        raise SystemExit("the two fusions differ: not timed")


def main() -> None:
    """Check, then time all by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="how often each side is timed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for count in (100, 1_000, 10_000, 100_000):
        boxes, scores = crowd(count, seed=1)
        fast = statistics.median(
            seconds(lambda b=boxes, s=scores: suppress(b, s, iou=IOU))  # type: ignore[misc]
            for _ in range(options.rounds)
        )
        print(f"suppress {count} boxes: {fast * 1e3:.2f} ms, {fast / count * 1e6:.2f} us a box")
    boxes, scores = seen_by_experts(2_000, 3, seed=3)
    check_fusion(boxes, scores, experts=3)
    flat = boxes.double().numpy(), scores.double().numpy()
    compare(
        f"fuse {len(boxes)} boxes",
        lambda: fuse(boxes, scores, iou=IOU, weights=(1.0, 1.0, 1.0)),
        lambda: looped_fusion(*flat, iou=IOU, experts=3),
        options.rounds,
    )
    many, ranks = crowd(33_000, seed=2)
    if not torch.equal(suppress(many, ranks, iou=IOU), nms(many, ranks, IOU)):
        raise SystemExit("suppression differs from torchvision's: not timed")
    print(f"suppress 33000 boxes: {peak_mib(lambda: suppress(many, ranks, iou=IOU)):.0f} MiB")
    ratio = compare(
        "suppress 33000 boxes",
        lambda: suppress(many, ranks, iou=IOU),
        lambda: nms(many, ranks, IOU),
        options.rounds,
    )
    print(f"ratio = {ratio:.2f}")


if __name__ == "__main__":
    main()
