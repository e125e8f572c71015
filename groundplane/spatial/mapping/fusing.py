"""One box from the boxes of many views of a thing, and how sure it is.

A view shows a thing with noise and often in part, so neither the mean of the boxes nor the hull of
all that was ever seen is right: the one is too small, the other grows with every view. Each side is
taken where several views agree that it is farthest out. How near views must come to agree is what
they themselves tell, since the noise of poses, too, moves sides, and nothing states it. The same
disagreement widens the error bars.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64

from groundplane.spatial.mapping.oriented import Uprights
from groundplane.spatial.mapping.spread import covariance_of_faces

__all__ = ["BOX_COLUMNS", "MOST_BOXES", "face_columns", "fuse", "thinned"]

# Centre, sizes, direction of the first side seen from above, 1 for a view of the whole thing, and
# what `face_columns` gives.
BOX_COLUMNS = 18
MOST_BOXES = 32
# Sides within so many metres, or such a share of the thing, are taken for the same side where there
# are too few views to tell their noise.
_NOISE, _NOISE_SHARE = 0.05, 0.25
# Standard deviation of a side between views that is always there: a grid of pixels, metres.
_LEAST_NOISE = 0.004
# The median of the size of a difference of two normal numbers, in their standard deviations.
_MEDIAN_DIFFERENCE = 0.954
# A side lies where so many views, and such a share of all, end within so many standard deviations.
_AGREE, _AGREE_SHARE, _AGREE_REACH = 2, 0.1, 3.0
# Views within so many standard deviations of a side have a say in where it is.
_SAY = 2.0
# Share of the points at either end that are left out where directions are compared.
_TRIM = 0.02
# Points must go so many standard deviations beyond all views to count against them.
_POINTS_REACH, _VIEWS_REACH = 5.0, 3.0
# Boxes whose axes are less than 15 degrees apart stand alike.
_ALIKE = math.cos(math.radians(60))
_ALIKE_VIEWS = 3
# Points end so far within a thing, metres: masks are taken without their rims.
_RIM = 0.02
# Views next to each other err alike, and the farthest of several places is taken: variances are so
# much wider than those of a mean. Chosen on made rooms 1000 to 1013, checked on others.
_CAUTION = 1.3
# A side shorter than that may be a front of which the back was never seen; then so many metres.
_THIN, _BACK = 0.15, 0.015
# Standard deviation of the direction of a single view, radians.
_TURN = 0.05
_Boxes = Float64[np.ndarray, "k 18"]


def face_columns(
    covariance: Float[np.ndarray, "6 6"], axes: Float[np.ndarray, "3 3"]
) -> Float64[np.ndarray, " 9"]:
    """Variances of a box's faces from its covariance of centre and sizes.

    Args:
        covariance: Of the centre in the world and the sizes, square metres.
        axes: Rows are the unit axes.

    Returns:
        Of the three faces on the negative sides, the three on the positive ones, and of each pair
        what both share.

    Examples:
        >>> face_columns(np.diag([0.5, 0.5, 0.5, 2, 2, 2]), np.eye(3)).tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    middle = ((axes @ covariance[:3, :3]) * axes).sum(axis=1)
    cross = ((axes @ covariance[:3, 3:]) * np.eye(3)).sum(axis=1)
    size = covariance.diagonal()[3:] / 4
    return np.concatenate([middle + size - cross, middle + size + cross, middle - size])


