"""Numbers of a dialect to pixels of the image, and what is wrong with them."""

from __future__ import annotations

import math

import numpy as np

from groundplane.core.frames import Frame
from groundplane.core.locations import ProblemKind
from groundplane.grounding.dialects.grammar import Convention

__all__ = ["Placer"]

_Box = tuple[float, float, float, float]
_Fault = tuple[ProblemKind, str]


class Placer:
    """Brings the numbers of one dialect in one frame to pixels.

    One box at a time in plain floats: a phrase has one box or a few, and an array costs more to
    make than they do to bring over.

    Args:
        convention: What the numbers mean.
        frame: The frame that they live in.
    """

    __slots__ = ("_back", "_canvas", "_convention", "_cut", "_limits", "_scale", "_shift", "_size")

    def __init__(self, convention: Convention, frame: Frame) -> None:
        self._convention = convention
        self._canvas, self._size = frame.canvas, frame.image_size
        divisor = convention.divisor
        self._limits = frame.canvas if divisor is None else (divisor, divisor)
        self._shift = 0.5 if convention.bin_centre else 0.0
        self._scale = (1.0, 1.0)
        if divisor is not None:
            self._scale = (frame.canvas[0] / divisor, frame.canvas[1] / divisor)
        self._back = tuple(frame.to_canvas.inverse().matrix.ravel().tolist())
        # What a padded model says of its padding is no part of the picture; where the model sees
        # just the picture, numbers beyond it are kept as they were said.
        slack = 1e-6 * max(frame.canvas)
        whole = np.array([0.0, 0.0, *frame.canvas])
        self._cut = bool(np.abs(np.array(frame.covers) - whole).max() > slack)

    def box(self, numbers: tuple[float, ...]) -> tuple[_Box | None, list[_Fault]]:
        """One box in pixels of the image, or None where it is dropped, and what is wrong."""
        faults: list[_Fault] = []
        if not any(numbers):
            return None, [(ProblemKind.ABSENT, "a box of zeros: the thing is said not to be there")]
        x0, y0, x1, y1 = self._corners(numbers)
        if x0 > x1 or y0 > y1:
            faults.append((ProblemKind.INVERTED, f"corners {_said(numbers)} were swapped"))
            x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        if x0 == x1 or y0 == y1:
            faults.append((ProblemKind.ZERO_AREA, f"box {_said(numbers)} has no area; dropped"))
            return None, faults
        across, down = self._limits
        if x0 < 0 or y0 < 0 or x1 > across or y1 > down:
            faults.append((ProblemKind.OUT_OF_RANGE, self._beyond(numbers)))
        box = self._hull(x0, y0, x1, y1)
        width, height = self._size
        if box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0:
            what = f"box {_said(numbers)} lies wholly outside the image; dropped"
            return None, [*faults, (ProblemKind.OUT_OF_IMAGE, what)]
        if self._cut:
            box = (
                max(box[0], 0.0),
                max(box[1], 0.0),
                min(box[2], float(width)),
                min(box[3], float(height)),
            )
        if self._convention.truncate:
            x0, y0, x1, y1 = (float(math.trunc(value)) for value in box)
            box = x0, y0, x1, y1
        if box[0] >= box[2] or box[1] >= box[3]:
            what = f"box {_said(numbers)} is less than a pixel; dropped"
            return None, [*faults, (ProblemKind.ZERO_AREA, what)]
        return box, faults

    def point(self, numbers: tuple[float, ...]) -> tuple[tuple[float, float] | None, list[_Fault]]:
        """One point in pixels of the image, or None where it is dropped, and what is wrong."""
        x, y = reversed(numbers) if self._convention.point_order == "yx" else numbers
        faults: list[_Fault] = []
        if x < 0 or y < 0 or x > self._limits[0] or y > self._limits[1]:
            faults.append((ProblemKind.OUT_OF_RANGE, self._beyond(numbers)))
        point = self._image(x, y)
        width, height = self._size
        if point[0] < 0 or point[1] < 0 or point[0] > width or point[1] > height:
            what = f"point {_said(numbers)} lies outside the image; dropped"
            return None, [*faults, (ProblemKind.OUT_OF_IMAGE, what)]
        if self._convention.truncate:
            point = float(math.trunc(point[0])), float(math.trunc(point[1]))
        return point, faults

    def polygon(self, numbers: tuple[float, ...]) -> tuple[list[tuple[float, float]], list[_Fault]]:
        """The corners in pixels of the image, none left out, and what is wrong."""
        across, down = self._limits
        columns, rows = numbers[::2], numbers[1::2]
        faults: list[_Fault] = []
        if min(numbers) < 0 or max(columns) > across or max(rows) > down:
            faults.append((ProblemKind.OUT_OF_RANGE, self._beyond(numbers)))
        corners = [self._image(x, y) for x, y in zip(columns, rows, strict=True)]
        if self._convention.truncate:
            corners = [(float(math.trunc(x)), float(math.trunc(y))) for x, y in corners]
        return corners, faults

    def _corners(self, numbers: tuple[float, ...]) -> _Box:
        a, b, c, d = numbers
        order = self._convention.order
        if order == "xyxy":
            return a, b, c, d
        if order == "yxyx":
            return b, a, d, c
        if order == "xywh":
            return a, b, a + c, b + d
        return a - c / 2, b - d / 2, a + c / 2, b + d / 2

    def _image(self, x: float, y: float) -> tuple[float, float]:
        x, y = (x + self._shift) * self._scale[0], (y + self._shift) * self._scale[1]
        a, b, c, d, e, f = self._back
        return a * x + b * y + c, d * x + e * y + f

    def _hull(self, x0: float, y0: float, x1: float, y1: float) -> _Box:
        p, q = self._image(x0, y0), self._image(x1, y1)
        if not self._back[1] and not self._back[3]:
            return min(p[0], q[0]), min(p[1], q[1]), max(p[0], q[0]), max(p[1], q[1])
        corners = [p, q, self._image(x0, y1), self._image(x1, y0)]
        columns, rows = [x for x, _ in corners], [y for _, y in corners]
        return min(columns), min(rows), max(columns), max(rows)

    def _beyond(self, numbers: tuple[float, ...]) -> str:
        across, down = (f"{limit:g}" for limit in self._limits)
        return f"{_said(numbers)} goes beyond 0 to {across} across and {down} down; kept as said"


def _said(numbers: tuple[float, ...]) -> str:
    shown = ", ".join(f"{value:g}" for value in numbers[:8])
    return f"({shown}{', ...' if len(numbers) > 8 else ''})"
