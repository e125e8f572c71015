"""Walks between known landmarks: which turns are missing.

VSI-Bench's route questions were written by people who watched the video. Where every landmark of
a question is a box of the scene, the walk is simulated: the walker goes from centre to centre and
turns to the next landmark. Any other landmark needs the video.
"""

from __future__ import annotations

import math

import torch

from groundplane.core.answer import Answer, FrameOfReference, Status, Step
from groundplane.core.expressions import SetExpression
from groundplane.core.queries import Route
from groundplane.spatial.found import StopError
from groundplane.spatial.relations import bearing
from groundplane.spatial.sets import SetSolver

__all__ = ["route_answer"]

# More than this off the line of sight is a turn back; the sector of VSI-Bench's directions.
_BACK = 135.0
_NEEDS_VIDEO = "cannot be told from boxes: needs the video"


def route_answer(finder: SetSolver, node: Route) -> Answer:
    """Simulate a walk and give its missing turns, in order.

    Raises:
        StopError: With `needs_video` if a landmark is not exactly one object of the scene.
    """
    if finder.scene.kind == "image":
        raise StopError(Status.NEEDS_VIDEO, _NEEDS_VIDEO)
    start, facing = _landmark(finder, node.start), _landmark(finder, node.facing)
    stops = [_landmark(finder, stop) for stop in node.stops]
    here, goal = start, facing
    before: int | None = None
    turns: list[str] = []
    for stop, turn in zip(stops, node.turns, strict=True):
        if turn is not None and stop != here:
            angle = _turn_angle(finder, here, goal, stop, before=before)
            word = _turn_word(angle)
            finder.steps.append(
                Step(
                    name="turn",
                    detail=f"at {finder.scene.names[here]}: {angle:.0f} degrees, {word}",
                )
            )
            if turn == "?":
                turns.append(word)
        if stop != here:
            before, here, goal = here, stop, stop
    if len(turns) != sum(turn == "?" for turn in node.turns):
        raise StopError(Status.NEEDS_VIDEO, _NEEDS_VIDEO)
    rows = dict.fromkeys([start, facing, *stops])
    names, ids = finder.scene.names, finder.scene.ids
    return Answer(
        value=tuple(turns),
        evidence=tuple(ids[i] for i in rows),
        frame=FrameOfReference(
            kind="viewpoint", origin=ids[start], facing=ids[facing],
            text=f"the walker's own left and right, from {names[start]} facing {names[facing]} on",
        ),
        measure="walk from centre to centre, each turn toward the next landmark",
        note="simulated on boxes; walls and free space are not known",
    )  # fmt: skip


def _landmark(finder: SetSolver, node: SetExpression) -> int:
    try:
        found = finder.find(node)
    except StopError as stop:
        raise StopError(Status.NEEDS_VIDEO, f"{_NEEDS_VIDEO} ({stop.note})") from stop
    if len(found) != 1:
        raise StopError(
            Status.NEEDS_VIDEO, f"{_NEEDS_VIDEO} (there are {len(found)} of {found.name!r})"
        )
    return int(found.index[0])


def _turn_angle(finder: SetSolver, here: int, goal: int, stop: int, *, before: int | None) -> float:
    """Degrees counter-clockwise from the heading to the next stop."""
    points = finder.scene.ground(torch.tensor([here, goal, stop]))
    if before is not None:
        # After a walk the heading is the way that was walked.
        past = finder.scene.ground(torch.tensor([before]))[0]
        points = torch.stack([points[0], points[0] + (points[0] - past), points[2]])
    angle = float(bearing(points[:1], points[1:2], points[2:])[0, 0, 0])
    if math.isnan(angle):
        raise StopError(Status.NEEDS_VIDEO, _NEEDS_VIDEO)
    return angle


def _turn_word(angle: float) -> str:
    if min(angle, 360 - angle) >= _BACK:
        return "turn back"
    return "turn left" if angle < 180 else "turn right"
