"""The record of a cognitive map."""

from __future__ import annotations

from typing import Any

from groundplane.apps.mcp.tools import GRID_CELLS, MOST_OBJECTS
from groundplane.spatial.map import CognitiveMap

__all__ = ["map_record"]

_MOST_RELATIONS = 2000
# Of these one direction says it all.
_MUTUAL = frozenset({"near", "distance", "touches", "next_to"})


def map_record(scene: CognitiveMap, *, relations: tuple[str, ...], within: float) -> dict[str, Any]:
    """Objects, grid and relations as plain JSON values.

    Args:
        scene: The map.
        relations: Kinds of relations, as `CognitiveMap.graph` knows them.
        within: Relations of objects at most so far apart, metres.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> scene = SceneBuilder().add("chair", at=(0, 0, 0.5), size=(0.5, 0.5, 1)).build()
        >>> shown = map_record(scene, relations=("near",), within=2.0)
        >>> shown["objects"][0]["size"], shown["relations"], shown["left_out"]
        ([0.5, 0.5, 1.0], [], 0)
    """
    grid = scene.grid(GRID_CELLS)
    rows = zip(
        scene.ids, scene.labels, scene.objects.centers.tolist(), scene.objects.sizes.tolist(),
        strict=True,
    )  # fmt: skip
    objects = [
        {"id": name, "label": label, "center": _rounded(center), "size": _rounded(size)}
        for name, label, center, size in rows
    ]
    edges = _edges(scene, relations, within) if relations else []
    cells = {label: [list(cell) for cell in places] for label, places in grid.objects.items()}
    shown = {label: places[:MOST_OBJECTS] for label, places in list(cells.items())[:MOST_OBJECTS]}
    left_out = max(len(objects) - MOST_OBJECTS, 0) + max(len(edges) - _MOST_RELATIONS, 0)
    return {
        "name": scene.name,
        "scale": scene.scale,
        "room_area": scene.room_area,
        "counts": dict(list(scene.counts.items())[:MOST_OBJECTS]),
        "objects": objects[:MOST_OBJECTS],
        "grid": {
            "cells": grid.cells,
            "origin": _rounded(grid.origin),
            "side": round(grid.side, 4),
            "objects": shown,
        },
        "relations": edges[:_MOST_RELATIONS],
        "left_out": left_out,
    }


def _edges(scene: CognitiveMap, relations: tuple[str, ...], within: float) -> list[dict[str, Any]]:
    place = {name: index for index, name in enumerate(scene.ids)}
    graph = scene.graph(limit=within, relations=relations)
    return [
        {
            "subject": first,
            "relation": kind,
            "object": second,
            "metres": round(facts["distance"], 4) if "distance" in facts else None,
            "frame": facts["frame"],
        }
        for first, second, kind, facts in graph.edges(keys=True, data=True)
        if kind not in _MUTUAL or place[first] < place[second]
    ]


def _rounded(values: Any) -> list[float]:
    """Tenths of a millimetre are enough for anybody."""
    return [round(float(value), 4) for value in values]
