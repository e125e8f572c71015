"""Viewpoints: what left, right, in front and behind refer to.

The frame of reference is found before any relation is computed, and is part of the answer. A
frame that nobody stated is open: what holds from the middle of the scene is given with it, and
the answer asks back.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundplane.core.answer import FrameOfReference, Status
from groundplane.core.errors import listing
from groundplane.core.expressions import Viewpoint
from groundplane.spatial.found import Finder, Found, StopError, View

__all__ = [
    "CAMERA_FRAME",
    "IMAGE_FRAME",
    "WORLD_FRAME",
    "describe_viewpoint",
    "find_view",
    "stand_and_look",
]

# A viewpoint that fits more places than this is left open without trying each.
_MOST_READINGS = 64
WORLD_FRAME = FrameOfReference(kind="world", text="world, z up; needs no viewer")
CAMERA_FRAME = FrameOfReference(kind="camera", text="seen by the scene's camera")
IMAGE_FRAME = FrameOfReference(
    kind="image", text="image plane: left, right, above and below as the photographer saw them"
)


def _turned(direction: Float[Tensor, " 2"], turn: float) -> Float[Tensor, " 2"]:
    cos, sin = math.cos(turn), math.sin(turn)
    return torch.stack(
        [cos * direction[0] - sin * direction[1], sin * direction[0] + cos * direction[1]]
    )


def _photo_view(solver: Finder, viewpoint: Viewpoint | None, relation: str) -> View:
    if viewpoint is not None:
        raise StopError(
            Status.CANNOT_DETECT,
            "a single photo is seen from the photographer's place only; standing elsewhere needs "
            "a scene with 3-D boxes",
        )
    if relation in ("in_front_of", "behind"):
        raise StopError(
            Status.CANNOT_DETECT,
            f"{relation.replace('_', ' ')!r} needs depth and a single photo has none; ask for "
            "left, right, above or below, or give a scene with 3-D boxes",
        )
    middle = solver.scene.middle()
    return View(direction=torch.zeros_like(middle), origin=middle, frame=IMAGE_FRAME)


def find_view(
    solver: Finder, viewpoint: Viewpoint | None, anchor: Found | None, *, relation: str
) -> View:
    """Resolve who looks, before anything is compared.

    A stated viewpoint comes first, then the scene's own camera, then the anchor's own front, then
    the middle of the scene.

    Args:
        solver: Finds the objects that the viewpoint names.
        viewpoint: As stated in the question, or None.
        anchor: What the relation is to; None for the viewer.
        relation: `left_of`, `right_of`, `in_front_of` or `behind`.

    Raises:
        StopError: If nobody looks, or the line of sight has no direction.
    """
    if solver.scene.kind == "image":
        return _photo_view(solver, viewpoint, relation)
    if viewpoint is not None:
        return stand_and_look(solver, viewpoint)
    if anchor is None:
        raise StopError(
            Status.AMBIGUOUS,
            "left, right, in front and behind depend on where you stand: say 'when I stand at A "
            "facing B'",
        )
    looks = solver.scene.view()
    if looks is not None:
        return _from_the_camera(solver, looks)
    front = solver.scene.fronts(anchor.index[:1])[0]
    name = solver.scene.names[int(anchor.index[0])]
    if len(anchor) == 1 and not bool(front.isnan().any()):
        frame = FrameOfReference(
            kind="object", facing=solver.scene.ids[int(anchor.index[0])],
            text=f"the {name}'s own front: seen by somebody who stands before it and faces it",
        )  # fmt: skip
        here = solver.scene.ground(anchor.index)[0] + front
        return View(direction=-front, origin=here, frame=frame, evidence=(int(anchor.index[0]),))
    return _from_the_middle(solver, anchor.index[:1], name)


def _from_the_camera(solver: Finder, looks: Float[Tensor, " 2"]) -> View:
    """Nobody was named, and the scene says from where it was seen."""
    return View(direction=looks, origin=solver.scene.middle(), frame=CAMERA_FRAME)


def _from_the_middle(solver: Finder, facing: Int[Tensor, " 1"], name: str) -> View:
    """Nobody was named: from the middle of the scene, openly."""
    origin = solver.scene.middle()
    line = solver.scene.ground(facing)[0] - origin
    if float(line.norm()) < 1e-6:
        raise StopError(
            Status.AMBIGUOUS,
            f"say where you stand, for example 'when I stand at A facing the {name}'",
        )
    return View(
        direction=line / line.norm(),
        origin=origin,
        frame=FrameOfReference(
            kind="viewpoint", facing=solver.scene.ids[int(facing[0])],
            text=f"seen from the middle of the scene, facing {_the(name)}",
        ),
        evidence=(int(facing[0]),),
        open=True,
        notes=(
            (
                "left, right, in front and behind depend on where you stand and you did not say; "
                f"this holds from the middle of the scene facing {_the(name)}. Say 'when I stand "
                "at A facing B'"
            ),
        ),
    )  # fmt: skip


def stand_and_look(solver: Finder, viewpoint: Viewpoint) -> View:
    """Resolve a stated viewpoint; several objects of a name leave it open.

    Raises:
        StopError: If a place is not in the scene, or place and goal coincide.
    """
    facing = solver.find(viewpoint.facing)
    origin = solver.find(viewpoint.origin) if viewpoint.origin is not None else None
    for found in (facing, origin):
        if found is not None and not len(found):
            raise found.missing()
    places: list[int | None] = [None] if origin is None else origin.index.tolist()
    pairs = list(product(places, facing.index.tolist()))
    views = [
        view
        for place, goal in pairs[:_MOST_READINGS]
        if (view := _look(solver, place, goal, turn=viewpoint.turn)) is not None
    ]
    if not views:
        raise StopError(
            Status.AMBIGUOUS,
            f"one cannot stand at and face the same place ({solver.scene.names[pairs[0][1]]})",
        )
    names = solver.scene.names
    notes = tuple(
        f"there are {len(found)} of {found.name!r} "
        f"({listing((names[i] for i in found.index.tolist()), limit=8)}); took {names[taken]}"
        for found, taken in ((origin, views[0].evidence[0]), (facing, views[0].evidence[-1]))
        if found is not None and len(found) > 1
    )
    unsure = facing.open or bool(origin and origin.open) or len(pairs) > _MOST_READINGS
    return replace(views[0], open=unsure, notes=notes, others=tuple(views[1:]))


def _look(solver: Finder, place: int | None, goal: int, *, turn: float) -> View | None:
    """The view from one place toward one object; None where they coincide."""
    scene = solver.scene
    here = scene.middle() if place is None else scene.ground(torch.tensor([place]))[0]
    line = scene.ground(torch.tensor([goal]))[0] - here
    if place == goal or float(line.norm()) < 1e-6:
        return None
    return View(
        direction=_turned(line / line.norm(), turn),
        origin=here,
        frame=describe_viewpoint(solver, goal, place, turn=turn),
        evidence=(goal,) if place is None else (place, goal),
    )


def _the(name: str) -> str:
    """`the sofa`, but `chair-2`."""
    return name if name[-1:].isdigit() else f"the {name}"


def describe_viewpoint(
    solver: Finder, facing: int, origin: int | None, *, turn: float
) -> FrameOfReference:
    """A stated viewpoint as a frame of reference."""
    names, ids = solver.scene.names, solver.scene.ids
    place = "in the middle of the scene" if origin is None else f"at {_the(names[origin])}"
    look = f"{'with the back to' if turn else 'facing'} {_the(names[facing])}"
    return FrameOfReference(
        kind="viewpoint",
        text=f"standing {place}, {look}",
        origin=None if origin is None else ids[origin],
        facing=ids[facing],
        turn=turn,
    )
