"""Two maps of one place made into one: what both hold is fused, and counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

import numpy as np
import shapely
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.errors import InputError
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.map_change import take
from groundplane.spatial.maps.matching import (
    center_distances,
    common_labels,
    nearest_first,
    reordered,
)

__all__ = ["Merged", "merge"]

# Boxes whose axes differ by more than 20 degrees have sizes that cannot be averaged.
_ALIKE = 0.94


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Merged:
    """Two maps made into one.

    Attributes:
        map: The objects of `a` in their order and under their ids, then those that only `b` has.
        fused: Ids of a and of b that were taken to be one thing.
        ids: Id in b to id in the merged map.
    """

    map: CognitiveMap
    fused: tuple[tuple[str, str], ...]
    ids: Mapping[str, str]


def merge(a: CognitiveMap, b: CognitiveMap, *, tolerance: float = 0.3) -> Merged:
    """Join two maps of one place that stand in one frame; see `alignment.align` for others.

    Two objects are one thing if they have the same label and their centres are within the
    tolerance, one to one, the nearest first. Its centre and size are averages weighted by the
    inverse covariance where both maps carry one, else by the scores; boxes that stand more than 20
    degrees askew keep the size and axes of the better one. It has the higher score, the earlier
    first sight, the regions of both, and what attributes either states. A label's count is the
    number of its boxes, plus what a map states beyond its own boxes. Rooms are joined.

    Args:
        a: One map; its ids stay.
        b: The other; an id that `a` uses for something else becomes the next free one.
        tolerance: Metres, or the unit of both maps.

    Raises:
        InputError: If the scales differ, or the tolerance is negative.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> one = SceneBuilder().add("cup", at=(0, 0, 0)).add("pan", at=(1, 0, 0)).build()
        >>> two = SceneBuilder().add("cup", at=(0.2, 0, 0)).add("cup", at=(5, 0, 0)).build()
        >>> made = merge(one, two)
        >>> made.map.ids, made.fused, made.map.counts["cup"]
        (('cup', 'pan', 'cup-2'), (('cup', 'cup-1'),), 2)
        >>> made.map.objects.centers[0].tolist()
        [0.1, 0.0, 0.0]
    """
    if a.scale != b.scale:
        raise InputError(f"merge: the one map is {a.scale}, the other {b.scale}; align them first")
    if not tolerance >= 0:
        raise InputError(f"merge: expected a tolerance of at least 0, got {tolerance}")
    b = b.to(a.objects.centers.device)
    pairs = _same_things(a, b, tolerance)
    rows, columns = pairs[:, 0].tolist(), pairs[:, 1].tolist()
    ids = _ids(a, b, dict(zip(columns, rows, strict=True)))
    rest = take(b, sorted(set(range(len(b))) - set(columns)))
    join = _Join(a=a, own=take(a, rows), other=take(b, columns), rest=rest, rows=rows)
    room, area = _room(a, b)
    merged = CognitiveMap(
        name=a.name or b.name,
        ids=(*a.ids, *(ids[name] for name in rest.ids)),
        objects=join.boxes(),
        labels=(*a.labels, *rest.labels),
        scores=join.column(
            a.scores, torch.maximum(join.own.scores, join.other.scores), rest.scores
        ),
        attributes=(*join.attributes(), *rest.attributes),
        fronts=join.column(a.fronts, join.fronts(), rest.fronts),
        counts=_counts(a, b, Counter((*a.labels, *rest.labels))),
        first_seen=join.column(
            a.first_seen, torch.fmin(join.own.first_seen, join.other.first_seen), rest.first_seen
        ),
        room=room,
        room_area=area,
        floor=b.floor if a.floor is None else a.floor,
        scale=a.scale,
        provenance=_provenance(a, b, ids),
        view=b.view if a.view is None else a.view,
    )
    fused = tuple(zip(join.own.ids, join.other.ids, strict=True))
    return Merged(map=merged, fused=fused, ids=ids)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Join:
    """The parts of a merged map.

    Attributes:
        a: The first map.
        own: Its objects that the other has too.
        other: The other's objects for these, in the same order.
        rest: The other's objects that the first has not.
        rows: Where the objects of `own` stand in `a`.
    """

    a: CognitiveMap
    own: CognitiveMap
    other: CognitiveMap
    rest: CognitiveMap
    rows: list[int]

    def column(
        self,
        first: Float[Tensor, "n *d"],
        fused: Float[Tensor, "k *d"],
        rest: Float[Tensor, "m *d"],
    ) -> Float[Tensor, "_ *d"]:
        """A column of a, with what was fused in its rows, and the rest after it."""
        filled = first.clone()
        filled[self.rows] = fused.to(first)
        return torch.cat([filled, rest.to(first)])

    @property
    def trusted(self) -> Bool[Tensor, " k"]:
        """Whether the other's object is believed where only one can be: it has the higher score."""
        return self.other.scores > self.own.scores

    def boxes(self) -> Boxes3D:
        """The boxes of the merged map; with noise where both maps state theirs."""
        first, rest = self.a.objects, self.rest.objects
        fused = _fused(self.own, self.other, self.trusted)
        stated, both, other = first.covariance, fused.covariance, rest.covariance
        covariance = None
        if stated is not None and both is not None and other is not None:
            covariance = self.column(stated, both, other)
        return Boxes3D(
            centers=self.column(first.centers, fused.centers, rest.centers),
            sizes=self.column(first.sizes, fused.sizes, rest.sizes),
            axes=self.column(first.axes, fused.axes, rest.axes),
            covariance=covariance,
        )

    def fronts(self) -> Float[Tensor, "k 3"]:
        """The front of the one that is trusted, or the only one that is known."""
        own, other = self.own.fronts, self.other.fronts.to(self.own.fronts)
        known, told = (~part.isnan().any(dim=1) for part in (own, other))
        return torch.where((told & (self.trusted | ~known))[:, None], other, own)

    def attributes(self) -> list[Mapping[str, str]]:
        """What either states; of two statements the trusted one."""
        merged = list(self.a.attributes)
        pairs = zip(self.rows, self.other.attributes, self.trusted.tolist(), strict=True)
        for row, theirs, better in pairs:
            own = merged[row]
            merged[row] = {**own, **theirs} if better else {**theirs, **own}
        return merged


