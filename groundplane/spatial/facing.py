"""Directions as answers: where something lies for somebody who stands and looks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.answer import Answer, Status, Step
from groundplane.core.expressions import Viewpoint
from groundplane.core.queries import Direction
from groundplane.spatial.directions import margin_of, sector_of, tally
from groundplane.spatial.found import Found, StopError, View
from groundplane.spatial.relations import bearing
from groundplane.spatial.scene import check_pairs
from groundplane.spatial.sets import SetSolver
from groundplane.spatial.viewing import IMAGE_FRAME, describe_viewpoint, find_view

__all__ = ["direction_answer"]

# Centres nearer than this lie in no direction from each other, in the scene's unit.
_SAME_PLACE = 1e-6
# Closer than this to a border between two sectors, an answer says so.
_NARROW = 5.0
# Sectors that part left from right straight ahead.
_AHEAD_IS_A_BORDER = ("sides", "sides_and_back", "quadrants")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bearings:
    """Bearings of every target from every place, facing every goal."""

    angles: Float[Tensor, "p o q"]
    places: Found | None
    goals: Found
    targets: Found


def direction_answer(finder: SetSolver, node: Direction) -> Answer:
    """Solve a `Direction`.

    Raises:
        StopError: If something is not in the scene, or nobody looks.
    """
    target = _present(finder.find(node.target))
    if finder.scene.kind == "image" and node.viewpoint is None:
        return _in_picture(finder, node, target)
    if node.viewpoint is None:
        return _seen_from_view(finder, node, target)
    anchor = _present(finder.find(node.anchor)) if node.anchor is not None else None
    if anchor is not None and node.anchor != node.viewpoint.facing:
        return _beside_anchor(finder, node, target, anchor)
    return _standing(finder, node, target, node.viewpoint)


def _present(found: Found) -> Found:
    if not len(found):
        raise found.missing()
    return found


def _standing(finder: SetSolver, node: Direction, target: Found, viewpoint: Viewpoint) -> Answer:
    if finder.scene.kind == "image":
        find_view(finder, viewpoint, None, relation="left_of")
    goals = _present(finder.find(viewpoint.facing))
    places = None
    if viewpoint.origin is not None:
        places = _present(finder.find(viewpoint.origin))
    angles = _bearings(finder, places, goals, target, viewpoint.turn)
    if node.sectors in _AHEAD_IS_A_BORDER:
        # What one looks at is neither to the left nor to the right.
        angles = torch.where(goals.index[:, None] == target.index, torch.nan, angles)
    if bool(angles.isnan().all()):
        raise StopError(
            Status.AMBIGUOUS, "the place, the thing faced and the target must be three places"
        )
    return _most_common(
        finder, node, _Bearings(angles=angles, places=places, goals=goals, targets=target)
    )


def _bearings(
    finder: SetSolver, places: Found | None, goals: Found, targets: Found, turn: float
) -> Float[Tensor, "p o q"]:
    """Degrees, NaN where two of the three are the same object."""
    scene = finder.scene
    here = scene.middle()[None] if places is None else scene.ground(places.index)
    check_pairs(len(here), len(goals), len(targets))
    angles = bearing(here, scene.ground(goals.index), scene.ground(targets.index))
    angles = torch.remainder(angles - math.degrees(turn), 360.0)
    if places is not None:
        same = places.index[:, None, None] == goals.index[None, :, None]
        same = same | (places.index[:, None, None] == targets.index[None, None])
        angles = torch.where(same, torch.nan, angles)
    return angles


def _most_common(finder: SetSolver, node: Direction, found: _Bearings) -> Answer:
    """The sector that all readings agree on, or the most common one, flagged."""
    counts = tally(found.angles, node.sectors)
    name = counts.most_common(1)[0][0]
    p, o, q = _first_reading(found.angles, node, name)
    angle = float(found.angles[p, o, q])
    place = None if found.places is None else int(found.places.index[p])
    goal = int(found.goals.index[o])
    rows = [int(found.targets.index[q]), *([] if place is None else [place]), goal]
    is_open = len(counts) > 1 or any(
        part is not None and part.open for part in (found.places, found.goals, found.targets)
    )
    turn = node.viewpoint.turn if node.viewpoint is not None else 0.0
    finder.steps.append(
        Step(name="bearing", detail=f"{angle:.1f} degrees counter-clockwise of the line of sight")
    )
    return Answer(
        value=name,
        status=Status.AMBIGUOUS if is_open else Status.ANSWERED,
        evidence=tuple(finder.scene.ids[i] for i in dict.fromkeys(rows)),
        frame=describe_viewpoint(finder, goal, place, turn=turn),
        measure=_bearing_words(angle),
        note="; ".join(_notes(finder, node, found, counts=dict(counts), angle=angle)),
    )


def _first_reading(
    angles: Float[Tensor, "p o q"], node: Direction, name: str
) -> tuple[int, int, int]:
    for p, o, q in torch.nonzero(~angles.isnan()).tolist():
        if sector_of(float(angles[p, o, q]), node.sectors) == name:
            return p, o, q
    raise AssertionError("the sector was counted, so a reading has it")


def _notes(
    finder: SetSolver, node: Direction, found: _Bearings, *, counts: dict[str, int], angle: float
) -> list[str]:
    parts = (found.places, found.goals, found.targets)
    told = dict.fromkeys(note for part in parts if part is not None for note in part.notes)
    example = finder.scene.names[int(found.targets.index[0])]
    return [*told, *_readings(finder, parts, counts, example), *_close_call(angle, node)]


def _close_call(angle: float, node: Direction) -> list[str]:
    margin = margin_of(angle, node.sectors)
    if margin >= _NARROW:
        return []
    return [f"close call: {margin:.1f} degrees from the next sector"]


def _bearing_words(angle: float) -> str:
    off = min(angle, 360 - angle)
    side = "left" if angle < 180 else "right"
    return f"bearing between centres seen from above: {off:.0f} degrees to the {side}"


def _offsets(finder: SetSolver, target: Found, anchor: Found, view: View) -> Float[Tensor, "q b 2"]:
    """How far each target lies to the left of and beyond each anchor, as the viewer sees it."""
    between = finder.scene.ground(target.index)[:, None] - finder.scene.ground(anchor.index)[None]
    left = torch.stack([-view.direction[1], view.direction[0]])
    return torch.stack([between @ left, between @ view.direction], dim=-1)


def _beside_anchor(finder: SetSolver, node: Direction, target: Found, anchor: Found) -> Answer:
    """On which side of the anchor, for a viewer who faces something else."""
    view = find_view(finder, node.viewpoint, anchor, relation="left_of")
    finder.views.append(view)
    every = (view, *view.others)
    offsets = torch.stack([_offsets(finder, target, anchor, one) for one in every])
    # Toward the viewer is `front`, as people call it; angles run counter-clockwise from there, as
    # left stays left.
    angles = torch.rad2deg(torch.atan2(offsets[..., 0], -offsets[..., 1])) % 360
    angles = torch.where(offsets.norm(dim=-1) > _SAME_PLACE, angles, torch.nan)
    counts = tally(angles, node.sectors)
    if not counts:
        raise StopError(Status.AMBIGUOUS, f"{target.name} and {anchor.name} are in the same place")
    name = counts.most_common(1)[0][0]
    v, q, b = _first_reading(angles, node, name)
    unsure = view.open or target.open or anchor.open or len(counts) > 1
    rows = [int(target.index[q]), int(anchor.index[b]), *every[v].evidence]
    notes = [*view.notes, *_readings(finder, (target, anchor), counts, finder.scene.names[rows[0]])]
    return Answer(
        value=_beside_word(name) if node.sectors == "compass" else name,
        status=Status.AMBIGUOUS if unsure else Status.ANSWERED,
        evidence=tuple(finder.scene.ids[i] for i in dict.fromkeys(rows)),
        frame=every[v].frame,
        measure="offset between centres across and along the line of sight",
        note="; ".join([*notes, *_close_call(float(angles[v, q, b]), node)]),
    )


def _beside_word(name: str) -> str:
    """Beyond the anchor is `behind` it, toward the viewer `in front`."""
    return {"front": "in front"}.get(name, name.replace("back", "behind"))


def _readings(
    finder: SetSolver, parts: Sequence[Found | None], counts: Mapping[str, int], example: str
) -> list[str]:
    """What to say where a name fits several objects: which, and what holds for how many."""
    notes = [
        f"there are {len(part)} of {part.name!r} ({finder.names(part.index.tolist())})"
        for part in parts
        if part is not None and len(part) > 1
    ]
    total = sum(counts.values())
    told = ", ".join(f"{name} in {n} of {total}" for name, n in counts.items())
    if len(counts) > 1:
        return [*notes, f"over all readings: {told}; name one, such as {example!r}"]
    return [*notes, "the same for each"] if notes else []


def _seen_from_view(finder: SetSolver, node: Direction, target: Found) -> Answer:
    """Nobody was named: by the anchor's own front, else openly from the middle."""
    anchor = finder.find(node.anchor) if node.anchor is not None else None
    if anchor is None:
        find_view(finder, None, None, relation="left_of")
        raise AssertionError("find_view stops where nobody looks at nothing")
    _present(anchor)
    return _beside_anchor(finder, node, target, anchor)


