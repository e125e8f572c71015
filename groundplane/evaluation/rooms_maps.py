"""The true map of a room, and how a map that was built compares with it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
import torch
from jaxtyping import Bool, Float, Int

from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.overlap import volume_iou
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.grid_score import score
from groundplane.spatial.maps.matching import center_distances, common_labels, nearest_first
from groundplane.testing.rooms.question import Facts

__all__ = ["MapScore", "compare", "true_map"]

# Two boxes of one label are of one thing where they share so much of their volume, or their middles
# lie so near, metres: a thin picture on a wall shares little with one 2 cm off.
_SHARED, _NEAR = 0.25, 0.3
# Standard deviations to either side that hold 90 % of a normal distribution.
_NINETY = 1.6449


@dataclass(frozen=True, slots=True, kw_only=True)
class MapScore:
    """How a map compares with the true one.

    Attributes:
        things: In the room.
        found: In the map.
        matched: Things of the room that are in the map: same label, and one place.
        position: How far the middle of each matched thing is off, metres.
        size: How far its longest side is off, share of that side.
        area: The map's area and the true one, square metres; None for one that is not known.
        counts: For each category the map's count and the true one.
        bins: For each of VSI-Bench's bins of distance: pairs, found pairs, right pairs.
        inside: Numbers of boxes that lie within 90 % of their own error bars, and all of them.
    """

    things: int
    found: int
    matched: int
    position: tuple[float, ...] = ()
    size: tuple[float, ...] = ()
    area: tuple[float | None, float | None] = (None, None)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    bins: tuple[tuple[int, int, int], ...] = ()
    inside: tuple[int, int] = (0, 0)

    @property
    def counted(self) -> bool:
        """Whether the map has as many of each category as the room."""
        return all(own == true for own, true in self.counts.values())

    def record(self) -> dict[str, Any]:
        """The score as plain JSON values."""
        return {
            "things": self.things,
            "found": self.found,
            "matched": self.matched,
            "position": [round(off, 4) for off in self.position],
            "size": [round(off, 4) for off in self.size],
            "area": list(self.area),
            "counts": {label: list(pair) for label, pair in self.counts.items()},
            "bins": [list(part) for part in self.bins],
            "inside": list(self.inside),
        }

    @classmethod
    def of(cls, record: dict[str, Any]) -> MapScore:
        """The score that a record holds."""
        return cls(
            things=record["things"],
            found=record["found"],
            matched=record["matched"],
            position=tuple(record["position"]),
            size=tuple(record["size"]),
            area=(record["area"][0], record["area"][1]),
            counts={label: (own, true) for label, (own, true) in record["counts"].items()},
            bins=tuple((pairs, found, right) for pairs, found, right in record["bins"]),
            inside=(record["inside"][0], record["inside"][1]),
        )


def true_map(facts: Facts) -> CognitiveMap:
    """The map that knows a room's true boxes, outline and times."""
    solids, counts, numbers = facts.solids, facts.counts, Counter[str]()
    ids = []
    for solid in solids:
        numbers[solid.label] += 1
        ids.append(
            f"{solid.label}-{numbers[solid.label]}" if counts[solid.label] > 1 else solid.label
        )
    n = len(solids)
    columns = (
        np.array([getattr(solid, name) for solid in solids], dtype=np.float64)
        for name in ("center", "sizes", "axes")
    )
    centers, sizes, axes = (torch.from_numpy(column) for column in columns)
    seen = [facts.appeared.get(solid.id, math.nan) for solid in solids]
    return CognitiveMap(
        name=facts.room.name,
        ids=tuple(ids),
        objects=Boxes3D(
            centers=centers.reshape(n, 3), sizes=sizes.reshape(n, 3), axes=axes.reshape(n, 3, 3)
        ),
        labels=tuple(solid.label for solid in solids),
        scores=torch.ones(n, dtype=torch.float64),
        attributes=({},) * n,
        fronts=torch.full((n, 3), math.nan, dtype=torch.float64),
        first_seen=torch.tensor(seen, dtype=torch.float64),
        room=shapely.Polygon(facts.room.outline),
        floor=facts.room.floor,
    )


def compare(built: CognitiveMap, true: CognitiveMap) -> MapScore:
    """Compare a map with the true one of the same room, in the same coordinates.

    Args:
        built: The map that was built.
        true: See `true_map`.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> true = SceneBuilder().add("cup", at=(0, 0, 1)).add("sofa", at=(3, 0, 0)).build()
        >>> made = compare(SceneBuilder().add("cup", at=(0, 0.1, 1)).build(), true)
        >>> made.found, made.matched, made.position, made.counted
        (1, 1, (0.1,), False)
        >>> compare(true, SceneBuilder().build()).matched
        0
    """
    pairs = _matches(built, true)
    own, meant = built.objects, true.objects
    rows, others = pairs[:, 0].tolist(), pairs[:, 1].tolist()
    off = np.linalg.norm(_numbers(own.centers)[rows] - _numbers(meant.centers)[others], axis=1)
    long, longest = _numbers(own.sizes)[rows], _numbers(meant.sizes)[others]
    wide = np.abs(long.max(axis=1, initial=0) / longest.max(axis=1, initial=1e-9) - 1)
    graded = score(built, true) if len(true) else None
    labels = sorted({*built.counts, *true.counts})
    return MapScore(
        things=len(true),
        found=len(built),
        matched=len(pairs),
        position=tuple(off.round(12).tolist()),
        size=tuple(wide.round(12).tolist()),
        area=(built.room_area, true.room_area),
        counts={label: (built.counts.get(label, 0), true.counts.get(label, 0)) for label in labels},
        bins=tuple((part.pairs, part.found, part.correct) for part in graded.bins)
        if graded
        else (),
        inside=_inside(built, true, pairs),
    )


def _numbers(column: torch.Tensor) -> Float[np.ndarray, "_ 3"]:
    return np.asarray(column.detach().double().cpu().numpy())


def _matches(built: CognitiveMap, true: CognitiveMap) -> Int[np.ndarray, "k 2"]:
    """Rows of both maps that are of one thing."""
    distances = center_distances(built, true)
    return nearest_first(distances, allowed=_may(built, true, distances))


def _may(
    built: CognitiveMap, true: CognitiveMap, distances: Float[np.ndarray, "n m"]
) -> Bool[np.ndarray, "n m"]:
    own, meant = built.objects.to("cpu"), true.objects
    shared = volume_iou(_double(own), _double(meant)).numpy()
    return np.asarray(common_labels(built, true) & ((shared >= _SHARED) | (distances <= _NEAR)))


def _double(boxes: Boxes3D) -> Boxes3D:
    return Boxes3D(
        centers=boxes.centers.double(), sizes=boxes.sizes.double(), axes=boxes.axes.double()
    )


def _inside(
    built: CognitiveMap, true: CognitiveMap, pairs: Int[np.ndarray, "k 2"]
) -> tuple[int, int]:
    """How many coordinates of middles lie within the error bars, and how many there are."""
    if built.objects.covariance is None or not len(pairs):
        return 0, 0
    off = _numbers(built.objects.centers)[pairs[:, 0]] - _numbers(true.objects.centers)[pairs[:, 1]]
    spread = built.objects.covariance.diagonal(dim1=1, dim2=2)[:, :3]
    bars = _NINETY * _numbers(spread.clamp(min=0).sqrt())[pairs[:, 0]]
    return int((np.abs(off) <= bars).sum()), off.size
