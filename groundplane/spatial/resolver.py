"""Answers a model's `Query` events: on the scene of the prompt, or on the regions it grounded."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from groundplane.core.answer import Answer, Status
from groundplane.core.detection import DetectResult, Outcome
from groundplane.core.errors import InputError
from groundplane.core.lexicon import canonical
from groundplane.core.queries import Expression, phrases_of
from groundplane.core.session import Failed, Query
from groundplane.core.workers import Call
from groundplane.spatial.chances.what_if import Flip, what_if
from groundplane.spatial.chances.worlds import Caution, weigh
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.plane import PlaneScene
from groundplane.spatial.relations import THRESHOLDS, Thresholds
from groundplane.spatial.scene import DistanceMethod, MapScene
from groundplane.spatial.solver import Solver

__all__ = ["QueryResolver"]


class QueryResolver:
    """A resolver for `Query` events.

    Args:
        distance: How distances between boxes are measured; see `MapScene`.
        caution: When an answer on a map with error bars is too close to call.
        thresholds: The numbers that relations turn on.

    Attributes:
        batch: Calls taken at a time: few, so that a slow one costs few others their deadline.
    """

    batch = 4

    def __init__(
        self,
        *,
        distance: DistanceMethod = "exact",
        caution: Caution | None = None,
        thresholds: Thresholds = THRESHOLDS,
    ) -> None:
        self._distance = distance
        self._thresholds = thresholds
        self._caution = replace(caution or Caution(), thresholds=thresholds)
        self._lock = threading.Lock()
        self._last: tuple[CognitiveMap, MapScene] | None = None

    def resolve(self, calls: Sequence[Call]) -> Sequence[object]:
        """Answer each call; a call that fails alone gives its exception."""
        answers: list[object] = []
        for call in calls:
            try:
                answers.append(self._answer(call))
            except InputError as error:
                answers.append(error)
        return answers

    def _answer(self, call: Call) -> Answer:
        if not isinstance(call.event, Query):
            raise InputError(f"the query resolver cannot answer {type(call.event).__name__}")
        scene = call.prompt.scene
        if isinstance(scene, CognitiveMap):
            return self.solve(scene, call.event.expression)
        if scene is not None:
            raise InputError(f"the scene is a {type(scene).__name__}, not a CognitiveMap")
        return _on_regions(call.event, call.inputs)

    def solve(self, scene: CognitiveMap, expression: Expression) -> Answer:
        """Answer a query on a map; with its error bars, where the map carries any."""
        answer = Solver(self._scene_of(scene)).solve(expression)
        if scene.objects.covariance is None:
            return answer
        return weigh(scene, expression, answer, solve=self.solve_once, caution=self._caution)

    def what_if(
        self, scene: CognitiveMap, expression: Expression, answer: Answer
    ) -> tuple[Flip, ...]:
        """Which changes of the evidence flip an answer; see `chances.what_if`."""
        return what_if(scene, expression, answer, solve=self.solve_once)

    def solve_once(self, scene: CognitiveMap, expression: Expression) -> Answer:
        """Answer a query on the boxes as they are, whatever their error bars."""
        return Solver(self._made(scene)).solve(expression)

    def _made(self, scene: CognitiveMap) -> MapScene:
        return MapScene(scene, distance=self._distance, thresholds=self._thresholds)

    def _scene_of(self, scene: CognitiveMap) -> MapScene:
        """The last map's scene is kept: questions come many to a map."""
        with self._lock:
            if self._last is None or self._last[0] is not scene:
                self._last = (scene, self._made(scene))
            return self._last[1]


def _on_regions(event: Query, inputs: Sequence[object]) -> Answer:
    """Solve in the image plane, once it is known that the expert could look at all."""
    if not inputs:
        raise InputError("the query rests on no scene and on no grounded regions")
    if len(inputs) > 1:
        raise InputError(f"the query rests on {len(inputs)} requests; ground its phrases in one")
    grounded = inputs[0]
    if isinstance(grounded, Failed):
        return Answer(value=None, status=Status.CANNOT_DETECT, note=grounded.message)
    if not isinstance(grounded, DetectResult):
        raise InputError(f"the query rests on a {type(grounded).__name__}, not on regions")
    asked = {canonical(phrase) for phrase in phrases_of(event.expression)}
    cannot = [
        phrase
        for phrase, outcome in zip(grounded.regions.phrases, grounded.outcomes, strict=True)
        if outcome is Outcome.CANNOT and canonical(phrase) in asked
    ]
    if cannot:
        note = grounded.note or f"this expert cannot look for {cannot[0]!r}"
        return Answer(value=None, status=Status.CANNOT_DETECT, note=note)
    answer = Solver(PlaneScene(grounded.regions)).solve(event.expression)
    note = "; ".join(part for part in (answer.note, grounded.note) if part)
    return replace(answer, note=note)
