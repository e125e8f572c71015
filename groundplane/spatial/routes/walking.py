"""Walks between known landmarks: which turns are missing.

VSI-Bench's route questions were written by people who watched the video. Where every landmark of
a question is a box of the scene, the walk is simulated: the walker goes from centre to centre and
turns to the next landmark. Where a name fits several boxes, each is tried, less those to which
there is no way on foot, and the turns count if they are the same for each, or if only one of the
offered options is left. Any other landmark needs the video.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import shapely

from groundplane.core.answer import Answer, FrameOfReference, Status, Step
from groundplane.core.errors import InputError
from groundplane.core.expressions import Select, SetExpression, Unique
from groundplane.core.lexicon import match_phrase
from groundplane.core.queries import Route
from groundplane.spatial.found import StopError
from groundplane.spatial.nouns import noun
from groundplane.spatial.routes.finding import Blocked, route_finder
from groundplane.spatial.routes.free_space import Walker
from groundplane.spatial.routes.guidance import turn_word
from groundplane.spatial.scene import MapScene
from groundplane.spatial.sets import SetSolver

__all__ = ["route_answer"]

_NEEDS_VIDEO = "cannot be told from boxes: needs the video"
# Walks that are tried where names fit several objects.
_MOST_WALKS = 4096
# Somebody who faces a thing this many times wider than deep faces its broad side, as of a tv.
_THIN = 3.0
# How far somebody who faces a thing stands from it, metres.
_BEFORE = 0.3
# Directions shorter than this point nowhere, metres.
_NOWHERE = 1e-9

Vector = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Landmarks:
    """What the names of a walk may mean: rows of objects, one tuple a name.

    Attributes:
        start: Where it begins.
        facing: What is faced there.
        stops: Where each stretch ends.
        notes: What a reader must know of them.
    """

    start: tuple[int, ...]
    facing: tuple[int, ...]
    stops: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...]

    def choices(self, *, same: bool) -> Iterator[tuple[int, ...]]:
        """Every reading; a thing that is faced where one stands is one and the same."""
        for rows in product(self.start, self.facing, *self.stops):
            if not same or rows[0] == rows[1]:
                yield rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """One way to read a walk.

    Attributes:
        rows: Start, what is faced, and the stops.
        angles: Of each turn that is told or asked for, degrees counter-clockwise.
        turns: Those that are asked for, in words.
    """

    rows: tuple[int, ...]
    angles: tuple[tuple[int, float], ...]
    turns: tuple[str, ...]


def route_answer(finder: SetSolver, node: Route) -> Answer:
    """Simulate a walk and give its missing turns, in order.

    Raises:
        StopError: With `needs_video` if a landmark is no object of the scene, or the turns are
            others for another object of the same name.
    """
    scene = finder.scene
    if not isinstance(scene, MapScene):
        raise StopError(Status.NEEDS_VIDEO, _NEEDS_VIDEO)
    landmarks = _landmarks_of(finder, node)
    readings = _readings(scene, node, landmarks)
    if not readings:
        raise StopError(Status.NEEDS_VIDEO, _NEEDS_VIDEO)
    walkable, left_out = _walkable(scene, readings)
    kept, notes = _settled(walkable, node.options)
    taken = kept[0]
    for row, angle in taken.angles:
        detail = f"at {scene.names[row]}: {angle:.0f} degrees, turn {turn_word(angle)}"
        finder.steps.append(Step(name="turn", detail=detail))
    start, facing = taken.rows[:2]
    blind = "simulated on boxes from centre to centre, whatever stands between"
    return Answer(
        value=taken.turns,
        evidence=finder.ids(taken.rows),
        frame=FrameOfReference(
            kind="viewpoint", origin=scene.ids[start],
            facing=scene.ids[facing],
            text=f"the walker's own left and right, from {scene.names[start]} facing "
            f"{scene.names[facing]} on",
        ),
        measure="walk from centre to centre, each turn toward the next landmark",
        note="; ".join([*landmarks.notes, *left_out, *notes, blind]),
    )  # fmt: skip


def _walkable(
    scene: MapScene, readings: Sequence[_Reading]
) -> tuple[Sequence[_Reading], list[str]]:
    """Where readings differ, those whose stops can be walked to; all of them if none can."""
    if len({reading.turns for reading in readings}) == 1 or scene.map.scale != "metric":
        return readings, []
    legs = [{*pairwise((reading.rows[0], *reading.rows[2:]))} for reading in readings]
    pairs = sorted(set().union(*legs))
    try:
        ways = route_finder(scene.map, Walker()).walks(pairs)
    except InputError as error:
        return readings, [f"whether all of it can be walked is not known: {error}"]
    shut = {pair for pair, way in zip(pairs, ways, strict=True) if isinstance(way, Blocked)}
    kept = [reading for reading, leg in zip(readings, legs, strict=True) if not leg & shut]
    if not kept or len(kept) == len(readings):
        return readings, []
    lost = len(readings) - len(kept)
    have = "has" if lost == 1 else "have"
    return kept, [f"{lost} of {len(readings)} readings {have} no way to walk"]


def _settled(
    readings: Sequence[_Reading], options: Sequence[tuple[str, ...]]
) -> tuple[list[_Reading], list[str]]:
    """The readings that are left when they agree, or when one of the options is left."""
    found = list(dict.fromkeys(reading.turns for reading in readings))
    if len(found) == 1:
        return list(readings), [f"the same for all {len(readings)}"] * (len(readings) > 1)
    offered = [turns for turns in found if turns in options]
    if len(offered) != 1:
        told = " or ".join(", ".join(turns) for turns in found[:4])
        raise StopError(Status.NEEDS_VIDEO, f"{_NEEDS_VIDEO} (on boxes it may be: {told})")
    kept = [reading for reading in readings if reading.turns == offered[0]]
    note = f"of {len(readings)} readings only this one is among the options"
    return kept, [note if len(kept) == 1 else note.replace("this one is", "these turns are")]


# -- landmarks ---------------------------------------------------------------------------------


def _landmarks_of(finder: SetSolver, node: Route) -> _Landmarks:
    nodes = dict.fromkeys((node.start, node.facing, *node.stops))
    found = {part: _rows(finder, part) for part in nodes}
    if math.prod(len(rows) for rows, _ in found.values()) > _MOST_WALKS:
        counts = ", ".join(f"{len(rows)} of one name" for rows, _ in found.values() if rows[1:])
        raise StopError(Status.NEEDS_VIDEO, f"{_NEEDS_VIDEO} (there are {counts})")
    return _Landmarks(
        start=found[node.start][0],
        facing=found[node.facing][0],
        stops=tuple(found[stop][0] for stop in node.stops),
        notes=tuple(dict.fromkeys(note for _, notes in found.values() for note in notes)),
    )


def _rows(finder: SetSolver, node: SetExpression) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The objects that a landmark may be, and what to say of them."""
    try:
        found = finder.find(node)
    except StopError as stop:
        rows = _undescribed(finder, node)
        if not rows:
            raise StopError(Status.NEEDS_VIDEO, f"{_NEEDS_VIDEO} ({stop.note})") from stop
        return rows, (_note(finder, noun(_plain(node)), rows),)
    rows = tuple(found.index.tolist())
    if not rows:
        raise StopError(Status.NEEDS_VIDEO, f"{_NEEDS_VIDEO} (there is no {found.name!r})")
    return rows, (_note(finder, found.name, rows),) if len(rows) > 1 else ()


