"""Relations of support the plain way: one pair after the other, outlines by shapely.

What the fast path is held against. Each function tells of one subject and one anchor.
"""

from __future__ import annotations

import math

import numpy as np
import shapely

from groundplane.spatial.relations import THRESHOLDS

__all__ = ["RELATIONS", "Thing", "things"]


class Thing:
    """One box as shapely and plain numbers see it."""

    def __init__(self, center, size, axes):
        half = [max(side, THRESHOLDS.least_side) / 2 for side in size]
        corners = [
            [
                center[k] + sum(sign * half[i] * axes[i][k] for i, sign in enumerate(signs))
                for k in range(3)
            ]
            for signs in np.ndindex(2, 2, 2)
            for signs in [[2 * s - 1 for s in signs]]
        ]
        self.outline = shapely.MultiPoint([corner[:2] for corner in corners]).convex_hull
        self.bottom = min(corner[2] for corner in corners)
        self.top = max(corner[2] for corner in corners)

    @property
    def middle(self):
        return (self.bottom + self.top) / 2

    @property
    def noise(self):
        share = THRESHOLDS.height_noise_share * (self.top - self.bottom)
        return max(THRESHOLDS.height_noise, share)

    @property
    def volume(self):
        return self.outline.area * (self.top - self.bottom)

    def flat(self):
        half, area = self.outline.length / 2, self.outline.area
        spread = math.sqrt(max(half**2 - 4 * area, 0))
        thick, wide = (half - spread) / 2, (half + spread) / 2
        return thick <= THRESHOLDS.hung_thickness and wide >= THRESHOLDS.hung_width * thick


def things(boxes):
    """Each box of a `Boxes3D`."""
    columns = (boxes.centers.tolist(), boxes.sizes.tolist(), boxes.axes.tolist())
    return [Thing(*row) for row in zip(*columns, strict=True)]


def _share(a, b):
    return a.outline.intersection(b.outline).area / a.outline.area


def _centered(a, b):
    return b.outline.intersects(a.outline.centroid)


def _covered(a, b):
    return _centered(a, b) or _share(a, b) >= THRESHOLDS.covered_share


def _hung(a, b):
    close = a.outline.centroid.distance(b.outline) <= THRESHOLDS.hung_reach
    return a.flat() and close and a.outline.distance(b.outline) <= THRESHOLDS.touch_gap


def _prism_share(a, b):
    height = max(min(a.top, b.top) - max(a.bottom, b.bottom), 0)
    return _share(a, b) * height / (a.top - a.bottom)


def on(a, b):
    rests = abs(a.bottom - b.top) <= a.noise
    held = _centered(a, b) or (_covered(a, b) and a.outline.area <= b.outline.area)
    return rests and held and a.middle > b.middle


def above(a, b):
    smaller = min(a.outline.area, b.outline.area)
    over = _share(a, b) * a.outline.area >= THRESHOLDS.above_share * smaller or _hung(a, b)
    return (over and a.middle > b.middle and a.bottom - b.top >= -a.noise) or on(a, b)


def under(a, b):
    stands = a.bottom <= b.bottom + a.noise and a.top <= b.top + a.noise
    tucked = stands and a.outline.area < b.outline.area and _covered(a, b)
    return above(b, a) or (tucked and not above(a, b))


def inside(a, b):
    return a.volume < b.volume and _prism_share(a, b) >= THRESHOLDS.inside_share


def next_to(a, b):
    beside = a.outline.distance(b.outline) <= THRESHOLDS.next_gap
    level = max(a.bottom, b.bottom) <= min(a.top, b.top) + THRESHOLDS.height_noise
    nested = max(_prism_share(a, b), _prism_share(b, a)) >= THRESHOLDS.inside_share
    return beside and level and not (above(a, b) or above(b, a) or nested)


RELATIONS = {
    "on": on,
    "supports": lambda a, b: on(b, a),
    "above": above,
    "below": lambda a, b: above(b, a),
    "under": under,
    "inside": inside,
    "contains": lambda a, b: inside(b, a),
    "next_to": next_to,
}
