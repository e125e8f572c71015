"""Ways as answers: how far one walks, how one gets there, and whether one can at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

from groundplane.core.answer import Answer, FrameOfReference, Status, Step, Value
from groundplane.core.errors import InputError
from groundplane.core.queries import Way
from groundplane.spatial.found import Found, StopError
from groundplane.spatial.routes.finding import Blocked, RouteFinder, Walk, route_finder
from groundplane.spatial.routes.free_space import FreeSpace, Place, Walker
from groundplane.spatial.routes.guidance import (
    Directions,
    directions_of,
    heading_words,
    named,
    passed_by,
    told,
)
from groundplane.spatial.routes.passages import passage_answer
from groundplane.spatial.scene import MapScene, UnsupportedError
from groundplane.spatial.sets import SetSolver
from groundplane.spatial.units import convert

__all__ = ["NO_WAY", "way_answer"]

NO_WAY = "no way"

# So many pairs are tried where names fit several objects.
_MOST_PAIRS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A question with what is known before a way is.

    Attributes:
        finder: Finds the places.
        node: What is asked.
        notes: What a reader must know.
        status: Whether a reference was left open.
    """

    finder: SetSolver
    node: Way
    notes: tuple[str, ...]
    status: Status


def way_answer(finder: SetSolver, node: Way) -> Answer:
    """Solve a `Way`.

    Where a name fits several objects, the nearest on foot are taken, and the answer says so.

    Raises:
        StopError: If a place is not in the scene, or both are the same.
        UnsupportedError: If the source is a photo, or a scene without metres.
    """
    scene = finder.scene
    if not isinstance(scene, MapScene):
        raise UnsupportedError(
            "a photo alone shows no floor to walk on; give a scene with 3-D boxes"
        )
    start, goal = (finder.find(part) for part in (node.start, node.goal))
    for found in (start, goal):
        if not len(found):
            raise found.missing()
    if node.tell == "width":
        return passage_answer(finder, node, (start, goal))
    pairs = [(a, b) for a, b in product(start.index.tolist(), goal.index.tolist()) if a != b]
    if not pairs:
        raise StopError(
            Status.AMBIGUOUS, f"{start.name} and {goal.name} are the same object; name two"
        )
    if len(pairs) > _MOST_PAIRS:
        raise StopError(
            Status.AMBIGUOUS,
            f"there are {len(start)} of {start.name!r} and {len(goal)} of {goal.name!r}, so "
            f"{len(pairs)} ways; say which",
        )
    places, ways = _walks(scene, node, pairs)
    walks = [way for way in ways if isinstance(way, Walk)]
    status = Status.AMBIGUOUS if start.open or goal.open else Status.ANSWERED
    asked = _Asked(finder=finder, node=node, notes=(*start.notes, *goal.notes), status=status)
    if not walks:
        return _no_way(asked, next(way for way in ways if isinstance(way, Blocked)))
    walk = min(walks, key=lambda way: way.length)
    taken = _taken(finder, (start, goal), walk)
    return _answer(replace(asked, notes=(*asked.notes, *taken)), walk, places.space)


def _walks(
    scene: MapScene, node: Way, pairs: Sequence[tuple[Place, Place]]
) -> tuple[RouteFinder, list[Walk | Blocked]]:
    """The ways of all pairs; what the scene cannot tell of any way at all is said as such."""
    try:
        walker = Walker() if node.width is None else Walker(radius=node.width / 2)
        places = route_finder(scene.map, walker)
        return places, places.walks(pairs)
    except InputError as error:
        raise UnsupportedError(str(error)) from error


def _taken(finder: SetSolver, ends: tuple[Found, Found], walk: Walk) -> list[str]:
    """Which of several was taken."""
    return [
        f"there are {len(found)} of {found.name!r}; took {finder.scene.names[taken]}, the nearest "
        "on foot"
        for found, taken in zip(ends, (walk.start, walk.goal), strict=True)
        if len(found) > 1 and isinstance(taken, int)
    ]


