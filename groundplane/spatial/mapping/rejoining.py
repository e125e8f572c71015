"""Objects that are sides of one box are joined: what is seen round a corner shares no room.

Two sides of a cupboard that are seen one long after the other are two thin plates that share no
more than an edge, so overlap never tells that they are one. They are, where the points of both lie
round one upright rectangle, each has a side of its own, the two sides meet in a corner, and nothing
was ever seen through what they enclose. Two pictures in the corner of a room enclose air that is
looked through; two cupboards side by side have a side in common to which each gives a part.

What was found before the box that it lies in was known is a part of that thing, too.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float

from groundplane.spatial.mapping.missing import View, looked
from groundplane.spatial.mapping.things import Things
from groundplane.spatial.mapping.untangling import Apart, alike

__all__ = ["rejoined", "sides_of_one"]

# Points lie so near the rectangle, metres, or that share of its shorter side; all but a few do.
_NEAR, _NEAR_SHARE, _AROUND = 0.06, 0.12, 0.93
# An object is a part of another one if so much of it lies in the other's box.
_INSIDE = 0.9
# That box is widened by no more than that share of its longest side: a cup is no wider than a gap.
_MARGIN_SHARE = 0.25
# A box is no narrower, metres: thinner things are plates themselves.
_NARROW = 0.25
# An object has a side if it covers so much of it, and has not if it covers less than that.
_HAS, _LACKS = 0.7, 0.4
_BINS = 10
# So much of the lower one is as high up as the other one, and it has that share of its height.
_LEVEL, _TALL = 0.8, 0.25
# Directions that are tried over a quarter turn, and points that are tried in.
_TURNS, _MOST_POINTS = 60, 1500
# Share of the outermost points that are left out.
_TRIM = 0.005
# Of what lies within, so much may have been seen through, and so much must have been hidden.
_THROUGH, _HIDDEN = 0.05, 0.5
_GRID = np.linspace(0.25, 0.75, 4)


def rejoined(things: Things, apart: Apart, views: Sequence[View]) -> Things:
    """The objects, sides of one box as one; what is given stays as it is.

    Args:
        things: All objects.
        apart: Pairs seen side by side, which are never joined.
        views: What was looked at; where none looked at a pair, it stays two.
    """
    seen = Apart(apart.seen)
    joined = things
    while (pair := _found(joined, seen, views)) is not None:
        if joined is things:
            joined = copy.deepcopy(things)
        into, gone = pair
        joined.merge(into, gone)
        seen.rename(gone, into)
    return joined


def _found(things: Things, apart: Apart, views: Sequence[View]) -> tuple[int, int] | None:
    """Two objects that are one, the older one first."""
    least = things.options.least_existence
    slots = [slot for slot in things.live() if things.tally(slot).existence >= least]
    places, reach = things.centers[slots], np.linalg.norm(things.sizes[slots], axis=1) / 2
    for k, one in enumerate(slots):
        off = np.linalg.norm(places[k + 1 :] - places[k], axis=1)
        for i in (k + 1 + np.flatnonzero(off <= reach[k + 1 :] + reach[k])).tolist():
            other = slots[i]
            if apart.ever(one, other) or not alike(things.tally(one), things.tally(other)):
                continue
            if _are_one(things, one, other, views):
                return one, other
    return None


def _are_one(things: Things, one: int, other: int, views: Sequence[View]) -> bool:
    """Whether an object is a part of another one, or both are sides of one box."""
    points, counts = things.points([one, other])
    clouds = np.split(points.astype(np.float64), counts[:1])
    if _within(things, one, clouds[1]) or _within(things, other, clouds[0]):
        return True
    corners = sides_of_one(*clouds)
    return corners is not None and _solid(corners, views)


def _within(things: Things, slot: int, points: Float[np.ndarray, "p 3"]) -> bool:
    """Whether points lie in the box of an object; things of one kind do not stand in each other."""
    size = things.sizes[slot]
    margin = min(things.options.margin, _MARGIN_SHARE * float(size.max()))
    local = np.abs((points - things.centers[slot]) @ things.axes[slot].T)
    inside = (local <= size / 2 + margin).all(axis=1)
    return bool(inside.mean() >= _INSIDE)


def sides_of_one(
    one: Float[np.ndarray, "p 3"], other: Float[np.ndarray, "q 3"]
) -> Float[np.ndarray, "8 3"] | None:
    """The corners of the upright box of which two clouds are sides; None where they are not.

    Args:
        one: Points of an object, metres, z up.
        other: Points of another one.

    Examples:
        >>> along, up = np.meshgrid(np.linspace(0, 1, 50), np.linspace(0, 2, 50))
        >>> flat, none = np.stack([along, up], axis=2).reshape(-1, 2), np.zeros((2500, 1))
        >>> front = np.hstack([flat[:, :1], none, flat[:, 1:]])
        >>> corners = sides_of_one(front, np.hstack([none, flat]))
        >>> (corners.max(axis=0) - corners.min(axis=0)).round(1).tolist()
        [1.0, 1.0, 2.0]
        >>> sides_of_one(front, front + [1.0, 0, 0]) is None
        True
    """
    heights = np.array([np.quantile(cloud[:, 2], (_TRIM, 1 - _TRIM)) for cloud in (one, other)])
    low, high = heights[:, 0].min(), heights[:, 1].max()
    if not _as_high(heights):
        return None
    # The top of a box lies within the rectangle, not round it.
    walls = [cloud[cloud[:, 2] < high - _NEAR][:, :2] for cloud in (one, other)]
    walls = [wall[:: 1 + len(wall) // _MOST_POINTS] for wall in walls]
    if not all(len(wall) for wall in walls):
        return None
    axes, ends = _rectangle(np.concatenate(walls))
    size = ends[1] - ends[0]
    near = min(_NEAR, _NEAR_SHARE * float(size.min()))
    if size.min() < _NARROW:
        return None
    covered = np.zeros((2, 4))
    for k, wall in enumerate(walls):
        place = wall @ axes.T
        off = np.abs(np.concatenate([place - ends[0], place - ends[1]], axis=1))
        if (off.min(axis=1) <= near).mean() < _AROUND:
            return None
        covered[k] = _covered((place - ends[0]) / size, off <= near)
    if not _meet(covered):
        return None
    flat = np.array(list(itertools.product(*ends.T))) @ axes
    return np.array([(*place, z) for place in flat for z in (low, high)])


def _as_high(heights: Float[np.ndarray, "2 2"]) -> bool:
    """Whether one of two objects is as high up as the other, or as a part of it."""
    low, high = heights.T
    short, tall = sorted((high - low).tolist())
    common = high.min() - low.max()
    return bool(common >= _LEVEL * short and short >= _TALL * tall > 0)


def _rectangle(
    points: Float[np.ndarray, "p 2"],
) -> tuple[Float[np.ndarray, "2 2"], Float[np.ndarray, "2 2"]]:
    """The rectangle round which points lie best: its axes, and its lower and upper ends."""
    turns = np.arange(_TURNS) * (np.pi / 2 / _TURNS)
    best, found = np.inf, (np.eye(2), np.zeros((2, 2)))
    for cos, sin in zip(np.cos(turns), np.sin(turns), strict=True):
        axes = np.array([[cos, sin], [-sin, cos]])
        place = points @ axes.T
        ends = np.quantile(place, (_TRIM, 1 - _TRIM), axis=0)
        off = np.abs(place[:, None] - ends[None]).min(axis=(1, 2)).mean()
        if off < best:
            best, found = off, (axes, ends)
    return found


def _covered(
    place: Float[np.ndarray, "p 2"], on: Bool[np.ndarray, "p 4"]
) -> Float[np.ndarray, " 4"]:
    """Share of each side of a rectangle that points cover: two lower sides, two upper ones."""
    bins = np.clip((place * _BINS).astype(np.int64), 0, _BINS - 1)
    return np.array([len(np.unique(bins[on[:, k], 1 - k % 2])) / _BINS for k in range(4)])


def _meet(covered: Float[np.ndarray, "2 4"]) -> bool:
    """Whether each of two objects has a side that the other one lacks, and two of them meet."""
    own = (covered >= _HAS) & (covered[::-1] < _LACKS)
    first, second = np.flatnonzero(own[0]), np.flatnonzero(own[1])
    return any((i - j) % 2 == 1 for i in first.tolist() for j in second.tolist())


def _solid(corners: Float[np.ndarray, "8 3"], views: Sequence[View]) -> bool:
    """Whether nothing was seen through a box, and most of it was hidden by its sides."""
    steps = np.array(list(itertools.product(_GRID, repeat=3)))
    origin = corners[0]
    within = origin + steps @ (corners[[4, 2, 1]] - origin)
    points = torch.from_numpy(within)
    through, hidden = np.zeros((2, len(within)), dtype=bool)
    for view in views:
        bare, covered = looked(points, view)
        through, hidden = through | bare, hidden | covered
    return bool(through.mean() <= _THROUGH and hidden.mean() >= _HIDDEN)
