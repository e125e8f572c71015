"""What if the evidence were different: does the answer flip, and at what perturbation?

Each perturbation changes one thing that an answer rests on and asks the same query again:

- `scale`: distances come out too short or too long. With a camera of the scene's own, as depths
  along it; else all distances on the ground, about the middle of the scene. Sizes stay. The factor
  goes from 1/2 to 2.
- `turn`: the viewer looks another way, up to half a turn to the left and to the right.
- `shift`: an object stands elsewhere, up to `FARTHEST` metres off, in ten directions.
- `drop`: an object is not there.
- `swap`: two objects were taken for each other: the boxes are exchanged and the names stay. Each
  object is swapped with the nearest one of its label and with the nearest one of any other.

The first three are looked for outward step by step, and what flips between two steps is narrowed by
halving: to 1 % of scale, 1 degree, 1 centimetre. A flip that comes and goes within one step is not
seen.

An answer flips where it becomes another value or none; a measured number, where it leaves its
90 % interval, or changes by more than a tenth if it has none.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, cast

import torch

from groundplane.core.answer import Answer, Value, plain
from groundplane.core.expressions import Select, SetExpression, Viewpoint
from groundplane.core.queries import Count, Expression, nodes_of
from groundplane.spatial.chances.margins import Solve, is_measured
from groundplane.spatial.chances.worlds import is_fixed
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.scene import MapScene

__all__ = ["FARTHEST", "KINDS", "MOST_OBJECTS", "Flip", "Perturbation", "what_if"]

Kind = Literal["scale", "turn", "shift", "drop", "swap"]
Unit = Literal["factor", "degrees", "m"]
KINDS: tuple[Kind, ...] = ("scale", "turn", "shift", "drop", "swap")
FARTHEST = 2.0
# How many objects are shifted, dropped and swapped: the evidence first, the most telling first.
MOST_OBJECTS = 6
_SCALES = tuple(2 ** (step / 8) for step in range(1, 9))
_ANGLES = tuple(float(angle) for angle in range(5, 181, 5))
_SHIFTS = (0.05, 0.1, 0.2, 0.35, 0.6, 1.0, 1.5, FARTHEST)
# Ten ways to shift an object; diagonal ones are no longer than the others.
_HALF = math.sqrt(0.5)
_WAYS: dict[str, tuple[float, float, float]] = {
    "+x": (1, 0, 0), "-x": (-1, 0, 0), "+y": (0, 1, 0), "-y": (0, -1, 0),
    "+x+y": (_HALF, _HALF, 0), "-x-y": (-_HALF, -_HALF, 0),
    "+x-y": (_HALF, -_HALF, 0), "-x+y": (-_HALF, _HALF, 0),
    "up": (0, 0, 1), "down": (0, 0, -1),
}  # fmt: skip
# A number without an interval flips where it changes by more than this share.
_CHANGE = 0.1
Node = TypeVar("Node")
Query = tuple[CognitiveMap, Expression]


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """One change of the evidence.

    Attributes:
        kind: See the module.
        ids: The objects changed; empty for a change of the whole scene.
        amount: Where the answer flips, or how far was tried; None where there is no how much.
        unit: `factor`, `degrees` or `m`; None without an amount.
        text: The change in words.
    """

    kind: Kind
    ids: tuple[str, ...] = ()
    amount: float | None = None
    unit: Unit | None = None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """What a perturbation does to an answer.

    Attributes:
        perturbation: The least change that flips the answer, or the largest that was tried.
        flips: Whether it does.
        value: The answer then; None where there is none.
    """

    perturbation: Perturbation
    flips: bool
    value: Value

    def record(self) -> dict[str, Any]:
        """The flip as plain JSON values."""
        change = self.perturbation
        return {
            "kind": change.kind, "ids": list(change.ids), "amount": change.amount,
            "unit": change.unit, "text": change.text, "flips": self.flips,
            "value": plain(self.value),
        }  # fmt: skip


def what_if(
    scene: CognitiveMap, expression: Expression, answer: Answer, *, solve: Solve,
    kinds: Sequence[Kind] = KINDS,
) -> tuple[Flip, ...]:  # fmt: skip
    """Perturb what an answer rests on and ask again.

    Args:
        scene: The map that was asked.
        expression: The query.
        answer: Its answer.
        solve: Solves a query on a map.
        kinds: Which kinds of changes to try.

    Returns:
        One entry a perturbation, flipping or not; none for an answer without a value.
    """
    if answer.value is None:
        return ()
    trial = _Trial(scene, expression, answer, solve)
    tries: dict[Kind, Callable[[], list[Flip]]] = {
        "scale": lambda: [trial.scaled(_SCALES), trial.scaled([1 / at for at in _SCALES])],
        "turn": lambda: [trial.turned(_ANGLES), trial.turned([-at for at in _ANGLES])],
        "shift": lambda: [trial.shifted(item) for item in trial.objects],
        "drop": lambda: [trial.dropped(item) for item in trial.objects],
        "swap": lambda: [trial.swapped(*pair) for pair in trial.pairs()],
    }
    fits = {kind: kind == "drop" or not is_fixed(expression) for kind in KINDS}
    fits["turn"] &= trial.has_viewer()
    return tuple(flip for kind in KINDS if kind in kinds and fits[kind] for flip in tries[kind]())


class _Trial:
    """One answer, put to the test."""

    def __init__(
        self, scene: CognitiveMap, expression: Expression, answer: Answer, solve: Solve
    ) -> None:
        self._scene = scene
        self._expression = expression
        self._answer = answer
        self._solve = solve
        self.objects = tuple(dict.fromkeys([*answer.evidence, *self._named()]))[:MOST_OBJECTS]

    def _named(self) -> Iterator[str]:
        """Single objects that the question names; a `no` rests on them too."""
        for node in nodes_of(self._expression):
            if isinstance(node, Select) and node.phrase is not None:
                found = self._solve(self._scene, node).evidence
                yield from found if len(found) == 1 else ()

    def has_viewer(self) -> bool:
        """Whether the answer depends on where somebody looks, and that can be turned."""
        frame = self._answer.frame
        own = frame is not None and frame.kind in ("object", "camera")
        return own or any(isinstance(node, Viewpoint) for node in nodes_of(self._expression))

    def scaled(self, factors: Sequence[float]) -> Flip:
        """Distances too short or too long, the least change first."""
        what = "distances on the ground" if self._scene.view is None else "depths"

        def scaled_by(factor: float) -> Query:
            return _scaled(self._scene, factor), self._expression

        factor, found = self._search(factors, scaled_by, start=1.0, tolerance=0.01)
        text = f"{what} times {factor:.2f}"
        return self._flip(found, kind="scale", amount=factor, unit="factor", text=text)

    def turned(self, angles: Sequence[float]) -> Flip:
        """The viewer looks further to the left (positive angles) or to the right."""

        def turned_by(angle: float) -> Query:
            radians = math.radians(angle)
            return _turned_scene(self._scene, radians), _turned(self._expression, radians)

        angle, found = self._search(angles, turned_by, start=0.0, tolerance=1.0)
        side = "left" if angle > 0 else "right"
        text = f"the viewer turned {abs(angle):.0f} degrees to the {side}"
        return self._flip(found, kind="turn", amount=angle, unit="degrees", text=text)

    def shifted(self, item: str) -> Flip:
        """The least shift of one object, in whichever direction needs least."""
        row, start = self._scene.ids.index(item), 0.0
        for end in _SHIFTS:
            tried = [(*self._shifted(row, way, (start, end)), way) for way in _WAYS]
            flipped = [one for one in tried if one[1] is not None]
            if flipped:
                metres, found, way = min(flipped, key=lambda one: one[0])
                text = f"{item} moved by {metres:.2f} m ({way})"
                break
            start, metres, found, text = end, end, None, f"{item} moved by up to {end:g} m"
        return self._flip(found, kind="shift", ids=(item,), amount=metres, unit="m", text=text)

    def _shifted(
        self, row: int, way: str, reach: tuple[float, float]
    ) -> tuple[float, Answer | None]:
        def moved_by(metres: float) -> Query:
            return _moved(self._scene, row, _WAYS[way], metres), self._expression

        return self._search(reach[1:], moved_by, start=reach[0], tolerance=0.01)

    def dropped(self, item: str) -> Flip:
        """One object not there."""
        # Of what is not there, the scene knows nothing; asked how many there are, it knows: none.
        known = isinstance(self._expression, Count)
        found = self._solve(_without(self._scene, item, known=known), self._expression)
        return self._flip(
            found if self._differs(found) else None, kind="drop", ids=(item,),
            text=f"{item} not there",
        )  # fmt: skip

    def swapped(self, first: str, second: str) -> Flip:
        """Two objects taken for each other."""
        found = self._solve(_exchanged(self._scene, first, second), self._expression)
        return self._flip(
            found if self._differs(found) else None, kind="swap", ids=(first, second),
            text=f"{first} and {second} exchanged",
        )  # fmt: skip

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Each object with the nearest of its label and the nearest of another; no pair twice."""
        seen: set[frozenset[str]] = set()
        ids, labels, centers = self._scene.ids, self._scene.labels, self._scene.objects.centers
        for item in self.objects:
            row = ids.index(item)
            near = (centers - centers[row]).norm(dim=1).argsort(stable=True).tolist()
            others = [other for other in near if other != row]
            for alike in (True, False):
                fits = (o for o in others if (labels[o] == labels[row]) is alike)
                other = next(fits, None)
                if other is not None and (pair := frozenset((item, ids[other]))) not in seen:
                    seen.add(pair)
                    yield item, ids[other]

    def _search(
        self, steps: Sequence[float], make: Callable[[float], Query], *,
        start: float, tolerance: float,
    ) -> tuple[float, Answer | None]:  # fmt: skip
        """The first step that flips, narrowed; the last step and None where none does."""
        for end in steps:
            found = self._solve(*make(end))
            if not self._differs(found):
                start = end
                continue
            flipped = end
            while abs(flipped - start) > tolerance:
                middle = (start + flipped) / 2
                tried = self._solve(*make(middle))
                if self._differs(tried):
                    flipped, found = middle, tried
                else:
                    start = middle
            return flipped, found
        return steps[-1], None

    def _differs(self, found: Answer) -> bool:
        """Whether an answer is another one than the one under test."""
        told, value = self._answer, found.value
        if not is_measured(told):
            if isinstance(told.value, tuple) and isinstance(value, tuple):
                same = isinstance(self._expression, SetExpression)
                return set(told.value) != set(value) if same else told.value != value
            return told.value != value
        assert isinstance(told.value, int | float)
        if not isinstance(value, int | float):
            return True
        change = _CHANGE * abs(told.value)
        low, high = told.interval or (told.value - change, told.value + change)
        return not low <= value <= high

    def _flip(
        self, found: Answer | None, *, kind: Kind, text: str, ids: tuple[str, ...] = (),
        amount: float | None = None, unit: Unit | None = None,
    ) -> Flip:  # fmt: skip
        perturbation = Perturbation(kind=kind, ids=ids, amount=amount, unit=unit, text=text)
        value = self._answer.value if found is None else found.value
        return Flip(perturbation=perturbation, flips=found is not None, value=value)


