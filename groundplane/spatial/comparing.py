"""Comparisons and orders as answers: more, fewer, taller, equal, seen first."""

from __future__ import annotations

from itertools import pairwise, product

import torch

from groundplane.core.answer import Answer, Status, Step
from groundplane.core.attributes import same_value
from groundplane.core.expressions import Or
from groundplane.core.lexicon import normalise
from groundplane.core.queries import Attribute, Compare, Difference, Measure, Order, Quantity
from groundplane.spatial.contrasts import side_numbers
from groundplane.spatial.found import Found, StopError
from groundplane.spatial.measuring import measure_words
from groundplane.spatial.places import attribute_of
from groundplane.spatial.ranking import holds_between
from groundplane.spatial.scene import told_by_boxes
from groundplane.spatial.sets import NEEDS_VIDEO, SetSolver
from groundplane.spatial.units import format_number

__all__ = ["compare_answer", "order_answer"]


def compare_answer(finder: SetSolver, node: Compare) -> Answer:
    """Solve a `Compare`.

    Raises:
        StopError: If a side cannot be told, or the two sides are of different units.
    """
    if isinstance(node.left, Attribute) or isinstance(node.right, Attribute):
        return _same_attribute(finder, node)
    lefts = side_numbers(finder, node.left)
    pairs = list(product(lefts, side_numbers(finder, node.right, unit=lefts[0].unit)))
    left, right = pairs[0]
    if left.unit != right.unit:
        raise StopError(Status.NOT_UNDERSTOOD, f"{left.unit} and {right.unit} cannot be compared")
    about = node.right.about if isinstance(node.right, Quantity) else 0.0
    verdicts = {holds_between(node.operator, a.value, b.value, about=about) for a, b in pairs}
    is_split = len(verdicts) > 1
    notes = tuple(dict.fromkeys((*left.notes, *right.notes)))
    if len(pairs) > 1:
        notes = (*notes, "it depends on which; name one" if is_split else "the same for each")
    detail = f"{left.value:.4g} {left.unit} against {right.value:.4g} {right.unit}"
    finder.steps.append(Step(name="compare", detail=detail))
    measured = node.left.left if isinstance(node.left, Difference) else node.left
    name = measured.name if isinstance(measured, Measure) else "count"
    words = finder.scene.method if name == "distance" else measure_words(finder, name)
    return Answer(
        value=None if is_split else verdicts.pop(),
        status=Status.AMBIGUOUS if left.open or right.open or is_split else Status.ANSWERED,
        evidence=finder.ids([row for pair in pairs for side in pair for row in side.evidence]),
        measure=f"{words}: {detail}",
        note="; ".join(notes),
    )


def _same_attribute(finder: SetSolver, node: Compare) -> Answer:
    """Whether two objects have the same colour, material, ...; open where it depends on which."""
    sides = [side for side in (node.left, node.right) if isinstance(side, Attribute)]
    found = [finder.find(side.source) for side in sides]
    for part in found:
        if not len(part):
            raise part.missing()
    rows = [row for part in found for row in part.index.tolist()]
    if told_by_boxes(finder.scene, sides[0].name, rows):
        return _same_size(finder, found)
    values = [attribute_of(finder, part, sides[0].name) for part in found]
    verdicts = {
        same_value(a, b) if a is not None and b is not None else None for a, b in product(*values)
    }
    if None in verdicts:
        names = finder.names(rows)
        raise StopError(
            Status.CANNOT_DETECT,
            f"the source does not state the {sides[0].name} of each of {names}",
        )
    is_split = len(verdicts) > 1
    detail = " against ".join("/".join(dict.fromkeys(map(str, told))) for told in values)
    finder.steps.append(Step(name="compare", detail=f"{sides[0].name}: {detail}"))
    return Answer(
        value=None if is_split else verdicts.pop(),
        status=Status.AMBIGUOUS if is_split or any(p.open for p in found) else Status.ANSWERED,
        evidence=finder.ids(rows),
        measure=f"attribute {sides[0].name!r} as the source states it: {detail}",
        note="; ".join(
            [*_several(finder, found, split=is_split), *found[0].notes, *found[1].notes]
        ),
    )


def _same_size(finder: SetSolver, found: list[Found]) -> Answer:
    """Whether two boxes are as big: what the source does not state, the sides tell."""
    holds = finder.scene.relation("same_size", found[0].index, found[1].index)
    verdicts = set(holds.flatten().tolist())
    is_split = len(verdicts) > 1
    sides = [finder.scene.sides(int(part.index[0])) for part in found]
    told = [" x ".join(format_number(side, finder.scene.unit) for side in box) for box in sides]
    return Answer(
        value=None if is_split else verdicts.pop(),
        status=Status.AMBIGUOUS if is_split or any(p.open for p in found) else Status.ANSWERED,
        evidence=finder.ids([row for part in found for row in part.index.tolist()]),
        measure=f"sides of the boxes, 15 % apart at most: {' against '.join(told)}",
        note="; ".join(
            [*_several(finder, found, split=is_split), *found[0].notes, *found[1].notes]
        ),
    )


def _several(finder: SetSolver, found: list[Found], *, split: bool) -> list[str]:
    """What to say where a name fits several objects."""
    many = [
        f"there are {len(part)} of {part.name!r} ({finder.names(part.index.tolist())})"
        for part in found
        if len(part) > 1
    ]
    return (
        [*many, "it depends on which; name one" if split else "the same for each"] if many else []
    )


def order_answer(finder: SetSolver, node: Order) -> Answer:
    """Solve an `Order`.

    Raises:
        StopError: If it is not known when something was first seen.
    """
    every = torch.arange(len(finder.scene.ids))
    if not len(every) or bool(finder.scene.first_seen(every).isnan().all()):
        raise StopError(Status.NEEDS_VIDEO, NEEDS_VIDEO)
    found = finder.find(Or(node.sources))
    times: list[tuple[float, str, int]] = []
    for name, index in found.options:
        seen = finder.scene.first_seen(index)
        if not len(index) or bool(seen.isnan().any()):
            raise StopError(Status.NEEDS_VIDEO, NEEDS_VIDEO)
        times.append((float(seen.min()), normalise(name), int(index[seen.argmin()])))
    times.sort(key=lambda item: item[0])
    tied = [(a[1], b[1]) for a, b in pairwise(times) if a[0] == b[0]]
    together = tuple(f"{a} and {b} are first seen at the same time" for a, b in tied)
    return Answer(
        value=tuple(name for _, name, _ in times),
        status=Status.AMBIGUOUS if found.open or tied else Status.ANSWERED,
        evidence=finder.ids([row for _, _, row in times]),
        measure="time of the first sight: "
        + ", ".join(f"{name} {seconds:.1f} s" for seconds, name, _ in times),
        note="; ".join((*found.notes, *together)),
    )
