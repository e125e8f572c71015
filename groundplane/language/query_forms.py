"""The forms of the query language that models write: one row a kind of node, said once.

A row names the node's class and the kind of each of its fields. The reader, the writer and the
JSON schema of `groundplane.language.spatial_queries` all go by these rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from groundplane.core.expressions import (
    And,
    Except,
    Extreme,
    Filter,
    Measured,
    Or,
    Relate,
    Same,
    Select,
    Unique,
    Viewpoint,
)
from groundplane.core.pair_queries import Identity, Pair, Sight
from groundplane.core.queries import (
    Attribute,
    Compare,
    Count,
    Difference,
    Direction,
    Exists,
    Measure,
    Order,
    Quantity,
    Route,
    Way,
)
from groundplane.spatial.looking import VISIBLE
from groundplane.spatial.relations.definitions import DEFINITIONS
from groundplane.spatial.units import UNIT_WORDS

__all__ = ["FORMS", "NODE_KINDS", "VIEWPOINT", "Form", "Kind", "op_of"]

# What a field holds: one of these words, or one of the words of a tuple. A `?` behind it: or
# nothing.
Kind = str | tuple[str, ...]

_ONE = (
    "size", "length", "width", "depth", "height", "floor_area", "volume", "elevation", "top",
)  # fmt: skip
_MEASURES = ("distance", "center_distance", *_ONE, "room_area")
_RANKED = ("distance", *_ONE, "first_seen", "count")
_RELATIONS = (*DEFINITIONS, "within", VISIBLE)
_UNITS = tuple(UNIT_WORDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One kind of node.

    Attributes:
        made: The class of the node.
        kinds: The kind of each field, in the order in which it is written.
        means: What it asks or names, in a few words.
    """

    made: type[Any]
    kinds: Mapping[str, Kind]
    means: str

    def optional(self, name: str) -> bool:
        """Whether a field may be left out."""
        kind = self.kinds[name]
        field = next(field for field in dataclasses.fields(self.made) if field.name == name)
        return field.default is not dataclasses.MISSING or kind[-1] == "?"

    def default(self, name: str) -> object:
        """What a field is where it is left out."""
        field = next(field for field in dataclasses.fields(self.made) if field.name == name)
        return None if field.default is dataclasses.MISSING else field.default


def _form(made: type[Any], means: str, **kinds: Kind) -> Form:
    return Form(made=made, means=means, kinds=MappingProxyType(kinds))


VIEWPOINT = _form(
    Viewpoint, "somebody who stands and looks", origin="set?", facing="set", turn="degrees"
)

_SETS = {
    "select": _form(Select, "the objects that a phrase names; all without one", phrase="text?"),
    "filter": _form(
        Filter, "those with an attribute", source="set", attribute="text", value="text"
    ),
    "measured": _form(
        Measured, "those that measure more or fewer metres than the limit",
        source="set", measure=_ONE, operator=("more", "fewer"), limit="number",
    ),
    "relate": _form(
        Relate, "those that stand in a relation to the anchor; without anchor, to the viewer",
        source="set", relation=_RELATIONS, anchor="set?", viewpoint="viewpoint?", limit="number?",
    ),
    "same": _form(
        Same, "those that share an attribute with the anchor",
        source="set", attribute="text", anchor="set",
    ),
    "extreme": _form(
        Extreme, "the one with the smallest or largest measure",
        source="set", measure=_RANKED, largest="flag", anchor="set?", rank="rank",
    ),
    "unique": _form(Unique, "the one object of a set", source="set"),
    "and": _form(And, "objects in every set", sources="sets"),
    "or": _form(Or, "objects in any set", sources="sets"),
    "except": _form(Except, "those that are not excluded", source="set", excluded="set"),
}  # fmt: skip

_VALUES = {
    "count": _form(Count, "how many", source="set"),
    "exists": _form(Exists, "whether there is any", source="set"),
    "measure": _form(
        Measure, "a measure: distances of two things, room_area of none, all else of one",
        name=_MEASURES, of="sets", unit="unit?",
    ),
    "difference": _form(
        Difference, "by how much, or how many times, one measure is more than another",
        left="measure", right="measure", more="flag", tell=("difference", "apart", "ratio"),
        unit="unit?",
    ),
    "compare": _form(
        Compare, "whether the left value is more, fewer or equal",
        left="left", operator=("more", "fewer", "equal"), right="right",
    ),
    "attribute": _form(Attribute, "an attribute of one thing", source="set", name="text"),
    "direction": _form(
        Direction, "where a thing lies for somebody who stands and looks",
        target="set", viewpoint="viewpoint?", anchor="set?",
        sectors=("sides", "sides_and_back", "front_back", "quadrants", "compass"),
    ),
    "order": _form(Order, "the order in which things were first seen", sources="sets"),
    "route": _form(
        Route, "the turns that are missing in a walk",
        start="set", facing="set", stops="sets", turns="turns", options="options",
    ),
    "way": _form(
        Way, "the shortest walkable way",
        start="set", goal="set", tell=("length", "steps", "possible", "width"), unit="unit?",
        width="number?",
    ),
    "identity": _form(
        Identity, "whether one thing is the one described", subject="set", described="set"
    ),
    "pair": _form(
        Pair, "the two of a set that are closest together or farthest apart",
        source="set", farthest="flag", tell=("objects", "distance"), unit="unit?",
    ),
    "sight": _form(
        Sight, "what somebody sees of a thing who stands at another",
        viewer="set", target="set", tell=("seen", "hidden", "obstructed", "blocker", "share"),
        by="set?",
    ),
}  # fmt: skip

_PARTS = {
    "quantity": _form(
        Quantity, "an amount that is stated", value="number", unit=_UNITS, about="number"
    ),
}

FORMS: Mapping[str, Form] = MappingProxyType({**_SETS, **_VALUES, **_PARTS})

# Kinds that are nodes, and the ops that may stand there.
NODE_KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "query": (*_VALUES, *_SETS),
        "set": tuple(_SETS),
        "measure": ("measure",),
        "left": ("count", "measure", "difference", "attribute"),
        "right": ("count", "measure", "attribute", "quantity"),
    }
)

_OPS = {form.made: op for op, form in FORMS.items()}


def op_of(node: object) -> str | None:
    """The name of a node's form; None where it is no node of a query."""
    return _OPS.get(type(node))
