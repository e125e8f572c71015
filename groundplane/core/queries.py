"""Queries: expressions whose value is a number, a word, a truth value or a list of objects."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from groundplane.core.errors import InputError
from groundplane.core.expressions import Select, SetExpression, Viewpoint
from groundplane.core.pair_queries import Identity, Pair, Sight

__all__ = [
    "Attribute",
    "Compare",
    "Count",
    "Difference",
    "Direction",
    "Exists",
    "Expression",
    "Measure",
    "Order",
    "Quantity",
    "Route",
    "Sectors",
    "Way",
    "describe",
    "nodes_of",
    "phrases_of",
    "selects_anything",
]

Operator = Literal["more", "fewer", "equal"]
Sectors = Literal["sides", "sides_and_back", "front_back", "quadrants", "compass"]


# How many objects a measure is of; one, where nothing else stands here.
_MEASURED = {"distance": 2, "center_distance": 2, "room_area": 0}


@dataclass(frozen=True, slots=True)
class Count:
    """How many objects there are in the set."""

    source: SetExpression


@dataclass(frozen=True, slots=True)
class Exists:
    """Whether the set holds any object."""

    source: SetExpression


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A measure of no object (`room_area`), one object (`height`) or two (`distance`).

    Attributes:
        name: `distance`, `center_distance`, `size` (longest side), `length`, `width`, `depth`,
            `height`, `floor_area`, `volume`, `elevation` (bottom above the floor), `top` (highest
            point above the floor), `room_area`.
        of: The objects measured.
        unit: The unit that the answer is wanted in; None for the scene's own.

    Raises:
        InputError: If it is of the wrong number of objects.
    """

    name: str
    of: tuple[SetExpression, ...] = ()
    unit: str | None = None

    def __post_init__(self) -> None:
        wanted = _MEASURED.get(self.name, 1)
        if len(self.of) != wanted:
            raise InputError(
                f"measure {self.name!r}: expected {wanted} objects to measure, got {len(self.of)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """An attribute of the one object that the source names (`label`, `color`, ...)."""

    source: SetExpression
    name: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """A length, an area, a volume or a number of times that is stated: `1.5 m`.

    Attributes:
        value: The number.
        unit: Its unit; `times` for a ratio.
        about: The share of it by which what is measured may differ and still be equal to it.

    Raises:
        InputError: If the value is not finite, or the share is negative.
    """

    value: float
    unit: str
    about: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.about < math.inf:
            raise InputError(f"quantity: expected a share of at least 0, got {self.about}")
        if not math.isfinite(self.value):
            raise InputError(f"quantity: expected a finite number of {self.unit}, got {self.value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """By how much one measure is more than another, or how many times as much it is.

    Attributes:
        left: What is asked about.
        right: What it is held against.
        more: Asked is how much more the left one is; else how much less.
        tell: The `difference`, the difference without sign (`apart`), or the `ratio`.
        unit: The unit that a difference is wanted in; None for the scene's own.

    Raises:
        InputError: If two different measures are held against each other.
    """

    left: Measure
    right: Measure
    more: bool = True
    tell: Literal["difference", "apart", "ratio"] = "difference"
    unit: str | None = None

    def __post_init__(self) -> None:
        if self.left.name != self.right.name:
            raise InputError(
                f"difference: expected one measure of two things, got {self.left.name!r} and "
                f"{self.right.name!r}"
            )

    @property
    def of(self) -> tuple[SetExpression, ...]:
        """The objects measured."""
        return (*self.left.of, *self.right.of)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """Whether the left value is more than, fewer than or equal to the right one or a number.

    Attributes have no order: they are equal or not, and only to another attribute of that name.

    Raises:
        InputError: If an attribute is compared in any other way.
    """

    left: Count | Measure | Difference | Attribute
    operator: Operator
    right: Count | Measure | Attribute | Quantity | int

    def __post_init__(self) -> None:
        names = {side.name for side in (self.left, self.right) if isinstance(side, Attribute)}
        both = isinstance(self.left, Attribute) and isinstance(self.right, Attribute)
        if names and not (both and len(names) == 1 and self.operator == "equal"):
            raise InputError(
                f"compare: expected two values of one attribute and 'equal', got {describe(self)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """In which direction the target lies for somebody who stands and looks.

    Attributes:
        target: What is looked for.
        viewpoint: Who looks; None where nobody is named.
        anchor: What the direction is seen from when nobody is named (`of the sofa`).
        sectors: `sides` left or right; `sides_and_back` adds back from 135 degrees on;
            `front_back` parts ahead from behind; `quadrants` front-left, front-right, back-left,
            back-right; `compass` all eight.
    """

    target: SetExpression
    viewpoint: Viewpoint | None
    anchor: SetExpression | None = None
    sectors: Sectors = "compass"


@dataclass(frozen=True, slots=True)
class Order:
    """The order in which the objects were first seen; one entry a source."""

    sources: tuple[SetExpression, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The turns that are missing in a walk.

    Attributes:
        start: Where the walk begins.
        facing: What is faced at the start.
        stops: Where each "go forward until" ends, the goal last.
        turns: One entry before each stop: None where nothing is said, `?` where the turn is
            asked for, else the turn itself (`turn left`, `turn right`, `turn back`).
        options: The turns that each offered option fills in; none where nothing is offered.
    """

    start: SetExpression
    facing: SetExpression
    stops: tuple[SetExpression, ...]
    turns: tuple[str | None, ...]
    options: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The shortest walkable way from one thing to another.

    Attributes:
        start: Where the walk begins.
        goal: Where it ends.
        tell: What is asked: its `length`, its `steps`, whether there is one (`possible`), or how
            wide it is where it is narrowest (`width`), on the widest way.
        unit: The unit that the length is wanted in; None for metres.
        width: How wide the walker is, metres; None for a person.

    Raises:
        InputError: If the width is not a positive length.
    """

    start: SetExpression
    goal: SetExpression
    tell: Literal["length", "steps", "possible", "width"] = "length"
    unit: str | None = None
    width: float | None = None

    def __post_init__(self) -> None:
        if self.width is not None and not 0 < self.width < math.inf:
            raise InputError(f"way: expected a walker with a width in metres, got {self.width}")


Expression = (
    SetExpression | Count | Exists | Measure | Difference | Compare | Attribute | Direction | Order
    | Route | Way | Identity | Pair | Sight
)  # fmt: skip


def describe(node: object) -> str:
    """Write an expression as one readable line, for traces.

    Examples:
        >>> from groundplane.core.expressions import Select
        >>> describe(Count(Select("chair")))
        "count(select('chair'))"
    """
    if isinstance(node, tuple):
        return "[" + ", ".join(describe(item) for item in node) + "]"
    if not dataclasses.is_dataclass(node):
        return repr(node)
    parts = []
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if value == field.default and field.default is not dataclasses.MISSING:
            continue
        positional = not field.kw_only
        parts.append(describe(value) if positional else f"{field.name}={describe(value)}")
    return f"{type(node).__name__.lower()}({', '.join(parts)})"


def nodes_of(item: object) -> Iterator[object]:
    """Every node of an expression, parents first; a viewpoint counts as one."""
    if isinstance(item, tuple):
        for part in item:
            yield from nodes_of(part)
    elif dataclasses.is_dataclass(item):
        yield item
        for field in dataclasses.fields(item):
            yield from nodes_of(getattr(item, field.name))


def phrases_of(node: object) -> tuple[str, ...]:
    """Every phrase that an expression selects by, each once, in order.

    Examples:
        >>> from groundplane.core.expressions import Or
        >>> phrases_of(Count(Or((Select("cup"), Select("dog"), Select("cup")))))
        ('cup', 'dog')
    """
    selects = [item for item in nodes_of(node) if isinstance(item, Select)]
    return tuple(dict.fromkeys(item.phrase for item in selects if item.phrase is not None))


def selects_anything(node: object) -> bool:
    """Whether some part of an expression selects by no phrase: `what is left of the bus`.

    Examples:
        >>> selects_anything(Count(Select())), selects_anything(Count(Select("cup")))
        (True, False)
    """
    return any(isinstance(item, Select) and item.phrase is None for item in nodes_of(node))
