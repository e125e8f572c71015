"""A cognitive map as a graph: typed edges between objects that are near each other.

Edges are made for what is asked and for candidates only: pairs whose axis-aligned hulls are within
the limit, found by a tree over their outlines seen from above. Relations are computed block by
block over neighbours, so a map of 10,000 objects never needs a table of all pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import shapely
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from groundplane.core.errors import InputError, did_you_mean, listing
from groundplane.spatial import relations as rel
from groundplane.spatial.boxes import Boxes3D
from groundplane.spatial.geometry.gap import closest_points
from groundplane.spatial.map import CognitiveMap

__all__ = ["EDGE_KINDS", "WORLD_FRAME", "build_graph"]

# Each edge takes some 0.6 kB in networkx.
EDGE_LIMIT = 2_000_000
# Subjects whose relations are computed together: fewer cost calls, more cost pairs not asked for.
_BLOCK = 64
WORLD_FRAME = "world, z up"

_World = Callable[..., Bool[Tensor, "n m"]]
_WORLD: Mapping[str, _World] = {
    "on": rel.on, "under": rel.under, "above": rel.above, "below": rel.below,
    "inside": rel.inside, "contains": rel.contains, "supports": rel.supports,
    "touches": rel.touches, "next_to": rel.next_to, "far": rel.far,
    "bigger": rel.bigger, "smaller": rel.smaller, "taller": rel.taller, "shorter": rel.shorter,
    "longer": rel.longer, "same_size": rel.same_size, "parallel": rel.parallel,
    "perpendicular": rel.perpendicular, "aligned_with": rel.aligned_with,
}  # fmt: skip
_VIEWED: Mapping[str, _World] = {
    "left_of": rel.left_of,
    "right_of": rel.right_of,
    "in_front_of": rel.in_front_of,
    "behind": rel.behind,
}
# These need the subject's own front, or both fronts, and do not hold where one is unknown.
_FRONTED: Mapping[str, _World] = {
    "facing": rel.facing, "facing_away": rel.facing_away, "opposite": rel.opposite,
}  # fmt: skip
# `near` is by the limit and the hulls; `distance` gives the exact gap of the boxes.
EDGE_KINDS = ("near", "distance", *_WORLD, *_VIEWED, *_FRONTED)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Pairs:
    """Ordered pairs of objects that edges may join."""

    first: Int[np.ndarray, " m"]
    second: Int[np.ndarray, " m"]
    metres: Float[np.ndarray, " m"]  # between the hulls


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Edges:
    """Edges of one kind."""

    kind: str
    first: Int[np.ndarray, " m"]
    second: Int[np.ndarray, " m"]
    metres: Float[np.ndarray, " m"] | None  # None for a relation, which just holds
    frame: str


def build_graph(
    scene: CognitiveMap,
    *,
    limit: float | None = 2.0,
    relations: Sequence[str] = ("near",),
    view: Float[Tensor, " 3"] | None = None,
) -> Any:
    """A `networkx.MultiDiGraph` of objects with an edge for each relation that holds.

    Args:
        scene: The map.
        limit: Greatest distance of two hulls that edges join, metres; None joins all.
        relations: Kinds of edges, any of `EDGE_KINDS`.
        view: Where the viewer looks; the kinds `left_of` to `behind` need it. The scene's own
            camera where it is not given.

    Returns:
        The graph. The key of an edge is its kind. An edge holds `kind`; `value`, metres for `near`
        (between the hulls) and `distance` (between the boxes), else True; `distance` for these
        two, as a weight for paths; `frame`, the frame of reference; and `provenance`, the regions
        that the two objects were made from.

    Raises:
        InputError: If `limit` is negative or leaves no room for `far`, a kind is unknown, the view
            is missing where it is needed, or there would be too many edges.
    """
    import networkx

    view = scene.view if view is None else view
    _check_kinds(relations, limit=limit, view=view)
    low, high = (end.detach().double().cpu().numpy() for end in scene.objects.hull())
    pairs = _candidates(low, high, limit)
    graph: networkx.MultiDiGraph[str] = networkx.MultiDiGraph()
    graph.add_nodes_from(_nodes(scene))
    total = 0
    for edges in _typed(scene, pairs, kinds=relations, view=view):
        total += len(edges.first)
        _check_edges(total)
        for start, end, attributes in _told(edges):
            a, b = scene.ids[start], scene.ids[end]
            regions = (*scene.provenance.get(a, ()), *scene.provenance.get(b, ()))
            graph.add_edge(a, b, key=edges.kind, **attributes, provenance=regions)
    return graph


def _nodes(scene: CognitiveMap) -> Iterator[tuple[str, dict[str, object]]]:
    """Each object with its columns."""
    boxes = scene.objects
    columns = (boxes.centers, boxes.sizes, scene.scores, scene.first_seen)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for i, (center, size, score, seen) in enumerate(rows):
        yield (
            scene.ids[i],
            {
                "label": scene.labels[i],
                "center": tuple(center),
                "size": tuple(size),
                "score": score,
                "attributes": dict(scene.attributes[i]),
                "first_seen": seen,
                "provenance": scene.provenance.get(scene.ids[i], ()),
            },
        )


def _check_kinds(
    kinds: Sequence[str], *, limit: float | None, view: Float[Tensor, " 3"] | None
) -> None:
    for kind in kinds:
        if kind not in EDGE_KINDS:
            raise InputError(
                f"graph: there are no edges {kind!r}; there are: "
                f"{listing(EDGE_KINDS, limit=20)}.{did_you_mean(kind, EDGE_KINDS)}"
            )
        if kind in _VIEWED and view is None:
            raise InputError(
                f"graph: {kind!r} needs a viewer; give view=(x, y, z), the line of sight"
            )
        if kind == "far" and limit is not None and limit <= rel.THRESHOLDS.far_gap:
            raise InputError(
                f"graph: {kind!r} is more than {rel.THRESHOLDS.far_gap:g} metres, and edges join "
                f"what is within {limit:g}; give a greater limit, or limit=None"
            )


def _candidates(
    low: Float[np.ndarray, "n 3"], high: Float[np.ndarray, "n 3"], limit: float | None
) -> _Pairs:
    """Ordered pairs whose hulls are within the limit."""
    first, second = _pairs(low, high, limit)
    gap = np.maximum(low[first] - high[second], low[second] - high[first]).clip(min=0)
    distance = np.sqrt((gap**2).sum(axis=1))
    near = distance <= (math.inf if limit is None else limit)
    return _Pairs(first=first[near], second=second[near], metres=distance[near])


def _pairs(
    low: Float[np.ndarray, "n 3"], high: Float[np.ndarray, "n 3"], limit: float | None
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Ordered pairs of different objects that may be near, by their hulls seen from above."""
    if limit is not None and not limit >= 0:
        raise InputError(f"graph: limit must be at least 0 metres or None, got {limit}")
    n = len(low)
    if limit is None or not math.isfinite(limit):
        _check_edges(n * (n - 1))
        first, second = np.divmod(np.arange(n * n), max(n, 1))
    else:
        flat = shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
        first, second = shapely.STRtree(flat).query(flat, predicate="dwithin", distance=limit)
    different = first != second
    _check_edges(int(different.sum()))
    return first[different], second[different]


