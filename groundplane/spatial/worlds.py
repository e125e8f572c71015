"""Queries on a map that is known up to noise.

The query is solved on the boxes as they are: that is the answer told. How sure it is comes after.

A measured number gets an interval: its own first-order error (`groundplane.spatial.uncertainty`),
with the closed form for distances and longest sides and a difference quotient for everything else.
Any other value gets a probability: the whole query is solved again in `samples` sampled worlds,
viewpoints and all, and the share that gives the same value is counted. The same worlds serve every
question on a map, so two answers differ by what was asked and not by luck. A measured number whose
objects were chosen by where they are (the chair nearest to the sofa) gets both: the probability is
that the same objects are chosen.

The value told stays that of the boxes as they are, unless another one is so probable that it
could be told by itself; then that one is told. Below the threshold nothing can be: the answer is
`too_close` and names the runner-up.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from groundplane.core.answer import Answer, RunnerUp, Status, Step, Value
from groundplane.core.errors import InputError, listing
from groundplane.core.expressions import (
    And,
    Except,
    Extreme,
    Filter,
    Or,
    Select,
    SetExpression,
    Unique,
)
from groundplane.core.queries import (
    Attribute,
    Compare,
    Count,
    Exists,
    Expression,
    Measure,
    Order,
    nodes_of,
)
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.chances import SAMPLES, SEED, sampled_worlds
from groundplane.spatial.hedging import shown
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.uncertainty import (
    LEVEL,
    Interval,
    center_distance_interval,
    paired_distance_interval,
    quantile,
    size_interval,
)
from groundplane.spatial.units import convert

__all__ = ["TOO_CLOSE", "Caution", "Solve", "is_fixed", "is_measured", "weigh"]

Solve = Callable[[CognitiveMap, Expression], Answer]
TOO_CLOSE = 0.8
# These nodes go by names, counts and times, none of which moves with a box.
_FIXED = (Select, Unique, Filter, And, Or, Except, Count, Exists, Compare, Order)
_FIXED_NAMES = frozenset({"count", "first_seen", "label", "color", "material", "shape"})
# These may be negative: they are heights above the floor.
_SIGNED = frozenset({"elevation", "top"})
# Difference quotients: this share of the box's longest side to either side.
_STEP = 1e-4
# A member of a set is in doubt where it is in so many of the worlds and not in as many.
_DOUBTFUL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """When to call an answer too close to call.

    Attributes:
        too_close: The least probability of an answer that is told.
        samples: How many worlds are sampled.
        seed: Of the sampled worlds.

    Raises:
        InputError: If a number is out of range.
    """

    too_close: float = TOO_CLOSE
    samples: int = SAMPLES
    seed: int = SEED

    def __post_init__(self) -> None:
        if not 0 <= self.too_close <= 1:
            raise InputError(f"too_close: expected a probability, got {self.too_close}")
        if self.samples < 1:
            raise InputError(f"samples: expected at least 1, got {self.samples}")


def weigh(
    scene: CognitiveMap, expression: Expression, answer: Answer, *, solve: Solve,
    caution: Caution = Caution(),
) -> Answer:  # fmt: skip
    """Say how sure an answer is.

    Args:
        scene: The map, with or without covariance.
        expression: The query.
        answer: Its answer on the boxes as they are.
        solve: Solves a query on a map.
        caution: When an answer is too close to call.

    Returns:
        The answer with its interval or probability; as it was where the map carries no covariance,
        there is no value, or the value does not turn on where things are.
    """
    if scene.objects.covariance is None or answer.value is None or is_fixed(expression):
        return answer
    if is_measured(answer):
        answer = _with_interval(scene, expression, answer, solve)
        if is_fixed(getattr(expression, "of", ())):
            return answer
        worlds = _Worlds(answer, of=_objects)
    elif isinstance(expression, Measure):
        return answer
    else:
        worlds = _Worlds(answer, of=_members if isinstance(expression, SetExpression) else _value)
    for boxes in sampled_worlds(scene.objects, samples=caution.samples, seed=caution.seed):
        worlds.add(solve(replace(scene, objects=boxes), expression))
    return worlds.verdict(caution)


def is_fixed(node: object) -> bool:
    """Whether no box has a part in an expression's value."""
    for part in nodes_of(node):
        if isinstance(part, Extreme):
            if part.measure not in _FIXED_NAMES:
                return False
        elif isinstance(part, Attribute):
            if part.name not in _FIXED_NAMES:
                return False
        elif not isinstance(part, _FIXED):
            return False
    return True


