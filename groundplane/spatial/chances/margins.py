"""Intervals of measured answers, to first order.

Distances and longest sides have a closed form (`groundplane.spatial.chances.uncertainty`). The
gradient of any other number, by the coordinates of the boxes that it rests on, comes from solving
the query again with each of them a hair larger and a hair smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from groundplane.core.answer import Answer, Step
from groundplane.core.expressions import Select, Unique
from groundplane.core.queries import Difference, Expression, Measure
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.chances.uncertainty import (
    LEVEL,
    Interval,
    center_distance_interval,
    paired_distance_interval,
    quantile,
    size_interval,
)
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.units import convert

__all__ = ["Solve", "is_measured", "with_each_interval", "with_interval"]

Solve = Callable[[CognitiveMap, Expression], Answer]
# These may be negative: they are heights above the floor.
_SIGNED = frozenset({"elevation", "top"})
# Difference quotients: this share of the box's longest side to either side.
_STEP = 1e-4
_UNTIED = 1e-3


def is_measured(answer: Answer) -> bool:
    """Whether an answer is a number that was measured, not counted."""
    number = isinstance(answer.value, int | float) and not isinstance(answer.value, bool)
    return number and answer.unit != "count"


def with_each_interval(
    scene: CognitiveMap, expression: Measure, answer: Answer, solve: Solve
) -> Answer:
    """A measure of each of several objects: their intervals in words, behind each."""
    told = answer.value if isinstance(answer.value, tuple) else ()
    ends = [_ends_in_words(scene, expression, item, solve) for item in answer.evidence[: len(told)]]
    if len(ends) != len(told):
        return answer
    return replace(answer, value=tuple(map(str.__add__, told, ends)))


def _ends_in_words(scene: CognitiveMap, expression: Measure, item: str, solve: Solve) -> str:
    """` (0.82 to 0.98)`; nothing where the id names no single object, or it has no error."""
    one = replace(expression, of=(Unique(Select(item)),))
    found = solve(scene, one)
    if not is_measured(found) or found.evidence[:1] != (item,):
        return ""
    interval = with_interval(scene, one, found, solve).interval
    return "" if interval is None else f" ({interval[0]:.2f} to {interval[1]:.2f})"


def with_interval(
    scene: CognitiveMap, expression: Expression, answer: Answer, solve: Solve
) -> Answer:
    """An answer that is a measured number, with its 90 % interval in the number's own unit.

    Args:
        scene: The map, with covariance.
        expression: The query.
        answer: Its answer on the boxes as they are.
        solve: Solves a query on a map.

    Returns:
        The answer; without an interval where the number does not depend on what is uncertain.
    """
    assert isinstance(answer.value, int | float)
    name = expression.name if isinstance(expression, Measure) else ""
    found = _closed_form(scene, name, answer)
    if found is not None:
        unit = "m" if scene.scale == "metric" else "map_unit"
        scale = convert(1.0, unit, answer.unit or unit)
        # The value told may be that of VSI-Bench's grid: it moves as the exact one does.
        ends = [answer.value + scale * float(end - found.value) for end in (found.low, found.high)]
    else:
        spread = _spread(scene, name, expression, answer, solve)
        reach = quantile(LEVEL) * spread
        ends = [answer.value - reach, answer.value + reach]
    if ends[0] == ends[1]:
        return answer
    signed = name in _SIGNED or isinstance(expression, Difference)
    least = -math.inf if signed else 0.0
    low, high = (max(end, least) for end in ends)
    step = Step(name="interval", detail=f"{low:.4g} to {high:.4g} {answer.unit}, first order")
    return replace(answer, interval=(low, high), steps=(*answer.steps, step))


def _closed_form(scene: CognitiveMap, name: str, answer: Answer) -> Interval | None:
    rows = [scene.ids.index(item) for item in answer.evidence[:2]]
    boxes = [scene.objects[torch.tensor([row])] for row in rows]
    if name == "distance" and len(boxes) == 2:
        return paired_distance_interval(boxes[0], boxes[1])
    if name == "center_distance" and len(boxes) == 2:
        return center_distance_interval(boxes[0], boxes[1])
    if name == "size" and boxes:
        return size_interval(boxes[0])
    return None


def _spread(
    scene: CognitiveMap, name: str, expression: Expression, answer: Answer, solve: Solve
) -> float:
    """The standard deviation of a value to first order, by difference quotients."""
    rows = [scene.ids.index(item) for item in answer.evidence]
    if name in _SIGNED and scene.floor is None:
        # The floor is the lowest point of any box.
        rows.append(int(scene.objects.vertical()[0].argmin()))
    variance = 0.0
    for row in dict.fromkeys(rows):
        slope = torch.tensor(
            [
                _quotient([solve(moved, expression) for moved in pair], step)
                for *pair, step in _nudged(scene, row)
            ],
            dtype=torch.float64,
        )
        covariance = scene.objects.covariance
        assert covariance is not None
        variance += float(slope @ covariance[row].to(slope) @ slope)
    return math.sqrt(max(variance, 0.0))


def _nudged(scene: CognitiveMap, row: int) -> Iterator[tuple[CognitiveMap, CognitiveMap, float]]:
    """The map with one box moved or grown a hair, and back, in each of six ways; and by how far."""
    boxes = scene.objects
    longest = boxes.sizes[row].amax()
    sizes = boxes.sizes.clone()
    # Sides of one length would tie for the longest, and each have half of its slope.
    sizes[row] *= 1 + _UNTIED * torch.arange(3).to(sizes)
    for place in range(6):
        is_side, axis = divmod(place, 3)
        # A share of the side itself: it stays positive.
        step = _STEP * (boxes.sizes[row, axis] if is_side else longest)
        pair = []
        for sign in (-1, 1):
            columns = [boxes.centers.clone(), sizes.clone()]
            columns[is_side][row, axis] += sign * step
            moved = Boxes3D(centers=columns[0], sizes=columns[1], axes=boxes.axes)
            pair.append(replace(scene, objects=moved))
        yield pair[0], pair[1], 2 * float(step)


def _quotient(pair: Sequence[Answer], step: float) -> float:
    """The slope between two answers; 0 where one of them is no number."""
    values = [answer.value for answer in pair]
    low, high = (value if isinstance(value, int | float) else math.nan for value in values)
    return 0.0 if math.isnan(low) or math.isnan(high) else (high - low) / step