def _scaled(scene: CognitiveMap, factor: float) -> CognitiveMap:
    """Centres nearer to or further from the middle: along the camera's view, or on the ground."""
    centers = scene.objects.centers
    middle = torch.cat([MapScene(scene).middle(), centers.new_zeros(1)])
    offset = centers - middle
    if scene.view is None:
        stretch = (factor - 1) * offset * centers.new_tensor([1.0, 1.0, 0.0])
    else:
        stretch = (factor - 1) * (offset @ scene.view)[:, None] * scene.view
    return replace(scene, objects=replace(scene.objects, centers=centers + stretch))


def _moved(
    scene: CognitiveMap, row: int, way: tuple[float, float, float], metres: float
) -> CognitiveMap:
    centers = scene.objects.centers.clone()
    centers[row] += metres * centers.new_tensor(way)
    return replace(scene, objects=replace(scene.objects, centers=centers))


def _without(scene: CognitiveMap, item: str, *, known: bool) -> CognitiveMap:
    """The map without one object; a stated count that agreed with the boxes still does.

    If `known`, the map still knows a label of which there is none left.
    """
    row = scene.ids.index(item)
    keep = torch.arange(len(scene)) != row
    label, boxed = scene.labels[row], scene.labels.count(scene.labels[row])
    counts = dict(scene.counts)
    if counts[label] == boxed:
        counts[label] = boxed - 1
    return replace(
        scene,
        ids=_but(scene.ids, row),
        objects=scene.objects[keep],
        labels=_but(scene.labels, row),
        scores=scene.scores[keep],
        attributes=_but(scene.attributes, row),
        fronts=scene.fronts[keep],
        counts={name: count for name, count in counts.items() if count or known or name != label},
        first_seen=scene.first_seen[keep],
        provenance={key: value for key, value in scene.provenance.items() if key != item},
    )


