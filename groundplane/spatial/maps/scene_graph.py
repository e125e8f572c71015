"""A cognitive map as a scene graph in plain JSON, and as GraphML for other programs.

The JSON holds the whole map and typed edges:
`{"format": "groundplane-graph", "version": 1, "map": {...}, "frame": ..., "edges": [...]}`, where
`map` is what `CognitiveMap.to_json` writes, its objects being the nodes, and an edge is
`{"source", "target", "kind", "value", "frame", "provenance"}`. No context, no namespaces.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import InputError, SceneError
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.graphs import EDGE_KINDS, EDGE_LIMIT, WORLD_FRAME, build_graph
from groundplane.spatial.scenes.fields import Field, array, check_keys, mapping, number, text

__all__ = ["SceneGraph", "read_scene_graph", "to_graphml", "to_scene_graph"]

FORMAT = "groundplane-graph"
VERSION = 1
# What a scene graph of the greatest map with the most edges could take.
_TEXT_LIMIT = 512 * 2**20
_KEYS = frozenset(("format", "version", "frame", "map", "edges"))
_EDGE_KEYS = frozenset(("source", "target", "kind", "value", "unit", "frame", "provenance"))
# Characters outside those of XML 1.0.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SceneGraph:
    """A scene graph as read.

    Attributes:
        map: The map.
        graph: A `networkx.MultiDiGraph` as `CognitiveMap.graph` gives it.
    """

    map: CognitiveMap
    graph: Any


def to_scene_graph(
    scene: CognitiveMap,
    *,
    limit: float | None = 2.0,
    relations: Sequence[str] = ("near",),
    view: Float[Tensor, " 3"] | None = None,
) -> str:
    """Write a map and its edges as JSON; the arguments are those of `graphs.build_graph`.

    Raises:
        InputError: As `build_graph` does.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> builder = SceneBuilder("desk").add("table", at=(0, 0, 0.4), size=(1.6, 0.8, 0.8))
        >>> scene = builder.add("cup", at=(0.2, 0, 0.85), size=(0.1, 0.1, 0.1)).build()
        >>> made = json.loads(to_scene_graph(scene, relations=("on",)))
        >>> [node["id"] for node in made["map"]["objects"]]
        ['table', 'cup']
        >>> made["edges"][0]["source"], made["edges"][0]["kind"], made["edges"][0]["target"]
        ('cup', 'on', 'table')
        >>> json.loads(to_scene_graph(SceneBuilder().build()))["edges"]
        []
    """
    graph = build_graph(scene, limit=limit, relations=relations, view=view)
    unit = "m" if scene.scale == "metric" else "map_unit"
    edges = ",\n    ".join(
        json.dumps(_edge_record(a, b, edge, unit), ensure_ascii=False, allow_nan=False)
        for a, b, edge in graph.edges(data=True)
    )
    head = json.dumps({"format": FORMAT, "version": VERSION, "frame": WORLD_FRAME})[1:-1]
    return (
        f'{{\n  {head},\n  "map": {scene.to_json().strip()},\n  "edges": [\n    {edges}\n  ]\n}}\n'
    )


def read_scene_graph(written: str, *, source: str = "scene graph") -> SceneGraph:
    """Read what `to_scene_graph` wrote; a map without objects is refused, as in a scene file.

    Args:
        written: The JSON text.
        source: What error messages call it.

    Raises:
        SceneError: If it is malformed; the message names the field.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> scene = SceneBuilder("desk").add("cup", at=(0, 0, 1)).add("pan", at=(1, 0, 1)).build()
        >>> made = read_scene_graph(to_scene_graph(scene))
        >>> made.map.ids, sorted(made.graph.edges())
        (('cup', 'pan'), [('cup', 'pan'), ('pan', 'cup')])
    """
    at = Field(source)
    if len(written) > _TEXT_LIMIT:
        raise SceneError(f"{source}: expected at most {_TEXT_LIMIT} characters, got {len(written)}")
    try:
        document = json.loads(written)
    except (ValueError, RecursionError) as error:
        raise SceneError(f"{source}: expected JSON, got an error: {error}") from error
    record = mapping(document, at, "a scene graph")
    check_keys(record, at, allowed=_KEYS, required=("format", "version", "map", "edges"))
    if record["format"] != FORMAT:
        raise at["format"].error(f"{FORMAT!r}", record["format"])
    if type(record["version"]) is not int or record["version"] != VERSION:
        raise at["version"].error(f"the number {VERSION}", record["version"])
    inner = mapping(record["map"], at["map"], "a map")
    scene = CognitiveMap.from_record(inner, source=f"{source}: map")
    graph = build_graph(scene, limit=0.0, relations=())
    rows = array(record["edges"], at["edges"], None)
    if len(rows) > EDGE_LIMIT:
        raise at["edges"].error(f"at most {EDGE_LIMIT} edges", len(rows))
    known = set(scene.ids)
    for i, row in enumerate(rows):
        a, b, kind, attributes = _edge(row, at["edges"][i], known)
        if graph.has_edge(a, b, key=kind):
            raise at["edges"][i].error("each edge once", [a, b, kind])
        graph.add_edge(a, b, key=kind, **attributes)
    return SceneGraph(map=scene, graph=graph)


def to_graphml(
    scene: CognitiveMap,
    *,
    limit: float | None = 2.0,
    relations: Sequence[str] = ("near",),
    view: Float[Tensor, " 3"] | None = None,
) -> str:
    """Write the graph as GraphML for yEd, Gephi and the like.

    GraphML holds only plain values, so they are flattened: `x`, `y`, `z`, `size_x`, `size_y`,
    `size_z`, `attribute.<name>`, and `provenance` with commas. What is unknown is left out, and
    characters that XML cannot hold become U+FFFD.

    Raises:
        InputError: As `build_graph` does.

    Examples:
        >>> import networkx
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> scene = SceneBuilder().add("cup", at=(0, 0, 1), attributes={"colour": "red"}).build()
        >>> node = networkx.parse_graphml(to_graphml(scene)).nodes["cup"]
        >>> node["label"], node["z"], node["attribute.colour"]
        ('cup', 1.0, 'red')
    """
    import networkx

    graph = build_graph(scene, limit=limit, relations=relations, view=view)
    flat: networkx.MultiDiGraph[str] = networkx.MultiDiGraph(
        name=_xml(scene.name), frame=WORLD_FRAME, scale=scene.scale
    )
    for key, node in graph.nodes(data=True):
        flat.add_node(_xml(key), **dict(_flat_node(node)))
    if len(flat) != len(graph):
        raise InputError("graphml: two ids differ only by characters that XML cannot hold")
    for a, b, key, edge in graph.edges(data=True, keys=True):
        joined = ", ".join(map(_xml, edge["provenance"]))
        rest = {name: value for name, value in edge.items() if name != "provenance"}
        flat.add_edge(_xml(a), _xml(b), key=key, **rest, provenance=joined)
    out = io.BytesIO()
    networkx.write_graphml(flat, out)
    return out.getvalue().decode()


def _edge_record(a: str, b: str, edge: Mapping[str, Any], unit: str) -> dict[str, object]:
    record: dict[str, object] = {"source": a, "target": b, "kind": edge["kind"]}
    record["value"] = edge["value"]
    if "distance" in edge:
        record["unit"] = unit
    record["frame"] = edge["frame"]
    if edge["provenance"]:
        record["provenance"] = list(edge["provenance"])
    return record


def _edge(row: object, at: Field, known: set[str]) -> tuple[str, str, str, dict[str, object]]:
    record = mapping(row, at, "an edge")
    check_keys(record, at, allowed=_EDGE_KEYS, required=("source", "target", "kind", "value"))
    ends = [text(record[name], at[name]) for name in ("source", "target")]
    for name, end in zip(("source", "target"), ends, strict=True):
        if end not in known:
            raise at[name].error("the id of an object", end)
    kind = text(record["kind"], at["kind"])
    if kind not in EDGE_KINDS:
        raise at["kind"].error(f"one of {', '.join(EDGE_KINDS)}", kind)
    regions = record.get("provenance", [])
    attributes: dict[str, object] = {"kind": kind}
    if kind in ("near", "distance"):
        attributes["value"] = attributes["distance"] = number(record["value"], at["value"])
    elif record["value"] is True:
        attributes["value"] = True
    else:
        raise at["value"].error("true", record["value"])
    attributes["frame"] = text(record.get("frame", WORLD_FRAME), at["frame"])
    attributes["provenance"] = tuple(
        text(part, at["provenance"][i])
        for i, part in enumerate(array(regions, at["provenance"], None))
    )
    return ends[0], ends[1], kind, attributes


def _flat_node(node: Mapping[str, Any]) -> Iterator[tuple[str, str | float]]:
    yield "label", _xml(node["label"])
    yield from zip("xyz", node["center"], strict=True)
    yield from zip(("size_x", "size_y", "size_z"), node["size"], strict=True)
    yield "score", node["score"]
    if not math.isnan(node["first_seen"]):
        yield "first_seen", node["first_seen"]
    for name, value in node["attributes"].items():
        yield f"attribute.{_xml(name)}", _xml(value)
    if node["provenance"]:
        yield "provenance", ", ".join(map(_xml, node["provenance"]))


def _xml(value: str) -> str:
    """The text with U+FFFD for what XML 1.0 cannot hold."""
    return _UNWRITABLE.sub("\ufffd", value)
