"""The solver: a query on a scene gives an answer with its evidence.

References are found first (`groundplane.spatial.sets`), the frame of reference second
(`groundplane.spatial.viewing`), values last. Where a singular phrase fits several objects and the
result depends on which is meant, the answer is `ambiguous` and lists them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

import torch

from groundplane.core.answer import Answer, FrameOfReference, Status, Step, Value
from groundplane.core.errors import InputError
from groundplane.core.expressions import Extreme, Or, Select, SetExpression, Unique
from groundplane.core.lexicon import match_phrase, normalise
from groundplane.core.queries import (
    Attribute,
    Compare,
    Count,
    Direction,
    Exists,
    Expression,
    Measure,
    Order,
    Route,
    describe,
)
from groundplane.spatial.facing import direction_answer
from groundplane.spatial.found import Found, StopError
from groundplane.spatial.nouns import noun, relation_words
from groundplane.spatial.places import attribute_answer
from groundplane.spatial.ranking import holds_between
from groundplane.spatial.scene import Scene, UnsupportedError
from groundplane.spatial.sets import NEEDS_VIDEO, SetSolver
from groundplane.spatial.units import convert, format_number, power_of, unit_of
from groundplane.spatial.viewing import IMAGE_FRAME, WORLD_FRAME
from groundplane.spatial.walking import route_answer

__all__ = ["Solver"]

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
class _Number:
    """A measured value before it becomes an answer."""

    value: float
    unit: str
    evidence: tuple[int, ...]
    notes: tuple[str, ...] = ()
    open: bool = False


class Solver:
    """Answers queries on one scene.

    Args:
        scene: `MapScene` of a cognitive map, or `PlaneScene` of a photo's regions.

    Examples:
        >>> from groundplane.core.expressions import Select
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> from groundplane.spatial.scene import MapScene
        >>> scene = SceneBuilder().add("chair", at=(0, 0, 0.5), size=(0.5, 0.5, 1)).build()
        >>> Solver(MapScene(scene)).solve(Count(Select("chairs"))).value
        1
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def solve(self, expression: Expression) -> Answer:
        """Solve a query; what the scene cannot tell is a status, not an exception."""
        finder = SetSolver(scene=self.scene)
        finder.steps.append(Step(name="query", detail=describe(expression)))
        run = _Run(self.scene, finder)
        try:
            answer = run.answer(expression)
        except UnsupportedError as error:
            answer = Answer(value=None, status=Status.CANNOT_DETECT, note=str(error))
        except StopError as stop:
            answer = Answer(value=None, status=stop.status, note=stop.note)
        frame = answer.frame or (IMAGE_FRAME if self.scene.kind == "image" else WORLD_FRAME)
        if answer.frame is None and finder.views:
            frame = finder.views[-1].frame
        evidence = answer.evidence
        if answer.value is not None:
            evidence = tuple(dict.fromkeys([*evidence, *(self.scene.ids[i] for i in finder.basis)]))
        step = Step(name="answer", detail=f"{answer.status}: {answer.value!r} {answer.unit or ''}")
        return replace(answer, evidence=evidence, frame=frame, steps=(*finder.steps, step))


