"""Measures as answers: distances, sides, areas and heights, in the unit that is asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from groundplane.core.answer import Answer, Status
from groundplane.core.errors import InputError
from groundplane.core.expressions import SetExpression
from groundplane.core.queries import Attribute, Count, Measure
from groundplane.spatial.found import Found, StopError
from groundplane.spatial.places import attribute_answer
from groundplane.spatial.scene import UnsupportedError
from groundplane.spatial.sets import SetSolver
from groundplane.spatial.units import convert, format_number, power_of, unit_of

__all__ = ["Number", "in_unit", "measure_words", "measured_answer", "numbers_of"]

_MEASURES = {
    "size": "longest side of the oriented box",
    "length": "longer horizontal side of the oriented box",
    "width": "longer horizontal side, or the side across the front where the front is known",
    "depth": "shorter horizontal side, or the side along the front where the front is known",
    "height": "vertical extent of the oriented box",
    "floor_area": "area of the box seen from above",
    "volume": "volume of the oriented box",
    "elevation": "lowest point above the floor",
    "top": "highest point above the floor",
    "room_area": "area of the room as the scene states it",
}
_PLANE_MEASURES = {
    "size": "longer side of the box in the picture",
    "width": "width of the box in the picture",
    "height": "height of the box in the picture",
    "volume": "area of the box in the picture",
    "floor_area": "area of the box in the picture",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A measured value before it becomes an answer.

    Attributes:
        value: The number.
        unit: Its unit.
        evidence: Positions of the objects that it rests on.
        notes: What a reader must know.
        open: A reference inside is open.
    """

    value: float
    unit: str
    evidence: tuple[int, ...]
    notes: tuple[str, ...] = ()
    open: bool = False


def measure_words(finder: SetSolver, name: str) -> str:
    """What is measured and how, for the answer."""
    words = _MEASURES if finder.scene.kind == "map" else _PLANE_MEASURES
    return words.get(name, name.replace("_", " "))


def measured_answer(finder: SetSolver, node: Measure) -> Answer:
    """Solve a `Measure`.

    Raises:
        StopError: If an object is not in the scene, or the value cannot be told.
    """
    if node.name in ("distance", "center_distance"):
        number, measure = _distance(finder, node), _distance_words(finder, node)
    elif node.name == "room_area":
        number, measure = _room(finder), measure_words(finder, node.name)
    else:
        found = _boxed(finder, node.of[0])
        if node.name == "size" and node.unit is None and _states_size(finder, found):
            return attribute_answer(finder, Attribute(source=node.of[0], name="size"))
        found = _alike(finder, node.name, found)
        if len(found) != 1:
            return _several(finder, node, found)
        number, measure = _one(finder, node.name, found), measure_words(finder, node.name)
    value, unit, notes = in_unit(finder, number, node.unit)
    if node.name == "size":
        measure += _all_sides(finder, found, unit)
    return Answer(
        value=value,
        unit=unit,
        status=Status.AMBIGUOUS if number.open else Status.ANSWERED,
        evidence=finder.ids(number.evidence),
        measure=measure,
        note="; ".join(notes),
    )


def _states_size(finder: SetSolver, found: Found) -> bool:
    """Whether the source itself says how big each of them is: `large`, not 1.40 m."""
    return all("size" in finder.scene.attributes(row) for row in found.index.tolist())


def _all_sides(finder: SetSolver, found: Found, unit: str) -> str:
    """Who asks how big a thing is wants the other sides too."""
    sides = [
        convert(side, finder.scene.unit, unit) for side in finder.scene.sides(int(found.index[0]))
    ]
    return f"; its sides: {' x '.join(format_number(side, unit) for side in sides)}"


def in_unit(
    finder: SetSolver, number: Number, wanted: str | None
) -> tuple[float, str, tuple[str, ...]]:
    """A number in the unit asked for, that unit, and what a reader must know.

    Raises:
        StopError: If it cannot be given in that unit.
    """
    if wanted is None:
        return number.value, number.unit, number.notes
    try:
        return convert(number.value, number.unit, wanted), wanted, number.notes
    except InputError as error:
        told = format_number(number.value, number.unit)
        why = {
            "px": "a photo alone is measured in pixels",
            "map_unit": "a scene without scale is measured in its own units",
        }.get(finder.scene.unit, f"{number.unit} and {wanted} measure different things")
        raise StopError(
            Status.CANNOT_DETECT, f"it cannot be given in {wanted}: {why}; it is {told}"
        ) from error


def _distance_words(finder: SetSolver, node: Measure) -> str:
    return finder.scene.method if node.name == "distance" else "between the centres"