def _check_edges(count: int) -> None:
    if count > EDGE_LIMIT:
        raise InputError(
            f"graph: expected at most {EDGE_LIMIT} edges, got {count}; ask for a smaller limit"
        )


def _typed(
    scene: CognitiveMap, pairs: _Pairs, *, kinds: Sequence[str], view: Float[Tensor, " 3"] | None
) -> Iterator[_Edges]:
    """The edges of each kind, in the order asked for."""
    boxes = scene.objects
    for kind in dict.fromkeys(kinds):
        frame, gaps = WORLD_FRAME, None
        if kind in ("near", "distance"):
            held = np.ones(len(pairs.first), dtype=bool)
            gaps = pairs.metres if kind == "near" else _exact(boxes, pairs)
        elif view is not None and kind in _VIEWED:
            look = view.to(boxes.centers)
            frame = f"viewer who looks along ({', '.join(f'{part:.2f}' for part in look.tolist())})"
            held = _holds(boxes, pairs, partial(_VIEWED[kind], view=look))
        elif kind in _FRONTED:
            frame = "the subject's own front" if kind != "opposite" else "each one's own front"
            sides = 2 if kind == "opposite" else 1
            held = _holds(boxes, pairs, _FRONTED[kind], (scene.fronts,) * sides)
        else:
            held = _holds(boxes, pairs, _WORLD[kind])
        yield _Edges(
            kind=kind,
            first=pairs.first[held],
            second=pairs.second[held],
            metres=None if gaps is None else gaps[held],
            frame=frame,
        )


