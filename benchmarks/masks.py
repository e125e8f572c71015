"""20 masks at 1920 by 1080: enlarging, run lengths, overlaps of each with each; pycocotools.

The peer is what a script does with a network's masks: it brings them to the host (nothing on a
CPU), puts each in Fortran order, as pycocotools wants it, and encodes it; then it asks for the
overlaps. Ours encodes the batch where it is, and measures the overlaps of the run-length masks.
It is timed from the masks, and from a network's logits of 256 by 256.
Both have one thread. The results are compared first: the bytes and the overlaps must be the same.
With `--device cuda` the masks lie on the card at the start.

Run: python benchmarks/masks.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from pycocotools import mask as peer
from torch.nn.functional import interpolate

from groundplane.core.mask_tensors import encode_batch, encode_logits
from groundplane.core.masks import RleMask, intersection_over_union


def blobs(num: int, size: tuple[int, int], *, seed: int = 0) -> torch.Tensor:
    """Ellipses of the size of things in photos, above 0."""
    width, height = size
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    masks = np.empty((num, height, width), dtype=np.float32)
    for mask in masks:
        middle = draw.uniform(0, 1, 2) * size
        radius = draw.uniform(0.03, 0.2, 2) * size
        mask[:] = 1 - ((x - middle[0]) / radius[0]) ** 2 - ((y - middle[1]) / radius[1]) ** 2
    return torch.from_numpy(masks)


def peer_encode(masks: torch.Tensor) -> list[dict[str, object]]:
    """The peer's way from masks to run lengths."""
    whole = masks.cpu().numpy().view(np.uint8)
    return [peer.encode(np.asfortranarray(mask)) for mask in whole]


def peer_enlarge(logits: torch.Tensor, size: tuple[int, int]) -> list[dict[str, object]]:
    """The peer's way from logits to run lengths."""
    return peer_encode(interpolate(logits[None], size[::-1], mode="bilinear")[0] > 0)


def check(ours: list[RleMask], theirs: list[dict[str, object]]) -> None:
    """Stop where a byte or an overlap differs."""
    if [rle.counts for rle in ours] != [rle["counts"] for rle in theirs]:
        raise SystemExit("the run lengths differ: not timed")
    overlaps = peer.iou(theirs, theirs, [0] * len(theirs))
    if not np.array_equal(intersection_over_union(ours, ours), overlaps):
        raise SystemExit("the overlaps differ: not timed")


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """How long work takes, the card's part included."""
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main() -> None:
    """Check, then time both by turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--masks", type=int, default=20)
    parser.add_argument("--size", type=int, nargs=2, default=(1920, 1080), metavar=("W", "H"))
    parser.add_argument("--rounds", type=int, default=7, help="how often each side is timed")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = (options.size[0], options.size[1])
    masks = (blobs(options.masks, size) > 0).to(options.device)
    logits = blobs(options.masks, (256, 256), seed=1).to(options.device)
    ours, theirs = list(encode_batch(masks).masks), peer_encode(masks)
    check(list(encode_logits(logits, size).masks), peer_enlarge(logits, size))
    check(ours, theirs)
    none = [0] * len(theirs)
    work: dict[str, Callable[[], object]] = {
        "logits, ours": lambda: encode_logits(logits, size),
        "logits, peer": lambda: peer_enlarge(logits, size),
        "encode, ours": lambda: encode_batch(masks),
        "encode, peer": lambda: peer_encode(masks),
        "overlaps, ours": lambda: intersection_over_union(ours, ours),
        "overlaps, peer": lambda: peer.iou(theirs, theirs, none),
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(options.rounds):
        for name, run in work.items():
            times[name].append(seconds(run, masks.device))
    median = {name: statistics.median(each) * 1e3 for name, each in times.items()}
    print(f"{options.masks} masks of {size[0]} by {size[1]} on {options.device}: equal")
    for name, milliseconds in median.items():
        print(f"{name}: {milliseconds:.2f} ms")
    print(f"logits: ratio = {median['logits, peer'] / median['logits, ours']:.2f}")
    print(f"overlaps: ratio = {median['overlaps, peer'] / median['overlaps, ours']:.2f}")
    print(f"encode: ratio = {median['encode, peer'] / median['encode, ours']:.2f}")


if __name__ == "__main__":
    main()
