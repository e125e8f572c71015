"""What set expressions evaluate to: objects, the viewpoint used, and what stays open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.answer import FrameOfReference, Status
from groundplane.core.expressions import SetExpression
from groundplane.spatial.relations import bearing
from groundplane.spatial.scene import Scene

__all__ = ["BACK", "Finder", "Found", "StopError", "View"]

# How far off the line of sight something is still in front, or behind, of the viewer: an eighth
# of a turn to either side, as `front` in the eight-part compass.
_AHEAD = 45.0
# From this turn on something is at one's back (VSI-Bench, relative direction).
BACK = 135.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """A resolved viewpoint.

    Attributes:
        direction: Unit direction of the view on the ground; in a photo, unused.
        origin: Where the viewer stands on the ground; in a photo, the picture's middle.
        frame: The frame of reference, for the answer.
        evidence: Objects that fix it.
        open: It was not stated, or one of its objects leaves the choice open.
        notes: What a reader must know.
        others: The same viewpoint at or toward other objects of the same name.
    """

    direction: Float[Tensor, " 2"]
    origin: Float[Tensor, " 2"]
    frame: FrameOfReference
    evidence: tuple[int, ...] = ()
    open: bool = False
    notes: tuple[str, ...] = ()
    others: tuple[View, ...] = ()

    def relation_to_viewer(self, relation: str, points: Float[Tensor, "n 2"]) -> Bool[Tensor, " n"]:
        """Which points lie to the viewer's left or right, ahead or at the back."""
        if self.frame.kind == "image":
            offset = points[:, 0] - self.origin[0]
            return offset < 0 if relation == "left_of" else offset > 0
        angle = bearing(self.origin[None], (self.origin + self.direction)[None], points)[0, 0]
        if relation == "left_of":
            return (angle > 0) & (angle < 180)
        if relation == "right_of":
            return (angle > 180) & (angle < 360)
        off = torch.minimum(angle, 360 - angle)
        return off <= _AHEAD if relation == "in_front_of" else off >= BACK


class StopError(Exception):
    """The question ends here with a typed status; internal to the solver.

    Attributes:
        misspelt: A name is unknown, but close to known ones.
    """

    def __init__(self, status: Status, note: str, *, misspelt: bool = False) -> None:
        super().__init__(note)
        self.status = status
        self.note = note
        self.misspelt = misspelt


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """The objects that an expression names.

    Attributes:
        index: Positions in the scene, in the scene's order (ranked for options).
        name: The expression in words.
        definite: One object is meant; several leave the reference open.
        options: For a choice: each option's name and objects.
        anchors: Objects that the set was found by.
        view: The viewpoint used, or None.
        notes: What a reader must know.
        open: A reference inside is open and the result depends on it.
        stated: How many there are as stated, where the scene counts more than it boxes.
        counts: For a choice: how many each option names, as stated where the scene states it.
    """

    index: Int[Tensor, " n"]
    name: str
    definite: bool = False
    options: tuple[tuple[str, Int[Tensor, " _"]], ...] = ()
    anchors: tuple[int, ...] = ()
    view: View | None = None
    notes: tuple[str, ...] = ()
    open: bool = False
    stated: int | None = None
    counts: tuple[int, ...] = ()

    def __len__(self) -> int:
        return int(self.index.shape[0])

    def keep(self, kept: Bool[Tensor, " n"]) -> Found:
        """Those of the objects, and of each option, that are kept; nothing is stated of them."""
        index = self.index[kept]
        options = tuple(
            (name, rows[torch.isin(rows, index)]) for name, rows in self.options
        )  # fmt: skip
        return replace(
            self, index=index, options=options, stated=None,
            counts=tuple(len(rows) for _, rows in options),
        )  # fmt: skip

    def missing(self) -> StopError:
        """What to tell where there is no box of it."""
        if self.stated:
            return StopError(
                Status.UNKNOWN_OBJECT,
                f"the scene counts {self.stated} of {self.name!r} and holds no box of any",
            )
        return StopError(Status.UNKNOWN_OBJECT, f"there is no {self.name} in this scene")


@runtime_checkable
class Finder(Protocol):
    """Something that finds sets in a scene."""

    scene: Scene

    def find(self, node: SetExpression) -> Found:
        """The objects that an expression names."""
        ...