def _fused(own: CognitiveMap, other: CognitiveMap, trusted: Bool[Tensor, " k"]) -> Boxes3D:
    """One box for each two, in the axes of the first unless only the second is believed."""
    a = own.objects
    b, cosines = reordered(other.objects.to(a.centers.device), a)
    state = torch.cat([a.centers, a.sizes], dim=1)
    seen = torch.cat([b.centers, b.sizes], dim=1).to(state)
    if a.covariance is not None and b.covariance is not None:
        # The update of a Kalman filter that has seen `a` and now sees `b`.
        gain = a.covariance @ torch.linalg.pinv(
            a.covariance + b.covariance.to(state), hermitian=True
        )
        noise = a.covariance - gain @ a.covariance
        noise = (noise + noise.transpose(1, 2)) / 2
    else:
        scores, total = other.scores.to(state), (own.scores + other.scores).to(state)
        share = torch.where(total > 0, scores / total.where(total > 0, 1), 0.5)
        gain, noise = share[:, None, None] * torch.eye(6).to(state), None
    mean = state + (gain @ (seen - state)[:, :, None])[:, :, 0]
    # The axes that are kept are those of one of the two; askew, its size is kept with them.
    askew = cosines < _ALIKE
    picked = trusted[:, None] & askew[:, None]
    sizes = torch.where(askew[:, None], torch.where(picked, seen[:, 3:], state[:, 3:]), mean[:, 3:])
    axes = torch.where(picked[:, :, None], b.axes.to(a.axes), a.axes)
    return Boxes3D(centers=mean[:, :3], sizes=sizes, axes=axes, covariance=noise)


def _same_things(a: CognitiveMap, b: CognitiveMap, tolerance: float) -> Int[np.ndarray, "k 2"]:
    """Rows of a and of b that are one thing."""
    same = common_labels(a, b)
    off = center_distances(a, b)
    return nearest_first(off, allowed=same & (off <= tolerance))


def _ids(a: CognitiveMap, b: CognitiveMap, fused: Mapping[int, int]) -> dict[str, str]:
    """The id of each object of b in the merged map."""
    taken = {*a.ids, *b.ids}
    ids: dict[str, str] = {}
    for j, name in enumerate(b.ids):
        if j in fused:
            ids[name] = a.ids[fused[j]]
        elif name not in a.ids:
            ids[name] = name
        else:
            free = (f"{b.labels[j]}-{k}" for k in count(2))
            ids[name] = next(key for key in free if key not in taken)
            taken.add(ids[name])
    return ids


def _counts(a: CognitiveMap, b: CognitiveMap, boxes: Counter[str]) -> dict[str, int]:
    """The boxes of each label, and what the maps state beyond their own boxes."""
    counts = {}
    for label in {**a.counts, **b.counts}:
        extra = [
            scene.counts[label] - scene.labels.count(label)
            for scene in (a, b)
            if label in scene.counts
        ]
        counts[label] = max(boxes[label] + max(extra), 0)
    return counts


def _provenance(
    a: CognitiveMap, b: CognitiveMap, ids: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """The regions of both, each once."""
    joined = dict(a.provenance)
    for name, regions in b.provenance.items():
        joined[ids[name]] = tuple(dict.fromkeys((*joined.get(ids[name], ()), *regions)))
    return joined


def _room(a: CognitiveMap, b: CognitiveMap) -> tuple[shapely.Polygon | None, float | None]:
    """The rooms together, if that is one outline; else that of a, or the only one there is."""
    if a.room is None or b.room is None:
        only = a if a.room is not None or a.room_area is not None else b
        return (a.room or b.room), only.room_area
    union = shapely.union(a.room, b.room)
    if a.room.covers(b.room) or not isinstance(union, shapely.Polygon) or union.interiors:
        return a.room, a.room_area
    return union, float(union.area)