def _but(column: tuple[Node, ...], row: int) -> tuple[Node, ...]:
    return (*column[:row], *column[row + 1 :])


def _exchanged(scene: CognitiveMap, first: str, second: str) -> CognitiveMap:
    """Each of two objects in the other's place, with the other's box."""
    order = torch.arange(len(scene))
    rows = torch.tensor([scene.ids.index(first), scene.ids.index(second)])
    order[rows] = rows.flip(0)
    return replace(scene, objects=scene.objects[order], fronts=scene.fronts[order])


def _turned(node: Node, angle: float) -> Node:
    """An expression whose viewpoints look further to the left, radians."""
    if isinstance(node, tuple):
        return cast(Node, tuple(_turned(part, angle) for part in node))
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        return node
    parts = {
        field.name: _turned(getattr(node, field.name), angle) for field in dataclasses.fields(node)
    }
    if isinstance(node, Viewpoint):
        parts["turn"] = node.turn + angle
    return cast(Node, replace(node, **parts))


def _turned_scene(scene: CognitiveMap, angle: float) -> CognitiveMap:
    """The map with its camera and the fronts of its objects turned to the left, radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    turn = scene.fronts.new_tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    view = None if scene.view is None else turn @ scene.view
    return replace(scene, fronts=scene.fronts @ turn.T, view=view)
