"""Weighted boxes fusion: boxes of several experts that agree become one box between them.

Suppression keeps one expert's box as it is; fusion averages, and lowers the score of what only
some of the experts saw.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from groundplane.core.errors import InputError, ShapeError

__all__ = ["Fused", "fuse"]

_Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fused:
    """Boxes that were made of others.

    Attributes:
        boxes: `xyxy`, in the unit of the boxes given, best first.
        scores: In [0, 1] if those given were.
        members: For each box given the index of the fused box that it went into.
    """

    boxes: Float[Tensor, "k 4"]
    scores: Float[Tensor, " k"]
    members: Int[Tensor, " n"]


def fuse(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, " n"],
    *,
    groups: Int[Tensor, " n"] | None = None,
    iou: float = 0.55,
    weights: Sequence[float] = (1.0,),
) -> Fused:
    """Fuse boxes that overlap.

    Boxes are taken best first. Each joins the fused box of its group that it overlaps most, by
    more than `iou`, or starts one. A fused box is the mean of its members weighted by their
    scores; its score is their mean, times min(members, experts) / sum of the experts' weights.

    Args:
        boxes: `xyxy`, pixels.
        scores: At least 0; each already times the weight of the expert that gave the box.
        groups: Only boxes of one group are fused, such as one image and phrase; None: all are.
        iou: Intersection over union.
        weights: Of the experts that looked, one each. One weight of 1, where all boxes are of
            one expert, leaves the mean as the score.

    Raises:
        InputError: If a box is not finite, a score is negative or NaN, a weight is not above 0
            or there is none, or `iou` is not in [0, 1].
        ShapeError: If there is not one score and group a box.

    Source: Solovyev, Wang, Gabruseva, Weighted boxes fusion, 2019 (arXiv 1910.13302). Where we
    differ: of equal scores the first comes first, and a score above 1, which more boxes of a
    heavy expert than there are experts can reach, is 1.

    Examples:
        >>> boxes = torch.tensor([[0.0, 0, 10, 10], [2.0, 0, 12, 10], [50.0, 0, 60, 10]])
        >>> fused = fuse(boxes, torch.tensor([0.75, 0.25, 0.5]), weights=(1.0, 1.0))
        >>> fused.boxes.tolist(), fused.scores.tolist(), fused.members.tolist()
        ([[0.5, 0.0, 10.5, 10.0], [50.0, 0.0, 60.0, 10.0]], [0.5, 0.25], [0, 0, 1])
        >>> len(fuse(torch.zeros(0, 4), torch.zeros(0)).boxes)
        0
    """
    host, group = _to_host(boxes, scores, groups)
    if not weights or not all(0 < weight < math.inf for weight in weights):
        raise InputError(f"fusion: expected weights above 0, got {tuple(weights)}")
    if not 0 <= iou <= 1:
        raise InputError(f"fusion: expected iou from 0 to 1, got {iou}")
    clusters = _Clusters(iou)
    order = np.argsort(-host[:, 4], kind="stable")
    members = np.zeros(len(host), dtype=np.int64)
    for row, (*box, score) in zip(order.tolist(), host[order].tolist(), strict=True):
        members[row] = clusters.take((box[0], box[1], box[2], box[3]), score, group[row])
    sums, counts = np.array(clusters.sums), np.array(clusters.counts, dtype=np.float64)
    means = sums / np.maximum(counts, 1)
    made = np.minimum(means * np.minimum(counts, len(weights)) / sum(weights), 1.0)
    best = np.argsort(-made, kind="stable")
    place = np.empty_like(best)
    place[best] = np.arange(best.size)
    fused = np.array(clusters.boxes, dtype=np.float64).reshape(-1, 4)[best]
    return Fused(
        boxes=torch.from_numpy(fused).to(boxes),
        scores=torch.from_numpy(made[best]).to(scores),
        members=torch.from_numpy(place[members]).to(boxes.device),
    )


def _to_host(
    boxes: Tensor, scores: Tensor, groups: Tensor | None
) -> tuple[Float64[np.ndarray, "n 5"], list[int]]:
    """Boxes with scores, checked, and groups, in one copy."""
    for name, column in (("scores", scores), ("groups", groups)):
        if column is not None and len(column) != len(boxes):
            raise ShapeError(f"fusion: {len(boxes)} boxes but {len(column)} {name}")
    columns = [boxes.detach().double(), scores.detach().double()[:, None]]
    if groups is not None:
        columns.append(groups.detach().double()[:, None])
    host = torch.cat(columns, dim=1).cpu().numpy()
    if not np.isfinite(host[:, :5]).all() or (host[:, 4] < 0).any():
        raise InputError("fusion: expected finite boxes and scores of 0 or more")
    group = [0] * len(host) if groups is None else host[:, 5].astype(np.int64).tolist()
    return host[:, :5], group


class _Clusters:
    """Fused boxes that grow, each found through the cell of a grid that its middle lies in.

    There is a grid for each size, of cells about as large as the boxes in it.
    """

    def __init__(self, iou: float) -> None:
        self._iou = iou
        self.boxes: list[_Box] = []
        self.sums: list[float] = []
        self.counts: list[int] = []
        self._cells: dict[tuple[int, int, int, int], set[int]] = {}
        self._keys: list[tuple[int, int, int, int]] = []
        self._levels: dict[int, set[int]] = {}

    def take(self, box: _Box, score: float, group: int) -> int:
        """Put a box into the cluster that it overlaps most, or into one of its own."""
        best, best_iou = -1, self._iou
        for index in self._near(box, group):
            overlap = _iou(box, self.boxes[index])
            if overlap > best_iou or (overlap == best_iou and -1 < index < best):
                best, best_iou = index, overlap
        if best < 0:
            self.boxes.append(box)
            self.sums.append(score)
            self.counts.append(1)
            self._keys.append(self._key(box, group))
            self._put(len(self.boxes) - 1)
            return len(self.boxes) - 1
        total = self.sums[best] + score
        if score > 0:
            share = score / total
            b = self.boxes[best]
            moved = [b[i] + (box[i] - b[i]) * share for i in range(4)]
            self.boxes[best] = (moved[0], moved[1], moved[2], moved[3])
        self.sums[best] = total
        self.counts[best] += 1
        self._move(best, group)
        return best

    def _move(self, index: int, group: int) -> None:
        key = self._key(self.boxes[index], group)
        if key != self._keys[index]:
            self._cells[self._keys[index]].discard(index)
            self._keys[index] = key
            self._put(index)

    def _put(self, index: int) -> None:
        key = self._keys[index]
        self._cells.setdefault(key, set()).add(index)
        self._levels.setdefault(key[0], set()).add(key[1])

    def _key(self, box: _Box, group: int) -> tuple[int, int, int, int]:
        level = _level(max(box[2] - box[0], box[3] - box[1]))
        side = 2.0**level
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        return group, level, math.floor(x / side), math.floor(y / side)

    def _near(self, box: _Box, group: int) -> Iterator[int]:
        """The clusters that may overlap a box by more than the limit, and others."""
        longer = max(box[2] - box[0], box[3] - box[1])
        if longer <= 0:
            return
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        for level in self._levels.get(group, ()):
            side = 2.0**level
            # Sides of boxes that overlap so differ by less than the factor 1 / iou.
            if side < self._iou * longer * (1 - 1e-9) or side / 2 * self._iou > longer:
                continue
            # Their middles are nearer than this, from intersection over union in one dimension.
            reach = max(longer, side) * ((1 - self._iou) / (1 + self._iou) + 1e-9)
            across = range(math.floor((x - reach) / side), math.floor((x + reach) / side) + 1)
            down = range(math.floor((y - reach) / side), math.floor((y + reach) / side) + 1)
            for column in across:
                for row in down:
                    yield from self._cells.get((group, level, column, row), ())


def _level(longer: float) -> int:
    """The least power of two that a side does not exceed."""
    return math.ceil(math.log2(max(longer, 1e-9)))


def _iou(a: _Box, b: _Box) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)
