"""Expressions that name a set of objects: the inner nodes of a spatial query.

A query is a tree of small frozen nodes. Sets stand here; `groundplane.core.queries` has the
nodes that make a value of a set. Nothing here computes: `groundplane.spatial` solves them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "And",
    "Except",
    "Extreme",
    "Filter",
    "Measured",
    "Or",
    "Relate",
    "Same",
    "Select",
    "SetExpression",
    "Unique",
    "Viewpoint",
]


@dataclass(frozen=True, slots=True)
class Select:
    """The objects that a phrase names; all objects if the phrase is None."""

    phrase: str | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """Those of `source` whose attribute has the value (`color`, `red`)."""

    source: SetExpression
    attribute: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewpoint:
    """Where somebody stands and looks: it fixes left, right, in front and behind.

    Attributes:
        origin: The object at which one stands; None: the middle of the scene.
        facing: The object that one looks at.
        turn: Counter-clockwise turn from `facing`, radians (pi: with the back to it).
    """

    origin: SetExpression | None
    facing: SetExpression
    turn: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Relate:
    """Those of `source` that stand in a relation to one of `anchor`.

    Attributes:
        source: The candidates.
        relation: A relation's name (`left_of`, `on`, `near`, ...).
        anchor: What they are related to; None for the viewer (`to my left`).
        viewpoint: Who looks; None where the relation needs nobody, or nobody is named.
        limit: The distance for `within`, metres.
    """

    source: SetExpression
    relation: str
    anchor: SetExpression | None
    viewpoint: Viewpoint | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Same:
    """Those of `source` that share an attribute with the anchor, which is left out.

    Attributes:
        source: The candidates.
        attribute: What is shared: `size`, `color`, `material`, `shape`, ...
        anchor: What they are like.
    """

    source: SetExpression
    attribute: str
    anchor: SetExpression


@dataclass(frozen=True, slots=True, kw_only=True)
class Extreme:
    """The one of `source` with the smallest or largest measure.

    Attributes:
        source: The candidates.
        measure: `distance` (to `anchor`) or a measure of one object (`height`, ...).
        largest: The largest instead of the smallest.
        anchor: What distances are measured to.
        rank: 1 for the first, 2 for the second, ...
    """

    source: SetExpression
    measure: str
    largest: bool
    anchor: SetExpression | None = None
    rank: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Those of `source` whose measure is more or fewer than so much.

    Attributes:
        source: The candidates.
        measure: A measure of one object (`height`, `volume`, ...).
        operator: `more` or `fewer`.
        limit: Metres, square metres or cubic metres.
    """

    source: SetExpression
    measure: str
    operator: Literal["more", "fewer"]
    limit: float


@dataclass(frozen=True, slots=True)
class Unique:
    """The one object of the source; more than one leaves the reference open."""

    source: SetExpression


@dataclass(frozen=True, slots=True)
class And:
    """Objects in every one of the sources."""

    sources: tuple[SetExpression, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Objects in any of the sources; the order of the sources is kept as the options' order."""

    sources: tuple[SetExpression, ...]


@dataclass(frozen=True, slots=True)
class Except:
    """Objects of `source` that are not in `excluded` (not, other than)."""

    source: SetExpression
    excluded: SetExpression


SetExpression = Select | Filter | Measured | Relate | Same | Extreme | Unique | And | Or | Except