def is_measured(answer: Answer) -> bool:
    """Whether an answer is a number that was measured, not counted."""
    number = isinstance(answer.value, int | float) and not isinstance(answer.value, bool)
    return number and answer.unit != "count"


def _value(answer: Answer) -> Value:
    return answer.value


def _members(answer: Answer) -> Value:
    """A set of objects is the same in any order."""
    return tuple(sorted(answer.value)) if isinstance(answer.value, tuple) else answer.value


def _objects(answer: Answer) -> Value:
    """Which objects a number was measured of."""
    return tuple(sorted(answer.evidence))


class _Worlds:
    """What a query gives in one possible world after another.

    Args:
        answer: On the boxes as they are.
        of: What of an answer is counted.
    """

    def __init__(self, answer: Answer, *, of: Callable[[Answer], Value]) -> None:
        self._answer = answer
        self._of = of
        self._counts: Counter[Value] = Counter()
        self._first: dict[Value, Answer] = {}

    def add(self, found: Answer) -> None:
        """Count one world."""
        key = self._of(found)
        self._counts[key] += 1
        self._first.setdefault(key, found)

    def verdict(self, caution: Caution) -> Answer:
        """The answer with its probability; the status says whether it can be told."""
        total = self._counts.total()
        answer, told = self._answer, self._of(self._answer)
        first, _ = self._counts.most_common(1)[0]
        sure = self._counts[first] >= max(caution.too_close, 0.5) * total
        if first != told and sure and self._of is not _objects:
            answer, told = self._overruled(self._first[first]), first
        chance = self._counts[told] / total
        close = chance < caution.too_close and answer.status is Status.ANSWERED
        others = [pair for pair in self._counts.most_common() if pair[0] != told][:1]
        rivals = [RunnerUp(value=self._told(key), probability=n / total) for key, n in others]
        notes = [answer.note, self._doubts(total)]
        return replace(
            answer,
            status=Status.TOO_CLOSE if close else answer.status,
            probability=chance,
            runner_up=rivals[0] if rivals else None,
            steps=(*answer.steps, self._step(total, caution)),
            note="; ".join(note for note in notes if note),
        )

    def _told(self, key: Value) -> Value:
        """A value as it is told: a set in its own order, the nearest first."""
        return key if self._of is _objects else self._first[key].value

    def _overruled(self, found: Answer) -> Answer:
        """Another value is sure enough to be told instead."""
        if found.value is None:
            return replace(found, steps=self._answer.steps)
        note = f"the boxes as they are give {shown(self._answer.value)}, against the odds"
        notes = "; ".join(part for part in (found.note, note) if part)
        return replace(found, note=notes, steps=self._answer.steps)

    def _step(self, total: int, caution: Caution) -> Step:
        counts = self._counts.most_common()
        shares = listing((f"{shown(v)} {100 * n / total:.1f} %" for v, n in counts), limit=5)
        return Step(name="worlds", detail=f"{total} sampled, seed {caution.seed}: {shares}")

    def _doubts(self, total: int) -> str:
        """Members of a set that are in some worlds only."""
        if self._of is not _members or not isinstance(self._answer.value, tuple):
            return ""
        members: Counter[str] = Counter()
        for value, count in self._counts.items():
            for name in value if isinstance(value, tuple) else ():
                members[name] += count
        doubtful = [
            f"{name} (in it with {100 * count / total:.0f} %)"
            for name, count in members.most_common()
            if _DOUBTFUL <= count / total <= 1 - _DOUBTFUL
        ]
        return f"in doubt: {listing(doubtful, limit=6)}" if doubtful else ""


def _with_interval(
    scene: CognitiveMap, expression: Expression, answer: Answer, solve: Solve
) -> Answer:
    """The first-order interval of a measured number, in the answer's unit."""
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
    least = -math.inf if name in _SIGNED else 0.0
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
    for place in range(6):
        is_side, axis = divmod(place, 3)
        # A share of the side itself: it stays positive.
        step = _STEP * (boxes.sizes[row, axis] if is_side else longest)
        pair = []
        for sign in (-1, 1):
            columns = [boxes.centers.clone(), boxes.sizes.clone()]
            columns[is_side][row, axis] += sign * step
            moved = Boxes3D(centers=columns[0], sizes=columns[1], axes=boxes.axes)
            pair.append(replace(scene, objects=moved))
        yield pair[0], pair[1], 2 * float(step)


def _quotient(pair: Sequence[Answer], step: float) -> float:
    """The slope between two answers; 0 where one of them is no number."""
    values = [answer.value for answer in pair]
    low, high = (value if isinstance(value, int | float) else math.nan for value in values)
    return 0.0 if math.isnan(low) or math.isnan(high) else (high - low) / step
