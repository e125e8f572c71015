"""Queries about two things: whether one is the other, which two are closest, what is in sight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from groundplane.core.expressions import SetExpression

__all__ = ["Identity", "Pair", "Sight"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whether one thing is the one that is described: `is the tv the closest to the sofa`.

    Attributes:
        subject: What is asked about.
        described: What it may be.
    """

    subject: SetExpression
    described: SetExpression


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The two of a set that are closest to each other, or farthest apart.

    Attributes:
        source: Of which two are chosen.
        farthest: Those farthest apart instead of the closest.
        tell: What is asked: which they are (`objects`), or how far apart (`distance`).
        unit: The unit that the distance is wanted in; None for the scene's own.
    """

    source: SetExpression
    farthest: bool = False
    tell: Literal["objects", "distance"] = "objects"
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What somebody sees of a thing who stands at another.

    Attributes:
        viewer: Where one stands.
        target: What is looked at.
        tell: What is asked: whether any of it is `seen`, whether it is `hidden` whole, whether
            anything hides a part of it (`obstructed`), what hides most of it (`blocker`), or how
            much of it is in sight (`share`, percent).
        by: What might hide it; None for anything. Only for `obstructed`.
    """

    viewer: SetExpression
    target: SetExpression
    tell: Literal["seen", "hidden", "obstructed", "blocker", "share"] = "seen"
    by: SetExpression | None = None
