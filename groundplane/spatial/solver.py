"""The solver: a query on a scene gives an answer with its evidence.

References are found first (`groundplane.spatial.sets`), the frame of reference second
(`groundplane.spatial.viewing`), values last. Where a singular phrase fits several objects and the
result depends on which is meant, the answer is `ambiguous` and lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch

from groundplane.core.answer import Answer, FrameOfReference, Status, Step, Value
from groundplane.core.expressions import Extreme, Select, SetExpression, Unique
from groundplane.core.lexicon import match_phrase, normalise
from groundplane.core.pair_queries import Identity, Pair, Sight
from groundplane.core.queries import (
    Attribute,
    Compare,
    Count,
    Difference,
    Direction,
    Exists,
    Expression,
    Measure,
    Order,
    Route,
    Way,
    describe,
)
from groundplane.spatial.comparing import compare_answer, order_answer
from groundplane.spatial.contrasts import difference_answer
from groundplane.spatial.facing import direction_answer
from groundplane.spatial.found import Found, StopError
from groundplane.spatial.measuring import measure_words, measured_answer
from groundplane.spatial.nouns import noun, relation_words
from groundplane.spatial.pairs import identity_answer, pair_answer
from groundplane.spatial.places import attribute_answer
from groundplane.spatial.routes.walking import route_answer
from groundplane.spatial.routes.ways import way_answer
from groundplane.spatial.scene import Scene, UnsupportedError
from groundplane.spatial.sets import SetSolver
from groundplane.spatial.sights import sight_answer
from groundplane.spatial.viewing import IMAGE_FRAME, WORLD_FRAME

__all__ = ["Solver", "answer_with"]

# What is no set, no count and no existence.
_SOLVERS: Mapping[type, Callable[[SetSolver, Any], Answer]] = MappingProxyType(
    {
        Measure: measured_answer, Difference: difference_answer, Compare: compare_answer,
        Attribute: attribute_answer, Direction: direction_answer, Order: order_answer,
        Route: route_answer, Way: way_answer, Identity: identity_answer, Pair: pair_answer,
        Sight: sight_answer,
    }
)  # fmt: skip


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
        try:
            answer = answer_with(finder, expression)
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


def answer_with(finder: SetSolver, expression: Expression) -> Answer:
    """Solve a query with sets that were found before: one step of a longer computation.

    Raises:
        StopError: If the scene cannot tell; `Solver.solve` makes a status of it.
        UnsupportedError: Likewise.
    """
    return _Run(finder.scene, finder).answer(expression)


class _Run:
    """One query on one scene."""

    def __init__(self, scene: Scene, finder: SetSolver) -> None:
        self.scene = scene
        self.finder = finder

    def answer(self, node: Expression) -> Answer:
        """Dispatch on the root of the tree."""
        if isinstance(node, Count):
            return self._count(node)
        if isinstance(node, Exists):
            return self._exists(node)
        solve = _SOLVERS.get(type(node))
        return self._objects(node) if solve is None else solve(self.finder, node)  # type: ignore[arg-type]

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
            evidence=self.finder.evidence(found),
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
            evidence=self.finder.evidence(found),
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
            evidence=self.finder.evidence(found),
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
            return measure_words(self.finder, measure)
        relation = getattr(inner, "relation", None)
        return f"relation {relation_words(relation, limit=inner.limit)!r}" if relation else "labels"  # type: ignore[union-attr]
