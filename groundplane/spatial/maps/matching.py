"""Which object of one map is which of another: one to one, the nearest first."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.map import CognitiveMap

__all__ = ["center_distances", "common_labels", "fold", "nearest_first", "reordered"]

# Pairs that are looked at: 25 million distances take 200 MB.
PAIR_LIMIT = 25_000_000
# The six orders of three axes.
_ORDERS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))


def fold(label: str) -> str:
    """A label as two maps compare it: without case, underscores and spaces at the ends.

    Examples:
        >>> fold(" Coffee_Table ")
        'coffee table'
    """
    return " ".join(label.replace("_", " ").casefold().split())


def common_labels(a: CognitiveMap, b: CognitiveMap) -> Bool[np.ndarray, "n m"]:
    """Where an object of the one map has the label of an object of the other.

    Raises:
        InputError: If there would be too many pairs.
    """
    if len(a) * len(b) > PAIR_LIMIT:
        raise InputError(
            f"maps: expected at most {PAIR_LIMIT} pairs of objects, got {len(a)} x {len(b)}; "
            "compare part of the scene"
        )
    codes: dict[str, int] = {}
    first, second = (
        np.array([codes.setdefault(fold(label), len(codes)) for label in scene.labels], dtype=int)
        for scene in (a, b)
    )
    return np.asarray(first[:, None] == second)


def center_distances(a: CognitiveMap, b: CognitiveMap) -> Float[np.ndarray, "n m"]:
    """How far each object of the one map is from each of the other, centre to centre."""
    own, other = (scene.objects.centers.detach().double().cpu() for scene in (a, b))
    # Without the shortcut by inner products, which loses half the digits.
    off = torch.cdist(own, other, compute_mode="donot_use_mm_for_euclid_dist")
    return np.asarray(off.numpy())


def nearest_first(
    distances: Float[np.ndarray, "n m"], *, allowed: Bool[np.ndarray, "n m"]
) -> Int[np.ndarray, "k 2"]:
    """Pairs one to one: of the allowed ones the nearest, then the nearest of the rest, and so on.

    What stands where it stood is thus never given away to what has moved.

    Examples:
        >>> distances = np.array([[0.0, 1.0], [1.0, 3.0]])
        >>> nearest_first(distances, allowed=np.ones((2, 2), dtype=bool)).tolist()
        [[0, 0], [1, 1]]
        >>> nearest_first(np.zeros((0, 2)), allowed=np.zeros((0, 2), dtype=bool)).shape
        (0, 2)
    """
    rows, columns = np.nonzero(allowed)
    order = np.argsort(distances[rows, columns], kind="stable")
    left, right = np.ones(allowed.shape[0], dtype=bool), np.ones(allowed.shape[1], dtype=bool)
    pairs = []
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if left[i] and right[j]:
            left[i] = right[j] = False
            pairs.append((i, j))
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def reordered(boxes: Boxes3D, like: Boxes3D) -> tuple[Boxes3D, Float[Tensor, " n"]]:
    """The same boxes with their axes in the order of those of others, and pointing the same way.

    Args:
        boxes: n boxes.
        like: As many boxes.

    Returns:
        Boxes that cover what `boxes` cover, and the least cosine between an axis and its partner:
        1 where the boxes stand alike.
    """
    n = len(boxes)
    cosines = like.axes.to(boxes.axes) @ boxes.axes.transpose(1, 2)  # [axis of like, axis of boxes]
    orders = torch.tensor(_ORDERS, device=cosines.device)
    picked = cosines.abs()[:, torch.arange(3, device=cosines.device), orders]
    order = orders[picked.sum(dim=2).argmax(dim=1)]
    rows = torch.arange(n, device=cosines.device)[:, None]
    along = cosines[rows, torch.arange(3, device=cosines.device), order]
    axes = boxes.axes[rows, order] * along.sign().where(along != 0, 1)[:, :, None]
    # Axes that lie askew may come out left-handed; a box does not mind which way an axis points.
    handed = torch.linalg.det(axes).sign() if n else along.new_zeros(0)
    axes = torch.cat([axes[:, :2], axes[:, 2:] * handed[:, None, None]], dim=1)
    index = torch.cat([torch.arange(3, device=order.device).expand(n, 3), order + 3], dim=1)
    noise = boxes.covariance
    return (
        Boxes3D(
            centers=boxes.centers,
            sizes=boxes.sizes[rows, order],
            axes=axes,
            covariance=None
            if noise is None
            else noise[rows[:, :, None], index[:, :, None], index[:, None]],
        ),
        along.abs().amin(dim=1),
    )
