"""A walk told as steps: go forward until, turn left, turn right, turn back.

The steps are VSI-Bench's: a turn of 135 degrees or more is a turn back, any other is to the left
or to the right, and each stretch ends at a landmark where there is one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import shapely
from jaxtyping import Float
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from groundplane.spatial.routes.finding import Walk
from groundplane.spatial.routes.free_space import FreeSpace, Place

__all__ = [
    "Directions",
    "Leg",
    "directions_of",
    "heading_words",
    "named",
    "passed_by",
    "told",
    "turn_word",
]

Turn = Literal["left", "right", "back"]

# From this turn on it is a turn back, degrees (VSI-Bench, relative direction and routes).
_BACK = 135.0
# Below this turn one goes straight on, degrees: half of the eighth of a circle that a bend to the
# front-left takes, and a little more.
_STRAIGHT = 25.0
# Bends that lie so near to each other are one turn, metres: the width of a doorway.
_TOGETHER = 0.9
# A bend marks a place by what stands at most so far from it, metres.
_AT = 1.5
# One passes by what comes at most so near to one's side, metres.
_BESIDE = 0.5
# One faces a thing that lies at most so far off the line ahead, degrees.
_AHEAD = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One stretch of a walk.

    Attributes:
        turn: The turn before it; None for the first, and where one goes straight on.
        length: Metres along the way.
        until: Row of the object at which it ends; None where nothing is near.
    """

    turn: Turn | None
    length: float
    until: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Directions:
    """How to walk.

    Attributes:
        facing: Row of the object ahead of the first step; None where nothing is ahead.
        heading: Of the first step, radians counter-clockwise from the x axis; None for no step.
        legs: The stretches in order; none where one is there already.
    """

    facing: int | None
    heading: float | None
    legs: tuple[Leg, ...]


def turn_word(degrees: float) -> Turn:
    """The turn of an angle counter-clockwise from the heading, in [0, 360).

    Examples:
        >>> turn_word(90.0), turn_word(135.0), turn_word(225.5)
        ('left', 'back', 'right')
    """
    if min(degrees, 360 - degrees) >= _BACK:
        return "back"
    return "left" if degrees < 180 else "right"


def directions_of(space: FreeSpace, walk: Walk) -> Directions:
    """Part a walk into straight stretches and turns, with a landmark for each.

    Args:
        space: The ground that the walk is on.
        walk: A shortest walk.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> from groundplane.spatial.routes.free_space import Walker, free_space
        >>> from groundplane.spatial.routes.finding import RouteFinder
        >>> room = SceneBuilder().room([(0, 0), (6, 0), (6, 4), (0, 4)])
        >>> _ = room.add("sofa", at=(1, 2, 0.4), size=(1, 2, 0.8))
        >>> _ = room.add("tv", at=(5.9, 2, 1), size=(0.1, 1, 0.6))
        >>> space = free_space(room.build(), Walker())
        >>> walk = RouteFinder(space).walk(0, 1)
        >>> told(space, walk, directions_of(space, walk))
        ('start at the sofa facing the tv', 'go forward 3.75 m until the tv')
        >>> directions_of(space, RouteFinder(space).walk(0, 0)).legs
        ()
    """
    if walk.length <= 0:
        return Directions(facing=None, heading=None, legs=())
    bends = _bends(walk.points, tolerance=space.walker.radius)
    marks = _landmarks(space, walk)
    ends = [_nearest(space, marks, walk.points[row]) for row, _ in bends]
    stops = [0, *(row for row, _ in bends), len(walk.points) - 1]
    lengths = np.diff(_along(walk.points)[stops]).tolist()
    turns = [None, *(turn_word(angle % 360) for _, angle in bends)]
    goal = walk.goal if isinstance(walk.goal, int) else None
    legs = tuple(
        Leg(turn=turn, length=length, until=until)
        for turn, length, until in zip(turns, lengths, [*ends, goal], strict=True)
    )
    x, y = walk.points[stops[1]] - walk.points[0]
    heading = math.atan2(y, x)
    return Directions(facing=_ahead(space, marks, walk, heading), heading=heading, legs=legs)


def told(space: FreeSpace, walk: Walk, directions: Directions) -> tuple[str, ...]:
    """Directions in words, one step each; turns and stretches in turn."""
    names = space.scene.ids
    start = f"start at {_the(names, walk.start)}"
    if directions.heading is None:
        return (f"{start} and stay: {_the(names, walk.goal)} is within reach",)
    if directions.facing is not None:
        steps = [f"{start} facing {_the(names, directions.facing)}"]
    else:
        steps = [f"{start} {heading_words(directions.heading)}"]
    mark: int | None = None
    for leg in directions.legs:
        # Who is told to turn back, and not round what, goes back the way they came.
        around = f" round {_the(names, mark)}" if leg.turn == "back" and mark is not None else ""
        mark = leg.until
        if leg.turn is not None:
            steps.append(f"turn {leg.turn}{around}")
        end = "" if leg.until is None else f" until {_the(names, leg.until)}"
        steps.append(f"go forward {leg.length:.2f} m{end}")
    return tuple(steps)