def _answer(asked: _Asked, walk: Walk, space: FreeSpace) -> Answer:
    finder, node = asked.finder, asked.node
    directions = directions_of(space, walk)
    steps = told(space, walk, directions)
    finder.steps += [Step(name="walk", detail=step) for step in steps]
    passed = finder.names(passed_by(space, walk))
    finder.steps.append(Step(name="walk", detail=f"passes by: {passed}"))
    ends = [place for place in (walk.start, walk.goal) if isinstance(place, int)]
    marks = _marks(directions)
    length, unit = walk.length, "m"
    if node.unit is not None:
        length, unit = _in_unit(length, node.unit), node.unit
    values: dict[str, Value] = {"length": length, "steps": steps, "possible": True}
    return Answer(
        value=values[node.tell],
        unit=unit if node.tell == "length" else None,
        status=asked.status,
        evidence=finder.ids([*ends, *(marks if node.tell == "steps" else ())]),
        frame=_frame(finder, walk, directions) if node.tell == "steps" else None,
        measure=_measure(space, walk),
        note="; ".join(filter(None, [*asked.notes, *_far(space, walk), space.assumption])),
        path=tuple((float(x), float(y)) for x, y in walk.points.tolist()),
    )


def _in_unit(length: float, unit: str) -> float:
    try:
        return convert(length, "m", unit)
    except InputError as error:
        raise StopError(
            Status.CANNOT_DETECT, f"the length of a way cannot be given in {unit}"
        ) from error


def _marks(directions: Directions) -> list[int]:
    rows = [directions.facing, *(leg.until for leg in directions.legs)]
    return [row for row in rows if row is not None]


def _measure(space: FreeSpace, walk: Walk) -> str:
    wide = 2 * space.walker.radius
    return (
        f"shortest way of somebody {wide:.2f} m wide, from where one stands at the one to where "
        f"one stands at the other: {walk.length:.2f} m"
    )


def _frame(finder: SetSolver, walk: Walk, directions: Directions) -> FrameOfReference | None:
    """Whose left and right the turns are."""
    names, ids = finder.scene.names, finder.scene.ids
    if directions.heading is None or not isinstance(walk.start, int):
        return None
    whose = f"the walker's own left and right, from {names[walk.start]}"
    if directions.facing is None:
        text = f"{whose} on, {heading_words(directions.heading)}"
        return FrameOfReference(kind="world", text=text)
    return FrameOfReference(
        kind="viewpoint", origin=ids[walk.start], facing=ids[directions.facing],
        text=f"{whose} facing {names[directions.facing]} on",
    )  # fmt: skip


def _far(space: FreeSpace, walk: Walk) -> list[str]:
    """Where one cannot get near."""
    ends = zip((walk.start, walk.goal), (walk.points[0], walk.points[-1]), strict=True)
    notes = []
    for place, point in ends:
        x, y = (float(value) for value in point)
        gap = float(space.shape(place).distance(space.shape((x, y))))
        if gap > space.walker.reach and isinstance(place, int):
            notes.append(f"{named(space.scene.ids[place])} is {gap:.2f} m from where one can stand")
    return notes


def _no_way(asked: _Asked, way: Blocked) -> Answer:
    ends = [place for place in (way.start, way.goal) if isinstance(place, int)]
    return Answer(
        value=False if asked.node.tell == "possible" else NO_WAY,
        status=asked.status,
        evidence=asked.finder.ids([*ends, *way.blockers]),
        measure=f"ways of somebody {2 * way.space.walker.radius:.2f} m wide",
        note="; ".join(filter(None, [*asked.notes, _why(way), way.space.assumption])),
    )


def _why(way: Blocked) -> str:
    """`no way is wider than 0.40 m and 0.50 m are needed; table-2 and the bed are in the way`."""
    space, names = way.space, way.space.scene.ids
    wide = 2 * space.walker.radius
    if not len(space.pieces):
        return f"there is nowhere here for somebody {wide:.2f} m wide to stand"
    for place in (way.start, way.goal):
        if not space.standing(place) and isinstance(place, int):
            return f"nobody {wide:.2f} m wide can stand within reach of {named(names[place])}"
    # Found to 5 mm, told in centimetres, and never as wide as would do.
    width = min(round(way.width + 0.0025, 2), math.ceil(100 * wide - 1e-6) / 100 - 0.01)
    most = f"no way is wider than {width:.2f} m" if width > 0 else "every way is shut"
    blockers = [named(names[row]) for row in way.blockers]
    if not blockers:
        return f"{most} and {wide:.2f} m are needed"
    listed = " and ".join(part for part in (", ".join(blockers[:-1]), blockers[-1]) if part)
    verb = "is" if len(blockers) == 1 else "are"
    return f"{most} and {wide:.2f} m are needed; {listed} {verb} in the way"
