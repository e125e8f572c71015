"""Ways on a plan: the walked line with its start, its goal and which way it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

__all__ = ["draw_way"]

WAY = "#0b7a4b"


def draw_way(axes: Axes, way: Sequence[tuple[float, float]]) -> list[Line2D]:
    """Draw a polyline as a way; nothing where it is empty.

    Args:
        axes: Where to draw, in the units of the way.
        way: From start to goal.

    Returns:
        What the legend shows of it.
    """
    if not way:
        return []
    points = np.array(way)
    style: dict[str, Any] = {"color": WAY, "linewidth": 2.4, "solid_joinstyle": "round"}
    axes.plot(*points.T, zorder=6, solid_capstyle="round", **style)
    axes.plot(*points[0], marker="o", markersize=7, markeredgecolor="white", color=WAY, zorder=7)
    before = points[np.linalg.norm(points - points[-1], axis=1) > 1e-9]
    if len(before):
        head: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 18, "color": WAY}
        ends = tuple(before[-1]), tuple(points[-1])
        axes.add_patch(FancyArrowPatch(*ends, shrinkA=0, shrinkB=0, zorder=7, lw=0, **head))
    return [Line2D([], [], marker="o", label="way, from its start on", **style)]