def _note(finder: SetSolver, name: str, rows: tuple[int, ...]) -> str:
    return f"{name!r} may be {finder.names(rows)}; each was tried"


def _undescribed(finder: SetSolver, node: SetExpression) -> tuple[int, ...]:
    """The objects of a name with an adjective that nothing in the scene states: `yellow sofa`.

    Of a thing's part (`the corner of the table`) no box tells the place.
    """
    inner = _plain(node)
    phrase = inner.phrase if isinstance(inner, Select) else None
    match = match_phrase(phrase, finder.scene.vocabulary()) if phrase else None
    if match is None or " of " in f" {phrase} ":
        return ()
    return tuple(row for label in match.labels for row in finder.scene.rows(label))


def _plain(node: SetExpression) -> SetExpression:
    return node.source if isinstance(node, Unique) else node


# -- simulation --------------------------------------------------------------------------------


def _readings(scene: MapScene, node: Route, landmarks: _Landmarks) -> list[_Reading]:
    same = node.start == node.facing
    readings: list[_Reading] = []
    for rows in landmarks.choices(same=same):
        for here, heading in _stances(scene, rows[0], rows[1]):
            reading = _walked(scene, node, rows, (here, heading))
            if reading is None:
                return []
            readings.append(reading)
    return readings


def _center(scene: MapScene, row: int) -> Vector:
    x, y = scene.map.objects.centers[row, :2].tolist()
    return x, y