_PICTURE = {0: "right", 1: "above-right", 2: "above", 3: "above-left", 4: "left", 5: "below-left",
            6: "below", 7: "below-right"}  # fmt: skip


def _in_picture(finder: SetSolver, node: Direction, target: Found) -> Answer:
    """In the image plane: relative to the anchor, or to the middle of the picture."""
    points = finder.scene.ground(target.index)
    anchor = _present(finder.find(node.anchor)) if node.anchor is not None else None
    base = finder.scene.middle()[None] if anchor is None else finder.scene.ground(anchor.index)
    offset = (points[:, None] - base[None]).reshape(-1, 2)
    words = [_picture_word(dx, dy, node) for dx, dy in offset.tolist()]
    counts = Counter(word for word in words if word is not None)
    if not counts:
        raise StopError(
            Status.AMBIGUOUS, f"{target.name} is at the very place that it is compared with"
        )
    rows: list[int] = [*target.index.tolist(), *(anchor.index.tolist() if anchor else [])]
    unsure = len(counts) > 1 or target.open or bool(anchor and anchor.open)
    example = finder.scene.names[rows[0]]
    return Answer(
        value=counts.most_common(1)[0][0],
        status=Status.AMBIGUOUS if unsure else Status.ANSWERED,
        evidence=tuple(finder.scene.ids[i] for i in rows),
        frame=IMAGE_FRAME,
        measure="offset between the centres of the boxes"
        if anchor
        else "offset from the middle of the picture",
        note="; ".join([*target.notes, *_readings(finder, (target, anchor), counts, example)]),
    )


def _picture_word(dx: float, dy: float, node: Direction) -> str | None:
    """In which direction an offset in pixels points; None where it points nowhere."""
    if node.sectors == "sides":
        return None if dx == 0 else "left" if dx < 0 else "right"
    if node.sectors == "compass" and dx == dy == 0:
        return None
    if node.sectors != "compass":
        raise StopError(
            Status.CANNOT_DETECT, "front and back need depth and a single photo has none"
        )
    return _PICTURE[round(math.degrees(math.atan2(-dy, dx)) / 45) % 8]