def _told(edges: _Edges) -> Iterator[tuple[int, int, dict[str, object]]]:
    """Each edge with its attributes."""
    same = {"kind": edges.kind, "frame": edges.frame}
    pairs = zip(edges.first.tolist(), edges.second.tolist(), strict=True)
    if edges.metres is None:
        yield from ((start, end, {**same, "value": True}) for start, end in pairs)
        return
    for (start, end), metres in zip(pairs, edges.metres.tolist(), strict=True):
        yield start, end, {**same, "value": metres, "distance": metres}


def _exact(boxes: Boxes3D, pairs: _Pairs) -> Float[np.ndarray, " m"]:
    """The gap of each pair, metres; each is computed once for both ways."""
    device = boxes.centers.device
    ends = np.sort(np.stack([pairs.first, pairs.second]), axis=0)
    once, back = np.unique(ends, axis=1, return_inverse=True)
    a, b = (torch.from_numpy(end).to(device) for end in once)
    gaps = closest_points(boxes[a], boxes[b])[2].detach().double().cpu().numpy()
    return np.asarray(gaps[back.reshape(-1)])


def _holds(
    boxes: Boxes3D, pairs: _Pairs, test: _World, fronts: Sequence[Float[Tensor, "n 3"]] = ()
) -> Bool[np.ndarray, " m"]:
    """Whether a relation holds of each candidate pair, block by block of neighbours.

    `fronts` are none, those of the subjects, or those of subjects and anchors.
    """
    first, second = pairs.first, pairs.second
    held = np.zeros(len(first), dtype=bool)
    if not len(first):
        return held
    device = boxes.centers.device
    rank = _neighbourly(boxes)[first] // _BLOCK
    order = np.argsort(rank, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(rank[order])) + 1):
        subjects, i = np.unique(first[rows], return_inverse=True)
        anchors, j = np.unique(second[rows], return_inverse=True)
        a, b = (torch.from_numpy(part).to(device) for part in (subjects, anchors))
        own = [column[ends] for column, ends in zip(fronts, (a, b), strict=False)]
        table = test(boxes[a], boxes[b], *own)
        pick = (torch.from_numpy(part.reshape(-1)).to(device) for part in (i, j))
        held[rows] = table[tuple(pick)].cpu().numpy()
    return held


def _neighbourly(boxes: Boxes3D) -> Int[np.ndarray, " n"]:
    """A rank for each object by which those of like ranks stand close: stripes, then along them."""
    centers = boxes.centers[:, :2].detach().double().cpu().numpy()
    span = float(np.ptp(centers[:, 0]))
    stripes = max(math.ceil(math.sqrt(len(centers) / _BLOCK)), 1)
    stripe = np.floor((centers[:, 0] - centers[:, 0].min()) / (span or 1.0) * stripes)
    rank = np.empty(len(centers), dtype=np.int64)
    rank[np.lexsort((centers[:, 1], stripe))] = np.arange(len(centers))
    return rank