def fuse(
    views: Sequence[Sequence[float]], points: Float[np.ndarray, "p 3"], *, common: float = 0.5
) -> tuple[Uprights, Float64[np.ndarray, "6 6"]]:
    """The box of a thing from those of its views.

    Args:
        views: At least one row of `BOX_COLUMNS` numbers, in the order in which they were seen.
        points: Of the thing, from all views, metres: the box goes hardly beyond them.
        common: Share of the variance within views that is the same in all of them.

    Returns:
        One box, and the covariance of its centre and sizes; zero where no view states any.

    Examples:
        >>> sure = [1e-4] * 6 + [0.0] * 3
        >>> view = [0.0, 0, 0.5, 2, 1, 1, 1, 0, 1, *sure]
        >>> half = [0.5, 0, 0.5, 1, 1, 1, 1, 0, 0, *sure]
        >>> corners = np.array([[-1.0, -0.5, 0], [1, 0.5, 1]])
        >>> box, spread = fuse([view, view, half], corners)
        >>> box.centers.tolist(), box.sizes.tolist()
        ([[0.0, 0.0, 0.5]], [[2.0, 1.0, 1.0]])
        >>> wrong = [0.0, 0, 0.5, 4, 1, 1, 1, 0, 1, *sure]
        >>> fuse([wrong], corners)[0].sizes.round(2).tolist()
        [[2.04, 1.0, 1.0]]
    """
    table = np.array(views, dtype=np.float64)
    along = _direction(table, points)
    table = _standing_alike(table, along)
    axes = np.array([[along[0], along[1], 0], [-along[1], along[0], 0], [0, 0, 1.0]])
    ends, variance, shared = _faces(table, axes)
    noise = _noise(table, ends)
    place, spread = _sides(ends, variance, noise=noise, common=common)
    # A few views do not tell how far points may be off.
    wide = max(2 * _rough_noise(table), _VIEWS_REACH * noise)
    place, spread = _bounded(place, spread, variance, points @ axes.T, wide)
    size, center = np.maximum(place.sum(axis=1), 0), ((place[:, 1] - place[:, 0]) / 2) @ axes
    spread = _CAUTION * spread + shared[:, None]
    spread[:2] += (_turn(table, along) * size[1::-1, None]) ** 2 / 12
    spread[:2][size[:2] < _THIN] += _BACK**2
    first = 0 if size[0] >= size[1] else 1
    order = [first, 1 - first, 2]
    direction = axes[first, :2]
    flip = direction[0] < 0 or (direction[0] == 0 and direction[1] < 0)
    box = Uprights(
        centers=center[None],
        sizes=size[order][None],
        directions=(-direction if flip else direction)[None],
    )
    if not table[:, 9:15].any():
        return box, np.zeros((6, 6))
    return box, _covariance(box, spread[order], shared[order], axes[order])


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


def _standing_alike(table: _Boxes, along: Float64[np.ndarray, " 2"]) -> Float64[np.ndarray, "_ 18"]:
    """The views whose boxes stand along a direction, if they are enough to go by."""
    turns = np.arctan2(table[:, 7], table[:, 6]) - math.atan2(along[1], along[0])
    alike = np.cos(4 * turns) > _ALIKE
    enough = (table[alike, 8] > 0).any() or alike.sum() >= _ALIKE_VIEWS
    return table[alike] if enough else table


def _faces(
    table: _Boxes, axes: Float64[np.ndarray, "3 3"]
) -> tuple[Float64[np.ndarray, "k 3 2"], Float64[np.ndarray, "k 3 2"], Float64[np.ndarray, " 3"]]:
    """How far out each view ends at each side, the variance of that, and what sides share.

    Sides are those of the axes given: the negative one, counted outwards, then the positive one.
    """
    cos, sin = table[:, 6:8] @ axes[0, :2], table[:, 6:8] @ axes[1, :2]
    # A view's own first side may lie along the second one here, and point the other way.
    crossed = np.abs(cos) < math.sqrt(0.5)
    sizes, shared = table[:, 3:6].copy(), table[:, 15:18].copy()
    variance = table[:, 9:15].reshape(-1, 2, 3).transpose(0, 2, 1).copy()
    for column in (sizes, shared, variance):
        column[crossed, :2] = column[crossed, 1::-1]
    turned = np.zeros((len(table), 3), dtype=bool)
    turned[:, 0] = np.where(crossed, sin > 0, cos < 0)
    turned[:, 1] = np.where(crossed, sin < 0, cos < 0)
    variance = np.where(turned[..., None], variance[..., ::-1], variance)
    shared = np.clip(np.median(shared, axis=0), 0, None)
    middles = table[:, :3] @ axes.T
    ends = np.stack([sizes / 2 - middles, middles + sizes / 2], axis=2)
    return ends, np.maximum(variance - shared[:, None], 1e-8), shared


def _noise(table: _Boxes, ends: Float64[np.ndarray, "k 3 2"]) -> float:
    """Standard deviation of a side between views.

    From each view to the next most sides move by noise alone. Poses that drift move little from
    view to view and much from the first to the last: so do then all sides, also the steadier ones.
    """
    num = len(ends)
    if num < _ALIKE_VIEWS:
        return _rough_noise(table) / 2
    nearby = float(np.median(np.abs(np.diff(ends, axis=0))))
    one, other = np.triu_indices(num, 1)
    ever = np.sort(np.median(np.abs(ends[one] - ends[other]), axis=0), axis=None)
    return max(max(nearby, float(ever[1])) / _MEDIAN_DIFFERENCE, _LEAST_NOISE)


def _rough_noise(table: _Boxes) -> float:
    """Within what sides are taken for the same one by the size of the thing alone, metres."""
    return min(_NOISE, _NOISE_SHARE * float(np.median(table[:, 3:6].max(axis=1))))