def _distance(finder: SetSolver, node: Measure) -> Number:
    a, b = (finder.find(part) for part in node.of)
    if node.of[0] == node.of[1]:
        return _mutual(finder, node, a)
    for found in (a, b):
        if not len(found):
            raise found.missing()
    table = finder.scene.gaps if node.name == "distance" else finder.scene.center_distances
    values = table(a.index, b.index)
    same = a.index[:, None] == b.index[None]
    values = torch.where(same, torch.inf, values)
    if bool(same.all()):
        raise StopError(Status.AMBIGUOUS, f"{a.name} and {b.name} are the same object; name two")
    at = int(values.argmin())
    i, j = int(a.index[at // len(b)]), int(b.index[at % len(b)])
    notes = [*a.notes, *b.notes]
    for found, taken in ((a, i), (b, j)):
        if len(found) > 1:
            notes.append(
                f"there are {len(found)} of {found.name!r}; took the closest pair, "
                f"{finder.scene.names[taken]}"
            )
    value = _pair_distance(finder, node.name, i, j)
    if value == 0:
        exact = node.name == "distance"
        notes.append("the boxes touch or overlap" if exact else "the centres coincide")
    return Number(
        value=value, unit=finder.scene.unit, notes=tuple(notes), open=a.open or b.open,
        evidence=(i, j, *a.anchors, *b.anchors),
    )  # fmt: skip


def _pair_distance(finder: SetSolver, name: str, i: int, j: int) -> float:
    if name == "distance":
        return finder.scene.distance(i, j)
    return float(finder.scene.center_distances(torch.tensor([i]), torch.tensor([j]))[0, 0])


def _mutual(finder: SetSolver, node: Measure, found: Found) -> Number:
    """`how far apart are the chairs`: between exactly two."""
    if len(found) != 2:
        names = finder.names(found.index.tolist())
        raise StopError(
            Status.AMBIGUOUS,
            f"a distance is between two things, and there are {len(found)} of "
            f"{found.name!r} ({names}); say which two",
        )
    value = _pair_distance(finder, node.name, *found.index.tolist())
    return Number(
        value=value, unit=finder.scene.unit, evidence=tuple(found.index.tolist()),
        notes=found.notes,
    )  # fmt: skip


def _room(finder: SetSolver) -> Number:
    area = finder.scene.room_area()
    if area is None:
        raise StopError(
            Status.CANNOT_DETECT,
            "this source states neither the room's outline nor its area",
        )
    return Number(value=area, unit=unit_of(finder.scene.unit, 2), evidence=())


def _one(finder: SetSolver, name: str, found: Found) -> Number:
    if finder.scene.kind == "image" and name in ("elevation", "top"):
        raise UnsupportedError(f"{name!r} is above the floor, and a single photo shows no floor")
    value = float(finder.scene.measure(name, found.index)[0])
    return Number(
        value=value,
        unit=unit_of(finder.scene.unit, power_of(name) if finder.scene.kind == "map" else
                     2 if name in ("volume", "floor_area") else 1),
        evidence=(*found.index.tolist(), *found.anchors),
        notes=found.notes,
        open=found.open,
    )  # fmt: skip


def _alike(finder: SetSolver, name: str, found: Found) -> Found:
    """One of several that measure the same: which of them was meant does not matter."""
    if not found.definite or len(found) < 2:
        return found
    values = finder.scene.measure(name, found.index)
    if float(values.max() - values.min()) > 1e-6 * float(values.abs().max()):
        return found
    note = f"there are {len(found)} of {found.name!r}, all the same"
    return replace(found, index=found.index[:1], notes=(*found.notes, note))


def _boxed(finder: SetSolver, node: SetExpression) -> Found:
    """Objects that have a box to measure."""
    found = finder.find(node)
    if not len(found):
        raise found.missing()
    return found


def _several(finder: SetSolver, node: Measure, found: Found) -> Answer:
    """A measure of several objects: of each, or asked back where one was meant."""
    each = []
    # A question back needs examples, not all.
    for row in found.index[: 8 if found.definite else None]:
        one = Found(index=row[None], name=found.name)
        value, unit, _ = in_unit(finder, _one(finder, node.name, one), node.unit)
        each.append(f"{finder.scene.names[int(row)]}: {value:.2f} {unit}")
    evidence = finder.evidence(found)
    if found.definite:
        return Answer(
            value=None,
            status=Status.AMBIGUOUS,
            evidence=evidence,
            measure=measure_words(finder, node.name),
            note=f"there are {len(found)} of {found.name!r}: {', '.join(each)}; say which, "
            f"for example {finder.scene.names[int(found.index[0])]!r}",
        )
    return Answer(
        value=tuple(each), evidence=evidence, measure=measure_words(finder, node.name),
        status=Status.AMBIGUOUS if found.open else Status.ANSWERED,
        note="; ".join(found.notes),
    )  # fmt: skip


def numbers_of(finder: SetSolver, node: Count | Measure | int) -> list[Number]:
    """The value of one side of a comparison; several where a singular fits several objects."""
    if isinstance(node, int):
        return [Number(value=node, unit="count", evidence=())]
    if isinstance(node, Count):
        found = finder.find(node.source)
        value = found.stated if found.stated is not None else len(found)
        return [
            Number(value=value, unit="count", evidence=tuple(found.index.tolist()),
                    open=found.open, notes=found.notes)
        ]  # fmt: skip
    if node.name in ("distance", "center_distance"):
        return [_distance(finder, node)]
    if node.name == "room_area":
        return [_room(finder)]
    found = _boxed(finder, node.of[0])
    if not found.definite and len(found) > 1:
        names = finder.names(found.index.tolist())
        raise StopError(
            Status.AMBIGUOUS, f"there are {len(found)} of {found.name!r} ({names}); say which"
        )
    if len(found) > 1:
        names = finder.names(found.index.tolist())
        found = replace(
            found, notes=(*found.notes, f"there are {len(found)} of {found.name!r} ({names})")
        )
    return [_one(finder, node.name, replace(found, index=row[None])) for row in found.index]
