"""A cognitive map in words, for a language model's prompt.

Named objects with the numbers and relations worth reading, the frame of reference stated first, the
most salient objects first: a model does better on such facts than on raw geometry. What does not
fit the budget is left out and counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from groundplane.core.errors import InputError, listing
from groundplane.spatial import relations as rel
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.graphs import build_graph
from groundplane.spatial.maps.map_change import take

__all__ = ["estimate_tokens", "write_text"]

# Things further apart than this are not told as neighbours, in the map's unit.
_REACH = 2.0
_NEIGHBOURS = 2
_LABELS = 20  # so many labels are counted in the heading, the most frequent first
_ROWS = 512  # objects whose fronts are compared with all objects at a time
_LEAST = 20  # tokens of the shortest line
# Relations that are told, in the order of how much they say, and how.
_HELD = {"on": "on", "inside": "in", "under": "under"}
_SIDES = {
    "left_of": "left of", "right_of": "right of", "in_front_of": "in front of", "behind": "behind",
}  # fmt: skip
_PIECE = re.compile(r"\d+|[^\W\d_]+|[^\w\s]|_")


def estimate_tokens(text: str) -> int:
    """A cautious count of a text's tokens without a tokenizer.

    Runs of Latin letters count one for every four, digits one for every two, any other letter or
    sign one each; common tokenizers need fewer.

    Examples:
        >>> estimate_tokens("sofa: at (2.1, 3.0)"), estimate_tokens("")
        (12, 0)
    """
    total = 0
    for piece in _PIECE.findall(text):
        step = 2 if piece[0].isdigit() else 4 if piece.isascii() else 1
        total += math.ceil(len(piece) / step)
    return total + text.count("\n")


def write_text(
    scene: CognitiveMap, *, budget: int | None = None, view: Float[Tensor, " 3"] | None = None
) -> str:
    """The map as lines of text.

    A heading states the unit, the axes, the viewer and the counts. Then comes a line for each
    object, the largest first (its volume times its score): where its centre is, how large it is,
    what it is on, in or under, what its front points at, and the gaps to its nearest neighbours.

    Args:
        scene: The map.
        budget: Tokens at most, by `estimate_tokens`; None writes everything.
        view: Where the viewer looks; the scene's own camera where it is not given. Without either
            nothing is said of left and right.

    Raises:
        InputError: If the budget does not hold even the heading.

    Examples:
        >>> from groundplane.testing.scenes import SceneBuilder
        >>> builder = SceneBuilder("desk").add("table", at=(0, 0, 0.4), size=(1.6, 0.8, 0.8))
        >>> builder = builder.add("cup", at=(0.2, 0, 0.85), size=(0.1, 0.1, 0.1))
        >>> print(write_text(builder.build()))
        Map "desk": 2 objects. Frame: world, metres, z up; centres are (x, y, z).
        No viewer is given, so left, right, front and behind are not defined.
        Counts: cup 1, table 1.
        table: at (0.00, 0.00, 0.40), 1.60 x 0.80, 0.80 high; touches cup
        cup: at (0.20, 0.00, 0.85), 0.10 x 0.10, 0.10 high; on table
        >>> print(write_text(SceneBuilder("void").build()))
        Map "void": no objects. Frame: world, metres, z up; centres are (x, y, z).
        No viewer is given, so left, right, front and behind are not defined.
    """
    view = scene.view if view is None else view
    lines = ["\n".join(_heading(scene, view))]
    spent = estimate_tokens(lines[0])
    limit = math.inf if budget is None else budget
    least = spent + (_cost(_left_out(len(scene))) if len(scene) else 0)
    if least > limit:
        raise InputError(
            f"map text: the heading alone takes some {least} tokens, got a budget of {budget}; "
            "give more"
        )
    order = _by_salience(scene)
    # No line takes fewer tokens, so of a large map only what may be shown is worked on.
    chosen = take(scene, order if budget is None else order[: budget // _LEAST + 1])
    facts = _facts(chosen, view)
    for told, rest in enumerate(range(len(order) - 1, -1, -1)):
        spare = _cost(_left_out(rest)) if rest else 0
        plain = _described(chosen, told)
        forms = ("; ".join([plain, *facts[told]]), plain)
        line = next((form for form in forms if spent + _cost(form) + spare <= limit), None)
        if line is None:
            lines.append(_left_out(rest + 1))
            break
        lines.append(line)
        spent += _cost(line)
    return "\n".join(lines)


def _left_out(count: int) -> str:
    return f"Not shown: {count} more."


def _cost(line: str) -> int:
    """Tokens of a line and its end."""
    return estimate_tokens(line) + 1


def _heading(scene: CognitiveMap, view: Float[Tensor, " 3"] | None) -> Iterator[str]:
    unit = "metres" if scene.scale == "metric" else "units of unknown length"
    number = "no objects" if not len(scene) else f"{len(scene)} object{'s' * (len(scene) > 1)}"
    name = f" {_plain(scene.name)!r}".replace("'", '"') if scene.name else ""
    yield f"Map{name}: {number}. Frame: world, {unit}, z up; centres are (x, y, z)."
    if scene.room is not None:
        low_x, low_y, high_x, high_y = scene.room.bounds
        area = "" if scene.room_area is None else f", {scene.room_area:.1f} square {unit}"
        yield f"Room: x {low_x:.2f} to {high_x:.2f}, y {low_y:.2f} to {high_y:.2f}{area}."
    if view is None:
        yield "No viewer is given, so left, right, front and behind are not defined."
    else:
        x, y, _ = view.tolist()
        sight = f"x {x:.2f}, y {y:.2f}"
        yield f"Left, right, front and behind are for a viewer who looks along {sight}."
    stated = sorted(scene.counts.items(), key=lambda pair: (-pair[1], pair[0]))
    if told := [f"{_plain(label)} {count}" for label, count in stated if count]:
        yield f"Counts: {listing(told, limit=_LABELS)}."


def _by_salience(scene: CognitiveMap) -> list[int]:
    """Rows by volume times score, the greatest first; ties in the map's order."""
    worth = scene.objects.sizes.double().prod(dim=1) * scene.scores.to(scene.objects.sizes).double()
    return torch.argsort(worth, descending=True, stable=True).tolist()