def _sides(
    ends: Float64[np.ndarray, "k 3 2"],
    variance: Float64[np.ndarray, "k 3 2"],
    *,
    noise: float,
    common: float,
) -> tuple[Float64[np.ndarray, "3 2"], Float64[np.ndarray, "3 2"]]:
    """Where the six sides are, and the variance of that."""
    place, spread = np.zeros((3, 2)), np.zeros((3, 2))
    for axis in range(3):
        for side in range(2):
            own = ends[:, axis, side]
            place[axis, side], near = _farthest(own, variance[:, axis, side], noise)
            count = near.sum()
            off = ((own[near] - place[axis, side]) ** 2).sum() / max(1, count - 1)
            within = 1 / np.mean(1 / variance[near, axis, side])
            spread[axis, side] = 1.5 * max(off, noise**2 / 2) / math.sqrt(count)
            spread[axis, side] += within * (common + (1 - common) / count)
    return place, spread


def _farthest(
    ends: Float64[np.ndarray, " k"], variance: Float64[np.ndarray, " k"], noise: float
) -> tuple[float, Bool[np.ndarray, " k"]]:
    """The farthest place at which views agree that a thing ends, and which views do."""
    down = np.sort(ends)[::-1]
    count = (
        len(down) - np.searchsorted(down[::-1], down - _AGREE_REACH * noise) - np.arange(len(down))
    )
    # A view of which that side is hidden does not say that the thing ends there.
    sure = np.minimum(1, (_AGREE_REACH * noise) ** 2 / variance).sum()
    needed = 1 if len(down) < _ALIKE_VIEWS else max(_AGREE, _AGREE_SHARE * sure)
    enough = np.flatnonzero(count >= needed)
    first = int(enough[0]) if len(enough) else int(count.argmax())
    place = float(down[first : first + count[first]].mean())
    near = np.abs(ends - place) <= _SAY * noise
    for _ in range(4):
        if not near.any():
            near = np.abs(ends - place) <= np.abs(ends - place).min()
        place = float(ends[near].mean())
        near = np.abs(ends - place) <= _SAY * noise
    if not near.any():
        near = np.abs(ends - place) <= np.abs(ends - place).min()
    weights = 1 / (variance[near] + noise**2)
    return float((ends[near] * weights).sum() / weights.sum()), near


def _bounded(
    place: Float64[np.ndarray, "3 2"],
    spread: Float64[np.ndarray, "3 2"],
    variance: Float64[np.ndarray, "k 3 2"],
    points: Float64[np.ndarray, "p 3"],
    wide: float,
) -> tuple[Float64[np.ndarray, "3 2"], Float64[np.ndarray, "3 2"]]:
    """Sides are not beyond all points, nor far within most; what points had to say widens bars."""
    # Noise of depth lies along rays, which are nearly level: heights are off by the least of all.
    off = np.sqrt(np.median(variance, axis=0))
    off[2] = np.sqrt(1 / np.mean(1 / variance, axis=0)).min()
    room = np.maximum(wide, _POINTS_REACH * off)
    # Views that stood askew were put aside; what only they saw, the points still tell.
    low, high = np.quantile(points, (_TRIM, 1 - _TRIM), axis=0)
    most = np.stack([-low, high], axis=1)
    told = np.where(most > place + room, most, place)
    last = np.stack([-points.min(axis=0), points.max(axis=0)], axis=1) + _RIM
    bounded = np.minimum(told, last)
    return bounded, spread + ((told - place) / 4) ** 2 + (told - bounded) ** 2 / 3


def _turn(table: _Boxes, along: Float64[np.ndarray, " 2"]) -> float:
    """Standard deviation of the direction that views agree on, radians."""
    turns = np.arctan2(table[:, 7], table[:, 6]) - math.atan2(along[1], along[0])
    off = (turns + math.pi / 4) % (math.pi / 2) - math.pi / 4
    if len(off) == 1:
        return _TURN
    return 1.5 * float(np.sqrt((off**2).mean())) / math.sqrt(len(off))


def _covariance(
    box: Uprights,
    spread: Float64[np.ndarray, "3 2"],
    shared: Float64[np.ndarray, " 3"],
    axes: Float64[np.ndarray, "3 3"],
) -> Float64[np.ndarray, "6 6"]:
    """Of centre and sizes. The axes are those that the spread is of, the box's may point back."""
    same = (box.axes[0] * axes).sum(axis=1) > 0
    spread = np.where(same[:, None], spread, spread[:, ::-1])
    total: Float64[np.ndarray, "6 6"] = covariance_of_faces(
        spread[None, :, 0], spread[None, :, 1], box.axes
    )[0]
    # What both faces share moves the middle and leaves the size.
    total[:3, :3] += (box.axes[0].T * (shared / 2)) @ box.axes[0]
    total[3:, 3:] -= np.diag(2 * shared)
    return total
