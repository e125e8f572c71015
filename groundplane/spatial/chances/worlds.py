"""Queries on a map that is known up to noise.

The query is solved on the boxes as they are: that is the answer told. How sure it is comes after.

A measured number gets an interval, to first order (`groundplane.spatial.chances.margins`). Any
other value gets a probability: the whole query is solved again in `samples` sampled worlds,
viewpoints and all, and the share that gives the same value is counted. The same worlds serve every
question on a map, so two answers differ by what was asked and not by luck. Whether one thing is
near, touches or lies within so far of another, or stands parallel to it or in line with it, has a
closed form and needs no worlds. A measured number whose objects were chosen by where they are (the
chair nearest to the sofa) gets both: the probability is that the same objects are chosen.

The value told stays that of the boxes as they are, unless another one is so probable that it could
be told by itself; then that one is told. Below the threshold nothing can be: the answer is
`too_close` and names the runner-up.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
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
    Relate,
    Select,
    SetExpression,
    Unique,
)
from groundplane.core.pair_queries import Sight
from groundplane.core.queries import (
    Attribute,
    Compare,
    Count,
    Exists,
    Expression,
    Measure,
    Order,
    Way,
    nodes_of,
)
from groundplane.spatial.chances.hedging import shown
from groundplane.spatial.chances.margins import (
    Solve,
    is_measured,
    with_each_interval,
    with_interval,
)
from groundplane.spatial.chances.relation_chances import (
    SAMPLES,
    SEED,
    relation_probability,
    sampled_worlds,
)
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.relations import THRESHOLDS, Thresholds

__all__ = ["TOO_CLOSE", "Caution", "is_fixed", "weigh"]

TOO_CLOSE = 0.8
_GAPS = ("touches", "near", "far", "within", "beyond")
# Of these the other things of the scene teach how often they hold.
_LINES = ("parallel", "perpendicular", "aligned_with")
_TEACHERS = 500
# These nodes go by names, counts and times, none of which moves with a box.
_FIXED = (Select, Unique, Filter, And, Or, Except, Count, Exists, Compare, Order)
_FIXED_NAMES = frozenset({"count", "first_seen", "label", "color", "material", "shape"})
_TURN = re.compile(r"turn (?:left|right|back)")
# A member of a set is in doubt where it is in so many of the worlds and not in as many.
_DOUBTFUL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """When to call an answer too close to call.

    Attributes:
        too_close: The least probability of an answer that is told.
        samples: How many worlds are sampled; of a way on foot a fifth, since each takes long.
        seed: Of the sampled worlds.
        thresholds: The numbers that relations turn on.

    Raises:
        InputError: If a number is out of range.
    """

    too_close: float = TOO_CLOSE
    samples: int = SAMPLES
    seed: int = SEED
    thresholds: Thresholds = THRESHOLDS

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
    if isinstance(expression, Way | Sight) and expression.tell in ("width", "share"):
        return _with_quantiles(scene, expression, answer, solve=solve, caution=caution)
    if is_measured(answer):
        answer = with_interval(scene, expression, answer, solve)
        if is_fixed(getattr(expression, "of", ())):
            return answer
        worlds = _Worlds(answer, of=_objects)
    elif isinstance(expression, Measure):
        return with_each_interval(scene, expression, answer, solve)
    elif (chance := _pair_chance(scene, expression, solve, caution.thresholds)) is not None:
        return _told_with(answer, chance, caution)
    else:
        worlds = _Worlds(answer, of=_counted(expression))
    samples = max(caution.samples // 5, 1) if isinstance(expression, Way) else caution.samples
    for boxes in sampled_worlds(scene.objects, samples=samples, seed=caution.seed):
        worlds.add(solve(replace(scene, objects=boxes), expression))
    return worlds.verdict(caution)


def _with_quantiles(
    scene: CognitiveMap, expression: Way | Sight, answer: Answer, *, solve: Solve, caution: Caution
) -> Answer:
    """The middle 90 % of a number over sampled worlds: found in steps, it has no slope."""
    samples = max(caution.samples // 5, 1) if isinstance(expression, Way) else caution.samples
    found = [
        solve(replace(scene, objects=boxes), expression).value
        for boxes in sampled_worlds(scene.objects, samples=samples, seed=caution.seed)
    ]
    widths = torch.tensor(
        [float(value) for value in found if isinstance(value, int | float)], dtype=torch.float64
    )
    if not len(widths):
        return answer
    low, high = widths.quantile(torch.tensor([0.05, 0.95], dtype=torch.float64)).tolist()
    detail = f"{low:.4g} to {high:.4g} {answer.unit}, {samples} worlds sampled"
    step = Step(name="interval", detail=f"{detail}, seed {caution.seed}")
    return replace(answer, interval=(low, high), steps=(*answer.steps, step))


def _counted(expression: Expression) -> Callable[[Answer], Value]:
    """What of an answer is counted over the worlds."""
    if isinstance(expression, Way):
        return _turns
    return _members if isinstance(expression, SetExpression) else _value


def _pair_chance(
    scene: CognitiveMap, expression: Expression, solve: Solve, thresholds: Thresholds
) -> float | None:
    """The chance that one named object stands in a relation of closed form to another."""
    node = expression.source if isinstance(expression, Exists) else None
    if not isinstance(node, Relate) or node.relation not in (*_GAPS, *_LINES):
        return None
    rows = [_named_row(scene, end, solve) for end in (node.source, node.anchor)]
    if None in rows or rows[0] == rows[1]:
        return None
    if node.relation in _LINES and len(scene) <= _TEACHERS:
        every = scene.objects
        table = relation_probability(node.relation, every, every, thresholds=thresholds)
        return float(table[rows[0], rows[1]])
    subject, anchor = (scene.objects[torch.tensor([row])] for row in rows)
    name = "within" if node.relation == "beyond" else node.relation
    chance = float(
        relation_probability(name, subject, anchor, limit=node.limit, thresholds=thresholds)
    )
    return 1 - chance if node.relation == "beyond" else chance


def _named_row(scene: CognitiveMap, node: SetExpression | None, solve: Solve) -> int | None:
    """The one object that a name stands for; None where it is several, or no plain name."""
    name = node.source if isinstance(node, Unique) else node
    found = solve(scene, name).evidence if isinstance(name, Select) else ()
    return scene.ids.index(found[0]) if len(found) == 1 else None


def _told_with(answer: Answer, chance: float, caution: Caution) -> Answer:
    """A yes or no with the chance of a yes."""
    worlds = _Worlds(answer, of=_value)
    for value, share in ((True, chance), (False, 1 - chance)):
        worlds.add(replace(answer, value=value), weight=share)
    return worlds.verdict(caution, how="closed form")


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


def _value(answer: Answer) -> Value:
    return answer.value


def _members(answer: Answer) -> Value:
    """A set of objects is the same in any order."""
    return tuple(sorted(answer.value)) if isinstance(answer.value, tuple) else answer.value


def _turns(answer: Answer) -> Value:
    """Steps of a way are the same where they turn the same, whatever is passed and how far."""
    value = answer.value
    return tuple(_TURN.findall(" ".join(value))) if isinstance(value, tuple) else value


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
        self._counts: dict[Value, float] = defaultdict(float)
        self._first: dict[Value, Answer] = {}

    def add(self, found: Answer, *, weight: float = 1.0) -> None:
        """Count one world."""
        key = self._of(found)
        self._counts[key] += weight
        self._first.setdefault(key, found)

    def verdict(self, caution: Caution, *, how: str = "") -> Answer:
        """The answer with its probability; the status says whether it can be told."""
        total = sum(self._counts.values())
        answer, told = self._answer, self._of(self._answer)
        first = self._ranked()[0]
        sure = self._counts[first] >= max(caution.too_close, 0.5) * total
        if first != told and sure and self._of is not _objects:
            answer, told = self._overruled(self._first[first]), first
        chance = self._counts[told] / total
        close = chance < caution.too_close and answer.status is Status.ANSWERED
        rivals = [
            RunnerUp(value=self._told(key), probability=self._counts[key] / total)
            for key in self._ranked()
            if key != told and self._counts[key]
        ]
        how = how or f"{total:g} worlds sampled, seed {caution.seed}"
        notes = [answer.note, self._doubts(total)]
        return replace(
            answer,
            status=Status.TOO_CLOSE if close else answer.status,
            probability=chance,
            runner_up=rivals[0] if rivals else None,
            steps=(*answer.steps, self._step(total, how)),
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

    def _ranked(self) -> list[Value]:
        """The values, the most probable first."""
        return sorted(self._counts, key=self._counts.__getitem__, reverse=True)

    def _step(self, total: float, how: str) -> Step:
        shares = listing(
            (f"{shown(v)} {100 * self._counts[v] / total:.1f} %" for v in self._ranked()), limit=5
        )
        return Step(name="chances", detail=f"{how}: {shares}")

    def _doubts(self, total: float) -> str:
        """Members of a set that are in some worlds only."""
        if self._of is not _members or not isinstance(self._answer.value, tuple):
            return ""
        members: dict[str, float] = defaultdict(float)
        for value, count in self._counts.items():
            for name in value if isinstance(value, tuple) else ():
                members[name] += count
        doubtful = [
            f"{name} (in it with {100 * count / total:.0f} %)"
            for name, count in sorted(members.items(), key=lambda pair: -pair[1])
            if _DOUBTFUL <= count / total <= 1 - _DOUBTFUL
        ]
        return f"in doubt: {listing(doubtful, limit=6)}" if doubtful else ""
