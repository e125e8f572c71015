"""Where the labels of a plan stand, so that they hide neither each other nor small objects."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

__all__ = ["overlap", "place_label"]

# Where labels are tried: inside, as parts of the free way; outside, so many points off.
INSIDE = np.linspace(-1, 1, 7)
GAPS = np.array([1, 6, 14, 24, 38, 56, 80, 110])
TURNS = np.linspace(0, 2 * math.pi, 24, endpoint=False)


def place_label(
    i: int,
    frames: Float[np.ndarray, "n 4"],
    size: Float[np.ndarray, " 2"],
    *,
    taken: Sequence[tuple[float, float, float, float]],
    extent: Float[np.ndarray, " 2"],
) -> Float[np.ndarray, " 2"]:
    """The best middle for the label of a footprint on a plan; everything in points.

    Args:
        i: Which of the frames the label is for.
        frames: Bounds of all footprints, least x and y, greatest x and y.
        size: Width and height of the label.
        taken: Bounds of the labels that stand already.
        extent: Width and height of the plan, whose lower left corner is the origin.
    """
    frame = frames[i]
    spots = _spots(frame, size)
    boxes = np.concatenate([spots - size / 2, spots + size / 2], axis=1)
    outside = (boxes[:, :2] < 0).any(axis=1) | (boxes[:, 2:] > extent).any(axis=1)
    over_text = overlap(boxes, np.array(taken).reshape(-1, 4)).sum(axis=1) / size.prod()
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    near = ((frames[:, :2] < high) & (frames[:, 2:] > low)).all(axis=1)
    # A label may stand on its own object, unless it hides it.
    near[i] = (frame[2:] - frame[:2] < size).any()
    others = frames[near]
    shared = overlap(boxes, others)
    # Hiding a small object wholly is bad; writing across a part of a rug is not.
    hidden = (shared / (others[:, 2:] - others[:, :2]).prod(axis=1).clip(min=1)).sum(axis=1)
    apart = np.linalg.norm(spots - np.clip(spots, frame[:2], frame[2:]), axis=1)
    across = shared.sum(axis=1) / size.prod()
    cost = 1000 * outside + 60 * over_text + 2 * hidden + 0.6 * across + apart / 14
    return np.asarray(spots[cost.argmin()])


def _spots(
    frame: Float[np.ndarray, " 4"], size: Float[np.ndarray, " 2"]
) -> Float[np.ndarray, "n 2"]:
    """Where a label might go: the middle, elsewhere inside, then round about, ever further."""
    middle, half = (frame[:2] + frame[2:]) / 2, (frame[2:] - frame[:2]) / 2
    spots = [middle[None]]
    free = half - size / 2
    if (free > 0).all():
        spots.append(middle + free * np.array([(x, y) for x in INSIDE for y in INSIDE]))
    for turn in TURNS:
        way = np.array([math.cos(turn), math.sin(turn)])
        reach = (half + size / 2 + GAPS[:, None]) / np.abs(way).clip(min=1e-9)
        spots.append(middle + way * reach.min(axis=1, keepdims=True))
    return np.concatenate(spots)


def overlap(
    boxes: Float[np.ndarray, "n 4"], others: Float[np.ndarray, "m 4"]
) -> Float[np.ndarray, "n m"]:
    """Shared area of each pair of boxes (least x and y, greatest x and y)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray((high - low).clip(min=0).prod(axis=2))