def passed_by(space: FreeSpace, walk: Walk) -> tuple[int, ...]:
    """The objects that one passes by within half a metre of one's side, in that order.

    Neither where the walk starts nor where it ends; nothing that hangs above one's head.
    """
    line = shapely.LineString(walk.points)
    marks = _landmarks(space, walk)
    shapes = space.footprints[marks]
    near = shapely.distance(shapes, line) <= space.walker.radius + _BESIDE
    places = shapely.line_locate_point(line, shapely.centroid(shapes[near]))
    return tuple(marks[near][places.argsort(kind="stable")].tolist())


def heading_words(heading: float) -> str:
    """A heading that is given in radians counter-clockwise from the x axis.

    Examples:
        >>> heading_words(-math.pi / 2)
        'heading 270 degrees counter-clockwise from the x axis'
    """
    return f"heading {round(math.degrees(heading)) % 360} degrees counter-clockwise from the x axis"


def named(name: str) -> str:
    """An object in a sentence: a label takes an article, an id with a number does not.

    Examples:
        >>> named("sofa"), named("chair-2")
        ('the sofa', 'chair-2')
    """
    return name if name[-1:].isdigit() else f"the {name}"


def _the(names: tuple[str, ...], place: Place) -> str:
    return named(names[place]) if isinstance(place, int) else f"({place[0]:g}, {place[1]:g})"


def _along(points: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, " k"]:
    """How far along the way each point is, metres."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def _bends(points: Float[np.ndarray, "k 2"], *, tolerance: float) -> list[tuple[int, float]]:
    """At which points one turns, and by how many degrees counter-clockwise.

    An arc round a corner is one bend; so are bends that soon follow each other.
    """
    plain = shapely.get_coordinates(shapely.LineString(points).simplify(tolerance))
    gaps = np.linalg.norm(points[None] - plain[1:-1, None], axis=2)
    rows: list[int] = gaps.argmin(axis=1).tolist()
    lines = np.diff(points[[0, *rows, len(points) - 1]], axis=0)
    headings = np.rad2deg(np.arctan2(lines[:, 1], lines[:, 0]))
    angles = ((np.diff(headings) + 180) % 360 - 180).tolist()
    along = _along(points)
    bends: list[tuple[int, float]] = []
    for row, angle in zip(rows, angles, strict=True):
        if bends and along[row] - along[bends[-1][0]] < _TOGETHER:
            bends[-1] = (bends[-1][0], bends[-1][1] + angle)
        else:
            bends.append((row, angle))
    return [bend for bend in bends if abs(bend[1]) >= _STRAIGHT]


def _landmarks(space: FreeSpace, walk: Walk) -> NDArray[np.int64]:
    """What may mark a place on the way: not its ends, and not what hangs over one's head."""
    scene = space.scene
    low = scene.objects.vertical()[0].tolist()
    floor = scene.floor if scene.floor is not None else min(low, default=0.0)
    rows = [
        row
        for row, height in enumerate(low)
        if height - floor < space.walker.headroom and row not in (walk.start, walk.goal)
    ]
    return np.array(rows, dtype=np.int64)


def _nearest(
    space: FreeSpace, marks: NDArray[np.int64], point: Float[np.ndarray, " 2"]
) -> int | None:
    if not len(marks):
        return None
    gaps = shapely.distance(space.footprints[marks], shapely.Point(point))
    return int(marks[gaps.argmin()]) if gaps.min() <= _AT else None


def _ahead(space: FreeSpace, marks: NDArray[np.int64], walk: Walk, heading: float) -> int | None:
    """The first thing ahead of somebody who sets out."""
    if isinstance(walk.goal, int):
        marks = np.append(marks, walk.goal)
    if not len(marks):
        return None
    here = shapely.Point(walk.points[0])
    sight = _cone(walk.points[0], heading, reach=space.outline.length + 1)
    shapes = space.footprints[marks]
    gaps = np.where(shapely.intersects(sight, shapes), shapely.distance(shapes, here), math.inf)
    return int(marks[gaps.argmin()]) if math.isfinite(gaps.min()) else None


def _cone(point: Float[np.ndarray, " 2"], heading: float, *, reach: float) -> BaseGeometry:
    edges = heading + np.deg2rad([-_AHEAD, _AHEAD])
    rim = point + reach * np.stack([np.cos(edges), np.sin(edges)], axis=1)
    return shapely.Polygon([point, *rim])
