"""One box from the boxes of many views of a thing.

A view shows a thing with noise and often in part, so neither the mean of the boxes nor the hull of
all that was ever seen is right: the one is too small, the other grows with every view. Each side is
taken where several views agree that it is farthest out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64

from groundplane.spatial.mapping.oriented import Uprights

__all__ = ["BOX_COLUMNS", "MOST_BOXES", "fuse", "thinned"]

# Centre, sizes, direction of the first side seen from above, and 1 for a view of the whole thing.
BOX_COLUMNS = 9
MOST_BOXES = 32
# Sides within so many metres, or such a share of the thing, are taken for the same side with noise.
_NOISE, _NOISE_SHARE = 0.05, 0.25
# With so many views of the whole thing, they say where its sides are: three in four, in order.
_WHOLE_VIEWS, _QUANTILE = 3, 0.75
# Share of the points at either end that are left out where directions are compared.
_TRIM = 0.02
# Boxes whose axes are less than 15 degrees apart stand alike.
_ALIKE = math.cos(math.radians(60))
# Points end so far within a thing, metres: masks are taken without their rims.
_RIM = 0.02
_Boxes = Float64[np.ndarray, "k 9"]


def fuse(views: Sequence[Sequence[float]], points: Float[np.ndarray, "p 3"]) -> Uprights:
    """The box of a thing from those of its views.

    Args:
        views: At least one row of `BOX_COLUMNS` numbers.
        points: Of the thing, from all views, metres: the box goes hardly beyond them.

    Returns:
        One box.

    Examples:
        >>> view = [0.0, 0, 0.5, 2, 1, 1, 1, 0, 1]
        >>> half = [0.5, 0, 0.5, 1, 1, 1, 1, 0, 0]
        >>> corners = np.array([[-1.0, -0.5, 0], [1, 0.5, 1]])
        >>> box = fuse([view, view, half], corners)
        >>> box.centers.tolist(), box.sizes.tolist()
        ([[0.0, 0.0, 0.5]], [[2.0, 1.0, 1.0]])
        >>> wrong = [0.0, 0, 0.5, 4, 1, 1, 1, 0, 1]
        >>> fuse([wrong], corners).sizes.round(2).tolist()
        [[2.04, 1.0, 1.0]]
    """
    table = np.array(views, dtype=np.float64)
    along = _direction(table, points)
    table = _standing_alike(table, along)
    axes = np.array([[along[0], along[1], 0], [-along[1], along[0], 0], [0, 0, 1.0]])
    sizes = table[:, 3:6].copy()
    # A view's own first side may lie along the second one here.
    crossed = np.abs(table[:, 6:8] @ along) < math.sqrt(0.5)
    sizes[crossed, :2] = sizes[crossed, 1::-1]
    middles, whole = table[:, :3] @ axes.T, table[:, 8] > 0
    noise = min(_NOISE, _NOISE_SHARE * float(np.median(sizes.max(axis=1))))
    every = points @ axes.T
    most, least = every.max(axis=0) + _RIM, every.min(axis=0) - _RIM
    high = np.array([_farthest(side, whole, noise) for side in (middles + sizes / 2).T])
    low = -np.array([_farthest(side, whole, noise) for side in (sizes / 2 - middles).T])
    # Views that stood askew were put aside; what only they saw, the points still tell.
    left, right = np.quantile(every, (_TRIM, 1 - _TRIM), axis=0)
    high = np.where(right > high + 2 * noise, right, high)
    low = np.where(left < low - 2 * noise, left, low)
    high, low = np.minimum(high, most), np.maximum(low, least)
    size, center = np.maximum(high - low, 0), ((low + high) / 2) @ axes
    first = 0 if size[0] >= size[1] else 1
    direction = axes[first, :2]
    flip = direction[0] < 0 or (direction[0] == 0 and direction[1] < 0)
    return Uprights(
        centers=center[None],
        sizes=size[[first, 1 - first, 2]][None],
        directions=(-direction if flip else direction)[None],
    )


def thinned(views: list[list[float]]) -> list[list[float]]:
    """At most so many views: every other partial one goes first, then every other one."""
    if len(views) <= MOST_BOXES:
        return views
    partial = [k for k, view in enumerate(views) if not view[8]]
    gone = set(partial[::2] if len(partial) > 1 else range(0, len(views), 2))
    return thinned([view for k, view in enumerate(views) if k not in gone])


def _direction(table: _Boxes, points: Float[np.ndarray, "p 3"]) -> Float64[np.ndarray, " 2"]:
    """The direction of one of the views in which the thing is smallest, a few points left out.

    A view of two faces of a box is smallest askew, so views cannot be trusted by their number.
    """
    along = table[:, 6:8]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    spans = [
        np.subtract(*np.quantile(points[:, :2] @ axes.T, (1 - _TRIM, _TRIM), axis=0))
        for axes in (along, across)
    ]
    return np.asarray(along[int((spans[0] * spans[1]).round(6).argmin())])


def _standing_alike(table: _Boxes, along: Float64[np.ndarray, " 2"]) -> Float64[np.ndarray, "_ 9"]:
    """The views whose boxes stand along a direction, if they are enough to go by."""
    turns = np.arctan2(table[:, 7], table[:, 6]) - math.atan2(along[1], along[0])
    alike = np.cos(4 * turns) > _ALIKE
    enough = (table[alike, 8] > 0).any() or alike.sum() >= _WHOLE_VIEWS
    return table[alike] if enough else table


def _farthest(
    sides: Float64[np.ndarray, " k"], whole: Bool[np.ndarray, " k"], noise: float
) -> float:
    """Where the farthest side of a thing is, from the farthest side of each view."""
    if whole.sum() >= _WHOLE_VIEWS:
        base = float(np.quantile(sides[whole], _QUANTILE))
        beyond = np.sort(sides[sides > base + noise])
        # One view alone may err; where two agree, the thing goes on there.
        if len(beyond) < 2:
            return base
        return float(beyond[beyond >= beyond[-2] - noise].mean())
    return float(sides[sides >= sides.max() - noise].mean())