def _walked(
    scene: MapScene, node: Route, rows: tuple[int, ...], stance: tuple[Vector, Vector]
) -> _Reading | None:
    """Walk from stop to stop; None where a turn has no direction."""
    (x, y), heading = stance
    here = rows[0]
    angles: list[tuple[int, float]] = []
    asked: list[str] = []
    for stop, turn in zip(rows[2:], node.turns, strict=True):
        if stop == here:
            if turn == "?":
                return None
            continue
        to_x, to_y = _center(scene, stop)
        way = (to_x - x, to_y - y)
        if turn is not None:
            angle = _angle(heading, way)
            if angle is None:
                return None
            angles.append((here, angle))
            asked += [f"turn {turn_word(angle)}"] * (turn == "?")
        here, heading, (x, y) = stop, way, (to_x, to_y)
    return _Reading(rows=rows, angles=tuple(angles), turns=tuple(asked))


def _angle(heading: Vector, way: Vector) -> float | None:
    """Degrees counter-clockwise from one direction to another, in [0, 360)."""
    if min(math.hypot(*heading), math.hypot(*way)) < _NOWHERE:
        return None
    turn = math.atan2(way[1], way[0]) - math.atan2(heading[1], heading[0])
    return math.degrees(turn) % 360


def _stances(scene: MapScene, start: int, facing: int) -> list[tuple[Vector, Vector]]:
    """Where somebody may stand at the start, and which way they look."""
    (x, y), (to_x, to_y) = _center(scene, start), _center(scene, facing)
    if start != facing:
        return [((x, y), (to_x - x, to_y - y))]
    return _before(scene, start)


def _before(scene: MapScene, row: int) -> list[tuple[Vector, Vector]]:
    """Where one may stand and face a thing: before its front, or any side where that is unknown.

    Of a thin thing only the broad sides count, and all sides only where somebody before them
    stands inside the room, or among the objects where its outline is not known.
    """
    footprints = scene.map.objects.footprints()
    inside = scene.map.room or shapely.union_all(footprints).convex_hull
    box = shapely.oriented_envelope(footprints[row])
    if not isinstance(box, shapely.Polygon):
        return []
    corners = np.asarray(box.exterior.coords)
    lengths = np.linalg.norm(np.diff(corners, axis=0), axis=1)
    front = scene.map.fronts[row, :2].tolist()
    found: list[tuple[Vector, Vector]] = []
    for (a, b), length in zip(pairwise(corners), lengths, strict=True):
        out = np.array([a[1] - b[1], b[0] - a[0]]) / max(length, _NOWHERE)
        out = out if (a - corners[:4].mean(axis=0)) @ out > 0 else -out
        if length * _THIN <= lengths.max():
            continue
        if not math.isnan(front[0]) and out @ front < math.cos(math.pi / 4):
            continue
        at = (a + b) / 2 + _BEFORE * out
        if shapely.intersects_xy(inside, *at):
            found.append(((float(at[0]), float(at[1])), (float(-out[0]), float(-out[1]))))
    return found