def _described(scene: CognitiveMap, i: int) -> str:
    """Where an object is and how large: its sides seen from above, then its height."""
    boxes = scene.objects
    upright = int(boxes.axes[i, :, 2].abs().argmax())
    sizes = boxes.sizes[i].tolist()
    height = sizes.pop(upright)
    x, y, z = boxes.centers[i].tolist()
    name, label = _plain(scene.ids[i]), _plain(scene.labels[i])
    told = name if name.startswith(label) else f"{name} ({label})"
    stated = "".join(f", {_plain(k)} {_plain(v)}" for k, v in scene.attributes[i].items())
    return (
        f"{told}: at ({x:.2f}, {y:.2f}, {z:.2f}), "
        f"{max(sizes):.2f} x {min(sizes):.2f}, {height:.2f} high{stated}"
    )


def _facts(scene: CognitiveMap, view: Float[Tensor, " 3"] | None) -> list[list[str]]:
    """What is told of each object beside its place and size."""
    kinds = ("distance", "touches", *_HELD, "bigger", *(_SIDES if view is not None else ()))
    graph = build_graph(scene, limit=_REACH, relations=kinds, view=view)
    faced = _faced(scene)
    return [
        [*_held(graph, name), *faced[i], *_neighbours(graph, name)]
        for i, name in enumerate(scene.ids)
    ]


def _held(graph: Any, name: str) -> Iterator[str]:
    """What an object is on, in or under; of several things, the nearest."""
    for kind, word in _HELD.items():
        for other in _nearest(graph, name):
            # What carries a smaller thing is under it, but nobody says so.
            told = kind != "under" or "bigger" in graph[other][name]
            if kind in graph[name][other] and told:
                yield f"{word} {_plain(other)}"
                return


def _neighbours(graph: Any, name: str) -> Iterator[str]:
    """The gaps to the nearest objects, and the side on which the viewer sees it from them."""
    near = [o for o in _nearest(graph, name) if not {"on", "inside"} & graph[name][o].keys()]
    for other in near[:_NEIGHBOURS]:
        edges = graph[name][other]
        sides = [word for kind, word in _SIDES.items() if kind in edges]
        side = f", {' and '.join(sides)} it" if sides else ""
        gap = "touches" if "touches" in edges else f"{edges['distance']['value']:.2f} from"
        yield f"{gap} {_plain(other)}{side}"


def _nearest(graph: Any, name: str) -> list[str]:
    edges = graph[name]
    return sorted(edges, key=lambda other: edges[other]["distance"]["value"])


def _faced(scene: CognitiveMap) -> list[list[str]]:
    """What the front of each object points at: of the things that it faces, the best aligned."""
    told: list[list[str]] = [[] for _ in scene.ids]
    centers = scene.objects.centers[:, :2]
    known = (~scene.fronts.isnan().any(dim=1)).nonzero()[:, 0]
    for rows in torch.split(known, _ROWS) if len(known) else ():
        fronts = scene.fronts[rows]
        holds = rel.facing(scene.objects[rows], scene.objects, fronts)
        way = centers - centers[rows][:, None]
        along = (way * fronts[:, None, :2]).sum(dim=-1) / way.norm(dim=-1).clamp(min=1e-9)
        best = along.where(holds, -torch.inf).max(dim=1)
        columns = (part.tolist() for part in (rows, best.indices, best.values))
        for row, other, cosine in zip(*columns, strict=True):
            if math.isfinite(cosine):
                told[row] = [f"faces {_plain(scene.ids[other])}"]
    return told


def _plain(text: str) -> str:
    """On one line, whatever the text holds: a label may not open a line of its own."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
