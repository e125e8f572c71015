"""Pairs as answers: which two are closest or farthest apart, and whether one thing is another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundplane.core.answer import Answer, Status, Step
from groundplane.core.expressions import Extreme, SetExpression, Unique
from groundplane.core.pair_queries import Identity, Pair
from groundplane.spatial.found import Found, StopError
from groundplane.spatial.geometry.gap import closest_points
from groundplane.spatial.measuring import Number, in_unit, measure_words
from groundplane.spatial.ranking import ties_of
from groundplane.spatial.scale.neighbours import nearest, pairs_within
from groundplane.spatial.scene import MapScene, check_pairs
from groundplane.spatial.sets import SetSolver

__all__ = ["identity_answer", "pair_answer"]

# From so many objects on, the closest pair is looked for among neighbours.
_FEW = 256
# So much more than the least distance is looked at: hulls are rounded as distances are; metres.
_SLACK = 1e-4


@dataclass(frozen=True, slots=True)
class _Two:
    """Two rows of the scene, and how many other pairs are as good as equal."""

    first: int
    second: int
    tied: int


def pair_answer(finder: SetSolver, node: Pair) -> Answer:
    """Solve a `Pair`.

    Raises:
        StopError: If there are fewer than two to choose from.
        UnsupportedError: If there are too many to find those farthest apart among.
    """
    found = finder.find(node.source)
    if not len(found):
        raise found.missing()
    if len(found) < 2:
        raise StopError(Status.UNKNOWN_OBJECT, f"there is only one of {found.name!r}: no pair")
    two = _farthest(finder, found.index) if node.farthest else _closest(finder, found.index)
    gap = finder.scene.distance(two.first, two.second)
    number = Number(
        value=gap, unit=finder.scene.unit, evidence=(two.first, two.second), notes=found.notes
    )
    value, unit, notes = in_unit(finder, number, node.unit)
    names = tuple(finder.scene.names[row] for row in (two.first, two.second))
    finder.steps.append(Step(name="pair", detail=f"{' and '.join(names)}: {gap:.3f}"))
    others = "1 other pair is" if two.tied == 1 else f"{two.tied} other pairs are"
    tied = (f"{others} as good as equal",) if two.tied else ()
    touch = ("the boxes touch or overlap",) if gap == 0 else ()
    asked = node.tell == "distance"
    return Answer(
        value=value if asked else names,
        unit=unit if asked else None,
        status=Status.AMBIGUOUS if found.open else Status.ANSWERED,
        evidence=finder.ids([two.first, two.second]),
        measure=f"{finder.scene.method}: {value:.6g} {unit}",
        note="; ".join((*notes, *touch, *tied)),
    )


def _closest(finder: SetSolver, rows: Int[Tensor, " n"]) -> _Two:
    """Of all pairs if they are few, else of those whose hulls are near enough; exact either way."""
    scene = finder.scene
    if len(rows) <= _FEW or not isinstance(scene, MapScene):
        first, second = torch.triu_indices(len(rows), len(rows), offset=1)
        gaps = scene.gaps(rows, rows)[first, second]
    else:
        boxes = scene.map.objects[rows]
        near = nearest(boxes, k=1, metric="hulls").indices[:, 0]
        known = (near >= 0).nonzero()[:, 0]
        most = float(_gaps(scene, rows[known], rows[near[known]]).min())
        edges = pairs_within(boxes, radius=most + _SLACK, metric="hulls")
        first, second = edges.first, edges.second
        gaps = _gaps(scene, rows[first], rows[second])
    return _best(finder, (rows[first], rows[second]), gaps, farthest=False)


def _gaps(
    scene: MapScene, first: Int[Tensor, " n"], second: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """The exact distance of each to its own partner."""
    boxes = scene.map.objects
    return closest_points(boxes[first], boxes[second])[2]


def _farthest(finder: SetSolver, rows: Int[Tensor, " n"]) -> _Two:
    """Of all pairs: no bound tells beforehand which boxes lie far from all others."""
    check_pairs(len(rows), len(rows))
    gaps = finder.scene.gaps(rows, rows).triu(diagonal=1)
    first, second = torch.triu_indices(len(rows), len(rows), offset=1)
    return _best(finder, (rows[first], rows[second]), gaps[first, second], farthest=True)


def _best(
    finder: SetSolver,
    pairs: tuple[Int[Tensor, " p"], Int[Tensor, " p"]],
    gaps: Float[Tensor, " p"],
    *,
    farthest: bool,
) -> _Two:
    """The pair asked for; of several that are as close, that of the nearest middles."""
    at = int(gaps.argmax() if farthest else gaps.argmin())
    tied = torch.tensor(ties_of(gaps, at))
    if len(tied) > 1 and not farthest:
        a, b = (finder.scene.ground(rows[tied]) for rows in pairs)
        at = int(tied[torch.linalg.vector_norm(a - b, dim=1).argmin()])
    first, second = sorted((int(pairs[0][at]), int(pairs[1][at])))
    return _Two(first=first, second=second, tied=len(tied) - 1)


def identity_answer(finder: SetSolver, node: Identity) -> Answer:
    """Solve an `Identity`.

    Raises:
        StopError: If the subject is not in the scene, or there is nothing to choose from.
    """
    subject, chosen = finder.find(node.subject), finder.find(node.described)
    for found in (subject, chosen):
        if not len(found):
            raise found.missing()
    same = torch.isin(subject.index, chosen.index)
    tied = not bool(same.any()) and _equals(finder, node.described, subject, chosen)
    split = bool(same.any()) and len(subject) > 1
    names = finder.names(subject.index.tolist())
    notes = [*subject.notes, *chosen.notes]
    if split:
        held = finder.names(subject.index[same].tolist())
        notes.append(f"there are {len(subject)} of {subject.name!r} ({names}); it holds for {held}")
    is_open = split or subject.open or chosen.open
    told = finder.scene.names[int(chosen.index[0])]
    finder.steps.append(Step(name="compare", detail=f"{chosen.name}: {told}"))
    return Answer(
        value=bool(same.any()) or tied,
        status=Status.AMBIGUOUS if is_open else Status.ANSWERED,
        evidence=finder.ids([int(subject.index[0]), *chosen.index.tolist(), *chosen.anchors]),
        measure=f"{_measured(finder, node.described)}: {told}",
        note="; ".join(dict.fromkeys(notes)),
    )


def _extreme_of(node: SetExpression) -> Extreme | None:
    inner = node.source if isinstance(node, Unique) else node
    return inner if isinstance(inner, Extreme) else None


def _measured(finder: SetSolver, node: SetExpression) -> str:
    extreme = _extreme_of(node)
    if extreme is None:
        return "labels"
    if extreme.measure == "distance":
        return finder.scene.method
    return measure_words(finder, extreme.measure)


def _equals(finder: SetSolver, node: SetExpression, subject: Found, chosen: Found) -> bool:
    """Whether the subject measures as much as the chosen one, and is one of those chosen from."""
    extreme = _extreme_of(node)
    if extreme is None or extreme.measure in ("count", "first_seen") or len(subject) > 1:
        return False
    if not bool(torch.isin(subject.index, finder.find(extreme.source).index).all()):
        return False
    rows = torch.cat([chosen.index[:1], subject.index])
    if extreme.anchor is None:
        values = finder.scene.measure(extreme.measure, rows)
    else:
        values = finder.scene.gaps(rows, finder.find(extreme.anchor).index).amin(dim=1)
    return 1 in ties_of(values, 0)