class _Run:
    """One query on one scene."""

    def __init__(self, scene: Scene, finder: SetSolver) -> None:
        self.scene = scene
        self.finder = finder

    def answer(self, node: Expression) -> Answer:
        """Dispatch on the root of the tree."""
        match node:
            case Count():
                return self._count(node)
            case Exists():
                return self._exists(node)
            case Measure():
                return self._measured(node)
            case Compare():
                return self._compare(node)
            case Attribute():
                return attribute_answer(self.finder, node)
            case Direction():
                return direction_answer(self.finder, node)
            case Order():
                return self._order(node)
            case Route():
                return route_answer(self.finder, node)
            case _:
                return self._objects(node)

    def _ids(self, rows: Sequence[int]) -> tuple[str, ...]:
        return tuple(self.scene.ids[i] for i in dict.fromkeys(rows))

    def _evidence(self, found: Found) -> tuple[str, ...]:
        view = found.view.evidence if found.view is not None else ()
        return self._ids([*found.index.tolist(), *found.anchors, *view])

    @staticmethod
    def _frame(found: Found) -> FrameOfReference | None:
        return found.view.frame if found.view is not None else None

    # -- counting -------------------------------------------------------------------------

    def _count(self, node: Count) -> Answer:
        found = self.finder.find(node.source)
        notes, value = found.notes, len(found)
        if found.stated is not None and found.stated != value:
            notes = (*notes, f"the scene states {found.stated} and holds boxes for {value}")
            value = found.stated
        return Answer(
            value=value,
            unit="count",
            status=Status.AMBIGUOUS if found.open else Status.ANSWERED,
            evidence=self._evidence(found),
            frame=self._frame(found),
            measure=f"number of {noun(node.source)}",
            note="; ".join(notes),
        )

    def _exists(self, node: Exists) -> Answer:
        try:
            found = self.finder.find(node.source)
        except StopError as stop:
            if stop.status is not Status.UNKNOWN_OBJECT or stop.misspelt:
                raise
            if self.scene.kind == "image" or not self._unheard(node.source):
                raise
            return Answer(value=False, measure=f"whether {noun(node.source)} exist", note=stop.note)
        exists = len(found) > 0 or bool(found.stated)
        return Answer(
            value=exists,
            status=Status.AMBIGUOUS if found.open else Status.ANSWERED,
            evidence=self._evidence(found),
            frame=self._frame(found),
            measure=f"presence of {noun(node.source)}",
            note="; ".join(found.notes),
        )

    def _unheard(self, node: SetExpression) -> bool:
        """Whether the scene has nothing of that name, whatever its colour may be."""
        phrase = node.source if isinstance(node, Unique) else node
        if not isinstance(phrase, Select) or phrase.phrase is None:
            return False
        return match_phrase(phrase.phrase, self.scene.vocabulary()) is None

    # -- sets as answers ------------------------------------------------------------------

    def _objects(self, node: SetExpression) -> Answer:
        found = self.finder.find(node)
        chosen = isinstance(node.source if isinstance(node, Unique) else node, Extreme)
        notes, several = found.notes, False
        value: Value
        if chosen and found.options:
            value = normalise(found.options[0][0])
        elif found.definite and len(found) == 1:
            value = self.scene.names[int(found.index[0])]
        else:
            found = self._by_distance(found)
            value = tuple(self.scene.names[i] for i in found.index.tolist())
            several = found.definite and len(found) > 1
        if several:
            notes = (*notes, f"there are {len(found)} of {found.name!r}, and one was asked for")
        return Answer(
            value=value,
            status=Status.AMBIGUOUS if found.open or several else Status.ANSWERED,
            evidence=self._evidence(found),
            frame=self._frame(found),
            measure=self._set_measure(node),
            note="; ".join(notes),
        )

    def _by_distance(self, found: Found) -> Found:
        """The nearest to the anchors first."""
        anchors = torch.tensor(sorted(set(found.anchors)), dtype=torch.long)
        if not len(found) or not len(anchors):
            return found
        order = self.scene.center_distances(found.index, anchors).amin(dim=1).argsort(stable=True)
        return replace(found, index=found.index[order])

    def _set_measure(self, node: SetExpression) -> str:
        inner = node.source if isinstance(node, Unique) else node
        measure = getattr(inner, "measure", None)
        if measure == "distance":
            return self.scene.method
        if measure is not None:
            return self._measure_words(measure)
        relation = getattr(inner, "relation", None)
        return f"relation {relation_words(relation, limit=inner.limit)!r}" if relation else "labels"  # type: ignore[union-attr]

    # -- measuring ------------------------------------------------------------------------

    def _measure_words(self, name: str) -> str:
        words = _MEASURES if self.scene.kind == "map" else _PLANE_MEASURES
        return words.get(name, name.replace("_", " "))

    def _measured(self, node: Measure) -> Answer:
        if node.name in ("distance", "center_distance"):
            number, measure = self._distance(node), self._distance_words(node)
        elif node.name == "room_area":
            number, measure = self._room(), self._measure_words(node.name)
        else:
            found = self._alike(node.name, self._boxed(node.of[0]))
            if len(found) != 1:
                return self._several(node, found)
            number, measure = self._one(node.name, found), self._measure_words(node.name)
        value, unit, notes = self._in_unit(number, node.unit)
        if node.name == "size":
            measure += self._all_sides(found, unit)
        return Answer(
            value=value,
            unit=unit,
            status=Status.AMBIGUOUS if number.open else Status.ANSWERED,
            evidence=self._ids(number.evidence),
            measure=measure,
            note="; ".join(notes),
        )

    def _all_sides(self, found: Found, unit: str) -> str:
        """Who asks how big a thing is wants the other sides too."""
        sides = [
            convert(side, self.scene.unit, unit) for side in self.scene.sides(int(found.index[0]))
        ]
        return f"; its sides: {' x '.join(format_number(side, unit) for side in sides)}"

    def _in_unit(self, number: _Number, wanted: str | None) -> tuple[float, str, tuple[str, ...]]:
        if wanted is None:
            return number.value, number.unit, number.notes
        try:
            return convert(number.value, number.unit, wanted), wanted, number.notes
        except InputError as error:
            told = format_number(number.value, number.unit)
            why = {
                "px": "a photo alone is measured in pixels",
                "map_unit": "a scene without scale is measured in its own units",
            }.get(self.scene.unit, f"{number.unit} and {wanted} measure different things")
            raise StopError(
                Status.CANNOT_DETECT, f"it cannot be given in {wanted}: {why}; it is {told}"
            ) from error

    def _distance_words(self, node: Measure) -> str:
        return self.scene.method if node.name == "distance" else "between the centres"

    def _distance(self, node: Measure) -> _Number:
        a, b = (self.finder.find(part) for part in node.of)
        if node.of[0] == node.of[1]:
            return self._mutual(node, a)
        for found in (a, b):
            if not len(found):
                raise found.missing()
        table = self.scene.gaps if node.name == "distance" else self.scene.center_distances
        values = table(a.index, b.index)
        same = a.index[:, None] == b.index[None]
        values = torch.where(same, torch.inf, values)
        if bool(same.all()):
            raise StopError(
                Status.AMBIGUOUS, f"{a.name} and {b.name} are the same object; name two"
            )
        at = int(values.argmin())
        i, j = int(a.index[at // len(b)]), int(b.index[at % len(b)])
        notes = [*a.notes, *b.notes]
        for found, taken in ((a, i), (b, j)):
            if len(found) > 1:
                notes.append(
                    f"there are {len(found)} of {found.name!r}; took the closest pair, "
                    f"{self.scene.names[taken]}"
                )
        value = self._pair_distance(node.name, i, j)
        if value == 0:
            exact = node.name == "distance"
            notes.append("the boxes touch or overlap" if exact else "the centres coincide")
        return _Number(
            value=value, unit=self.scene.unit, notes=tuple(notes), open=a.open or b.open,
            evidence=(i, j, *a.anchors, *b.anchors),
        )  # fmt: skip

    def _pair_distance(self, name: str, i: int, j: int) -> float:
        if name == "distance":
            return self.scene.distance(i, j)
        return float(self.scene.center_distances(torch.tensor([i]), torch.tensor([j]))[0, 0])

    def _mutual(self, node: Measure, found: Found) -> _Number:
        """`how far apart are the chairs`: between exactly two."""
        if len(found) != 2:
            names = self.finder.names(found.index.tolist())
            raise StopError(
                Status.AMBIGUOUS,
                f"a distance is between two things, and there are {len(found)} of "
                f"{found.name!r} ({names}); say which two",
            )
        value = self._pair_distance(node.name, *found.index.tolist())
        return _Number(
            value=value, unit=self.scene.unit, evidence=tuple(found.index.tolist()),
            notes=found.notes,
        )  # fmt: skip

    def _room(self) -> _Number:
        area = self.scene.room_area()
        if area is None:
            raise StopError(
                Status.CANNOT_DETECT,
                "this source states neither the room's outline nor its area",
            )
        return _Number(value=area, unit=unit_of(self.scene.unit, 2), evidence=())

    def _one(self, name: str, found: Found) -> _Number:
        if self.scene.kind == "image" and name in ("elevation", "top"):
            raise UnsupportedError(
                f"{name!r} is above the floor, and a single photo shows no floor"
            )
        value = float(self.scene.measure(name, found.index)[0])
        return _Number(
            value=value,
            unit=unit_of(self.scene.unit, power_of(name) if self.scene.kind == "map" else
                         2 if name in ("volume", "floor_area") else 1),
            evidence=(*found.index.tolist(), *found.anchors),
            notes=found.notes,
            open=found.open,
        )  # fmt: skip

    def _alike(self, name: str, found: Found) -> Found:
        """One of several that measure the same: which of them was meant does not matter."""
        if not found.definite or len(found) < 2:
            return found
        values = self.scene.measure(name, found.index)
        if float(values.max() - values.min()) > 1e-6 * float(values.abs().max()):
            return found
        note = f"there are {len(found)} of {found.name!r}, all the same"
        return replace(found, index=found.index[:1], notes=(*found.notes, note))

    def _boxed(self, node: SetExpression) -> Found:
        """Objects that have a box to measure."""
        found = self.finder.find(node)
        if not len(found):
            raise found.missing()
        return found

    def _several(self, node: Measure, found: Found) -> Answer:
        """A measure of several objects: of each, or asked back where one was meant."""
        each = []
        # A question back needs examples, not all.
        for row in found.index[: 8 if found.definite else None]:
            one = Found(index=row[None], name=found.name)
            value, unit, _ = self._in_unit(self._one(node.name, one), node.unit)
            each.append(f"{self.scene.names[int(row)]}: {value:.2f} {unit}")
        evidence = self._evidence(found)
        if found.definite:
            return Answer(
                value=None,
                status=Status.AMBIGUOUS,
                evidence=evidence,
                measure=self._measure_words(node.name),
                note=f"there are {len(found)} of {found.name!r}: {', '.join(each)}; say which, "
                f"for example {self.scene.names[int(found.index[0])]!r}",
            )
        return Answer(
            value=tuple(each), evidence=evidence, measure=self._measure_words(node.name),
            status=Status.AMBIGUOUS if found.open else Status.ANSWERED,
            note="; ".join(found.notes),
        )  # fmt: skip

    # -- comparing and ordering -----------------------------------------------------------

    def _numbers(self, node: Count | Measure | int) -> list[_Number]:
        """The value of one side; several where a singular fits several objects."""
        if isinstance(node, int):
            return [_Number(value=node, unit="count", evidence=())]
        if isinstance(node, Count):
            found = self.finder.find(node.source)
            value = found.stated if found.stated is not None else len(found)
            return [
                _Number(value=value, unit="count", evidence=tuple(found.index.tolist()),
                        open=found.open, notes=found.notes)
            ]  # fmt: skip
        if node.name in ("distance", "center_distance"):
            return [self._distance(node)]
        if node.name == "room_area":
            return [self._room()]
        found = self._boxed(node.of[0])
        if not found.definite and len(found) > 1:
            names = self.finder.names(found.index.tolist())
            raise StopError(
                Status.AMBIGUOUS, f"there are {len(found)} of {found.name!r} ({names}); say which"
            )
        if len(found) > 1:
            names = self.finder.names(found.index.tolist())
            found = replace(
                found, notes=(*found.notes, f"there are {len(found)} of {found.name!r} ({names})")
            )
        return [self._one(node.name, replace(found, index=row[None])) for row in found.index]

    def _compare(self, node: Compare) -> Answer:
        pairs = list(product(self._numbers(node.left), self._numbers(node.right)))
        left, right = pairs[0]
        if left.unit != right.unit:
            raise StopError(
                Status.NOT_UNDERSTOOD, f"{left.unit} and {right.unit} cannot be compared"
            )
        verdicts = {holds_between(node.operator, a.value, b.value) for a, b in pairs}
        is_split = len(verdicts) > 1
        notes = tuple(dict.fromkeys((*left.notes, *right.notes)))
        if len(pairs) > 1:
            notes = (*notes, "it depends on which; name one" if is_split else "the same for each")
        detail = f"{left.value:.4g} {left.unit} against {right.value:.4g} {right.unit}"
        self.finder.steps.append(Step(name="compare", detail=detail))
        name = node.left.name if isinstance(node.left, Measure) else "count"
        words = self.scene.method if name == "distance" else self._measure_words(name)
        return Answer(
            value=None if is_split else verdicts.pop(),
            status=Status.AMBIGUOUS if left.open or right.open or is_split else Status.ANSWERED,
            evidence=self._ids([row for pair in pairs for side in pair for row in side.evidence]),
            measure=f"{words}: {detail}",
            note="; ".join(notes),
        )

    def _order(self, node: Order) -> Answer:
        every = torch.arange(len(self.scene.ids))
        if not len(every) or bool(self.scene.first_seen(every).isnan().all()):
            raise StopError(Status.NEEDS_VIDEO, NEEDS_VIDEO)
        found = self.finder.find(Or(node.sources))
        times: list[tuple[float, str, int]] = []
        for name, index in found.options:
            seen = self.scene.first_seen(index)
            if not len(index) or bool(seen.isnan().any()):
                raise StopError(Status.NEEDS_VIDEO, NEEDS_VIDEO)
            times.append((float(seen.min()), normalise(name), int(index[seen.argmin()])))
        times.sort(key=lambda item: item[0])
        tied = [(a[1], b[1]) for a, b in pairwise(times) if a[0] == b[0]]
        together = tuple(f"{a} and {b} are first seen at the same time" for a, b in tied)
        return Answer(
            value=tuple(name for _, name, _ in times),
            status=Status.AMBIGUOUS if found.open or tied else Status.ANSWERED,
            evidence=self._ids([row for _, _, row in times]),
            measure="time of the first sight: "
            + ", ".join(f"{name} {seconds:.1f} s" for seconds, name, _ in times),
            note="; ".join((*found.notes, *together)),
        )
