"""MindCube's cognitive maps: a 10 x 10 grid seen from above, with facings and views.

`[0, 0]` is the top left cell and `[9, 9]` the bottom right one; `up` is towards smaller y and
`right` towards greater x; `inner` looks into the picture, away from who looks at it, `outer` out
of it. The augmented form lists objects and views, the plain one is a dictionary of objects.

Source: mll-lab-nu/MindCube, `src/prompt_generation/templates.py` for the forms and
`src/evaluation/cogmap/` for what is valid and for the other words for facings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from groundplane.core.errors import InputError
from groundplane.spatial.map import CognitiveMap
from groundplane.spatial.maps.cogmap import cells_of, label_of, point_map
from groundplane.spatial.maps.loose_text import Entries, Problem, Problems, inside_tag, scan

__all__ = ["FACINGS", "Facing", "MindCubeMap", "MindCubeReading", "Placed", "read_mindcube"]

Form = Literal["augmented", "plain"]
Facing = Literal["up", "right", "down", "left", "inner", "outer"]
# World direction of each facing on a map whose up is +y; inner looks down on the floor.
FACINGS: Mapping[Facing, tuple[float, float, float]] = {
    "up": (0.0, 1.0, 0.0),
    "right": (1.0, 0.0, 0.0),
    "down": (0.0, -1.0, 0.0),
    "left": (-1.0, 0.0, 0.0),
    "inner": (0.0, 0.0, -1.0),
    "outer": (0.0, 0.0, 1.0),
}
_WORDS: Mapping[str, Facing] = {
    **{facing: facing for facing in FACINGS},
    "top": "up", "north": "up", "bottom": "down", "south": "down", "east": "right",
    "west": "left", "front": "inner", "into": "inner", "inside": "inner", "forward": "inner",
    "back": "outer", "out": "outer", "outside": "outer", "backward": "outer",
}  # fmt: skip
_WRAPPERS = ("cogmap", "cognitive_map", "cognitive map", "map")


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An object or a view on the grid.

    Attributes:
        name: Such as `sofa` or `View 1`.
        position: Cells right of the left edge and below the top edge.
        facing: Where its front looks, or None.
    """

    name: str
    position: tuple[float, float]
    facing: Facing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MindCubeMap:
    """A map in MindCube's terms.

    Attributes:
        objects: In the order written; each name once.
        views: Where the pictures were taken from; None where the map has no list of views, as in
            the plain form.
        cells: Cells along each side.

    Raises:
        InputError: If a name is used twice, or `cells` is not positive.
    """

    objects: tuple[Placed, ...]
    views: tuple[Placed, ...] | None = None
    cells: int = 10

    def __post_init__(self) -> None:
        if self.cells < 1:
            raise InputError(f"MindCube map: expected at least 1 cell a side, got {self.cells}")
        seen: set[str] = set()
        for item in (*self.objects, *(self.views or ())):
            if item.name in seen:
                raise InputError(f"MindCube map: {item.name!r} is there twice; names must differ")
            seen.add(item.name)

    @classmethod
    def of(cls, scene: CognitiveMap, *, views: Sequence[Placed] | None = None) -> MindCubeMap:
        """A cognitive map on MindCube's grid: names are ids, the world's +y is up.

        Args:
            scene: The map; facings are its fronts, to the nearest of the six.
            views: Where pictures were taken from, if that is to be written.
        """
        grid = scene.grid(10)
        centers, fronts = scene.objects.centers.tolist(), scene.fronts.tolist()
        objects = []
        for name, (x, y, _), front in zip(scene.ids, centers, fronts, strict=True):
            column, row = grid.cell(x, y)
            at = (column, grid.cells - 1 - row)
            objects.append(Placed(name=name, position=at, facing=_facing_of(front)))
        return cls(objects=tuple(objects), views=None if views is None else tuple(views))

    def to_json(self, *, form: Form = "augmented") -> str:
        """The map in one of the published forms; the plain one has no views.

        Examples:
            >>> sofa = Placed(name="sofa", position=(2, 7), facing="right")
            >>> MindCubeMap(objects=(sofa,)).to_json(form="plain")
            '{"sofa": {"position": [2, 7], "facing": "right"}}'
            >>> MindCubeMap(objects=(), views=()).to_json()
            '{"objects": [], "views": []}'
        """
        record: dict[str, object]
        if form == "plain":
            record = {item.name: _record(item) for item in self.objects}
        else:
            record = {
                key: [{"name": item.name, **_record(item)} for item in items]
                for key, items in (("objects", self.objects), ("views", self.views or ()))
            }
        return json.dumps(record, ensure_ascii=False, allow_nan=False)

    def to_answer(self, answer: str, *, think: str | None = None, form: Form = "augmented") -> str:
        """The published wrapper of a whole answer.

        Examples:
            >>> MindCubeMap(objects=()).to_answer("A. Above", form="plain")
            '<cogmap>```json\\n{}\\n```</cogmap><answer>A. Above</answer>'
        """
        body = self.to_json(form=form)
        thought = "" if think is None else f"<think>{think}</think>"
        return f"<cogmap>```json\n{body}\n```</cogmap>{thought}<answer>{answer}</answer>"

    def to_map(self, *, side: float | None = None, name: str = "") -> CognitiveMap:
        """A cognitive map with a point at the middle of each cell; the views are left out.

        Args:
            side: Length of the grid's side in metres; without it the scale is relative and the
                unit is one cell.
            name: Name of the scene.

        Raises:
            InputError: If `side` is not positive.
        """
        if side is not None and not 0 < side < math.inf:
            raise InputError(f"MindCube map: expected a side above 0 metres, got {side}")
        step = 1.0 if side is None else side / self.cells
        middles = [(i.position[0] + 0.5, self.cells - 0.5 - i.position[1]) for i in self.objects]
        scene = point_map(
            name=name,
            labels=[item.name for item in self.objects],
            centers=np.array(middles, dtype=np.float64).reshape(-1, 2) * step,
            step=step,
            scale="relative" if side is None else "metric",
        )
        unknown = (math.nan,) * 3
        fronts = [FACINGS[item.facing] if item.facing else unknown for item in self.objects]
        return replace(scene, fronts=torch.tensor(fronts, dtype=torch.float64).view(-1, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class MindCubeReading:
    """What was read, and how valid it was.

    Attributes:
        map: The map; empty where there was none.
        parsable: Whether there was a dictionary at all.
        well_formed: Whether by the published rules each entry had a name, a position of two
            numbers and, where given, a known facing.
        problems: Every repair and loss, in the order of the text.
    """

    map: MindCubeMap
    parsable: bool
    well_formed: bool
    problems: tuple[Problem, ...]


def read_mindcube(text: str, *, cells: int = 10) -> MindCubeReading:
    """Read a map in either form, with or without the wrapper, from a model's answer.

    Raises:
        InputError: If the text is too long, or `cells` is not positive.

    Examples:
        >>> answer = "<cogmap>{'sofa': {'position': [2, 7], 'facing': 'East'}}</cogmap>"
        >>> read_mindcube(answer).map.objects
        (Placed(name='sofa', position=(2, 7), facing='right'),)
        >>> read_mindcube("no map").parsable
        False
    """
    found = scan(inside_tag(text, "cogmap"))
    best, chosen = MindCubeMap(objects=(), cells=cells), Problems()
    for root in found.roots:
        own = Problems()
        made = _read(root, own, cells)
        if len(made.objects) >= len(best.objects):
            best, chosen = made, own
    problems = found.problems
    for problem in chosen.found:
        problems.note(problem.kind, problem.at, problem.detail, lost=problem.lost)
    if not best.objects:
        problems.note("none", 0, "there is no map in the text", lost=True)
    return MindCubeReading(
        map=best,
        parsable=bool(found.roots),
        well_formed=bool(found.roots) and not any(problem.lost for problem in chosen.found),
        problems=problems.told(),
    )


def _read(root: Entries, problems: Problems, cells: int) -> MindCubeMap:
    fields = root.fields()
    wrapped = next((fields[key] for key in _WRAPPERS if isinstance(fields.get(key), Entries)), None)
    if isinstance(wrapped, Entries) and "position" not in wrapped.fields():
        return _read(wrapped, problems, cells)
    objects, views = (_listed(fields.get(key), problems, root.at) for key in ("objects", "views"))
    if objects is not None:
        seen: set[str] = set()
        placed = _all_placed(objects, problems, seen)
        shown = None if views is None else tuple(_all_placed(views, problems, seen))
        return MindCubeMap(objects=tuple(placed), views=shown, cells=cells)
    placed = _all_placed(root.pairs, problems, set())
    return MindCubeMap(objects=tuple(placed), cells=cells)


def _listed(value: object, problems: Problems, at: int) -> Iterable[tuple[str, object]] | None:
    """Records with their names, from a list of them or a dictionary by name; None for neither."""
    if isinstance(value, list):
        return _named(value, problems, at)
    if isinstance(value, Entries) and "position" not in value.fields():
        problems.note("bracket", at, "a dictionary by name was read as a list of records")
        return value.pairs
    return None


def _named(items: Sequence[object], problems: Problems, at: int) -> Iterable[tuple[str, object]]:
    """Records of a list with their names."""
    for item in items:
        name = item.fields().get("name") if isinstance(item, Entries) else None
        if isinstance(name, str):
            yield name, item
        else:
            problems.note("dropped", at, "a record without a name", lost=True)


def _all_placed(
    pairs: Iterable[tuple[str, object]], problems: Problems, seen: set[str]
) -> list[Placed]:
    placed: list[Placed] = []
    for key, value in pairs:
        name = label_of(key)
        # The published reader takes the first of several places of one name.
        record = value[0] if isinstance(value, list) and value else value
        if not isinstance(record, Entries) or not name:
            problems.note("dropped", 0, f"{name[:40]!r} is no record with a position", lost=True)
        elif name in seen:
            problems.note("duplicate", record.at, f"{name[:40]!r} is there twice", lost=True)
        elif (item := _placed(name, record, problems)) is not None:
            seen.add(name)
            placed.append(item)
    return placed


def _placed(name: str, record: Entries, problems: Problems) -> Placed | None:
    fields = record.fields()
    found = cells_of(fields.get("position", record), problems, at=record.at)
    if not found:
        problems.note("dropped", record.at, f"{name[:40]!r} has no position", lost=True)
        return None
    if len(found) > 1:
        problems.note("several", record.at, f"{name[:40]!r}: the first of {len(found)} positions")
    facing = fields.get("facing")
    word = facing[0] if isinstance(facing, list) and facing else facing
    known = _WORDS.get(word.strip().lower()) if isinstance(word, str) else None
    if known is None and word not in (None, "", "null", "None", []):
        told = f"{name[:40]!r} faces {str(word)[:40]!r}, which is no direction"
        problems.note("facing", record.at, told, lost=True)
    return Placed(name=name, position=found[0], facing=known)


def _record(item: Placed) -> dict[str, object]:
    record: dict[str, object] = {"position": list(item.position)}
    return record if item.facing is None else {**record, "facing": item.facing}


def _facing_of(front: Sequence[float]) -> Facing | None:
    """The nearest of the six directions; None where the front is unknown."""
    if math.isnan(front[0]):
        return None
    scores = {
        name: sum(a * b for a, b in zip(way, front, strict=True)) for name, way in FACINGS.items()
    }
    return max(scores, key=scores.__getitem__)
